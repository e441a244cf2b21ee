//! Records with the time at which they were written, for who must tell new from old.
//!
//! No index leads from a revision to its records: it would cost a row for each write. What is new is looked for where it
//! is expected, at the end of a collection whose keys are times.

use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Nsid, RepoPath, Rev};

use crate::account::Account;
use crate::{AccountError, Record, record};

/// Reads as many rows as it answers, and one more.
const NEWEST: &str =
    "SELECT path, rev, digest, value FROM record WHERE path > ?1 AND path < ?2 ORDER BY path DESC LIMIT ?3";
/// Reads 1 row.
const ONE: &str = "SELECT path, rev, digest, value FROM record WHERE path = ?1";
/// Reads 1 row.
const MADE_AT: &str = "SELECT created_at FROM account WHERE id = 1";

/// A record, and the commit that wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dated {
    /// The record.
    pub record: Record,
    /// The commit's revision.
    pub rev: Rev,
}

impl Account {
    /// The records with the highest keys of a collection, highest first.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn newest(&self, collection: &Nsid, limit: u32) -> Result<Vec<Dated>, AccountError> {
        self.read(|_| Ok(()))?;
        // A path is `collection/rkey`, and '0' is the character behind '/'.
        let (first, end) = (format!("{collection}/"), format!("{collection}0"));
        let params = [Param::Text(&first), Param::Text(&end), Param::Int(i64::from(limit))];
        Ok(self.store.query(NEWEST, &params)?.into_iter().map(dated).collect::<Result<_, _>>()?)
    }

    /// A record, if it exists.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn dated(&self, path: &RepoPath) -> Result<Option<Dated>, AccountError> {
        self.read(|_| Ok(()))?;
        let row = self.store.query(ONE, &[Param::Text(&path.to_string())])?.pop();
        Ok(row.map(dated).transpose()?)
    }

    /// When the account was made in this object, in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn made_at(&self) -> Result<u64, AccountError> {
        self.read(|_| Ok(()))?;
        let mut row = self.store.query(MADE_AT, &[])?.pop().ok_or(AccountError::Vacant)?;
        Ok(u64::try_from(row.int(0)?).unwrap_or_default())
    }
}

fn dated(mut row: Row) -> Result<Dated, StoreError> {
    let path = record::path(&mut row)?;
    let stored = record::stored(&mut row, 1)?;
    Ok(Dated { record: Record { path, cid: stored.cid, value: stored.value }, rev: stored.rev })
}
