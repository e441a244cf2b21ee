//! Embeds and searches over and over, so that it can be seen what it costs in the Worker's Wasm: `cargo xtask bench memory`.

use std::error::Error;

use murmuration_embedding::Vector;
use murmuration_platform::Clock;
use murmuration_recall::{Embedded, Entry, Index, Query, tokens};
use serde_json::{Value, json};
use worker::Env;

use crate::clock::WallClock;
use crate::embedder;

/// Different words that the memories are made of.
const VOCABULARY: u64 = 20_000;
/// Words of a memory.
const WORDS: u64 = 40;
/// Words of a query.
const ASKED: u64 = 7;
/// Texts whose vectors the memories have, a bit apart.
const TEXTS: u64 = 500;

/// The vector of a text, and who made it.
pub(super) async fn embed(env: &Env, text: &str) -> Result<Value, Box<dyn Error>> {
    let embedder = embedder::open(env).await.map_err(|error| error.to_string())?;
    let vectors = embedder.embed(&[text]).await?;
    Ok(json!({ "id": embedder.id(), "vector": vectors.first() }))
}

/// Builds an index of so many entries from their bytes, searches it for so many milliseconds, embedding included, and answers
/// the microseconds of each.
pub(super) async fn search(env: &Env, entries: u32, ms: u32) -> Result<Value, Box<dyn Error>> {
    let started = WallClock.now_micros();
    let embedder = embedder::open(env).await.map_err(|error| error.to_string())?;
    let read = WallClock.now_micros() - started;
    let mut pages = Vec::new();
    let texts: Vec<String> = (0..TEXTS).map(|text| words(text, WORDS)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut vectors = embedder.embed(&texts).await?;
    for slot in 0..entries {
        let text = words(u64::from(slot), WORDS);
        let which = usize::try_from(slot)? % vectors.len();
        let vector = vectors.get_mut(which).ok_or("no vector")?;
        vector.rotate_left(1);
        let entry =
            Entry::new(slot).with_words(tokens(&text, token)).with_vector(1, Vector::from_f32(vector)?);
        entry.write_to(&mut pages);
    }
    let started = WallClock.now_micros();
    let (mut index, mut rest) = (Index::default(), pages.as_slice());
    while !rest.is_empty() {
        index.put(Entry::read_from(&mut rest)?)?;
    }
    let built = WallClock.now_micros() - started;
    let (end, mut taken, mut found) = (WallClock.now_micros() + u64::from(ms) * 1000, Vec::new(), 0);
    while WallClock.now_micros() < end {
        let started = WallClock.now_micros();
        let text = words(u64::MAX - started, ASKED);
        let vector = embedder.embed(&[text.as_str()]).await?.pop().ok_or("no vector")?;
        let embedded = Some(Embedded { by: 1, vector: Vector::from_f32(&vector)? });
        let query = Query { embedded, words: tokens(&text, token), ..Query::default() };
        found += index.search(&query, |_| true).len();
        taken.push(WallClock.now_micros() - started);
    }
    Ok(json!({ "read": read, "built": built, "bytes": index.bytes(), "searches": taken, "found": found }))
}

/// A text of words that are made up from a number.
fn words(seed: u64, count: u64) -> String {
    let mut state = seed;
    let mut text = String::new();
    for _ in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The square makes some words frequent and most rare.
        let share = (state >> 33) % VOCABULARY * ((state >> 13) % VOCABULARY) / VOCABULARY;
        text.push_str(&format!("note{share} "));
    }
    text
}

fn token(word: &str) -> u32 {
    word.bytes().fold(2_166_136_261, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(16_777_619))
}
