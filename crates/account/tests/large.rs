//! The largest commit in a large repository.

use std::collections::BTreeSet;

use murmuration_account::{AccountError, Listing};
use murmuration_firehose::{Event, Frame, Head, MAX_BLOCKS_BYTES, Seq, frame, verify_commit};
use murmuration_platform::Store;
use murmuration_repo::car::{self, Limits};
use murmuration_repo::{Commit, Edit, Import, NodeMap, empty_root};
use murmuration_syntax::{Did, Nsid, Rev};

use crate::common::{DID, NOW, World, create, delete, path, put, record, signing_key, value};

/// Records before the commit.
const RECORDS: u32 = 100_000;
/// Writes of one call at the most.
const BATCH: u32 = 200;

/// Keys that fall anywhere: the worst case, each in another page.
fn key(n: u32) -> String {
    format!("com.example.note/{:08x}", n.wrapping_mul(0x9e37_79b9))
}

/// A world that has taken over a repository of [`RECORDS`] records.
fn filled() -> World {
    let (record, did, signer) =
        (value(&record("a record among many")), Did::parse(DID).unwrap(), signing_key());
    let nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    for n in 0..RECORDS {
        edit.put(path(&key(n)), record.cid()).unwrap();
    }
    let change = edit.finish().unwrap();
    let commit = Commit::sign(&did, change.root, Rev::next(NOW, 0, None), &signer).unwrap().encode();
    let cid = murmuration_data::cid_of_cbor(&commit);
    let mut car = car::header(&cid);
    car::block(&mut car, &cid, &commit);
    car::block(&mut car, &record.cid(), record.bytes());
    change.created.iter().for_each(|node| car::block(&mut car, &node.cid, &node.bytes));

    let mut world = World::new();
    let mut import = Import::new(Limits::IMPORT);
    import.push(&car).unwrap();
    let whole = import.finish(&car, &did, &[signer.verifying_key()]).unwrap();
    world.account.import(&whole, NOW + 1).unwrap();
    world.model.extend((0..RECORDS).map(|n| (key(n), record.cid())));
    world.drain();
    world
}

/// The pages that are stored.
fn pages(world: &World) -> BTreeSet<Vec<u8>> {
    let rows = world.store.query("SELECT root FROM page", &[]).unwrap();
    rows.into_iter().map(|mut row| row.blob(0).unwrap()).collect()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}

#[test]
fn the_largest_commit_writes_its_records_its_turn_and_the_pages_that_it_touches() {
    let mut world = filled();
    for (name, writes) in [
        ("creates", (RECORDS..RECORDS + BATCH).map(|n| create(&key(n), "new")).collect::<Vec<_>>()),
        ("updates", (0..BATCH).map(|n| put(&key(n * 499), "changed")).collect()),
        ("deletes", (0..BATCH).map(|n| delete(&key(n * 499))).collect()),
    ] {
        let head = world.account.head().unwrap();
        let (before, counts) = (pages(&world), world.store.counts());
        world.write(writes).unwrap();
        let (after, written) = (pages(&world), world.store.counts().written - counts.written);
        let (made, lost) =
            (number(after.difference(&before).count()), number(before.difference(&after).count()));
        // A page that goes makes room for one that comes, in one row.
        assert_eq!(written, u64::from(BATCH) + 1 + made.max(lost), "{name}: {made} pages made, {lost} lost");

        // One commit, which is one signature.
        let drafts = world.drain();
        let Ok([draft]) = <[Vec<u8>; 1]>::try_from(drafts) else { panic!("{name}: more than one event") };
        let Frame::Event { event: Event::Commit(commit), .. } =
            Frame::decode(&frame(&draft, Seq::FIRST).unwrap()).unwrap()
        else {
            panic!("{name}: no commit")
        };
        assert_eq!(number(commit.ops.len()), u64::from(BATCH));
        assert!(commit.blocks.len() < MAX_BLOCKS_BYTES, "{name}: {} bytes", commit.blocks.len());
        let known = Head { rev: head.rev, data: head.data };
        let now = verify_commit(&commit, Some(&known), &signing_key().verifying_key(), world.now).unwrap();
        assert_eq!(now.data, world.account.head().unwrap().data);
        println!("{name}: {written} rows, {made} pages, {} bytes of blocks", commit.blocks.len());
    }
    world.wake(true);
    world.assert_holds_the_model();
}

#[test]
fn a_commit_above_two_megabytes_is_refused_and_writes_nothing() {
    let mut world = World::new();
    let text = |n: u32| format!("{n:012000}");
    let (head, counts) = (world.account.head().unwrap(), world.store.counts());
    let refused = world.write((0..BATCH).map(|n| create(&key(n), &text(n))).collect());
    assert!(matches!(refused, Err(AccountError::CommitTooLarge)));
    assert_eq!(world.store.counts().written, counts.written);
    assert_eq!(world.account.head().unwrap(), head);
}

/// What anybody may ask for is bounded by bytes, not only by records: 64 of the largest were half an isolate's memory.
#[test]
fn what_is_read_of_large_records_at_a_time_is_bounded() {
    const RECORDS: u32 = 24;
    const BYTES: usize = 900_000;
    let mut world = World::new();
    for n in 0..RECORDS {
        world
            .write(vec![create(&format!("com.example.note/{n:02}"), &format!("{n}{}", "x".repeat(BYTES)))])
            .unwrap();
    }
    let collection = Nsid::parse("com.example.note").unwrap();
    let (mut listed, mut after) = (0, None);
    loop {
        let page = Listing { collection: &collection, limit: 100, after: after.as_ref(), ascending: true };
        let records = world.list(&page);
        let Some((last, _)) = records.last() else { break };
        assert!(records.len() <= 3, "{} records on a page", records.len());
        listed += records.len();
        after = Some(last.clone());
    }
    assert_eq!(number(listed), u64::from(RECORDS));
    world.assert_holds_the_model();

    let cids: Vec<_> = world.model.values().copied().collect();
    let written = world.store.counts().written;
    assert!(matches!(world.account.blocks(&cids), Err(AccountError::BlocksTooLarge)));
    assert_eq!(world.account.blocks(&cids[..4]).unwrap().missing, []);
    assert_eq!(world.store.counts().written, written);
}
