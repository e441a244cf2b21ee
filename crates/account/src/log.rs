//! The account's log: the last turns that changed something, and the events that the relay has yet to take.
//!
//! A *turn* is what was written together: one commit or several, or a group of identity and account events. It is one
//! row of a ring whose slots are written over, so that keeping the log short costs no deletes. A turn may be silent: what
//! an account that is moving in does is told to nobody. The ring serves two ends:
//!
//! 1. *Waking.* The pages hold the tree at the last checkpoint; the turns behind it are played again. The ring is as
//!    long as the longest run between two checkpoints, so the turns needed are always there.
//! 2. *The outbox.* A turn's events leave in order. If the relay is away until a slot is needed again, the turn moves to
//!    the `outbox` table first.
//!
//! Nothing here is written when the relay takes an event: that would be a row a commit. Whether the last turns are
//! taken is known in memory, and to a woken object by its alarm (see [`Log::open`]).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use murmuration_platform::{Param, Store, StoreError};

use crate::budget::Budget;

/// Turns between two checkpoints at the most. Waking reads this many rows and one more.
pub(crate) const MAX_TAIL: usize = 11;
/// Slots of the ring: the tail, and the turn of the checkpoint itself.
const RING: usize = MAX_TAIL + 1;
/// Bytes of events that wait in memory for the relay; what is beyond is read back from storage in its turn.
const MAX_WAITING_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of events in one push, unless one turn has more: a row of the relay's.
const MAX_PUSH_BYTES: usize = 1_000_000;
/// Events from which on no other turn joins a push; the relay takes 1,000.
const MAX_PUSH_EVENTS: usize = 500;
/// Turns read back from storage at a time.
const REFILL_TURNS: i64 = 8;
/// Bytes of events in one turn: the row must stay below the platform's 2 MB.
pub(crate) const MAX_TURN_BYTES: usize = 1_960_000;

/// Reads at most [`RING`] rows. Not sorted here: the engine's sorter would count each row twice.
const SELECT_RING: &str = "SELECT ord, slot, at, head, checkpoint, drafts, spent FROM log";
/// Writes 1 row.
const UPSERT_TURN: &str = "INSERT INTO log (slot, ord, at, head, checkpoint, drafts, spent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (slot) DO UPDATE SET ord = excluded.ord, at = excluded.at, head = excluded.head, \
     checkpoint = excluded.checkpoint, drafts = excluded.drafts, spent = excluded.spent";
/// Reads [`RING`] rows at the most; only after the memory of the waiting turns is lost.
const SELECT_TAIL: &str = "SELECT ord, at, drafts FROM log WHERE ord >= ?1 ORDER BY ord LIMIT ?2";
/// Writes 1 row; only while the relay is away.
const SPILL: &str = "INSERT INTO outbox (ord, at, drafts) SELECT ord, at, drafts FROM log WHERE slot = ?1";
/// Reads [`REFILL_TURNS`] rows; what is kept of them is as much as may wait.
const SELECT_SPILLED: &str = "SELECT ord, at, drafts FROM outbox WHERE ord >= ?1 ORDER BY ord LIMIT ?2";
/// Writes 1 row for each turn that had spilled.
const DELETE_SPILLED: &str = "DELETE FROM outbox WHERE ord < ?1";

/// What a woken account finds in its ring.
pub(crate) struct Tail {
    /// The commit block of the last checkpoint.
    pub(crate) checkpoint_head: Vec<u8>,
    /// The commit block of the last turn.
    pub(crate) head: Vec<u8>,
    /// The events of the turns behind the checkpoint, oldest first.
    pub(crate) drafts: Vec<Vec<u8>>,
}

/// Events on their way to the relay: those of the next turn, and of turns behind it that have waited for the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Push {
    /// The number of the first event.
    pub ord: u64,
    /// When the first turn was, in microseconds since the Unix epoch.
    pub made_at: u64,
    /// The events, in order.
    pub drafts: Vec<Vec<u8>>,
    /// Whether they have surely never been sent before.
    pub fresh: bool,
}

struct Waiting {
    ord: u64,
    at: u64,
    packed: Rc<[u8]>,
    attempted: bool,
}

impl Push {
    /// Whether a turn may leave with it: its events follow without a gap, and have been sent as little or as much.
    fn takes(&self, turn: &Waiting) -> bool {
        self.drafts.len() < MAX_PUSH_EVENTS
            && self.fresh != turn.attempted
            && self.ord + number(self.drafts.len()) == turn.ord
            && !turn.packed.is_empty()
    }
}

/// The log of one account.
pub(crate) struct Log {
    store: Rc<dyn Store>,
    /// The number of the next event; each event of an account has the next number.
    next_ord: u64,
    /// The slot that the next turn takes, and the first number in each slot.
    next_slot: usize,
    ords: [Option<u64>; RING],
    since_checkpoint: usize,
    /// When the last turn was, in microseconds since the Unix epoch.
    last_turn: u64,
    /// Every event below this number has been taken by the relay.
    taken: u64,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    spilled: bool,
    /// What the account has spent of its write limits.
    pub(crate) budget: Budget,
}

impl Log {
    /// The log of an account that is being made at `now` (microseconds).
    ///
    /// Its events are numbered from there: were the account deleted and made again, the relay would take low numbers
    /// for events that it has.
    pub(crate) fn new(store: Rc<dyn Store>, now: u64) -> Self {
        Self {
            store,
            next_ord: now,
            next_slot: 0,
            ords: [None; RING],
            since_checkpoint: 0,
            last_turn: now,
            taken: now,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            spilled: false,
            budget: Budget::default(),
        }
    }

    /// Reads the ring. `all_taken` says that the relay is known to have every event; otherwise the ring's events, and
    /// those that spilled, are sent again, and the relay knows them by their numbers.
    pub(crate) fn open(store: Rc<dyn Store>, all_taken: bool) -> Result<(Self, Tail), StoreError> {
        let mut log = Self::new(store, 0);
        let mut tail: Option<Tail> = None;
        let mut ring = BTreeMap::new();
        for mut row in log.store.query(SELECT_RING, &[])? {
            let ord = u64::try_from(row.int(0)?).map_err(|_| corrupt("a number is negative"))?;
            ring.insert(ord, row);
        }
        for (ord, mut row) in ring {
            let slot = usize::try_from(row.int(1)?).map_err(|_| corrupt("a slot is negative"))?;
            let at = u64::try_from(row.int(2)?).map_err(|_| corrupt("a time is negative"))?;
            let (head, checkpoint, packed) = (row.blob(3)?, row.int(4)? != 0, row.blob(5)?);
            let drafts = unpack(&packed)?;
            log.budget = Budget::decode(row.opt_blob(6)?.as_deref())?;
            if !all_taken {
                log.wait(Waiting { ord, at, packed: packed.into(), attempted: true });
            }
            *log.ords.get_mut(slot).ok_or_else(|| corrupt("a slot is outside of the ring"))? = Some(ord);
            log.next_slot = (slot + 1) % RING;
            log.next_ord = ord + numbers(drafts.len());
            log.last_turn = at;
            match (&mut tail, checkpoint) {
                (_, true) => {
                    log.since_checkpoint = 0;
                    tail = Some(Tail { checkpoint_head: head.clone(), head, drafts: Vec::new() });
                }
                (Some(tail), false) => {
                    log.since_checkpoint += 1;
                    tail.head = head;
                    tail.drafts.extend(drafts);
                }
                // Older than the checkpoint that follows in the ring.
                (None, false) => {}
            }
        }
        let tail = tail.ok_or_else(|| corrupt("the log has no checkpoint"))?;
        if all_taken {
            log.taken = log.next_ord;
            return Ok((log, tail));
        }
        log.taken = log.ords.iter().flatten().copied().min().unwrap_or(0);
        if let Some(mut row) = log.store.query(SELECT_SPILLED, &[Param::Int(0), Param::Int(1)])?.pop() {
            log.taken = u64::try_from(row.int(0)?).map_err(|_| corrupt("a number is negative"))?;
            log.spilled = true;
            // What has spilled comes first, and is read back.
            log.waiting.clear();
            log.waiting_bytes = 0;
        }
        Ok((log, tail))
    }

    /// Keeps a turn in memory for the relay, if it follows on what waits there and there is room. What is not in memory
    /// must be read back in order, so nothing newer may wait before it.
    fn wait(&mut self, turn: Waiting) {
        let follows = self
            .waiting
            .back()
            .is_none_or(|last| unpacked_len(&last.packed).is_some_and(|count| last.ord + count == turn.ord));
        if follows && self.waiting_bytes + turn.packed.len() <= MAX_WAITING_BYTES {
            self.waiting_bytes += turn.packed.len();
            self.waiting.push_back(turn);
        }
    }

    /// Whether the next turn must be a checkpoint for the ring to stay long enough.
    pub(crate) const fn wants_checkpoint(&self) -> bool {
        self.since_checkpoint >= MAX_TAIL
    }

    /// Writes a turn. Memory follows at once: when the transaction fails, the whole log is dropped and opened again.
    pub(crate) fn append(
        &mut self,
        head: &[u8],
        drafts: &[Vec<u8>],
        checkpoint: bool,
        now: u64,
    ) -> Result<(), StoreError> {
        let packed = pack(drafts);
        let slot = self.next_slot;
        if let Some(old) = self.ords.get(slot).copied().flatten()
            && old >= self.taken
        {
            self.store.query(SPILL, &[integer(number(slot))?])?;
            self.spilled = true;
        }
        let (at, ord) = (integer(number(slot))?, integer(self.next_ord)?);
        let flag = Param::Int(i64::from(checkpoint));
        let spent = self.budget.encode();
        let spent = spent.as_deref().map_or(Param::Null, Param::Blob);
        let params = [at, ord, integer(now)?, Param::Blob(head), flag, Param::Blob(&packed), spent];
        self.store.query(UPSERT_TURN, &params)?;
        if let Some(place) = self.ords.get_mut(slot) {
            *place = Some(self.next_ord);
        }
        self.since_checkpoint = if checkpoint { 0 } else { self.since_checkpoint + 1 };
        self.next_slot = (slot + 1) % RING;
        let all_taken = self.taken == self.next_ord;
        if drafts.is_empty() && all_taken {
            // Nobody is to be told.
            self.taken += numbers(0);
        } else if !self.waiting.is_empty() || all_taken {
            let turn = Waiting { ord: self.next_ord, at: now, packed: packed.into(), attempted: false };
            self.wait(turn);
        }
        self.next_ord += numbers(drafts.len());
        self.last_turn = now;
        Ok(())
    }

    /// Whether the relay has yet to take an event.
    pub(crate) const fn has_unsent(&self) -> bool {
        self.taken < self.next_ord
    }

    /// When the last turn was, in microseconds since the Unix epoch.
    pub(crate) const fn last_turn(&self) -> u64 {
        self.last_turn
    }

    /// The number of the last event.
    pub(crate) const fn last_ord(&self) -> u64 {
        self.next_ord.saturating_sub(1)
    }

    /// The next events for the relay, oldest first; `None` when it has all. If `ended`, the last of them says that the
    /// account is no more, and leaves alone: the relay keeps what came together in one row, and of that row it would keep
    /// what it is to forget.
    pub(crate) fn push(&mut self, ended: bool) -> Result<Option<Push>, StoreError> {
        if !self.has_unsent() {
            return Ok(None);
        }
        loop {
            if self.waiting.is_empty() {
                self.refill()?;
            }
            match self.waiting.front() {
                Some(silent) if silent.packed.is_empty() => self.taken(silent.ord + 1)?,
                Some(_) => break,
                None => return Err(corrupt("an event that was not sent is not in the log")),
            }
            if !self.has_unsent() {
                return Ok(None);
            }
        }
        let end = ended.then_some(self.last_ord());
        let mut push: Option<Push> = None;
        let mut bytes = 0;
        for turn in &mut self.waiting {
            bytes += turn.packed.len();
            match &mut push {
                None => {
                    push = Some(Push {
                        ord: turn.ord,
                        made_at: turn.at,
                        drafts: unpack(&turn.packed)?,
                        fresh: !turn.attempted,
                    });
                }
                Some(push) if bytes <= MAX_PUSH_BYTES && push.takes(turn) && end != Some(turn.ord) => {
                    push.drafts.extend(unpack(&turn.packed)?);
                }
                Some(_) => break,
            }
            turn.attempted = true;
        }
        Ok(push)
    }

    /// Notes that the relay has every event below `ord`.
    pub(crate) fn taken(&mut self, ord: u64) -> Result<(), StoreError> {
        self.taken = self.taken.max(ord);
        while self.waiting.front().is_some_and(|first| first.ord < self.taken) {
            if let Some(gone) = self.waiting.pop_front() {
                self.waiting_bytes -= gone.packed.len();
            }
        }
        if self.spilled {
            self.store.query(DELETE_SPILLED, &[integer(self.taken)?])?;
            let left = self.store.query(SELECT_SPILLED, &[Param::Int(0), Param::Int(1)])?;
            self.spilled = !left.is_empty();
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<(), StoreError> {
        let from = integer(self.taken)?;
        let mut rows = match self.spilled {
            true => {
                let params = [from, Param::Int(REFILL_TURNS)];
                self.store.query_within(SELECT_SPILLED, &params, MAX_WAITING_BYTES)?
            }
            false => Vec::new(),
        };
        if rows.is_empty() {
            let params = [from, Param::Int(REFILL_TURNS)];
            rows = self.store.query_within(SELECT_TAIL, &params, MAX_WAITING_BYTES)?;
        }
        for mut row in rows {
            let ord = u64::try_from(row.int(0)?).map_err(|_| corrupt("a number is negative"))?;
            let at = u64::try_from(row.int(1)?).map_err(|_| corrupt("a time is negative"))?;
            let packed: Rc<[u8]> = row.blob(2)?.into();
            self.waiting_bytes += packed.len();
            self.waiting.push_back(Waiting { ord, at, packed, attempted: true });
        }
        Ok(())
    }
}

/// Events one behind the other, each behind its length (4 bytes, big endian).
fn pack(drafts: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(drafts.iter().map(|draft| draft.len() + 4).sum());
    for draft in drafts {
        // INVARIANT: a turn is below MAX_TURN_BYTES.
        packed.extend_from_slice(&u32::try_from(draft.len()).unwrap_or(u32::MAX).to_be_bytes());
        packed.extend_from_slice(draft);
    }
    packed
}

fn unpack(mut packed: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut drafts = Vec::new();
    while !packed.is_empty() {
        let (draft, rest) = first(packed).ok_or_else(|| corrupt("a turn ends within an event"))?;
        drafts.push(draft.to_vec());
        packed = rest;
    }
    Ok(drafts)
}

fn unpacked_len(mut packed: &[u8]) -> Option<u64> {
    let mut count = 0;
    while !packed.is_empty() {
        packed = first(packed)?.1;
        count += 1;
    }
    Some(count.max(1))
}

/// How many numbers a turn takes: one for each of its events, and one if it has none, so that turns stay in order.
fn numbers(events: usize) -> u64 {
    number(events).max(1)
}

fn first(packed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = packed.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn number(count: usize) -> u64 {
    // INVARIANT: usize is at most 64 bits on every target.
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn integer(number: u64) -> Result<Param<'static>, StoreError> {
    i64::try_from(number).map(Param::Int).map_err(|_| corrupt("a number is out of range"))
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.into())
}
