//! Trees out of foreign blocks.

use std::rc::Rc;

use crate::{Cid, Key, Node, NodeMap, Nodes, RepoError};

/// The part of a foreign tree that is at hand: the nodes that a set of blocks holds, from the root down.
///
/// Every node is decoded and checked when the part is loaded, among them what no node shows by itself: that a subtree
/// lies one layer below its parent, has only keys between those around it, and stands in the tree once. What is
/// missing is missing; [`Nodes::node`] says so when it is needed.
#[derive(Clone, Debug, Default)]
pub struct Partial(NodeMap);

impl Partial {
    /// Loads what `block` has of the tree under `root`. The blocks must be known to match their CIDs, as those are that
    /// come out of [`car::Reader`](crate::car::Reader).
    ///
    /// # Errors
    /// [`RepoError::MissingBlock`] without the root; otherwise the first rule that a node breaks.
    pub fn load<'b>(root: Cid, block: impl Fn(&Cid) -> Option<&'b [u8]>) -> Result<Self, RepoError> {
        let mut loader = Loader { block, nodes: NodeMap::new() };
        loader.root(root)?;
        Ok(Self(loader.nodes))
    }

    /// The nodes at hand.
    #[must_use]
    pub const fn nodes(&self) -> &NodeMap {
        &self.0
    }
}

impl Nodes for Partial {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        self.0.node(cid)
    }
}

struct Loader<F> {
    block: F,
    nodes: NodeMap,
}

impl<'b, F: Fn(&Cid) -> Option<&'b [u8]>> Loader<F> {
    fn root(&mut self, cid: Cid) -> Result<(), RepoError> {
        let block = (self.block)(&cid).ok_or(RepoError::MissingBlock(cid))?;
        self.take(cid, Node::decode_root(block)?, None, None)
    }

    /// Takes in the subtree under `cid`. It goes no deeper than the root's layer, which is at most `MAX_LAYER`.
    fn below(
        &mut self,
        cid: Cid,
        layer: u32,
        low: Option<&Key>,
        high: Option<&Key>,
    ) -> Result<(), RepoError> {
        match (self.block)(&cid) {
            Some(block) => self.take(cid, Node::decode(block, layer)?, low, high),
            None => Ok(()),
        }
    }

    fn take(&mut self, cid: Cid, node: Node, low: Option<&Key>, high: Option<&Key>) -> Result<(), RepoError> {
        let node = Rc::new(node);
        let first = node.entries().first().map(|entry| &entry.key);
        let last = node.entries().last().map(|entry| &entry.key);
        if first.zip(low).is_some_and(|(key, low)| key <= low)
            || last.zip(high).is_some_and(|(key, high)| key >= high)
        {
            return Err(RepoError::KeyOrder);
        }
        if self.nodes.insert(cid, Rc::clone(&node)).is_some() {
            return Err(RepoError::RepeatedNode(cid));
        }
        let Some(layer) = node.layer().checked_sub(1) else { return Ok(()) };
        if let Some(left) = node.left() {
            self.below(left, layer, low, first.or(high))?;
        }
        for (index, entry) in node.entries().iter().enumerate() {
            if let Some(right) = entry.right {
                let next = node.entries().get(index + 1).map(|next| &next.key);
                self.below(right, layer, Some(&entry.key), next.or(high))?;
            }
        }
        Ok(())
    }
}
