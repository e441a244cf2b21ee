//! `cargo xtask bench memory`: how well memories are found, and how fast.
//!
//! *Quality.* Two kinds of text, five thousand pairs each: a query, and the text that it is to find among all. Five ways to
//! find it: by words (BM25 over stems), by the model's vectors, by both; and by all-MiniLM-L6-v2, the yardstick, alone and
//! with words. The pairs and the yardstick's vectors are made by the scripts beside the model (`model/README.md` says how):
//! they are the network that the model was trained to give what it gives, run by one and the same program. What is measured
//! is what searches in the Worker: `murmuration_recall::Index`, `murmuration_embedding::Model`.
//!
//! *Speed.* In workerd, in the test build: the index from its bytes, and searches with the embedding of their queries.

mod pairs;
mod quality;
mod speed;

use std::path::Path;

use pairs::Pairs;
use quality::quality;
use speed::speed;

/// The kinds of text.
const KINDS: [&str; 2] = ["debian", "wordnet"];

/// Measures; gives each table to `print` as soon as it is there.
///
/// # Errors
/// What is missing in the folder of the texts.
pub fn memory(folder: &Path, quick: bool, mut print: impl FnMut(&str)) -> Result<(), String> {
    for kind in KINDS {
        let mut pairs = Pairs::read(folder, kind)?;
        if quick {
            pairs.keep(QUICK_PAIRS);
        }
        print(&quality(kind, &pairs));
    }
    print(&speed(quick));
    Ok(())
}

/// Pairs with which it is only seen whether everything runs.
const QUICK_PAIRS: usize = 200;
