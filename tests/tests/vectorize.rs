//! Vectorize, by the class of the platform's own binding: a stand-in that does later what it is told, and once refuses it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use murmuration_tests::{Agent, Noted, Reply, Setup, StandIn, World, pause};
use serde_json::{Value, json};

const SEARCH: &str = "agent.memory.searchMemories";
const DOCTOR: &str = "Anna works as a doctor in the hospital of Bern";
const PATIENCE: Duration = Duration::from_secs(40);

/// A change: its name, what is to be there, and what is to go.
type Told = (String, Vec<Value>, Vec<String>);

/// What it knows, and what it was told and has not done yet.
#[derive(Default)]
struct Vectors {
    known: BTreeMap<String, Value>,
    told: Vec<Told>,
    processed: Option<String>,
    count: usize,
    refuses: bool,
}

impl Vectors {
    /// Answers as Vectorize does.
    fn answer(&mut self, noted: &Noted) -> Reply {
        let body = String::from_utf8(noted.body.clone()).unwrap();
        match noted.path.rsplit('/').next().unwrap() {
            "upsert" if self.refuses => {
                self.refuses = false;
                Reply::json(429, &json!({ "error": "too much at once", "code": 40041 }))
            }
            "upsert" => {
                assert_eq!(noted.header("content-type"), Some("application/x-ndjson"));
                self.take(body.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), Vec::new())
            }
            "deleteByIds" => {
                let asked: Value = serde_json::from_str(&body).unwrap();
                let ids = asked["ids"].as_array().unwrap().iter();
                self.take(Vec::new(), ids.map(|id| id.as_str().unwrap().to_owned()).collect())
            }
            "info" => Reply::json(
                200,
                &json!({ "vectorCount": self.known.len(), "dimensions": 256, "processedUpToMutation": self.processed }),
            ),
            "query" => self.query(&serde_json::from_str(&body).unwrap()),
            other => panic!("{other}"),
        }
    }

    fn take(&mut self, entries: Vec<Value>, ids: Vec<String>) -> Reply {
        self.count += 1;
        let mutation = format!("mutation-{}", self.count);
        self.told.push((mutation.clone(), entries, ids));
        Reply::json(200, &json!({ "mutationId": mutation }))
    }

    fn query(&self, asked: &Value) -> Reply {
        assert_eq!((&asked["topK"], &asked["returnMetadata"]), (&json!(100), &json!("none")));
        let numbers = |value: &Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let vector = numbers(&asked["vector"]);
        let fits = |entry: &&Value| {
            asked["filter"].as_object().unwrap().iter().all(|(name, condition)| {
                condition["$in"].as_array().unwrap().contains(&entry["metadata"][name])
            })
        };
        let score = |entry: &Value| {
            let values = numbers(&entry["values"]);
            let cosine =
                product(&values, &vector) / (product(&values, &values) * product(&vector, &vector)).sqrt();
            json!({ "id": entry["id"], "score": cosine })
        };
        let matches: Vec<Value> = self.known.values().filter(fits).map(score).collect();
        Reply::json(200, &json!({ "count": matches.len(), "matches": matches }))
    }

    /// Does what it was told.
    fn work(&mut self) {
        for (mutation, entries, ids) in std::mem::take(&mut self.told) {
            let named = entries.into_iter().map(|entry| (entry["id"].as_str().unwrap().to_owned(), entry));
            self.known.extend(named);
            ids.iter().for_each(|id| drop(self.known.remove(id)));
            self.processed = Some(mutation);
        }
    }
}

fn publish(agent: &Agent, text: &str) -> String {
    let body = json!({ "record": { "$type": "agent.memory.note", "summary": text }, "privacy": "public" });
    let made = agent.client.post("agent.memory.createMemory", &body).ok().json();
    made["uri"].as_str().unwrap().to_owned()
}

/// What anybody finds, by which channels.
fn search(world: &World, text: &str) -> Vec<(String, Vec<String>)> {
    let answer = world.client().get(SEARCH, &[("q", text)]).ok().json();
    let name = |channel: &Value| channel["name"].as_str().unwrap().to_owned();
    let hit = |hit: &Value| {
        let summary = hit["memory"]["record"]["summary"].as_str().unwrap().to_owned();
        (summary, hit["channels"].as_array().unwrap().iter().map(name).collect())
    };
    answer["hits"].as_array().unwrap().iter().map(hit).collect()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        pause(100);
    }
}

fn is_first(world: &World, text: &str, expected: &str) -> bool {
    search(world, text)
        .first()
        .is_some_and(|(found, by)| found == expected && by.contains(&"vector".to_owned()))
}

#[test]
fn a_public_memory_is_found_by_meaning_before_vectorize_has_it_and_by_vectorize_after() {
    let vectors = Arc::new(Mutex::new(Vectors { refuses: true, ..Vectors::default() }));
    let shared = Arc::clone(&vectors);
    let stand_in = StandIn::start(move |noted| shared.lock().unwrap().answer(noted));
    let world = Setup::new().vectorize(&stand_in).variable("VECTOR_INDEX", "murmuration-public").start();
    let alice = Agent::new(&world, "alice");
    let uri = publish(&alice, DOCTOR);
    publish(&alice, "the cat wants warm milk in the morning");
    // Its first call is refused; it is found all the same, by what lies here, and told again by the next run.
    until("found by the overlay", || is_first(&world, "a medical job", DOCTOR));
    assert!(vectors.lock().unwrap().known.is_empty());
    until("told again", || vectors.lock().unwrap().told.iter().map(|told| told.1.len()).sum::<usize>() == 2);
    assert!(is_first(&world, "a medical job", DOCTOR), "told, and not done yet");
    let id = vectors.lock().unwrap().told[0].1[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 52);

    // It is done, and the object asks how far it is: then nothing of it is scanned here any more.
    let _ = stand_in.take();
    vectors.lock().unwrap().work();
    let asked = || stand_in.take().iter().any(|noted| noted.path.ends_with("info"));
    until("asked how far it is", asked);
    world.evict("index", "host");
    until("found by Vectorize", || is_first(&world, "a medical job", DOCTOR));
    let hidden = std::mem::take(&mut vectors.lock().unwrap().known);
    assert!(!is_first(&world, "a medical job", DOCTOR), "without Vectorize's answer there is none");
    vectors.lock().unwrap().known = hidden;

    // What is deleted is not found, though Vectorize still has it, and then goes there, too.
    let rkey = uri.rsplit('/').next().unwrap();
    let gone = json!({ "repo": alice.did, "collection": "agent.memory.note", "rkey": rkey });
    let _ = alice.client.post("com.atproto.repo.deleteRecord", &gone).ok();
    until("gone", || search(&world, "a medical job").iter().all(|(found, _)| found != DOCTOR));
    assert_eq!(vectors.lock().unwrap().known.len(), 2);
    until("told to delete", || vectors.lock().unwrap().told.iter().any(|told| told.2.len() == 1));
    vectors.lock().unwrap().work();
    assert_eq!(vectors.lock().unwrap().known.len(), 1);
}
