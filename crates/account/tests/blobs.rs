//! The life of a blob: uploaded, referenced, dereferenced, collected.

use std::collections::BTreeMap;

use murmuration_account::{AccountError, Blob, Write};
use murmuration_data::{Cid, Ipld, cid_of_raw};

use crate::common::{World, delete, path, value};

const DAY: u64 = 86_400_000_000;

fn upload(world: &World, bytes: &[u8], key: &str) -> Cid {
    let cid = cid_of_raw(bytes);
    let size = u64::try_from(bytes.len()).unwrap();
    let blob = Blob { cid, key: key.into(), mime_type: "image/png".into(), size };
    world.account.expect_blob(key, world.now, DAY).unwrap();
    world.account.add_blob(&blob, world.now).unwrap();
    cid
}

fn image(at: &str, cid: Cid, mime: &str, size: i128) -> Write {
    let blob = Ipld::Map(BTreeMap::from([
        ("$type".to_owned(), Ipld::String("blob".into())),
        ("ref".to_owned(), Ipld::Link(cid)),
        ("mimeType".to_owned(), Ipld::String(mime.into())),
        ("size".to_owned(), Ipld::Integer(size)),
    ]));
    let record = Ipld::Map(BTreeMap::from([("image".to_owned(), blob)]));
    Write::Put { path: path(at), value: value(&record), swap: None }
}

#[test]
fn a_blob_can_be_read_only_while_a_record_refers_to_it() {
    let mut world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    assert_eq!(world.account.blob(&cid, false).unwrap(), None);
    world.write(vec![image("com.example.note/a", cid, "image/png", 5)]).unwrap();
    world.write(vec![image("com.example.note/b", cid, "image/png", 5)]).unwrap();
    assert_eq!(world.account.blob(&cid, false).unwrap().unwrap().key, "k1");
    assert_eq!(world.account.blobs(None, None, 10).unwrap(), [cid]);
    world.write(vec![delete("com.example.note/a")]).unwrap();
    assert!(world.account.blob(&cid, false).unwrap().is_some());
    world.write(vec![delete("com.example.note/b")]).unwrap();
    assert_eq!(world.account.blob(&cid, false).unwrap(), None);
    assert_eq!(world.account.condemned_blobs(world.now, DAY).unwrap(), [(cid, "k1".into())]);
    world.account.forget_blob(&cid, "k1").unwrap();
    assert!(world.account.condemned_blobs(world.now, DAY).unwrap().is_empty());
}

#[test]
fn a_record_may_not_refer_to_a_blob_that_is_not_as_it_says() {
    let mut world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    let head = world.account.head().unwrap();
    let unknown = world.write(vec![image("com.example.note/a", cid_of_raw(b"other"), "image/png", 5)]);
    assert!(matches!(unknown, Err(AccountError::NoSuchBlob(_))));
    let mime = world.write(vec![image("com.example.note/a", cid, "image/jpeg", 5)]);
    assert!(matches!(mime, Err(AccountError::BlobType { .. })));
    let size = world.write(vec![image("com.example.note/a", cid, "image/png", 6)]);
    assert!(matches!(size, Err(AccountError::BlobSize { stored: 5, referenced: 6 })));
    assert_eq!(world.account.head().unwrap(), head);
}

#[test]
fn an_upload_that_no_record_came_for_is_collected_after_its_time() {
    let world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    assert!(world.account.blobs_touched().unwrap());
    assert_eq!(world.account.next_sweep(DAY).unwrap(), Some(world.now + DAY));
    assert!(world.account.condemned_blobs(world.now + DAY - 1, DAY).unwrap().is_empty());
    assert_eq!(world.account.condemned_blobs(world.now + DAY, DAY).unwrap(), [(cid, "k1".into())]);
    world.account.forget_blob(&cid, "k1").unwrap();
    assert_eq!(world.account.next_sweep(DAY).unwrap(), None);
}

#[test]
fn bytes_that_cannot_be_deleted_are_in_nobodys_way_and_tried_again_later() {
    let mut world = World::new();
    let cids: Vec<Cid> = (0..120_u8).map(|n| upload(&world, &[n], &format!("k{n}"))).collect();
    let now = world.now + DAY;
    // The bytes of the first fifty, a whole sweep, never go.
    let (mut gone, mut sweeps) = (0, 0);
    while world.account.next_sweep(DAY).unwrap().is_some_and(|at| at <= now) {
        sweeps += 1;
        assert!(sweeps < 10, "a blob that stays is tried again and again");
        for (cid, key) in world.account.condemned_blobs(now, DAY).unwrap() {
            if key[1..].parse::<u8>().unwrap() < 50 {
                world.account.put_blob_off(&cid, &key, now).unwrap();
            } else {
                world.account.forget_blob(&cid, &key).unwrap();
                gone += 1;
            }
        }
    }
    assert_eq!(gone, cids.len() - 50);
    let again = world.account.next_sweep(DAY).unwrap().unwrap();
    assert!(again > now);
    assert!(world.account.condemned_blobs(again - 1, DAY).unwrap().is_empty());
    assert_eq!(world.account.condemned_blobs(again, DAY).unwrap().len(), 50);
    // One that is uploaded again meanwhile is as new.
    world.now = again;
    upload(&world, &[0], "new");
    world.account.put_blob_off(&cids[0], "k0", again).unwrap();
    assert_eq!(world.account.condemned_blobs(again, DAY).unwrap().len(), 49);
}

#[test]
fn an_upload_while_the_old_bytes_are_being_deleted_is_saved() {
    let mut world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    world.write(vec![image("com.example.note/a", cid, "image/png", 5)]).unwrap();
    world.write(vec![delete("com.example.note/a")]).unwrap();
    let condemned = world.account.condemned_blobs(world.now, DAY).unwrap();
    // The bytes under k1 are being deleted; meanwhile the blob is uploaded again and referenced.
    upload(&world, b"bytes", "k2");
    world.write(vec![image("com.example.note/b", cid, "image/png", 5)]).unwrap();
    world.account.forget_blob(&condemned[0].0, &condemned[0].1).unwrap();
    assert_eq!(world.account.blob(&cid, false).unwrap().unwrap().key, "k2");
}

#[test]
fn the_bytes_of_an_upload_of_which_nothing_came_are_deleted_and_count_no_more() {
    let world = World::new();
    let account = &world.account;
    account.expect_blob("k1", world.now, DAY).unwrap();
    let due = world.now + DAY;
    assert_eq!(account.memory_blob_due().unwrap(), Some(due));
    assert!(account.memory_blobs_due(due - 1, 10).unwrap().is_empty());
    assert_eq!(account.memory_blobs_due(due, 10).unwrap(), ["k1"]);
    // It comes back after all, while its bytes are being deleted, and when they are gone.
    let cid = cid_of_raw(b"bytes");
    let late = Blob { cid, key: "k1".into(), mime_type: "image/png".into(), size: 5 };
    assert!(matches!(account.add_blob(&late, due), Err(AccountError::UploadLate)));
    account.memory_blob_gone("k1").unwrap();
    assert!(matches!(account.add_blob(&late, due), Err(AccountError::UploadLate)));
    assert_eq!((account.next_sweep(DAY).unwrap(), account.memory_blob_due().unwrap()), (None, None));
}

#[test]
fn of_two_uploads_of_the_same_the_bytes_that_do_not_count_are_deleted() {
    let mut world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    assert_eq!(world.account.memory_blob_due().unwrap(), None);
    upload(&world, b"bytes", "k2");
    assert_eq!(world.account.memory_blobs_due(world.now + DAY, 10).unwrap(), ["k2"]);
    world.account.memory_blob_gone("k2").unwrap();
    // Condemned, and uploaded again before the sweep has come: it goes by the row, which names the new bytes.
    world.write(vec![image("com.example.note/a", cid, "image/png", 5)]).unwrap();
    world.write(vec![delete("com.example.note/a")]).unwrap();
    upload(&world, b"bytes", "k3");
    assert!(world.account.condemned_blobs(world.now, DAY).unwrap().is_empty());
    assert_eq!(world.account.memory_blobs_due(world.now, 10).unwrap(), ["k1"]);
}

#[test]
fn a_condemned_blob_cannot_be_referenced_without_a_new_upload() {
    let mut world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    world.write(vec![image("com.example.note/a", cid, "image/png", 5)]).unwrap();
    world.write(vec![delete("com.example.note/a")]).unwrap();
    let again = world.write(vec![image("com.example.note/a", cid, "image/png", 5)]);
    assert!(matches!(again, Err(AccountError::NoSuchBlob(_))));
}

#[test]
fn a_second_upload_of_a_referenced_blob_keeps_the_first_bytes() {
    let mut world = World::new();
    let cid = upload(&world, b"bytes", "k1");
    world.write(vec![image("com.example.note/a", cid, "image/png", 5)]).unwrap();
    let size = 5;
    let blob = Blob { cid, key: "k2".into(), mime_type: "image/png".into(), size };
    assert_eq!(world.account.add_blob(&blob, world.now).unwrap(), "k1");
    assert_eq!(world.account.blob(&cid, false).unwrap().unwrap().key, "k1");
}

#[test]
fn blobs_are_listed_in_pages_and_since_a_revision() {
    let mut world = World::new();
    let mut cids: Vec<Cid> = (0..5_u8).map(|n| upload(&world, &[n], &format!("k{n}"))).collect();
    for (n, cid) in cids.iter().enumerate() {
        world.write(vec![image(&format!("com.example.note/a{n}"), *cid, "image/png", 1)]).unwrap();
    }
    let since = world.account.head().unwrap().rev;
    let late = upload(&world, b"late", "late");
    world.write(vec![image("com.example.note/late", late, "image/png", 4)]).unwrap();
    assert_eq!(world.account.blobs(Some(since), None, 10).unwrap(), [late]);
    cids.push(late);
    cids.sort_by_key(Cid::to_bytes);
    let first = world.account.blobs(None, None, 4).unwrap();
    let rest = world.account.blobs(None, first.last(), 4).unwrap();
    assert_eq!([first, rest].concat(), cids);
}
