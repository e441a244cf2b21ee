//! Taking over a whole repository, from another host or from a backup.
//!
//! What is taken over is the tree and the records; the commit is made anew, signed with this account's key, under a rev that
//! follows both repositories. The tree that comes and the records that are here are gone through side by side, in the order
//! of their keys, so nothing but one way down the tree and a page a band is in memory. All of it is one turn, and the turn
//! is a checkpoint: its pages are written as the walk passes, and waking never has to replay what it did.
//!
//! Nobody is told record by record. While the account is not served the turn is silent, and activating the account will
//! tell where its repository stands; of an active one a `#sync` event does, for its readers could not follow otherwise.

use std::collections::VecDeque;
use std::rc::Rc;

use murmuration_data::cbor;
use murmuration_firehose::{Event, SyncEvent, Timestamp};
use murmuration_platform::{Store, StoreError};
use murmuration_repo::{Commit, Key, Step, Whole};
use murmuration_syntax::Rev;

use crate::account::{Account, Head, Open, clock_id};
use crate::commit::{NewRecord, Recording};
use crate::rebuild::Rebuild;
use crate::record::{self, Stored};
use crate::tree::Tree;
use crate::{AccountError, backlink, blob};

/// Records that are here, read at a time.
const READ_AHEAD: u32 = 64;
/// Microseconds that a relay lets a rev be ahead of its clock (indigo, `cmd/relay/relay/verify.go`): nobody has believed
/// one further ahead.
const MAX_AHEAD_MICROS: u64 = 5 * 60 * 1_000_000;

impl Account {
    /// Makes the repository of the account what `whole` is: all of it, or nothing. One that it is already changes nothing.
    ///
    /// Blobs that its records refer to need not be here; [`Account::missing_blobs`] lists them.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account; otherwise as the storage.
    pub fn import(&self, whole: &Whole<'_>, now: u64) -> Result<(), AccountError> {
        if self.head()?.data == whole.commit.data {
            return Ok(());
        }
        let store = Rc::clone(&self.store);
        self.change(|open| open.import(&store, whole, now))
    }
}

impl Open {
    fn import(&mut self, store: &Rc<dyn Store>, whole: &Whole<'_>, now: u64) -> Result<(), AccountError> {
        let theirs = whole.commit.rev;
        let believed = theirs.micros() <= now.saturating_add(MAX_AHEAD_MICROS);
        let last = if believed { theirs.max(self.head.rev) } else { self.head.rev };
        let rev = Rev::next(now, clock_id(&self.profile.did), Some(last));
        let commit = Commit::sign(&self.profile.did, whole.commit.data, rev, &self.key)?;
        let head = Head::of(&commit)?;

        let mut pages = Rebuild::begin(&**store, rev, &self.live_exports())?;
        let mut recording = Recording::new(&**store, rev, now);
        let mut here = Here::new(&**store);
        let mut walk = whole.walk();
        while let Some(step) = walk.next(whole)? {
            match step {
                Step::Node { cid, node } => pages.enter(cid, &node)?,
                Step::Record { key, value: cid } => {
                    let old = loop {
                        match here.take_through(key.as_str())? {
                            Some((path, old)) if path == key.as_str() => break Some(old),
                            Some((path, old)) => self.remove(&mut recording, &path, &old)?,
                            None => break None,
                        }
                    };
                    if old.as_ref().is_none_or(|old| old.cid != cid) {
                        let block = whole.block(&cid)?;
                        let value = cbor::decode(&block)?;
                        let new = NewRecord {
                            cid,
                            bytes: &block,
                            blobs: blob::of_record(&value),
                            subject: backlink::subject(&key.path()?.collection, &value),
                        };
                        self.store_record(&mut recording, &key, old.as_ref(), Some(&new))?;
                    }
                }
            }
        }
        while let Some((path, old)) = here.take()? {
            self.remove(&mut recording, &path, &old)?;
        }
        pages.finish()?;
        self.blobs_touched |= recording.finish()?;

        let drafts = match self.profile.inactive() {
            Some(_) => Vec::new(),
            None => {
                let time = Timestamp::from_micros(now);
                vec![Event::Sync(SyncEvent::build(&commit, head.cid, &head.block, &time)).draft()?]
            }
        };
        self.log.append(&head.block, &drafts, true, now)?;
        self.tree = Tree::open(Rc::clone(store), head.data)?;
        self.head = head;
        Ok(())
    }

    fn remove(
        &mut self,
        recording: &mut Recording<'_>,
        path: &str,
        old: &Stored,
    ) -> Result<(), AccountError> {
        self.store_record(recording, &Key::parse(path)?, Some(old), None)
    }
}

/// The records that are here, in the order of their keys, read ahead of what is written.
struct Here<'a> {
    store: &'a dyn Store,
    ahead: VecDeque<(String, Stored)>,
    /// Where to read on; `None` at the end.
    next: Option<String>,
}

impl<'a> Here<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self { store, ahead: VecDeque::new(), next: Some(String::new()) }
    }

    /// The next record, unless it stands behind `path`.
    fn take_through(&mut self, path: &str) -> Result<Option<(String, Stored)>, StoreError> {
        self.fill()?;
        match self.ahead.front() {
            Some((next, _)) if next.as_str() <= path => Ok(self.ahead.pop_front()),
            _ => Ok(None),
        }
    }

    fn take(&mut self) -> Result<Option<(String, Stored)>, StoreError> {
        self.fill()?;
        Ok(self.ahead.pop_front())
    }

    /// Reads on when all that was read is taken. So nothing is ever read that was written meanwhile: what is written
    /// stands before the first record that is not taken yet.
    fn fill(&mut self) -> Result<(), StoreError> {
        if self.ahead.is_empty()
            && let Some(from) = self.next.take()
        {
            let mut packed = record::scan(self.store, &from, READ_AHEAD)?;
            while let Some(record) = packed.take()? {
                let stored = Stored { rev: record.rev()?, cid: record.cid(), value: record.value.to_vec() };
                self.ahead.push_back((record.path.to_owned(), stored));
            }
            // No key has a character below the space, so nothing stands between.
            self.next = self.ahead.back().map(|(last, _)| format!("{last} "));
        }
        Ok(())
    }
}
