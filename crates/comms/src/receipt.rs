//! How it stands with the delivery of a message to one recipient, and who sees to its next try.
//!
//! A delivery has one keeper at a time. Its sender makes the first try. When that fails, the queue keeps it if it takes a
//! ticket, and the alarm of the sender's object if not. The alarm takes back for good what the queue has not reported on for
//! [`TICKET_PATIENCE_MICROS`], and a ticket that comes later is worth nothing.

use murmuration_data::cbor::{Reader, Writer};
use murmuration_platform::StoreError;
use murmuration_syntax::Did;

use crate::backoff;
use crate::inbox::corrupt;
use crate::lease::clip;
use crate::limits::{
    FLUSH_PAUSE_MICROS, MAX_AGE_MICROS, MAX_RETRY_AFTER_SECONDS, STEP_ASIDE_FAULTS, STEP_ASIDE_TRIES,
    TICKET_PATIENCE_MICROS,
};

/// How it stands with one recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Who.
    pub to: Did,
    /// How.
    pub state: DeliveryState,
    /// Tries that were made.
    pub attempts: u32,
    /// Those of them that the other host answered with a fault of its own.
    pub faults: u32,
    /// When it came to be so, in microseconds since the Unix epoch: the number of the news of it.
    pub at: u64,
    /// When the next try is due, if there is one.
    pub due: u64,
    /// Before which the other host wants none, whatever the occasion.
    pub not_before: u64,
    /// Why it is not delivered.
    pub reason: Option<String>,
    /// Who sees to the next try, if there is one.
    pub keeper: Keeper,
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

/// Who sees to the next try of a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeper {
    /// Whoever sends it; if they die, the alarm does what they would have done.
    Sender,
    /// The queue, which has taken a ticket.
    Queue,
    /// The alarm of the sender's object.
    Alarm,
    /// Those before it in its thread: it is tried when nothing keeps it (`line.rs`).
    Line,
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
        /// Whether the host has answered with a fault of its own: then it may be the message, and not the host.
        fault: bool,
        /// Who sees to the next try. What the alarm has is the alarm's. If nobody is named, this try was before its time, and
        /// whoever has the delivery makes the next as if this had not been.
        keeper: Option<Keeper>,
    },
}

impl Receipt {
    pub(crate) fn new(to: &Did, due: u64, at: u64) -> Self {
        let (state, keeper) = (DeliveryState::Queued, Keeper::Sender);
        Self { to: to.clone(), state, attempts: 0, faults: 0, at, due, not_before: 0, reason: None, keeper }
    }

    /// One that waits for those before it. If they never let it go, the alarm ends it.
    pub(crate) fn held(to: &Did, at: u64) -> Self {
        Self { keeper: Keeper::Line, ..Self::new(to, at.saturating_add(MAX_AGE_MICROS), at) }
    }

    /// Whether it is still to be tried.
    pub(crate) fn is_open(&self) -> bool {
        self.state == DeliveryState::Queued
    }

    /// Whether the other side has another message in its place, or in the one before.
    pub(crate) fn is_of_a_broken_chain(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.state == DeliveryState::Rejected && reason.starts_with(BROKEN_CHAIN)
    }

    /// Whether it has failed so often that those behind it do not wait for it.
    pub(crate) const fn has_stepped_aside(&self) -> bool {
        self.faults >= STEP_ASIDE_FAULTS || self.attempts >= STEP_ASIDE_TRIES
    }

    /// When it may be tried before its time.
    pub(crate) fn rested_at(&self) -> u64 {
        self.at.saturating_add(FLUSH_PAUSE_MICROS).max(self.not_before)
    }

    /// When the alarm takes it up, if it is open.
    pub(crate) const fn alarm_at(&self) -> u64 {
        match self.keeper {
            Keeper::Queue => self.due.saturating_add(TICKET_PATIENCE_MICROS),
            Keeper::Sender | Keeper::Alarm | Keeper::Line => self.due,
        }
    }

    pub(crate) fn note(&mut self, attempt: &Attempt, now: u64, random: u64) {
        let counts = !matches!(attempt, Attempt::Later { keeper: None, .. });
        self.attempts = self.attempts.saturating_add(counts.into());
        self.at = now;
        match attempt {
            Attempt::Delivered => {
                self.state = DeliveryState::Delivered;
                self.reason = None;
            }
            Attempt::Rejected(reason) => {
                self.state = DeliveryState::Rejected;
                self.reason = Some(clip(reason).to_owned());
            }
            Attempt::Later { retry_after_seconds, reason, fault, keeper } => {
                self.reason = Some(clip(reason).to_owned());
                let asked = retry_after_seconds.map(|seconds| seconds.min(MAX_RETRY_AFTER_SECONDS));
                self.not_before = asked.map_or(0, |seconds| now.saturating_add(seconds * 1_000_000));
                let Some(keeper) = keeper else {
                    self.due = self.due.max(self.not_before);
                    return;
                };
                self.faults = self.faults.saturating_add((*fault).into());
                self.due = now.saturating_add(backoff(self.attempts, *retry_after_seconds, random));
                if self.keeper != Keeper::Alarm {
                    self.keeper = *keeper;
                }
            }
        }
    }

    /// Gives it up, whatever could still be tried.
    pub(crate) fn fail(&mut self, now: u64) {
        self.state = DeliveryState::Failed;
        self.at = now;
    }

    /// Gives up what would be tried again when nobody wants it any more.
    pub(crate) fn end_if_over(&mut self, sent_at: u64, expires_at: Option<u64>, now: u64) {
        if !self.is_open() {
            return;
        }
        // Its sender may be at it right now, or will be as soon as it is let go.
        let waits = matches!(self.keeper, Keeper::Queue | Keeper::Alarm);
        let next = if waits { self.due.max(now) } else { now };
        if expires_at.is_some_and(|at| at <= next) {
            self.state = DeliveryState::Expired;
            self.at = now;
        } else if next >= sent_at.saturating_add(MAX_AGE_MICROS) {
            self.fail(now);
        }
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

impl Keeper {
    /// The number that it is stored as.
    const fn code(self) -> u64 {
        match self {
            Self::Sender => 0,
            Self::Queue => 1,
            Self::Alarm => 2,
            Self::Line => 3,
        }
    }

    const ALL: [Self; 4] = [Self::Sender, Self::Queue, Self::Alarm, Self::Line];

    fn of_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|keeper| keeper.code() == code)
    }
}

/// The receipts of a message in one value: DAG-CBOR of a list of lists.
pub(crate) fn pack(receipts: &[Receipt]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(receipts.len());
    for receipt in receipts {
        writer.array(9).text(receipt.to.as_str()).text(receipt.state.name());
        writer.uint(receipt.attempts.into()).uint(receipt.at).uint(receipt.due);
        writer.text(receipt.reason.as_deref().unwrap_or_default()).uint(receipt.keeper.code());
        writer.uint(receipt.faults.into()).uint(receipt.not_before);
    }
    writer.into_bytes()
}

pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<Receipt>, StoreError> {
    let broken = |_| corrupt();
    let mut reader = Reader::new(bytes);
    let count = reader.array().map_err(broken)?;
    let receipts = (0..count).map(|_| {
        let fields = reader.array().map_err(broken)?;
        let to = Did::parse(reader.text().map_err(broken)?).map_err(|_| corrupt())?;
        let state = reader.text().map_err(broken)?;
        let state = DeliveryState::ALL.into_iter().find(|known| known.name() == state).ok_or_else(corrupt)?;
        let attempts = u32::try_from(reader.uint().map_err(broken)?).map_err(|_| corrupt())?;
        let (at, due) = (reader.uint().map_err(broken)?, reader.uint().map_err(broken)?);
        let reason = Some(reader.text().map_err(broken)?.to_owned()).filter(|reason| !reason.is_empty());
        // One that was stored before there was a queue is the alarm's.
        let (keeper, faults, not_before) = match fields {
            6 => (Keeper::Alarm, 0, 0),
            _ => {
                let keeper = Keeper::of_code(reader.uint().map_err(broken)?).ok_or_else(corrupt)?;
                let faults = u32::try_from(reader.uint().map_err(broken)?).map_err(|_| corrupt())?;
                (keeper, faults, reader.uint().map_err(broken)?)
            }
        };
        Ok(Receipt { to, state, attempts, faults, at, due, not_before, reason, keeper })
    });
    receipts.collect()
}

/// The error by which a message is refused whose place in the thread is taken (`agent.comms.deliver`).
const BROKEN_CHAIN: &str = "DuplicateConflict";

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(state: DeliveryState, keeper: Keeper) -> Receipt {
        let to = "did:plc:bob".parse().unwrap();
        Receipt {
            to,
            state,
            attempts: 3,
            faults: 2,
            at: 1,
            due: 2,
            not_before: 4,
            reason: Some("away".into()),
            keeper,
        }
    }

    #[test]
    fn receipts_come_back_as_they_were_stored() {
        let all: Vec<Receipt> = DeliveryState::ALL
            .into_iter()
            .flat_map(|state| Keeper::ALL.map(|keeper| receipt(state, keeper)))
            .collect();
        assert_eq!(unpack(&pack(&all)).unwrap(), all);
    }

    #[test]
    fn a_receipt_of_the_time_before_the_queue_is_the_alarms() {
        let mut writer = Writer::new();
        writer.array(1).array(6).text("did:plc:bob").text("queued").uint(3).uint(1).uint(2).text("away");
        let expected = Receipt { faults: 0, not_before: 0, ..receipt(DeliveryState::Queued, Keeper::Alarm) };
        assert_eq!(unpack(&writer.into_bytes()).unwrap(), [expected]);
    }
}
