//! Records and blobs that the operator takes down, and what becomes of them when their owner deletes them.

use std::collections::BTreeMap;

use murmuration_account::{AccountError, Blob, Listing, Write, WriteRequest};
use murmuration_data::{Cid, Ipld, cid_of_raw};
use murmuration_platform::Store;

use crate::common::{World, contents, create, delete, path, put, record, value};

const DAY: u64 = 86_400_000_000;
const NOTE: &str = "com.example.note";

fn shown(world: &World) -> Vec<String> {
    let collection = NOTE.parse().unwrap();
    let list = |ascending| {
        let page = Listing { collection: &collection, limit: 10, after: None, ascending };
        world.list(&page).into_iter().map(|(rkey, _)| rkey.to_string()).collect::<Vec<_>>()
    };
    let (up, mut down) = (list(true), list(false));
    down.reverse();
    assert_eq!(up, down);
    up
}

fn upload(world: &World, bytes: &[u8], key: &str) -> Result<(Cid, String), AccountError> {
    let (cid, size) = (cid_of_raw(bytes), u64::try_from(bytes.len()).unwrap());
    let blob = Blob { cid, key: key.into(), mime_type: "image/png".into(), size };
    world.account.expect_blob(key, world.now, DAY).unwrap();
    world.account.add_blob(&blob, world.now).map(|key| (cid, key))
}

fn image(at: &str, cid: Cid) -> Write {
    let blob = Ipld::Map(BTreeMap::from([
        ("$type".to_owned(), Ipld::String("blob".into())),
        ("ref".to_owned(), Ipld::Link(cid)),
        ("mimeType".to_owned(), Ipld::String("image/png".into())),
        ("size".to_owned(), Ipld::Integer(5)),
    ]));
    Write::Put {
        path: path(at),
        value: value(&Ipld::Map(BTreeMap::from([("image".to_owned(), blob)]))),
        swap: None,
    }
}

/// A call is admitted, and then waits for its turn: what comes meanwhile counts.
#[test]
fn nothing_is_committed_to_an_account_that_is_not_active() {
    let mut world = World::new();
    world.write(vec![create(&format!("{NOTE}/a"), "a")]).unwrap();
    for inactive in [true, false] {
        let rest = |on: bool| {
            world.account.edit(&[], world.now, |profile| {
                if inactive {
                    profile.deactivated = on;
                } else {
                    profile.takedown = on.then(|| "case 3".to_owned());
                }
            })
        };
        rest(true).unwrap();
        let written = world.store.counts().written;
        let head = world.account.head().unwrap();
        let writes =
            || WriteRequest { writes: vec![put(&format!("{NOTE}/a"), "b")], ..WriteRequest::default() };
        let refused = world.account.write(&[writes(), writes()], world.now + 1);
        assert!(
            refused.iter().all(|refused| matches!(refused, Err(AccountError::Inactive(_)))),
            "{refused:?}"
        );
        assert_eq!((world.account.head().unwrap(), world.store.counts().written), (head, written));
        rest(false).unwrap();
    }
    world.write(vec![put(&format!("{NOTE}/a"), "c")]).unwrap();
}

#[test]
fn a_record_that_is_taken_down_is_in_the_repository_and_in_no_list() {
    let mut world = World::new();
    for rkey in ["a", "b", "c"] {
        world.write(vec![create(&format!("{NOTE}/{rkey}"), rkey)]).unwrap();
    }
    let (at, head) = (path(&format!("{NOTE}/b")), world.account.head().unwrap());
    let cid = world.model[&at.to_string()];
    assert!(world.account.take_record_down(&at, Some("case 1")).unwrap());
    assert_eq!(world.account.record_takedown(&at).unwrap(), Some((cid, Some("case 1".into()))));
    assert_eq!((world.account.record(&at).unwrap(), shown(&world)), (None, vec!["a".into(), "c".into()]));
    world.wake(true);
    assert_eq!((world.account.record(&at).unwrap(), shown(&world)), (None, vec!["a".into(), "c".into()]));
    assert_eq!(world.account.head().unwrap(), head);
    assert_eq!(contents(&world.export()), world.model);
    let block = world.account.blocks(&[cid]).unwrap();
    assert!(block.missing.is_empty());
    assert!(world.account.take_record_down(&at, None).unwrap());
    assert_eq!(world.account.record_takedown(&at).unwrap(), Some((cid, None)));
    assert_eq!(shown(&world), ["a", "b", "c"]);
}

#[test]
fn a_record_stays_down_when_it_is_changed_and_not_when_it_is_deleted() {
    let mut world = World::new();
    let (text, at) = (format!("{NOTE}/a"), path(&format!("{NOTE}/a")));
    assert!(!world.account.take_record_down(&at, Some("x")).unwrap(), "there is none yet");
    world.write(vec![put(&text, "one")]).unwrap();
    assert!(world.account.take_record_down(&at, Some("x")).unwrap());
    world.write(vec![put(&text, "two")]).unwrap();
    assert_eq!(world.account.record(&at).unwrap(), None);
    world.write(vec![delete(&text)]).unwrap();
    assert_eq!(world.account.record_takedown(&at).unwrap(), None);
    world.write(vec![put(&text, "three")]).unwrap();
    assert!(world.account.record(&at).unwrap().is_some());
    world.assert_holds_the_model();
}

#[test]
fn the_same_value_elsewhere_survives_the_deletion_of_a_record_that_is_taken_down() {
    let mut world = World::new();
    world.write(vec![create(&format!("{NOTE}/a"), "same"), create(&format!("{NOTE}/b"), "same")]).unwrap();
    let cid = world.model[&format!("{NOTE}/a")];
    world.account.take_record_down(&path(&format!("{NOTE}/a")), Some("x")).unwrap();
    assert_eq!(world.account.record(&path(&format!("{NOTE}/b"))).unwrap().unwrap().cid, cid);
    world.write(vec![delete(&format!("{NOTE}/a"))]).unwrap();
    assert!(world.account.blocks(&[cid]).unwrap().missing.is_empty());
    assert_eq!(shown(&world), ["b"]);
    world.assert_holds_the_model();
}

#[test]
fn a_blob_in_quarantine_is_read_by_nobody_else_referred_to_by_nothing_new_and_never_uploaded_again() {
    let mut world = World::new();
    let (cid, _) = upload(&world, b"bytes", "k1").unwrap();
    world.write(vec![image(&format!("{NOTE}/a"), cid)]).unwrap();
    assert!(world.account.take_blob_down(&cid, Some("case 2"), world.now).unwrap());
    assert_eq!(world.account.blob_takedown(&cid).unwrap(), Some(Some("case 2".into())));
    assert_eq!(world.account.blob(&cid, false).unwrap(), None);
    assert_eq!(world.account.blob(&cid, true).unwrap().unwrap().key, "k1");
    assert_eq!(world.account.blobs(None, None, 10).unwrap(), [cid], "its record refers to it");
    assert!(matches!(upload(&world, b"bytes", "k2"), Err(AccountError::BlobTakendown)));
    let head = world.account.head().unwrap();
    let again = world.write(vec![image(&format!("{NOTE}/b"), cid)]);
    assert!(matches!(again, Err(AccountError::NoSuchBlob(_))));
    assert_eq!(world.account.head().unwrap(), head);
    assert!(world.account.take_blob_down(&cid, None, world.now).unwrap());
    assert_eq!(world.account.blob(&cid, false).unwrap().unwrap().key, "k1");
    world.write(vec![image(&format!("{NOTE}/b"), cid)]).unwrap();
    assert_eq!(upload(&world, b"bytes", "k2").unwrap().1, "k1");
}

#[test]
fn the_bytes_of_a_blob_in_quarantine_outlive_its_records() {
    let mut world = World::new();
    let (cid, _) = upload(&world, b"bytes", "k1").unwrap();
    world.write(vec![image(&format!("{NOTE}/a"), cid)]).unwrap();
    world.account.take_blob_down(&cid, Some("x"), world.now).unwrap();
    world.write(vec![delete(&format!("{NOTE}/a"))]).unwrap();
    assert!(world.account.condemned_blobs(world.now + 9 * DAY, DAY).unwrap().is_empty());
    assert_eq!(world.account.next_sweep(DAY).unwrap(), None, "no alarm for what is kept");
    assert_eq!(world.account.blob(&cid, true).unwrap().unwrap().key, "k1");
    assert!(matches!(upload(&world, b"bytes", "k2"), Err(AccountError::BlobTakendown)));
    world.account.blobs_touched().unwrap();
    world.account.take_blob_down(&cid, None, world.now).unwrap();
    assert!(world.account.blobs_touched().unwrap());
    assert_eq!(world.account.condemned_blobs(world.now, DAY).unwrap(), [(cid, "k1".into())]);
    world.account.forget_blob(&cid, "k1").unwrap();
    assert_eq!(world.account.blob_takedown(&cid).unwrap(), None);
    assert_eq!(upload(&world, b"bytes", "k3").unwrap().1, "k3");
}

#[test]
fn an_upload_in_quarantine_waits_for_its_record_when_that_is_lifted() {
    let mut world = World::new();
    let (cid, _) = upload(&world, b"bytes", "k1").unwrap();
    assert!(!world.account.take_blob_down(&cid_of_raw(b"other"), Some("x"), world.now).unwrap());
    world.account.take_blob_down(&cid, Some("x"), world.now).unwrap();
    assert!(world.account.condemned_blobs(world.now + 2 * DAY, DAY).unwrap().is_empty());
    world.now += 2 * DAY;
    world.account.take_blob_down(&cid, None, world.now).unwrap();
    assert!(world.account.condemned_blobs(world.now + DAY - 1, DAY).unwrap().is_empty());
    world.write(vec![image(&format!("{NOTE}/a"), cid)]).unwrap();
    assert_eq!(world.account.blob(&cid, false).unwrap().unwrap().key, "k1");
}

#[test]
fn an_account_knows_since_when_it_is_as_it_is() {
    let mut world = World::new();
    let since = |world: &World| {
        let profile = world.account.profile().unwrap();
        (profile.since().email_confirmed, profile.since().deactivated)
    };
    let made = world.now;
    assert_eq!(since(&world), (None, None));
    world.account.edit(&[], made + 1, |profile| profile.email_confirmed = true).unwrap();
    world.account.edit(&[], made + 2, |profile| profile.deactivated = true).unwrap();
    world.account.edit(&[], made + 3, |profile| profile.takedown = Some("x".into())).unwrap();
    world.wake(true);
    assert_eq!(since(&world), (Some(made + 1), Some(made + 2)));
    assert_eq!(world.account.profile().unwrap().since().created, made);
    assert!(world.account.profile().unwrap().email_confirmed);
    world.account.edit(&[], made + 4, |profile| profile.deactivated = false).unwrap();
    assert_eq!(since(&world), (Some(made + 1), None));
}

/// Takes back what later versions have added, as if an account had slept since the first.
#[test]
fn an_account_whose_tables_are_of_the_first_version_is_brought_up_to_date() {
    let mut world = World::new();
    world.write(vec![create(&format!("{NOTE}/a"), "one")]).unwrap();
    // The last first: what they add to is gone before it.
    let added = concat!(
        include_str!("../../../migrations/agent/0022_behind_floor.sql"),
        include_str!("../../../migrations/agent/0019_apart.sql"),
        include_str!("../../../migrations/agent/0018_embedding.sql"),
        include_str!("../../../migrations/agent/0017_held_thread.sql"),
        include_str!("../../../migrations/agent/0016_thread.sql"),
        include_str!("../../../migrations/agent/0015_upkeep.sql"),
        include_str!("../../../migrations/agent/0014_share.sql"),
        include_str!("../../../migrations/agent/0013_memory.sql"),
        include_str!("../../../migrations/agent/0012_handed_key.sql"),
        include_str!("../../../migrations/agent/0011_late_receipt.sql"),
        include_str!("../../../migrations/agent/0010_dropped.sql"),
        include_str!("../../../migrations/agent/0009_named_epoch.sql"),
        include_str!("../../../migrations/agent/0008_peer.sql"),
        include_str!("../../../migrations/agent/0007_kept_key.sql"),
        include_str!("../../../migrations/agent/0006_comms.sql"),
        include_str!("../../../migrations/agent/0005_key_epoch.sql"),
        include_str!("../../../migrations/agent/0004_digest.sql"),
        include_str!("../../../migrations/agent/0003_document.sql"),
        include_str!("../../../migrations/agent/0002_whole_account.sql"),
    );
    for line in added.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let undo = match words[..] {
            ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..] => {
                format!("ALTER TABLE {table} DROP COLUMN {}", column.trim_end_matches(';'))
            }
            ["CREATE", "TABLE", table, ..] => format!("DROP TABLE {table}"),
            _ => continue,
        };
        world.store.query(&undo, &[]).unwrap();
    }
    world.store.query("UPDATE account SET schema = 1", &[]).unwrap();
    world.wake(true);
    assert_eq!(world.account.profile().unwrap().handle.as_str(), "alice.test");
    let at = path(&format!("{NOTE}/a"));
    // It has no digest, and is hashed.
    assert_eq!(world.account.record(&at).unwrap().unwrap().cid, value(&record("one")).cid());
    world.assert_holds_the_model();
    assert!(world.account.take_record_down(&at, Some("x")).unwrap());
    assert_eq!(world.account.record(&at).unwrap(), None);
    world.assert_holds_the_model();
}
