//! Seeded schedules in which objects are put out of memory between any two events, and alarms fire twice.
//!
//! What an account holds must not depend on whether it stayed awake. Each schedule is an account's life; after every event
//! of it the agent's object, the relay's, both or none are evicted, and by the fourth repetition of a schedule every gap has
//! seen all four. A model says what must be there, and a verifying reader of the stream says the same at the end.

use std::collections::BTreeMap;
use std::time::Instant;

use murmuration_data::{Ipld, cbor};
use murmuration_tests::schedule::{self, WAYS};
use murmuration_tests::{Account, Client, Dice, Watcher, World, scaled};
use serde_json::{Value, json};

/// Schedules, each lived through once for each of the four ways to evict.
const SCHEDULES: u64 = 4;
/// Events of a schedule.
const EVENTS: u64 = 16;
const COLLECTION: &str = "com.example.note";

/// One account, and what it must hold.
struct Life<'a> {
    world: &'a World,
    account: Account,
    client: Client,
    /// What each record says.
    records: BTreeMap<String, String>,
    /// The blobs of records, by record key: CID and bytes.
    blobs: BTreeMap<String, (String, Vec<u8>)>,
    /// The CIDs of blobs whose record is gone or says something else.
    let_go: Vec<String>,
    named: u64,
    done: Done,
}

/// What has happened to records that were there, so that a programme in which nothing does cannot pass.
#[derive(Debug, Default)]
struct Done {
    puts: u64,
    deletes: u64,
    batches: u64,
    /// How many of them let a blob go.
    let_go: u64,
}

impl Done {
    fn add(&mut self, other: &Self) {
        self.puts += other.puts;
        self.deletes += other.deletes;
        self.batches += other.batches;
        self.let_go += other.let_go;
    }
}

impl<'a> Life<'a> {
    fn begin(world: &'a World, name: &str) -> Self {
        let account = world.account(name);
        let client = world.client().with_token(&account.access);
        Self {
            world,
            account,
            client,
            records: BTreeMap::new(),
            blobs: BTreeMap::new(),
            let_go: Vec::new(),
            named: 0,
            done: Done::default(),
        }
    }

    fn create(&mut self) {
        let (rkey, text) = self.fresh();
        self.write("createRecord", json!({ "rkey": rkey, "record": record(&text) }));
        self.records.insert(rkey, text);
    }

    fn put(&mut self, rkey: &str) {
        let (_, text) = self.fresh();
        self.write("putRecord", json!({ "rkey": rkey, "record": record(&text) }));
        self.records.insert(rkey.to_owned(), text);
        self.let_go(rkey);
        self.done.puts += 1;
    }

    fn delete(&mut self, rkey: &str) {
        self.write("deleteRecord", json!({ "rkey": rkey }));
        self.records.remove(rkey);
        self.let_go(rkey);
        self.done.deletes += 1;
    }

    fn batch(&mut self, old: &str) {
        let ((first, one), (_, two)) = (self.fresh(), self.fresh());
        let write = |kind: &str, rkey: &str, text: &str| {
            json!({
                "$type": format!("com.atproto.repo.applyWrites#{kind}"),
                "collection": COLLECTION, "rkey": rkey, "value": record(text),
            })
        };
        let writes = [write("create", &first, &one), write("update", old, &two)];
        self.write("applyWrites", json!({ "writes": writes }));
        self.records.insert(first, one);
        self.records.insert(old.to_owned(), two);
        self.let_go(old);
        self.done.batches += 1;
    }

    /// No record refers to the blob of this one any more, if it had one.
    fn let_go(&mut self, rkey: &str) {
        if let Some((cid, _)) = self.blobs.remove(rkey) {
            self.let_go.push(cid);
            self.done.let_go += 1;
        }
    }

    fn upload(&mut self, dice: &mut Dice) {
        let (rkey, text) = self.fresh();
        let bytes =
            format!("{} {text}", "blob ".repeat(usize::try_from(dice.roll(400)).unwrap())).into_bytes();
        let answer = self.client.post_bytes("com.atproto.repo.uploadBlob", "text/plain", &bytes).ok().json();
        let _ = schedule::evict(self.world, &self.account.did, dice.roll(WAYS));
        let mut value = record(&text);
        value["blob"] = answer["blob"].clone();
        self.write("createRecord", json!({ "rkey": rkey, "record": value }));
        self.records.insert(rkey.clone(), text);
        self.blobs.insert(rkey, (answer["blob"]["ref"]["$link"].as_str().unwrap().to_owned(), bytes));
    }

    fn refresh(&mut self) {
        let client = self.world.client().with_token(&self.account.refresh);
        let answer = client.send("POST", "/xrpc/com.atproto.server.refreshSession", &[], Vec::new());
        self.account = Account::of(&answer.unwrap().ok().json());
        self.client = self.world.client().with_token(&self.account.access);
    }

    fn look(&self) {
        let repo = ("repo", self.account.did.as_str());
        let page = [repo, ("collection", COLLECTION), ("limit", "100")];
        let page = self.client.get("com.atproto.repo.listRecords", &page).ok().json();
        let found: BTreeMap<String, String> =
            page["records"].as_array().unwrap().iter().map(|record| (rkey(record), text(record))).collect();
        assert_eq!(found, self.records, "what is listed");
        let blob = |cid: &str| {
            self.client.get("com.atproto.sync.getBlob", &[("did", self.account.did.as_str()), ("cid", cid)])
        };
        for (cid, bytes) in self.blobs.values() {
            assert_eq!(&blob(cid).ok().body, bytes);
        }
        for cid in &self.let_go {
            assert_eq!(blob(cid).json()["error"], "BlobNotFound", "a blob that was let go");
        }
    }

    fn write(&self, method: &str, mut body: Value) {
        body["repo"] = self.account.did.clone().into();
        if method != "applyWrites" {
            body["collection"] = COLLECTION.into();
        }
        let _ = self.client.post(&format!("com.atproto.repo.{method}"), &body).ok();
    }

    fn fresh(&mut self) -> (String, String) {
        self.named += 1;
        (format!("r{}", self.named * 7919 % 1009), format!("text {}", self.named))
    }

    /// A record that is there, if there is one.
    fn old(&self, dice: &mut Dice) -> Option<String> {
        let count = u64::try_from(self.records.len()).unwrap();
        if count == 0 {
            return None;
        }
        self.records.keys().nth(usize::try_from(dice.roll(count)).unwrap()).cloned()
    }
}

impl schedule::Life for Life<'_> {
    fn did(&self) -> &str {
        &self.account.did
    }

    fn event(&mut self, dice: &mut Dice) {
        let old = self.old(dice);
        match (dice.roll(10), old) {
            (0 | 1, _) | (2..=4, None) => self.create(),
            (2, Some(rkey)) => self.put(&rkey),
            (3, Some(rkey)) => self.delete(&rkey),
            (4, Some(rkey)) => self.batch(&rkey),
            (5, _) => self.upload(dice),
            (6, _) => self.refresh(),
            (7, _) => schedule::fire_alarms(self.world, &self.account.did),
            _ => self.look(),
        }
    }
}

fn record(text: &str) -> Value {
    json!({ "$type": COLLECTION, "text": text })
}

fn rkey(record: &Value) -> String {
    record["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn text(record: &Value) -> String {
    record["value"]["text"].as_str().unwrap().to_owned()
}

fn text_of(record: &Ipld) -> String {
    match record.get("text") {
        Ok(Some(Ipld::String(text))) => text.clone(),
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn sim_nothing_depends_on_staying_awake() {
    let world = World::start();
    let (schedules, started) = (scaled("SOAK_SCHEDULES", SCHEDULES), Instant::now());
    let mut watcher = Watcher::new(&world);
    let mut done = Done::default();
    let evictions = schedule::live(&world, schedules, EVENTS, Life::begin, |life| {
        life.look();
        let Account { did, handle, .. } = &life.account;
        watcher.catch_up(&world, &[did]);
        let repo = watcher.compare(&world, did);
        let said: BTreeMap<String, String> = repo
            .records
            .iter()
            .map(|record| (record.key.rkey().to_owned(), text_of(&cbor::decode(&record.block).unwrap())))
            .collect();
        assert_eq!(said, life.records, "{handle}: what the stream and the export say");
        done.add(&life.done);
    });
    let Done { puts, deletes, batches, let_go } = done;
    assert!(puts.min(deletes).min(batches).min(let_go) > 0, "something has never happened: {done:?}");
    println!(
        "{schedules} schedules of {EVENTS} events ({done:?}), {evictions} evictions, {} events in the stream, in {:.0?}",
        watcher.frames().len(),
        started.elapsed()
    );
}
