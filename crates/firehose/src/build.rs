//! Making a `#commit` out of a change.

use std::collections::BTreeSet;

use murmuration_repo::{Change, Commit, Nodes, Overlay, car, covering_proof};
use murmuration_syntax::Rev;

use crate::limits::{MAX_OPS, MAX_OWN_BLOCKS_BYTES};
use crate::{Cid, CommitEvent, FirehoseError, SyncEvent, Timestamp};

/// What a `#commit` is made of.
#[derive(Clone, Copy)]
pub struct CommitParts<'a> {
    /// The signed commit.
    pub commit: &'a Commit,
    /// Its CID.
    pub cid: Cid,
    /// Its block.
    pub block: &'a [u8],
    /// The rev of the commit before; `None` only on an account's first commit. Then there is no `prevData` either, and
    /// the change must begin with the empty tree.
    pub since: Option<Rev>,
    /// What the commit did to the tree.
    pub change: &'a Change,
    /// The tree before the change, for the covering proof: nodes beside the changed ones, without which no consumer
    /// could undo the operations.
    pub nodes: &'a dyn Nodes,
    /// The records that the operations have written.
    pub records: &'a [(Cid, &'a [u8])],
    /// When the event was made.
    pub time: &'a Timestamp,
}

impl CommitEvent {
    /// Makes the event: the commit's block first, then the new nodes from the root down, the rest of the covering proof,
    /// and the records in the order given, each block once.
    ///
    /// # Errors
    /// [`FirehoseError::TooLarge`] with more than [`MAX_OPS`] operations or more than [`MAX_OWN_BLOCKS_BYTES`] of blocks:
    /// the writer asked for too much at once. [`FirehoseError::Field`] when the parts do not belong together.
    /// [`FirehoseError::Repo`] when a node of the proof cannot be had.
    pub fn build(parts: &CommitParts<'_>) -> Result<Self, FirehoseError> {
        let CommitParts { commit, cid, block, since, change, nodes, records, time } = *parts;
        if change.root != commit.data {
            return Err(FirehoseError::Field("data"));
        }
        let actual = change.ops.len();
        if actual > MAX_OPS {
            return Err(FirehoseError::TooLarge { what: "operations", actual, limit: MAX_OPS });
        }
        let made = change.nodes();
        let after = Overlay { upper: &made, lower: nodes };
        let mut proof = covering_proof(&after, change.root, change.ops.iter().map(|op| &op.path))?;
        // Without operations there is no proof; the root is still needed to see the tree.
        proof.insert(change.root, after.node(&change.root)?);

        let mut blocks = Blocks::begin(cid, block)?;
        for created in &change.created {
            blocks.add(created.cid, &created.bytes)?;
        }
        for (cid, node) in proof.iter() {
            if !blocks.seen.contains(cid) {
                blocks.add(*cid, &node.encode())?;
            }
        }
        for (cid, record) in records {
            blocks.add(*cid, record)?;
        }
        Ok(Self {
            repo: commit.did.clone(),
            commit: cid,
            rev: commit.rev,
            since,
            prev_data: since.map(|_| change.prev_root),
            ops: change.ops.clone(),
            blocks: blocks.car,
            time: time.clone(),
        })
    }
}

impl SyncEvent {
    /// Makes the event out of the current commit, its CID and its block.
    #[must_use]
    pub fn build(commit: &Commit, cid: Cid, block: &[u8], time: &Timestamp) -> Self {
        let mut blocks = car::header(&cid);
        car::block(&mut blocks, &cid, block);
        Self { did: commit.did.clone(), rev: commit.rev, blocks, time: time.clone() }
    }
}

/// A CAR that holds each block once and stays within what this host publishes.
struct Blocks {
    car: Vec<u8>,
    seen: BTreeSet<Cid>,
}

impl Blocks {
    fn begin(root: Cid, block: &[u8]) -> Result<Self, FirehoseError> {
        let mut blocks = Self { car: car::header(&root), seen: BTreeSet::new() };
        blocks.add(root, block)?;
        Ok(blocks)
    }

    fn add(&mut self, cid: Cid, block: &[u8]) -> Result<(), FirehoseError> {
        if self.seen.insert(cid) {
            let actual = self.car.len() + car::block_len(block.len());
            if actual > MAX_OWN_BLOCKS_BYTES {
                return Err(FirehoseError::TooLarge {
                    what: "bytes of blocks",
                    actual,
                    limit: MAX_OWN_BLOCKS_BYTES,
                });
            }
            car::block(&mut self.car, &cid, block);
        }
        Ok(())
    }
}
