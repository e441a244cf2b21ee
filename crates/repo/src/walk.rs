//! Going through a tree.

use std::rc::Rc;

use crate::{Cid, Key, Node, Nodes, RepoError};

/// What a [`Walk`] comes by.
#[derive(Clone, Debug)]
pub enum Step {
    /// A node, before what hangs on it.
    Node {
        /// Its CID.
        cid: Cid,
        /// The node.
        node: Rc<Node>,
    },
    /// A record, where its key stands.
    Record {
        /// Its path.
        key: Key,
        /// Its CID.
        value: Cid,
    },
}

/// A walk through a tree in the order of `getRepo`: each node before what hangs on it, records and subtrees in the
/// order of their keys. So a reader can verify what comes by and keep no more than one way down.
///
/// A walk does not hold on to the source of its nodes: it can wait between two steps, as long as the same tree is
/// there when it goes on. It holds one node a layer.
///
/// ```
/// use murmuration_repo::{NodeMap, Step, Walk, empty_root};
///
/// let nodes = NodeMap::empty_tree();
/// let mut walk = Walk::new(empty_root());
/// assert!(matches!(walk.next(&nodes)?, Some(Step::Node { .. })));
/// assert!(walk.next(&nodes)?.is_none());
/// # Ok::<(), murmuration_repo::RepoError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Walk {
    root: Option<Cid>,
    way: Vec<Frame>,
}

#[derive(Clone, Debug)]
struct Frame {
    node: Rc<Node>,
    /// Even: the subtree before entry `next / 2`. Odd: that entry.
    next: usize,
}

impl Walk {
    /// A walk through the whole tree under this root.
    #[must_use]
    pub const fn new(root: Cid) -> Self {
        Self { root: Some(root), way: Vec::new() }
    }

    /// The next step, or none at the end.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn next(&mut self, nodes: &dyn Nodes) -> Result<Option<Step>, RepoError> {
        self.next_where(nodes, &mut |_| true)
    }

    /// The next step, leaving out the subtrees whose CIDs `enter` refuses. They are not loaded.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn next_where(
        &mut self,
        nodes: &dyn Nodes,
        enter: &mut dyn FnMut(&Cid) -> bool,
    ) -> Result<Option<Step>, RepoError> {
        if let Some(cid) = self.root.take()
            && enter(&cid)
        {
            return Ok(Some(self.enter(cid, nodes.node(&cid)?)));
        }
        while let Some(frame) = self.way.last_mut() {
            let place = frame.next;
            frame.next += 1;
            let (index, is_entry) = (place / 2, place % 2 == 1);
            if index > frame.node.entries().len() {
                self.way.pop();
            } else if is_entry {
                if let Some(entry) = frame.node.entries().get(index) {
                    return Ok(Some(Step::Record { key: entry.key.clone(), value: entry.value }));
                }
            } else if let Some(cid) = frame.node.child(index)
                && enter(&cid)
            {
                let layer = frame.node.layer().checked_sub(1).ok_or(RepoError::EmptyNode)?;
                let node = nodes.child(&cid, layer)?;
                return Ok(Some(self.enter(cid, node)));
            }
        }
        Ok(None)
    }

    /// The next record, or none at the end.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn next_record(&mut self, nodes: &dyn Nodes) -> Result<Option<(Key, Cid)>, RepoError> {
        while let Some(step) = self.next(nodes)? {
            if let Step::Record { key, value } = step {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, cid: Cid, node: Rc<Node>) -> Step {
        self.way.push(Frame { node: Rc::clone(&node), next: 0 });
        Step::Node { cid, node }
    }
}
