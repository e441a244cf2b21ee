//! The end of an account: its owner asks for it, or has named a time for it when the account was put to rest.
//!
//! [`Account::delete`] is the moment: one transaction marks the account and stores the event that tells of it. From then on
//! every call answers as if the object were empty, but those below and those of the outbox. What is left to do lies outside
//! of the object and may fail; it is repeated until it is done. The mark goes last, with the rest of the storage.

use std::rc::Rc;

use murmuration_data::Cid;
use murmuration_firehose::AccountStatus;
use murmuration_syntax::Did;

use crate::{Account, AccountError, Notice, Profile, blob, session};

impl Account {
    /// Deletes the account: 1 row for the mark, 1 for the event, and 1 for each session.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn delete(&self, now: u64) -> Result<(), AccountError> {
        self.change(|open| {
            let profile = Profile { deleted: true, ..Profile::clone(&open.profile) };
            profile.update(&*self.store)?;
            open.profile = Rc::new(profile);
            session::end_all(&*self.store)?;
            let draft = open.notice(Notice::Status, now)?.draft()?;
            open.end_turn(&[draft], now)
        })
    }

    /// When the account is to be deleted, in microseconds since the Unix epoch, if its owner has put it to rest until then.
    /// While the operator has taken it down its time does not come: its owner could not activate it to keep it, and whoever
    /// judges it must see it.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn deletion_due(&self) -> Result<Option<u64>, AccountError> {
        let profile = self.profile()?;
        let rests = matches!(profile.inactive(), Some(AccountStatus::Deactivated));
        Ok(profile.delete_after.filter(|_| rests))
    }

    /// Deletes the account, as [`Account::delete`] does, if its time has come; says whether it has.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn delete_if_due(&self, now: u64) -> Result<bool, AccountError> {
        let due = self.deletion_due()?.is_some_and(|at| at <= now);
        if due {
            self.delete(now)?;
        }
        Ok(due)
    }

    /// Whether this object holds the remains of an account that was deleted.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if it holds nothing at all.
    pub fn is_deleted(&self) -> Result<bool, AccountError> {
        self.read_remains(|open| Ok(open.profile.deleted))
    }

    /// Whose account this is, or was.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if the object holds nothing at all.
    pub fn did(&self) -> Result<Did, AccountError> {
        self.read_remains(|open| Ok(open.profile.did.clone()))
    }

    /// The number of the account's last event: of an account that was deleted, the one that says so.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if the object holds nothing at all.
    pub fn last_ord(&self) -> Result<u64, AccountError> {
        self.read_remains(|open| Ok(open.log.last_ord()))
    }

    /// Some of the blobs whose bytes are left, by CID, behind `after`, with the keys of the bytes.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if the object holds nothing at all.
    pub fn left_blobs(&self, after: Option<&Cid>) -> Result<Vec<(Cid, String)>, AccountError> {
        self.read_remains(|_| Ok(blob::some(&*self.store, after)?))
    }

    /// Forgets a blob whose bytes are gone.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if the object holds nothing at all.
    pub fn remove_blob(&self, cid: &Cid) -> Result<(), AccountError> {
        self.change_remains(|_| Ok(blob::remove(&*self.store, cid)?))
    }
}
