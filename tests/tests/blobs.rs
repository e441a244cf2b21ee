//! The bytes of blobs: stored once, served while a record refers to them, and gone when nobody does.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::{Account, Client, Setup, World};
use serde_json::{Value, json};

/// Within this time the alarm has collected what it should: it is due after a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// An upload that has arrived is expected for so long.
const EXPECTED: Duration = Duration::from_secs(31);

/// A world in which an upload waits one second for a record.
fn world() -> World {
    Setup::new().variable("BLOB_PATIENCE_SECONDS", "1").start()
}

fn upload(client: &Client, bytes: &[u8]) -> Value {
    client.post_bytes("com.atproto.repo.uploadBlob", "text/plain", bytes).ok().json()["blob"].clone()
}

fn refer(client: &Client, account: &Account, rkey: &str, blob: &Value) {
    let record = json!({ "$type": "com.example.file", "file": blob });
    let body =
        json!({ "repo": account.did, "collection": "com.example.file", "rkey": rkey, "record": record });
    let _ = client.post("com.atproto.repo.putRecord", &body).ok();
}

fn forget(client: &Client, account: &Account, rkey: &str) {
    let body = json!({ "repo": account.did, "collection": "com.example.file", "rkey": rkey });
    let _ = client.post("com.atproto.repo.deleteRecord", &body).ok();
}

fn status(client: &Client, account: &Account, blob: &Value) -> u16 {
    let cid = blob["ref"]["$link"].as_str().unwrap();
    client.get("com.atproto.sync.getBlob", &[("did", &account.did), ("cid", cid)]).status
}

/// Files of a folder and those below it.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[track_caller]
fn await_files(world: &World, count: usize) {
    await_files_for(world, count, PATIENCE);
}

#[track_caller]
fn await_files_for(world: &World, count: usize, patience: Duration) {
    let end = Instant::now() + patience;
    while files(&world.folder().join("blobs")) != count {
        assert!(Instant::now() < end, "{} files, not {count}", files(&world.folder().join("blobs")));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_alarm_collects_uploads_that_no_record_came_for() {
    let world = world();
    let account = world.account("alice");
    let client = world.client().with_token(&account.access);
    let kept = upload(&client, b"kept");
    refer(&client, &account, "kept", &kept);
    let waiting = upload(&client, b"nobody comes for this");
    assert_eq!(status(&client, &account, &waiting), 400);
    await_files(&world, 1);
    assert_eq!(status(&client, &account, &kept), 200);
    // Collected: a record may no longer refer to it.
    let record = json!({ "$type": "com.example.file", "file": waiting });
    let body = json!({ "repo": account.did, "collection": "com.example.file", "record": record });
    let refused = client.post("com.atproto.repo.createRecord", &body);
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("BlobNotFound")));
}

#[test]
fn an_upload_that_nobody_came_to_note_leaves_no_bytes() {
    let world = world();
    let account = world.account("alice");
    let client = world.client().with_token(&account.access);
    let path = format!("/test/break-take?object=agent&name={}&when=before", account.did);
    let _ = client.path(&path).ok();
    let lost = client.post_bytes("com.atproto.repo.uploadBlob", "text/plain", b"lost on the way");
    assert_eq!(lost.status, 500, "{}", lost.text());
    assert_eq!(files(&world.folder().join("blobs")), 1, "the object died before the bytes were there");
    await_files_for(&world, 0, EXPECTED + PATIENCE);
    // It can be uploaded again.
    let blob = upload(&client, b"lost on the way");
    refer(&client, &account, "found", &blob);
    assert_eq!(status(&client, &account, &blob), 200);
}

#[test]
fn the_alarm_collects_what_the_last_record_has_let_go() {
    let world = world();
    let account = world.account("alice");
    let client = world.client().with_token(&account.access);
    let blob = upload(&client, b"shared by two records");
    refer(&client, &account, "one", &blob);
    refer(&client, &account, "two", &blob);
    forget(&client, &account, "one");
    assert_eq!(status(&client, &account, &blob), 200);
    forget(&client, &account, "two");
    assert_eq!(status(&client, &account, &blob), 400);
    await_files(&world, 0);
    // The same bytes can come back.
    refer(&client, &account, "three", &upload(&client, b"shared by two records"));
    assert_eq!(status(&client, &account, &blob), 200);
}
