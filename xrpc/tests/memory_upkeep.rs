//! Duplicates, public memories and upkeep, as a client sees them.

use crate::world::{self, World};
use murmuration_data::json as data;
use murmuration_lexicons::{Catalog, output};
use murmuration_platform::Store;
use murmuration_syntax::Did;
use murmuration_xrpc::token::Scope;
use serde_json::{Value, json};

struct Alice {
    world: World,
    did: Did,
}

impl Alice {
    fn new(model: bool) -> Self {
        let world = if model { World::new().with_model() } else { World::new() };
        let (code, answer) = world.make_agent("alice", &json!({}));
        assert_eq!(code, 200, "{answer}");
        Self { did: world::did(&answer["did"]), world }
    }

    fn ask(&self, nsid: &str, query: &[(&str, &str)], input: &Value) -> (u16, Value) {
        // A fresh token each time: memories grow old here.
        let header = self.world.bearer(self.did.as_str(), Scope::Access);
        let (code, answer) = self.world.ask(nsid, Some(&header), query, input);
        if code == 200 {
            output(Catalog::builtin(), nsid, &data::from_value(&answer).unwrap()).unwrap();
        }
        (code, answer)
    }

    fn call(&self, method: &str, input: &Value) -> Value {
        let (code, answer) = self.ask(&format!("agent.memory.{method}"), &[], input);
        assert_eq!(code, 200, "{answer}");
        answer
    }

    fn look(&self, method: &str, query: &[(&str, &str)]) -> Value {
        let (code, answer) = self.ask(&format!("agent.memory.{method}"), query, &Value::Null);
        assert_eq!(code, 200, "{answer}");
        answer
    }

    fn make(&self, summary: &str, more: &Value) -> Value {
        let mut input = json!({ "record": { "$type": "agent.memory.note", "summary": summary } });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("createMemory", &input)
    }
}

#[test]
fn the_answer_says_what_was_done_with_what_was_there_already() {
    let alice = Alice::new(false);
    let first = alice.make("tea at four", &json!({}));
    assert_eq!((&first["outcome"], &first["duplicateOf"]), (&json!("created"), &Value::Null));
    let kept = alice.make("tea at four", &json!({}));
    assert_eq!((&kept["outcome"], &kept["duplicateOf"]), (&json!("created"), &first["uri"]));
    assert_ne!(kept["uri"], first["uri"]);
    let skipped = alice.make("tea at four", &json!({ "onDuplicate": "skip" }));
    assert_eq!((&skipped["outcome"], &skipped["duplicateOf"]), (&json!("skipped"), &kept["uri"]));
    assert_eq!(
        (&skipped["uri"], &skipped["cid"], &skipped["rev"]),
        (&kept["uri"], &kept["cid"], &kept["rev"])
    );
    let superseding = alice.make("tea at four", &json!({ "onDuplicate": "supersede" }));
    assert_eq!((&superseding["outcome"], &superseding["superseded"]), (&json!("superseded"), &kept["uri"]));
    let old = alice.look("getMemory", &[("uri", kept["uri"].as_str().unwrap())]);
    assert_eq!(old["record"]["validity"]["supersededBy"]["uri"], superseding["uri"]);
    let once = json!({ "idempotencyKey": "k" });
    assert_eq!(alice.make("cake", &once)["outcome"], "created");
    assert_eq!(alice.make("cake", &once)["outcome"], "repeated");
    let fact = |thing: &str, from: &str| {
        let record = json!({ "$type": "agent.memory.fact", "subject": "s", "predicate": "p", "object": thing,
            "validity": { "validFrom": from } });
        alice.call("createMemory", &json!({ "record": record }))
    };
    let holds = fact("b", "2021-01-01T00:00:00.000Z");
    let late = fact("a", "2020-01-01T00:00:00.000Z");
    assert_eq!((&late["outcome"], &late["supersededBy"]), (&json!("ended"), &holds["uri"]));
    let next = fact("c", "2022-01-01T00:00:00.000Z");
    assert_eq!((&next["outcome"], &next["superseded"]), (&json!("superseded"), &holds["uri"]));
    let input = json!({ "record": { "$type": "agent.memory.note", "summary": "s" }, "onDuplicate": "merge" });
    assert_eq!(alice.ask("agent.memory.createMemory", &[], &input).0, 400);
}

#[test]
fn what_is_near_is_named_where_the_caller_asks() {
    let alice = Alice::new(true);
    let first = alice.make("cat", &json!({}));
    assert_eq!(alice.make("feline", &json!({}))["near"], Value::Null);
    alice.make("train", &json!({}));
    let near = alice.make("the cat", &json!({ "similarity": 950 }));
    assert_eq!((&near["outcome"], near["near"].as_array().unwrap().len()), (&json!("created"), 2));
    assert_eq!((&near["near"][0]["uri"], &near["degraded"]), (&first["uri"], &Value::Null));
    let skipped = alice.make("a cat", &json!({ "similarity": 950, "onDuplicate": "skip" }));
    assert_eq!(skipped["outcome"], "skipped");
    assert_eq!((&skipped["duplicateOf"], &skipped["uri"]), (&Value::Null, &skipped["near"][0]["uri"]));
    // Without a model nothing is near, and the answer says why.
    let bob = Alice::new(false);
    bob.make("cat", &json!({}));
    let answer = bob.make("the cat", &json!({ "similarity": 500, "onDuplicate": "skip" }));
    assert_eq!((&answer["outcome"], &answer["degraded"]), (&json!("created"), &json!(["vector"])));
}

#[test]
fn a_public_memory_is_a_record_of_the_repository_and_a_private_one_is_not() {
    let alice = Alice::new(false);
    alice.make("to myself", &json!({ "privacy": "private" }));
    let public = alice.make("to all", &json!({ "privacy": "public" }));
    assert_eq!(public["outcome"], "created");
    let records = || {
        let query = [("repo", alice.did.as_str()), ("collection", "agent.memory.note")];
        alice.world.ask("com.atproto.repo.listRecords", None, &query, &Value::Null).1
    };
    let listed = records();
    assert_eq!(listed["records"].as_array().unwrap().len(), 1, "{listed}");
    let record = &listed["records"][0];
    assert_eq!((&record["uri"], &record["cid"]), (&public["uri"], &public["cid"]));
    assert_eq!(
        (&record["value"]["summary"], &record["value"]["$type"]),
        (&json!("to all"), &json!("agent.memory.note"))
    );
    assert!(record["value"]["createdAt"].is_string());
    // It is none of the private ones.
    assert_eq!(alice.look("getStats", &[])["memories"], 1);
    let refused = |more: Value| {
        let note = json!({ "$type": "agent.memory.note", "summary": "s" });
        let mut input = json!({ "privacy": "public", "record": note });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (code, answer) = alice.ask("agent.memory.createMemory", &[], &input);
        assert_eq!(code, 400, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(json!({ "privacy": "shared" })), "InvalidRequest");
    for private in [
        json!({ "pinned": true }),
        json!({ "onDuplicate": "skip" }),
        json!({ "similarity": 900 }),
        json!({ "idempotencyKey": "k" }),
    ] {
        assert_eq!(refused(private), "InvalidRequest");
    }
    assert_eq!(
        refused(
            json!({ "record": { "$type": "agent.memory.note", "summary": "s", "expiresAt": "2030-01-01T00:00:00.000Z" } })
        ),
        "InvalidRecord"
    );
    assert_eq!(
        refused(
            json!({ "record": { "$type": "app.bsky.feed.post", "text": "s", "createdAt": "2026-11-28T05:00:00.000Z" } })
        ),
        "InvalidRecord"
    );
    let rkey = public["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    assert_eq!(refused(json!({ "rkey": rkey })), "DuplicateConflict");
    assert_eq!(records(), listed);
}

#[test]
fn uses_are_told_with_the_hits_and_a_search_writes_nothing() {
    let alice = Alice::new(false);
    alice.make("tea at four", &json!({}));
    let hit = || alice.look("searchMemories", &[("q", "tea")])["hits"][0].clone();
    let before = alice.world.objects.store(&alice.did).counts().written;
    let first = hit();
    assert_eq!((&first["uses"], &first["lastUsedAt"]), (&json!(0), &Value::Null));
    let second = hit();
    assert_eq!(second["uses"], 1);
    assert!(second["lastUsedAt"].is_string());
    alice.look("getContext", &[("q", "tea")]);
    assert_eq!(hit()["uses"], 3);
    assert_eq!(alice.world.objects.store(&alice.did).counts().written, before);
}

/// Lets the object's alarm do what is due, until nothing is that comes by itself within a minute.
fn tend(alice: &Alice) -> u32 {
    let mut turns = 0;
    while alice.world.inside(&alice.did, |context| {
        let now = context.clock.now_micros();
        context.account.memory_due().unwrap().is_some_and(|at| at < now + 60_000_000)
    }) {
        alice.world.pass_minutes(1);
        alice.world.inside(&alice.did, |context| {
            context.account.tend_memories(context.entropy, context.clock.now_micros(), 100).unwrap();
        });
        turns += 1;
    }
    turns
}

#[test]
fn a_dry_run_says_what_a_run_does_and_the_alarm_goes_on_with_it() {
    let alice = Alice::new(true);
    for n in 0..60 {
        alice.make(&format!("cat number {n}"), &json!({}));
    }
    alice.make("kept", &json!({ "pinned": true }));
    let (decision, at) = (
        json!({ "$type": "agent.memory.decision", "decision": "d", "context": "c", "rationale": "r", "status": "accepted" }),
        60 * 24 * 60,
    );
    alice.call("createMemory", &json!({ "record": decision }));
    alice.world.pass_minutes(at);
    let dry = alice.call("compactMemories", &json!({ "strategy": "digest", "dryRun": true }));
    assert_eq!(
        (&dry["examined"], &dry["removed"], &dry["digests"], &dry["left"]),
        (&json!(62), &json!(60), &json!(2), &json!(0))
    );
    assert_eq!((&dry["items"][0]["score"], &dry["items"][0]["reason"]), (&json!(125), &json!("digest")));
    assert_eq!(
        (&dry["items"][0]["digest"], alice.look("getStats", &[])["memories"].as_u64()),
        (&Value::Null, Some(62))
    );
    assert_eq!(alice.look("getStats", &[])["upkeep"], json!([]));
    let first = alice.call("compactMemories", &json!({ "strategy": "digest", "everyDays": 30 }));
    assert_eq!((&first["removed"], &first["digests"], &first["left"]), (&json!(50), &json!(1), &json!(10)));
    assert!(first["nextAt"].is_string());
    let digest = alice.look("getMemory", &[("uri", first["items"][0]["digest"].as_str().unwrap())]);
    for item in first["items"].as_array().unwrap() {
        let cover = json!({ "uri": item["uri"], "cid": item["cid"] });
        assert!(digest["record"]["covers"].as_array().unwrap().contains(&cover));
    }
    let job = alice.look("getStats", &[])["upkeep"][0].clone();
    assert_eq!(
        (&job["strategy"], &job["running"], &job["due"], &job["removed"]),
        (&json!("digest"), &json!(true), &json!(10), &json!(50))
    );
    assert_eq!(tend(&alice), 1);
    let job = alice.look("getStats", &[])["upkeep"][0].clone();
    assert_eq!(
        (&job["running"], &job["due"], &job["removed"], &job["digests"]),
        (&json!(false), &json!(0), &json!(60), &json!(2))
    );
    assert_eq!((&job["runs"], &job["everyDays"]), (&json!(1), &json!(30)));
    assert!(job["nextAt"].is_string() && job["lastAt"].is_string());
    // The pinned one, the decision, and two digests: found by what they cover.
    assert_eq!(alice.look("getStats", &[])["memories"], 4);
    let hit = &alice.look("searchMemories", &[("q", "feline")])["hits"][0];
    assert_eq!(hit["memory"]["collection"], "agent.memory.digest");
    assert_eq!(hit["channels"][0]["name"], "vector");
}

#[test]
fn duplicates_go_and_what_is_no_strategy_is_refused() {
    let alice = Alice::new(false);
    let first = alice.make("tea", &json!({}));
    let second = alice.make("tea", &json!({}));
    let done = alice.call("compactMemories", &json!({ "strategy": "dedupe" }));
    assert_eq!(done["items"].as_array().unwrap().len(), 1);
    let item = &done["items"][0];
    assert_eq!(
        (&item["uri"], &item["duplicateOf"], &item["reason"]),
        (&second["uri"], &first["uri"], &json!("duplicate"))
    );
    assert_eq!(done["nextAt"], Value::Null);
    let operations = alice.look("listOperations", &[("since", second["rev"].as_str().unwrap())]);
    assert_eq!(operations["operations"].as_array().unwrap().len(), 1);
    assert_eq!(operations["operations"][0]["prev"], second["cid"]);
    for input in [
        json!({ "strategy": "forget" }),
        json!({}),
        json!({ "strategy": "expire", "scoreBelow": 1_001 }),
        json!({ "strategy": "expire", "everyDays": 366 }),
        json!({ "strategy": "expire", "everyDays": 7, "dryRun": true }),
        json!({ "strategy": "expire", "olderThan": "long ago" }),
    ] {
        let (code, answer) = alice.ask("agent.memory.compactMemories", &[], &input);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{input}");
    }
    // An agent that never kept anything has nothing to compact, and gets no keys for it.
    let (code, answer) = alice.world.ask(
        "agent.memory.compactMemories",
        Some(&format!("Bearer {}", alice.world.agent("bob").token)),
        &[],
        &json!({ "strategy": "expire" }),
    );
    assert_eq!((code, &answer["examined"], &answer["items"]), (200, &json!(0), &json!([])));
}
