//! A memory that is shared as it is kept, and shares that come along to another host.

use murmuration_platform::Store;
use murmuration_xrpc::http::Body;
use serde_json::{Value, json};

use crate::world::agents::Agent;
use crate::world::memories::{ask, call_later, refused};
use crate::world::{World, request};

fn note(summary: &str) -> Value {
    json!({ "$type": "agent.memory.note", "summary": summary })
}

fn read(world: &World, agent: &Agent, uri: &Value) -> Option<String> {
    let query = [("uri", uri.as_str().unwrap())];
    match ask(world, agent, "getMemory", &query, &Value::Null) {
        (200, view) => Some(view["record"]["summary"].as_str().unwrap().to_owned()),
        (400, answer) if answer["error"] == "MemoryNotFound" => None,
        (code, answer) => panic!("{code}: {answer}"),
    }
}

fn listed(world: &World, agent: &Agent) -> Vec<Value> {
    let (_, answer) = ask(world, agent, "listShares", &[], &Value::Null);
    answer["shares"].as_array().unwrap().clone()
}

fn count(world: &World, agent: &Agent) -> Value {
    ask(world, agent, "getStats", &[], &Value::Null).1["memories"].clone()
}

#[test]
fn a_memory_is_kept_and_shared_in_one_call_or_neither() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    let made = call_later(
        &world,
        &alice,
        "createMemory",
        &json!({ "record": note("one"), "shareWith": [bob.did, bob.did] }),
    );
    assert_eq!(made["shares"].as_array().unwrap().len(), 1);
    assert_eq!(made["shares"][0]["subject"], bob.did.as_str());
    let told = |agent: &Agent| {
        let items = world.claim(agent);
        if !items.is_empty() {
            world.done(agent, &items);
        }
        items.iter().map(|item| item["record"]["content"]["uri"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&bob), [made["uri"].clone()]);
    assert_eq!(
        (read(&world, &bob, &made["uri"]).as_deref(), read(&world, &carol, &made["uri"])),
        (Some("one"), None)
    );

    let update = json!({ "uri": made["uri"], "record": note("two"), "shareWith": [carol.did] });
    assert_eq!(call_later(&world, &alice, "updateMemory", &update)["shares"].as_array().unwrap().len(), 1);
    for reader in [&bob, &carol] {
        assert_eq!(read(&world, reader, &made["uri"]).as_deref(), Some("two"));
    }
    assert_eq!(told(&carol), [made["uri"].clone()]);
    // A large one, which lies in the blob storage.
    let mut large = note("large");
    large["text"] = "so much ".repeat(40_000).into();
    let shared = json!({ "record": large, "shareWith": [bob.did], "idempotencyKey": "k" });
    let large = call_later(&world, &alice, "createMemory", &shared);
    assert_eq!(read(&world, &bob, &large["uri"]).as_deref(), Some("large"));
    // Again, it is the same and shared, and nobody is told twice.
    let again = call_later(&world, &alice, "createMemory", &shared);
    assert_eq!((&again["outcome"], &again["uri"]), (&json!("repeated"), &large["uri"]));
    assert_eq!(told(&bob), [large["uri"].clone()]);

    let before = (count(&world, &alice), listed(&world, &alice).len());
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    for (with, error) in [
        (json!([alice.did]), "InvalidRequest"),
        (json!([bob.did, nobody]), "RecipientNotFound"),
        (json!(["nobody"]), "InvalidRequest"),
    ] {
        let create = json!({ "record": note("three"), "shareWith": with });
        assert_eq!(refused(&world, &alice, "createMemory", &create), error);
        let update = json!({ "uri": made["uri"], "record": note("three"), "shareWith": with });
        assert_eq!(refused(&world, &alice, "updateMemory", &update), error);
    }
    let public = json!({ "record": note("three"), "shareWith": [bob.did], "privacy": "public" });
    assert_eq!(refused(&world, &alice, "createMemory", &public), "InvalidRequest");
    let gone = json!({ "uri": "at://did:plc:x/agent.memory.note/3jzfcijpj2z2a", "record": note("x"), "shareWith": [bob.did] });
    assert_eq!(refused(&world, &alice, "updateMemory", &gone), "MemoryNotFound");
    let wrong = json!({ "record": { "$type": "agent.memory.note" }, "shareWith": [bob.did] });
    assert_eq!(refused(&world, &alice, "createMemory", &wrong), "InvalidRecord");
    // One that was there already is not shared for it.
    let skipped = json!({ "record": note("two"), "onDuplicate": "skip", "shareWith": [bob.did] });
    let skipped = call_later(&world, &alice, "createMemory", &skipped);
    assert_eq!((&skipped["outcome"], skipped.get("shares")), (&json!("skipped"), None));
    assert_eq!((count(&world, &alice), listed(&world, &alice).len()), before);
    assert!(told(&bob).is_empty());
    assert_eq!(read(&world, &bob, &made["uri"]).as_deref(), Some("two"));
}

#[test]
fn shares_come_along_and_are_sealed_when_their_readers_ask() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    let with = json!({ "record": note("one"), "shareWith": [bob.did, carol.did] });
    let made = call_later(&world, &alice, "createMemory", &with);
    call_later(&world, &alice, "createMemory", &json!({ "record": note("not shared") }));
    for format in ["opened", "sealed"] {
        let header = format!("Bearer {}", alice.token);
        let asked =
            request("agent.memory.exportMemories", Some(&header), &[("format", format)], &Value::Null);
        let Body::Stream(_, chunks) = world.send(&asked).unwrap().body else { panic!("no stream") };
        let text = String::from_utf8(world.objects.bucket.read(chunks)).unwrap();
        let parts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let readers: Vec<_> =
            parts[0]["memories"].as_array().unwrap().iter().map(|it| &it["readers"]).collect();
        assert_eq!(readers.iter().filter(|readers| !readers.is_null()).count(), 1);
        // As a store that is empty, of the same agent.
        let store = world.objects.store(&alice.did);
        for table in ["memory", "memory_share", "memory_page", "memory_space", "memory_op", "memory_key"] {
            let sql: &'static str = format!("DELETE FROM {table}").leak();
            store.query(sql, &[]).unwrap();
        }
        world.objects.crash(&alice.did);
        assert_eq!(read(&world, &bob, &made["uri"]), None);
        for part in &parts {
            call_later(&world, &alice, "importMemories", &json!({ "part": part }));
        }
        assert!(listed(&world, &alice).iter().all(|share| share.get("kid").is_none()));
        assert_eq!(read(&world, &bob, &made["uri"]).as_deref(), Some("one"));
        assert_eq!(listed(&world, &alice).iter().filter(|share| share["kid"].is_string()).count(), 1);
        // Who is not to read it any more is not let in by the same part.
        call_later(&world, &alice, "revokeShare", &json!({ "uri": made["uri"], "subjects": [carol.did] }));
        call_later(&world, &alice, "importMemories", &json!({ "part": parts[0] }));
        assert_eq!((read(&world, &carol, &made["uri"]), listed(&world, &alice).len()), (None, 1));
        call_later(&world, &alice, "shareMemory", &json!({ "uri": made["uri"], "subjects": [carol.did] }));
        // Another's readers are none of one's own.
        if format == "opened" {
            call_later(&world, &bob, "importMemories", &json!({ "part": parts[0], "acceptForeign": true }));
            assert_eq!((count(&world, &bob), listed(&world, &bob)), (json!(2), vec![]));
        }
    }
}
