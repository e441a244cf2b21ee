//! The subscribers: who is live, who is behind, and what each is sent.
//!
//! There is no hand-over to get wrong. Everything here is synchronous, and an object runs one thing at a time: a
//! subscriber becomes live in the very turn that sends it the last event of the log, and an append sends its events in
//! the turn that stores them. So a live subscriber has always been sent everything, and what a sleeping object must
//! remember of it (its *attachment*) changes only when it falls behind or catches up.

use std::collections::BTreeMap;

use murmuration_firehose::{Seq, error_frame, info_frame};
use murmuration_platform::Store;

use crate::RelayError;
use crate::cursor::{Opening, opening};
use crate::limits::{MAX_SUBSCRIBERS, PUMP_PAUSE_MS, TOTAL_BUFFER_BYTES};
use crate::log::{Batch, Log};
use crate::pace::{Place, Step, high_water, step};

/// Names a subscriber's socket, as long as it is open.
pub type SubscriberId = u64;

/// WebSocket close code 1008, "policy violation": what the reference server closes with after an error frame.
pub const CLOSE_POLICY: u16 = 1008;

/// The sockets of the host. Sending to one that is gone does nothing; the host tells [`Feed::remove`] in its own time.
pub trait Sockets {
    /// Bytes that were sent to a subscriber and that it has not taken.
    fn buffered(&self, id: SubscriberId) -> u64;
    /// Sends the same bytes to each of these.
    fn send(&self, ids: &[SubscriberId], frame: &[u8]);
    /// Keeps a few bytes with the socket, for when the object wakes up with no memory.
    fn keep(&self, id: SubscriberId, attachment: &str);
    /// Closes a socket, after what it was sent.
    fn close(&self, id: SubscriberId, code: u16, reason: &str);
}

/// What a pump has left to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pump {
    /// Nobody is behind.
    Idle,
    /// There is more to send at once, after other callers have had their turn.
    Again,
    /// Those who are behind have not taken what lies before them: look again in so many milliseconds.
    Pause(u64),
}

/// The subscribers of one host.
#[derive(Debug, Default)]
pub struct Feed {
    subscribers: BTreeMap<SubscriberId, Subscriber>,
}

#[derive(Clone, Copy, Debug)]
struct Subscriber {
    place: Place,
    blocked_since: Option<u64>,
}

impl Feed {
    /// How many subscribers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Whether one more may come.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.subscribers.len() < MAX_SUBSCRIBERS
    }

    /// Whether anyone is reading from the log.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.subscribers.values().any(|subscriber| subscriber.place != Place::Live)
    }

    /// Begins a subscription on an open socket.
    pub fn add(&mut self, log: &Log, sockets: &dyn Sockets, id: SubscriberId, cursor: Option<&str>) {
        let place = match opening(cursor, log.head(), log.earliest()) {
            Opening::Live => Place::Live,
            Opening::Replay { after } => behind(after, log),
            Opening::Outdated { after } => {
                let message = "Requested cursor exceeded limit. Possibly missing events";
                sockets.send(&[id], &info_frame("OutdatedCursor", message));
                behind(after, log)
            }
            Opening::Future | Opening::Malformed => {
                if let Some((error, frame)) = refusal(log, cursor) {
                    sockets.send(&[id], &frame);
                    sockets.close(id, CLOSE_POLICY, error);
                }
                return;
            }
        };
        sockets.keep(id, &attachment(place));
        self.subscribers.insert(id, Subscriber { place, blocked_since: None });
    }

    /// Takes back a subscriber after the object has slept. Answers whether the attachment was one of ours.
    pub fn restore(&mut self, id: SubscriberId, attachment: &str) -> bool {
        let Some(place) = from_attachment(attachment) else { return false };
        self.subscribers.insert(id, Subscriber { place, blocked_since: None });
        true
    }

    /// Forgets a subscriber whose socket is gone. Answers whether it was known.
    pub fn remove(&mut self, id: SubscriberId) -> bool {
        self.subscribers.remove(&id).is_some()
    }

    /// Sends new events to those who are live, in the turn that stored them. One that has too much before it is behind
    /// from here on.
    pub fn publish(&mut self, sockets: &dyn Sockets, frames: &[(Seq, Vec<u8>)]) {
        let mark = high_water(self.subscribers.len());
        for (seq, frame) in frames {
            let mut takers = Vec::with_capacity(self.subscribers.len());
            for (id, subscriber) in &mut self.subscribers {
                if subscriber.place != Place::Live {
                    continue;
                }
                if sockets.buffered(*id) < mark {
                    takers.push(*id);
                } else {
                    subscriber.place = Place::Behind { after: seq.get() - 1, fell: true };
                    sockets.keep(*id, &attachment(subscriber.place));
                }
            }
            sockets.send(&takers, frame);
        }
    }

    /// Sends those who are behind their next batch, as far as they take it.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn pump(
        &mut self,
        store: &dyn Store,
        log: &Log,
        sockets: &dyn Sockets,
        now_ms: u64,
    ) -> Result<Pump, RelayError> {
        let mark = high_water(self.subscribers.len());
        let mut total: u64 = self.subscribers.keys().map(|id| sockets.buffered(*id)).sum();
        let (mut again, mut read) = (false, None);
        for (after, id) in self.queue() {
            let Some(subscriber) = self.subscribers.get_mut(&id) else { continue };
            let buffered = sockets.buffered(id);
            match step(subscriber.place, buffered, mark, log.head(), subscriber.blocked_since, now_ms) {
                Step::Cut => {
                    self.cut(sockets, id);
                    continue;
                }
                Step::Wait => {
                    subscriber.blocked_since.get_or_insert(now_ms);
                    continue;
                }
                Step::Send => subscriber.blocked_since = None,
            }
            if total >= TOTAL_BUFFER_BYTES {
                continue;
            }
            let batch = match shared_batch(&mut read, store, log, after) {
                Ok(batch) => batch,
                Err(RelayError::Outrun(_)) => {
                    self.cut(sockets, id);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut reached = after;
            for (seq, frame) in &batch.frames {
                sockets.send(&[id], frame);
                reached = seq.get();
                total += u64::try_from(frame.len()).unwrap_or(u64::MAX);
            }
            subscriber.place = match (batch.at_head, subscriber.place) {
                (false, Place::Behind { fell, .. }) => Place::Behind { after: reached, fell },
                _ => Place::Live,
            };
            sockets.keep(id, &attachment(subscriber.place));
            again |= !batch.at_head;
        }
        Ok(match (self.is_behind(), again) {
            (false, _) => Pump::Idle,
            (true, true) => Pump::Again,
            (true, false) => Pump::Pause(PUMP_PAUSE_MS),
        })
    }

    /// Those who are behind, the furthest first: subscribers at one place share a read.
    fn queue(&self) -> Vec<(u64, SubscriberId)> {
        let place = |(id, subscriber): (&SubscriberId, &Subscriber)| match subscriber.place {
            Place::Behind { after, .. } => Some((after, *id)),
            Place::Live => None,
        };
        let mut queue: Vec<_> = self.subscribers.iter().filter_map(place).collect();
        queue.sort_unstable();
        queue
    }

    fn cut(&mut self, sockets: &dyn Sockets, id: SubscriberId) {
        refuse(sockets, id, "ConsumerTooSlow", "Stream consumer too slow");
        self.subscribers.remove(&id);
    }
}

/// Why a subscription with this cursor cannot begin, and the frame that says so; `None` if it can.
///
/// A host that asks before it makes the socket one that hibernates can end the connection at once: a hibernating
/// socket ends when its other side does, or after ten seconds.
#[must_use]
pub fn refusal(log: &Log, cursor: Option<&str>) -> Option<(&'static str, Vec<u8>)> {
    let (error, message) = match opening(cursor, log.head(), log.earliest()) {
        Opening::Future => ("FutureCursor", "Cursor in the future."),
        Opening::Malformed => ("InvalidRequest", "The parameter cursor must be an integer"),
        Opening::Live | Opening::Replay { .. } | Opening::Outdated { .. } => return None,
    };
    Some((error, error_frame(error, message)))
}

/// Reads the batch after a place, or takes the one that was read for the subscriber before.
fn shared_batch<'a>(
    read: &'a mut Option<(u64, Batch)>,
    store: &dyn Store,
    log: &Log,
    after: u64,
) -> Result<&'a Batch, RelayError> {
    if !matches!(read, Some((at, _)) if *at == after) {
        *read = None;
    }
    match read {
        Some((_, batch)) => Ok(batch),
        none => Ok(&none.insert((after, log.read(store, after)?)).1),
    }
}

fn behind(after: u64, log: &Log) -> Place {
    if after >= log.head() { Place::Live } else { Place::Behind { after, fell: false } }
}

/// Says why, and closes.
fn refuse(sockets: &dyn Sockets, id: SubscriberId, error: &str, message: &str) {
    sockets.send(&[id], &error_frame(error, message));
    sockets.close(id, CLOSE_POLICY, error);
}

/// `live`, `replay <after>` or `fell <after>`.
fn attachment(place: Place) -> String {
    match place {
        Place::Live => "live".to_owned(),
        Place::Behind { after, fell: false } => format!("replay {after}"),
        Place::Behind { after, fell: true } => format!("fell {after}"),
    }
}

fn from_attachment(text: &str) -> Option<Place> {
    match text.split_once(' ') {
        None if text == "live" => Some(Place::Live),
        Some(("replay", after)) => Some(Place::Behind { after: after.parse().ok()?, fell: false }),
        Some(("fell", after)) => Some(Place::Behind { after: after.parse().ok()?, fell: true }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_survives_the_trip() {
        for place in [
            Place::Live,
            Place::Behind { after: 0, fell: false },
            Place::Behind { after: 1 << 52, fell: true },
        ] {
            assert_eq!(from_attachment(&attachment(place)), Some(place));
        }
        for foreign in ["", "live 3", "replay", "replay x", "inbox 7"] {
            assert_eq!(from_attachment(foreign), None);
        }
    }
}
