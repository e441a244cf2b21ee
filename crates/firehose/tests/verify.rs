//! Commits as this host makes them, verified as a relay does, whole and damaged.

use std::collections::BTreeMap;

use murmuration_data::{Cid, cid_of_cbor};
use murmuration_firehose::{
    CommitEvent, CommitParts, Event, FirehoseError, Frame, Head, MAX_OPS, MAX_OWN_BLOCKS_BYTES,
    MAX_REV_AHEAD_MICROS, Seq, SyncEvent, Timestamp, VerifyError, verify_commit, verify_sync,
};
use murmuration_keys::{Curve, SigningKey, VerifyingKey};
use murmuration_repo::{Action, Commit, Edit, Key, NodeMap, RecordOp, RepoError, car, empty_root};
use murmuration_syntax::{Did, Rev};

const NOW: u64 = 1_795_410_052_123_456;

/// A repository, and the events that its commits make.
struct Account {
    did: Did,
    key: SigningKey,
    nodes: NodeMap,
    records: BTreeMap<String, Cid>,
    head: Head,
    since: Option<Rev>,
}

impl Account {
    fn new(curve: Curve) -> Self {
        Self {
            did: Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap(),
            key: SigningKey::from_bytes(curve, &[7; 32]).unwrap(),
            nodes: NodeMap::empty_tree(),
            records: BTreeMap::new(),
            head: Head { rev: Rev::from_parts(0, 0), data: empty_root() },
            since: None,
        }
    }

    fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Commits these writes (path, record or deletion).
    fn commit(&mut self, writes: &[(String, Option<Vec<u8>>)]) -> Result<CommitEvent, FirehoseError> {
        let mut edit = Edit::new(&self.nodes, self.head.data);
        let mut blocks = Vec::new();
        for (path, record) in writes {
            let key = Key::parse(path).unwrap();
            match record {
                Some(bytes) => {
                    let cid = cid_of_cbor(bytes);
                    edit.put(key, cid).unwrap();
                    blocks.push((cid, bytes.as_slice()));
                    self.records.insert(path.clone(), cid);
                }
                None => {
                    edit.delete(key).unwrap();
                    self.records.remove(path);
                }
            }
        }
        let change = edit.finish().unwrap();
        let rev = Rev::next(NOW, 5, Some(self.head.rev));
        let commit = Commit::sign(&self.did, change.root, rev, &self.key).unwrap();
        let block = commit.encode();
        let event = CommitEvent::build(&CommitParts {
            commit: &commit,
            cid: commit.cid(),
            block: &block,
            since: self.since,
            change: &change,
            nodes: &self.nodes,
            records: &blocks,
            time: &Timestamp::from_micros(NOW),
        })?;
        self.nodes.apply(&change);
        self.head = Head { rev, data: change.root };
        self.since = Some(rev);
        Ok(event)
    }

    /// A repository with some history.
    fn with_records(count: u64) -> Self {
        let mut account = Self::new(Curve::K256);
        let writes: Vec<_> = (0..count).map(|index| (path(index), Some(record(index, 0, 80)))).collect();
        for part in writes.chunks(200) {
            account.commit(part).unwrap();
        }
        account
    }
}

fn path(index: u64) -> String {
    format!("app.bsky.feed.post/3jzfcijpj{index:04}")
}

/// A CBOR map with one text, of the size asked for.
fn record(index: u64, version: u64, size: usize) -> Vec<u8> {
    let text = format!("{index}.{version}{}", "x".repeat(size));
    murmuration_data::cbor::encode(&murmuration_data::Ipld::Map(BTreeMap::from([(
        "text".to_owned(),
        murmuration_data::Ipld::String(text),
    )])))
    .unwrap()
}

fn roll(state: &mut u64, sides: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

#[test]
fn sim_every_commit_of_a_random_history_verifies() {
    for (seed, curve) in [(1, Curve::K256), (2, Curve::P256)] {
        let mut dice = seed;
        let mut account = Account::new(curve);
        let key = account.public();
        let first = account.commit(&[]).unwrap();
        assert_eq!((first.since, first.prev_data), (None, None));
        let mut known = verify_commit(&first, None, &key, NOW).unwrap();
        for round in 0..250 {
            let mut writes = BTreeMap::new();
            for _ in 0..1 + roll(&mut dice, 9) {
                let index = roll(&mut dice, 400);
                let keep = roll(&mut dice, 3) > 0;
                if keep || account.records.contains_key(&path(index)) {
                    writes.insert(path(index), keep.then(|| record(index, round, 40)));
                }
            }
            let writes: Vec<_> = writes.into_iter().collect();
            let event = account.commit(&writes).unwrap();
            assert_eq!(event.prev_data, Some(known.data));
            assert_eq!(event.since, Some(known.rev));
            // As a relay sees it: off the wire, with what it knows, and the first time it sees the account.
            let seq = Seq::FIRST;
            let frame = Event::Commit(event).frame(seq).unwrap();
            let Frame::Event { event: Event::Commit(event), .. } = Frame::decode(&frame).unwrap() else {
                unreachable!()
            };
            verify_commit(&event, None, &key, NOW).unwrap();
            known = verify_commit(&event, Some(&known), &key, NOW).unwrap();
            assert_eq!(known, account.head);
        }
    }
}

#[test]
fn blocks_hold_each_block_once_and_the_commit_first() {
    let mut account = Account::with_records(500);
    let same = record(9_999, 0, 40);
    let writes = [
        (path(7), None),
        (path(8), Some(record(8, 1, 40))),
        (path(9_000), Some(same.clone())),
        (path(9_001), Some(same)),
    ];
    let event = account.commit(&writes).unwrap();
    let mut order = Vec::new();
    let mut reader = car::Reader::new(car::Limits::EVENT);
    let mut take = |cid: Cid, _: &[u8]| {
        order.push(cid);
        Ok(())
    };
    reader.push(&event.blocks, &mut take).unwrap();
    assert_eq!(reader.finish().unwrap(), [event.commit]);
    assert_eq!(order[0], event.commit);
    assert_eq!(order[1], account.head.data, "then the root");
    let mut sorted = order.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), order.len());
}

#[test]
fn a_commit_of_nothing_shows_its_tree() {
    let mut account = Account::with_records(300);
    let before = account.head;
    let event = account.commit(&[]).unwrap();
    assert!(event.ops.is_empty());
    assert_eq!(event.prev_data, Some(account.head.data));
    verify_commit(&event, Some(&before), &account.public(), NOW).unwrap();
}

#[test]
fn refuses_a_commit_that_is_too_large() {
    let mut account = Account::with_records(10);
    let big: Vec<_> = (0..3).map(|index| (path(index), Some(record(index, 1, 700_000)))).collect();
    assert!(matches!(account.commit(&big), Err(FirehoseError::TooLarge { limit: MAX_OWN_BLOCKS_BYTES, .. })));
    let mut account = Account::with_records(10);
    let many = |count| (0..count).map(|index| (path(index), Some(record(index, 1, 10)))).collect::<Vec<_>>();
    assert!(matches!(account.commit(&many(201)), Err(FirehoseError::TooLarge { what: "operations", .. })));
    let mut account = Account::with_records(10);
    let (before, key) = (account.head, account.public());
    let event = account.commit(&many(200)).unwrap();
    assert_eq!(event.ops.len(), MAX_OPS);
    verify_commit(&event, Some(&before), &key, NOW).unwrap();
}

/// A good event of three operations, what was before it, and the key.
fn good() -> (CommitEvent, Head, VerifyingKey) {
    let mut account = Account::with_records(800);
    let before = account.head;
    let writes =
        [(path(3), None), (path(5), Some(record(5, 1, 40))), (path(5_000), Some(record(5_000, 0, 40)))];
    let event = account.commit(&writes).unwrap();
    (event, before, account.public())
}

/// The event with one block left out, or another one instead.
fn without_block(event: &CommitEvent, gone: Cid, instead: Option<(Cid, &[u8])>) -> CommitEvent {
    let car = car::Car::read(&event.blocks, car::Limits::EVENT).unwrap();
    let mut blocks = car::header(&event.commit);
    for (cid, bytes) in &car.blocks {
        if *cid != gone {
            car::block(&mut blocks, cid, bytes);
        }
    }
    if let Some((cid, bytes)) = instead {
        car::block(&mut blocks, &cid, bytes);
    }
    CommitEvent { blocks, ..event.clone() }
}

#[test]
fn refuses_every_damaged_event_for_its_own_reason() {
    let (event, before, key) = good();
    let other = cid_of_cbor(b"other");
    let check = |event: &CommitEvent| verify_commit(event, Some(&before), &key, NOW);
    check(&event).unwrap();

    let did = Did::parse("did:web:other.test").unwrap();
    let error = check(&CommitEvent { repo: did, ..event.clone() }).unwrap_err();
    assert!(matches!(error, VerifyError::Mismatch("repo")));
    let error = check(&CommitEvent { rev: Rev::from_parts(NOW - 1, 0), ..event.clone() }).unwrap_err();
    assert!(matches!(error, VerifyError::Mismatch("rev")));
    let error = check(&CommitEvent { commit: other, ..event.clone() }).unwrap_err();
    assert!(matches!(error, VerifyError::CommitMissing));
    let error = check(&CommitEvent { since: None, ..event.clone() }).unwrap_err();
    assert!(matches!(error, VerifyError::BrokenSince));
    for prev_data in [None, Some(other)] {
        let error = check(&CommitEvent { prev_data, ..event.clone() }).unwrap_err();
        assert!(matches!(error, VerifyError::BrokenPrevData));
        let error = verify_commit(&CommitEvent { prev_data, ..event.clone() }, None, &key, NOW).unwrap_err();
        assert!(matches!(error, VerifyError::BrokenPrevData | VerifyError::Inversion));
    }
    let error = verify_commit(&event, Some(&Head { data: other, ..before }), &key, NOW).unwrap_err();
    assert!(matches!(error, VerifyError::BrokenPrevData));
    assert_eq!(MAX_REV_AHEAD_MICROS, 300_000_000, "five minutes");
    let earliest = event.rev.micros() - MAX_REV_AHEAD_MICROS;
    let error = verify_commit(&event, Some(&before), &key, earliest - 1).unwrap_err();
    assert!(matches!(error, VerifyError::FutureRev));
    verify_commit(&event, Some(&before), &key, earliest).unwrap();

    let stale = Head { rev: event.rev, ..before };
    let error =
        verify_commit(&CommitEvent { since: Some(event.rev), ..event.clone() }, Some(&stale), &key, NOW);
    assert!(matches!(error, Err(VerifyError::StaleRev)));
    let foreign = SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap().verifying_key();
    let error = verify_commit(&event, Some(&before), &foreign, NOW).unwrap_err();
    assert!(matches!(error, VerifyError::Repo(RepoError::Signature)));
    let error = check(&CommitEvent { ops: vec![event.ops[0].clone(); 201], ..event.clone() }).unwrap_err();
    assert!(matches!(error, VerifyError::TooLarge { what: "operations", .. }));
    let error = check(&CommitEvent { blocks: vec![0; 2_000_001], ..event.clone() }).unwrap_err();
    assert!(matches!(error, VerifyError::TooLarge { .. }));
}

#[test]
fn refuses_operations_that_do_not_tell_the_truth() {
    let (event, before, key) = good();
    let check =
        |ops: Vec<RecordOp>| verify_commit(&CommitEvent { ops, ..event.clone() }, Some(&before), &key, NOW);
    let ops = &event.ops;
    for missing in 0..ops.len() {
        let mut fewer = ops.clone();
        fewer.remove(missing);
        assert!(check(fewer).is_err(), "without operation {missing}");
    }
    let mut twice = ops.clone();
    twice.push(ops[0].clone());
    assert!(matches!(check(twice), Err(VerifyError::Repo(RepoError::RepeatedPath(_)))));
    for index in 0..ops.len() {
        for damage in 0..5 {
            let mut bad = ops.clone();
            let op = &mut bad[index];
            let other = Some(cid_of_cbor(b"other"));
            match damage {
                0 => op.prev = if op.prev.is_some() { None } else { other },
                1 => op.cid = if op.cid.is_some() { None } else { other },
                2 => op.path = Key::parse("app.bsky.feed.post/other").unwrap(),
                3 if op.prev.is_some() => op.prev = other,
                4 if op.cid.is_some() => op.cid = other,
                _ => continue,
            }
            let refused = check(bad).unwrap_err();
            let of_its_form = matches!(refused, VerifyError::BadOp(_));
            assert!(of_its_form || damage > 1, "operation {index}, damage {damage}: {refused}");
        }
    }
    let mut renamed = ops.clone();
    renamed[0].action = Action::Update;
    assert!(matches!(check(renamed), Err(VerifyError::BadOp(_))));
    let mut no_path = ops.clone();
    no_path[0].path = Key::parse("A0/374913").unwrap();
    assert!(matches!(check(no_path), Err(VerifyError::BadOp(_))));
}

#[test]
fn refuses_blocks_that_are_missing_or_swapped() {
    let (event, before, key) = good();
    let check = |event: &CommitEvent| verify_commit(event, Some(&before), &key, NOW);
    let car = car::Car::read(&event.blocks, car::Limits::EVENT).unwrap();
    for (cid, bytes) in &car.blocks {
        assert!(check(&without_block(&event, *cid, None)).is_err(), "without {cid}");
        let mut forged = bytes.to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let error = {
            let mut blocks = car::header(&event.commit);
            car.blocks
                .iter()
                .filter(|(other, _)| *other != cid)
                .for_each(|(c, b)| car::block(&mut blocks, c, b));
            car::block(&mut blocks, cid, &forged);
            check(&CommitEvent { blocks, ..event.clone() }).unwrap_err()
        };
        assert!(matches!(error, VerifyError::Repo(RepoError::WrongHash(_))));
    }
    let extra = without_block(&event, cid_of_cbor(b"none"), Some((cid_of_cbor(b"\x60"), b"\x60")));
    check(&extra).unwrap();
}

#[test]
fn a_first_commit_must_begin_with_the_empty_tree() {
    let mut account = Account::new(Curve::K256);
    let event = account.commit(&[(path(1), Some(record(1, 0, 10)))]).unwrap();
    let key = account.public();
    verify_commit(&event, None, &key, NOW).unwrap();
    let ops = vec![];
    let error = verify_commit(&CommitEvent { ops, ..event }, None, &key, NOW).unwrap_err();
    assert!(matches!(error, VerifyError::Inversion));
}

#[test]
fn a_sync_asserts_a_state() {
    let mut account = Account::with_records(5);
    let before = account.head;
    account.commit(&[(path(77), Some(record(77, 0, 10)))]).unwrap();
    let commit = Commit::sign(&account.did, account.head.data, account.head.rev, &account.key).unwrap();
    let event = SyncEvent::build(&commit, commit.cid(), &commit.encode(), &Timestamp::from_micros(NOW));
    let key = account.public();
    for known in [None, Some(&before), Some(&account.head)] {
        assert_eq!(verify_sync(&event, known, &key, NOW).unwrap(), account.head);
    }
    let later = Head { rev: Rev::from_parts(NOW + 9, 0), ..before };
    assert!(matches!(verify_sync(&event, Some(&later), &key, NOW), Err(VerifyError::StaleRev)));
    let did = Did::parse("did:web:other.test").unwrap();
    let foreign = SyncEvent { did, ..event.clone() };
    assert!(matches!(verify_sync(&foreign, None, &key, NOW), Err(VerifyError::Mismatch("did"))));
    let big = SyncEvent { blocks: vec![0; 10_001], ..event };
    assert!(matches!(verify_sync(&big, None, &key, NOW), Err(VerifyError::TooLarge { .. })));
}
