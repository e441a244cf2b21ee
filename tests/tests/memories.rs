//! Memories in the real Worker: found by meaning and by word at once, after a death and a sleep, and by nobody else.

use murmuration_tests::{Agent, Search, World};
use serde_json::{Value, json};

/// Rows that a memory may write, on average over some.
const ROWS: u64 = 8;
const DOCTOR: &str = "Anna works as a doctor in the hospital of Bern";
const OTHERS: [&str; 4] = [
    "the deploy window is on Friday afternoon",
    "the cat wants warm milk in the morning",
    "invoices are paid within thirty days",
    "the northern road is closed while it snows",
];

fn remember(agent: &Agent, text: &str) -> Value {
    let record = json!({ "$type": "agent.memory.note", "summary": text });
    agent.client.post("agent.memory.createMemory", &json!({ "record": record })).ok().json()
}

/// What is found, the best first: the text, and the channels that found it.
fn found(agent: &Agent, text: &str) -> Vec<(String, Vec<String>)> {
    let answer = agent.client.get("agent.memory.searchMemories", &[("q", text)]).ok().json();
    assert_eq!(answer["degraded"], json!([]), "{answer}");
    let name = |channel: &Value| channel["name"].as_str().unwrap().to_owned();
    let hit = |hit: &Value| {
        let summary = hit["memory"]["record"]["summary"].as_str().unwrap().to_owned();
        (summary, hit["channels"].as_array().unwrap().iter().map(name).collect())
    };
    answer["hits"].as_array().unwrap().iter().map(hit).collect()
}

#[test]
fn a_memory_is_found_by_the_next_call_and_after_deaths_and_by_nobody_else() {
    let mut world = World::start();
    let (alice, bob) = (Agent::new(&world, "alice"), Agent::new(&world, "bob"));
    for text in OTHERS {
        let _ = remember(&alice, text);
    }
    let before = world.rows_written("agent", &alice.did);
    let doctor = remember(&alice, DOCTOR);
    let rows = world.rows_written("agent", &alice.did) - before;
    assert!((1..=ROWS).contains(&rows), "{rows} rows");

    let assert_found = |what: &str| {
        let by_meaning = found(&alice, "a medical job");
        assert_eq!(by_meaning[0].0, DOCTOR, "{what}: {by_meaning:?}");
        assert!(by_meaning[0].1.contains(&"vector".to_owned()), "{what}: {by_meaning:?}");
        assert!(!by_meaning[0].1.contains(&"keyword".to_owned()), "{what}: {by_meaning:?}");
        let by_word = found(&alice, "invoices");
        assert_eq!(by_word[0].0, OTHERS[2], "{what}: {by_word:?}");
        assert!(by_word[0].1.contains(&"keyword".to_owned()), "{what}: {by_word:?}");
    };
    assert_found("at once");
    world.evict("agent", &alice.did);
    assert_found("after a sleep");
    world.kill_9();
    world.restart();
    assert_found("after a kill");
    let context = alice.client.get("agent.memory.getContext", &[("q", "a medical job")]).ok().json();
    assert!(context["text"].as_str().unwrap().contains(DOCTOR), "{context}");

    let uri = doctor["uri"].as_str().unwrap();
    assert_eq!(found(&bob, "a medical job"), []);
    let answer = bob.client.get("agent.memory.getMemory", &[("uri", uri)]);
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("MemoryNotFound")));
    let listed = world
        .client()
        .get("com.atproto.repo.listRecords", &[("repo", &alice.did), ("collection", "agent.memory.note")]);
    assert_eq!(listed.ok().json()["records"], json!([]));

    let _ = alice.client.post("agent.memory.deleteMemory", &json!({ "uri": uri })).ok();
    assert!(found(&alice, "a medical job").iter().all(|(text, _)| text != DOCTOR));
    world.kill_9_all();
    let told = Search::new().word("a memory", DOCTOR).word("another", OTHERS[0]).found_below(&world.folder());
    assert!(told.is_empty(), "{told:?}");
}
