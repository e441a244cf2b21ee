//! Leases: how messages are handed out, and what became of them.
//!
//! - A message that is handed out is nobody else's until its lease ends. Whoever holds it says *done*, *retry* or *dead*, and
//!   says nothing when it has died: then the message is handed out again.
//! - What a sender has sent in a thread is handed out in its order. A message waits for those before it that are not done,
//!   and for a while for those that have not come.
//! - One that has been handed out before is handed out alone, so that those behind it lose nothing by it.
//! - A message that was handed out [`MAX_ATTEMPTS`] times is dead, and the thread goes on behind it. Other threads never wait.

use std::collections::BTreeMap;

use murmuration_platform::Param;
use murmuration_syntax::Nsid;

use crate::comms::{Comms, DEAD, DONE, Memory, OPEN, int};
use crate::inbox::{MAX_PAGE_BYTES, corrupt, item, item_columns, length};
use crate::limits::{GAP_WAIT_MICROS, MAX_ATTEMPTS, MAX_REASON_BYTES};
use crate::open::{Line, Waiting};
use crate::{CommsError, Item};

/// Reads 1 row.
const HAS_COME: &str = "SELECT 1 FROM inbox WHERE thread = ?1 AND sender = ?2 AND seq = ?3 \
     UNION ALL SELECT 1 FROM dropped WHERE thread = ?1 AND sender = ?2 AND seq >= ?3";
/// Writes 1 row.
const LEASE: &str = concat!(
    "UPDATE inbox SET leased = 1, attempts = attempts + 1, due = ?2 WHERE ord = ?1 RETURNING ",
    item_columns!()
);
/// Writes 1 row, and one more for its entry in the index if it was in quarantine.
pub(crate) const GIVE_UP: &str = "UPDATE inbox SET state = 3, leased = 0, reason = ?2 WHERE ord = ?1";
/// Writes 1 row; none if the lease is another's.
const SETTLE: &str = "UPDATE inbox SET state = ?3, leased = 0, due = ?4, reason = ?5 \
     WHERE ord = ?1 AND attempts = ?2 AND leased = 1 AND state = 0 RETURNING thread, sender, seq";

/// The right to deal with a message, until a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The message.
    pub ord: i64,
    /// How often it has been handed out, this time included.
    pub attempt: u32,
    /// When the lease ends, in microseconds since the Unix epoch.
    pub until: u64,
}

impl Lease {
    /// Its name. It means something to this agent alone.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.ord, self.attempt)
    }

    fn parse(id: &str) -> Option<(i64, u32)> {
        let (ord, attempt) = id.split_once('.')?;
        Some((ord.parse().ok()?, attempt.parse().ok()?))
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Messages, at most.
    pub max: usize,
    /// For how long.
    pub micros: u64,
    /// Of which types; of all, if there is none. What is of another type keeps nobody waiting.
    pub kinds: &'a [Nsid],
}

/// What became of a message that was handed out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was dealt with.
    Done,
    /// It is to be handed out again, not before some time.
    Retry {
        /// How long; what seems right, if nothing is said.
        delay_micros: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// It cannot be dealt with.
    Dead {
        /// Why.
        reason: Option<String>,
    },
}

/// The order in which messages are handed out that may be: by priority, and then as they came.
type Rank = (i64, i64);

/// A thread's next message, if it may be handed out.
enum Next {
    Ready,
    Blocked,
    Skip,
    GiveUp(&'static str),
}

impl Comms {
    /// Hands out messages: of those that come first in their threads the ones of the highest priority, and of these the
    /// first that came. Fewer than are wanted when they are large. What has been let out of quarantine is among them
    /// ([`Comms::release`]).
    ///
    /// Writes a row for each message, and one for each that is given up.
    ///
    /// # Errors
    /// The storage's.
    pub fn claim(&self, claim: &Claim<'_>, now: u64) -> Result<Vec<Item>, CommsError> {
        self.change(|memory| {
            let mut fronts: BTreeMap<Rank, (Line, i64)> = BTreeMap::new();
            for line in memory.open.lines() {
                let front = self.front(memory, &line, 0, claim, now)?;
                fronts.extend(front.map(|(rank, seq)| (rank, (line, seq))));
            }
            let (mut items, mut bytes) = (Vec::new(), 0);
            while let Some((_, (line, seq))) = fronts.pop_first() {
                let Some(first) = memory.open.get_mut(&line, seq) else { continue };
                bytes += first.bytes;
                if items.len() >= claim.max || (bytes > length(MAX_PAGE_BYTES) && !items.is_empty()) {
                    break;
                }
                let (until, failed) = (now.saturating_add(claim.micros), first.attempts > 0);
                let leased = self.store.query(LEASE, &[Param::Int(first.ord), int(until)])?.pop();
                items.push(item(&mut leased.ok_or_else(corrupt)?, 0, now)?);
                (first.due, first.attempts) = (until, first.attempts.saturating_add(1));
                // One that has failed may fail again, and those behind it are not to die of that: they wait.
                if failed || memory.open.behind(&line, seq).is_some_and(|(_, next)| next.attempts > 0) {
                    continue;
                }
                let front = self.front(memory, &line, seq, claim, now)?;
                fronts.extend(front.map(|(rank, seq)| (rank, (line, seq))));
            }
            Ok(items)
        })
    }

    /// Says what became of messages. Answers with the leases that were none, or not theirs any more: those messages are
    /// somebody else's.
    ///
    /// Writes a row for each.
    ///
    /// # Errors
    /// The storage's.
    pub fn acknowledge<'a>(
        &self,
        results: &'a [(String, Outcome)],
        now: u64,
    ) -> Result<Vec<&'a str>, CommsError> {
        self.change(|memory| {
            let mut missing = Vec::new();
            for (lease, outcome) in results {
                let known = Lease::parse(lease)
                    .map(|(ord, attempt)| self.settle_lease(memory, ord, attempt, outcome, now));
                if !known.transpose()?.unwrap_or(false) {
                    missing.push(lease.as_str());
                }
            }
            Ok(missing)
        })
    }

    fn settle_lease(
        &self,
        memory: &mut Memory,
        ord: i64,
        attempt: u32,
        outcome: &Outcome,
        now: u64,
    ) -> Result<bool, CommsError> {
        let (state, due, reason) = match outcome {
            Outcome::Done => (DONE, now, None),
            Outcome::Retry { reason, .. } if attempt >= MAX_ATTEMPTS => (DEAD, now, reason.as_deref()),
            Outcome::Retry { delay_micros, reason } => {
                let delay = delay_micros.unwrap_or_else(|| 1_000_000 << attempt.min(MAX_ATTEMPTS));
                (OPEN, now.saturating_add(delay), reason.as_deref())
            }
            Outcome::Dead { reason } => (DEAD, now, reason.as_deref()),
        };
        let reason = reason.map(clip);
        let reason = reason.map_or(Param::Null, Param::Text);
        let row = [Param::Int(ord), Param::Int(attempt.into()), Param::Int(state), int(due), reason];
        let Some(mut row) = self.store.query(SETTLE, &row)?.pop() else { return Ok(false) };
        let (line, seq) = ((row.text(0)?, row.text(1)?), row.int(2)?);
        if state != OPEN {
            memory.closes(&line, seq);
        } else if let Some(message) = memory.open.get_mut(&line, seq) {
            message.due = due;
        }
        Ok(true)
    }

    /// The next message of a line behind a number, if it may be handed out, and its rank; gives up those before it that are over.
    fn front(
        &self,
        memory: &mut Memory,
        line: &Line,
        mut behind: i64,
        claim: &Claim<'_>,
        now: u64,
    ) -> Result<Option<(Rank, i64)>, CommsError> {
        while let Some((seq, first)) = memory.open.behind(line, behind) {
            match self.look(first, seq, line, claim, now)? {
                Next::Ready => return Ok(Some(((-first.priority, first.ord), seq))),
                Next::Blocked => return Ok(None),
                Next::Skip => behind = seq,
                Next::GiveUp(reason) => {
                    self.store.query(GIVE_UP, &[Param::Int(first.ord), Param::Text(reason)])?;
                    memory.closes(line, seq);
                }
            }
        }
        Ok(None)
    }

    /// Whether a message may be handed out that is the first of its thread.
    fn look(
        &self,
        message: &Waiting,
        seq: i64,
        (thread, sender): &Line,
        claim: &Claim<'_>,
        now: u64,
    ) -> Result<Next, CommsError> {
        if message.expires_at.is_some_and(|at| at <= now) {
            return Ok(Next::GiveUp("expired"));
        }
        if message.due > now {
            return Ok(Next::Blocked);
        }
        if message.attempts >= MAX_ATTEMPTS {
            return Ok(Next::GiveUp("handed out too often"));
        }
        if !claim.kinds.is_empty() && !claim.kinds.iter().any(|kind| *kind == message.kind.as_str()) {
            return Ok(Next::Skip);
        }
        let waits = seq > 1 && now < message.at.saturating_add(GAP_WAIT_MICROS);
        if waits {
            let before = [Param::Text(thread), Param::Text(sender), Param::Int(seq - 1)];
            if self.store.query(HAS_COME, &before)?.is_empty() {
                return Ok(Next::Blocked);
            }
        }
        Ok(Next::Ready)
    }
}

/// As much of a reason as is kept.
pub(crate) fn clip(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}
