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
use crate::open::{Dues, Line, Open, Waiting, open_columns};

/// Reads 1 row.
const SELECT_FLOORS: &str =
    "SELECT inbox_floor, sent_floor, dropped_through, inbox_behind FROM comms WHERE id = 1";
/// Writes 1 row.
const SET_FLOORS: &str = "INSERT INTO comms (id, inbox_floor, sent_floor, inbox_behind) VALUES (1, ?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET inbox_floor = excluded.inbox_floor, sent_floor = excluded.sent_floor, \
     inbox_behind = excluded.inbox_behind";
/// Reads the inbox from the floor on.
const OPEN_FROM: &str = concat!("SELECT ", open_columns!(), " FROM inbox WHERE ord >= ?1 AND state = 0");
/// Reads 1 row.
const OPEN_AT: &str = concat!("SELECT ", open_columns!(), " FROM inbox WHERE ord = ?1 AND state = 0");
/// Reads what is in quarantine.
const COUNT_QUARANTINED: &str =
    "SELECT sender, count(*) FROM inbox INDEXED BY inbox_quarantine WHERE state = 1 GROUP BY sender";
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

/// What is counted, and what is open.
pub(crate) struct Memory {
    /// From which number on all that is open is found in the inbox. What is open before it is listed beside it.
    inbox_floor: i64,
    sent_floor: String,
    /// What is open of the inbox.
    pub(crate) open: Open,
    /// What is open of what was sent.
    pub(crate) dues: Dues,
    /// What of each sender waits in the inbox, and in quarantine.
    waiting: BTreeMap<String, Load>,
    /// Of all senders.
    total: Load,
    /// Messages that have ended since the floors were stored.
    ended: u32,
    /// The number of the last that has happened.
    pub(crate) last_number: u64,
    /// When something is to be dropped, if that is known.
    pub(crate) next_drop: Option<Option<u64>>,
    /// The number of the last news that was dropped.
    pub(crate) dropped_through: u64,
    /// What of what was sent waits for another try.
    pub(crate) lines: Lines,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Load {
    /// Messages in the inbox.
    pub(crate) open: u32,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Messages in quarantine.
    pub(crate) quarantined: u32,
}

impl Memory {
    /// How much of a sender's waits, and of all.
    pub(crate) fn waiting(&self, sender: &str) -> (Load, Load) {
        (self.waiting.get(sender).copied().unwrap_or_default(), self.total)
    }

    pub(crate) const fn any_in_quarantine(&self) -> bool {
        self.total.quarantined > 0
    }

    /// How many messages the sender has in quarantine who has most.
    pub(crate) fn largest_in_quarantine(&self) -> u32 {
        self.waiting.values().map(|load| load.quarantined).max().unwrap_or(0)
    }

    /// Notes that something is to be dropped at a time.
    pub(crate) fn drops(&mut self, at: u64) {
        self.next_drop = self.next_drop.map(|next| Some(next.map_or(at, |next| next.min(at))));
    }

    /// Notes that a message that was sent has ended: the floors may be higher.
    pub(crate) const fn end(&mut self) {
        self.ended = self.ended.saturating_add(1);
    }

    /// Notes a message that is open.
    pub(crate) fn opens(&mut self, line: Line, seq: i64, message: Waiting) {
        let bytes = message.bytes;
        self.count(&line.1, |load| {
            load.open = load.open.saturating_add(1);
            load.bytes = load.bytes.saturating_add(bytes);
        });
        self.open.insert(line, seq, message);
    }

    /// Notes that a message is open no more.
    pub(crate) fn closes(&mut self, line: &Line, seq: i64) {
        let Some(bytes) = self.open.get_mut(line, seq).map(|message| message.bytes) else { return };
        self.open.remove(line, seq);
        self.count(&line.1, |load| {
            load.open = load.open.saturating_sub(1);
            load.bytes = load.bytes.saturating_sub(bytes);
        });
        self.end();
    }

    pub(crate) fn enter_quarantine(&mut self, sender: &str, messages: u32) {
        self.count(sender, |load| load.quarantined = load.quarantined.saturating_add(messages));
    }

    pub(crate) fn leave_quarantine(&mut self, sender: &str) {
        self.count(sender, |load| load.quarantined = load.quarantined.saturating_sub(1));
    }

    fn count(&mut self, sender: &str, change: impl Fn(&mut Load)) {
        change(&mut self.total);
        let of_sender = self.waiting.entry(sender.to_owned()).or_default();
        change(of_sender);
        if *of_sender == Load::default() {
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

    /// Lists a message beside the floor of the inbox that is open again before it. Writes 1 row then.
    pub(crate) fn list_behind_floor(&self, memory: &Memory, ord: i64) -> Result<(), CommsError> {
        if ord >= memory.inbox_floor {
            return Ok(());
        }
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
        memory.inbox_floor = match memory.open.ords().get(MAX_BEHIND_FLOOR) {
            Some(ord) => *ord,
            // What comes next has a higher number than all that has happened.
            None => i64::try_from(memory.last_number).unwrap_or(i64::MAX).saturating_add(1),
        };
        memory.sent_floor = match memory.dues.first() {
            Some(id) => id.to_owned(),
            None => one(&*self.store, SENT_END)?.text(0)?,
        };
        memory.ended = 0;
        self.store_floors(memory)
    }

    fn store_floors(&self, memory: &Memory) -> Result<(), CommsError> {
        let behind = memory.open.ords().into_iter().take_while(|ord| *ord < memory.inbox_floor);
        let behind: Vec<u8> = behind.flat_map(i64::to_be_bytes).collect();
        let floors = [Param::Int(memory.inbox_floor), Param::Text(&memory.sent_floor), Param::Blob(&behind)];
        Ok(self.store.query(SET_FLOORS, &floors).map(drop)?)
    }

    fn load(&self) -> Result<Memory, CommsError> {
        let (inbox_floor, sent_floor, dropped_through, behind) =
            match self.store.query(SELECT_FLOORS, &[])?.pop() {
                Some(mut row) => {
                    (row.int(0)?, row.text(1)?, uint(row.int(2)?), row.opt_blob(3)?.unwrap_or_default())
                }
                None => (0, String::new(), 0, Vec::new()),
            };
        let (lines, dues) = self.lines(&sent_floor)?;
        let mut memory = Memory {
            inbox_floor,
            sent_floor,
            open: Open::default(),
            dues,
            waiting: BTreeMap::new(),
            total: Load::default(),
            ended: 0,
            last_number: self.last_number()?,
            next_drop: None,
            dropped_through,
            lines,
        };
        let mut open = self.store.query(OPEN_FROM, &[Param::Int(inbox_floor)])?;
        let (behind, _) = behind.as_chunks();
        for ord in behind {
            open.extend(self.store.query(OPEN_AT, &[Param::Int(i64::from_be_bytes(*ord))])?);
        }
        for mut row in open {
            let (line, seq, message) = Waiting::read(&mut row)?;
            memory.opens(line, seq, message);
        }
        for mut row in self.store.query(COUNT_QUARANTINED, &[])? {
            memory.enter_quarantine(&row.text(0)?, u32::try_from(row.int(1)?).unwrap_or(u32::MAX));
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
/// Messages before the floor of the inbox that are open, at most: so many are found one by one when the object wakes, and what is done
/// between them is not read.
const MAX_BEHIND_FLOOR: usize = 256;
