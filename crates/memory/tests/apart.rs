//! Memories that are too large for a row: found, read, changed and gone as others, with their records in the blob storage.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::common::{Agent, NOW, SECOND, draft, encode, record, search, summary};
use murmuration_data::cid_of_cbor;
use murmuration_keyring::Ring;
use murmuration_memory::{Desk, Draft, Filter, Incoming, MemoryError, OnDuplicate, limits};
use murmuration_platform::Store;
use murmuration_syntax::{Did, RepoPath};
use serde_json::json;

/// The blob storage, and a host that brings and stores what calls want.
#[derive(Default)]
struct Shelf(RefCell<BTreeMap<String, Vec<u8>>>);

impl Shelf {
    fn run<T>(
        &self,
        agent: &Agent,
        call: impl Fn() -> Result<T, MemoryError>,
    ) -> (Result<T, MemoryError>, Desk) {
        let mut desk = Desk::default();
        for _ in 0..6 {
            let outcome = agent.memories.with_desk(&mut desk, &call);
            if !desk.is_waiting() {
                agent.memories.let_go(&desk.names());
                return (outcome, desk);
            }
            assert!(matches!(outcome, Err(MemoryError::Elsewhere)));
            let names: Vec<String> = desk.outgoing().map(|(name, _)| name.to_owned()).collect();
            agent.memories.hold(&names, agent.now.get()).unwrap();
            let stored = desk.outgoing().map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
            self.0.borrow_mut().extend(stored);
            desk.sent();
            for name in desk.wanted() {
                desk.bring(&name, self.0.borrow().get(&name).cloned());
            }
        }
        panic!("a call comes to no end")
    }

    fn ok<T>(&self, agent: &Agent, call: impl Fn() -> Result<T, MemoryError>) -> T {
        self.run(agent, call).0.unwrap()
    }

    /// What the object's alarm does.
    fn sweep(&self, agent: &Agent) {
        for name in agent.memories.blobs_due(agent.now.get(), 50).unwrap() {
            self.0.borrow_mut().remove(&name);
            agent.memories.blob_gone(&name).unwrap();
        }
    }

    fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// A record that no row has room for.
fn large(text: &str) -> Vec<u8> {
    let long = format!("{} the end of {text}", "nothing ".repeat(40_000));
    encode(&json!({
        "$type": "agent.memory.note", "summary": text, "text": long, "tags": ["large"],
        "createdAt": "2026-11-28T05:00:00.000Z",
    }))
}

fn remember(shelf: &Shelf, agent: &Agent, record: &[u8]) -> RepoPath {
    let path = agent.fresh();
    shelf.ok(agent, || agent.create(&path, record));
    path
}

fn rows_of_blobs(agent: &Agent) -> i64 {
    agent.store.query("SELECT count(*) FROM memory_blob", &[]).unwrap()[0].int(0).unwrap()
}

#[test]
fn a_large_memory_is_kept_found_changed_and_gone_as_others_are() {
    let (mut alice, shelf) = (Agent::new(), Shelf::default());
    alice.remember("the first draws the secret");
    let before = alice.written();
    let (one, two) = (large("one"), large("two"));
    let path = remember(&shelf, &alice, &one);
    assert_eq!(alice.written() - before, 6, "as others, and the note of its blob, which goes");
    assert_eq!((shelf.len(), rows_of_blobs(&alice)), (1, 0));
    let space = alice.memories.space(alice.keeper()).unwrap();
    assert!(space.bytes > 320_000, "it counts with what lies apart: {}", space.bytes);
    alice.wake();
    let read = shelf.ok(&alice, || alice.memories.get(alice.keeper(), &path));
    assert_eq!((read.record.as_slice(), read.is_partial), (one.as_slice(), false));
    assert_eq!(space.hash, alice.hash_of_all());

    // Lists and searches say its head, and need no blob. A word of its very end finds it.
    let page = alice.memories.list(alice.keeper(), &Filter::default(), None, 10).unwrap();
    let listed = page.memories.iter().find(|memory| memory.path == path).unwrap();
    assert!(listed.is_partial && listed.record.len() < 10_000);
    assert_eq!((listed.cid, summary(&listed.record)), (cid_of_cbor(&one), "one".into()));
    let tagged = Filter { tag: Some("large"), ..Filter::default() };
    assert_eq!(alice.memories.list(alice.keeper(), &tagged, None, 10).unwrap().memories.len(), 1);
    let found = alice.memories.search(alice.keeper(), &search("end")).unwrap();
    assert_eq!((found[0].memory.path.clone(), found[0].memory.is_partial), (path.clone(), true));

    let before = alice.written();
    shelf.ok(&alice, || alice.update(&path, &two, Some(&cid_of_cbor(&one))));
    assert_eq!(alice.written() - before, 8, "as others, and the notes of two blobs");
    assert_eq!(shelf.len(), 2);
    shelf.sweep(&alice);
    assert_eq!((shelf.len(), rows_of_blobs(&alice)), (1, 0));
    assert_eq!(shelf.ok(&alice, || alice.memories.get(alice.keeper(), &path)).record.as_slice(), two);
    assert_eq!(alice.memories.space(alice.keeper()).unwrap().bytes, space.bytes);

    let before = alice.written();
    alice.memories.delete(alice.keeper(), &path, Some(&cid_of_cbor(&two))).unwrap();
    assert_eq!(alice.written() - before, 6);
    assert_eq!(
        shelf.run(&alice, || alice.memories.get(alice.keeper(), &path)).0.err().unwrap().to_string(),
        "Could not find memory"
    );
    assert!(alice.memories.space(alice.keeper()).unwrap().bytes < 1_000);
    assert_eq!(alice.memories.next_blob().unwrap(), Some(alice.now.get()));
    shelf.sweep(&alice);
    assert_eq!((shelf.len(), rows_of_blobs(&alice)), (0, 0));
    assert_eq!(alice.memories.next_blob().unwrap(), None);
}

#[test]
fn what_is_stored_of_a_large_memory_says_nothing() {
    let (alice, shelf) = (Agent::new(), Shelf::default());
    remember(&shelf, &alice, &large("xylophone"));
    let (blobs, rows) = (shelf.0.borrow(), alice.everything());
    for bytes in blobs.values().chain(&rows) {
        for word in ["xylophone", "nothing"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()));
        }
    }
    let cid = cid_of_cbor(&large("xylophone"));
    let (name, bytes) = blobs.first_key_value().unwrap();
    assert!(name.len() == 40 && !cid.to_string().contains(name) && bytes.len() % 16_384 == 40);
}

#[test]
fn a_memory_grows_out_of_its_row_and_back() {
    let (alice, shelf) = (Agent::new(), Shelf::default());
    let path = alice.remember("small").path;
    for (record, blobs) in [(large("one"), 1), (record("small again"), 0), (large("two"), 1)] {
        shelf.ok(&alice, || alice.update(&path, &record, None));
        shelf.sweep(&alice);
        assert_eq!(shelf.len(), blobs);
        assert_eq!(shelf.ok(&alice, || alice.memories.get(alice.keeper(), &path)).record.as_slice(), record);
        assert_eq!(alice.memories.space(alice.keeper()).unwrap().hash, alice.hash_of_all());
    }
    // The same again writes nothing, and stores nothing.
    let before = alice.written();
    assert!(shelf.ok(&alice, || alice.update(&path, &large("two"), None)).repeated);
    assert_eq!((alice.written(), shelf.len()), (before, 1));
    let too_large = vec![7; limits::MAX_RECORD_BYTES + 1];
    let refused = shelf.run(&alice, || alice.update(&path, &too_large, None)).0;
    assert!(matches!(refused, Err(MemoryError::TooLarge(limits::MAX_RECORD_BYTES))));
}

#[test]
fn a_blob_that_no_memory_names_is_deleted_and_none_that_one_names() {
    let (mut alice, shelf) = (Agent::new(), Shelf::default());
    alice.remember("the first draws the secret");
    let (path, record) = (alice.fresh(), large("one"));
    // A host that dies between the blob and the turn.
    let mut desk = Desk::default();
    let outcome = alice.memories.with_desk(&mut desk, || alice.create(&path, &record));
    assert!(matches!(outcome, Err(MemoryError::Elsewhere)));
    alice.memories.hold(&desk.names(), alice.now.get()).unwrap();
    shelf.0.borrow_mut().extend(desk.outgoing().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    desk.sent();
    alice.wake();
    shelf.sweep(&alice);
    assert_eq!(shelf.len(), 1, "a blob may still be on its way");
    alice.pass(limits::ORPHAN_MICROS);
    assert_eq!(alice.memories.next_blob().unwrap(), Some(alice.now.get()));
    shelf.sweep(&alice);
    assert_eq!((shelf.len(), rows_of_blobs(&alice)), (0, 0));

    // A call that comes back late, when its blob was deleted: it stores another.
    let mut desk = Desk::default();
    let _ = alice.memories.with_desk(&mut desk, || alice.create(&path, &record));
    let first = desk.names();
    alice.memories.hold(&first, alice.now.get()).unwrap();
    desk.sent();
    alice.pass(limits::ORPHAN_MICROS - SECOND);
    shelf.sweep(&alice);
    assert_eq!(rows_of_blobs(&alice), 1, "it is held");
    alice.pass(limits::ORPHAN_MICROS);
    assert_eq!(alice.memories.blobs_due(alice.now.get(), 50).unwrap(), first);
    let outcome = alice.memories.with_desk(&mut desk, || alice.create(&path, &record));
    assert!(matches!(outcome, Err(MemoryError::Elsewhere)));
    assert!(desk.outgoing().all(|(name, _)| !first.contains(&name.to_owned())));

    // One that is refused when its blob is there already.
    shelf.ok(&alice, || alice.create(&path, &record));
    let (_, desk) = shelf.run(&alice, || {
        let written = alice.create(&alice.fresh(), &large("refused"))?;
        Err::<(), _>(MemoryError::Swap(written.cid))
    });
    assert_eq!((desk.names().len(), shelf.len()), (1, 2));
    alice.pass(limits::ORPHAN_MICROS);
    shelf.sweep(&alice);
    assert_eq!(shelf.ok(&alice, || alice.memories.get(alice.keeper(), &path)).record.as_slice(), record);
}

#[test]
fn only_so_many_are_on_their_way_at_once() {
    let alice = Agent::new();
    let names: Vec<String> = (0..limits::MAX_ON_THE_WAY).map(|n| n.to_string()).collect();
    alice.memories.hold(&names, NOW).unwrap();
    assert!(matches!(alice.memories.hold(&["more".into()], NOW), Err(MemoryError::Busy)));
    alice.memories.let_go(&names[..1]);
    alice.memories.hold(&["more".into()], NOW).unwrap();
}

#[test]
fn a_large_memory_is_superseded_with_all_of_its_record() {
    let (alice, shelf) = (Agent::new(), Shelf::default());
    let first = remember(&shelf, &alice, &large("same"));
    let (path, again) = (alice.fresh(), large("same"));
    let draft = Draft { on_duplicate: OnDuplicate::Supersede, ..draft(&path, &again) };
    let written = shelf.ok(&alice, || alice.memories.create(alice.keeper(), draft, None));
    assert_eq!(written.beside.ended, Some(first.clone()));
    shelf.sweep(&alice);
    assert_eq!(shelf.len(), 2);
    let ended = shelf.ok(&alice, || alice.memories.get(alice.keeper(), &first));
    assert!(ended.record.len() > 320_000);
    assert!(ended.record.windows(7).any(|window| window == b"validTo"));
    assert_eq!(alice.memories.space(alice.keeper()).unwrap().hash, alice.hash_of_all());
}

#[test]
fn readers_read_a_large_memory_until_their_share_ends() {
    let (alice, shelf) = (Agent::new(), Shelf::default());
    let did: Did = "did:plc:bob".parse().unwrap();
    let (ring, published) = Ring::begin(&did, &alice.random, NOW).unwrap();
    let to = published.recipient(NOW).unwrap();
    let path = remember(&shelf, &alice, &large("one"));
    alice.memories.share(alice.keeper(), &path, std::slice::from_ref(&to)).unwrap();
    let wants = to.key().id.as_str().to_owned();
    let give = || alice.memories.give(alice.keeper(), &path, &did, &wants, Some(&to));
    let given = shelf.ok(&alice, give).unwrap();
    assert_eq!(given.open(&ring, alice.ring.did(), &path).unwrap().0.as_slice(), large("one"));
    let cut =
        murmuration_memory::Given { apart: given.apart.as_ref().map(|it| it[1..].to_vec()), ..given.clone() };
    assert!(cut.open(&ring, alice.ring.did(), &path).is_err());
    shelf.ok(&alice, || alice.update(&path, &large("two"), None));
    let given = shelf.ok(&alice, give).unwrap();
    assert_eq!(given.open(&ring, alice.ring.did(), &path).unwrap().0.as_slice(), large("two"));
    alice.memories.revoke(alice.keeper(), &path, std::slice::from_ref(&did)).unwrap();
    let (refused, desk) = shelf.run(&alice, give);
    assert!(matches!(refused, Err(MemoryError::NotFound)) && desk.wanted().is_empty());
    assert_eq!(
        shelf.ok(&alice, || alice.memories.get(alice.keeper(), &path)).record.as_slice(),
        large("two")
    );
}

#[test]
fn large_memories_are_taken_along_each_in_a_part_of_its_own() {
    let (alice, shelf) = (Agent::new(), Shelf::default());
    let mut records = Vec::new();
    for n in 0..7 {
        let text = format!("memory {n}");
        records.push(if n % 3 == 1 { large(&text) } else { record(&text) });
        remember(&shelf, &alice, &records[n]);
    }
    let mut export = alice.memories.export(alice.now.get());
    let parts: Vec<_> = std::iter::from_fn(|| export.next_part().unwrap()).collect();
    assert_eq!(parts.iter().map(|part| part.memories.len()).collect::<Vec<_>>(), [1, 1, 2, 1, 2]);
    let mut bob = Agent::new();
    (bob.ring, bob.random.0) = (alice.ring.clone(), 99.into());
    bob.now.set(alice.now.get());
    let there = Shelf::default();
    for memory in parts.iter().flat_map(|part| &part.memories) {
        assert!(export.place().has(memory).unwrap());
        let blobs = shelf.0.borrow();
        let apart = memory.apart.as_ref().map(|name| blobs[name].as_slice());
        let record = memory.open(&alice.ring, apart).unwrap().0;
        let incoming = Incoming {
            path: &memory.path,
            record: &record,
            pinned: false,
            created_at: memory.created_at,
            updated_at: memory.updated_at,
            expires_at: None,
            readers: &[],
            meaning: None,
        };
        for added in [1, 0] {
            let taken = there.ok(&bob, || bob.memories.take_in(bob.keeper(), &[incoming], &[]));
            assert_eq!(taken.added, added);
        }
    }
    assert_eq!(there.len(), 2);
    let hash = |agent: &Agent| agent.memories.space(agent.keeper()).unwrap().hash;
    assert_eq!(hash(&bob), hash(&alice));
    assert_eq!(bob.memories.search(bob.keeper(), &search("end")).unwrap().len(), 2);
    let moved = parts.iter().flat_map(|part| &part.memories).find(|memory| memory.apart.is_some()).unwrap();
    alice.memories.delete(alice.keeper(), &moved.path, None).unwrap();
    assert!(!export.place().has(moved).unwrap());
}

#[test]
fn all_blobs_of_an_account_that_was_deleted_are_named() {
    let (alice, shelf) = (Agent::new(), Shelf::default());
    for text in ["one", "two", "three"] {
        remember(&shelf, &alice, &large(text));
    }
    let path = remember(&shelf, &alice, &large("gone"));
    alice.memories.delete(alice.keeper(), &path, None).unwrap();
    let (mut after, mut left) = (String::new(), Vec::new());
    loop {
        let batch = alice.memories.left_blobs(&after, 3).unwrap();
        let Some(last) = batch.last() else { break };
        after.clone_from(last);
        left.extend(batch);
    }
    assert_eq!(left, shelf.0.borrow().keys().cloned().collect::<Vec<_>>());
    left.iter().for_each(|name| alice.memories.remove_blob(name).unwrap());
    assert!(alice.memories.left_blobs("", 3).unwrap().is_empty());
}
