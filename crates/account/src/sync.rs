//! Reading the repository block by block: proofs, and blocks by their CID.

use std::collections::BTreeSet;

use murmuration_data::Cid;
use murmuration_repo::car;
use murmuration_syntax::RepoPath;

use crate::account::{Account, Open};
use crate::{AccountError, record};

/// Blocks of one call of `getBlocks` at the most: what fits an answer of 200 records and their tree.
pub const MAX_BLOCKS: usize = 500;
/// Bytes of an answer of `getBlocks` behind which no block joins it: it is made in memory, and anybody may ask.
const MAX_CAR_BYTES: usize = 4 * 1024 * 1024;

/// Blocks that were found, and the CIDs for which there is none.
pub struct Blocks {
    /// A CAR of the blocks.
    pub car: Vec<u8>,
    /// What was asked for and is not here.
    pub missing: Vec<Cid>,
}

impl Account {
    /// A CAR that proves what the repository holds at `path`: the commit, the nodes on the way, and the record, or
    /// without a record the proof that there is none.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn proof(&self, path: &RepoPath) -> Result<Vec<u8>, AccountError> {
        self.read(|open| {
            let nodes = open.tree.reader();
            let proof = murmuration_repo::proof(&nodes, open.tree.root(), path)?;
            let mut out = car::header(&open.head.cid);
            car::block(&mut out, &open.head.cid, &open.head.block);
            for (cid, node) in &proof.nodes {
                car::block(&mut out, cid, &node.encode());
            }
            if let Some(cid) = proof.value
                && let Some(stored) = record::one(&*self.store, &path.to_string())?
            {
                car::block(&mut out, &cid, &stored.value);
            }
            Ok(out)
        })
    }

    /// Blocks by their CID.
    ///
    /// There is no index by CID, for it would cost a billed row a record: the tree is searched, a page a row, until
    /// all are found.
    ///
    /// # Errors
    /// [`AccountError::BlocksTooLarge`] when they are too much for one answer; [`AccountError::Vacant`] if there is no
    /// account.
    pub fn blocks(&self, wanted: &[Cid]) -> Result<Blocks, AccountError> {
        self.read(|open| {
            let mut missing: BTreeSet<Cid> = wanted.iter().copied().collect();
            let mut out = car::header_without_roots();
            if missing.remove(&open.head.cid) {
                car::block(&mut out, &open.head.cid, &open.head.block);
            }
            self.search(open, &mut missing, &mut out)?;
            let missing = wanted.iter().copied().filter(|cid| missing.contains(cid)).collect();
            Ok(Blocks { car: out, missing })
        })
    }

    fn search(
        &self,
        open: &Open,
        missing: &mut BTreeSet<Cid>,
        out: &mut Vec<u8>,
    ) -> Result<(), AccountError> {
        let mut snapshot = open.tree.snapshot();
        let mut stack = vec![open.tree.root()];
        while let (false, Some(cid)) = (missing.is_empty(), stack.pop()) {
            let node = snapshot.take(&cid, &|_| None)?.node;
            if missing.remove(&cid) {
                car::block(out, &cid, &node.encode());
            }
            for entry in node.entries() {
                if out.len() > MAX_CAR_BYTES {
                    return Err(AccountError::BlocksTooLarge);
                }
                if missing.remove(&entry.value)
                    && let Some(stored) = record::one(&*self.store, entry.key.as_str())?
                {
                    car::block(out, &entry.value, &stored.value);
                }
            }
            stack.extend(node.children());
        }
        Ok(())
    }
}
