//! The outbox: parcels that were sent, and how it stands with each recipient.
//!
//! ```text
//! send ──► queued ──► delivered                         `settle.rs`
//!            │ ▲
//!            │ └ not yet: later, by `backoff`, when its keeper (`receipt.rs`) comes to it
//!            └──► rejected (the other side refuses), expired (its time is over), failed (given up)
//! ```
//!
//! This is the truth; the queue has no more than tickets, which name what is here. What has ended badly stays here: the row is the
//! dead letter, and its receipt says why.

use murmuration_data::Cid;
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Tid};

use crate::comms::{Comms, int};
use crate::inbox::{MAX_PAGE_BYTES, cid, corrupt, stored};
use crate::receipt::{pack, unpack};
use crate::task::REQUEST;
use crate::{CommsError, Keeper, Parcel, Receipt, TaskChange};

/// Reads 1 row.
const SELECT: &str = "SELECT digest, cid, deliveries FROM sent WHERE id = ?1";
/// Reads 1 row.
const LAST: &str = "SELECT seq, cid FROM sent WHERE thread = ?1 ORDER BY seq DESC LIMIT 1";
/// Reads 1 row.
const LAST_DELIVERIES: &str = "SELECT deliveries FROM sent WHERE thread = ?1 ORDER BY seq DESC LIMIT 1";
/// Writes 2 rows: the message, and its place in the thread; of a request, one more.
const INSERT: &str = "INSERT INTO sent \
     (id, thread, seq, cid, type, digest, at, expires_at, due, deliveries, task, task_at, parcel) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
/// Reads 1 row.
const DUE: &str = "SELECT id, deliveries, parcel FROM sent WHERE id = ?1";

/// A message that was sent, and what the sender may know of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sent {
    /// The hash of what was asked to be sent.
    pub digest: Vec<u8>,
    /// The name of the parcel.
    pub cid: Cid,
    /// One for each recipient.
    pub receipts: Vec<Receipt>,
}

/// A message that is due.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// Its name.
    pub id: Tid,
    /// The recipients that it was never tried to be delivered to, as far as is known: whoever was to do it has died.
    pub first: Vec<Did>,
    /// Those that the alarm keeps it for.
    pub again: Vec<Did>,
    /// Those to whom it is tried before its time, whoever keeps it.
    pub aside: Vec<Did>,
    /// The parcel, in DAG-CBOR.
    pub parcel: Vec<u8>,
}

impl Comms {
    /// The place of the next message in a thread: its number, and the parcel before it.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_place(&self, thread: &str) -> Result<(u32, Option<Cid>), CommsError> {
        let Some(mut row) = self.store.query(LAST, &[Param::Text(thread)])?.pop() else {
            let last = self.beginning(thread, OWN)?;
            return Ok(last.map_or((1, None), |(seq, cid)| (seq.saturating_add(1), Some(cid))));
        };
        let seq = u32::try_from(row.int(0)?).map_err(|_| corrupt())?;
        Ok((seq.saturating_add(1), Some(cid(&row.blob(1)?)?)))
    }

    /// The thread to write in where none is named: this, or one that begins behind it if its chain is broken. A sender that has lost
    /// what it had sent last has put another message into its place, and whoever has the first refuses that and all that follows.
    ///
    /// # Errors
    /// The storage's.
    pub fn unbroken(&self, thread: String) -> Result<String, CommsError> {
        let mut name = thread.clone();
        for again in 2..MAX_RESTARTS {
            let Some(mut row) = self.store.query(LAST_DELIVERIES, &[Param::Text(&name)])?.pop() else {
                break;
            };
            if !unpack(&row.blob(0)?)?.iter().any(Receipt::is_of_a_broken_chain) {
                break;
            }
            name = format!("{thread}.{again}");
        }
        Ok(name)
    }

    /// What is known of a message that was sent.
    ///
    /// # Errors
    /// The storage's.
    pub fn sent(&self, id: Tid) -> Result<Option<Sent>, CommsError> {
        let row = self.store.query(SELECT, &[Param::Text(&id.to_string())])?.pop();
        row.map(|mut row| {
            let (digest, cid) = (row.blob(0)?, cid(&row.blob(1)?)?);
            Ok(Sent { digest, cid, receipts: unpack(&row.blob(2)?)? })
        })
        .transpose()
    }

    /// Stores a parcel that is to be delivered, and answers with those to whom the caller is to do so at once, and with what
    /// comes before it for the others: while that fails, it waits. `digest` is the hash of what was asked to be sent. What it says of
    /// a task holds with it.
    ///
    /// # Errors
    /// [`CommsError::Conflict`] when its id or its place in the thread is taken; [`CommsError::NoSuchTask`] and
    /// [`CommsError::TaskState`]; [`CommsError::Busy`] when the storage is full; otherwise the storage's.
    pub fn send(
        &self,
        parcel: &Parcel,
        bytes: &[u8],
        digest: &[u8],
        task: Option<&TaskChange>,
        now: u64,
    ) -> Result<(Vec<Did>, Vec<Due>), CommsError> {
        let header = parcel.header();
        let id = header.id.to_string();
        if self.sent(header.id)?.is_some() || self.next_place(&header.thread)? != (header.seq, header.prev) {
            return Err(CommsError::Conflict);
        }
        self.check_storage()?;
        let cid = stored(&crate::cid_of(bytes))?;
        let is_request = header.kind.as_str() == REQUEST;
        self.change(|memory| {
            self.lower_sent_floor(memory, &id)?;
            let receipt = |to| match memory.lines.is_blocked(&header.thread, to) {
                true => Receipt::held(to, now),
                false => Receipt::new(to, now.saturating_add(FIRST_TRY_MICROS), now),
            };
            let receipts: Vec<Receipt> = header.to.iter().map(receipt).collect();
            for receipt in &receipts {
                memory.lines.note(&header.thread, header.seq, receipt);
            }
            let due = receipts.iter().map(Receipt::alarm_at).min().unwrap_or(now);
            let row = [
                Param::Text(&id),
                Param::Text(&header.thread),
                Param::Int(header.seq.into()),
                Param::Blob(&cid),
                Param::Text(header.kind.as_str()),
                Param::Blob(digest),
                int(now),
                header.expires_at.map_or(Param::Null, int),
                int(due),
                Param::Blob(&pack(&receipts)),
                if is_request { Param::Int(0) } else { Param::Null },
                if is_request { int(now) } else { Param::Null },
                Param::Blob(bytes),
            ];
            self.store.query(INSERT, &row)?;
            memory.dues.set(&id, Some(due));
            self.drop_if_tight(memory, now)?;
            task.map_or(Ok(()), |change| self.change_task(change, now).map(drop))?;
            let (at_once, held): (Vec<_>, Vec<_>) =
                receipts.into_iter().partition(|receipt| receipt.keeper == Keeper::Sender);
            let mut heads = Vec::new();
            for Receipt { to, .. } in held {
                if let Some(seq) = memory.lines.head(&header.thread, &to, now) {
                    heads.push(self.before_its_time(&header.thread, seq, &to)?);
                }
            }
            Ok((at_once.into_iter().map(|receipt| receipt.to).collect(), heads))
        })
    }

    /// Messages that are due, the oldest first.
    ///
    /// # Errors
    /// The storage's.
    pub fn due(&self, now: u64, limit: u32) -> Result<Vec<Due>, CommsError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut ids: Vec<String> = self.memory()?.dues.until(now).take(most).map(str::to_owned).collect();
        ids.sort_unstable();
        let (mut found, mut bytes) = (Vec::new(), 0);
        for name in ids {
            let Some(mut row) = self.store.query(DUE, &[Param::Text(&name)])?.pop() else { continue };
            let mut due = unpack(&row.blob(1)?)?;
            due.retain(|receipt| receipt.is_open() && receipt.alarm_at() <= now);
            let (first, again): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|receipt| receipt.keeper == Keeper::Sender);
            let names = |receipts: Vec<Receipt>| receipts.into_iter().map(|receipt| receipt.to).collect();
            let (id, parcel) = (id(&mut row)?, row.blob(2)?);
            bytes += parcel.len();
            if bytes > MAX_PAGE_BYTES && !found.is_empty() {
                break;
            }
            found.push(Due { id, first: names(first), again: names(again), aside: Vec::new(), parcel });
        }
        Ok(found)
    }

    /// When the next delivery is due, if one is.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_due(&self) -> Result<Option<u64>, CommsError> {
        Ok(self.memory()?.dues.next())
    }
}

pub(crate) fn id(row: &mut Row) -> Result<Tid, StoreError> {
    Tid::parse(&row.text(0)?).map_err(|_| corrupt())
}

/// Microseconds that whoever sends a message has for the first try before it is tried by the alarm.
pub(crate) const FIRST_TRY_MICROS: u64 = 20_000_000;
/// The sender of the agent's own messages, among those that were dropped.
const OWN: &str = "";
/// How often the thread of those who write each other begins anew.
const MAX_RESTARTS: u32 = 100;
