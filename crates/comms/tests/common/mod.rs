//! Agents that write each other, over SQLite.

use std::cell::Cell;
use std::rc::Rc;

use murmuration_comms::{
    Body, Comms, CommsError, Delivery, Header, Item, Parcel, Sender, TaskChange, Verdict, binding,
    default_thread,
};
use murmuration_data::{Ipld, json};
use murmuration_envelope::{DecryptionKey, Envelope, EpochKey, KeyId, Recipient, SecretKey, Suite};
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Entropy, Store, run_script};
use murmuration_syntax::{Did, Tid};

pub const NOW: u64 = 1_795_000_000_000_000;
pub const SECOND: u64 = 1_000_000;

const MIGRATIONS: [&str; 7] = [
    include_str!("../../../../migrations/agent/0006_comms.sql"),
    include_str!("../../../../migrations/agent/0007_kept_key.sql"),
    include_str!("../../../../migrations/agent/0010_dropped.sql"),
    include_str!("../../../../migrations/agent/0011_late_receipt.sql"),
    include_str!("../../../../migrations/agent/0012_handed_key.sql"),
    include_str!("../../../../migrations/agent/0017_held_thread.sql"),
    include_str!("../../../../migrations/agent/0022_behind_floor.sql"),
];

/// Numbers from a seed (splitmix64).
pub struct Random(pub Cell<u64>);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

impl Entropy for Random {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

pub struct Agent {
    pub did: Did,
    pub key: SigningKey,
    pub own: EpochKey,
    pub secret: DecryptionKey,
    pub store: Rc<SqliteStore>,
    pub comms: Comms,
    random: Random,
}

impl Agent {
    pub fn new(name: &str) -> Self {
        let did: Did = format!("did:plc:{name}").parse().unwrap();
        let random = Random::of(name.bytes().map(u64::from).sum());
        let store = Rc::new(SqliteStore::open().unwrap());
        MIGRATIONS.iter().for_each(|script| run_script(&*store, script).unwrap());
        Self {
            key: SigningKey::generate(Curve::K256, |bytes| random.fill(bytes)).unwrap(),
            own: EpochKey::generate(1, &random),
            secret: DecryptionKey {
                id: KeyId::parse(&format!("{did}#agent-enc-1")).unwrap(),
                epoch: 1,
                key: SecretKey::generate(Suite::X25519, &random),
            },
            comms: Comms::new(store.clone()),
            did,
            store,
            random,
        }
    }

    /// Loses what is in memory.
    pub fn restart(&mut self) {
        self.comms = Comms::new(self.store.clone());
    }

    pub fn sender(&self) -> Sender {
        Sender { did: self.did.clone(), key: self.key.verifying_key() }
    }

    /// A header of this agent's next message in a thread.
    pub fn header(&self, to: &[&Agent], thread: Option<&str>, at: u64) -> Header {
        let mut to: Vec<Did> = to.iter().map(|agent| agent.did.clone()).collect();
        to.sort();
        let thread = thread.map_or_else(|| default_thread(&self.did, &to), str::to_owned);
        let (seq, prev) = self.comms.next_place(&thread).unwrap();
        Header {
            id: Tid::from_parts(at, u16::try_from(self.random.next() % 1024).unwrap()),
            kind: "agent.comms.message".parse().unwrap(),
            from: self.did.clone(),
            to,
            thread,
            seq,
            prev,
            created_at: at / 1000 * 1000,
            expires_at: None,
            priority: 3,
        }
    }

    pub fn sealed(&self, header: Header, to: &[&Agent], text: &str) -> Parcel {
        let recipients: Vec<Recipient> =
            to.iter().map(|agent| Recipient::of(&[agent.secret.published()]).unwrap()).collect();
        let place = binding(&header);
        let body = Envelope::seal(&place, &self.own, &recipients, text.as_bytes(), &self.random).unwrap();
        self.sign(header, Body::Sealed(Box::new(body)))
    }

    pub fn open_parcel(&self, header: Header, text: &str) -> Parcel {
        let record = json::from_value(&serde_json::json!({ "$type": header.kind.as_str(), "text": text }));
        self.sign(header, Body::Open(record.unwrap()))
    }

    pub fn sign(&self, header: Header, body: Body) -> Parcel {
        self.try_sign(header, body).unwrap()
    }

    pub fn try_sign(&self, header: Header, body: Body) -> Result<Parcel, CommsError> {
        Parcel::sign(header, body, Curve::K256, |bytes| Ok::<_, CommsError>(self.key.sign(bytes)))
    }

    /// Sends a short open message, and answers with its parcel.
    pub fn send(&self, to: &Agent, thread: Option<&str>, text: &str, at: u64) -> Parcel {
        let parcel = self.open_parcel(self.header(&[to], thread, at), text);
        self.comms.send(&parcel, &parcel.to_cbor().unwrap(), text.as_bytes(), None, at).unwrap();
        parcel
    }

    pub fn receive(&self, parcel: &Parcel, now: u64) -> Result<Delivery, CommsError> {
        self.take(parcel, Verdict::Accept, None, now)
    }

    pub fn quarantine(&self, parcel: &Parcel, now: u64) -> Result<Delivery, CommsError> {
        self.take(parcel, Verdict::Quarantine, None, now)
    }

    pub fn take(
        &self,
        parcel: &Parcel,
        verdict: Verdict,
        task: Option<&TaskChange>,
        now: u64,
    ) -> Result<Delivery, CommsError> {
        match self.comms.admit(parcel, &parcel.to_cbor()?, verdict, now)? {
            Some(arrival) => self.comms.receive(&arrival, task, None, now),
            None => Ok(Delivery::Duplicate),
        }
    }

    pub fn rows_written(&self) -> u64 {
        self.store.counts().written
    }

    /// Entries of all the tables' indexes, but those that are the tables themselves.
    pub fn index_entries(&self) -> i64 {
        let count = |table: &str, index: &str, partial: &str| {
            let sql = format!("SELECT count(*) FROM {table} INDEXED BY {index} {partial}");
            self.store.query(&sql, &[]).unwrap()[0].int(0).unwrap()
        };
        let request = "WHERE type = 'agent.comms.request'";
        count("inbox", "inbox_id", "WHERE sender > ''")
            + count("inbox", "inbox_thread", "WHERE thread > ''")
            + count("inbox", "inbox_request", request)
            + count("inbox", "inbox_quarantine", "WHERE state = 1")
            + count("sent", "sent_thread", "WHERE thread > ''")
            + count("sent", "sent_request", request)
    }
}

/// The text of an open message.
pub fn text(item: &Item) -> String {
    match Parcel::from_cbor(&item.parcel).unwrap().body() {
        Body::Open(Ipld::Map(record)) => match &record["text"] {
            Ipld::String(text) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}
