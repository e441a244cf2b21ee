//! Exporting the repository as it is now, while the account goes on.
//!
//! A CAR of a large repository is made while it is read, over many turns, and writes go on between them. So an export
//! holds the nodes that are in memory, and everything that is lost from storage meanwhile is first put into its
//! *shadow*: the page that a checkpoint replaces, the record that a commit overwrites. What it hands out is the
//! repository of one commit, in memory that does not grow with the repository.
//!
//! Blocks come in the order of the tree: the commit, then each node before what hangs on it, records where their keys
//! stand. A reader can verify as it reads and keep nothing but a path.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_data::Cid;
use murmuration_platform::{Store, StoreError};
use murmuration_repo::car;
use murmuration_syntax::Rev;

use crate::AccountError;
use crate::account::{Account, Head};
use crate::packed::Packed;
use crate::record::{self, Stored};
use crate::tree::Snapshot;

/// Bytes of a chunk, about: a few network packets, and little memory.
const CHUNK_BYTES: usize = 64 * 1024;
/// Records read ahead in one statement.
const READ_AHEAD: u32 = 64;
/// Bytes that an export's shadow may hold; writes that change more than this meanwhile break the export off.
const MAX_SHADOW_BYTES: usize = 8 * 1024 * 1024;

/// What the account has lost since an export began.
#[derive(Default)]
pub(crate) struct Shadow {
    pages: BTreeMap<Cid, Rc<[u8]>>,
    /// `None`: there was no such record.
    records: BTreeMap<String, Option<Stored>>,
    bytes: usize,
}

impl Shadow {
    pub(crate) fn keep_page(&mut self, root: Cid, body: Rc<[u8]>) {
        if self.is_overrun() {
            return;
        }
        let bytes = body.len();
        self.pages.entry(root).or_insert_with(|| {
            self.bytes += bytes;
            body
        });
    }

    /// Keeps the record that stood at `path` when the export began: only the first change of a path counts.
    pub(crate) fn keep_record(&mut self, path: &str, old: Option<&Stored>) {
        if !self.is_overrun() && !self.records.contains_key(path) {
            self.bytes += path.len() + old.map_or(0, |old| old.value.len());
            self.records.insert(path.to_owned(), old.cloned());
        }
    }

    /// Whether so much was lost that the export is given up: no more is kept for it.
    const fn is_overrun(&self) -> bool {
        self.bytes > MAX_SHADOW_BYTES
    }
}

/// A CAR of the repository, made as it is read.
pub struct Export {
    store: Rc<dyn Store>,
    snapshot: Snapshot,
    shadow: Rc<RefCell<Shadow>>,
    since: Option<Rev>,
    /// What is still to be written, the next on top.
    stack: Vec<Step>,
    ahead: Packed,
    pending: Vec<u8>,
}

enum Step {
    Node(Cid),
    Record(String, Cid),
}

impl Account {
    /// Begins an export. `since` leaves out every block that was there at that revision already.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn export(&self, since: Option<Rev>) -> Result<Export, AccountError> {
        self.read(|open| {
            let shadow = Rc::new(RefCell::new(Shadow::default()));
            // An account that is only read must not remember every export that it ever made.
            open.exports.retain(|export| export.strong_count() > 0);
            open.exports.push(Rc::downgrade(&shadow));
            let Head { cid, data, block, .. } = open.head.clone();
            let mut pending = car::header(&cid);
            car::block(&mut pending, &cid, &block);
            Ok(Export {
                store: Rc::clone(&self.store),
                snapshot: open.tree.snapshot(),
                shadow,
                since,
                stack: vec![Step::Node(data)],
                ahead: Packed::default(),
                pending,
            })
        })
    }
}

impl Export {
    /// The next chunk of the CAR; `None` at its end.
    ///
    /// # Errors
    /// [`AccountError::ExportOverrun`] if too much was changed meanwhile; otherwise as the storage.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, AccountError> {
        if self.shadow.borrow().is_overrun() {
            return Err(AccountError::ExportOverrun);
        }
        while self.pending.len() < CHUNK_BYTES {
            match self.stack.pop() {
                Some(Step::Node(cid)) => self.node(&cid)?,
                Some(Step::Record(path, cid)) => self.record(&path, &cid)?,
                None => break,
            }
        }
        let chunk = std::mem::take(&mut self.pending);
        Ok(if chunk.is_empty() { None } else { Some(chunk) })
    }

    fn node(&mut self, cid: &Cid) -> Result<(), AccountError> {
        let shadow = Rc::clone(&self.shadow);
        let leaf = self.snapshot.take(cid, &|root| shadow.borrow().pages.get(root).cloned())?;
        // Every change makes new nodes all the way up, so nothing below an old node is new.
        if self.since.is_some_and(|since| leaf.rev <= since) {
            return Ok(());
        }
        car::block(&mut self.pending, cid, &leaf.node.encode());
        let first = self.stack.len();
        self.stack.extend(leaf.node.left().map(Step::Node));
        for entry in leaf.node.entries() {
            self.stack.push(Step::Record(entry.key.as_str().to_owned(), entry.value));
            self.stack.extend(entry.right.map(Step::Node));
        }
        if let Some(steps) = self.stack.get_mut(first..) {
            steps.reverse();
        }
        Ok(())
    }

    fn record(&mut self, path: &str, cid: &Cid) -> Result<(), AccountError> {
        let missing =
            || StoreError::Corrupt(format!("the record {path} is in the tree and not in its table"));
        let shadow = Rc::clone(&self.shadow);
        if let Some(old) = shadow.borrow().records.get(path) {
            let old = old.as_ref().ok_or_else(missing)?;
            return self.add(path, cid, old.rev, &old.cid, &old.value);
        }
        self.read_to(path)?;
        // Taken out for as long as the record is looked at, which stands in it.
        let mut ahead = std::mem::take(&mut self.ahead);
        let record = ahead.take()?.filter(|record| record.path == path).ok_or_else(missing)?;
        self.add(path, cid, record.rev()?, &record.cid(), record.value)?;
        self.ahead = ahead;
        Ok(())
    }

    fn add(
        &mut self,
        path: &str,
        wanted: &Cid,
        rev: Rev,
        cid: &Cid,
        value: &[u8],
    ) -> Result<(), AccountError> {
        if self.since.is_some_and(|since| rev <= since) {
            return Ok(());
        }
        if cid != wanted {
            return Err(StoreError::Corrupt(format!("the record {path} is not the one in the tree")).into());
        }
        car::block(&mut self.pending, cid, value);
        Ok(())
    }

    /// Reads until the next record is the one at `path`, or behind it: the walk asks in the order of the keys.
    fn read_to(&mut self, path: &str) -> Result<(), StoreError> {
        while self.ahead.peek()?.is_some_and(|next| next.path < path) {
            self.ahead.take()?;
        }
        if self.ahead.peek()?.is_none() {
            self.ahead = record::scan(&*self.store, path, READ_AHEAD)?;
        }
        Ok(())
    }
}
