//! A batch of edits.

use std::collections::BTreeMap;

use crate::node::may_stand_in_a_tree;
use crate::tree::{Sealed, Tree};
use crate::{Change, Cid, Key, MAX_CLIENT_LAYER, Nodes, RecordOp, RepoError};

/// A batch of edits to a tree.
///
/// Nodes are loaded when an edit first needs them, changed in memory, and each is encoded and hashed once, in
/// [`Edit::finish`]. An edit that has failed with anything but [`RepoError::LayerLimit`] or [`RepoError::Link`] leaves
/// the batch unusable: drop it.
///
/// A batch may name a path more than once; only what it comes to counts. A record created and deleted again in one
/// batch leaves no trace, one deleted and created anew is an update, one put as it already was is nothing. So a path
/// has at most one operation in [`Change::ops`], as `#commit` events require.
///
/// ```
/// use murmuration_repo::{Action, Edit, Key, NodeMap, empty_root};
/// # let record = empty_root();
///
/// let nodes = NodeMap::empty_tree();
/// let mut edit = Edit::new(&nodes, empty_root());
/// let key = Key::parse("app.bsky.feed.post/3jzfcijpj2z2a")?;
/// assert_eq!(edit.put(&key, record)?, None);
/// let change = edit.finish()?;
/// assert_eq!(change.created.len(), 1);
/// assert_eq!(change.ops[0].action, Action::Create);
/// # Ok::<(), murmuration_repo::RepoError>(())
/// ```
pub struct Edit<'a> {
    tree: Tree<'a>,
    prev_root: Cid,
    touched: Vec<Touched>,
    by_key: BTreeMap<Key, usize>,
}

struct Touched {
    key: Key,
    prev: Option<Cid>,
    cid: Option<Cid>,
}

impl<'a> Edit<'a> {
    /// A batch of edits to the tree under this root.
    #[must_use]
    pub fn new(nodes: &'a dyn Nodes, root: Cid) -> Self {
        Self { tree: Tree::new(nodes, root), prev_root: root, touched: Vec::new(), by_key: BTreeMap::new() }
    }

    /// The record at a path, as the batch so far leaves it.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn get(&self, path: impl Into<Key>) -> Result<Option<Cid>, RepoError> {
        let key = path.into();
        match self.by_key.get(&key).and_then(|index| self.touched.get(*index)) {
            Some(touched) => Ok(touched.cid),
            None => self.tree.get(&key),
        }
    }

    /// Puts a record at a path, whether there is one or not; gives the one that was there.
    ///
    /// # Errors
    /// [`RepoError::LayerLimit`] for a new key above [`MAX_CLIENT_LAYER`], [`RepoError::Link`] for a CID that can be of
    /// no record, or whatever keeps a node from being loaded.
    pub fn put(&mut self, path: impl Into<Key>, cid: Cid) -> Result<Option<Cid>, RepoError> {
        if !may_stand_in_a_tree(&cid) {
            return Err(RepoError::Link(cid));
        }
        let key = path.into();
        let layer = key.layer();
        self.put_on(layer, key, cid)
    }

    /// Puts a record at a key of this layer.
    fn put_on(&mut self, layer: u32, key: Key, cid: Cid) -> Result<Option<Cid>, RepoError> {
        if layer > MAX_CLIENT_LAYER && self.get(&key)?.is_none() {
            return Err(RepoError::LayerLimit { layer, limit: MAX_CLIENT_LAYER });
        }
        let prev = self.tree.put(&key, layer, cid)?;
        self.touch(key, prev, Some(cid));
        Ok(prev)
    }

    /// Deletes the record at a path; gives the one that was there, or none when there was none.
    ///
    /// # Errors
    /// Whatever keeps a node from being loaded.
    pub fn delete(&mut self, path: impl Into<Key>) -> Result<Option<Cid>, RepoError> {
        let key = path.into();
        let prev = self.tree.delete(&key, key.layer())?;
        if prev.is_some() {
            self.touch(key, prev, None);
        }
        Ok(prev)
    }

    /// Ends the batch: what it did to the tree.
    ///
    /// # Errors
    /// [`RepoError::TooLarge`] when a node would pass a limit, which only keys chosen for it can bring about.
    pub fn finish(self) -> Result<Change, RepoError> {
        let Sealed { root, created, removed } = self.tree.seal()?;
        let ops = self
            .touched
            .into_iter()
            .filter_map(|Touched { key, prev, cid }| RecordOp::between(key, prev, cid))
            .collect();
        Ok(Change { root, prev_root: self.prev_root, created, removed, ops })
    }

    fn touch(&mut self, key: Key, prev: Option<Cid>, cid: Option<Cid>) {
        match self.by_key.get(&key).and_then(|index| self.touched.get_mut(*index)) {
            Some(touched) => touched.cid = cid,
            None => {
                self.by_key.insert(key.clone(), self.touched.len());
                self.touched.push(Touched { key, prev, cid });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_LAYER, NodeMap, empty_root};

    #[test]
    fn a_new_key_above_the_clients_layers_is_refused_and_leaves_the_batch_usable() {
        let nodes = NodeMap::empty_tree();
        let mut edit = Edit::new(&nodes, empty_root());
        // Finding such a key takes 4^25 hashes, so the layer is made up.
        let key = Key::parse("com.example.a/self").unwrap();
        let (layer, limit) = (MAX_CLIENT_LAYER + 1, MAX_CLIENT_LAYER);
        let refused = edit.put_on(layer, key.clone(), empty_root());
        assert_eq!(refused, Err(RepoError::LayerLimit { layer, limit }));
        assert_eq!(edit.put_on(MAX_CLIENT_LAYER, key, empty_root()), Ok(None));
        assert_eq!(edit.finish().unwrap().created.len(), 1);
    }

    #[test]
    fn a_tree_ends_at_the_highest_layer() {
        let nodes = NodeMap::empty_tree();
        let mut tree = Tree::new(&nodes, empty_root());
        let key = Key::parse("com.example.a/self").unwrap();
        let (layer, limit) = (MAX_LAYER + 1, MAX_LAYER);
        assert_eq!(tree.put(&key, layer, empty_root()), Err(RepoError::LayerLimit { layer, limit }));
        let low = Key::parse("com.example.a/0").unwrap();
        assert_eq!(tree.put(&low, 0, empty_root()), Ok(None));
        assert_eq!(tree.put(&key, MAX_LAYER, empty_root()), Ok(None));
        // One node a layer, all but the first and the last of them rungs.
        assert_eq!(tree.seal().unwrap().created.len(), 33);
    }
}
