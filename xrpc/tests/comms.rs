//! Messages between agents of one host.

use murmuration_data::{Ipld, cbor};
use murmuration_platform::{Param, Store};
use murmuration_syntax::Did;
use serde_json::{Value, json};

use crate::world::agents::{Agent, texts};
use crate::world::{World, block_on};

fn world() -> (World, Agent, Agent) {
    let world = World::new();
    let (alice, bob) = (world.agent("alice"), world.agent("bob"));
    (world, alice, bob)
}

fn message(text: &str) -> Value {
    json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": text } })
}

fn states(answer: &Value) -> Vec<&str> {
    answer["receipts"].as_array().unwrap().iter().map(|receipt| receipt["state"].as_str().unwrap()).collect()
}

#[test]
fn a_message_reaches_its_reader_and_is_read_by_nobody_else() {
    let (world, alice, bob) = world();
    let sent = world.tell(&alice, &bob.did, "meet me at the mast");
    assert_eq!(states(&sent), ["delivered"]);
    let id = sent["id"].as_str().unwrap();
    assert_eq!(sent["uri"], format!("at://{}/agent.comms.message/{id}", alice.did));

    let items = world.claim(&bob);
    assert_eq!(texts(&items), ["meet me at the mast"]);
    let header = &items[0]["parcel"]["header"];
    assert_eq!((&header["id"], &header["from"], &header["seq"]), (&sent["id"], &json!(alice.did), &json!(1)));
    assert_eq!(items[0]["record"]["recipient"], json!(bob.did));
    assert!(world.claim(&bob).is_empty());
    world.done(&bob, &items);
    // Its sender reads the own copy, and both see one thread.
    let thread = header["thread"].as_str().unwrap();
    for agent in [&alice, &bob] {
        let (code, page) = world.look(agent, "getThread", &[("thread", thread)]);
        assert_eq!((code, &page["gaps"]), (200, &json!([])));
        assert_eq!(texts(page["items"].as_array().unwrap()), ["meet me at the mast"]);
        let (_, closed) =
            world.look(agent, "getThread", &[("thread", thread), ("includeDecrypted", "false")]);
        assert_eq!(texts(closed["items"].as_array().unwrap()), ["(closed)"]);
    }
    // It is in no repository, and lies open in no storage.
    let record = [("repo", alice.did.as_str()), ("collection", "agent.comms.message"), ("rkey", id)];
    assert_eq!(world.ask("com.atproto.repo.getRecord", None, &record, &Value::Null).0, 400);
    for agent in [&alice, &bob] {
        for table in ["inbox", "sent", "record", "log"] {
            let column = if table == "log" {
                "drafts"
            } else if table == "record" {
                "value"
            } else {
                "parcel"
            };
            let store = world.objects.store(&agent.did);
            for mut row in store.query(&format!("SELECT {column} FROM {table}"), &[]).unwrap() {
                let bytes = row.blob(0).unwrap();
                assert!(!bytes.windows(4).any(|window| window == b"mast"), "{table}");
            }
        }
    }
}

#[test]
fn neighbours_who_have_written_before_cost_the_directory_nothing() {
    let (world, alice, bob) = world();
    world.tell(&alice, &bob.did, "first");
    let before = world.shelf.store.counts().statements;
    assert_eq!(states(&world.tell(&alice, &bob.did, "second")), ["delivered"]);
    assert_eq!(world.shelf.store.counts().statements, before);
    assert_eq!(texts(&world.claim(&bob)), ["first", "second"]);
}

/// As `hosted_agents_work_in_full_while_the_plc_directory_is_down`, for what agents say to each other.
#[test]
fn neighbours_write_to_each_other_while_the_plc_directory_is_down() {
    let (world, alice, bob) = world();
    world.network.plc_is_away.set(true);
    for minutes in [0, 11, 60] {
        world.pass_minutes(minutes);
        let text = format!("after {minutes} minutes");
        assert_eq!(states(&world.tell(&alice, &bob.did, &text)), ["delivered"]);
        let items = world.claim(&bob);
        assert_eq!(texts(&items), [text]);
        world.done(&bob, &items);
        let thread = items[0]["parcel"]["header"]["thread"].as_str().unwrap();
        assert_eq!(world.look(&bob, "getThread", &[("thread", thread)]).0, 200);
    }
}

#[test]
fn a_conversation_is_one_thread_in_order_and_is_listed_once() {
    let (world, alice, bob) = world();
    for n in 0..3 {
        world.tell(&alice, &bob.did, &format!("a{n}"));
        world.pass_minutes(1);
        world.tell(&bob, &alice.did, &format!("b{n}"));
        world.pass_minutes(1);
    }
    assert_eq!(texts(&world.claim(&bob)), ["a0", "a1", "a2"]);
    let (_, threads) = world.look(&alice, "listThreads", &[]);
    let threads = threads["threads"].as_array().unwrap();
    assert_eq!(
        (threads.len(), &threads[0]["members"], &threads[0]["pending"]),
        (1, &json!([bob.did]), &json!(3))
    );
    let thread = threads[0]["id"].as_str().unwrap();
    let mut said = Vec::new();
    let mut cursor = String::new();
    loop {
        let query = [("thread", thread), ("limit", "4"), ("cursor", &cursor)];
        let (_, page) = world.look(&alice, "getThread", &query[..if cursor.is_empty() { 2 } else { 3 }]);
        said.extend(texts(page["items"].as_array().unwrap()).into_iter().map(str::to_owned));
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(said, ["a0", "b0", "a1", "b1", "a2", "b2"]);
    let missing = world.look(&alice, "getThread", &[("thread", "nothing")]);
    assert_eq!((missing.0, &missing.1["error"]), (400, &json!("ThreadNotFound")));
}

#[test]
fn the_same_call_is_done_once_and_another_under_its_id_is_refused() {
    let (world, alice, bob) = world();
    let mut input = json!({ "record": message("once"), "to": [bob.did], "id": "3lznm6spegk2z" });
    let (_, first) = world.call(&alice, "sendMessage", &input);
    let (code, again) = world.call(&alice, "sendMessage", &input);
    assert_eq!((code, &again["cid"], states(&again)), (200, &first["cid"], vec!["delivered"]));
    assert_eq!(world.claim(&bob).len(), 1);
    for change in [json!({ "record": message("twice") }), json!({ "privacy": "public" })] {
        input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (code, answer) = world.call(&alice, "sendMessage", &input);
        assert_eq!((code, &answer["error"]), (400, &json!("DuplicateConflict")));
    }
    assert!(world.claim(&bob).is_empty());
    let (_, status) = world.look(&alice, "getDeliveryStatus", &[("id", "3lznm6spegk2z")]);
    assert_eq!(states(&status), ["delivered"]);
    let (code, answer) = world.look(&alice, "getDeliveryStatus", &[("id", "3lznm6spegk22")]);
    assert_eq!((code, &answer["error"]), (400, &json!("MessageNotFound")));
}

#[test]
fn a_public_message_is_a_record_that_anybody_reads() {
    let (world, alice, bob) = world();
    let input = json!({ "record": message("hear, hear"), "to": [bob.did], "privacy": "public" });
    let (code, sent) = world.call(&alice, "sendMessage", &input);
    assert_eq!((code, states(&sent)), (200, vec!["delivered"]));
    let id = sent["id"].as_str().unwrap();
    let record = [("repo", alice.did.as_str()), ("collection", "agent.comms.message"), ("rkey", id)];
    let (code, record) = world.ask("com.atproto.repo.getRecord", None, &record, &Value::Null);
    assert_eq!((code, &record["value"]["content"]["text"]), (200, &json!("hear, hear")));
    assert_eq!(record["uri"], sent["uri"]);
    let items = world.claim(&bob);
    assert_eq!((texts(&items), &items[0]["record"]), (vec!["hear, hear"], &record["value"]));
}

#[test]
fn a_public_message_is_a_record_and_a_message_or_neither() {
    let mut broken = 0;
    for statements in 0.. {
        let (world, alice, bob) = world();
        world.tell(&alice, &bob.did, "before");
        let id = "3lznm6spegk2z";
        let input = json!({ "record": message("hear"), "to": [bob.did], "privacy": "public", "id": id });
        let store = world.objects.store(&alice.did);
        store.fail_after(Some(statements));
        let (code, _) = world.call(&alice, "sendMessage", &input);
        let unspent = store.fault_armed();
        store.fail_after(None);
        let record = [("repo", alice.did.as_str()), ("collection", "agent.comms.message"), ("rkey", id)];
        let (is_record, _) = world.ask("com.atproto.repo.getRecord", None, &record, &Value::Null);
        let (is_sent, _) = world.look(&alice, "getDeliveryStatus", &[("id", id)]);
        assert_eq!(is_record, is_sent, "{statements} statements");
        broken += usize::from(is_record != 200);
        // Asked again, it is both, once.
        assert!(code != 200 || is_record == 200);
        assert_eq!(world.call(&alice, "sendMessage", &input).0, 200);
        if unspent {
            break;
        }
    }
    assert!(broken > 5, "{broken}");
}

#[test]
fn a_group_has_one_parcel_that_each_of_it_opens() {
    let (world, alice, bob) = world();
    let carol = world.agent("carol");
    let input = json!({ "record": { "$type": "agent.comms.broadcast", "content": { "kind": "text", "text": "all hands" } }, "to": [carol.did, bob.did] });
    let (code, sent) = world.call(&alice, "sendMessage", &input);
    assert_eq!((code, states(&sent)), (200, vec!["delivered", "delivered"]));
    let (to_bob, to_carol) = (world.claim(&bob), world.claim(&carol));
    assert_eq!((texts(&to_bob), &to_bob[0]["parcel"]), (vec!["all hands"], &to_carol[0]["parcel"]));
    assert_eq!(texts(&to_carol), ["all hands"]);
}

#[test]
fn what_is_no_message_is_refused_and_nothing_is_stored() {
    let (world, alice, bob) = world();
    let send = |record: Value, more: Value| {
        let mut input = json!({ "record": record, "to": [bob.did] });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (code, answer) = world.call(&alice, "sendMessage", &input);
        assert_eq!(code, 400, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    };
    let with = |name: &str, value: Value| {
        let mut record = message("x");
        record[name] = value;
        record
    };
    for record in [
        json!({}),
        json!({ "$type": "app.bsky.feed.post", "text": "x" }),
        json!({ "$type": "agent.comms.contact", "subject": bob.did, "status": "allowed" }),
        json!({ "$type": "agent.comms.message" }),
        with("sender", json!(bob.did)),
        with("recipient", json!(alice.did)),
        with("priority", json!(6)),
        with("expiresAt", json!("soon")),
    ] {
        assert_eq!(send(record, json!({})), "InvalidRecord");
    }
    assert_eq!(send(message("x"), json!({ "to": [alice.did] })), "InvalidRecord");
    assert_eq!(send(message("x"), json!({ "expiresAt": "2026-01-01T00:00:00Z" })), "Expired");
    assert_eq!(
        send(message("x"), json!({ "to": ["did:plc:abcdefghijklmnopqrstuvwx"] })),
        "RecipientNotFound"
    );
    assert_eq!(send(message("x"), json!({ "to": [] })), "InvalidRequest");
    assert_eq!(send(message("x"), json!({ "privacy": "secret" })), "InvalidRequest");
    let parts: Vec<Value> = (0..3).map(|_| json!({ "kind": "text", "text": "é".repeat(50_000) })).collect();
    assert_eq!(send(with("parts", json!(parts)), json!({})), "InvalidRecord");
    let data = json!({ "kind": "json", "data": { "x": "x".repeat(260_000) } });
    assert_eq!(send(with("content", data), json!({})), "TooLarge");
    assert_eq!(world.objects.store(&alice.did).query("SELECT 1 FROM sent", &[]).unwrap(), []);
    assert!(world.claim(&bob).is_empty());
}

#[test]
fn nobody_calls_without_their_own_token() {
    let (world, alice, _) = world();
    for method in murmuration_xrpc::table::methods().filter(|method| method.nsid.starts_with("agent.comms."))
    {
        let input = json!({});
        let (code, answer) = match method.kind {
            murmuration_xrpc::method::Kind::Query => world.ask(method.nsid, None, &[], &Value::Null),
            _ => world.ask(method.nsid, None, &[], &input),
        };
        assert_eq!((code, &answer["error"]), (401, &json!("AuthMissing")), "{}", method.nsid);
    }
    // A session is no service token.
    let (code, answer) = world.call(&alice, "deliver", &json!({ "parcel": {} }));
    assert_eq!(code, 401, "{answer}");
}

#[test]
fn contacts_and_the_declaration_decide_whose_messages_come() {
    let (world, alice, bob) = world();
    world.say_of(&bob, &alice.did, "blocked");
    let sent = world.tell(&alice, &bob.did, "let me in");
    assert_eq!(states(&sent), ["rejected"]);
    assert!(sent["receipts"][0]["reason"].as_str().unwrap().starts_with("NotAllowed"));
    world.say_of(&bob, &alice.did, "muted");
    assert_eq!(states(&world.tell(&alice, &bob.did, "please")), ["delivered"]);
    assert!(world.claim(&bob).is_empty());
    let (_, inbox) = world.look(&bob, "listInbox", &[("state", "quarantined")]);
    assert_eq!(texts(inbox["items"].as_array().unwrap()), ["please"]);
    world.say_of(&bob, &alice.did, "allowed");
    // What was refused is a gap, which is waited for.
    world.pass_minutes(1);
    assert_eq!(texts(&world.claim(&bob)), ["please"]);

    let carol = world.agent("carol");
    let declare = |more: Value| {
        let mut record = json!({ "allowIncoming": "all", "createdAt": "2026-11-28T05:00:00.000Z" });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.put(&bob, "agent.comms.declaration", "self", &record);
    };
    let public = json!({ "record": message("x"), "to": [bob.did], "privacy": "public" });
    for (more, by_carol, reason) in [
        (json!({ "allowIncoming": "allowlist" }), "rejected", "NotAllowed"),
        (json!({ "allowIncoming": "none" }), "rejected", "NotAllowed"),
        (json!({ "acceptTypes": ["agent.comms.request"] }), "rejected", "NotAllowed"),
        (json!({ "requireSealed": true }), "rejected", "SealRequired"),
        (json!({ "allowIncoming": "known" }), "delivered", ""),
        (json!({}), "delivered", ""),
    ] {
        declare(more.clone());
        let (_, sent) = world.call(&carol, "sendMessage", &public);
        assert_eq!(states(&sent), [by_carol], "{more}");
        assert!(sent["receipts"][0]["reason"].as_str().unwrap_or_default().starts_with(reason), "{sent}");
    }
}

#[test]
fn a_task_goes_from_its_request_to_its_result() {
    let (world, alice, bob) = world();
    let request = json!({ "$type": "agent.comms.request", "task": "review the plan", "thread": "plans" });
    let (code, sent) = world.call(&alice, "sendMessage", &json!({ "record": request, "to": [bob.did] }));
    assert_eq!(code, 200, "{sent}");
    let uri = sent["uri"].as_str().unwrap();
    let stands = |wanted: &str| {
        for agent in [&alice, &bob] {
            let (code, task) = world.look(agent, "getTask", &[("request", uri)]);
            assert_eq!((code, &task["state"]), (200, &json!(wanted)), "{task}");
            assert_eq!((&task["requester"], &task["assignees"]), (&json!(alice.did), &json!([bob.did])));
        }
    };
    stands("submitted");
    let respond = |from: &Agent, to: &Did, status: &str| {
        let record = json!({ "$type": "agent.comms.response", "requestUri": uri, "status": status, "result": { "ok": true } });
        world.call(from, "sendMessage", &json!({ "record": record, "to": [to] }))
    };
    assert_eq!(respond(&bob, &alice.did, "accepted").0, 200);
    stands("working");
    assert_eq!(respond(&bob, &alice.did, "input-required").0, 200);
    stands("input-required");
    let (code, answer) = respond(&alice, &bob.did, "completed");
    assert_eq!((code, &answer["error"]), (400, &json!("TaskStateConflict")));
    assert_eq!(respond(&bob, &alice.did, "completed").0, 200);
    stands("completed");
    let (code, answer) = world.call(&alice, "cancelTask", &json!({ "request": uri }));
    assert_eq!((code, &answer["error"]), (400, &json!("TaskNotCancelable")));
    // The responses are in the thread of the request, in order.
    let items = world.claim(&alice);
    let said: Vec<_> = items.iter().map(|item| item["record"]["status"].as_str().unwrap()).collect();
    assert_eq!(said, ["accepted", "input-required", "completed"]);
    assert!(items.iter().all(|item| item["parcel"]["header"]["thread"] == "plans"));
    // Nobody else has a part in it.
    let carol = world.agent("carol");
    let (code, answer) = respond(&carol, &alice.did, "failed");
    assert_eq!((code, &answer["error"]), (400, &json!("TaskNotFound")));
    let (code, answer) = world.look(&carol, "getTask", &[("request", uri)]);
    assert_eq!((code, &answer["error"]), (400, &json!("TaskNotFound")));
}

#[test]
fn a_requester_calls_its_task_off_and_lists_its_tasks() {
    let (world, alice, bob) = world();
    let mut uris = Vec::new();
    for n in 0..3 {
        let record = json!({ "$type": "agent.comms.request", "task": format!("task {n}") });
        let (_, sent) = world.call(&alice, "sendMessage", &json!({ "record": record, "to": [bob.did] }));
        uris.push(sent["uri"].as_str().unwrap().to_owned());
        world.pass_minutes(1);
    }
    let (code, answer) = world.call(&bob, "cancelTask", &json!({ "request": uris[1] }));
    assert_eq!((code, &answer["error"]), (400, &json!("TaskNotFound")));
    let (code, task) = world.call(&alice, "cancelTask", &json!({ "request": uris[1] }));
    assert_eq!((code, &task["state"]), (200, &json!("canceled")));
    // As whoever looks later is told.
    assert_eq!(task, world.look(&alice, "getTask", &[("request", &uris[1])]).1);
    let list = |agent: &Agent, query: &[(&str, &str)]| -> (Vec<String>, Option<String>) {
        let (code, page) = world.look(agent, "listTasks", query);
        assert_eq!(code, 200, "{page}");
        let tasks = page["tasks"].as_array().unwrap().iter();
        let uris = tasks.map(|task| task["request"]["uri"].as_str().unwrap().to_owned()).collect();
        (uris, page["cursor"].as_str().map(str::to_owned))
    };
    for agent in [&alice, &bob] {
        assert_eq!(list(agent, &[("state", "canceled")]).0, uris[1..2]);
        let (first, cursor) = list(agent, &[("limit", "2")]);
        assert_eq!(first, [uris[2].clone(), uris[1].clone()]);
        assert_eq!(list(agent, &[("cursor", &cursor.unwrap())]).0, uris[..1]);
    }
    assert_eq!(list(&alice, &[("role", "assignee")]).0, Vec::<String>::new());
    assert_eq!(list(&bob, &[("role", "assignee")]).0.len(), 3);
    assert_eq!(world.look(&alice, "listTasks", &[("cursor", "x")]).0, 400);
    assert_eq!(world.look(&alice, "listTasks", &[("state", "x")]).0, 400);
}

#[test]
fn messages_are_leased_and_given_back_through_the_methods() {
    let (world, alice, bob) = world();
    world.tell(&alice, &bob.did, "one");
    world.tell(&alice, &bob.did, "two");
    let items = world.claim(&bob);
    assert_eq!((items.len(), &items[0]["state"], &items[0]["attempts"]), (2, &json!("leased"), &json!(1)));
    let result = |item: &Value, outcome: &str| json!({ "leaseId": item["leaseId"], "outcome": outcome, "delaySeconds": 300, "error": "not now" });
    let results = [
        result(&items[0], "retry"),
        result(&items[1], "dead"),
        json!({ "leaseId": "9.9", "outcome": "done" }),
    ];
    let (code, answer) = world.call(&bob, "ackMessages", &json!({ "results": results }));
    assert_eq!((code, answer), (200, json!({ "acked": 2, "missing": ["9.9"] })));
    let (_, dead) = world.look(&bob, "listInbox", &[("state", "dead"), ("sender", alice.did.as_str())]);
    assert_eq!(
        (texts(dead["items"].as_array().unwrap()), &dead["items"][0]["reason"]),
        (vec!["two"], &json!("not now"))
    );
    assert!(world.claim(&bob).is_empty());
    world.pass_minutes(5);
    assert_eq!(texts(&world.claim(&bob)), ["one"]);
    let (_, page) = world.look(&bob, "listInbox", &[("limit", "1")]);
    let cursor = page["cursor"].as_str().unwrap();
    let (_, next) = world.look(&bob, "listInbox", &[("limit", "1"), ("cursor", cursor)]);
    assert_eq!(
        (texts(page["items"].as_array().unwrap()), texts(next["items"].as_array().unwrap())),
        (vec!["two"], vec!["one"])
    );
    for (name, value) in [("cursor", "x"), ("state", "x"), ("type", "x"), ("sender", "x"), ("limit", "0")] {
        assert_eq!(world.look(&bob, "listInbox", &[(name, value)]).0, 400, "{name}");
    }
}

#[test]
fn without_a_queue_the_alarm_delivers_what_could_not_be_delivered_at_once() {
    let (world, alice, bob) = world();
    world.no_queue.set(true);
    // So that Bob publishes his keys.
    world.tell(&alice, &bob.did, "first");
    let public = json!({ "record": message("second"), "to": [bob.did], "privacy": "public" });
    world.objects.broken.borrow_mut().insert(bob.did.clone());
    let (code, sent) = world.call(&alice, "sendMessage", &public);
    assert_eq!((code, states(&sent)), (200, vec!["queued"]));
    let receipt = &sent["receipts"][0];
    assert!(
        receipt["nextAttemptAt"].is_string() && receipt["reason"].is_string() && receipt["attempts"] == 1
    );
    world.pass_minutes(1);
    block_on(world.host().carry_due(&alice.did)).unwrap();
    let status = || world.look(&alice, "getDeliveryStatus", &[("id", sent["id"].as_str().unwrap())]).1;
    assert_eq!((states(&status()), &status()["receipts"][0]["attempts"]), (vec!["queued"], &json!(2)));
    world.objects.broken.borrow_mut().clear();
    world.pass_minutes(1);
    block_on(world.host().carry_due(&alice.did)).unwrap();
    assert_eq!(states(&status()), ["delivered"]);
    assert_eq!(texts(&world.claim(&bob)), ["first", "second"]);
}

#[test]
fn a_crash_between_any_two_steps_loses_no_message_and_delivers_none_twice() {
    use crate::world::Fault;
    for at in 0.. {
        for fault in [Fault::Refused(at), Fault::Lost(at), Fault::Dead(at)] {
            let (world, alice, bob) = world();
            world.tell(&alice, &bob.did, "before");
            let input = json!({ "record": message("x"), "to": [bob.did], "id": "3lznm6spegk2z" });
            world.faults.calls.set(0);
            world.faults.planned.set(Some(fault));
            let (code, _) = world.call(&alice, "sendMessage", &input);
            let calls = world.faults.calls.get();
            world.faults.planned.set(None);
            world.objects.crash(&alice.did);
            world.objects.crash(&bob.did);
            // Its sender tries again where it was told of no success; queue and alarm do the rest.
            if code != 200 {
                assert_eq!(world.call(&alice, "sendMessage", &input).0, 200);
            }
            for _ in 0..3 {
                world.pass_minutes(1);
                world.run_queue();
                world.pass_minutes(1);
                block_on(world.host().carry_due(&alice.did)).unwrap();
            }
            let (_, status) = world.look(&alice, "getDeliveryStatus", &[("id", "3lznm6spegk2z")]);
            assert_eq!(states(&status), ["delivered"], "{fault:?}");
            assert_eq!(texts(&world.claim(&bob)), ["before", "x"], "{fault:?}");
            if calls <= at {
                return;
            }
        }
    }
}

#[test]
fn what_the_header_names_and_what_is_inside_must_agree_to_be_shown() {
    let (world, alice, bob) = world();
    world.tell(&alice, &bob.did, "x");
    // Somebody seals a record of another sender than the one who signs: the host shows the parcel and no record.
    let store = world.objects.store(&bob.did);
    let mut row = store.query("SELECT parcel FROM inbox", &[]).unwrap().remove(0);
    let Ipld::Map(mut parcel) = cbor::decode(&row.blob(0).unwrap()).unwrap() else { return };
    let record = json!({ "$type": "agent.comms.message", "sender": bob.did, "content": { "kind": "text" } });
    let body = json!({ "$type": "agent.comms.defs#openBody", "record": record });
    parcel.insert("body".into(), murmuration_data::json::from_value(&body).unwrap());
    let bytes = cbor::encode(&Ipld::Map(parcel)).unwrap();
    store.query("UPDATE inbox SET parcel = ?1", &[Param::Blob(&bytes)]).unwrap();
    assert_eq!(texts(&world.claim(&bob)), ["(closed)"]);
}

#[test]
fn nobody_elses_message_makes_an_account_publish_keys() {
    let world = World::new();
    let alice = world.agent("alice");
    let (_, answer) = world.create("plain");
    let token = answer["accessJwt"].as_str().unwrap().to_owned();
    let plain = Agent { did: crate::world::did(&answer["did"]), token };
    let head = || world.objects.accounts.borrow()[&plain.did].head().unwrap();
    let (before, written) = (head(), world.objects.store(&plain.did).counts().written);
    let content = json!({ "kind": "text", "text": "x" });
    let record = json!({ "$type": "agent.comms.message", "content": content });
    let send = |from: &Agent, to: &Agent| {
        let (code, answer) = world.call(from, "sendMessage", &json!({ "record": record, "to": [to.did] }));
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(send(&alice, &plain), (400, "NoRecipientKey".into()));
    assert_eq!((head(), world.objects.store(&plain.did).counts().written), (before.clone(), written));
    // Its owner's own message does.
    assert_eq!(send(&plain, &alice), (200, String::new()));
    assert!(head() != before);
    assert_eq!(send(&alice, &plain), (200, String::new()));
}
