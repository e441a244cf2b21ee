//! Accounts of another host, and the frames of its stream.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld, cbor, cid_of_cbor};
use murmuration_firehose::{
    AccountEvent, AccountStatus, CommitEvent, CommitParts, Event, Head, Seq, SyncEvent, Timestamp,
};
use murmuration_keys::{Curve, SigningKey};
use murmuration_relay::Identity;
use murmuration_repo::{Commit, Edit, Key, NodeMap, empty_root};
use murmuration_syntax::{Did, Handle, Rev};

use super::T0;

/// An account that signs what it commits.
pub struct Author {
    pub did: Did,
    pub key: SigningKey,
    pub head: Head,
    pub commit: Option<(Commit, Cid)>,
    nodes: NodeMap,
    since: Option<Rev>,
    count: u64,
}

impl Author {
    pub fn new(index: u8) -> Self {
        Self {
            did: Did::parse(&format!("did:plc:{}", char::from(b'a' + index % 26).to_string().repeat(24)))
                .unwrap(),
            key: SigningKey::from_bytes(Curve::K256, &[index + 1; 32]).unwrap(),
            head: Head { rev: Rev::MIN, data: empty_root() },
            commit: None,
            nodes: NodeMap::empty_tree(),
            since: None,
            count: 0,
        }
    }

    pub fn identity(&self, pds: &str, fresh: bool) -> Identity {
        Identity { pds: pds.to_owned(), key: self.key.verifying_key(), handle: Some(self.handle()), fresh }
    }

    pub fn handle(&self) -> Handle {
        Handle::parse("real.example.com").unwrap()
    }

    /// The next commit: one more record, of so many bytes at the least.
    pub fn write(&mut self, size: usize) -> CommitEvent {
        self.write_at(T0 * 1000, size)
    }

    pub fn write_at(&mut self, micros: u64, size: usize) -> CommitEvent {
        self.count += 1;
        let text = format!("{} {}", self.count, "x".repeat(size));
        let record =
            cbor::encode(&Ipld::Map(BTreeMap::from([("text".to_owned(), Ipld::String(text))]))).unwrap();
        let cid = cid_of_cbor(&record);
        let mut edit = Edit::new(&self.nodes, self.head.data);
        edit.put(Key::parse(&format!("com.example.note/{:04}", self.count)).unwrap(), cid).unwrap();
        let change = edit.finish().unwrap();
        let rev = Rev::next(micros, 5, Some(self.head.rev));
        let commit = Commit::sign(&self.did, change.root, rev, &self.key).unwrap();
        let event = CommitEvent::build(&CommitParts {
            commit: &commit,
            cid: commit.cid(),
            block: &commit.encode(),
            since: self.since,
            change: &change,
            nodes: &self.nodes,
            records: &[(cid, &record)],
            time: &time(),
        })
        .unwrap();
        self.nodes.apply(&change);
        self.head = Head { rev, data: change.root };
        self.since = Some(rev);
        let cid = commit.cid();
        self.commit = Some((commit, cid));
        event
    }

    /// Its latest commit, as its host shows it.
    pub fn sync(&self) -> SyncEvent {
        let (commit, cid) = self.commit.as_ref().unwrap();
        SyncEvent::build(commit, *cid, &commit.encode(), &time())
    }

    pub fn standing(&self, inactive: Option<AccountStatus>) -> Event {
        Event::Account(AccountEvent { did: self.did.clone(), inactive, time: time() })
    }
}

pub fn time() -> Timestamp {
    Timestamp::from_micros(T0 * 1000)
}

pub fn frame(seq: u64, event: &Event) -> Vec<u8> {
    event.frame(Seq::new(seq).unwrap()).unwrap()
}
