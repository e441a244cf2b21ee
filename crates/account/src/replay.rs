//! Waking: the tree of the last checkpoint, and the turns behind it played again.

use std::rc::Rc;

use murmuration_firehose::{CommitEvent, Event, Frame, Seq, frame};
use murmuration_platform::{Store, StoreError};
use murmuration_repo::{Commit, Edit};

use crate::AccountError;
use crate::account::Head;
use crate::log::Tail;
use crate::tree::Tree;

/// The tree and the head that the log's tail leads to.
pub(crate) fn replay(store: Rc<dyn Store>, tail: &Tail) -> Result<(Tree, Head), AccountError> {
    let checkpoint = Commit::decode(&tail.checkpoint_head)?;
    let mut tree = Tree::open(store, checkpoint.data)?;
    for draft in &tail.drafts {
        if let Frame::Event { event: Event::Commit(event), .. } = Frame::decode(&frame(draft, Seq::FIRST)?)? {
            play(&mut tree, &event)?;
        }
    }
    let head = Head::of(&Commit::decode(&tail.head)?)?;
    if tree.root() != head.data {
        return Err(StoreError::Corrupt("the log does not lead to the head's tree".into()).into());
    }
    Ok((tree, head))
}

fn play(tree: &mut Tree, event: &CommitEvent) -> Result<(), AccountError> {
    let mut edit = Edit::new(tree, tree.root());
    for op in &event.ops {
        match op.cid {
            Some(cid) => edit.put(&op.path, cid)?,
            None => edit.delete(&op.path)?,
        };
    }
    let change = edit.finish()?;
    tree.apply(&change, event.rev);
    Ok(())
}
