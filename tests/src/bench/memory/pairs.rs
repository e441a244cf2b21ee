//! The pairs of a kind of text, with the yardstick's vectors.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Dimensions of the yardstick's vectors.
const DIMS: usize = 384;

/// What is asked for, and what is to be found.
pub(super) struct Pairs {
    pub(super) queries: Vec<String>,
    pub(super) documents: Vec<String>,
    /// The yardstick's vectors of both.
    pub(super) asked: Vec<Vec<f32>>,
    pub(super) held: Vec<Vec<f32>>,
}

impl Pairs {
    /// Reads `KIND.jsonl` and `KIND.f32`.
    pub(super) fn read(folder: &Path, kind: &str) -> Result<Self, String> {
        let missing = |path: &Path| {
            format!("{} is missing: crates/embedding/model/README.md says how it is made", path.display())
        };
        let path = folder.join(format!("{kind}.jsonl"));
        let text = fs::read_to_string(&path).map_err(|_| missing(&path))?;
        let part = |name: &str| -> Option<Vec<String>> {
            text.lines()
                .map(|line| Some(serde_json::from_str::<Value>(line).ok()?[name].as_str()?.to_owned()))
                .collect()
        };
        let broken = || format!("{} is not of pairs", path.display());
        let (queries, documents) = (part("query").ok_or_else(broken)?, part("document").ok_or_else(broken)?);
        let path = folder.join(format!("{kind}.f32"));
        let bytes = fs::read(&path).map_err(|_| missing(&path))?;
        let numbers: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if numbers.len() != 2 * queries.len() * DIMS || !numbers.iter().all(|number| number.is_finite()) {
            return Err(format!("{} has not a vector of finite numbers for each text", path.display()));
        }
        let mut asked: Vec<Vec<f32>> = numbers.chunks(DIMS).map(<[f32]>::to_vec).collect();
        let held = asked.split_off(queries.len());
        Ok(Self { queries, documents, asked, held })
    }

    /// Keeps only the first of them.
    pub(super) fn keep(&mut self, count: usize) {
        self.queries.truncate(count);
        self.documents.truncate(count);
        self.asked.truncate(count);
        self.held.truncate(count);
    }
}
