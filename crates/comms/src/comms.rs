//! The messages of one agent, and what is known of them without reading them all.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use murmuration_platform::{Param, Store, StoreError, transaction};
use murmuration_rate::Windows;

use crate::CommsError;
use crate::limits::{MAX_RATED, MAX_TOKENS, RATE, STRANGER_RATE};
use crate::line::Lines;
use crate::news::Fresh;

/// Reads 1 row.
const SELECT_FLOORS: &str = "SELECT inbox_floor, sent_floor, dropped_through FROM comms WHERE id = 1";
/// Writes 1 row.
const SET_FLOORS: &str = "INSERT INTO comms (id, inbox_floor, sent_floor) VALUES (1, ?1, ?2) \
     ON CONFLICT (id) DO UPDATE SET inbox_floor = excluded.inbox_floor, sent_floor = excluded.sent_floor";
/// Reads the inbox behind the floor, and what is in quarantine.
const COUNT_OPEN: &str = "SELECT sender, 0, count(*) FROM inbox WHERE ord >= ?1 AND state = 0 GROUP BY sender \
     UNION ALL SELECT sender, 1, count(*) FROM inbox WHERE state = 1 GROUP BY sender";
/// Reads those behind the floor that are done, and one.
const INBOX_FLOOR: &str = "SELECT ord FROM inbox WHERE ord >= ?1 AND state = 0 ORDER BY ord LIMIT 1";
/// Reads 1 row.
const INBOX_END: &str = "SELECT coalesce(max(ord), 0) + 1 FROM inbox";
/// Reads those behind the floor that have ended, and one.
const SENT_FLOOR: &str = "SELECT id FROM sent WHERE id >= ?1 AND due IS NOT NULL ORDER BY id LIMIT 1";
/// Reads 1 row.
const SENT_END: &str = "SELECT coalesce(max(id), '') FROM sent";

/// The messages of one agent, in the storage of its object.
///
/// All calls are synchronous and whole. The tables must be there: whoever makes this has brought them up to date.
pub struct Comms {
    pub(crate) store: Rc<dyn Store>,
    memory: RefCell<Option<Memory>>,
    rates: RefCell<[Windows; 2]>,
    /// Tokens by which messages were brought, and when they end, in seconds since the Unix epoch.
    tokens: RefCell<BTreeMap<String, u64>>,
    /// What has happened and was not asked for yet.
    pub(crate) fresh: RefCell<VecDeque<Fresh>>,
}

/// What is counted, and where what is open begins.
pub(crate) struct Memory {
    pub(crate) inbox_floor: i64,
    pub(crate) sent_floor: String,
    /// Messages of each sender that wait in the inbox, and in quarantine.
    waiting: BTreeMap<String, [u32; 2]>,
    /// Of all senders.
    total: [u32; 2],
    /// Messages that have ended since the floors were stored.
    ended: u32,
    /// When the next delivery is due, if that is known.
    pub(crate) next_due: Option<Option<u64>>,
    /// The number of the last that has happened.
    pub(crate) last_number: u64,
    /// When something is to be dropped, if that is known.
    pub(crate) next_drop: Option<Option<u64>>,
    /// The number of the last news that was dropped.
    pub(crate) dropped_through: u64,
    /// What of what was sent waits for another try.
    pub(crate) lines: Lines,
}

impl Memory {
    /// How many of a sender's messages, and of all, wait in a place.
    pub(crate) fn waiting(&self, sender: &str, place: Place) -> (u32, u32) {
        let of_sender = self.waiting.get(sender).copied().unwrap_or_default();
        (place.of(&of_sender), place.of(&self.total))
    }

    pub(crate) fn any_in_quarantine(&self) -> bool {
        Place::Quarantine.of(&self.total) > 0
    }

    /// How many messages the sender has in quarantine who has most.
    pub(crate) fn largest_in_quarantine(&self) -> u32 {
        self.waiting.values().map(|counts| Place::Quarantine.of(counts)).max().unwrap_or(0)
    }

    /// Notes that something is to be dropped at a time.
    pub(crate) fn drops(&mut self, at: u64) {
        self.next_drop = self.next_drop.map(|next| Some(next.map_or(at, |next| next.min(at))));
    }

    /// Notes that a delivery is due.
    pub(crate) fn sends(&mut self, due: u64) {
        self.next_due = self.next_due.map(|next| Some(next.map_or(due, |next| next.min(due))));
    }

    /// Notes that messages have ended: the floors may be higher.
    pub(crate) fn end(&mut self, messages: u32) {
        self.ended = self.ended.saturating_add(messages);
    }

    pub(crate) fn enter(&mut self, sender: &str, place: Place) {
        self.count(sender, place, |count| count.saturating_add(1));
    }

    pub(crate) fn leave(&mut self, sender: &str, place: Place) {
        self.count(sender, place, |count| count.saturating_sub(1));
    }

    fn count(&mut self, sender: &str, place: Place, change: impl Fn(u32) -> u32) {
        let of_sender = self.waiting.entry(sender.to_owned()).or_default();
        for counts in [&mut *of_sender, &mut self.total] {
            let [open, quarantined] = counts;
            let count = if place == Place::Inbox { open } else { quarantined };
            *count = change(*count);
        }
        if *of_sender == [0, 0] {
            self.waiting.remove(sender);
        }
    }
}

/// Where a message waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Inbox,
    Quarantine,
}

impl Place {
    const fn of(self, counts: &[u32; 2]) -> u32 {
        let [open, quarantined] = *counts;
        match self {
            Self::Inbox => open,
            Self::Quarantine => quarantined,
        }
    }

    pub(crate) const fn of_state(state: i64) -> Option<Self> {
        match state {
            OPEN => Some(Self::Inbox),
            QUARANTINED => Some(Self::Quarantine),
            _ => None,
        }
    }
}

impl Comms {
    /// The messages in `store`.
    #[must_use]
    pub fn new(store: Rc<dyn Store>) -> Self {
        let rates = [Windows::new(RATE, MAX_RATED), Windows::new(STRANGER_RATE, MAX_RATED)];
        Self {
            store,
            memory: RefCell::new(None),
            rates: RefCell::new(rates),
            tokens: RefCell::default(),
            fresh: RefCell::default(),
        }
    }

    /// Forgets what is in memory: the storage was wiped.
    pub fn forget(&self) {
        self.memory.replace(None);
        self.fresh.borrow_mut().clear();
    }

    /// Spends one of the messages that a sender may send in this minute.
    pub(crate) fn charge(&self, sender: &str, place: Place, now: u64) -> Result<(), CommsError> {
        let mut rates = self.rates.borrow_mut();
        let [known, strangers] = &mut *rates;
        let windows = if place == Place::Inbox { known } else { strangers };
        let busy = |seconds| CommsError::Busy { reason: "the sender sends too many messages", seconds };
        windows.take(sender, 1, now).map(drop).map_err(|status| busy(status.seconds_left(now)))
    }

    /// Notes the use of a token that ends at a second, and refuses the second use. When too many are remembered, the one that ends
    /// first is forgotten, and an object that dies forgets all: that is no harm (docs/decisions/0013), for the same message is a
    /// duplicate, and another needs its sender's signature.
    ///
    /// # Errors
    /// [`CommsError::Replayed`].
    pub fn spend(&self, token: &str, ends: u64, now_seconds: u64) -> Result<(), CommsError> {
        let mut tokens = self.tokens.borrow_mut();
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, ends| *ends > now_seconds);
        }
        if tokens.contains_key(token) {
            return Err(CommsError::Replayed);
        }
        if tokens.len() >= MAX_TOKENS {
            let first = tokens.iter().min_by_key(|(_, ends)| **ends).map(|(token, _)| token.clone());
            first.map(|token| tokens.remove(&token));
        }
        tokens.insert(token.to_owned(), ends);
        Ok(())
    }

    /// What is in memory.
    pub(crate) fn memory(&self) -> Result<RefMut<'_, Memory>, CommsError> {
        let mut slot = self.memory.borrow_mut();
        if slot.is_none() {
            *slot = Some(self.load()?);
        }
        RefMut::filter_map(slot, Option::as_mut)
            .map_err(|_| StoreError::Corrupt("what was just read is gone".into()).into())
    }

    /// Runs `turn` in one transaction. If it fails, nothing is stored and memory is dropped.
    pub(crate) fn change<T>(
        &self,
        turn: impl FnOnce(&mut Memory) -> Result<T, CommsError>,
    ) -> Result<T, CommsError> {
        let outcome = {
            let mut memory = self.memory()?;
            transaction(&*self.store, || {
                let outcome = turn(&mut memory)?;
                if memory.ended >= FLOOR_EVERY {
                    self.raise_floors(&mut memory)?;
                }
                Ok(outcome)
            })
        };
        if outcome.is_err() {
            self.forget();
        }
        outcome
    }

    /// Lowers the floor of the inbox to a message that is open again. Writes 1 row if it was higher.
    pub(crate) fn lower_inbox_floor(&self, memory: &mut Memory, ord: i64) -> Result<(), CommsError> {
        if ord >= memory.inbox_floor {
            return Ok(());
        }
        memory.inbox_floor = ord;
        self.store_floors(memory)
    }

    /// Lowers the floor of what was sent to a message that was sent under an old name. Writes 1 row if it was higher.
    pub(crate) fn lower_sent_floor(&self, memory: &mut Memory, id: &str) -> Result<(), CommsError> {
        if *id >= *memory.sent_floor {
            return Ok(());
        }
        id.clone_into(&mut memory.sent_floor);
        self.store_floors(memory)
    }

    fn raise_floors(&self, memory: &mut Memory) -> Result<(), CommsError> {
        let first = |sql, floor: Param<'_>| self.store.query(sql, &[floor]).map(|mut rows| rows.pop());
        memory.inbox_floor = match first(INBOX_FLOOR, Param::Int(memory.inbox_floor))? {
            Some(mut row) => row.int(0)?,
            None => one(&*self.store, INBOX_END)?.int(0)?,
        };
        memory.sent_floor = match first(SENT_FLOOR, Param::Text(&memory.sent_floor))? {
            Some(mut row) => row.text(0)?,
            None => one(&*self.store, SENT_END)?.text(0)?,
        };
        memory.ended = 0;
        self.store_floors(memory)
    }

    fn store_floors(&self, memory: &Memory) -> Result<(), CommsError> {
        let floors = [Param::Int(memory.inbox_floor), Param::Text(&memory.sent_floor)];
        Ok(self.store.query(SET_FLOORS, &floors).map(drop)?)
    }

    fn load(&self) -> Result<Memory, CommsError> {
        let (inbox_floor, sent_floor, dropped_through) = match self.store.query(SELECT_FLOORS, &[])?.pop() {
            Some(mut row) => (row.int(0)?, row.text(1)?, uint(row.int(2)?)),
            None => (0, String::new(), 0),
        };
        let mut memory = Memory {
            inbox_floor,
            sent_floor: sent_floor.clone(),
            waiting: BTreeMap::new(),
            total: [0, 0],
            ended: 0,
            next_due: None,
            last_number: self.last_number()?,
            next_drop: None,
            dropped_through,
            lines: self.lines(&sent_floor)?,
        };
        for mut row in self.store.query(COUNT_OPEN, &[Param::Int(inbox_floor)])? {
            let (sender, state) = (row.text(0)?, row.int(1)?);
            let count = u32::try_from(row.int(2)?).unwrap_or(u32::MAX);
            if let Some(place) = Place::of_state(state) {
                memory.count(&sender, place, |counted| counted.saturating_add(count));
            }
        }
        Ok(memory)
    }
}

/// The only row of a statement that always has one.
pub(crate) fn one(store: &dyn Store, sql: &'static str) -> Result<murmuration_platform::Row, StoreError> {
    store.query(sql, &[])?.pop().ok_or_else(|| StoreError::Corrupt("a statement has no row".into()))
}

/// A time or a number for the storage.
pub(crate) fn int(number: u64) -> Param<'static> {
    // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
    Param::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A time or a number out of the storage.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// States of a message in the inbox.
pub(crate) const OPEN: i64 = 0;
pub(crate) const QUARANTINED: i64 = 1;
pub(crate) const DONE: i64 = 2;
pub(crate) const DEAD: i64 = 3;

/// Messages that end before the floors are stored: a row for each so many, and so many more to be read when waking.
const FLOOR_EVERY: u32 = 64;
