//! What is asked of an index, and what it answers.

use std::collections::BTreeMap;

use crate::entry::{Embedded, Slot};
use crate::words::Tokens;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Query {
    /// The query's vector and its model; entries of other models are found by their words.
    pub embedded: Option<Embedded>,
    /// Cosines to entries whose vectors lie elsewhere, as they were found there.
    pub near: BTreeMap<Slot, f32>,
    /// The query's words, by the same key as the entries'.
    pub words: Tokens,
    /// The time to measure recency from, in microseconds since the Unix epoch.
    pub now: u64,
    /// How much each channel counts.
    pub weights: Weights,
    /// Hits, at most.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            embedded: None,
            near: BTreeMap::new(),
            words: Tokens::default(),
            now: 0,
            weights: Weights::default(),
            limit: 10,
        }
    }
}

/// How much each channel counts. What is not given to recency and importance is shared between vector and words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of what vector and words share, the words' part. From 0 to 1.
    pub words: f32,
    /// The part of recency, from 0 to 1.
    pub recency: f32,
    /// The part of importance, from 0 to 1.
    pub importance: f32,
    /// After how many microseconds recency is halved.
    pub half_life: u64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { words: WORDS, recency: RECENCY, importance: IMPORTANCE, half_life: HALF_LIFE }
    }
}

/// A memory that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub slot: Slot,
    /// How well it fits, from 0 to 1: the weighed sum of the channels.
    pub score: f32,
    /// The cosine between query and memory, when both have vectors of one model.
    pub vector: Option<f32>,
    /// The words' score against the best of the index, when the memory has any of them. From 0 to 1.
    pub words: Option<f32>,
    /// How recent it is, from 0 to 1.
    pub recency: f32,
}

/// Different words of a query that are searched for, at most: a sentence of a thousand letters has fewer.
pub const MAX_QUERY_WORDS: usize = 128;

/// Measured: better than half and half, than ranks fused, and than either alone.
const WORDS: f32 = 0.4;

/// Little: a memory that fits a tenth better comes before one that is new.
const RECENCY: f32 = 0.05;

/// As little.
const IMPORTANCE: f32 = 0.05;

/// Thirty days, in microseconds.
const HALF_LIFE: u64 = 30 * 24 * 60 * 60 * 1_000_000;
