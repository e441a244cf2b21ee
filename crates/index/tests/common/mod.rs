//! A world of documents, with an embedder that knows cats from trains.

use murmuration_data::{cid_of_cbor, json, record};
use murmuration_embedding::Vector;
use murmuration_index::{Change, Document, Embedding, Found, Kind, PublicIndex, Search, Wanted};
use murmuration_memory::Meaning;
use murmuration_platform::Store;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_syntax::{Did, RepoPath, Rev};
use serde_json::{Value, json as object};

pub const NOW: u64 = 1_795_000_000_000_000;
pub const MODEL: &str = "cats and trains";

/// A vector in which what is about cats lies to one side, and what is about trains to another.
pub fn vector(text: &str) -> Vector {
    let has = |words: [&str; 3]| if words.iter().any(|word| text.contains(word)) { 1.0 } else { 0.05 };
    Vector::from_f32(&[has(["cat", "feline", "kitten"]), has(["train", "rail", "engine"]), 0.1, 0.1]).unwrap()
}

pub fn did(name: &str) -> Did {
    Did::parse(&format!("did:web:{name}.example")).unwrap()
}

pub fn path(rkey: &str) -> RepoPath {
    RepoPath::parse(&format!("agent.memory.note/{rkey}")).unwrap()
}

/// The revision of a second of the test.
pub fn rev(second: u64) -> Rev {
    Rev::from_parts(NOW + second * 1_000_000, 1)
}

pub fn document(did: &Did, path: &RepoPath, second: u64, value: &Value) -> Document {
    let value = json::from_value(value).unwrap();
    let cid = cid_of_cbor(&record::to_cbor(&value).unwrap());
    Document::of(did, path, cid, rev(second), &value).unwrap()
}

/// A note, embedded.
pub fn note(did: &Did, rkey: &str, second: u64, text: &str) -> Change {
    let value = object!({ "$type": "agent.memory.note", "summary": text, "tags": ["t"] });
    let mut document = document(did, &path(rkey), second, &value);
    document.embedding = Embedding::Is(vector(text));
    Change::Put(Box::new(document))
}

pub fn gone(did: &Did, rkey: &str, second: u64) -> Change {
    Change::Gone { did: did.clone(), path: path(rkey), rev: rev(second) }
}

pub fn standing(did: &Did, active: bool, deleted: bool) -> Change {
    Change::Standing { did: did.clone(), active, deleted }
}

pub struct World {
    pub store: SqliteStore,
    pub index: PublicIndex,
    cursor: u64,
}

impl World {
    pub fn new() -> Self {
        let store = SqliteStore::open().unwrap();
        let index = PublicIndex::open(&store, None).unwrap();
        Self { store, index, cursor: 0 }
    }

    /// Applies changes; answers the rows that were written.
    pub fn apply(&mut self, changes: Vec<Change>) -> u64 {
        let before = self.store.counts().written;
        self.cursor += 1;
        self.index.apply(&self.store, changes, MODEL, self.cursor).unwrap();
        self.store.counts().written - before
    }

    pub fn reopen(&mut self) {
        self.index = PublicIndex::open(&self.store, None).unwrap();
    }

    pub fn search(&self, text: &str, wanted: Wanted<'_>) -> Vec<Found> {
        let meaning = Meaning { model: MODEL.into(), vector: vector(text) };
        let search =
            Search { text, meaning: Some(&meaning), outside: &[], wanted, least: 0.0, limit: 10, now: NOW };
        self.index.search(&self.store, &search).unwrap()
    }

    /// The record keys of the memories that are found.
    pub fn found(&self, text: &str) -> Vec<String> {
        let found = self.search(text, Wanted::all(Kind::Memories)).into_iter();
        found.map(|found| found.path.rkey.to_string()).collect()
    }
}
