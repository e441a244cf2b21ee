//! What the operator takes down: records and blobs. An account that is taken down says so in its profile.
//!
//! A record that is taken down stays in the repository: its commit is signed, and an export or a proof without it would
//! not verify. What hides it are the calls that read records one by one or in lists. It goes with the record, and stays
//! when the record is changed. A blob is hidden wherever its bytes would be served; see [`blob`].

use murmuration_data::Cid;
use murmuration_syntax::RepoPath;

use crate::{Account, AccountError, blob, record};

impl Account {
    /// The CID of the record at `path`, and the reference under which it is taken down; `None` when there is no record.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn record_takedown(&self, path: &RepoPath) -> Result<Option<(Cid, Option<String>)>, AccountError> {
        self.profile()?;
        Ok(record::takedown(&*self.store, &path.to_string())?)
    }

    /// Takes the record at `path` down under a reference, or lifts that: one row. `false` when there is no record.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn take_record_down(&self, path: &RepoPath, reference: Option<&str>) -> Result<bool, AccountError> {
        self.change(|_| Ok(record::set_takedown(&*self.store, &path.to_string(), reference)?))
    }

    /// The reference under which a blob is taken down; the outer `None` when there is no such blob.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn blob_takedown(&self, cid: &Cid) -> Result<Option<Option<String>>, AccountError> {
        self.profile()?;
        Ok(blob::takedown(&*self.store, cid)?)
    }

    /// Puts a blob into quarantine under a reference, or lifts that: one row. `false` when there is no such blob.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn take_blob_down(&self, cid: &Cid, reference: Option<&str>, now: u64) -> Result<bool, AccountError> {
        self.change(|open| {
            open.blobs_touched = true;
            Ok(blob::set_takedown(&*self.store, cid, reference, now)?)
        })
    }
}
