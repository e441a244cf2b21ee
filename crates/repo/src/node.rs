//! Nodes of the tree.

use murmuration_data::cbor::{Reader, Writer};
use murmuration_data::{CID_BYTES, DAG_CBOR, DataError, cid_of_cbor, is_blessed};

use crate::key::common_prefix;
use crate::{Cid, Key, MAX_ENTRIES_PER_NODE, MAX_LAYER, MAX_NODE_BYTES, RepoError};

/// One node of the tree, decoded: whole keys, no prefixes.
///
/// A node is a sequence of keys with subtrees between them: `left`, key, `right`, key, `right`, ... All its keys have
/// the node's own layer; every subtree lies exactly one layer below, so a node may have no key and one subtree, as a
/// rung between a higher and a lower layer. Only the tree without a record has a node with neither.
///
/// Its block is `{e: [{k: bytes, p: int, t: link|null, v: link}], l: link|null}`, where `p` counts the bytes a key
/// shares with the one before it and `k` is the rest (<https://atproto.com/specs/repository#mst-structure>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    layer: u32,
    left: Option<Cid>,
    entries: Vec<Entry>,
}

/// A key of a node with its record and the subtree to its right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The record's CID.
    pub value: Cid,
    /// The subtree of keys between this one and the node's next.
    pub right: Option<Cid>,
}

impl Node {
    /// The node of the tree without a record.
    #[must_use]
    pub fn empty() -> Self {
        Self { layer: 0, left: None, entries: Vec::new() }
    }

    /// A node of these parts, which the caller has put in order.
    pub(crate) fn of_parts(layer: u32, left: Option<Cid>, entries: Vec<Entry>) -> Self {
        Self { layer, left, entries }
    }

    /// Reads a node that stands on this layer, and checks all that can be seen from within: one canonical form, order,
    /// longest prefixes, the layer of every key, dag-cbor links, limits. Hashes every key.
    ///
    /// What one node cannot show, [`Partial::load`](crate::Partial::load) checks: that its keys lie between those
    /// around it.
    ///
    /// # Errors
    /// The first rule the block breaks.
    pub fn decode(block: &[u8], layer: u32) -> Result<Self, RepoError> {
        let node = Self::decode_own(block, layer)?;
        if node.is_empty() {
            return Err(RepoError::EmptyNode);
        }
        node.check_keys()?;
        Ok(node)
    }

    /// Reads the topmost node of a tree, whose layer is that of its keys, with the checks of [`Node::decode`].
    ///
    /// # Errors
    /// The first rule the block breaks; [`RepoError::EmptyNode`] also for a root with a subtree and no key, which
    /// would have to be trimmed.
    pub fn decode_root(block: &[u8]) -> Result<Self, RepoError> {
        let (left, entries) = read(block)?;
        let layer = match entries.first() {
            Some(entry) => entry.key.layer(),
            None if left.is_some() => return Err(RepoError::EmptyNode),
            None => 0,
        };
        let node = Self { layer, left, entries };
        node.check_layer()?;
        node.check_keys()?;
        Ok(node)
    }

    /// Reads a node that this host has written itself: its form is checked, the layer of its keys is believed.
    ///
    /// # Errors
    /// [`RepoError::Malformed`] and its like, which here mean that storage is corrupt.
    pub fn decode_own(block: &[u8], layer: u32) -> Result<Self, RepoError> {
        let (left, entries) = read(block)?;
        let node = Self { layer, left, entries };
        node.check_layer()?;
        Ok(node)
    }

    /// The node's block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let room = ENTRY_BYTES.saturating_mul(self.entries.len().saturating_add(1));
        let mut writer = Writer::with_capacity(room);
        writer.map(2).text("e").array(self.entries.len());
        let mut last: &[u8] = &[];
        for entry in &self.entries {
            let key = entry.key.as_bytes();
            let prefix = common_prefix(last, key);
            let suffix = key.get(prefix..).unwrap_or_default();
            writer.map(4).text("k").bytes(suffix);
            // INVARIANT: a prefix is at most `MAX_KEY_BYTES`.
            writer.text("p").uint(u64::try_from(prefix).unwrap_or(u64::MAX));
            writer.text("t").optional_link(entry.right.as_ref()).text("v").link(&entry.value);
            last = key;
        }
        writer.text("l").optional_link(self.left.as_ref());
        writer.into_bytes()
    }

    /// The node's CID. Encodes and hashes the node: ask once.
    #[must_use]
    pub fn cid(&self) -> Cid {
        cid_of_cbor(&self.encode())
    }

    /// How far above the lowest possible nodes this one stands: the layer of its keys.
    #[must_use]
    pub const fn layer(&self) -> u32 {
        self.layer
    }

    /// The subtree of keys before the node's first.
    #[must_use]
    pub const fn left(&self) -> Option<Cid> {
        self.left
    }

    /// The keys, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether this is the node of the tree without a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_none() && self.entries.is_empty()
    }

    /// The subtrees, in the order of their keys.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = Cid> + '_ {
        self.left.into_iter().chain(self.entries.iter().filter_map(|entry| entry.right))
    }

    /// The subtree before the entry at `index`, which may be one past the last.
    #[must_use]
    pub fn child(&self, index: usize) -> Option<Cid> {
        match index.checked_sub(1) {
            None => self.left,
            Some(before) => self.entries.get(before).and_then(|entry| entry.right),
        }
    }

    /// Where a key stands among the entries, or would stand.
    ///
    /// # Errors
    /// The index of the first entry after the key, when the node has it not.
    pub fn search(&self, key: &Key) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key.cmp(key))
    }

    fn check_layer(&self) -> Result<(), RepoError> {
        if self.layer > MAX_LAYER {
            return Err(RepoError::LayerLimit { layer: self.layer, limit: MAX_LAYER });
        }
        if self.layer == 0 && self.children().next().is_some() {
            return Err(RepoError::Malformed { what: "node", rule: "has a subtree below layer 0" });
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), RepoError> {
        match self.entries.iter().map(|entry| entry.key.layer()).find(|found| *found != self.layer) {
            Some(found) => Err(RepoError::Layer { expected: self.layer, found }),
            None => Ok(()),
        }
    }
}

/// The CID of the tree without a record.
#[must_use]
pub fn empty_root() -> Cid {
    Node::empty().cid()
}

/// Whether a CID may stand in a tree. Nodes and records are both DAG-CBOR.
pub(crate) fn may_stand_in_a_tree(cid: &Cid) -> bool {
    cid.codec() == DAG_CBOR && is_blessed(cid)
}

/// Reads a map's key that must be this one.
pub(crate) fn field(reader: &mut Reader<'_>, name: &str, what: &'static str) -> Result<(), RepoError> {
    let found = reader.text().map_err(RepoError::cbor(what))?;
    if found == name {
        Ok(())
    } else {
        Err(RepoError::Malformed { what, rule: "has a field too many, too few or out of order" })
    }
}

fn read(block: &[u8]) -> Result<(Option<Cid>, Vec<Entry>), RepoError> {
    if block.len() > MAX_NODE_BYTES {
        return Err(RepoError::too_large("node's bytes", MAX_NODE_BYTES));
    }
    let mut reader = Reader::new(block);
    if reader.map().map_err(cbor)? != 2 {
        return Err(malformed("has not the two fields of a node"));
    }
    field(&mut reader, "e", NODE)?;
    let count = reader.array().map_err(cbor)?;
    if count > MAX_ENTRIES_PER_NODE {
        return Err(RepoError::too_large("node's count of entries", MAX_ENTRIES_PER_NODE));
    }
    let mut entries = Vec::with_capacity(count);
    let mut key = Vec::new();
    for _ in 0..count {
        entries.push(read_entry(&mut reader, &mut key)?);
    }
    field(&mut reader, "l", NODE)?;
    let left = subtree(&mut reader)?;
    reader.end().map_err(cbor)?;
    Ok((left, entries))
}

/// Reads an entry, given the bytes of the key before it, and leaves its own in their place.
fn read_entry(reader: &mut Reader<'_>, key: &mut Vec<u8>) -> Result<Entry, RepoError> {
    if reader.map().map_err(cbor)? != 4 {
        return Err(malformed("has not the four fields of an entry"));
    }
    field(reader, "k", NODE)?;
    let suffix = reader.bytes().map_err(cbor)?;
    field(reader, "p", NODE)?;
    let prefix = usize::try_from(reader.uint().map_err(cbor)?).unwrap_or(usize::MAX);
    field(reader, "t", NODE)?;
    let right = subtree(reader)?;
    field(reader, "v", NODE)?;
    let value = in_tree(reader.link().map_err(cbor)?)?;

    let behind = key.get(prefix..).ok_or(malformed("has a prefix longer than the key before"))?;
    if !behind.is_empty() && behind.first() == suffix.first() {
        return Err(malformed("has a prefix that is not the longest"));
    }
    if suffix <= behind {
        return Err(RepoError::KeyOrder);
    }
    key.truncate(prefix);
    key.extend_from_slice(suffix);
    let text = std::str::from_utf8(key).map_err(|_| RepoError::Key { rule: "is not ASCII" })?;
    Ok(Entry { key: Key::parse(text)?, value, right })
}

fn subtree(reader: &mut Reader<'_>) -> Result<Option<Cid>, RepoError> {
    reader.optional_link().map_err(cbor)?.map(in_tree).transpose()
}

fn in_tree(cid: Cid) -> Result<Cid, RepoError> {
    if may_stand_in_a_tree(&cid) { Ok(cid) } else { Err(RepoError::Link(cid)) }
}

fn cbor(source: DataError) -> RepoError {
    RepoError::Cbor { what: NODE, source }
}

const fn malformed(rule: &'static str) -> RepoError {
    RepoError::Malformed { what: NODE, rule }
}

const NODE: &str = "node";

/// About what an entry takes: two links of 5 bytes and a CID, 15 bytes of field names and heads, and a suffix.
const ENTRY_BYTES: usize = 2 * (5 + CID_BYTES) + 48;
