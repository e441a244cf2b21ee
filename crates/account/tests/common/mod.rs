//! An account over SQLite, woken as often as a test likes, beside a model of what it must hold.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_account::{Account, Listing, NewAccount, Receipt, Value, Write, WriteRequest};
use murmuration_data::{Cid, Ipld, blob, cbor};
use murmuration_keys::seal::Kek;
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::Entropy;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_syntax::{Did, Handle, RecordKey, RepoPath};

pub const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
/// A Monday in November 2026, in microseconds.
pub const NOW: u64 = 1_795_000_000_000_000;

pub struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(9);
    }
}

/// A small deterministic generator: the tests need variety, not secrecy.
pub struct Dice(Cell<u64>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    pub fn roll(&self, sides: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 11) % sides
    }
}

pub struct World {
    pub store: Rc<SqliteStore>,
    pub account: Account,
    pub now: u64,
    pub model: BTreeMap<String, Cid>,
}

impl World {
    pub fn new() -> Self {
        let store = Rc::new(SqliteStore::open().unwrap());
        let account = Account::new(store.clone(), kek(), true);
        account.create(seed(), &Fixed, NOW).unwrap();
        Self { store, account, now: NOW, model: BTreeMap::new() }
    }

    /// The record keys and the values of a page.
    pub fn list(&self, page: &Listing<'_>) -> Vec<(RecordKey, Vec<u8>)> {
        let mut page = self.account.records(page).unwrap();
        let mut found = Vec::new();
        while let Some(record) = page.take().unwrap() {
            found.push((RecordKey::parse(record.rkey).unwrap(), record.value.to_vec()));
        }
        found
    }

    /// Loses all memory, as hibernation and a crash do.
    pub fn wake(&mut self, events_taken: bool) {
        self.account = Account::new(self.store.clone(), kek(), events_taken);
    }

    pub fn write(&mut self, writes: Vec<Write>) -> Result<Receipt, murmuration_account::AccountError> {
        self.now += 1000;
        let staged: Vec<(String, Option<Cid>)> = writes
            .iter()
            .map(|write| {
                let cid = match write {
                    Write::Create { value, .. } | Write::Update { value, .. } | Write::Put { value, .. } => {
                        Some(value.cid())
                    }
                    Write::Delete { .. } => None,
                };
                (write.path().to_string(), cid)
            })
            .collect();
        let answer = self
            .account
            .write(&[WriteRequest { swap_commit: None, writes, ..WriteRequest::default() }], self.now)
            .remove(0);
        if answer.is_ok() {
            for (path, cid) in staged {
                match cid {
                    Some(cid) => self.model.insert(path, cid),
                    None => self.model.remove(&path),
                };
            }
        }
        answer
    }

    /// Takes every event that waits for the relay, in order, and checks the numbers.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(push) = self.account.next_push().unwrap() {
            let next = push.ord + u64::try_from(push.drafts.len()).unwrap();
            all.extend(push.drafts);
            self.account.events_taken(next).unwrap();
        }
        all
    }

    /// The whole repository as a CAR.
    pub fn export(&self) -> Vec<u8> {
        let mut export = self.account.export(None).unwrap();
        let mut car = Vec::new();
        while let Some(chunk) = export.next_chunk().unwrap() {
            car.extend(chunk);
        }
        car
    }

    /// Verifies the export from nothing but the public key, and compares it with the model.
    pub fn assert_holds_the_model(&self) {
        let found = contents(&self.export());
        assert_eq!(found, self.model);
    }
}

/// What a CAR holds, after full verification.
pub fn contents(car: &[u8]) -> BTreeMap<String, Cid> {
    let did = Did::parse(DID).unwrap();
    let imported = murmuration_repo::import(car, &did, &signing_key().verifying_key()).unwrap();
    imported.records.iter().map(|record| (record.key.to_string(), record.cid)).collect()
}

pub fn kek() -> Kek {
    Kek { version: 1, key: [3; 32] }
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[5; 32]).unwrap()
}

pub fn seed() -> NewAccount {
    NewAccount {
        did: Did::parse(DID).unwrap(),
        handle: Handle::parse("alice.test").unwrap(),
        email: Some("alice@example.com".into()),
        password: "a password".into(),
        signing_key: signing_key(),
        deactivated: false,
    }
}

pub fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

pub fn record(text: &str) -> Ipld {
    Ipld::Map(BTreeMap::from([
        ("$type".to_owned(), Ipld::String("com.example.note".into())),
        ("text".to_owned(), Ipld::String(text.into())),
    ]))
}

pub fn value(record: &Ipld) -> Value {
    Value::new(cbor::encode(record).unwrap(), blob::refs(record), None)
}

pub fn create(at: &str, text: &str) -> Write {
    Write::Create { path: path(at), value: value(&record(text)), replaces: false }
}

pub fn put(at: &str, text: &str) -> Write {
    Write::Put { path: path(at), value: value(&record(text)), swap: None }
}

pub fn delete(at: &str) -> Write {
    Write::Delete { path: path(at), swap: None, must_exist: false }
}
