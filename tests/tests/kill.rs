//! `kill -9` of workerd while four clients write, twenty times over (`cargo xtask soak`: five hundred).
//!
//! What was acknowledged is there. What was not is there whole or not at all. The stream's numbers have no gap and no
//! repeat, a replay is the log byte for byte, and every repository verifies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_data::{Ipld, cbor};
use murmuration_repo::Imported;
use murmuration_syntax::Rev;
use murmuration_tests::{Account, Client, Dice, Setup, Watcher, World, scaled};
use serde_json::{Value, json};

/// Kills.
const ROUNDS: u64 = 20;
/// Requests that are answered in all the rounds together, on average.
const WRITES: u64 = 700;
const CLIENTS: usize = 4;
const COLLECTION: &str = "com.example.note";

/// What a record says; none when it is not there.
type Text = Option<String>;

/// One client: it writes records of its own into an account, which it may share.
struct Writer {
    name: usize,
    account: Account,
    dice: Dice,
    count: u64,
    /// Its records as they must be.
    records: BTreeMap<String, String>,
    /// What it had asked for when the host died.
    pending: Vec<(String, Text)>,
    /// The revs it was answered.
    revs: Vec<Rev>,
    /// Requests that were answered.
    answered: usize,
}

impl Writer {
    fn new(name: usize, account: Account) -> Self {
        let dice = Dice::new(u64::try_from(name + 1).unwrap());
        Self {
            name,
            account,
            dice,
            count: 0,
            records: BTreeMap::new(),
            pending: Vec::new(),
            revs: Vec::new(),
            answered: 0,
        }
    }

    /// Writes until nobody answers, and says each success.
    fn write_until_the_end(&mut self, client: &Client, success: &mpsc::Sender<()>) {
        let client = client.with_token(&self.account.access);
        loop {
            let (nsid, body) = self.next();
            let Ok(answer) = client.try_post(nsid, &body) else { return };
            let answer = answer.ok().json();
            if let Some(rev) = answer["commit"]["rev"].as_str() {
                self.revs.push(Rev::parse(rev).unwrap());
            }
            for (key, text) in std::mem::take(&mut self.pending) {
                match text {
                    Some(text) => self.records.insert(key, text),
                    None => self.records.remove(&key),
                };
            }
            self.answered += 1;
            let _ = success.send(());
        }
    }

    /// The next request. What it is about becomes pending.
    fn next(&mut self) -> (&'static str, Value) {
        let old = self.old();
        match (self.dice.roll(10), old) {
            (0..=1, Some(key)) => {
                let text = self.text();
                self.pending.push((key.clone(), Some(text.clone())));
                ("com.atproto.repo.putRecord", self.body(&key, &text))
            }
            (2, Some(key)) => {
                self.pending.push((key.clone(), None));
                let body = json!({ "repo": self.account.did, "collection": COLLECTION, "rkey": key });
                ("com.atproto.repo.deleteRecord", body)
            }
            (3..=5, old) => self.batch(old),
            _ => {
                let (key, text) = (self.key(), self.text());
                self.pending.push((key.clone(), Some(text.clone())));
                ("com.atproto.repo.createRecord", self.body(&key, &text))
            }
        }
    }

    /// Several records in one commit, an old one among them.
    fn batch(&mut self, old: Option<String>) -> (&'static str, Value) {
        let mut writes = Vec::new();
        for _ in 0..=self.dice.roll(4) {
            let (key, text) = (self.key(), self.text());
            writes.push(json!({
                "$type": "com.atproto.repo.applyWrites#create",
                "collection": COLLECTION, "rkey": key, "value": record(&text),
            }));
            self.pending.push((key, Some(text)));
        }
        if let Some(key) = old {
            writes.push(json!({
                "$type": "com.atproto.repo.applyWrites#delete", "collection": COLLECTION, "rkey": key,
            }));
            self.pending.push((key, None));
        }
        ("com.atproto.repo.applyWrites", json!({ "repo": self.account.did, "writes": writes }))
    }

    fn body(&self, key: &str, text: &str) -> Value {
        json!({ "repo": self.account.did, "collection": COLLECTION, "rkey": key, "record": record(text) })
    }

    fn key(&mut self) -> String {
        self.count += 1;
        format!("w{}-{}", self.name, self.count)
    }

    fn text(&mut self) -> String {
        "x".repeat(usize::try_from(self.dice.roll(2_000)).unwrap()) + &self.count.to_string()
    }

    fn old(&mut self) -> Option<String> {
        let count = u64::try_from(self.records.len()).unwrap();
        let index = usize::try_from(self.dice.roll(count.max(1))).unwrap();
        self.records.keys().nth(index).cloned()
    }

    /// Finds everything acknowledged, and the pending request whole or not at all, which settles it.
    fn check(&mut self, repo: &BTreeMap<String, String>) {
        let prefix = format!("w{}-", self.name);
        let found: BTreeMap<_, _> = repo
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, text)| (key.clone(), text.clone()))
            .collect();
        let mut after = self.records.clone();
        for (key, text) in std::mem::take(&mut self.pending) {
            match text {
                Some(text) => after.insert(key, text),
                None => after.remove(&key),
            };
        }
        assert!(
            found == self.records || found == after,
            "client {}: an acknowledged write is lost, or half of one is there",
            self.name
        );
        self.records = found;
    }
}

fn record(text: &str) -> Value {
    json!({ "$type": COLLECTION, "text": text })
}

/// The records' texts, by record key.
fn texts(repo: &Imported) -> BTreeMap<String, String> {
    let text = |block: &[u8]| match cbor::decode(block).unwrap().get("text") {
        Ok(Some(Ipld::String(text))) => text.clone(),
        other => panic!("no text: {other:?}"),
    };
    repo.records.iter().map(|record| (record.key.rkey().to_owned(), text(&record.block))).collect()
}

/// Lets the clients write, and kills the host after so many successes.
///
/// Answers how many clients had a request on its way then.
fn write_and_kill(world: &mut World, writers: &mut [Writer], successes: u64) -> usize {
    let client = world.client();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for writer in &mut *writers {
            let (client, sender) = (client.clone(), sender.clone());
            scope.spawn(move || writer.write_until_the_end(&client, &sender));
        }
        drop(sender);
        for _ in 0..successes {
            receiver.recv().expect("a client gave up before the host died");
        }
        world.kill_9();
    });
    writers.iter().filter(|writer| !writer.pending.is_empty()).count()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let mut world = Setup::new().plain().start();
    // Two of the clients share an account.
    let accounts: Vec<_> = ["anna", "ben", "cleo"].iter().map(|name| world.account(name)).collect();
    let dids: Vec<_> = accounts.iter().map(|account| account.did.as_str()).collect();
    let mut writers: Vec<_> =
        (0..CLIENTS).map(|name| Writer::new(name, accounts[name % accounts.len()].clone())).collect();
    let mut watcher = Watcher::new(&world);
    let mut dice = Dice::new(2_718_281_828);
    let (rounds, writes) = (scaled("SOAK_ROUNDS", ROUNDS), scaled("SOAK_WRITES", WRITES));
    let each = (writes / rounds).max(1);
    let (started, mut killed_in, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    for round in 1..=rounds {
        // Anything from a kill at once to twice the average, so that it falls everywhere.
        killed_in += write_and_kill(&mut world, &mut writers, 1 + dice.roll(2 * each));
        world.restart();
        let start = Instant::now();
        watcher.catch_up(&world, &dids);
        let waited = start.elapsed();
        slowest = slowest.max(waited);
        for did in &dids {
            let repo = texts(&watcher.compare(&world, did));
            for writer in writers.iter_mut().filter(|writer| writer.account.did == *did) {
                writer.check(&repo);
            }
        }
        eprintln!("round {round}: {} events, the last after {waited:.1?}", watcher.frames().len());
    }
    let answered: usize = writers.iter().map(|writer| writer.answered).sum();
    assert!(killed_in > 0, "no request was on its way when the host was killed");
    println!(
        "{rounds} kills with {killed_in} requests on their way, in {answered} answered requests and {} events: \
         nothing lost, nothing half done; caught up after {slowest:.1?} at the most; {:.0?} in all",
        watcher.frames().len(),
        started.elapsed()
    );

    // Every answer named a commit that the stream carries, once.
    for did in &dids {
        let revs = &watcher.repo(did).revs;
        let distinct: BTreeSet<_> = revs.iter().collect();
        assert_eq!(distinct.len(), revs.len());
        for writer in writers.iter().filter(|writer| writer.account.did == *did) {
            assert!(
                writer.revs.iter().all(|rev| distinct.contains(rev)),
                "an answered rev is not in the stream"
            );
        }
    }
    // A replay is the log, byte for byte.
    let replayed = world.subscribe(Some(0)).until(watcher.cursor());
    assert!(replayed.iter().map(|frame| &frame.bytes).eq(watcher.frames()), "the replay differs");
}
