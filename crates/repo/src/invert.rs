//! Undoing the operations of a commit.

use std::collections::BTreeSet;

use crate::node::may_stand_in_a_tree;
use crate::tree::Tree;
use crate::{Action, Cid, Nodes, RecordOp, RepoError};

/// The root of the tree before these operations, worked out from the tree after them.
///
/// This is how a reader of the firehose knows that a commit did what it says and nothing else, without having the
/// repository: undone, the operations must lead to the tree of the commit before
/// (<https://atproto.com/specs/sync#commit-validation-mst-operation-inversion>). `nodes` need only hold a
/// [`covering_proof`](crate::covering_proof) of the operations' paths; deletions are undone first, then the rest by
/// path, as indigo's relay does.
///
/// # Errors
/// [`RepoError::RepeatedPath`] and [`RepoError::Operation`] when the operations contradict themselves or the tree,
/// [`RepoError::MissingBlock`] when the proof does not cover them.
pub fn invert(nodes: &dyn Nodes, root: Cid, ops: &[RecordOp]) -> Result<Cid, RepoError> {
    let mut paths = BTreeSet::new();
    for op in ops {
        if !paths.insert(&op.path) {
            return Err(RepoError::RepeatedPath(op.path.clone()));
        }
    }
    let mut sorted: Vec<&RecordOp> = ops.iter().collect();
    sorted.sort_by_key(|op| (op.action != Action::Delete, &op.path));
    invert_in_order(nodes, root, sorted)
}

/// Undoes operations in the order given, which does not change the result but which nodes are needed for it.
pub(crate) fn invert_in_order<'o>(
    nodes: &dyn Nodes,
    root: Cid,
    ops: impl IntoIterator<Item = &'o RecordOp>,
) -> Result<Cid, RepoError> {
    let mut tree = Tree::partial(nodes, root);
    for op in ops {
        let layer = op.path.layer();
        let undone = match (op.action, op.prev, op.cid) {
            (Action::Create, None, Some(_)) => tree.delete(&op.path, layer)?,
            (Action::Update, Some(prev), Some(_)) | (Action::Delete, Some(prev), None) => {
                if !may_stand_in_a_tree(&prev) {
                    return Err(RepoError::Link(prev));
                }
                tree.put(&op.path, layer, prev)?
            }
            _ => return Err(RepoError::Operation(op.path.clone())),
        };
        if undone != op.cid {
            return Err(RepoError::Operation(op.path.clone()));
        }
    }
    Ok(tree.seal()?.root)
}
