//! An agent takes its memories along: out of one host as lines, into another part by part.

use murmuration_xrpc::http::{Body, Request, Verb};
use serde_json::{Value, json};

use crate::world::World;
use crate::world::agents::Agent;
use crate::world::hosts::Hosts;
use crate::world::memories::{ask, call_later};

/// What happens to a part on its way.
type Damage = fn(&mut Value);

/// The lines of an export.
fn export(world: &World, agent: &Agent, format: &str) -> Vec<Value> {
    let request = Request {
        verb: Verb::Get,
        nsid: "agent.memory.exportMemories".into(),
        query: vec![("format".into(), format.into())],
        authorization: Some(format!("Bearer {}", agent.token)),
        content_type: None,
        body: Vec::new(),
    };
    let Body::Stream(kind, chunks) = world.send(&request).unwrap().body else { panic!("no stream") };
    assert_eq!(kind, "application/x-ndjson");
    let text = String::from_utf8(world.objects.bucket.read(chunks)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(world: &World, agent: &Agent, part: &Value, foreign: bool) -> Result<Value, String> {
    let (code, answer) =
        ask(world, agent, "importMemories", &[], &json!({ "part": part, "acceptForeign": foreign }));
    match code {
        200 => Ok(answer),
        400 => Err(answer["error"].as_str().unwrap().to_owned()),
        _ => panic!("{code}: {answer}"),
    }
}

fn space(world: &World, agent: &Agent) -> Value {
    call_later(world, agent, "getStats", &Value::Null)["space"].clone()
}

/// What an agent that remembers many things is left with, but for addresses and revisions.
fn seen(world: &World, agent: &Agent) -> Value {
    let header = format!("Bearer {}", agent.token);
    let get = |method: &str| {
        let nsid = format!("agent.memory.{method}");
        let (code, answer) = world.ask(&nsid, Some(&header), &[("limit", "100")], &Value::Null);
        assert_eq!(code, 200, "{answer}");
        answer
    };
    let (mut memories, mut entries) =
        (get("listMemories")["memories"].clone(), get("listState")["entries"].clone());
    for item in memories.as_array_mut().unwrap().iter_mut().chain(entries.as_array_mut().unwrap()) {
        for own in ["uri", "author", "rev"] {
            item.as_object_mut().unwrap().remove(own);
        }
    }
    json!([memories, entries])
}

fn fill(world: &World, agent: &Agent) {
    for n in 0..30 {
        let record =
            json!({ "$type": "agent.memory.note", "summary": format!("note number {n}"), "tags": ["all"] });
        call_later(world, agent, "createMemory", &json!({ "record": record, "pinned": n == 3 }));
    }
    let fact = |object: &str| json!({ "$type": "agent.memory.fact", "subject": "s", "predicate": "p", "object": object });
    for object in ["old", "new"] {
        call_later(world, agent, "createMemory", &json!({ "record": fact(object) }));
    }
    let ends =
        json!({ "$type": "agent.memory.note", "summary": "ends", "expiresAt": "2031-11-28T05:00:00.000Z" });
    call_later(world, agent, "createMemory", &json!({ "record": ends }));
    for key in ["context", "tasks"] {
        call_later(world, agent, "putState", &json!({ "key": key, "value": { "at": key } }));
    }
}

#[test]
fn an_opened_export_comes_whole_to_another_host_and_both_sides_agree() {
    let hosts = Hosts::new();
    let (here, there) = (&hosts.here, &*hosts.there);
    fill(here, &hosts.alice);
    let parts = export(here, &hosts.alice, "opened");
    assert!(parts.len() >= 3, "memories, working state, the end: {}", parts.len());
    let last = parts.last().unwrap();
    assert_eq!((&last["last"], &last["memories"], &last["states"]), (&json!(true), &json!([]), &json!([])));
    assert!(parts.iter().rev().skip(1).all(|part| part["last"] == false));
    assert_eq!(import(there, &hosts.bob, &parts[0], false), Err("ForeignExport".into()));
    assert_eq!(space(there, &hosts.bob)["memories"], 0);
    there.pass_minutes(60);
    for part in parts.iter().chain(&parts) {
        import(there, &hosts.bob, part, true).unwrap();
    }
    assert_eq!(seen(there, &hosts.bob), seen(here, &hosts.alice));
    let [one, two] = [space(here, &hosts.alice), space(there, &hosts.bob)];
    assert_eq!((&one["hash"], &one["memories"]), (&two["hash"], &two["memories"]));
    assert_eq!((&last["space"]["hash"], &last["space"]["memories"]), (&two["hash"], &json!(33)));
    // What came is found, and a fact that was superseded stays so.
    let query = [("q", "number 17"), ("tags", "all")];
    let header = format!("Bearer {}", hosts.bob.token);
    let (_, found) = there.ask("agent.memory.searchMemories", Some(&header), &query, &Value::Null);
    assert_eq!(found["hits"][0]["memory"]["record"]["summary"], "note number 17");
    let (_, found) =
        there.ask("agent.memory.searchMemories", Some(&header), &[("q", "old new s p")], &Value::Null);
    let objects: Vec<_> = found["hits"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|hit| hit["memory"]["record"]["object"].as_str())
        .collect();
    assert_eq!(objects, ["new"]);
}

#[test]
fn a_sealed_export_says_nothing_and_opens_for_its_own_agent() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.agent(name));
    fill(&world, &alice);
    let before = (seen(&world, &alice), space(&world, &alice));
    let parts = export(&world, &alice, "sealed");
    let text = json!(parts).to_string();
    assert!(text.contains("ciphertext"));
    for word in ["number", "context", "all\""] {
        assert!(!text.contains(word), "{word}");
    }
    call_later(&world, &bob, "putState", &json!({ "key": "own", "value": {} }));
    for foreign in [false, true] {
        assert_eq!(import(&world, &bob, &parts[0], foreign), Err("ForeignExport".into()));
    }
    // All is lost, and comes back; after a rotation, too.
    let (code, answer) = world.post_as(Some(&alice.token), "agent.identity.rotateKeys", &json!({}));
    assert_eq!(code, 200, "{answer}");
    let paths: Vec<String> = parts
        .iter()
        .flat_map(|part| part["memories"].as_array().unwrap().clone())
        .map(|memory| format!("at://{}/{}", alice.did, memory["path"].as_str().unwrap()))
        .collect();
    for uri in &paths {
        call_later(&world, &alice, "deleteMemory", &json!({ "uri": uri }));
    }
    assert_eq!(space(&world, &alice)["memories"], 0);
    for part in &parts {
        import(&world, &alice, part, false).unwrap();
    }
    assert_eq!(seen(&world, &alice), before.0);
    assert_eq!(space(&world, &alice)["hash"], before.1["hash"]);
}

#[test]
fn what_is_damaged_is_refused_and_changes_nothing() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.agent(name));
    fill(&world, &alice);
    call_later(&world, &bob, "putState", &json!({ "key": "own", "value": {} }));
    let before = (seen(&world, &bob), space(&world, &bob));
    for format in ["opened", "sealed"] {
        let whole = export(&world, &alice, format)[0].clone();
        let damages: [(&str, Damage); 8] = [
            ("a text", |part| part["memories"][0]["path"] = json!("agent.memory.note/3jzfcijpj2z2a")),
            ("a time", |part| part["memories"][0]["createdMicros"] = json!(1)),
            ("a memory less", |part| drop(part["memories"].as_array_mut().unwrap().pop())),
            ("its agent", |part| part["agent"] = json!("did:plc:x")),
            ("its form", |part| part["form"] = json!("other")),
            ("its version", |part| part["v"] = json!(2)),
            ("its sum", |part| part["sum"] = json!("00")),
            ("nothing", |part| *part = json!({})),
        ];
        for (what, damage) in damages {
            let mut part = whole.clone();
            damage(&mut part);
            assert_eq!(import(&world, &bob, &part, true), Err("InvalidExport".into()), "{format}: {what}");
        }
    }
    // One of that name that is another.
    let whole = export(&world, &alice, "opened")[0].clone();
    let path = whole["memories"][7]["path"].as_str().unwrap();
    let (_, rkey) = path.split_once('/').unwrap();
    let other = json!({ "record": { "$type": "agent.memory.note", "summary": "other" }, "rkey": rkey });
    call_later(&world, &bob, "createMemory", &other);
    assert_eq!(import(&world, &bob, &whole, true), Err("DuplicateConflict".into()));
    call_later(&world, &bob, "deleteMemory", &json!({ "uri": format!("at://{}/{path}", bob.did) }));
    assert_eq!(seen(&world, &bob), before.0);
    assert_eq!(space(&world, &bob)["hash"], before.1["hash"]);
    import(&world, &bob, &whole, true).unwrap();
}

#[test]
fn who_remembers_nothing_has_an_export_of_nothing() {
    let world = World::new();
    let alice = world.agent("alice");
    let parts = export(&world, &alice, "opened");
    assert_eq!((parts.len(), &parts[0]["last"]), (1, &json!(true)));
    import(&world, &alice, &parts[0], false).unwrap();
}
