//! A tree being changed: opened where it is touched, by reference everywhere else.
//!
//! A node is opened (its entries become owned and changeable) when a change passes through it, and stays open until the
//! batch ends, so a batch encodes and hashes each node once however often it is touched. An open node remembers the CID
//! it came from until it differs from it.
//!
//! Tricky bits, all of which the tests hold on to:
//! - A key goes to the layer its hash says. Above the root, the root is split around it and both halves are raised by
//!   rungs; below a missing subtree, rungs are put in down to its layer.
//! - A key that comes between two keys of its layer splits the subtree between them, all the way down. Half of a split
//!   may be empty, and is then no node; the other half is then the old node and keeps its CID.
//! - A key that goes leaves two neighbouring subtrees, which are merged, all the way down.
//! - A node that has lost its last key and has no subtree goes too. A root that has lost its last key is trimmed, down
//!   to the next node that has one.
//! - A node can be taken apart and made again within one batch. So what was created and what was removed is decided at
//!   the end, by CIDs, and not on the way.

use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use murmuration_data::cid_of_cbor;

use crate::{
    Cid, Created, Entry, Key, MAX_ENTRIES_PER_NODE, MAX_LAYER, MAX_NODE_BYTES, Node, Nodes, RepoError,
};

/// A tree being changed.
pub(crate) struct Tree<'a> {
    source: Source<'a>,
    root: Child,
    /// Whether a root that is only pointed to may be missing when the nodes above it are trimmed away.
    partial: bool,
}

/// What [`Tree::seal`] gives: the new root, the nodes created in preorder, and the nodes removed.
pub(crate) struct Sealed {
    pub(crate) root: Cid,
    pub(crate) created: Vec<Created>,
    pub(crate) removed: Vec<(Cid, u32)>,
}

impl<'a> Tree<'a> {
    /// The tree under this root.
    pub(crate) fn new(nodes: &'a dyn Nodes, root: Cid) -> Self {
        Self { source: Source { nodes, opened: BTreeMap::new() }, root: Child::Stored(root), partial: false }
    }

    /// The tree under this root, of which some nodes are not at hand.
    pub(crate) fn partial(nodes: &'a dyn Nodes, root: Cid) -> Self {
        Self { partial: true, ..Self::new(nodes, root) }
    }

    /// The record at a key.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Cid>, RepoError> {
        let mut branch = match &self.root {
            Child::None => return Ok(None),
            Child::Stored(cid) => return get(self.source.nodes, cid, key),
            Child::Open(branch) => branch,
        };
        loop {
            let index = match branch.search(key) {
                Ok(index) => return Ok(branch.items.get(index).map(|item| item.value)),
                Err(index) => index,
            };
            match branch.child(index) {
                None | Some(Child::None) => return Ok(None),
                Some(Child::Open(below)) => branch = below,
                Some(Child::Stored(cid)) => {
                    let node = self.source.nodes.child(cid, branch.below()?)?;
                    return get_below(self.source.nodes, node, key);
                }
            }
        }
    }

    /// Puts a record at a key of this layer; gives the one that was there.
    pub(crate) fn put(&mut self, key: &Key, layer: u32, value: Cid) -> Result<Option<Cid>, RepoError> {
        if layer > MAX_LAYER {
            return Err(RepoError::LayerLimit { layer, limit: MAX_LAYER });
        }
        let root = self.source.open_root(&mut self.root)?;
        if layer <= root.layer {
            return self.source.put(root, key, layer, value);
        }
        let height = root.layer;
        let (mut left, mut right) = self.source.split(mem::take(&mut self.root), key, height)?;
        for rung in height + 1..layer {
            left = left.raised(rung);
            right = right.raised(rung);
        }
        let items = vec![Item { key: key.clone(), value, right }];
        self.root = Child::Open(Box::new(Branch { layer, left, items, origin: None }));
        Ok(None)
    }

    /// Takes out the record at a key of this layer; gives the one that was there.
    pub(crate) fn delete(&mut self, key: &Key, layer: u32) -> Result<Option<Cid>, RepoError> {
        let root = self.source.open_root(&mut self.root)?;
        if layer > root.layer {
            return Ok(None);
        }
        let deleted = self.source.delete(root, key, layer)?;
        if deleted.is_some() {
            self.trim()?;
        }
        Ok(deleted)
    }

    /// Encodes and hashes what has changed.
    pub(crate) fn seal(self) -> Result<Sealed, RepoError> {
        let Self { source: Source { opened: mut gone, .. }, root, .. } = self;
        let mut created = Vec::new();
        let root = match seal(root, &mut gone, &mut created)? {
            Some(root) => root,
            None => return Err(RepoError::EmptyNode),
        };
        Ok(Sealed {
            root,
            created: created.into_iter().flatten().collect(),
            removed: gone.into_iter().collect(),
        })
    }

    /// Takes nodes without a key off the top.
    fn trim(&mut self) -> Result<(), RepoError> {
        loop {
            let root = match &mut self.root {
                Child::Open(root) if root.items.is_empty() => root,
                _ => return Ok(()),
            };
            if matches!(root.left, Child::None) {
                // The last record has gone: the tree without a record is one empty node on layer 0.
                root.layer = 0;
                return Ok(());
            }
            let layer = root.below()?;
            self.root = mem::take(&mut root.left);
            let Child::Stored(cid) = self.root else { continue };
            match self.source.nodes.child(&cid, layer) {
                Ok(node) if node.entries().is_empty() => self.root = self.source.opened(cid, &node),
                Ok(_) => return Ok(()),
                // A covering proof need not hold this node: its CID is all that is asked for.
                Err(RepoError::MissingBlock(_)) if self.partial => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Nodes and which of them have been opened.
struct Source<'a> {
    nodes: &'a dyn Nodes,
    opened: BTreeMap<Cid, u32>,
}

impl Source<'_> {
    fn put(
        &mut self,
        branch: &mut Branch,
        key: &Key,
        layer: u32,
        value: Cid,
    ) -> Result<Option<Cid>, RepoError> {
        let place = branch.search(key);
        if branch.layer > layer {
            let index = branch.gap(place, layer)?;
            let below = branch.below()?;
            let child = branch.child_mut(index)?;
            if matches!(child, Child::None) {
                *child = Child::Open(Box::new(Branch::rung(below, Child::None)));
            }
            let child = self.open(child, below)?.ok_or(RepoError::EmptyNode)?;
            let previous = self.put(child, key, layer, value)?;
            if child.origin.is_none() {
                branch.origin = None;
            }
            return Ok(previous);
        }
        match place {
            Ok(index) => {
                let item = branch.items.get_mut(index).ok_or(RepoError::KeyOrder)?;
                let previous = mem::replace(&mut item.value, value);
                if previous != value {
                    branch.origin = None;
                }
                Ok(Some(previous))
            }
            Err(index) => {
                let between = mem::take(branch.child_mut(index)?);
                let (left, right) = match layer.checked_sub(1) {
                    Some(below) => self.split(between, key, below)?,
                    None => (Child::None, Child::None),
                };
                *branch.child_mut(index)? = left;
                branch.items.insert(index, Item { key: key.clone(), value, right });
                branch.origin = None;
                Ok(None)
            }
        }
    }

    fn delete(&mut self, branch: &mut Branch, key: &Key, layer: u32) -> Result<Option<Cid>, RepoError> {
        let place = branch.search(key);
        if branch.layer > layer {
            let index = branch.gap(place, layer)?;
            let below = branch.below()?;
            let child = branch.child_mut(index)?;
            let Some(open) = self.open(child, below)? else { return Ok(None) };
            let previous = self.delete(open, key, layer)?;
            if open.is_empty() {
                *child = Child::None;
            }
            if previous.is_some() {
                branch.origin = None;
            }
            return Ok(previous);
        }
        let Ok(index) = place else { return Ok(None) };
        let item = branch.items.remove(index);
        let left = mem::take(branch.child_mut(index)?);
        *branch.child_mut(index)? = match layer.checked_sub(1) {
            Some(below) => self.merge(left, item.right, below)?,
            None => Child::None,
        };
        branch.origin = None;
        Ok(Some(item.value))
    }

    /// Parts a subtree into what is before a key and what is after it.
    fn split(&mut self, child: Child, key: &Key, layer: u32) -> Result<(Child, Child), RepoError> {
        let Some(mut branch) = self.open_owned(child, layer)? else { return Ok((Child::None, Child::None)) };
        let place = branch.search(key);
        let index = branch.gap(place, layer)?;
        let between = mem::take(branch.child_mut(index)?);
        let (left, right) = match layer.checked_sub(1) {
            Some(below) => self.split(between, key, below)?,
            None => (Child::None, Child::None),
        };
        // Where nothing lies on one side, the node goes over to the other as it was.
        if index == branch.items.len() && matches!(right, Child::None) {
            *branch.child_mut(index)? = left;
            return Ok((Child::of(branch), Child::None));
        }
        if index == 0 && matches!(left, Child::None) {
            branch.left = right;
            return Ok((Child::None, Child::of(branch)));
        }
        let after = Branch { layer, left: right, items: branch.items.split_off(index), origin: None };
        *branch.child_mut(index)? = left;
        branch.origin = None;
        Ok((Child::of(branch), Child::of(Box::new(after))))
    }

    /// Joins two subtrees of one layer, all keys of the first being before those of the second.
    fn merge(&mut self, left: Child, right: Child, layer: u32) -> Result<Child, RepoError> {
        if matches!(left, Child::None) {
            return Ok(right);
        }
        if matches!(right, Child::None) {
            return Ok(left);
        }
        let (Some(mut left), Some(mut right)) =
            (self.open_owned(left, layer)?, self.open_owned(right, layer)?)
        else {
            return Err(RepoError::EmptyNode);
        };
        let seam = left.items.len();
        let (before, after) = (mem::take(left.child_mut(seam)?), mem::take(&mut right.left));
        *left.child_mut(seam)? = match layer.checked_sub(1) {
            Some(below) => self.merge(before, after, below)?,
            None => Child::None,
        };
        left.items.append(&mut right.items);
        left.origin = None;
        Ok(Child::Open(left))
    }

    fn open_root<'c>(&mut self, root: &'c mut Child) -> Result<&'c mut Branch, RepoError> {
        if let Child::Stored(cid) = *root {
            let node = self.nodes.node(&cid)?;
            *root = self.opened(cid, &node);
        }
        match root {
            Child::Open(branch) => Ok(branch),
            _ => Err(RepoError::EmptyNode),
        }
    }

    fn open<'c>(&mut self, child: &'c mut Child, layer: u32) -> Result<Option<&'c mut Branch>, RepoError> {
        if let Child::Stored(cid) = *child {
            let node = self.nodes.child(&cid, layer)?;
            *child = self.opened(cid, &node);
        }
        match child {
            Child::Open(branch) => Ok(Some(branch)),
            _ => Ok(None),
        }
    }

    fn open_owned(&mut self, mut child: Child, layer: u32) -> Result<Option<Box<Branch>>, RepoError> {
        self.open(&mut child, layer)?;
        match child {
            Child::Open(branch) => Ok(Some(branch)),
            _ => Ok(None),
        }
    }

    fn opened(&mut self, cid: Cid, node: &Node) -> Child {
        self.opened.insert(cid, node.layer());
        Child::Open(Box::new(Branch {
            layer: node.layer(),
            left: node.left().into(),
            items: node
                .entries()
                .iter()
                .map(|Entry { key, value, right }| Item {
                    key: key.clone(),
                    value: *value,
                    right: (*right).into(),
                })
                .collect(),
            origin: Some(cid),
        }))
    }
}

/// A subtree.
#[derive(Default)]
enum Child {
    #[default]
    None,
    Stored(Cid),
    Open(Box<Branch>),
}

impl Child {
    fn of(branch: Box<Branch>) -> Self {
        if branch.is_empty() { Self::None } else { Self::Open(branch) }
    }

    /// The subtree with one rung above it.
    fn raised(self, layer: u32) -> Self {
        match self {
            Self::None => Self::None,
            child => Self::Open(Box::new(Branch::rung(layer, child))),
        }
    }
}

impl From<Option<Cid>> for Child {
    fn from(cid: Option<Cid>) -> Self {
        cid.map_or(Self::None, Self::Stored)
    }
}

/// An open node.
struct Branch {
    layer: u32,
    left: Child,
    items: Vec<Item>,
    /// The node's CID, as long as it is what was loaded.
    origin: Option<Cid>,
}

struct Item {
    key: Key,
    value: Cid,
    right: Child,
}

impl Branch {
    fn rung(layer: u32, below: Child) -> Self {
        Self { layer, left: below, items: Vec::new(), origin: None }
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && matches!(self.left, Child::None)
    }

    fn search(&self, key: &Key) -> Result<usize, usize> {
        self.items.binary_search_by(|item| item.key.cmp(key))
    }

    /// The index of the subtree in which a key of a lower layer must be.
    fn gap(&self, place: Result<usize, usize>, layer: u32) -> Result<usize, RepoError> {
        place.map_or_else(Ok, |_| Err(RepoError::Layer { expected: self.layer, found: layer }))
    }

    fn below(&self) -> Result<u32, RepoError> {
        self.layer
            .checked_sub(1)
            .ok_or(RepoError::Malformed { what: "node", rule: "has a subtree below layer 0" })
    }

    fn child(&self, index: usize) -> Option<&Child> {
        match index.checked_sub(1) {
            None => Some(&self.left),
            Some(before) => self.items.get(before).map(|item| &item.right),
        }
    }

    fn child_mut(&mut self, index: usize) -> Result<&mut Child, RepoError> {
        match index.checked_sub(1) {
            None => Ok(&mut self.left),
            // INVARIANT: callers pass an index of `search`, so the error never happens.
            Some(before) => self.items.get_mut(before).map(|item| &mut item.right).ok_or(RepoError::KeyOrder),
        }
    }
}

/// Encodes what has changed under a subtree, and takes from `gone` what is still there.
fn seal(
    child: Child,
    gone: &mut BTreeMap<Cid, u32>,
    created: &mut Vec<Option<Created>>,
) -> Result<Option<Cid>, RepoError> {
    let branch = match child {
        Child::None => return Ok(None),
        Child::Stored(cid) => return Ok(Some(cid)),
        Child::Open(branch) => *branch,
    };
    let Branch { layer, left, items, origin } = branch;
    // A node comes before those below it, but has its CID only after them.
    let place = created.len();
    created.push(None);
    let left = seal(left, gone, created)?;
    let mut entries = Vec::with_capacity(items.len());
    for Item { key, value, right } in items {
        entries.push(Entry { key, value, right: seal(right, gone, created)? });
    }
    if let Some(cid) = origin {
        gone.remove(&cid);
        return Ok(Some(cid));
    }
    if entries.len() > MAX_ENTRIES_PER_NODE {
        return Err(RepoError::too_large("node's count of entries", MAX_ENTRIES_PER_NODE));
    }
    let node = Node::of_parts(layer, left, entries);
    let bytes = node.encode();
    if bytes.len() > MAX_NODE_BYTES {
        return Err(RepoError::too_large("node's bytes", MAX_NODE_BYTES));
    }
    let cid = cid_of_cbor(&bytes);
    if gone.remove(&cid).is_none()
        && let Some(created) = created.get_mut(place)
    {
        *created = Some(Created { cid, layer, node: Rc::new(node), bytes });
    }
    Ok(Some(cid))
}

/// The record at a key of a tree.
pub(crate) fn get(nodes: &dyn Nodes, root: &Cid, key: &Key) -> Result<Option<Cid>, RepoError> {
    get_below(nodes, nodes.node(root)?, key)
}

fn get_below(nodes: &dyn Nodes, mut node: Rc<Node>, key: &Key) -> Result<Option<Cid>, RepoError> {
    loop {
        let index = match node.search(key) {
            Ok(index) => return Ok(node.entries().get(index).map(|entry| entry.value)),
            Err(index) => index,
        };
        match (node.child(index), node.layer().checked_sub(1)) {
            (Some(cid), Some(layer)) => node = nodes.child(&cid, layer)?,
            _ => return Ok(None),
        }
    }
}
