//! Memories that are kept: written, sealed and found in a running host, asked over HTTP.
//!
//! One agent grows to each of the sizes by imports, which write what 100 creations would. At each size it is asked in one go, then put
//! out of memory and asked again, and remembers and posts in turns. The host runs the test build, which can put an object out of
//! memory and counts rows; for want of a pass of `wasm-opt` it is a little slower than the one that is deployed.

use std::time::Instant;

use data_encoding::HEXLOWER;
use murmuration_data::{cbor, json as data};
use murmuration_syntax::Tid;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::agent::Agent;
use crate::world::{Setup, World};

use super::super::agents::{Figure, agent_table};
use super::super::host::{COLLECTION, CREATE, post, processor_seconds};
use super::super::http::Connection;
use super::super::{median, quantile};

/// Sizes at which is measured, as far as the plan goes. The last leaves room for what is kept while it is measured: an agent may keep
/// 50,000 (`crates/memory/src/limits.rs`).
const SIZES: [usize; 3] = [1_000, 10_000, 49_000];
/// The size that the bars are of.
const BARRED: usize = 10_000;
/// Memories of an import.
const PART: usize = 100;
/// Searches of a size.
const SEARCHES: usize = 200;
/// First searches of a size.
const WAKES: usize = 15;
/// Memories and records that are made in turns.
const TURNS: usize = 60;
/// Words of a memory, of a query, and different ones of all.
const WORDS: u64 = 40;
const ASKED: u64 = 7;
const VOCABULARY: u64 = 20_000;
/// The moment that the first memory is of, in microseconds since the Unix epoch.
const BEGIN: u64 = 1_795_000_000_000_000;

const IMPORT: &str = "/xrpc/agent.memory.importMemories";
const REMEMBER: &str = "/xrpc/agent.memory.createMemory";

/// The table, up to so many memories; with `quick` only whether everything runs.
pub(super) fn kept(most: usize, quick: bool) -> String {
    let world = Setup::new().start();
    let mut keeper = Keeper::new(&world);
    let mut figures = Vec::new();
    if quick {
        figures.extend(keeper.measure(PART, 10));
    } else {
        for size in SIZES.into_iter().filter(|size| *size <= most) {
            figures.extend(keeper.measure(size, 1));
        }
    }
    format!("### memories that are kept\n{}", agent_table(&figures))
}

/// An agent with memories.
struct Keeper<'a> {
    world: &'a World,
    agent: Agent,
    connection: Connection,
    memories: usize,
    asked: u64,
}

impl<'a> Keeper<'a> {
    fn new(world: &'a World) -> Self {
        let agent = Agent::new(world, "keeper");
        let connection = Connection::open(&world.address(), &agent.access);
        Self { world, agent, connection, memories: 0, asked: 0 }
    }

    /// The figures of a size, each of so many times fewer samples.
    fn measure(&mut self, size: usize, fewer: usize) -> Vec<Figure> {
        eprintln!("bench: {size} memories");
        let start = Instant::now();
        let before = self.memories;
        while self.memories < size {
            self.import();
        }
        let each = start.elapsed().as_secs_f64() * 1e3 / f64::from(u32::try_from(size - before).unwrap());
        let barred = size == BARRED;
        let line = |title: &str, unit, figure: f64, most: Option<f64>| {
            let line = Figure::new(format!("{title}, {size} memories"), unit, figure);
            most.filter(|_| barred).into_iter().fold(line, Figure::at_most)
        };
        // What V8 does to make it fast is done before.
        let _ = self.searches(SEARCHES / fewer);
        let (searches, processor) = self.searches(SEARCHES / fewer);
        let (first, first_processor) = self.first_searches(WAKES / fewer);
        let rows = self.rows(TURNS / fewer);
        let (remembered, posted) = self.turns(TURNS / fewer);
        vec![
            line("importMemories, of each", "ms", each, None),
            line("searchMemories, p50", "ms", quantile(&searches, 0.5), Some(8.0)),
            line("searchMemories, p95", "ms", quantile(&searches, 0.95), Some(20.0)),
            line("searchMemories, processor time", "ms", processor, None),
            line("first search after sleep, p50", "ms", median(first), Some(60.0)),
            line("first search after sleep, processor time", "ms", first_processor, None),
            line("createMemory, p50", "ms", median(remembered.iter().copied()), None),
            line("createRecord in turns with it, p50", "ms", median(posted.iter().copied()), None),
            line("createMemory to createRecord", "times", median(remembered) / median(posted), Some(3.0)),
            line("rows written for a memory", "rows", rows, Some(8.0)),
        ]
    }

    /// Brings a part of an export into the store, as the agent's own.
    fn import(&mut self) {
        let memories: Vec<Value> = (0..PART)
            .map(|_| {
                self.memories += 1;
                let made = BEGIN + u64::try_from(self.memories).unwrap() * 1_000_000;
                let mut record = note(made);
                record["createdAt"] = "2026-11-18T09:00:00.000Z".into();
                let path = format!("agent.memory.note/{}", Tid::from_parts(made, 1));
                json!({ "path": path, "createdMicros": made, "updatedMicros": made, "pinned": false, "record": record })
            })
            .collect();
        let mut part = json!({
            "v": 1, "agent": self.agent.did, "form": "opened", "part": 0, "memories": memories, "states": [], "last": false,
        });
        let bytes = cbor::encode(&data::from_value(&part).unwrap()).unwrap();
        part["sum"] = HEXLOWER.encode(&Sha256::digest(&bytes)).into();
        let answer = self.connection.post(IMPORT, &json!({ "part": part }).to_string());
        assert_eq!(serde_json::from_slice::<Value>(answer).unwrap()["added"], PART);
    }

    /// Milliseconds of each of so many searches, and the processor's of one.
    fn searches(&mut self, count: usize) -> (Vec<f64>, f64) {
        let before = processor_seconds(self.world.pid());
        let times = (0..count).map(|_| self.search()).collect();
        let took = processor_seconds(self.world.pid()) - before;
        (times, took * 1e3 / f64::from(u32::try_from(count).unwrap()))
    }

    /// The same of those that come first after the object was put out of memory.
    fn first_searches(&mut self, count: usize) -> (Vec<f64>, f64) {
        let mut took = 0.0;
        let times = (0..count).map(|_| {
            self.world.evict("agent", &self.agent.did);
            let before = processor_seconds(self.world.pid());
            let time = self.search();
            took += processor_seconds(self.world.pid()) - before;
            time
        });
        let times = times.collect();
        (times, took * 1e3 / f64::from(u32::try_from(count).unwrap()))
    }

    fn search(&mut self) -> f64 {
        self.asked += 1;
        let query = words(u64::MAX - self.asked, ASKED).replace(' ', "%20");
        let start = Instant::now();
        let answer = self.connection.get(&format!("/xrpc/agent.memory.searchMemories?q={query}&limit=10"));
        let took = start.elapsed();
        let answer: Value = serde_json::from_slice(answer).unwrap();
        assert_eq!((answer["hits"].as_array().unwrap().len(), &answer["degraded"]), (10, &json!([])));
        took.as_secs_f64() * 1e3
    }

    /// Rows that a memory writes, on average.
    fn rows(&mut self, count: usize) -> f64 {
        let before = self.world.rows_written("agent", &self.agent.did);
        for _ in 0..count {
            let _ = self.remember();
        }
        let written = self.world.rows_written("agent", &self.agent.did) - before;
        f64::from(u32::try_from(written).unwrap()) / f64::from(u32::try_from(count).unwrap())
    }

    /// Milliseconds of memories and of records that are made in turns.
    fn turns(&mut self, count: usize) -> (Vec<f64>, Vec<f64>) {
        let record =
            json!({ "repo": self.agent.did, "collection": COLLECTION, "record": post() }).to_string();
        let (mut remembered, mut posted) = (Vec::new(), Vec::new());
        for _ in 0..count {
            remembered.push(self.remember());
            let start = Instant::now();
            let _ = self.connection.post(CREATE, &record);
            posted.push(start.elapsed().as_secs_f64() * 1e3);
        }
        (remembered, posted)
    }

    fn remember(&mut self) -> f64 {
        self.asked += 1;
        self.memories += 1;
        let body = json!({ "record": note(self.asked) }).to_string();
        let start = Instant::now();
        let _ = self.connection.post(REMEMBER, &body);
        start.elapsed().as_secs_f64() * 1e3
    }
}

fn note(seed: u64) -> Value {
    json!({ "$type": "agent.memory.note", "summary": format!("What was said {seed}"), "text": words(seed, WORDS) })
}

/// A text of words that are made up from a number; some are frequent, and most rare.
fn words(seed: u64, count: u64) -> String {
    let mut state = seed;
    let mut words = Vec::new();
    for _ in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words.push(format!("note{}", (state >> 33) % VOCABULARY * ((state >> 13) % VOCABULARY) / VOCABULARY));
    }
    words.join(" ")
}
