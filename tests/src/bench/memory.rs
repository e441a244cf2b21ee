//! `cargo xtask bench memory`: how well memories are found, and how fast.
//!
//! *Quality.* Two kinds of text, five thousand pairs each: a query, and the text that it is to find among all. Five ways to
//! find it: by words (BM25 over stems), by the model's vectors, by both; and by all-MiniLM-L6-v2, the yardstick, alone and
//! with words. The pairs and the yardstick's vectors are made by the scripts beside the model (`model/README.md` says how):
//! they are the network that the model was trained to give what it gives, run by one and the same program. What is measured
//! is what searches in the Worker: `murmuration_recall::Index`, `murmuration_embedding::Model`.
//!
//! *Speed.* In workerd, in the test build: the index from its bytes, and searches with the embedding of their queries.
//!
//! *Kept.* Memories of an agent in a running host, over HTTP.

mod kept;
mod pairs;
mod quality;
mod speed;

use std::path::PathBuf;

use kept::kept;
use pairs::Pairs;
use quality::quality;
use speed::speed;

/// The kinds of text.
const KINDS: [&str; 2] = ["debian", "wordnet"];

/// What is measured of memories.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Where the texts are.
    pub texts: PathBuf,
    /// Whether it is only seen that everything runs.
    pub quick: bool,
    /// The most memories that an agent is given.
    pub most: usize,
    /// What is measured, of [`MEMORY_NAMES`]; all of it if that is empty.
    pub only: Vec<String>,
}

/// What `--only` may name.
pub const MEMORY_NAMES: [&str; 3] = ["quality", "speed", "kept"];

/// Measures; gives each table to `print` as soon as it is there.
///
/// # Errors
/// What is missing in the folder of the texts.
pub fn memory(plan: &MemoryPlan, mut print: impl FnMut(&str)) -> Result<(), String> {
    let wants = |name: &str| plan.only.is_empty() || plan.only.iter().any(|only| only == name);
    for kind in KINDS.into_iter().filter(|_| wants("quality")) {
        let mut pairs = Pairs::read(&plan.texts, kind)?;
        if plan.quick {
            pairs.keep(QUICK_PAIRS);
        }
        print(&quality(kind, &pairs));
    }
    if wants("speed") {
        print(&speed(plan.quick));
    }
    if wants("kept") {
        print(&kept(plan.most, plan.quick));
    }
    Ok(())
}

/// Pairs with which it is only seen whether everything runs.
const QUICK_PAIRS: usize = 200;
