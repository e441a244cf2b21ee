//! What the tests share: the published test data, and worlds out of a seed.

#![allow(dead_code, unreachable_pub, missing_docs)]

use std::path::PathBuf;
use std::rc::Rc;

use murmuration_data::{Cid, cid_of_cbor};
use murmuration_repo::{Change, Edit, Key, NodeMap, Nodes, Walk, empty_root};

/// The published test data, or none where it is not laid beside the workspace.
pub fn interop(path: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/interop").join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: ../shared/interop/{path} is not there");
    None
}

pub fn interop_json(path: &str) -> Option<serde_json::Value> {
    let text = std::fs::read(interop(path)?).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

pub fn cid(text: &str) -> Cid {
    Cid::try_from(text).unwrap()
}

pub fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// A CID that some record could have.
pub fn record(number: u64) -> Cid {
    cid_of_cbor(&number.to_be_bytes())
}

/// Numbers out of a seed (xorshift64*).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end as u64 + 1) as usize;
            items.swap(end, other);
        }
    }
}

/// A tree and its nodes.
pub struct World {
    pub nodes: NodeMap,
    pub root: Cid,
}

impl World {
    pub fn empty() -> Self {
        Self { nodes: NodeMap::empty_tree(), root: empty_root() }
    }

    pub fn of<'k>(records: impl IntoIterator<Item = (&'k Key, &'k Cid)>) -> Self {
        let mut world = Self::empty();
        let change = world.edit(|edit| {
            for (key, cid) in records {
                edit.put(key, *cid).unwrap();
            }
        });
        world.apply(&change);
        world
    }

    pub fn edit(&self, edits: impl FnOnce(&mut Edit<'_>)) -> Change {
        let mut edit = Edit::new(&self.nodes, self.root);
        edits(&mut edit);
        edit.finish().unwrap()
    }

    pub fn apply(&mut self, change: &Change) {
        assert_eq!(change.prev_root, self.root);
        self.nodes.apply(change);
        self.root = change.root;
    }

    pub fn records(&self) -> Vec<(Key, Cid)> {
        records(&self.nodes, self.root)
    }
}

pub fn records(nodes: &dyn Nodes, root: Cid) -> Vec<(Key, Cid)> {
    let mut walk = Walk::new(root);
    std::iter::from_fn(|| walk.next_record(nodes).unwrap()).collect()
}

/// Keys whose hashes put them on high layers, found once: layers 3 to 8 are rare among few keys.
pub fn mined(count: usize, layer: u32) -> Vec<Key> {
    (0..)
        .map(|number| Key::parse(&format!("com.example.mined/{number:06}")).unwrap())
        .filter(|key| key.layer() >= layer)
        .take(count)
        .collect()
}

pub fn rc(bytes: &[u8]) -> Rc<[u8]> {
    bytes.into()
}
