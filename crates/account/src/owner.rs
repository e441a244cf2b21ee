//! The account's calls that are one statement or two: records read, blobs, sessions, and the way of its events.

use murmuration_data::Cid;
use murmuration_syntax::{Nsid, RepoPath, Rev, Tid};

use crate::account::{Account, clock_id};
use crate::blob::Registered;
use crate::{AccountError, Blob, Listing, MissingBlob, Page, Push, Record, Session, blob, record, session};

impl Account {
    /// The record at `path`, unless it is taken down.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn record(&self, path: &RepoPath) -> Result<Option<Record>, AccountError> {
        self.profile()?;
        let stored = record::shown(&*self.store, &path.to_string())?;
        Ok(stored.map(|stored| Record { path: path.clone(), cid: stored.cid, value: stored.value }))
    }

    /// A page of a collection without what is taken down: at least one record if there is one, and no
    /// more than its limit or than fit two megabytes.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn records(&self, page: &Listing<'_>) -> Result<Page, AccountError> {
        self.profile()?;
        Ok(record::list(&*self.store, page)?)
    }

    /// The collections that hold a record.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn collections(&self) -> Result<Vec<Nsid>, AccountError> {
        self.profile()?;
        Ok(record::collections(&*self.store)?)
    }

    /// A record key that no record of this account has had, later than every commit.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn fresh_tid(&self, now: u64) -> Result<Tid, AccountError> {
        self.read(|open| {
            let after = open.last_tid.map_or(open.head.rev, |last| last.max(open.head.rev));
            let tid = Tid::next(now, clock_id(&open.profile.did), Some(after));
            open.last_tid = Some(tid);
            Ok(tid)
        })
    }

    /// Notes under which key an upload's bytes are about to be stored, so that they do not stay if nothing comes of it. Within
    /// `patience` microseconds [`Account::add_blob`] follows, or they are deleted. Writes 1 row.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn expect_blob(&self, key: &str, now: u64, patience: u64) -> Result<(), AccountError> {
        self.change(|_| Ok(self.memories.expect_blob(key, now.saturating_add(patience))?))
    }

    /// Notes an upload whose key was expected. The answer is the key of the bytes that count: another than the upload's if the
    /// blob was there already; the upload's own are then deleted when nobody expects them any more, if the caller has not. Writes 2 rows,
    /// and 1 more if old bytes were condemned, which are due then.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account; [`AccountError::BlobTakendown`];
    /// [`AccountError::UploadLate`] when the bytes may have been deleted meanwhile.
    pub fn add_blob(&self, blob: &Blob, now: u64) -> Result<String, AccountError> {
        self.change(|open| {
            open.blobs_touched = true;
            let Registered { key, replaced } = blob::register(&*self.store, blob, now)?;
            if key == blob.key && !self.memories.claim_blob(&key, now)? {
                return Err(AccountError::UploadLate);
            }
            if let Some(old) = replaced {
                self.memories.expect_blob(&old, now)?;
            }
            Ok(key)
        })
    }

    /// A blob that a record refers to. One that is taken down only if `quarantined`: nobody but the operator and the
    /// owner may read it.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn blob(&self, cid: &Cid, quarantined: bool) -> Result<Option<Blob>, AccountError> {
        self.profile()?;
        Ok(blob::locate(&*self.store, cid, quarantined)?)
    }

    /// Blobs that records refer to, by CID, behind `after`, from commits after `since`.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn blobs(
        &self,
        since: Option<Rev>,
        after: Option<&Cid>,
        limit: u32,
    ) -> Result<Vec<Cid>, AccountError> {
        self.profile()?;
        Ok(blob::list(&*self.store, since, after, limit)?)
    }

    /// Blobs that records refer to and that are not here, by CID, behind `after`: what a repository that moved in still
    /// waits for.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn missing_blobs(&self, after: Option<&Cid>, limit: u32) -> Result<Vec<MissingBlob>, AccountError> {
        self.profile()?;
        Ok(blob::missing(&*self.store, after, limit)?)
    }

    /// Blobs whose bytes are to be deleted now, with the keys of the bytes: those that lost their last record, and
    /// those that waited for one longer than `patience` microseconds.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn condemned_blobs(&self, now: u64, patience: u64) -> Result<Vec<(Cid, String)>, AccountError> {
        self.change(|_| Ok(blob::due(&*self.store, now, patience)?))
    }

    /// Forgets a condemned blob whose bytes under `key` are gone.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn forget_blob(&self, cid: &Cid, key: &str) -> Result<(), AccountError> {
        self.change(|_| Ok(blob::forget(&*self.store, cid, key)?))
    }

    /// Puts off a condemned blob whose bytes under `key` could not be deleted, so that it is not in the way of others: 1 row.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn put_blob_off(&self, cid: &Cid, key: &str, now: u64) -> Result<(), AccountError> {
        self.change(|_| Ok(blob::put_off(&*self.store, cid, key, now)?))
    }

    /// Whether blobs were uploaded or condemned since this was last asked: then [`Account::next_sweep`] may have moved.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn blobs_touched(&self) -> Result<bool, AccountError> {
        self.read_remains(|open| Ok(std::mem::take(&mut open.blobs_touched)))
    }

    /// When blobs must be looked at again, in microseconds since the Unix epoch: when the first of the condemned was or may be
    /// tried again, when the oldest upload has waited `patience` microseconds, or never.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn next_sweep(&self, patience: u64) -> Result<Option<u64>, AccountError> {
        self.profile()?;
        Ok(blob::next_sweep(&*self.store, patience)?)
    }

    /// Begins a session.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn begin_session(&self, session: &Session, expires_at: u64, now: u64) -> Result<(), AccountError> {
        self.change(|_| Ok(session::begin(&*self.store, session, expires_at, now)?))
    }

    /// Gives out the session that follows `id`: one named by `fresh`, unless an earlier refresh has named another.
    ///
    /// # Errors
    /// [`AccountError::SessionRevoked`] if the session is not known, or its grace is over. All that came before and after it has
    /// ended then: the token has been used, and somebody else may have what came of it.
    pub fn rotate_session(
        &self,
        id: &str,
        fresh: &str,
        expires_at: u64,
        now: u64,
    ) -> Result<Session, AccountError> {
        self.profile()?;
        let rotated = self.change(|_| Ok(session::rotate(&*self.store, id, fresh, expires_at, now)?))?;
        if rotated.is_none() {
            self.sessions_ended.set(true);
        }
        rotated.ok_or(AccountError::SessionRevoked)
    }

    /// Ends a session, if there is one, with the tokens before and after this one.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn end_session(&self, id: &str) -> Result<(), AccountError> {
        self.change(|_| Ok(session::end(&*self.store, id)?))?;
        self.sessions_ended.set(true);
        Ok(())
    }

    /// Whether a session has not been ended.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn session_lives(&self, id: &str) -> Result<bool, AccountError> {
        self.read(|_| Ok(session::lives(&*self.store, id)?))
    }

    /// Ends every session: the account is taken down.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn end_all_sessions(&self) -> Result<(), AccountError> {
        self.change(|_| Ok(session::end_all(&*self.store)?))?;
        self.sessions_ended.set(true);
        Ok(())
    }

    /// Whether sessions were ended since this was last asked, be it one that there was not.
    #[must_use]
    pub fn sessions_ended(&self) -> bool {
        self.sessions_ended.take()
    }

    /// Whether the relay has yet to take an event.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn has_unsent(&self) -> Result<bool, AccountError> {
        self.read_remains(|open| Ok(open.log.has_unsent()))
    }

    /// When the account's last turn was, in microseconds since the Unix epoch. While an event is unsent, that of this turn is.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn last_turn(&self) -> Result<u64, AccountError> {
        self.read_remains(|open| Ok(open.log.last_turn()))
    }

    /// The next events for the relay, oldest first; `None` when it has all.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn next_push(&self) -> Result<Option<Push>, AccountError> {
        self.read_remains(|open| Ok(open.log.push(open.profile.deleted)?))
    }

    /// Notes that the relay has every event below the number `ord`.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn events_taken(&self, ord: u64) -> Result<(), AccountError> {
        self.change_remains(|open| Ok(open.log.taken(ord)?))
    }
}
