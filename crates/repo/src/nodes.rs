//! Where nodes come from.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::{Cid, Node, RepoError};

/// A source of nodes: the storage of a host, the blocks of an event, or both.
///
/// Nodes are shared, because a source usually keeps them decoded.
pub trait Nodes {
    /// The node with this CID.
    ///
    /// # Errors
    /// [`RepoError::MissingBlock`] when there is none, or what is wrong with its block.
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError>;

    /// The node with this CID, which its parent has as a child on this layer.
    ///
    /// # Errors
    /// As [`Nodes::node`]; [`RepoError::Layer`] when it has another layer.
    fn child(&self, cid: &Cid, layer: u32) -> Result<Rc<Node>, RepoError> {
        let node = self.node(cid)?;
        if node.layer() == layer {
            Ok(node)
        } else {
            Err(RepoError::Layer { expected: layer, found: node.layer() })
        }
    }
}

/// Nodes in memory.
#[derive(Clone, Debug, Default)]
pub struct NodeMap(BTreeMap<Cid, Rc<Node>>);

impl NodeMap {
    /// No nodes.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// A tree without a record: one empty node, under [`empty_root`](crate::empty_root).
    #[must_use]
    pub fn empty_tree() -> Self {
        let node = Node::empty();
        Self(BTreeMap::from([(node.cid(), Rc::new(node))]))
    }

    /// Puts a node under a CID, which must be its own; gives the node that was there.
    pub fn insert(&mut self, cid: Cid, node: Rc<Node>) -> Option<Rc<Node>> {
        self.0.insert(cid, node)
    }

    /// Takes a node out.
    pub fn remove(&mut self, cid: &Cid) -> Option<Rc<Node>> {
        self.0.remove(cid)
    }

    /// Turns the nodes of the tree before a change into those of the tree after it.
    pub fn apply(&mut self, change: &crate::Change) {
        for (cid, _) in &change.removed {
            self.0.remove(cid);
        }
        for created in &change.created {
            self.0.insert(created.cid, Rc::clone(&created.node));
        }
    }

    /// The nodes by their CIDs.
    pub fn iter(&self) -> impl Iterator<Item = (&Cid, &Rc<Node>)> {
        self.0.iter()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Cid, Rc<Node>)> for NodeMap {
    fn from_iter<I: IntoIterator<Item = (Cid, Rc<Node>)>>(nodes: I) -> Self {
        Self(nodes.into_iter().collect())
    }
}

impl Nodes for NodeMap {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        self.0.get(cid).map(Rc::clone).ok_or(RepoError::MissingBlock(*cid))
    }
}

/// Some nodes laid over others: the tree after a change that is not stored yet.
#[derive(Clone, Copy)]
pub struct Overlay<'a> {
    /// Looked at first.
    pub upper: &'a dyn Nodes,
    /// Asked for what is not in `upper`.
    pub lower: &'a dyn Nodes,
}

impl Nodes for Overlay<'_> {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        match self.upper.node(cid) {
            Err(RepoError::MissingBlock(_)) => self.lower.node(cid),
            found => found,
        }
    }

    fn child(&self, cid: &Cid, layer: u32) -> Result<Rc<Node>, RepoError> {
        match self.upper.child(cid, layer) {
            Err(RepoError::MissingBlock(_)) => self.lower.child(cid, layer),
            found => found,
        }
    }
}
