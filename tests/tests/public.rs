//! What is public, found from another host: by its meaning, over deaths and sleeps, and not any more when it is gone.

use std::time::{Duration, Instant};

use murmuration_tests::{Agent, Setup, World, pause};
use serde_json::{Value, json};

const SEARCH: &str = "agent.memory.searchMemories";
const DOCTOR: &str = "Anna works as a doctor in the hospital of Bern";
const OTHERS: [&str; 3] = [
    "the cat wants warm milk in the morning",
    "invoices are paid within thirty days",
    "the northern road is closed while it snows",
];
/// Rows that a public memory may cost the index, over some: itself, and its part of the place in the log.
const ROWS: u64 = 2;

/// Has an agent say something to everybody; its address.
fn publish(agent: &Agent, text: &str) -> String {
    let body = json!({ "record": { "$type": "agent.memory.note", "summary": text }, "privacy": "public" });
    let made = agent.client.post("agent.memory.createMemory", &body).ok().json();
    made["uri"].as_str().unwrap().to_owned()
}

fn take_down(world: &World, subject: &Value, applied: bool) {
    let body = json!({ "subject": subject, "takedown": { "applied": applied } });
    let _ = world.operate("com.atproto.admin.updateSubjectStatus", &body).ok();
}

/// What anybody finds on a host.
fn search(world: &World, text: &str) -> Vec<Value> {
    let answer = world.client().get(SEARCH, &[("q", text)]).ok().json();
    answer["hits"].as_array().unwrap().clone()
}

/// Waits until what is searched for stands first, or nowhere any more.
#[track_caller]
fn until(world: &World, text: &str, expected: &str, found: bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(40);
    loop {
        let hits = search(world, text);
        let is = |hit: &Value| hit["memory"]["record"]["summary"] == expected;
        match found {
            true if hits.first().is_some_and(is) => return hits[0].clone(),
            false if !hits.iter().any(is) => return Value::Null,
            _ => assert!(Instant::now() < patience, "{text}: {hits:?}\n{}", world.log()),
        }
        pause(100);
    }
}

#[test]
fn what_is_public_on_one_host_is_found_by_meaning_on_the_other_until_it_is_gone() {
    let mut here = World::start();
    let there = Setup::new().plc_of(&here).start();
    let (alice, bob) = (Agent::new(&here, "alice"), Agent::new(&there, "bob"));
    let peer = json!({ "host": format!("localhost:{}", there.port()), "trust": "open" });
    let _ = here.operate("agent.relay.putPeer", &peer).ok();
    let doctor = publish(&bob, DOCTOR);

    // On its own host at once, but for the way to the relay.
    let hit = until(&there, "a medical job", DOCTOR, true);
    assert_eq!((&hit["memory"]["handle"], &hit["memory"]["uri"]), (&json!("bob.test"), &json!(doctor)));
    let before = there.rows_written("index", "host");
    for text in OTHERS {
        publish(&bob, text);
        until(&there, text, text, true);
    }
    let rows = there.rows_written("index", "host") - before;
    assert!((3..=ROWS * 3).contains(&rows), "{rows} rows");

    // On the other, which has verified it.
    let hit = until(&here, "a medical job", DOCTOR, true);
    assert_eq!(hit["channels"][0]["name"], "vector", "{hit}");
    assert_eq!(hit["memory"]["author"], json!(bob.did));
    assert_eq!(
        (&hit["provenance"]["agent"], &hit["provenance"]["verified"]),
        (&json!(bob.did), &json!(true))
    );
    until(&here, "invoices", OTHERS[1], true);
    here.evict("index", "host");
    until(&here, "a medical job", DOCTOR, true);
    here.kill_9();
    here.restart();
    until(&here, "a medical job", DOCTOR, true);

    // Beside what is the caller's own, which nobody else finds.
    let secret = "a physician told me of the northern road";
    let note = json!({ "record": { "$type": "agent.memory.note", "summary": secret } });
    let _ = alice.client.post("agent.memory.createMemory", &note).ok();
    let scoped = |scope: &str| {
        let answer = alice.client.get(SEARCH, &[("q", "a medical job"), ("scope", scope)]).ok().json();
        let hits = answer["hits"].as_array().unwrap().clone();
        let texts = hits.iter().map(|hit| hit["memory"]["record"]["summary"].as_str().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(scoped("own"), [secret]);
    let all = scoped("all");
    assert!(all.contains(&secret.to_owned()) && all.contains(&DOCTOR.to_owned()), "{all:?}");
    assert!(!scoped("public").contains(&secret.to_owned()));

    // What is taken down, and who is, are not found; and are again.
    let repo = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": bob.did });
    take_down(&there, &repo, true);
    assert!(search(&there, "a medical job").is_empty(), "at once on its own host");
    until(&here, "a medical job", DOCTOR, false);
    take_down(&there, &repo, false);
    until(&there, "a medical job", DOCTOR, true);
    let record = json!({ "$type": "com.atproto.repo.strongRef", "uri": doctor, "cid": hit["memory"]["cid"] });
    take_down(&there, &record, true);
    until(&there, "a medical job", DOCTOR, false);
    take_down(&there, &record, false);
    until(&there, "a medical job", DOCTOR, true);

    // What is deleted is not.
    let again = publish(&bob, "a surgeon earns more than a nurse");
    until(&here, "what a surgeon is paid", "a surgeon earns more than a nurse", true);
    let (_, rkey) = again.rsplit_once('/').unwrap();
    let gone = json!({ "repo": bob.did, "collection": "agent.memory.note", "rkey": rkey });
    let _ = bob.client.post("com.atproto.repo.deleteRecord", &gone).ok();
    until(&here, "what a surgeon is paid", "a surgeon earns more than a nurse", false);
    until(&there, "what a surgeon is paid", "a surgeon earns more than a nurse", false);
}
