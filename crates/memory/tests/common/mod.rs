//! An agent that remembers, over SQLite.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_data::{Cid, cbor, json};
use murmuration_keyring::Ring;
use murmuration_memory::{
    Change, Draft, Keeper, Memories, MemoryError, OnDuplicate, Search, SetHash, Written,
};
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Entropy, Store, run_script};
use murmuration_syntax::{RepoPath, Tid};
use serde_json::{Value, json as object};

pub const NOW: u64 = 1_795_000_000_000_000;
pub const SECOND: u64 = 1_000_000;
pub const DID: &str = "did:plc:alice";

/// Numbers from a seed (splitmix64).
pub struct Random(pub Cell<u64>);

impl Random {
    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Random {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

pub struct Agent {
    pub store: Rc<SqliteStore>,
    pub memories: Memories,
    pub ring: Ring,
    pub random: Random,
    pub now: Cell<u64>,
}

impl Agent {
    pub fn new() -> Self {
        let store = Rc::new(SqliteStore::open().unwrap());
        for script in [
            include_str!("../../../../migrations/agent/0013_memory.sql"),
            include_str!("../../../../migrations/agent/0014_share.sql"),
            include_str!("../../../../migrations/agent/0015_upkeep.sql"),
            include_str!("../../../../migrations/agent/0016_thread.sql"),
            include_str!("../../../../migrations/agent/0018_embedding.sql"),
            include_str!("../../../../migrations/agent/0019_apart.sql"),
        ] {
            run_script(&*store, script).unwrap();
        }
        let random = Random(Cell::new(7));
        let (ring, _) = Ring::begin(&DID.parse().unwrap(), &random, NOW).unwrap();
        Self { memories: Memories::new(store.clone()), store, ring, random, now: Cell::new(NOW) }
    }

    pub fn keeper(&self) -> Keeper<'_> {
        Keeper { ring: &self.ring, entropy: &self.random, now: self.now.get() }
    }

    pub fn pass(&self, micros: u64) {
        self.now.set(self.now.get() + micros);
    }

    /// The name of a new note.
    pub fn fresh(&self) -> RepoPath {
        self.pass(SECOND);
        note(&Tid::from_parts(self.now.get(), 1).to_string())
    }

    pub fn remember(&self, text: &str) -> Written {
        let path = self.fresh();
        self.create(&path, &record(text)).unwrap()
    }

    pub fn create(&self, path: &RepoPath, record: &[u8]) -> Result<Written, MemoryError> {
        self.memories.create(self.keeper(), draft(path, record), None)
    }

    pub fn update(&self, path: &RepoPath, record: &[u8], swap: Option<&Cid>) -> Result<Written, MemoryError> {
        let change = Change { record, pinned: None, expires_at: None, swap, meaning: None };
        self.memories.update(self.keeper(), path, change)
    }

    pub fn summary(&self, path: &RepoPath) -> Option<String> {
        match self.memories.get(self.keeper(), path) {
            Ok(memory) => Some(summary(&memory.record)),
            Err(MemoryError::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// What an object that wakes has.
    pub fn wake(&mut self) {
        self.memories = Memories::new(self.store.clone());
    }

    pub fn written(&self) -> u64 {
        self.store.counts().written
    }

    /// Entries of the indexes that are not the tables themselves, in which a row counts.
    pub fn index_entries(&self) -> i64 {
        let count = |sql: &str| self.store.query(sql, &[]).unwrap()[0].int(0).unwrap();
        count("SELECT count(*) FROM memory WHERE expires_at IS NOT NULL")
            + count("SELECT count(*) FROM memory_op WHERE request IS NOT NULL")
            + count("SELECT count(*) FROM memory_state WHERE expires_at IS NOT NULL")
    }

    /// Every value of every row, as bytes.
    pub fn everything(&self) -> Vec<Vec<u8>> {
        let tables = [
            "memory",
            "memory_space",
            "memory_op",
            "memory_state",
            "memory_key",
            "memory_page",
            "memory_share",
            "memory_received",
            "memory_upkeep",
            "memory_thread",
            "memory_blob",
        ];
        let mut found = Vec::new();
        for table in tables {
            let columns = format!("SELECT name FROM pragma_table_info('{table}')");
            let names: Vec<String> =
                self.store.query(&columns, &[]).unwrap().iter_mut().map(|row| row.text(0).unwrap()).collect();
            for name in names {
                let sql = format!("SELECT CAST({name} AS BLOB) FROM {table} WHERE {name} IS NOT NULL");
                for mut row in self.store.query(&sql, &[]).unwrap() {
                    found.push(row.blob(0).unwrap());
                }
            }
        }
        found
    }

    /// The set hash of what a list shows, from nothing.
    pub fn hash_of_all(&self) -> SetHash {
        let mut hash = SetHash::default();
        for (path, cid) in self.all() {
            hash.add(&path, &cid);
        }
        hash
    }

    /// Every memory, by its name.
    pub fn all(&self) -> Vec<(RepoPath, Cid)> {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = self
                .memories
                .list(self.keeper(), &murmuration_memory::Filter::default(), before.as_ref(), 7)
                .unwrap();
            found.extend(page.memories.iter().map(|memory| (memory.path.clone(), memory.cid)));
            match page.next {
                Some(next) => before = Some(next),
                None => return found,
            }
        }
    }

    /// A copy that a client makes of the operations behind a revision.
    pub fn follow(&self, copy: &mut BTreeMap<String, Cid>, since: Option<Tid>) -> Option<Tid> {
        let mut since = since;
        loop {
            let page = self.memories.operations(self.keeper(), since, 5).unwrap();
            assert!(!page.gap);
            for operation in &page.operations {
                let name = operation.path.to_string();
                assert_eq!(copy.get(&name).copied(), operation.prev, "{name}");
                match operation.cid {
                    Some(cid) => copy.insert(name, cid),
                    None => copy.remove(&name),
                };
                since = Some(operation.rev);
            }
            if !page.more {
                return since;
            }
        }
    }
}

pub fn note(rkey: &str) -> RepoPath {
    RepoPath::parse(&format!("agent.memory.note/{rkey}")).unwrap()
}

pub fn draft<'a>(path: &'a RepoPath, record: &'a [u8]) -> Draft<'a> {
    Draft {
        path,
        record,
        pinned: false,
        expires_at: None,
        meaning: None,
        on_duplicate: OnDuplicate::Keep,
        near: None,
    }
}

pub fn record(text: &str) -> Vec<u8> {
    encode(
        &object!({ "$type": "agent.memory.note", "summary": text, "createdAt": "2026-11-28T05:00:00.000Z" }),
    )
}

pub fn encode(value: &Value) -> Vec<u8> {
    cbor::encode(&json::from_value(value).unwrap()).unwrap()
}

pub fn summary(record: &[u8]) -> String {
    let record = json::to_value(&cbor::decode(record).unwrap());
    record["summary"].as_str().unwrap().to_owned()
}

/// A search for a text in everything that holds now.
pub fn search(text: &str) -> Search<'_> {
    Search::of(text, 10)
}
