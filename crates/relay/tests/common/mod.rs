//! A host for the tests: drafts, a store, and sockets whose other ends read as slowly as they are told.

pub mod author;

use std::cell::RefCell;
use std::collections::BTreeMap;

use murmuration_firehose::{Event, Frame, IdentityEvent, Timestamp};
use murmuration_platform::Entropy;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::wire::{Item, Push};
use murmuration_relay::{LogConfig, Message, Relay, Sockets, SubscriberId};
use murmuration_syntax::{Did, Handle};

pub const T0: u64 = 1_795_410_052_123;

pub fn did(index: u64) -> Did {
    Did::parse(&format!("did:web:agent-{index}.example.test")).unwrap()
}

/// A draft that says who made it and which of its events it is: about 100 bytes.
pub fn draft(account: u64, ord: u64) -> Vec<u8> {
    let handle = Handle::parse(&format!("o{ord}.test")).unwrap();
    let event =
        IdentityEvent { did: did(account), handle: Some(handle), time: Timestamp::from_micros(T0 * 1000) };
    Event::Identity(event).draft().unwrap()
}

/// Account and ord out of a frame that [`draft`] began.
pub fn told(frame: &[u8]) -> (u64, u64, u64) {
    let Frame::Event { seq, event: Event::Identity(event) } = Frame::decode(frame).unwrap() else { panic!() };
    let account = event.did.as_str().strip_prefix("did:web:agent-").unwrap();
    let account = account.split('.').next().unwrap().parse().unwrap();
    let handle = event.handle.unwrap();
    let ord = handle.as_str().split('.').next().unwrap()[1..].parse().unwrap();
    (seq.get(), account, ord)
}

pub struct Drafts(pub Did, pub Vec<(u64, Vec<u8>)>);

impl Drafts {
    pub fn new(account: u64, ords: impl IntoIterator<Item = u64>) -> Self {
        Self(did(account), ords.into_iter().map(|ord| (ord, draft(account, ord))).collect())
    }

    pub fn push(&self, fresh: bool, made_at: u64) -> Push<'_> {
        Push {
            did: self.0.clone(),
            fresh,
            items: self.1.iter().map(|(ord, draft)| Item { ord: *ord, made_at, draft }).collect(),
        }
    }
}

pub fn small() -> LogConfig {
    LogConfig {
        retention_ms: 8_000,
        partition_bytes: 2_000,
        log_bytes: 1 << 40,
        row_bytes: 400,
        known_accounts: 4,
        batch_rows: 5,
        batch_bytes: 1_000,
    }
}

/// Random bytes that are the same each time.
pub struct Seeded(pub RefCell<Dice>);

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.0.borrow_mut().roll(256) as u8);
    }
}

/// The other ends of the sockets. What waits there counts so many times its size, plus one. Beside them the answers that
/// were woken.
#[derive(Default)]
pub struct Wires(pub RefCell<BTreeMap<SubscriberId, Wire>>, pub u64, pub RefCell<Vec<SubscriberId>>);

#[derive(Default)]
pub struct Wire {
    pub waiting: Vec<Vec<u8>>,
    pub received: Vec<Vec<u8>>,
    pub attachment: String,
    pub closed: Option<(u16, String)>,
    pub most_buffered: u64,
}

impl Wire {
    pub fn buffered(&self) -> u64 {
        self.waiting.iter().map(|frame| frame.len() as u64).sum()
    }

    pub fn seqs(&self) -> Vec<u64> {
        let seq = |frame: &Vec<u8>| match Frame::decode(frame).unwrap() {
            Frame::Event { seq, .. } => Some(seq.get()),
            _ => None,
        };
        self.received.iter().filter_map(seq).collect()
    }

    /// The last frame, if it is an error.
    pub fn error(&self) -> Option<String> {
        match Frame::decode(self.received.last()?).unwrap() {
            Frame::Error { error, .. } => Some(error),
            _ => None,
        }
    }

    pub fn infos(&self) -> Vec<String> {
        let name = |frame: &Vec<u8>| match Frame::decode(frame).unwrap() {
            Frame::Info { name, .. } => Some(name),
            _ => None,
        };
        self.received.iter().filter_map(name).collect()
    }
}

impl Wires {
    pub fn open(&self, id: SubscriberId) {
        self.0.borrow_mut().insert(id, Wire::default());
    }

    /// The reader takes at most so many frames.
    pub fn drain(&self, id: SubscriberId, frames: usize) {
        let mut wires = self.0.borrow_mut();
        let wire = wires.get_mut(&id).unwrap();
        let count = frames.min(wire.waiting.len());
        let taken: Vec<_> = wire.waiting.drain(..count).collect();
        wire.received.extend(taken);
    }

    pub fn drain_all(&self) {
        let ids: Vec<_> = self.0.borrow().keys().copied().collect();
        ids.into_iter().for_each(|id| self.drain(id, usize::MAX));
    }

    pub fn with<T>(&self, id: SubscriberId, look: impl FnOnce(&Wire) -> T) -> T {
        look(&self.0.borrow()[&id])
    }
}

impl Sockets for Wires {
    fn buffered(&self, id: SubscriberId) -> u64 {
        self.0.borrow()[&id].buffered() * (self.1 + 1)
    }

    fn send(&self, ids: &[SubscriberId], message: Message<'_>) {
        let frame = match message {
            Message::Frame(frame) => frame,
            Message::Text(text) => text.as_bytes(),
        };
        let mut wires = self.0.borrow_mut();
        for id in ids {
            let wire = wires.get_mut(id).unwrap();
            assert!(wire.closed.is_none(), "sent after close");
            wire.waiting.push(frame.to_vec());
            wire.most_buffered = wire.most_buffered.max(wire.buffered());
        }
    }

    fn keep(&self, id: SubscriberId, attachment: &str) {
        self.0.borrow_mut().get_mut(&id).unwrap().attachment = attachment.to_owned();
    }

    fn close(&self, id: SubscriberId, code: u16, reason: &str) {
        self.0.borrow_mut().get_mut(&id).unwrap().closed = Some((code, reason.to_owned()));
    }

    fn wake(&self, ids: &[SubscriberId]) {
        self.2.borrow_mut().extend(ids);
    }
}

/// Wakes a relay over what it has stored, with the sockets that are still open.
pub fn wake(store: &SqliteStore, config: LogConfig, wires: &Wires, now: u64) -> Relay {
    let mut relay = Relay::open(store, config, &[]).unwrap();
    for (id, wire) in wires.0.borrow().iter() {
        if wire.closed.is_none() && !wire.attachment.is_empty() {
            assert!(relay.restore(*id, &wire.attachment));
        }
    }
    relay.start(store, now).unwrap();
    relay
}

/// Small, seeded, good enough for worlds.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}
