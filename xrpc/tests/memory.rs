//! `agent.memory`: memories and working state, as a client sees them.

use crate::world::{self, World};
use murmuration_account::Remembered;
use murmuration_data::json as data;
use murmuration_lexicons::{Catalog, output};
use murmuration_memory::SetHash;
use murmuration_syntax::{Did, RepoPath};
use serde_json::{Value, json};

/// An agent of a host.
struct Alice {
    world: World,
    did: Did,
    header: String,
}

impl Alice {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(changes: &Value) -> Self {
        let world = World::new();
        let (code, answer) = world.make_agent("alice", changes);
        assert_eq!(code, 200, "{answer}");
        let header = format!("Bearer {}", answer["accessJwt"].as_str().unwrap());
        Self { did: world::did(&answer["did"]), world, header }
    }

    /// A procedure.
    fn call(&self, method: &str, input: &Value) -> (u16, Value) {
        self.ask(method, &[], input)
    }

    /// A query.
    fn look(&self, method: &str, query: &[(&str, &str)]) -> (u16, Value) {
        self.ask(method, query, &Value::Null)
    }

    fn ask(&self, method: &str, query: &[(&str, &str)], input: &Value) -> (u16, Value) {
        let nsid = format!("agent.memory.{method}");
        let (code, answer) = self.world.ask(&nsid, Some(&self.header), query, input);
        if code == 200 && method != "deleteState" {
            output(Catalog::builtin(), &nsid, &data::from_value(&answer).unwrap()).unwrap();
        }
        (code, answer)
    }

    fn remember(&self, summary: &str) -> Value {
        let (code, answer) = self.call("createMemory", &json!({ "record": note(summary) }));
        assert_eq!(code, 200, "{answer}");
        answer
    }

    fn get(&self, made: &Value) -> (u16, Value) {
        self.look("getMemory", &[("uri", made["uri"].as_str().unwrap())])
    }

    fn error(&self, (code, answer): (u16, Value)) -> String {
        assert_eq!(code, 400, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }
}

fn note(summary: &str) -> Value {
    json!({ "$type": "agent.memory.note", "summary": summary })
}

#[test]
fn every_kind_of_memory_is_kept_in_its_smallest_shape() {
    let alice = Alice::new();
    let at = "2026-11-28T05:00:00.000Z";
    let covers = json!([{ "uri": "at://did:plc:a/agent.memory.note/3jzfcijpj2z2a",
        "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq" }]);
    let kinds = [
        json!({ "$type": "agent.memory.note", "summary": "s", "text": "t", "tags": ["x"], "source": "web", "createdAt": at }),
        json!({ "$type": "agent.memory.note", "summary": "s", "createdAt": at }),
        json!({ "$type": "agent.memory.decision", "decision": "d", "context": "c", "rationale": "r", "status": "proposed", "createdAt": at }),
        json!({ "$type": "agent.memory.decision", "decision": "d", "context": "c", "options": ["a", "b"], "rationale": "r", "status": "superseded", "createdAt": at }),
        json!({ "$type": "agent.memory.fact", "subject": "s", "predicate": "p", "object": "o", "createdAt": at }),
        json!({ "$type": "agent.memory.episode", "summary": "s", "createdAt": at }),
        json!({ "$type": "agent.memory.learning", "statement": "s", "createdAt": at }),
        json!({ "$type": "agent.memory.digest", "text": "t", "covers": covers, "createdAt": at }),
    ];
    for record in kinds {
        let (code, made) = alice.call("createMemory", &json!({ "record": record }));
        assert_eq!(code, 200, "{record} {made}");
        let (code, view) = alice.get(&made);
        assert_eq!((code, &view["record"]), (200, &record));
        assert_eq!(view["privacy"], "private");
        assert_eq!((&view["cid"], &view["rev"], &view["uri"]), (&made["cid"], &made["rev"], &made["uri"]));
    }
}

#[test]
fn what_is_no_memory_is_refused() {
    let alice = Alice::new();
    let with = |more: Value| {
        let mut record = note("s");
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let link = json!({ "$link": "bafkreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq" });
    for record in [
        json!({ "summary": "s" }),
        json!({ "$type": "app.bsky.feed.post", "text": "s" }),
        json!({ "$type": "agent.memory.note" }),
        json!({ "$type": "agent.memory.defs", "summary": "s" }),
        with(json!({ "importance": 1_001 })),
        with(json!({ "expiresAt": "tomorrow" })),
        with(json!({ "picture": { "$type": "blob", "ref": link, "mimeType": "image/png", "size": 4 } })),
    ] {
        assert_eq!(alice.error(alice.call("createMemory", &json!({ "record": record }))), "InvalidRecord");
    }
    let named = json!({ "record": note("s"), "rkey": "not-a-tid" });
    assert_eq!(alice.error(alice.call("createMemory", &named)), "InvalidRecord");
    let long = with(json!({ "more": "x".repeat(1_000_000) }));
    assert_eq!(alice.error(alice.call("createMemory", &json!({ "record": long }))), "RecordTooLarge");
    assert_eq!(alice.look("getStats", &[]).1["memories"], 0);
}

#[test]
fn a_memory_is_changed_by_swap_and_deleted() {
    let alice = Alice::new();
    let made = alice.remember("one");
    let update = |summary: &str, swap: &Value| {
        let mut input = json!({ "uri": made["uri"], "record": note(summary) });
        if !swap.is_null() {
            input["swapRecord"] = swap.clone();
        }
        alice.call("updateMemory", &input)
    };
    let (code, second) = update("two", &made["cid"]);
    assert_eq!(code, 200, "{second}");
    assert_eq!(alice.error(update("three", &made["cid"])), "InvalidSwap");
    assert_eq!(alice.get(&made).1["record"]["summary"], "two");
    let fact = json!({ "$type": "agent.memory.fact", "subject": "s", "predicate": "p", "object": "o" });
    let input = json!({ "uri": made["uri"], "record": fact });
    assert_eq!(alice.error(alice.call("updateMemory", &input)), "InvalidRecord");
    let (code, gone) =
        alice.call("deleteMemory", &json!({ "uri": made["uri"], "swapRecord": second["cid"] }));
    assert_eq!(code, 200, "{gone}");
    assert_eq!(alice.error(alice.get(&made)), "MemoryNotFound");
    assert_eq!(alice.error(update("four", &Value::Null)), "MemoryNotFound");
    assert_eq!(alice.error(alice.call("deleteMemory", &json!({ "uri": made["uri"] }))), "MemoryNotFound");
}

#[test]
fn a_call_that_is_made_again_is_the_same_call() {
    let alice = Alice::new();
    let input = json!({ "record": note("once"), "idempotencyKey": "k" });
    let first = alice.call("createMemory", &input);
    alice.world.pass_minutes(1);
    let (code, again) = alice.call("createMemory", &input);
    assert_eq!((code, &again["outcome"]), (200, &json!("repeated")));
    assert_eq!(
        ["uri", "cid", "rev"].map(|name| &again[name]),
        ["uri", "cid", "rev"].map(|name| &first.1[name])
    );
    let other = json!({ "record": note("another"), "idempotencyKey": "k" });
    assert_eq!(alice.error(alice.call("createMemory", &other)), "DuplicateConflict");
    assert_eq!(alice.look("getStats", &[]).1["memories"], 1);
}

#[test]
fn what_is_anothers_is_not_found_whether_or_not_it_is_there() {
    let alice = Alice::new();
    let made = alice.remember("mine");
    let bob = alice.world.agent("bob");
    let header = format!("Bearer {}", bob.token);
    let there = made["uri"].as_str().unwrap();
    let not_there = format!("at://{}/agent.memory.note/3jzfcijpj2z2a", alice.did);
    let ask =
        |uri: &str| alice.world.ask("agent.memory.getMemory", Some(&header), &[("uri", uri)], &Value::Null);
    assert_eq!(ask(there), ask(&not_there));
    assert_eq!(ask(there).1["error"], "MemoryNotFound");
    // Bob has a memory, and so keys: it is the same.
    let record = json!({ "record": note("his") });
    let (code, _) = alice.world.ask("agent.memory.createMemory", Some(&header), &[], &record);
    assert_eq!(code, 200);
    assert_eq!(ask(there), ask(&not_there));
    for (header, error) in [(None, "AuthMissing"), (Some(world::ask::OPERATOR), "InvalidToken")] {
        let (_, answer) = alice.world.ask("agent.memory.getMemory", header, &[("uri", there)], &Value::Null);
        assert_eq!(answer["error"], error);
    }
}

#[test]
fn no_method_of_the_public_repository_shows_a_memory() {
    let alice = Alice::new();
    let made = alice.remember("private-canary");
    let path = made["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let did = alice.did.as_str();
    let (code, _) = alice.world.record(&alice.did, "agent.memory.note", &path);
    assert_eq!(code, 400);
    let query = [("repo", did), ("collection", "agent.memory.note")];
    let (_, page) = alice.world.ask("com.atproto.repo.listRecords", None, &query, &Value::Null);
    assert!(page["records"].as_array().is_none_or(Vec::is_empty), "{page}");
    let (_, described) =
        alice.world.ask("com.atproto.repo.describeRepo", None, &[("repo", did)], &Value::Null);
    assert!(!described["collections"].to_string().contains("agent.memory"), "{described}");
    let (_, proof) = alice.world.proof(did, "agent.memory.note", &path);
    for shown in [proof, format!("{:?}", alice.world.events(&alice.did)).into_bytes()] {
        assert!(!shown.windows(14).any(|part| part == b"private-canary"));
        assert!(!String::from_utf8_lossy(&shown).contains(made["cid"].as_str().unwrap()));
    }
}

#[test]
fn a_client_proves_that_its_copy_agrees() {
    let alice = Alice::new();
    let known = alice.remember("one")["rev"].as_str().unwrap().to_owned();
    let two = alice.remember("two");
    let _ = alice.call("updateMemory", &json!({ "uri": two["uri"], "record": note("two again") }));
    let three = alice.remember("three");
    let _ = alice.call("deleteMemory", &json!({ "uri": three["uri"] }));
    let (code, page) = alice.look("listOperations", &[("since", &known)]);
    assert_eq!((code, page["more"].as_bool(), page["gap"].as_bool()), (200, Some(false), Some(false)));
    assert_eq!(page["operations"].as_array().unwrap().len(), 4);
    let mut hash = SetHash::default();
    let (_, listed) = alice.look("listMemories", &[]);
    for memory in listed["memories"].as_array().unwrap() {
        let path = memory["uri"].as_str().unwrap().splitn(4, '/').last().unwrap();
        let record = data::from_value(&memory["record"]).unwrap();
        let cid = murmuration_data::cid_of_cbor(&murmuration_data::cbor::encode(&record).unwrap());
        assert_eq!(memory["cid"], cid.to_string());
        hash.add(&RepoPath::parse(path).unwrap(), &cid);
    }
    assert_eq!(page["space"]["hash"], data_encoding::HEXLOWER.encode(&hash.digest()));
    assert_eq!(page["space"], alice.look("getStats", &[]).1["space"]);
}

#[test]
fn lists_are_paged_and_filtered() {
    let alice = Alice::new();
    let mut times = Vec::new();
    for n in 0..5 {
        let record = json!({ "$type": "agent.memory.note", "summary": n.to_string(), "tags": [format!("t{}", n % 2)] });
        let (_, made) = alice.call("createMemory", &json!({ "record": record, "pinned": n == 0 }));
        times.push(alice.get(&made).1["createdAt"].as_str().unwrap().to_owned());
        alice.world.pass_minutes(1);
    }
    let list = |query: &[(&str, &str)]| {
        let (code, page) = alice.look("listMemories", query);
        assert_eq!(code, 200, "{page}");
        let of = |memory: &Value| memory["record"]["summary"].as_str().unwrap().to_owned();
        let found: Vec<String> = page["memories"].as_array().unwrap().iter().map(of).collect();
        (found.concat(), page["cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list(&[]).0, "43210");
    assert_eq!(list(&[("tag", "t1")]).0, "31");
    assert_eq!(list(&[("since", &times[1]), ("until", &times[3])]).0, "21");
    assert_eq!(list(&[("collection", "agent.memory.fact")]).0, "");
    let (first, cursor) = list(&[("limit", "2")]);
    let (second, _) = list(&[("limit", "3"), ("cursor", &cursor.unwrap())]);
    assert_eq!((first.as_str(), second.as_str()), ("43", "210"));
    assert_eq!(alice.error(alice.look("listMemories", &[("cursor", "nothing")])), "InvalidRequest");
}

#[test]
fn working_state_is_swapped_and_listed() {
    let alice = Alice::new();
    let put = |key: &str, value: Value, more: Value| {
        let mut input = json!({ "key": key, "value": value });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        alice.call("putState", &input)
    };
    assert_eq!(alice.error(alice.look("getState", &[("key", "task")])), "StateNotFound");
    let (code, first) = put("task", json!({ "step": 1 }), json!({ "swapRev": null }));
    assert_eq!(code, 200, "{first}");
    assert_eq!(alice.error(put("task", json!({}), json!({ "swapRev": null }))), "InvalidSwap");
    let (_, second) = put("task", json!({ "step": 2 }), json!({ "swapRev": first["rev"] }));
    assert_eq!(alice.error(put("task", json!({}), json!({ "swapRev": first["rev"] }))), "InvalidSwap");
    let (_, entry) = alice.look("getState", &[("key", "task")]);
    assert_eq!((&entry["value"], &entry["rev"]), (&json!({ "step": 2 }), &second["rev"]));
    let soon = "2026-12-30T00:00:00.000Z";
    put("session", json!({ "id": 7 }), json!({ "expiresAt": soon }));
    let (_, page) = alice.look("listState", &[("limit", "1")]);
    assert_eq!(
        (&page["entries"][0]["key"], &page["entries"][0]["expiresAt"]),
        (&json!("session"), &json!(soon))
    );
    let (_, page) = alice.look("listState", &[("cursor", page["cursor"].as_str().unwrap())]);
    assert_eq!((&page["entries"][0]["key"], page["cursor"].as_str()), (&json!("task"), None));
    let (code, answer) = alice.call("deleteState", &json!({ "key": "task", "swapRev": second["rev"] }));
    assert_eq!(code, 200, "{answer}");
    assert_eq!(alice.error(alice.call("deleteState", &json!({ "key": "task" }))), "StateNotFound");
    let large = put("task", json!({ "text": "x".repeat(70_000) }), json!({}));
    assert_eq!(alice.error(large), "StateTooLarge");
}

#[test]
fn a_rotation_of_keys_takes_the_memories_with_it() {
    let alice = Alice::new();
    let made: Vec<Value> = (0..3).map(|n| alice.remember(&n.to_string())).collect();
    let (code, _) = alice.call("putState", &json!({ "key": "k", "value": { "kept": true } }));
    assert_eq!(code, 200);
    let (code, rotated) = alice.world.ask("agent.identity.rotateKeys", Some(&alice.header), &[], &json!({}));
    assert_eq!((code, &rotated["pending"]), (200, &json!(5)), "the secret, three memories, one entry");
    assert_eq!(alice.look("getStats", &[]).1["rewrapPending"], 5);
    for (n, made) in made.iter().enumerate() {
        assert_eq!(alice.get(made).1["record"]["summary"], n.to_string());
    }
    // What the alarm does, now, and when nothing can be on its way to the old epoch any more.
    for _ in 0..2 {
        alice.world.pass_minutes(15 * 24 * 60);
        alice.world.inside(&alice.did, |context| {
            let now = context.clock.now_micros();
            context
                .account
                .tend_keys(murmuration_xrpc::agent::keys::SEALED_STORES, context.entropy, now)
                .unwrap();
        });
    }
    alice.world.inside(&alice.did, |context| {
        let ring = context.account.ring().unwrap();
        assert_eq!((ring.epochs().len(), ring.current().number()), (1, 2));
        assert_eq!(context.account.left_to_wrap(&Remembered, 2).unwrap(), 0);
    });
    alice.world.objects.crash(&alice.did);
    let header = alice.world.bearer(alice.did.as_str(), murmuration_xrpc::token::Scope::Access);
    for (n, made) in made.iter().enumerate() {
        let uri = made["uri"].as_str().unwrap();
        let (_, view) =
            alice.world.ask("agent.memory.getMemory", Some(&header), &[("uri", uri)], &Value::Null);
        assert_eq!(view["record"]["summary"], n.to_string());
    }
    let (_, entry) = alice.world.ask("agent.memory.getState", Some(&header), &[("key", "k")], &Value::Null);
    assert_eq!(entry["value"], json!({ "kept": true }));
}

#[test]
fn a_memory_ends_by_the_alarm() {
    let alice = Alice::new();
    let ends = "2026-12-01T00:00:00.000Z";
    let mut record = note("short");
    record["expiresAt"] = ends.into();
    let (_, made) = alice.call("createMemory", &json!({ "record": record }));
    assert_eq!(alice.get(&made).1["expiresAt"], ends);
    // A time that no storage counts to is as far as it does.
    record["expiresAt"] = "9999-12-31T23:59:59Z".into();
    assert_eq!(alice.call("createMemory", &json!({ "record": record })).0, 200);
    let put = json!({ "key": "k", "value": {}, "expiresAt": "9999-12-31T23:59:59Z" });
    assert_eq!(alice.call("putState", &put).0, 200);
    let list = alice.look("listMemories", &[("since", "9999-01-01T00:00:00Z")]);
    assert_eq!(list, (200, json!({ "memories": [] })));
    let due = alice.world.inside(&alice.did, |context| context.account.memory_due().unwrap().unwrap());
    assert_eq!(due, 1_796_083_200_000_000);
    alice.world.pass_minutes(30 * 24 * 60);
    let header = alice.world.bearer(alice.did.as_str(), murmuration_xrpc::token::Scope::Access);
    let uri = made["uri"].as_str().unwrap();
    let get = || alice.world.ask("agent.memory.getMemory", Some(&header), &[("uri", uri)], &Value::Null);
    assert_eq!(get().1["error"], "MemoryNotFound");
    alice.world.inside(&alice.did, |context| {
        let now = context.clock.now_micros();
        context.account.tend_memories(context.entropy, now, 100).unwrap();
        assert!(context.account.memory_due().unwrap().is_some_and(|at| at > 9_000_000_000_000_000));
    });
    let (_, stats) = alice.world.ask("agent.memory.getStats", Some(&header), &[], &Value::Null);
    assert_eq!((&stats["memories"], &stats["space"]["operations"]), (&json!(1), &json!(3)));
}

#[test]
fn an_agent_that_keeps_its_keys_to_itself_is_told_so() {
    let alice = Alice::with(&json!({ "custody": "client" }));
    assert_eq!(alice.error(alice.call("createMemory", &json!({ "record": note("s") }))), "ClientCustody");
    assert_eq!(alice.error(alice.look("listMemories", &[])), "ClientCustody");
    // An account that is no agent yet has remembered nothing; with its first memory it gets keys.
    let bob = alice.world.agent("bob");
    let header = format!("Bearer {}", bob.token);
    let ask = |nsid: &str, input: &Value| alice.world.ask(nsid, Some(&header), &[], input);
    assert_eq!(ask("agent.memory.listMemories", &Value::Null), (200, json!({ "memories": [] })));
    assert_eq!(ask("agent.memory.createMemory", &json!({ "record": note("s") })).0, 200);
    assert_eq!(ask("agent.memory.getStats", &Value::Null).1["memories"], 1);
}

#[test]
fn what_is_remembered_lies_nowhere_in_the_open() {
    let alice = Alice::new();
    alice.remember("xylophone-canary");
    let _ = alice.call("putState", &json!({ "key": "key-canary", "value": { "text": "value-canary" } }));
    let everything = alice.world.everything();
    assert!(everything.len() > 50);
    for canary in ["xylophone", "canary"] {
        assert!(
            !everything.iter().any(|value| value.windows(canary.len()).any(|part| part == canary.as_bytes()))
        );
    }
}
