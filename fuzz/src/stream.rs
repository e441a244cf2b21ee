//! Frames of the firehose, drafts, and what agents push to the relay.

use murmuration_data::cid_of_cbor;
use murmuration_firehose::{
    AccountEvent, AccountStatus, CommitEvent, CommitParts, Event, Frame, Glance, IdentityEvent, Seq,
    SyncEvent, Timestamp, error_frame, frame as finish, info_frame, verify_commit, verify_sync,
};
use murmuration_keys::{Curve, SigningKey};
use murmuration_relay::wire::{Ack, Item, Push};
use murmuration_repo::{Commit, Edit, Key, NodeMap, empty_root};
use murmuration_syntax::{Did, Handle, Rev};

/// Microseconds at which everything here happens.
const NOW: u64 = 1_795_410_052_123_456;

/// A frame that is read can be written and read again, glanced at, and verifying it panics at nothing; a draft either
/// gives a frame or does not.
pub fn frame(data: &[u8]) {
    if let Ok(finished) = finish(data, Seq::FIRST) {
        assert!(finished.len() < data.len());
    }
    let Ok(Frame::Event { seq, event }) = Frame::decode(data) else { return };
    let key = key().verifying_key();
    match &event {
        Event::Commit(event) => {
            if let Ok(head) = verify_commit(event, None, &key, NOW) {
                assert_eq!(head.rev, event.rev);
            }
        }
        Event::Sync(event) => drop(verify_sync(event, None, &key, NOW)),
        _ => {}
    }
    drop(Glance::of(data));
    if let Ok(written) = event.frame(seq) {
        let glance = Glance::of(&written).expect("a frame of this host's own");
        assert_eq!(glance.did, event.did().as_str());
        assert_eq!(glance.collections.is_some(), matches!(event, Event::Commit(_)));
        assert_eq!(Frame::decode(&written).ok(), Some(Frame::Event { seq, event }));
    }
}

/// A push or an ack that is read is written as it was.
pub fn push(data: &[u8]) {
    if let Ok(push) = Push::decode(data) {
        assert_eq!(push.encode().as_deref().ok(), Some(data));
    }
    if let Ok(ack) = Ack::decode(data)
        && (ack.first.is_some() || data.get(9..17) == Some(&[0; 8]))
    {
        assert_eq!(ack.encode(), data);
    }
}

/// One frame of each kind.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let drafts = events().into_iter().map(|event| event.draft().expect("a draft"));
    let frames = events().into_iter().map(|event| event.frame(Seq::FIRST).expect("a frame"));
    let unnumbered = [info_frame("OutdatedCursor", "gone"), error_frame("FutureCursor", "not yet")];
    frames.chain(drafts).chain(unnumbered).collect()
}

/// A push of everything, and an ack.
pub fn push_seeds() -> Vec<Vec<u8>> {
    let drafts: Vec<_> = events().into_iter().map(|event| event.draft().expect("a draft")).collect();
    let items = (7..).zip(&drafts).map(|(ord, draft)| Item { ord, made_at: NOW / 1000, draft }).collect();
    let push = Push { did: did(), fresh: true, items };
    let ack = Ack { through: 12, first: Seq::new(3), sequenced: 5, duplicates: 1 };
    vec![push.encode().expect("a push"), ack.encode()]
}

fn did() -> Did {
    Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").expect("a DID")
}

fn key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[7; 32]).expect("a key")
}

fn events() -> Vec<Event> {
    let time = Timestamp::from_micros(NOW);
    let nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    let record = b"\xa1\x64text\x65hello".as_slice();
    let cid = cid_of_cbor(record);
    edit.put(Key::parse("app.bsky.feed.post/3jzfcijpj2z2a").expect("a key"), cid).expect("an edit");
    let change = edit.finish().expect("a change");
    let commit = Commit::sign(&did(), change.root, Rev::from_parts(NOW, 1), &key()).expect("a commit");
    let (cid_of_commit, block) = (commit.cid(), commit.encode());
    let built = CommitEvent::build(&CommitParts {
        commit: &commit,
        cid: cid_of_commit,
        block: &block,
        since: None,
        change: &change,
        nodes: &nodes,
        records: &[(cid, record)],
        time: &time,
    });
    let handle = Handle::parse("alice.test").ok();
    vec![
        Event::Commit(built.expect("an event")),
        Event::Sync(SyncEvent::build(&commit, cid_of_commit, &block, &time)),
        Event::Identity(IdentityEvent { did: did(), handle, time: time.clone() }),
        Event::Account(AccountEvent { did: did(), inactive: Some(AccountStatus::Deleted), time }),
    ]
}
