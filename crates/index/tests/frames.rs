//! What frames of the relay's log say.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld, cbor, cid_of_cbor, json};
use murmuration_firehose::{
    AccountEvent, AccountStatus, CommitEvent, CommitParts, Event, IdentityEvent, Seq, Timestamp,
};
use murmuration_index::limits::MAX_RECORD_BYTES;
use murmuration_index::{Change, changes_of};
use murmuration_keys::{Curve, SigningKey};
use murmuration_repo::{Commit, Edit, Key, NodeMap, empty_root};
use murmuration_syntax::{Handle, Rev};
use serde_json::json as object;

use crate::common::{NOW, did};

fn time() -> Timestamp {
    Timestamp::from_micros(NOW)
}

fn frame(event: &Event) -> Vec<u8> {
    event.frame(Seq::new(1).unwrap()).unwrap()
}

/// A commit that makes all these records in an empty repository, and takes some away again in the next.
fn commits(records: &[(&str, Ipld)], away: &[&str]) -> [Vec<u8>; 2] {
    let did = did("alice");
    let key = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
    let mut nodes = NodeMap::empty_tree();
    let blocks: Vec<(Cid, Vec<u8>)> = records
        .iter()
        .map(|(_, record)| cbor::encode(record).unwrap())
        .map(|block| (cid_of_cbor(&block), block))
        .collect();
    let mut root = empty_root();
    let mut since = None;
    [true, false].map(|first| {
        let mut edit = Edit::new(&nodes, root);
        if first {
            for ((path, _), (cid, _)) in records.iter().zip(&blocks) {
                edit.put(Key::parse(path).unwrap(), *cid).unwrap();
            }
        } else {
            for path in away {
                edit.delete(Key::parse(path).unwrap()).unwrap();
            }
        }
        let change = edit.finish().unwrap();
        let rev = Rev::next(NOW, 5, since);
        let commit = Commit::sign(&did, change.root, rev, &key).unwrap();
        let given: Vec<(Cid, &[u8])> = blocks.iter().map(|(cid, block)| (*cid, block.as_slice())).collect();
        let event = CommitEvent::build(&CommitParts {
            commit: &commit,
            cid: commit.cid(),
            block: &commit.encode(),
            since,
            change: &change,
            nodes: &nodes,
            records: if first { &given } else { &[] },
            time: &time(),
        })
        .unwrap();
        nodes.apply(&change);
        (root, since) = (change.root, Some(rev));
        frame(&Event::Commit(event))
    })
}

#[test]
fn of_a_commit_memories_and_profiles_are_documents_and_nothing_else_is() {
    let record = |value: &serde_json::Value| json::from_value(value).unwrap();
    let large = Ipld::Map(BTreeMap::from([("summary".into(), Ipld::String("x".repeat(MAX_RECORD_BYTES)))]));
    let [made, gone] = commits(
        &[
            (
                "agent.memory.note/a",
                record(&object!({ "summary": "felines doze", "createdAt": "2026-01-01T00:00:00Z" })),
            ),
            ("agent.memory.note/large", large),
            ("agent.identity.profile/self", record(&object!({ "description": "sings" }))),
            ("agent.memory.shared/x", record(&object!({ "summary": "no memory" }))),
            ("com.example.note/b", record(&object!({ "summary": "no memory" }))),
        ],
        &["agent.memory.note/a", "com.example.note/b"],
    );
    let mut texts = Vec::new();
    for change in changes_of(true, &made) {
        match change {
            Change::Put(document) => {
                assert_eq!(
                    document.made,
                    if document.path.rkey.as_str() == "a" { 1_767_225_600_000_000 } else { NOW }
                );
                texts.push(document.essence.text);
            }
            Change::Gone { path, .. } => assert_eq!(path.rkey.as_str(), "large"),
            other => panic!("{other:?}"),
        }
    }
    texts.sort();
    assert_eq!(texts, ["felines doze", "sings"]);
    let changes = changes_of(false, &gone);
    assert!(matches!(&changes[..], [Change::Gone { path, .. }] if path.rkey.as_str() == "a"), "{changes:?}");
    assert!(changes_of(true, b"no frame").is_empty());
}

#[test]
fn of_accounts_it_hears_whether_they_are_served_and_of_other_hosts_their_handles() {
    let did = did("bob");
    let account =
        |inactive| frame(&Event::Account(AccountEvent { did: did.clone(), inactive, time: time() }));
    for (inactive, active, deleted) in [
        (None, true, false),
        (Some(AccountStatus::Takendown), false, false),
        (Some(AccountStatus::Deactivated), false, false),
        (Some(AccountStatus::Deleted), false, true),
    ] {
        let expected = Change::Standing { did: did.clone(), active, deleted };
        assert_eq!(changes_of(false, &account(inactive)), [expected]);
    }
    let handle = Handle::parse("bob.example.com").unwrap();
    let told = frame(&Event::Identity(IdentityEvent {
        did: did.clone(),
        handle: Some(handle.clone()),
        time: time(),
    }));
    assert_eq!(changes_of(false, &told), [Change::Handle { did, handle: Some(handle) }]);
    assert!(changes_of(true, &told).is_empty(), "the directory has those of this host");
}
