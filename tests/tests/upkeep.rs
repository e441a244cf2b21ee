//! The upkeep of memories in the real Worker: it goes on by the alarm, through a death, and nothing is lost in between.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::{Agent, World};
use serde_json::{Value, json};

/// How long the alarm may take for what is left.
const PATIENCE: Duration = Duration::from_secs(60);
const MEMORIES: usize = 120;

fn names(items: &Value) -> BTreeSet<String> {
    items.as_array().unwrap().iter().map(|item| item["uri"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_compaction_goes_on_after_a_death_and_covers_each_memory_once() {
    let mut world = World::start();
    let alice = Agent::new(&world, "alice");
    let said: Vec<Value> = (0..MEMORIES)
        .map(|n| json!({ "role": "user", "text": format!("Remember that crate {n} holds tea.") }))
        .collect();
    let read = alice.client.post("agent.memory.ingestMessages", &json!({ "messages": said })).ok().json();
    assert_eq!((&read["accepted"], &read["left"]), (&json!(MEMORIES), &json!(0)), "{read}");
    let made = names(&read["memories"]);
    assert_eq!(made.len(), MEMORIES);

    let policy =
        json!({ "strategy": "digest", "olderThan": "2100-01-01T00:00:00.000Z", "scoreBelow": 1_000 });
    let first = alice.client.post("agent.memory.compactMemories", &policy).ok().json();
    assert_eq!((&first["removed"], &first["left"]), (&json!(50), &json!(70)), "{first}");
    world.kill_9();
    world.restart();
    let deadline = Instant::now() + PATIENCE;
    let stats = || alice.client.get("agent.memory.getStats", &[]).ok().json();
    while stats()["upkeep"][0]["running"] != false {
        assert!(Instant::now() < deadline, "{}", stats());
        thread::sleep(Duration::from_millis(200));
    }
    let job = stats()["upkeep"][0].clone();
    assert_eq!((&job["removed"], &job["digests"], &job["due"]), (&json!(MEMORIES), &json!(3), &json!(0)));
    let listed = alice.client.get("agent.memory.listMemories", &[]).ok().json();
    let mut covered = BTreeSet::new();
    for digest in listed["memories"].as_array().unwrap() {
        assert_eq!(digest["collection"], "agent.memory.digest");
        let covers = names(&digest["record"]["covers"]);
        assert!(covers.is_disjoint(&covered));
        covered.extend(covers);
    }
    assert_eq!(covered, made);
    let answer = alice.client.get("agent.memory.searchMemories", &[("q", "crate 7")]).ok().json();
    assert!(
        answer["hits"][0]["memory"]["record"]["text"].as_str().unwrap().contains("holds tea"),
        "{answer}"
    );
    // What was read stays read.
    let again = alice.client.post("agent.memory.ingestMessages", &json!({ "messages": said })).ok().json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(MEMORIES)));
}
