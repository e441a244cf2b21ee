//! Embedders that are asked over the network, in the real Worker: Workers AI through the class of the platform's binding, and an
//! endpoint that speaks OpenAI's protocol. The host goes from one to the other in the middle of its life, and dies on the way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use murmuration_tests::{Agent, Noted, Reply, Setup, StandIn, World, pause};
use serde_json::{Value, json};
use xtask::worker::MODEL;

/// Memories, more than are embedded at once.
const MEMORIES: usize = 70;

/// A vector in which all about cats lies to one side, and all about trains to another; in so many dimensions.
fn vector(text: &str, dims: usize) -> Value {
    let side = if ["cat", "feline", "kitten"].iter().any(|word| text.contains(word)) {
        0
    } else if ["train", "rail"].iter().any(|word| text.contains(word)) {
        1
    } else {
        2
    };
    (0..dims).map(|at| if at == side { 1.0 } else { 0.05 }).collect::<Vec<f64>>().into()
}

/// Workers AI, as the platform's binding speaks to it.
fn workers_ai(noted: &Noted) -> Reply {
    let asked: Value = serde_json::from_slice(&noted.body).unwrap();
    let texts = asked["inputs"]["text"].as_array().unwrap();
    let data: Vec<Value> = texts.iter().map(|text| vector(text.as_str().unwrap(), 8)).collect();
    Reply::json(200, &json!({ "shape": [data.len(), 8], "data": data }))
}

/// An endpoint of OpenAI's protocol, which gives the vectors in another order than that of the texts.
fn openai(noted: &Noted) -> Reply {
    let asked: Value = serde_json::from_slice(&noted.body).unwrap();
    let texts = asked["input"].as_array().unwrap().iter().enumerate().rev();
    let item = |(index, text): (usize, &Value)| json!({ "object": "embedding", "index": index, "embedding": vector(text.as_str().unwrap(), 12) });
    Reply::json(200, &json!({ "object": "list", "data": texts.map(item).collect::<Vec<_>>() }))
}

fn remember(agent: &Agent, text: &str) {
    let record = json!({ "$type": "agent.memory.note", "summary": text });
    let _ = agent.client.post("agent.memory.createMemory", &json!({ "record": record })).ok();
}

/// The best of what is found, by which channels, and which could not be asked.
fn best(agent: &Agent, text: &str) -> (String, Vec<String>, Value) {
    let answer = agent.client.get("agent.memory.searchMemories", &[("q", text)]).ok().json();
    let hit = &answer["hits"][0];
    let channels = hit["channels"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let channels = channels.map(|channel| channel["name"].as_str().unwrap().to_owned()).collect();
    let summary = hit["memory"]["record"]["summary"].as_str().unwrap_or_default();
    (summary.to_owned(), channels, answer["degraded"].clone())
}

fn stats(agent: &Agent) -> (Value, bool) {
    let stats = agent.client.get("agent.memory.getStats", &[]).ok().json();
    (stats["embedder"].clone(), stats["embeddingPending"].as_bool().unwrap())
}

fn wait_for_vectors(agent: &Agent) {
    until(|| !stats(agent).1);
}

#[track_caller]
fn until(holds: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < patience);
        pause(200);
    }
}

fn is_found_by_meaning(agent: &Agent, query: &str, text: &str) {
    let (found, channels, degraded) = best(agent, query);
    assert_eq!((found.as_str(), &degraded), (text, &json!([])));
    assert!(channels.contains(&"vector".to_owned()), "{channels:?}");
}

#[test]
fn another_embedder_takes_the_place_of_one_while_the_host_dies_and_both_may_be_away() {
    let (first, second) = (StandIn::start(workers_ai), StandIn::start(openai));
    let mut world: World = Setup::new().ai(&first).variable("EMBEDDER", "workers-ai").start();
    let alice = Agent::new(&world, "alice");
    remember(&alice, "felines doze");
    remember(&alice, "the railway is late");
    is_found_by_meaning(&alice, "cat", "felines doze");
    is_found_by_meaning(&alice, "train", "the railway is late");
    let asked = first.take();
    let texts: Vec<_> = asked.iter().map(|noted| String::from_utf8_lossy(&noted.body).into_owned()).collect();
    assert_eq!(asked.len(), 4, "each text once: {texts:?}");
    assert_eq!(asked[0].header("cf-consn-model-id"), Some("@cf/baai/bge-m3"));
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(body["inputs"], json!({ "text": ["felines doze"] }));
    assert_eq!(stats(&alice), (json!("workers-ai @cf/baai/bge-m3"), false));

    // Who may not call has nothing embedded.
    let query = [("q", "cat")];
    assert_eq!(world.client().get("agent.memory.getContext", &query).status, 401);
    assert!(first.take().is_empty());

    // It is away: memories are written all the same, and found by their words, until the alarm has got the rest.
    let away =
        json!({ "internalCode": 3040, "description": "Capacity temporarily exceeded", "name": "AiError" });
    first.script(move |_| Reply::json(429, &away));
    remember(&alice, "a kitten purrs");
    let (found, channels, degraded) = best(&alice, "purrs");
    assert_eq!((found.as_str(), degraded), ("a kitten purrs", json!(["vector"])));
    assert!(!channels.contains(&"vector".to_owned()), "{channels:?}");
    assert_eq!(first.take().len(), 1, "calls do not wait for who is away");
    first.script(workers_ai);
    world.evict("agent", &alice.did);
    wait_for_vectors(&alice);
    let (found, channels, degraded) = best(&alice, "kitten");
    assert_eq!((found.as_str(), degraded), ("a kitten purrs", json!([])));
    assert!(channels.contains(&"vector".to_owned()));
    for n in 0..MEMORIES - 3 {
        remember(&alice, &format!("number {n} is odd or even"));
    }

    // Another embedder; the host dies when some are embedded, and goes on with the others.
    for (name, value) in [
        ("EMBEDDER", "openai"),
        ("EMBEDDER_URL", &format!("{}/v1/", second.url())),
        ("EMBEDDER_MODEL", "small"),
        ("EMBEDDER_DIMENSIONS", "12"),
        ("EMBEDDER_KEY", "a key"),
    ] {
        world.change(name, value);
    }
    world.kill_9();
    world.restart();
    let (found, _, degraded) = best(&alice, "doze");
    assert_eq!((found.as_str(), degraded), ("felines doze", json!(["vector"])));
    let patience = Instant::now() + Duration::from_secs(30);
    let mut asked = second.take();
    while asked.len() < 2 {
        assert!(Instant::now() < patience, "{}", asked.len());
        asked.extend(second.take());
        pause(1);
    }
    world.kill_9();
    world.restart();
    assert_eq!(stats(&alice).0, "openai small 12");
    wait_for_vectors(&alice);
    is_found_by_meaning(&alice, "cat", "felines doze");
    is_found_by_meaning(&alice, "train", "the railway is late");
    asked.extend(second.take());
    let mut texts = Vec::new();
    for noted in &asked {
        assert_eq!((noted.method.as_str(), noted.path.as_str()), ("POST", "/v1/embeddings"));
        assert_eq!(noted.header("authorization"), Some("Bearer a key"));
        let body: Value = serde_json::from_slice(&noted.body).unwrap();
        assert_eq!((&body["model"], &body["dimensions"]), (&json!("small"), &json!(12)));
        texts.extend(body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()));
    }
    let different: BTreeSet<&String> = texts.iter().filter(|text| text.contains(' ')).collect();
    assert_eq!(different.len(), MEMORIES, "every memory");
    assert!(
        texts.len() <= MEMORIES + 3 + 2 * 32,
        "{} texts: what was embedded before the death is not again",
        texts.len()
    );
    assert!(!world.log().contains("a key") && !world.log().contains("felines"), "{}", world.log());
}

#[test]
fn without_the_model_memories_are_kept_and_embedded_when_it_is_back() {
    let world = World::start();
    let model = world.folder().join("assets").join(Path::new(MODEL).file_name().unwrap());
    let bytes = fs::read(&model).unwrap();
    fs::remove_file(&model).unwrap();
    let alice = Agent::new(&world, "alice");
    remember(&alice, "felines doze");
    let (found, channels, degraded) = best(&alice, "felines");
    assert_eq!((found.as_str(), degraded), ("felines doze", json!(["vector"])));
    assert!(!channels.contains(&"vector".to_owned()), "{channels:?}");
    assert!(stats(&alice).1);
    let (note, late) = ("agent.memory.note", "the railway is late");
    let body = json!({ "record": { "$type": note, "summary": late }, "privacy": "public" });
    let _ = alice.client.post("agent.memory.createMemory", &body).ok();
    // What anybody finds, and which channels could not be asked.
    let anybody = |text: &str| {
        let answer = world.client().get("agent.memory.searchMemories", &[("q", text)]).ok().json();
        (answer["hits"][0]["memory"]["record"]["summary"].clone(), answer["degraded"].clone())
    };
    until(|| anybody("railway") == (json!(late), json!(["vector"])));

    fs::write(&model, bytes).unwrap();
    wait_for_vectors(&alice);
    is_found_by_meaning(&alice, "cats that sleep", "felines doze");
    until(|| anybody("a delayed train") == (json!(late), json!([])));
}

#[test]
fn a_language_model_of_workers_ai_reads_what_was_said() {
    let model = StandIn::start(|_: &Noted| {
        let memories = json!({ "memories": [{ "kind": "note", "summary": "the well is dry" }] });
        Reply::json(200, &json!({ "response": memories, "usage": { "total_tokens": 9 } }))
    });
    let world = Setup::new().ai(&model).variable("EXTRACTOR", "workers-ai").start();
    let alice = Agent::new(&world, "alice");
    let said = json!({ "messages": [{ "role": "user", "text": "There is no water in the well." }] });
    let answer = alice.client.post("agent.memory.ingestMessages", &said).ok().json();
    assert_eq!((&answer["accepted"], &answer["invalid"]), (&json!(1), &json!(0)), "{answer}");
    assert_eq!(best(&alice, "well").0, "the well is dry");
    let [asked] = model.take().try_into().unwrap_or_else(|asked| panic!("{asked:?}"));
    assert_eq!(asked.header("cf-consn-model-id"), Some("@cf/meta/llama-3.3-70b-instruct-fp8-fast"));
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert!(body["inputs"]["messages"][1]["content"].as_str().unwrap().contains("no water"), "{body}");

    let away =
        json!({ "internalCode": 3040, "description": "Capacity temporarily exceeded", "name": "AiError" });
    model.script(move |_| Reply::json(429, &away));
    let said = json!({ "messages": [{ "role": "user", "text": "It rains." }] });
    let answer = alice.client.post("agent.memory.ingestMessages", &said);
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("ExtractorUnavailable")));
}
