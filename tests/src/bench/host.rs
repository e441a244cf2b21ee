//! A host under load, whoever wrote it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::client::Client;
use crate::world::Account;

use super::http::Connection;

/// A running host with one account on it, which the load is done in the name of.
#[derive(Debug)]
pub(super) struct Host {
    /// Where it listens: `127.0.0.1:2583`.
    pub(super) address: String,
    /// The account's token.
    pub(super) access: String,
    did: String,
    pid: u32,
    /// The keys of its records, in the order they were written.
    rkeys: Vec<String>,
}

impl Host {
    /// Makes the account.
    pub(super) fn new(port: u16, pid: u32) -> Self {
        let address = format!("127.0.0.1:{port}");
        let body =
            json!({ "handle": "load.test", "email": "load@example.com", "password": Account::PASSWORD });
        let client = Client::new(&format!("http://{address}"));
        let account = Account::of(&client.post("com.atproto.server.createAccount", &body).ok().json());
        Self { address, access: account.access, did: account.did, pid, rkeys: Vec::new() }
    }

    /// Its process's resident memory, in MB.
    pub(super) fn resident_mb(&self) -> f64 {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &self.pid.to_string()]).output().unwrap();
        let kilobytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        kilobytes / 1000.0
    }

    /// Processor time that its process has taken, in seconds; nothing where the system does not say it as Linux does.
    pub(super) fn processor_seconds(&self) -> f64 {
        processor_seconds(self.pid)
    }

    /// Records it has.
    pub(super) fn records(&self) -> usize {
        self.rkeys.len()
    }

    /// A body for `applyWrites` that creates `count` records.
    pub(super) fn batch(&self, count: usize) -> String {
        let writes: Vec<Value> = (0..count)
            .map(|_| {
                json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": COLLECTION, "value": post() })
            })
            .collect();
        json!({ "repo": self.did, "writes": writes }).to_string()
    }

    /// A body for `createRecord`.
    pub(super) fn create(&self) -> String {
        json!({ "repo": self.did, "collection": COLLECTION, "record": post() }).to_string()
    }

    /// Remembers the keys of what an answer says was written.
    pub(super) fn wrote(&mut self, answer: &[u8]) {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        let rkey = |view: &Value| view["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        match answer["results"].as_array() {
            Some(results) => self.rkeys.extend(results.iter().map(rkey)),
            None => self.rkeys.push(rkey(&answer)),
        }
    }

    /// Where a record is read, any one of them, spread evenly over `turn`.
    pub(super) fn record_path(&self, turn: usize) -> String {
        let rkey = self.rkey(turn);
        format!("/xrpc/com.atproto.repo.getRecord?repo={}&collection={COLLECTION}&rkey={rkey}", self.did)
    }

    /// Where a page of a hundred records is read, beginning at any one of them.
    pub(super) fn page_path(&self, turn: usize) -> String {
        let cursor = self.rkey(turn);
        format!(
            "/xrpc/com.atproto.repo.listRecords?repo={}&collection={COLLECTION}&limit=100&cursor={cursor}",
            self.did
        )
    }

    /// Where the repository is read.
    pub(super) fn export_path(&self) -> String {
        format!("/xrpc/com.atproto.sync.getRepo?did={}", self.did)
    }

    /// A connection in the account's name.
    pub(super) fn connect(&self) -> Connection {
        Connection::open(&self.address, &self.access)
    }

    fn rkey(&self, turn: usize) -> &str {
        &self.rkeys[turn.wrapping_mul(STRIDE) % self.rkeys.len()]
    }
}

/// Processor time that a process has taken, in seconds; nothing where the system does not say it as Linux does.
pub(super) fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold spaces: utime and stime are the 14th and 15th field of all.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS
}

/// A post.
pub(super) fn post() -> Value {
    json!({ "$type": COLLECTION, "text": TEXT, "langs": ["en"], "createdAt": "2026-11-27T12:00:00.000Z" })
}

/// Ticks of a second in `/proc` (sysconf(_SC_CLK_TCK), 100 on every Linux).
const TICKS: f64 = 100.0;

/// Where the load is written.
pub(super) const CREATE: &str = "/xrpc/com.atproto.repo.createRecord";
/// Where batches are written.
pub(super) const BATCH: &str = "/xrpc/com.atproto.repo.applyWrites";

/// Of what a post is.
pub(super) const COLLECTION: &str = "app.bsky.feed.post";

/// A text of usual length.
pub(super) const TEXT: &str = "A murmuration is many starlings in flight as one: each follows its seven nearest neighbours, and \
     from that alone the whole turns, splits and closes again.";

/// A prime that no number of records is a multiple of, so that steps of it visit all.
const STRIDE: usize = 7919;
