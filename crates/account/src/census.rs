//! Counting what an account holds, for those who move it.

use murmuration_platform::{Store, StoreError};

use crate::AccountError;
use crate::account::Account;

/// Reads every record's key, and no value.
const RECORDS: &str = "SELECT count(*) FROM record";
/// Reads a row a namespace.
const PREFERENCES: &str = "SELECT coalesce(sum(json_array_length(value)), 0) FROM preference";
/// Reads a row for each use of a blob.
const EXPECTED_BLOBS: &str = "SELECT count(DISTINCT cid) FROM blob_use";
/// Reads a row a blob.
const PRESENT_BLOBS: &str = "SELECT count(*) FROM blob WHERE state <> 2";

/// How much of everything an account holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Census {
    /// Blocks of the repository: the commit, the nodes of the tree, the records. A value that two records share counts
    /// twice.
    pub blocks: u64,
    /// Records.
    pub records: u64,
    /// Preferences.
    pub preferences: u64,
    /// Blobs that records refer to.
    pub expected_blobs: u64,
    /// Blobs whose bytes are here, whether a record refers to them or not yet.
    pub present_blobs: u64,
}

impl Account {
    /// Counts. Reads all pages of the tree, and the keys of all records: for a call that is made a few times in an account's
    /// life, no counter is written with every commit.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn census(&self) -> Result<Census, AccountError> {
        let blocks = self.read(|open| {
            let mut snapshot = open.tree.snapshot();
            let mut stack = vec![open.head.data];
            let mut blocks: u64 = 1;
            while let Some(cid) = stack.pop() {
                let leaf = snapshot.take(&cid, &|_| None)?;
                stack.extend(leaf.node.children());
                let records = u64::try_from(leaf.node.entries().len()).unwrap_or(u64::MAX);
                blocks = blocks.saturating_add(1).saturating_add(records);
            }
            Ok(blocks)
        })?;
        Ok(Census {
            blocks,
            records: count(&*self.store, RECORDS)?,
            preferences: count(&*self.store, PREFERENCES)?,
            expected_blobs: count(&*self.store, EXPECTED_BLOBS)?,
            present_blobs: count(&*self.store, PRESENT_BLOBS)?,
        })
    }
}

fn count(store: &dyn Store, sql: &'static str) -> Result<u64, StoreError> {
    let broken = || StoreError::Corrupt("a count is none".into());
    let mut row = store.query(sql, &[])?.pop().ok_or_else(broken)?;
    u64::try_from(row.int(0)?).map_err(|_| broken())
}
