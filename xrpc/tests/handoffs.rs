//! Handing a thread over: its keys, and where its messages lie; no copy of them.

use murmuration_lexicons::{Catalog, output};
use murmuration_platform::{Param, Store};
use murmuration_syntax::Did;
use murmuration_xrpc::token::Scope;
use serde_json::{Value, json};

use crate::world;
use crate::world::World;
use crate::world::agents::{Agent, texts};
use crate::world::hosts::Hosts;

const HANDOFF: &str = "agent.comms.handoff";

fn letter(text: &str) -> Value {
    let content = json!({ "kind": "text", "text": text });
    json!({ "$type": "agent.comms.message", "content": content, "thread": "case 7" })
}

fn say(world: &World, from: &Agent, to: &Did, text: &str, privacy: &str) {
    world.pass_minutes(1);
    let input = json!({ "record": letter(text), "to": [to], "privacy": privacy });
    let (code, answer) = world.call(from, "sendMessage", &input);
    assert_eq!(code, 200, "{answer}");
}

fn hand_over(world: &World, from: &Agent, to: &Did) -> Value {
    let record = json!({ "$type": HANDOFF, "summary": "Please go on with this." });
    let input = json!({ "record": record, "to": [to], "handOver": "case 7" });
    let (code, answer) = world.call(from, "sendMessage", &input);
    assert_eq!(code, 200, "{answer}");
    answer
}

/// All that was handed over, page by page, and how many pages there were.
fn handed(world: &World, agent: &Agent, uri: &str) -> (Vec<Value>, usize) {
    let (mut all, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let mut query = vec![("handoff", uri)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let (code, page) = world.look(agent, "getHandoff", &query);
        assert_eq!(code, 200, "{page}");
        let data = murmuration_data::json::from_value(&page).unwrap();
        output(Catalog::builtin(), "agent.comms.getHandoff", &data).unwrap();
        all.extend(page["messages"].as_array().unwrap().iter().cloned());
        pages += 1;
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return (all, pages);
        }
    }
}

fn thread(world: &World, agent: &Agent) -> Value {
    world.look(agent, "getThread", &[("thread", "case 7")]).1
}

#[test]
fn the_one_who_takes_over_reads_the_thread_and_holds_no_copy_of_it() {
    let world = World::new();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| world.agent(name));
    say(&world, &alice, &bob.did, "the pump leaks", "private");
    say(&world, &bob, &alice.did, "since when?", "private");
    say(&world, &alice, &bob.did, "for all to see", "public");
    let before = thread(&world, &alice);
    let sent = hand_over(&world, &alice, &carol.did);
    assert_eq!(thread(&world, &alice), before, "what is handed over stays as it is");
    say(&world, &bob, &alice.did, "said later", "private");

    let items = world.claim(&carol);
    let named = items[0]["record"]["messages"].as_array().unwrap();
    assert_eq!(named.len(), 3);
    assert_eq!(
        named.iter().filter(|entry| entry["recipient"].is_object()).count(),
        2,
        "what is open needs no key"
    );
    let uri = sent["uri"].as_str().unwrap();
    let (messages, _) = handed(&world, &carol, uri);
    assert_eq!(texts(&messages), ["the pump leaks", "since when?", "for all to see"]);
    for (message, original) in messages.iter().zip(before["items"].as_array().unwrap()) {
        assert_eq!((&message["parcel"], &message["proven"]), (&original["parcel"], &json!(true)));
    }
    // Carol has one message, and nothing of the thread: neither as it was, nor open.
    let store = world.objects.store(&carol.did);
    let mut rows = store
        .query("SELECT count(*), coalesce(sum(type = 'agent.comms.handoff'), 0) FROM inbox", &[])
        .unwrap();
    assert_eq!((rows[0].int(0).unwrap(), rows[0].int(1).unwrap()), (1, 1));
    for value in world::everything_in(&store) {
        assert!(!value.windows(10).any(|window| window == b"pump leaks"));
    }
    // It is hers alone, and nobody reads by the address of something else.
    for stranger in [&bob, &dave] {
        let (code, answer) = world.look(stranger, "getHandoff", &[("handoff", uri)]);
        assert_eq!((code, &answer["error"]), (400, &json!("MessageNotFound")));
    }
    let other = named[0]["subject"].as_str().unwrap();
    let (code, answer) = world.look(&carol, "getHandoff", &[("handoff", other)]);
    assert_eq!((code, &answer["error"]), (400, &json!("MessageNotFound")));
    // The giver, too, sees what it has given. What is away is left out.
    store_of(&world, &alice)
        .query("DELETE FROM inbox WHERE sender = ?1", &[Param::Text(bob.did.as_str())])
        .unwrap();
    assert_eq!(texts(&handed(&world, &carol, uri).0), ["the pump leaks", "for all to see"]);
}

fn store_of(world: &World, agent: &Agent) -> std::rc::Rc<murmuration_platform::sqlite::SqliteStore> {
    world.objects.store(&agent.did)
}

#[test]
fn a_handoff_outlives_the_rotation_of_both_sides_keys() {
    let world = World::new();
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    say(&world, &bob, &alice.did, "before", "private");
    let rotate = |agent: &Agent| {
        let (code, answer) = world.post_as(Some(&agent.token), "agent.identity.rotateKeys", &json!({}));
        assert_eq!(code, 200, "{answer}");
    };
    rotate(&alice);
    say(&world, &alice, &bob.did, "after", "private");
    // What was sealed to the epoch before may be on its way for 14 days; then its secrets go.
    for days in [0, 15] {
        world.pass_minutes(days * 24 * 60);
        world.inside(&alice.did, |context| {
            let stores = murmuration_xrpc::agent::keys::SEALED_STORES;
            context.account.tend_keys(stores, context.entropy, context.clock.now_micros()).unwrap();
        });
    }
    let mut epochs = store_of(&world, &alice).query("SELECT count(*) FROM key_epoch", &[]).unwrap();
    assert_eq!(epochs[0].int(0).unwrap(), 1);
    for agent in [&mut alice, &mut bob, &mut carol] {
        renewed(&world, agent);
    }
    let mut rows =
        store_of(&world, &alice).query("SELECT count(*) FROM inbox WHERE kept IS NOT NULL", &[]).unwrap();
    assert_eq!(rows[0].int(0).unwrap(), 1, "its key is kept under the new epoch");
    let sent = hand_over(&world, &alice, &carol.did);
    let uri = sent["uri"].as_str().unwrap();
    // The one who takes over lets go of the secrets that it was given the keys under, twice, and needs no other.
    for _ in 0..2 {
        rotate(&carol);
        for days in [0, 15] {
            world.pass_minutes(days * 24 * 60);
            world.inside(&carol.did, |context| {
                let stores = murmuration_xrpc::agent::keys::SEALED_STORES;
                context.account.tend_keys(stores, context.entropy, context.clock.now_micros()).unwrap();
            });
        }
        let mut epochs = store_of(&world, &carol).query("SELECT count(*) FROM key_epoch", &[]).unwrap();
        assert_eq!(epochs[0].int(0).unwrap(), 1);
        renewed(&world, &mut carol);
        assert_eq!(texts(&handed(&world, &carol, uri).0), ["before", "after"]);
    }
}

/// So many days pass, and the giver drops what is old.
fn age(world: &World, giver: &Did, days: u64) {
    world.pass_minutes(days * 24 * 60);
    world.inside(giver, |context| {
        let comms = context.account.comms().unwrap();
        while !comms.drop_old(context.clock.now_micros(), 10).unwrap() {}
    });
}

fn renewed(world: &World, agent: &mut Agent) {
    let header = world.bearer(agent.did.as_str(), Scope::Access);
    agent.token = header.strip_prefix("Bearer ").unwrap().to_owned();
}

#[test]
fn what_was_handed_over_is_kept_for_half_a_year_after_it_was_and_then_says_so() {
    let world = World::new();
    let [mut alice, bob, mut carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    say(&world, &alice, &bob.did, "old and done", "private");
    say(&world, &bob, &alice.did, "done, too", "private");
    world.done(&alice, &world.claim(&alice));
    // Without a handoff it would go tomorrow.
    age(&world, &alice.did, 29);
    renewed(&world, &mut alice);
    let sent = hand_over(&world, &alice, &carol.did);
    let uri = sent["uri"].as_str().unwrap();
    for days in [2, 60, 115] {
        age(&world, &alice.did, days);
        renewed(&world, &mut carol);
        assert_eq!(texts(&handed(&world, &carol, uri).0), ["old and done", "done, too"], "{days} days later");
    }
    let count = |table: &str| {
        let mut rows = store_of(&world, &alice).query(&format!("SELECT count(*) FROM {table}"), &[]).unwrap();
        rows.remove(0).int(0).unwrap()
    };
    assert_eq!((count("sent"), count("inbox"), count("held_thread")), (2, 1, 1));
    // One that never was is no old one.
    let never = uri.replace(sent["id"].as_str().unwrap(), "3zzzzzzzzzz22");
    age(&world, &alice.did, 7);
    renewed(&world, &mut carol);
    for (uri, error) in [(uri, "HandoffExpired"), (&never, "MessageNotFound")] {
        let (code, answer) = world.look(&carol, "getHandoff", &[("handoff", uri)]);
        assert_eq!((code, &answer["error"]), (400, &json!(error)));
    }
    assert_eq!((count("sent"), count("inbox"), count("held_thread")), (0, 0, 0));
}

#[test]
fn a_thread_of_large_messages_is_read_in_pages_each_message_once() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    let parts: Vec<Value> = (0..10).map(|_| json!({ "kind": "text", "text": "l".repeat(9_000) })).collect();
    let names: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    for name in &names {
        world.pass_minutes(1);
        let mut record = letter(name);
        record["parts"] = json!(parts);
        let (code, answer) = world.call(&alice, "sendMessage", &json!({ "record": record, "to": [bob.did] }));
        assert_eq!(code, 200, "{answer}");
    }
    let sent = hand_over(&world, &alice, &carol.did);
    let (messages, pages) = handed(&world, &carol, sent["uri"].as_str().unwrap());
    assert_eq!(texts(&messages), names);
    assert!((2..=6).contains(&pages), "{pages}");
}

#[test]
fn what_cannot_be_handed_over_is_refused() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    say(&world, &alice, &bob.did, "x", "private");
    let handoff = json!({ "$type": HANDOFF, "summary": "x" });
    let mut named = handoff.clone();
    named["messages"] = json!([]);
    for (input, error) in [
        (json!({ "record": handoff, "to": [carol.did], "handOver": "none" }), "ThreadNotFound"),
        (json!({ "record": letter("x"), "to": [carol.did], "handOver": "case 7" }), "InvalidRecord"),
        (json!({ "record": named, "to": [carol.did], "handOver": "case 7" }), "InvalidRecord"),
        (json!({ "record": handoff, "to": [carol.did, bob.did], "handOver": "case 7" }), "InvalidRecord"),
        (
            json!({ "record": handoff, "to": [carol.did], "handOver": "case 7", "privacy": "public" }),
            "InvalidRecord",
        ),
    ] {
        let (code, answer) = world.call(&alice, "sendMessage", &input);
        assert_eq!((code, &answer["error"]), (400, &json!(error)), "{input}");
    }
    assert!(world.claim(&carol).is_empty());
    // A handoff without messages is one.
    let (code, sent) = world.call(&alice, "sendMessage", &json!({ "record": handoff, "to": [carol.did] }));
    assert_eq!(code, 200, "{sent}");
    assert!(handed(&world, &carol, sent["uri"].as_str().unwrap()).0.is_empty());
}

#[test]
fn a_thread_is_handed_over_to_an_agent_of_another_host() {
    let hosts = Hosts::new();
    let (here, there) = (&hosts.here, &hosts.there);
    let zoe = here.agent("zoe");
    let carol = hosts.there_agent("carol");
    say(there, &hosts.bob, &carol.did, "there and sealed", "private");
    say(there, &carol, &hosts.bob.did, "and answered", "private");
    // Alice's keys are proven to Bob's host; what is brought is carried by hand.
    here.tell(&zoe, &hosts.alice.did, "hello");
    here.done(&hosts.alice, &here.claim(&hosts.alice));
    hosts.share_the_directory();
    let (_, keys) = here.proof(hosts.alice.did.as_str(), "agent.identity.keys", "self");
    *there.network.peer.borrow_mut() = Some(Box::new(move |request| {
        request.url.contains("sync.getRecord").then(|| (200, Vec::new(), keys.clone()))
    }));
    here.pass_minutes(2);
    let sent = hand_over(there, &hosts.bob, &hosts.alice.did);
    let asked = there.network.asked.borrow().last().cloned().unwrap();
    assert_eq!(asked.url, "https://pds.example/xrpc/agent.comms.deliver");
    let input: Value = serde_json::from_slice(&asked.body).unwrap();
    here.say_of(&hosts.alice, &hosts.bob.did, "allowed");
    // Whatever fails while it comes, it comes whole or not at all: its keys are kept with it.
    let store = store_of(here, &hosts.alice);
    let mut statement = 0;
    let state = loop {
        store.fail_after(Some(statement));
        let (code, state) = here.ask("agent.comms.deliver", Some(&asked.headers[0].1), &[], &input);
        store.fail_after(None);
        if code == 200 {
            break state;
        }
        here.objects.crash(&hosts.alice.did);
        statement += 1;
    };
    assert_eq!(state["state"], "delivered", "after {statement} failures");
    let kept = store.query("SELECT count(*) FROM handed_key", &[]).unwrap()[0].int(0).unwrap();
    assert!(statement > 5 && kept == 1, "{statement} {kept}");

    let uri = sent["uri"].as_str().unwrap();
    let (messages, _) = handed(here, &hosts.alice, uri);
    assert_eq!(texts(&messages), ["there and sealed", "and answered"]);
    assert!(messages.iter().all(|message| message["proven"] == true));
    // What the giver's host gives is sealed, to the one it was handed to, and a token is used once.
    let id = sent["id"].as_str().unwrap();
    let lxm = "agent.comms.getHandedOver";
    let get =
        |token: &str| there.ask(lxm, Some(&format!("Bearer {token}")), &[("handoff", id)], &Value::Null);
    let own = hosts.token(&hosts.alice, &hosts.inbox(), lxm);
    let (code, given) = get(&own);
    assert_eq!((code, given["parcels"].as_array().unwrap().len()), (200, 2));
    assert!(!given.to_string().contains("sealed\""));
    assert_eq!(get(&own).0, 401);
    let (code, answer) = get(&hosts.token(&zoe, &hosts.inbox(), lxm));
    assert_eq!((code, &answer["error"]), (400, &json!("MessageNotFound")));
    let (code, _) = get(&hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver"));
    assert_eq!(code, 401);
    assert_eq!(there.ask(lxm, None, &[("handoff", id)], &Value::Null).0, 401);

    // Half a year later it says so, over there and here. What was brought by hand has arrived.
    store_of(there, &hosts.bob).query("UPDATE sent SET due = NULL", &[]).unwrap();
    age(there, &hosts.bob.did, 200);
    here.pass_minutes(200 * 24 * 60);
    let mut alice = hosts.alice.clone();
    renewed(here, &mut alice);
    let (code, answer) = here.look(&alice, "getHandoff", &[("handoff", uri)]);
    assert_eq!((code, &answer["error"]), (400, &json!("HandoffExpired")), "{answer}");
}
