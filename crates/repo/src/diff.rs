//! Comparing two trees.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::invert::invert_in_order;
use crate::proof::child;
use crate::{Cid, Key, Node, Nodes, RecordOp, RepoError};

/// The difference between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Nodes that only the new tree has.
    pub created: BTreeSet<Cid>,
    /// Nodes that only the old tree has.
    pub deleted: BTreeSet<Cid>,
    /// What happened to each record, by path.
    pub ops: Vec<RecordOp>,
}

/// Compares two trees. Subtrees that both have are not gone into.
///
/// Both are read as one sequence of records and unopened subtrees, in the order of their keys, and gone through side by
/// side. Two subtrees of one CID are skipped together; otherwise the higher one is opened, or the one that reaches
/// before the record on the other side. So nothing is skipped on one side only: a node that both trees have is opened
/// in both or in neither, and what was opened on both sides cancels out.
///
/// # Errors
/// Whatever keeps a node from being loaded.
pub fn diff(old_nodes: &dyn Nodes, old: Cid, new_nodes: &dyn Nodes, new: Cid) -> Result<Diff, RepoError> {
    let mut before = Side::new(old_nodes, old)?;
    let mut after = Side::new(new_nodes, new)?;
    let mut ops = Vec::new();
    loop {
        match (before.items.last_mut(), after.items.last_mut()) {
            (None, None) => break,
            (Some(Item::Subtree(left)), Some(Item::Subtree(right))) => {
                if left.cid == right.cid {
                    before.items.pop();
                    after.items.pop();
                    continue;
                }
                let order = left.layer.cmp(&right.layer);
                if order.is_ge() {
                    before.open()?;
                }
                if order.is_le() {
                    after.open()?;
                }
            }
            (Some(Item::Subtree(left)), Some(Item::Record(key, value))) => {
                if left.first(old_nodes)?.is_some_and(|first| first > *key) {
                    ops.extend(RecordOp::between(key.clone(), None, Some(*value)));
                    after.items.pop();
                } else {
                    before.open()?;
                }
            }
            (Some(Item::Record(key, value)), Some(Item::Subtree(right))) => {
                if right.first(new_nodes)?.is_some_and(|first| first > *key) {
                    ops.extend(RecordOp::between(key.clone(), Some(*value), None));
                    before.items.pop();
                } else {
                    after.open()?;
                }
            }
            (Some(Item::Record(left, prev)), Some(Item::Record(right, cid))) => {
                let order = (*left).cmp(right);
                ops.extend(match order {
                    Ordering::Less => RecordOp::between(left.clone(), Some(*prev), None),
                    Ordering::Equal => RecordOp::between(left.clone(), Some(*prev), Some(*cid)),
                    Ordering::Greater => RecordOp::between(right.clone(), None, Some(*cid)),
                });
                if order.is_le() {
                    before.items.pop();
                }
                if order.is_ge() {
                    after.items.pop();
                }
            }
            (Some(Item::Subtree(_)), None) => before.open()?,
            (None, Some(Item::Subtree(_))) => after.open()?,
            (Some(Item::Record(key, value)), None) => {
                ops.extend(RecordOp::between(key.clone(), Some(*value), None));
                before.items.pop();
            }
            (None, Some(Item::Record(key, value))) => {
                ops.extend(RecordOp::between(key.clone(), None, Some(*value)));
                after.items.pop();
            }
        }
    }
    Ok(Diff {
        created: after.opened.difference(&before.opened).copied().collect(),
        deleted: before.opened.difference(&after.opened).copied().collect(),
        ops,
    })
}

impl Diff {
    /// The nodes of the new tree that prove every created or updated record, and the absence of every deleted one, to a
    /// reader that trusts a key's layer: the way down ends below it.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn proof_nodes(&self, nodes: &dyn Nodes, new: Cid) -> Result<BTreeSet<Cid>, RepoError> {
        let mut proof = BTreeSet::new();
        for op in &self.ops {
            let layer = op.path.layer();
            let mut next = Some((new, nodes.node(&new)?));
            while let Some((cid, node)) = next {
                proof.insert(cid);
                next = match node.search(&op.path) {
                    Err(index) if node.layer() >= layer => child(nodes, &node, index)?,
                    _ => None,
                };
            }
        }
        Ok(proof)
    }

    /// The nodes of the new tree that are needed, and no more, to undo the operations one by one from the last path to
    /// the first. Their undoing is checked on the way: it leads to `old`.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn inductive_proof_nodes(
        &self,
        nodes: &dyn Nodes,
        new: Cid,
        old: Cid,
    ) -> Result<BTreeSet<Cid>, RepoError> {
        let recorder = Recorder { nodes, asked: RefCell::default() };
        if invert_in_order(&recorder, new, self.ops.iter().rev())? != old {
            return Err(RepoError::KeyOrder);
        }
        Ok(recorder.asked.into_inner())
    }

    /// What an event about this difference has to carry besides the commit: the created nodes, the proof of the
    /// operations, and the records that were written.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn firehose_cids(&self, nodes: &dyn Nodes, new: Cid) -> Result<BTreeSet<Cid>, RepoError> {
        let mut cids = self.proof_nodes(nodes, new)?;
        cids.extend(&self.created);
        cids.extend(self.ops.iter().filter_map(|op| op.cid));
        Ok(cids)
    }
}

/// One tree of the two: what is still to be compared, the first last.
struct Side<'a> {
    nodes: &'a dyn Nodes,
    items: Vec<Item>,
    opened: BTreeSet<Cid>,
}

enum Item {
    Subtree(Subtree),
    Record(Key, Cid),
}

struct Subtree {
    cid: Cid,
    layer: u32,
    /// The first key, once it has been asked for.
    first: Option<Key>,
}

impl<'a> Side<'a> {
    fn new(nodes: &'a dyn Nodes, root: Cid) -> Result<Self, RepoError> {
        let layer = nodes.node(&root)?.layer();
        Ok(Self {
            nodes,
            items: vec![Item::Subtree(Subtree { cid: root, layer, first: None })],
            opened: BTreeSet::new(),
        })
    }

    /// Puts what the first subtree holds in its place.
    fn open(&mut self) -> Result<(), RepoError> {
        let Some(Item::Subtree(Subtree { cid, layer, .. })) = self.items.pop() else { return Ok(()) };
        self.opened.insert(cid);
        let node = self.nodes.child(&cid, layer)?;
        let subtree = |cid| Item::Subtree(Subtree { cid, layer: layer.saturating_sub(1), first: None });
        for entry in node.entries().iter().rev() {
            self.items.extend(entry.right.map(subtree));
            self.items.push(Item::Record(entry.key.clone(), entry.value));
        }
        self.items.extend(node.left().map(subtree));
        Ok(())
    }
}

impl Subtree {
    /// The first key, which is at the end of the left edge; none in the tree without a record.
    fn first(&mut self, nodes: &dyn Nodes) -> Result<Option<Key>, RepoError> {
        if self.first.is_none() {
            let mut node = nodes.child(&self.cid, self.layer)?;
            while let Some((_, below)) = child(nodes, &node, 0)? {
                node = below;
            }
            self.first = node.entries().first().map(|entry| entry.key.clone());
        }
        Ok(self.first.clone())
    }
}

/// A source that remembers what it was asked for.
struct Recorder<'a> {
    nodes: &'a dyn Nodes,
    asked: RefCell<BTreeSet<Cid>>,
}

impl Nodes for Recorder<'_> {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        self.asked.borrow_mut().insert(*cid);
        self.nodes.node(cid)
    }

    fn child(&self, cid: &Cid, layer: u32) -> Result<Rc<Node>, RepoError> {
        self.asked.borrow_mut().insert(*cid);
        self.nodes.child(cid, layer)
    }
}
