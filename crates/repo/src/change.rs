//! What a change did to a tree.

use std::rc::Rc;

use crate::{Cid, Key, Node, NodeMap};

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It was not there before.
    Create,
    /// It was there with another content.
    Update,
    /// It is there no longer.
    Delete,
}

impl Action {
    /// The word the firehose has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What happened to one record between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOp {
    /// The record's path.
    pub path: Key,
    /// What happened.
    pub action: Action,
    /// The record after the change; none when it was deleted.
    pub cid: Option<Cid>,
    /// The record before the change; none when it was created.
    pub prev: Option<Cid>,
}

impl RecordOp {
    /// The operation between these two states of a record; none when they are the same.
    #[must_use]
    pub fn between(path: Key, prev: Option<Cid>, cid: Option<Cid>) -> Option<Self> {
        let action = match (prev, cid) {
            (None, Some(_)) => Action::Create,
            (Some(_), None) => Action::Delete,
            (Some(before), Some(after)) if before != after => Action::Update,
            _ => return None,
        };
        Some(Self { path, action, cid, prev })
    }
}

/// A node that a change has made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its CID.
    pub cid: Cid,
    /// Its layer, the same as `node.layer()`.
    pub layer: u32,
    /// The node.
    pub node: Rc<Node>,
    /// Its block.
    pub bytes: Vec<u8>,
}

/// What a batch of edits did to a tree: exactly the difference between the tree before and the tree after.
#[derive(Clone, Debug)]
pub struct Change {
    /// The tree's root after the change.
    pub root: Cid,
    /// The tree's root before the change.
    pub prev_root: Cid,
    /// The nodes of the new tree that the old one had not, in preorder; the first, if any, is the new root.
    pub created: Vec<Created>,
    /// The nodes of the old tree that the new one has not, with their layers, in the order of their CIDs.
    pub removed: Vec<(Cid, u32)>,
    /// What happened to each record, at most one operation a path, in the order in which the batch first named them.
    pub ops: Vec<RecordOp>,
}

impl Change {
    /// The nodes that were created, to be laid over the tree before ([`Overlay`](crate::Overlay)).
    #[must_use]
    pub fn nodes(&self) -> NodeMap {
        self.created.iter().map(|created| (created.cid, Rc::clone(&created.node))).collect()
    }

    /// Whether the tree is the same as before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root == self.prev_root
    }
}
