//! The outbox: parcels that were sent, and how it stands with each recipient.
//!
//! ```text
//! send ──► queued ──► delivered
//!            │ ▲
//!            │ └ not yet: later, by `backoff`
//!            └──► rejected (the other side refuses), expired (its time is over), failed (given up)
//! ```
//!
//! What has ended badly stays here: the row is the dead letter, and its receipt says why.

use murmuration_data::Cid;
use murmuration_data::cbor::{Reader, Writer};
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Tid};

use crate::comms::{Comms, int, uint};
use crate::inbox::{MAX_PAGE_BYTES, cid, corrupt, stored};
use crate::lease::clip;
use crate::limits::MAX_AGE_MICROS;
use crate::news::Fresh;
use crate::task::REQUEST;
use crate::{CommsError, Parcel, TaskChange, backoff};

/// Reads 1 row.
const SELECT: &str = "SELECT digest, cid, deliveries FROM sent WHERE id = ?1";
/// Reads 1 row.
const LAST: &str = "SELECT seq, cid FROM sent WHERE thread = ?1 ORDER BY seq DESC LIMIT 1";
/// Writes 2 rows: the message, and its place in the thread; of a request, one more.
const INSERT: &str = "INSERT INTO sent \
     (id, thread, seq, cid, type, digest, at, expires_at, due, deliveries, task, task_at, parcel) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
/// Reads what is due, and what has ended between.
const DUE: &str =
    "SELECT id, deliveries, parcel FROM sent WHERE id >= ?1 AND due <= ?2 ORDER BY id LIMIT ?3 + 0";
/// Reads what is behind the floor.
const NEXT_DUE: &str = "SELECT min(due) FROM sent WHERE id >= ?1 AND due IS NOT NULL";
/// Reads 1 row.
const SELECT_DELIVERIES: &str = "SELECT deliveries, at, expires_at FROM sent WHERE id = ?1";
/// Writes 1 row.
const UPDATE: &str = "UPDATE sent SET due = ?2, deliveries = ?3 WHERE id = ?1";

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

/// How it stands with one recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Who.
    pub to: Did,
    /// How.
    pub state: DeliveryState,
    /// Tries that were made.
    pub attempts: u32,
    /// When it came to be so, in microseconds since the Unix epoch: the number of the news of it.
    pub at: u64,
    /// When the next try is due, if there is one.
    pub due: u64,
    /// Why it is not delivered.
    pub reason: Option<String>,
}

/// The states of a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeliveryState {
    /// It is to be tried, now or later.
    Queued,
    /// The recipient's host has it.
    Delivered,
    /// The recipient's host refuses it.
    Rejected,
    /// Its time was over first.
    Expired,
    /// It was given up.
    Failed,
}

/// What came of a try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// The recipient's host has it, from this try or one before.
    Delivered,
    /// The recipient's host refuses it for good.
    Rejected(String),
    /// It may work later; not before so many seconds, if the host has said so.
    Later {
        /// `Retry-After`.
        retry_after_seconds: Option<u64>,
        /// Why it did not work.
        reason: String,
    },
}

/// A message that is due.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// Its name.
    pub id: Tid,
    /// The recipients that it is due for.
    pub to: Vec<Did>,
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
            return Ok((1, None));
        };
        let seq = u32::try_from(row.int(0)?).map_err(|_| corrupt())?;
        Ok((seq.saturating_add(1), Some(cid(&row.blob(1)?)?)))
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

    /// Stores a parcel that is to be delivered: at once by the caller, and else when [`Comms::due`] says so. `digest` is the
    /// hash of what was asked to be sent. What it says of a task holds with it.
    ///
    /// # Errors
    /// [`CommsError::Conflict`] when its id or its place in the thread is taken; [`CommsError::NoSuchTask`] and
    /// [`CommsError::TaskState`]; otherwise the storage's.
    pub fn send(
        &self,
        parcel: &Parcel,
        bytes: &[u8],
        digest: &[u8],
        task: Option<&TaskChange>,
        now: u64,
    ) -> Result<(), CommsError> {
        let header = parcel.header();
        let id = header.id.to_string();
        if self.sent(header.id)?.is_some() || self.next_place(&header.thread)? != (header.seq, header.prev) {
            return Err(CommsError::Conflict);
        }
        let cid = stored(&crate::cid_of(bytes))?;
        let due = now.saturating_add(FIRST_TRY_MICROS);
        let receipts: Vec<Receipt> = header.to.iter().map(|to| Receipt::new(to, due, now)).collect();
        let is_request = header.kind.as_str() == REQUEST;
        self.change(|memory| {
            self.lower_sent_floor(memory, &id)?;
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
            memory.sends(due);
            task.map_or(Ok(()), |change| self.change_task(change, now).map(drop))
        })
    }

    /// Messages that are due, the oldest first.
    ///
    /// # Errors
    /// The storage's.
    pub fn due(&self, now: u64, limit: u32) -> Result<Vec<Due>, CommsError> {
        let floor = self.memory()?.sent_floor.clone();
        let params = [Param::Text(&floor), int(now), Param::Int(limit.into())];
        let rows = self.store.query_within(DUE, &params, MAX_PAGE_BYTES)?;
        rows.into_iter()
            .map(|mut row| {
                let mut to = unpack(&row.blob(1)?)?;
                to.retain(|receipt| receipt.state == DeliveryState::Queued && receipt.due <= now);
                let to = to.into_iter().map(|receipt| receipt.to).collect();
                Ok(Due { id: id(&mut row)?, to, parcel: row.blob(2)? })
            })
            .collect()
    }

    /// When the next delivery is due, if one is. Reads nothing unless something has changed.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_due(&self) -> Result<Option<u64>, CommsError> {
        let mut memory = self.memory()?;
        if let Some(known) = memory.next_due {
            return Ok(known);
        }
        let row = self.store.query(NEXT_DUE, &[Param::Text(&memory.sent_floor)])?.pop();
        let due = row.map(|mut row| row.opt_int(0)).transpose()?.flatten().map(uint);
        memory.next_due = Some(due);
        Ok(due)
    }

    /// Notes what came of the tries of a message, and answers with the receipts of all its recipients. `random` spreads the
    /// next ones.
    ///
    /// Writes 1 row.
    ///
    /// # Errors
    /// [`CommsError::NoSuchMessage`]; otherwise the storage's.
    pub fn settle(
        &self,
        id: Tid,
        attempts: &[(Did, Attempt)],
        now: u64,
        random: u64,
    ) -> Result<Vec<Receipt>, CommsError> {
        let (tid, id) = (id, id.to_string());
        let mut changed = Vec::new();
        let receipts = self.change(|memory| {
            let row = self.store.query(SELECT_DELIVERIES, &[Param::Text(&id)])?.pop();
            let mut row = row.ok_or(CommsError::NoSuchMessage)?;
            let mut receipts = unpack(&row.blob(0)?)?;
            let (sent_at, expires_at) = (uint(row.int(1)?), row.opt_int(2)?.map(uint));
            for receipt in &mut receipts {
                if receipt.state != DeliveryState::Queued {
                    continue;
                }
                let attempt = attempts.iter().find(|(to, _)| *to == receipt.to);
                if let Some((_, attempt)) = attempt {
                    receipt.note(attempt, now, random);
                }
                let over = receipt.end_if_over(sent_at, expires_at, now);
                if attempt.is_some() || over {
                    receipt.at = memory.number(now);
                    changed.push(receipt.clone());
                }
            }
            let open = receipts.iter().filter(|receipt| receipt.state == DeliveryState::Queued);
            let due = open.map(|receipt| receipt.due).min();
            if due.is_none() {
                memory.end(1);
            }
            memory.next_due = None;
            let packed = pack(&receipts);
            let row = [Param::Text(&id), due.map_or(Param::Null, int), Param::Blob(&packed)];
            self.store.query(UPDATE, &row)?;
            Ok(receipts)
        })?;
        changed.into_iter().for_each(|receipt| self.note(Fresh::Told(tid, receipt)));
        Ok(receipts)
    }
}

impl Receipt {
    fn new(to: &Did, due: u64, at: u64) -> Self {
        Self { to: to.clone(), state: DeliveryState::Queued, attempts: 0, at, due, reason: None }
    }

    fn note(&mut self, attempt: &Attempt, now: u64, random: u64) {
        self.attempts = self.attempts.saturating_add(1);
        match attempt {
            Attempt::Delivered => {
                self.state = DeliveryState::Delivered;
                self.reason = None;
            }
            Attempt::Rejected(reason) => {
                self.state = DeliveryState::Rejected;
                self.reason = Some(clip(reason).to_owned());
            }
            Attempt::Later { retry_after_seconds, reason } => {
                self.due = now.saturating_add(backoff(self.attempts, *retry_after_seconds, random));
                self.reason = Some(clip(reason).to_owned());
            }
        }
    }

    /// Gives up what would be tried again when nobody wants it any more, and says whether it did.
    fn end_if_over(&mut self, sent_at: u64, expires_at: Option<u64>, now: u64) -> bool {
        if self.state != DeliveryState::Queued {
            return false;
        }
        let next = self.due.max(now);
        if expires_at.is_some_and(|at| at <= next) {
            self.state = DeliveryState::Expired;
        } else if next >= sent_at.saturating_add(MAX_AGE_MICROS) {
            self.state = DeliveryState::Failed;
        } else {
            return false;
        }
        true
    }
}

impl DeliveryState {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    const ALL: [Self; 5] = [Self::Queued, Self::Delivered, Self::Rejected, Self::Expired, Self::Failed];
}

/// The receipts of a message in one value: DAG-CBOR of a list of lists.
pub(crate) fn pack(receipts: &[Receipt]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(receipts.len());
    for receipt in receipts {
        writer.array(6).text(receipt.to.as_str()).text(receipt.state.name());
        writer.uint(receipt.attempts.into()).uint(receipt.at).uint(receipt.due);
        writer.text(receipt.reason.as_deref().unwrap_or_default());
    }
    writer.into_bytes()
}

pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<Receipt>, StoreError> {
    let broken = |_| corrupt();
    let mut reader = Reader::new(bytes);
    let count = reader.array().map_err(broken)?;
    let receipts = (0..count).map(|_| {
        reader.array().map_err(broken)?;
        let to = Did::parse(reader.text().map_err(broken)?).map_err(|_| corrupt())?;
        let state = reader.text().map_err(broken)?;
        let state = DeliveryState::ALL.into_iter().find(|known| known.name() == state).ok_or_else(corrupt)?;
        let attempts = u32::try_from(reader.uint().map_err(broken)?).map_err(|_| corrupt())?;
        let (at, due) = (reader.uint().map_err(broken)?, reader.uint().map_err(broken)?);
        let reason = Some(reader.text().map_err(broken)?.to_owned()).filter(|reason| !reason.is_empty());
        Ok(Receipt { to, state, attempts, at, due, reason })
    });
    receipts.collect()
}

fn id(row: &mut Row) -> Result<Tid, StoreError> {
    Tid::parse(&row.text(0)?).map_err(|_| corrupt())
}

/// Microseconds that whoever sends a message has for the first try before it is tried by the alarm.
const FIRST_TRY_MICROS: u64 = 20_000_000;
