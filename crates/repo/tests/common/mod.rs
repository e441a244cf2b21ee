//! What the tests share: the published test data, and worlds out of a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use murmuration_data::cbor::Writer;
use murmuration_data::{Cid, cid_of_cbor};
use murmuration_keys::{Curve, SigningKey};
use murmuration_repo::{Change, Commit, Edit, Key, NodeMap, Nodes, Step, Walk, car, empty_root};
use murmuration_syntax::{Did, Rev};

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

pub fn did() -> Did {
    Did::parse("did:plc:7iza6de2dwap2sbkpav7c6c6").unwrap()
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap()
}

/// A repository with record blocks, as a host has it.
pub struct Repo {
    pub world: World,
    pub blocks: BTreeMap<Cid, Vec<u8>>,
    pub commit: Commit,
}

impl Repo {
    /// A repository of so many records, some of which have the same content.
    pub fn of(count: u64) -> Self {
        let mut blocks = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for number in 0..count {
            let text = format!("post {}", number % (count / 2).max(2));
            let mut writer = Writer::new();
            writer.map(2).text("text").text(&text).text("$type").text("com.example.post");
            let block = writer.into_bytes();
            entries.insert(key(&format!("com.example.post/{number:08}")), cid_of_cbor(&block));
            blocks.insert(cid_of_cbor(&block), block);
        }
        let world = World::of(&entries);
        let rev = Rev::from_parts(1_700_000_000_000_000, 3);
        let commit = Commit::sign(&did(), world.root, rev, &signing_key()).unwrap();
        Self { world, blocks, commit }
    }

    /// The blocks of the whole repository, each once: the commit, then the tree and the records as a walk finds them.
    pub fn sections(&self) -> Vec<(Cid, Vec<u8>)> {
        let mut sections = vec![(self.commit.cid(), self.commit.encode())];
        let mut walk = Walk::new(self.world.root);
        while let Some(step) = walk.next(&self.world.nodes).unwrap() {
            match step {
                Step::Node { cid, node } => sections.push((cid, node.encode())),
                Step::Record { value, .. } => sections.push((value, self.blocks[&value].clone())),
            }
        }
        let mut seen = BTreeSet::new();
        sections.retain(|(cid, _)| seen.insert(*cid));
        sections
    }

    pub fn car(&self) -> Vec<u8> {
        car_of(&[self.commit.cid()], &self.sections())
    }
}

pub fn car_of(roots: &[Cid], sections: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let mut header = Writer::new();
    header.map(2).text("roots").array(roots.len());
    roots.iter().for_each(|root| {
        header.link(root);
    });
    header.text("version").uint(1);
    let header = header.into_bytes();
    // A varint of one or two bytes.
    let low = (header.len() & 0x7f) as u8;
    let mut out = if header.len() < 0x80 { vec![low] } else { vec![low | 0x80, (header.len() >> 7) as u8] };
    out.extend(header);
    for (cid, block) in sections {
        car::block(&mut out, cid, block);
    }
    out
}
