//! What came of tries, and what is to be tried next.

use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Tid};

use crate::comms::{Comms, Memory, int, uint};
use crate::inbox::corrupt;
use crate::limits::EARLY_MICROS;
use crate::line::Lines;
use crate::news::Fresh;
use crate::open::Dues;
use crate::outbox::{FIRST_TRY_MICROS, id};
use crate::receipt::{pack, unpack};
use crate::{Attempt, CommsError, DeliveryState, Due, Keeper, Receipt};

/// The columns of a [`Stored`].
macro_rules! columns {
    () => {
        "id, thread, seq, at, expires_at, deliveries"
    };
}
/// Reads 1 row.
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM sent WHERE id = ?1");
/// Reads 1 row.
const BY_PLACE: &str = concat!("SELECT ", columns!(), " FROM sent WHERE thread = ?1 AND seq = ?2");
/// Reads what is behind the floor.
const OPEN: &str = concat!("SELECT ", columns!(), ", due FROM sent WHERE id >= ?1 AND due IS NOT NULL");
/// Reads 1 row.
const SELECT_PARCEL: &str = "SELECT parcel FROM sent WHERE id = ?1";
/// Writes 1 row.
const UPDATE: &str = "UPDATE sent SET due = ?2, deliveries = ?3 WHERE id = ?1";

/// How it stands with a message after tries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settled {
    /// One for each recipient.
    pub receipts: Vec<Receipt>,
    /// What is to be tried now, by whoever has tried this: what has waited for it.
    pub next: Vec<Due>,
}

/// What a ticket is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ticket {
    /// Nothing: the delivery has ended, or the alarm has it.
    Void,
    /// It has come before its time, by so many microseconds.
    Early(u64),
    /// A try of this parcel, in DAG-CBOR.
    Try(Vec<u8>),
}

/// A row, without its parcel.
struct Stored {
    id: Tid,
    thread: String,
    seq: u32,
    at: u64,
    expires_at: Option<u64>,
    receipts: Vec<Receipt>,
}

impl Stored {
    fn read(row: &mut Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row)?,
            thread: row.text(1)?,
            seq: u32::try_from(row.int(2)?).map_err(|_| corrupt())?,
            at: uint(row.int(3)?),
            expires_at: row.opt_int(4)?.map(uint),
            receipts: unpack(&row.blob(5)?)?,
        })
    }
}

impl Comms {
    /// Notes what came of the tries of a message. `random` spreads the next ones.
    ///
    /// Writes 1 row, and one for each message that it lets go.
    ///
    /// # Errors
    /// [`CommsError::NoSuchMessage`]; otherwise the storage's.
    pub fn settle(
        &self,
        id: Tid,
        attempts: &[(Did, Attempt)],
        now: u64,
        random: u64,
    ) -> Result<Settled, CommsError> {
        self.change_receipts(id, now, |receipt| {
            let attempt = attempts.iter().find(|(to, _)| *to == receipt.to);
            if let Some((_, attempt)) = attempt.filter(|_| receipt.is_open()) {
                receipt.note(attempt, now, random);
            }
        })
    }

    /// What a ticket of the queue is worth. A delivery whose time is over ends here.
    ///
    /// Writes as [`Comms::settle`] then, and otherwise nothing.
    ///
    /// # Errors
    /// The storage's.
    pub fn redeem(&self, id: Tid, to: &Did, now: u64) -> Result<Ticket, CommsError> {
        let receipts = match self.change_receipts(id, now, |_| {}) {
            Err(CommsError::NoSuchMessage) => return Ok(Ticket::Void),
            other => other?.receipts,
        };
        let receipt = receipts.iter().find(|receipt| receipt.to == *to && receipt.is_open());
        match receipt.map(|receipt| (receipt.keeper, receipt.due)) {
            None | Some((Keeper::Alarm | Keeper::Line, _)) => Ok(Ticket::Void),
            Some((Keeper::Queue, due)) if due > now.saturating_add(EARLY_MICROS) => {
                Ok(Ticket::Early(due.saturating_sub(now)))
            }
            // Where its sender still has it, they have died between the ticket and the note of it.
            Some((Keeper::Queue | Keeper::Sender, _)) => Ok(Ticket::Try(self.sent_parcel(id)?)),
        }
    }

    /// Gives up a delivery that the queue has given up, unless the alarm has it.
    ///
    /// Writes as [`Comms::settle`], if it was open.
    ///
    /// # Errors
    /// The storage's.
    pub fn give_up(&self, id: Tid, to: &Did, now: u64) -> Result<(), CommsError> {
        let outcome = self.change_receipts(id, now, |receipt| {
            if receipt.to == *to && receipt.is_open() && receipt.keeper == Keeper::Queue {
                receipt.fail(now);
            }
        });
        match outcome {
            Err(CommsError::NoSuchMessage) => Ok(()),
            other => other.map(drop),
        }
    }

    /// What waits for another try, and when, out of the storage.
    pub(crate) fn lines(&self, floor: &str) -> Result<(Lines, Dues), CommsError> {
        let (mut lines, mut dues) = (Lines::default(), Dues::default());
        for mut row in self.store.query(OPEN, &[Param::Text(floor)])? {
            let sent = Stored::read(&mut row)?;
            dues.set(&sent.id.to_string(), row.opt_int(6)?.map(uint));
            sent.receipts.iter().for_each(|receipt| lines.note_old(&sent.thread, sent.seq, receipt));
        }
        Ok((lines, dues))
    }

    /// Changes the receipts of a message, ends those whose time is over, and lets go what has waited for them.
    fn change_receipts(
        &self,
        id: Tid,
        now: u64,
        change: impl Fn(&mut Receipt),
    ) -> Result<Settled, CommsError> {
        let mut told = Vec::new();
        let settled = self.change(|memory| {
            let row = self.store.query(BY_ID, &[Param::Text(&id.to_string())])?.pop();
            let mut sent = Stored::read(&mut row.ok_or(CommsError::NoSuchMessage)?)?;
            let changed = self.change_one(memory, &mut told, &mut sent, now, change)?;
            let mut next = Vec::new();
            for receipt in &changed {
                if receipt.state == DeliveryState::Delivered {
                    for seq in memory.lines.aside(&sent.thread, &receipt.to, now) {
                        next.push(self.before_its_time(&sent.thread, seq, &receipt.to)?);
                    }
                }
                next.extend(self.let_go(memory, &mut told, (&sent.thread, &receipt.to), now)?);
            }
            Ok(Settled { receipts: sent.receipts, next })
        })?;
        told.into_iter().for_each(|piece| self.note(piece));
        Ok(settled)
    }

    /// A try that is made before its time.
    pub(crate) fn before_its_time(&self, thread: &str, seq: u32, to: &Did) -> Result<Due, CommsError> {
        let id = self.in_place(thread, seq)?.id;
        let (parcel, aside) = (self.sent_parcel(id)?, vec![to.clone()]);
        Ok(Due { id, first: Vec::new(), again: Vec::new(), aside, parcel })
    }

    /// Lets go the next message of a line, if nothing keeps it.
    fn let_go(
        &self,
        memory: &mut Memory,
        told: &mut Vec<Fresh>,
        (thread, to): (&str, &Did),
        now: u64,
    ) -> Result<Option<Due>, CommsError> {
        while let Some(seq) = memory.lines.let_go(thread, to) {
            let mut sent = self.in_place(thread, seq)?;
            let changed = self.change_one(memory, told, &mut sent, now, |receipt| {
                if receipt.to == *to && receipt.keeper == Keeper::Line {
                    receipt.keeper = Keeper::Sender;
                    receipt.due = now.saturating_add(FIRST_TRY_MICROS);
                }
            })?;
            // One whose time is over while it was held is none to be tried.
            if changed.iter().any(|receipt| receipt.to == *to && receipt.is_open()) {
                let (parcel, first) = (self.sent_parcel(sent.id)?, vec![to.clone()]);
                return Ok(Some(Due { id: sent.id, first, again: Vec::new(), aside: Vec::new(), parcel }));
            }
        }
        Ok(None)
    }

    /// Changes the receipts of one message, and answers with those that are otherwise than before.
    fn change_one(
        &self,
        memory: &mut Memory,
        told: &mut Vec<Fresh>,
        sent: &mut Stored,
        now: u64,
        change: impl Fn(&mut Receipt),
    ) -> Result<Vec<Receipt>, CommsError> {
        let mut changed = Vec::new();
        for receipt in &mut sent.receipts {
            let before = receipt.clone();
            change(receipt);
            receipt.end_if_over(sent.at, sent.expires_at, now);
            if *receipt == before {
                continue;
            }
            // Who makes the next try, and when, is no news.
            if (receipt.at, receipt.attempts, receipt.state) != (before.at, before.attempts, before.state) {
                receipt.at = memory.number(now);
                self.note_late(sent.id, &before, receipt.at)?;
                told.push(Fresh::Told(sent.id, receipt.clone()));
            }
            changed.push(receipt.clone());
        }
        if changed.is_empty() {
            return Ok(changed);
        }
        let due = sent.receipts.iter().filter(|receipt| receipt.is_open()).map(Receipt::alarm_at).min();
        if due.is_none() {
            memory.end();
        }
        changed.iter().for_each(|receipt| memory.lines.note(&sent.thread, sent.seq, receipt));
        let (id, packed) = (sent.id.to_string(), pack(&sent.receipts));
        memory.dues.set(&id, due);
        self.store.query(UPDATE, &[Param::Text(&id), due.map_or(Param::Null, int), Param::Blob(&packed)])?;
        Ok(changed)
    }

    fn in_place(&self, thread: &str, seq: u32) -> Result<Stored, CommsError> {
        let row = self.store.query(BY_PLACE, &[Param::Text(thread), Param::Int(seq.into())])?.pop();
        Ok(Stored::read(&mut row.ok_or(CommsError::NoSuchMessage)?)?)
    }

    fn sent_parcel(&self, id: Tid) -> Result<Vec<u8>, CommsError> {
        let row = self.store.query(SELECT_PARCEL, &[Param::Text(&id.to_string())])?.pop();
        Ok(row.ok_or(CommsError::NoSuchMessage)?.blob(0)?)
    }
}
