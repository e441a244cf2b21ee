//! A firehose consumer that believes nothing.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use murmuration_data::Cid;
use murmuration_firehose::{Event, Frame, Head, Seq, verify_commit, verify_sync};
use murmuration_keys::VerifyingKey;
use murmuration_repo::{Imported, import};
use murmuration_syntax::{Did, Rev};

use crate::client::Client;
use crate::world::World;

/// Reads a world's firehose from its beginning, over every break, and checks each frame as a relay would: numbers
/// without a gap or a repeat, each commit signed, chained to the one before, and true to its operations.
#[derive(Debug)]
pub struct Watcher {
    plc: Client,
    frames: Vec<Vec<u8>>,
    repos: BTreeMap<Did, Watched>,
}

/// What the firehose has said of one repository.
#[derive(Debug)]
pub struct Watched {
    /// The key its commits must be signed with.
    pub key: VerifyingKey,
    /// Its last commit.
    pub head: Option<Head>,
    /// Every rev, in order.
    pub revs: Vec<Rev>,
    /// What its operations amount to.
    pub records: BTreeMap<String, Cid>,
}

impl Watcher {
    /// A watcher that has seen nothing yet.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self { plc: Client::new(world.plc_url()), frames: Vec::new(), repos: BTreeMap::new() }
    }

    /// The frames, as they came. The first has the number 1.
    #[must_use]
    pub fn frames(&self) -> &[Vec<u8>] {
        &self.frames
    }

    /// The number of the last frame: where a connection must resume.
    #[must_use]
    pub fn cursor(&self) -> i128 {
        i128::try_from(self.frames.len()).unwrap()
    }

    /// What it knows of a repository.
    ///
    /// # Panics
    /// When no event named it.
    #[must_use]
    pub fn repo(&self, did: &str) -> &Watched {
        &self.repos[&Did::parse(did).unwrap()]
    }

    /// Checks the next frame and remembers it.
    ///
    /// # Panics
    /// At anything a relay would refuse.
    #[track_caller]
    pub fn take(&mut self, bytes: &[u8]) {
        let (seq, event) = match Frame::decode(bytes) {
            Ok(Frame::Event { seq, event }) => (seq, event),
            other => panic!("not an event: {other:?}"),
        };
        let expected = Seq::new(u64::try_from(self.frames.len()).unwrap() + 1);
        assert_eq!(Some(seq), expected, "a gap, or a repeat, in the numbers");
        self.frames.push(bytes.to_vec());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_micros()).unwrap();
        let repo = self.watched(event.did());
        match &event {
            Event::Commit(commit) => {
                let head = verify_commit(commit, repo.head.as_ref(), &repo.key, now);
                repo.head = Some(head.unwrap_or_else(|error| panic!("{seq}: {error}: {commit:?}")));
                repo.revs.push(commit.rev);
                for op in &commit.ops {
                    let before = match op.cid {
                        Some(cid) => repo.records.insert(op.path.to_string(), cid),
                        None => repo.records.remove(op.path.as_str()),
                    };
                    assert_eq!(before, op.prev, "{seq}: {}", op.path);
                }
            }
            Event::Sync(sync) => {
                let head = verify_sync(sync, repo.head.as_ref(), &repo.key, now);
                let head = head.unwrap_or_else(|error| panic!("{seq}: {error}: {sync:?}"));
                if repo.head.is_none() {
                    repo.revs.push(head.rev);
                }
                repo.head = Some(head);
            }
            _ => {}
        }
    }

    /// Reads on until it has seen the repository's current commit.
    ///
    /// # Panics
    /// When the commit never comes.
    #[track_caller]
    pub fn catch_up(&mut self, world: &World, dids: &[&str]) {
        let wanted: Vec<_> =
            dids.iter().map(|did| (Did::parse(did).unwrap(), latest_rev(world, did))).collect();
        let mut subscriber = world.subscribe(Some(self.cursor()));
        let behind = |watcher: &Self| {
            wanted.iter().any(|(did, rev)| {
                let seen = watcher.repos.get(did).and_then(|repo| repo.head).map(|head| head.rev);
                seen.is_none_or(|seen| seen < *rev)
            })
        };
        while behind(self) {
            let frame = subscriber.frame().unwrap_or_else(|error| panic!("still behind {wanted:?}: {error}"));
            self.take(&frame.bytes);
        }
    }

    /// Downloads a repository, verifies all of it, and finds in it what the firehose has said.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn compare(&self, world: &World, did: &str) -> Imported {
        let repo = self.repo(did);
        let car = world.client().get("com.atproto.sync.getRepo", &[("did", did)]).ok();
        let imported = import(&car.body, &Did::parse(did).unwrap(), &repo.key).unwrap();
        let records: BTreeMap<_, _> =
            imported.records.iter().map(|record| (record.key.to_string(), record.cid)).collect();
        assert_eq!(records, repo.records);
        let head = Head { rev: imported.commit.rev, data: imported.commit.data };
        assert_eq!(Some(head), repo.head);
        imported
    }

    fn watched(&mut self, did: &Did) -> &mut Watched {
        let plc = &self.plc;
        self.repos.entry(did.clone()).or_insert_with(|| Watched {
            key: signing_key(plc, did),
            head: None,
            revs: Vec::new(),
            records: BTreeMap::new(),
        })
    }
}

/// The key that an account's DID document names.
fn signing_key(plc: &Client, did: &Did) -> VerifyingKey {
    let data = plc.path(&format!("/{did}/data")).ok().json();
    VerifyingKey::from_did_key(data["verificationMethods"]["atproto"].as_str().unwrap()).unwrap()
}

/// The rev of a repository's current commit.
#[track_caller]
fn latest_rev(world: &World, did: &str) -> Rev {
    let latest = world.client().get("com.atproto.sync.getLatestCommit", &[("did", did)]).ok().json();
    Rev::parse(latest["rev"].as_str().unwrap()).unwrap()
}
