//! The subscribers: who is live, who is behind, and what each is sent.
//!
//! There is no hand-over to get wrong. Everything here is synchronous, and an object runs one thing at a time: a
//! subscriber becomes live in the very turn that sends it the last event of the log, and an append sends its events in
//! the turn that stores them. So a live subscriber has always been sent everything, and what a sleeping object must
//! remember of it (its *attachment*) changes only when it falls behind or catches up, or wants something else.
//!
//! Two streams are read from here, of the same events under the same numbers: frames, all of them
//! (`com.atproto.sync.subscribeRepos`), and messages in JSON that a [`Filter`] lets through
//! (`agent.relay.subscribeEvents`). For the second, *everything* means everything that the filter wants.

use std::collections::BTreeMap;

use murmuration_firehose::{Seq, error_frame, info_frame};
use murmuration_platform::Store;

use crate::RelayError;
use crate::cursor::{Opening, opening};
use crate::filter::Filter;
use crate::index::Index;
use crate::limits::{
    MAX_SUBSCRIBERS, MAX_UPDATES, MAX_WANTED_NAMES, PUMP_PAUSE_MS, TOTAL_BUFFER_BYTES, TURN_SCAN_BYTES,
    UPDATES_WINDOW_MS,
};
use crate::log::{Batch, Log, Scope};
use crate::pace::{Place, Step, high_water, step};
use crate::telling::{self, Form, Telling};

/// Names a subscriber's socket, as long as it is open.
pub type SubscriberId = u64;

/// WebSocket close code 1008, "policy violation": what the reference server closes with after an error frame.
pub const CLOSE_POLICY: u16 = 1008;

/// The sockets of the host. Sending to one that is gone does nothing; the host tells [`Feed::remove`] in its own time.
pub trait Sockets {
    /// Bytes that were sent to a subscriber and that it has not taken.
    fn buffered(&self, id: SubscriberId) -> u64;
    /// Sends the same message to each of these.
    fn send(&self, ids: &[SubscriberId], message: Message<'_>);
    /// Keeps a few bytes with the socket, for when the object wakes up with no memory.
    fn keep(&self, id: SubscriberId, attachment: &str);
    /// Closes a socket, after what it was sent.
    fn close(&self, id: SubscriberId, code: u16, reason: &str);
    /// Lets answers go on that wait for an event ([`crate::Relay::await_event`]). They have names as subscribers have.
    fn wake(&self, ids: &[SubscriberId]);
}

/// A message of a WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// A frame of `com.atproto.sync.subscribeRepos`, binary.
    Frame(&'a [u8]),
    /// A message of `agent.relay.subscribeEvents`, text.
    Text(&'a str),
}

/// What a subscriber reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reads {
    /// Every frame.
    Frames,
    /// The events that it wants, in JSON.
    Events(Filter),
}

/// Why a subscription does not begin, or ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The error's name.
    pub error: &'static str,
    /// The same in words.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    /// The refusal for a reader of frames.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        error_frame(self.error, &self.message)
    }

    /// The refusal for a reader of events.
    #[must_use]
    pub fn text(&self) -> String {
        telling::error(self.error, &self.message)
    }
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
    /// What those who read events want; the others read frames.
    index: Index,
}

#[derive(Clone, Copy, Debug)]
struct Subscriber {
    place: Place,
    blocked_since: Option<u64>,
    /// Messages that it has sent in a window of time, and when that began. Forgotten in sleep: who sends none for as long as
    /// that takes has not sent too many.
    said: (u32, u64),
}

impl Subscriber {
    const fn at(place: Place) -> Self {
        Self { place, blocked_since: None, said: (0, 0) }
    }
}

/// A stretch of the log that subscribers at one place share.
struct Stretch {
    after: u64,
    scope: Scope,
    batch: Batch,
    tellings: Vec<Telling>,
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

    /// How many of them read frames.
    #[must_use]
    pub fn readers_of_frames(&self) -> usize {
        self.subscribers.len() - self.index.len()
    }

    /// Whether one more may come, to read this.
    #[must_use]
    pub fn has_room(&self, reads: &Reads) -> bool {
        match reads {
            Reads::Frames => self.readers_of_frames() < MAX_SUBSCRIBERS,
            Reads::Events(filter) => {
                self.index.len() < MAX_SUBSCRIBERS && self.index.names() + filter.names() <= MAX_WANTED_NAMES
            }
        }
    }

    /// Whether anyone is reading from the log.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.subscribers.values().any(|subscriber| subscriber.place != Place::Live)
    }

    /// Whether a subscriber reads events, and so may say which.
    #[must_use]
    pub fn reads_events(&self, id: SubscriberId) -> bool {
        self.index.filter(id).is_some()
    }

    /// Begins a subscription on an open socket.
    pub fn add(
        &mut self,
        log: &Log,
        sockets: &dyn Sockets,
        id: SubscriberId,
        cursor: Option<&str>,
        reads: Reads,
    ) {
        if let Reads::Events(filter) = reads {
            self.index.set(id, filter);
        }
        let place = match opening(cursor, log.head(), log.earliest()) {
            Opening::Live => Place::Live,
            Opening::Replay { after } => behind(after, log),
            Opening::Outdated { after } => {
                self.inform(sockets, id, "OutdatedCursor", OUTDATED);
                behind(after, log)
            }
            Opening::Future | Opening::Malformed => {
                if let Some(refusal) = refusal(log, cursor) {
                    self.end(sockets, id, &refusal);
                }
                return;
            }
        };
        self.subscribers.insert(id, Subscriber::at(place));
        self.keep(sockets, id, place);
    }

    /// Takes back a subscriber after the object has slept. Answers whether the attachment was one of ours.
    pub fn restore(&mut self, id: SubscriberId, attachment: &str) -> bool {
        let Some((place, filter)) = from_attachment(attachment) else { return false };
        self.subscribers.insert(id, Subscriber::at(place));
        if let Some(filter) = filter {
            self.index.set(id, filter);
        }
        true
    }

    /// Counts a message of a reader of events, and answers whether it is to be read. A reader that sends more than
    /// [`MAX_UPDATES`] in a while is sent away.
    pub fn heed(&mut self, sockets: &dyn Sockets, id: SubscriberId, now_ms: u64) -> bool {
        if !self.reads_events(id) {
            return false;
        }
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return false };
        let (count, since) = subscriber.said;
        // A clock that steps back begins a window, too.
        let over = now_ms.checked_sub(since).is_none_or(|age| age >= UPDATES_WINDOW_MS);
        subscriber.said = if over { (1, now_ms) } else { (count.saturating_add(1), since) };
        if subscriber.said.0 <= MAX_UPDATES {
            return true;
        }
        self.end(sockets, id, &Refusal::new("RateLimitExceeded", "The filter is changed too often"));
        false
    }

    /// Gives a reader of events another filter, for what it has not been sent yet, and tells it from where on.
    pub fn want(&mut self, sockets: &dyn Sockets, id: SubscriberId, filter: Filter) {
        let Some((subscriber, old)) = self.subscribers.get(&id).zip(self.index.filter(id)) else { return };
        let place = subscriber.place;
        if self.index.names() - old.names() + filter.names() > MAX_WANTED_NAMES {
            self.end(
                sockets,
                id,
                &Refusal::new("RateLimitExceeded", "Too many names are wanted of this host"),
            );
            return;
        }
        self.index.set(id, filter);
        self.keep(sockets, id, place);
        self.inform(sockets, id, "FilterChanged", "The new filter holds from here on");
    }

    /// Ends the subscription of a reader, and says why.
    pub fn end(&mut self, sockets: &dyn Sockets, id: SubscriberId, refusal: &Refusal) {
        match self.index.filter(id) {
            Some(_) => sockets.send(&[id], Message::Text(&refusal.text())),
            None => sockets.send(&[id], Message::Frame(&refusal.frame())),
        }
        sockets.close(id, CLOSE_POLICY, refusal.error);
        self.remove(id);
    }

    /// Forgets a subscriber whose socket is gone. Answers whether it was known.
    pub fn remove(&mut self, id: SubscriberId) -> bool {
        self.index.remove(id);
        self.subscribers.remove(&id).is_some()
    }

    /// Sends new events to those who are live, in the turn that stored them. One that has too much before it is behind
    /// from here on. Those that read frames are sent the host's own events alone.
    pub fn publish(&mut self, sockets: &dyn Sockets, frames: &[(Seq, Vec<u8>)], of: Scope) {
        let mark = high_water(self.subscribers.len());
        for (seq, frame) in frames {
            if of == Scope::Own {
                let readers = self.subscribers.keys().filter(|id| self.index.filter(**id).is_none());
                let takers = self.ready(sockets, readers.copied().collect(), *seq, mark);
                sockets.send(&takers, Message::Frame(frame));
            }
            if self.index.len() > 0 {
                self.tell(sockets, *seq, frame, mark);
            }
        }
    }

    /// Sends a new event to those who want it.
    fn tell(&mut self, sockets: &dyn Sockets, seq: Seq, frame: &[u8], mark: u64) {
        let telling = Telling::default();
        let Some(sight) = telling.sight(frame) else { return };
        let takers = self.ready(sockets, self.index.takers(sight), seq, mark);
        for form in [Form::Full, Form::Plain] {
            let gets = |id: &SubscriberId| {
                self.index.filter(*id).and_then(|filter| telling.form(frame, filter)) == Some(form)
            };
            let takers: Vec<_> = takers.iter().copied().filter(gets).collect();
            if let (false, Some(message)) = (takers.is_empty(), telling.message(frame, form)) {
                sockets.send(&takers, Message::Text(message));
            }
        }
    }

    /// Those of the readers who are live and can take what comes under this number. Who is live and can not is behind from
    /// here on.
    fn ready(
        &mut self,
        sockets: &dyn Sockets,
        mut readers: Vec<SubscriberId>,
        seq: Seq,
        mark: u64,
    ) -> Vec<SubscriberId> {
        readers.retain(|id| {
            let Some(subscriber) = self.subscribers.get_mut(id) else { return false };
            if subscriber.place != Place::Live {
                return false;
            }
            let takes = sockets.buffered(*id) < mark;
            if !takes {
                let place = Place::Behind { after: seq.get() - 1, fell: true };
                subscriber.place = place;
                sockets.keep(*id, &attachment(place, self.index.filter(*id)));
            }
            takes
        });
        readers
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
        let (mut again, mut read, mut scanned) = (false, None, 0);
        for (scope, after, id) in self.queue() {
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
            let filter = self.index.filter(id);
            if filter.is_some() && scanned >= TURN_SCAN_BYTES {
                again = true;
                continue;
            }
            let stretch = match shared_stretch(&mut read, store, log, after, scope) {
                Ok(stretch) => stretch,
                Err(RelayError::Outrun(_)) => {
                    self.cut(sockets, id);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut reached = after;
            for ((seq, frame), telling) in stretch.batch.frames.iter().zip(&stretch.tellings) {
                reached = seq.get();
                scanned += frame.len();
                let message = match filter {
                    Some(filter) => telling.wanted(frame, filter),
                    None => Some(Message::Frame(frame)),
                };
                if let Some(message) = message {
                    sockets.send(&[id], message);
                    total += message.bytes();
                }
            }
            let at_head = stretch.batch.at_head;
            subscriber.place = match (at_head, subscriber.place) {
                (false, Place::Behind { fell, .. }) => Place::Behind { after: reached, fell },
                _ => Place::Live,
            };
            sockets.keep(id, &attachment(subscriber.place, filter));
            again |= !at_head;
        }
        Ok(match (self.is_behind(), again) {
            (false, _) => Pump::Idle,
            (true, true) => Pump::Again,
            (true, false) => Pump::Pause(PUMP_PAUSE_MS),
        })
    }

    /// Those who are behind, the furthest first: subscribers at one place share a read if they read the same.
    fn queue(&self) -> Vec<(Scope, u64, SubscriberId)> {
        let place = |(id, subscriber): (&SubscriberId, &Subscriber)| match subscriber.place {
            Place::Behind { after, .. } => Some((self.scope(*id), after, *id)),
            Place::Live => None,
        };
        let mut queue: Vec<_> = self.subscribers.iter().filter_map(place).collect();
        queue.sort_unstable();
        queue
    }

    /// What a subscriber reads of the log.
    fn scope(&self, id: SubscriberId) -> Scope {
        if self.index.filter(id).is_some() { Scope::All } else { Scope::Own }
    }

    fn cut(&mut self, sockets: &dyn Sockets, id: SubscriberId) {
        self.end(sockets, id, &Refusal::new("ConsumerTooSlow", "Stream consumer too slow"));
    }

    /// Tells a subscriber something about the stream.
    fn inform(&self, sockets: &dyn Sockets, id: SubscriberId, name: &str, message: &str) {
        match self.index.filter(id) {
            Some(_) => sockets.send(&[id], Message::Text(&telling::info(name, message))),
            None => sockets.send(&[id], Message::Frame(&info_frame(name, message))),
        }
    }

    fn keep(&self, sockets: &dyn Sockets, id: SubscriberId, place: Place) {
        sockets.keep(id, &attachment(place, self.index.filter(id)));
    }
}

impl Message<'_> {
    fn bytes(self) -> u64 {
        let length = match self {
            Self::Frame(frame) => frame.len(),
            Self::Text(text) => text.len(),
        };
        u64::try_from(length).unwrap_or(u64::MAX)
    }
}

/// Why a subscription with this cursor cannot begin; `None` if it can.
///
/// A host that asks before it makes the socket one that hibernates can end the connection at once: a hibernating
/// socket ends when its other side does, or after ten seconds.
#[must_use]
pub fn refusal(log: &Log, cursor: Option<&str>) -> Option<Refusal> {
    Some(match opening(cursor, log.head(), log.earliest()) {
        Opening::Future => Refusal::new("FutureCursor", "Cursor in the future."),
        Opening::Malformed => Refusal::new("InvalidRequest", "The parameter cursor must be an integer"),
        Opening::Live | Opening::Replay { .. } | Opening::Outdated { .. } => return None,
    })
}

/// Reads the batch after a place, or takes the one that was read for the subscriber before.
fn shared_stretch<'a>(
    read: &'a mut Option<Stretch>,
    store: &dyn Store,
    log: &Log,
    after: u64,
    scope: Scope,
) -> Result<&'a Stretch, RelayError> {
    if read.as_ref().is_some_and(|stretch| (stretch.after, stretch.scope) != (after, scope)) {
        *read = None;
    }
    match read {
        Some(stretch) => Ok(stretch),
        none => {
            let batch = log.read(store, after, scope)?;
            let tellings = batch.frames.iter().map(|_| Telling::default()).collect();
            Ok(none.insert(Stretch { after, scope, batch, tellings }))
        }
    }
}

fn behind(after: u64, log: &Log) -> Place {
    if after >= log.head() { Place::Live } else { Place::Behind { after, fell: false } }
}

/// What a reader is told whose cursor is older than the log.
pub(crate) const OUTDATED: &str = "Requested cursor exceeded limit. Possibly missing events";

/// `live`, `replay <after>` or `fell <after>`; behind that, for a reader of events, a bar and its filter.
fn attachment(place: Place, filter: Option<&Filter>) -> String {
    let place = match place {
        Place::Live => "live".to_owned(),
        Place::Behind { after, fell: false } => format!("replay {after}"),
        Place::Behind { after, fell: true } => format!("fell {after}"),
    };
    match filter {
        Some(filter) => format!("{place}|{}", filter.encode()),
        None => place,
    }
}

fn from_attachment(text: &str) -> Option<(Place, Option<Filter>)> {
    let (place, filter) = match text.split_once('|') {
        Some((place, filter)) => (place, Some(Filter::decode(filter)?)),
        None => (text, None),
    };
    let place = match place.split_once(' ') {
        None if place == "live" => Place::Live,
        Some(("replay", after)) => Place::Behind { after: after.parse().ok()?, fell: false },
        Some(("fell", after)) => Place::Behind { after: after.parse().ok()?, fell: true },
        _ => return None,
    };
    Some((place, filter))
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
            for filter in [None, Some(Filter::default()), Filter::parse(&["a.b.*"], &["did:web:a.test"]).ok()]
            {
                let attachment = attachment(place, filter.as_ref());
                assert_eq!(from_attachment(&attachment), Some((place, filter)));
            }
        }
        for foreign in ["", "live 3", "replay", "replay x", "inbox 7", "live|", "live|x", "|AAAA"] {
            assert_eq!(from_attachment(foreign), None);
        }
    }
}
