//! What has gone wrong elsewhere and only the real runtime can show: `docs/incidents.md` lists it all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::{Account, Client, Subscriber, World};
use serde_json::json;

/// Longer than workerd lets an idle object stay in memory (10 s).
const SLEEP: Duration = Duration::from_secs(14);

fn note(client: &Client, account: &Account, text: &str) {
    let record = json!({ "$type": "com.example.note", "text": text });
    let body = json!({ "repo": account.did, "collection": "com.example.note", "record": record });
    let _ = client.post("com.atproto.repo.createRecord", &body).ok();
}

/// Cirrus, issue 165: an upload was awaited inside the object, and a slow one failed its writes.
#[test]
fn regress_cirrus_165_a_slow_upload_holds_up_no_write() {
    let world = World::start();
    let alice = world.account("alice");
    let client = world.client().with_token(&alice.access);
    let mut upload = TcpStream::connect(world.address()).unwrap();
    write!(
        upload,
        "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {}\r\ncontent-type: text/plain\r\ncontent-length: 2000\r\n\r\n{}",
        alice.access,
        "x".repeat(1000)
    )
    .unwrap();
    (0..20).for_each(|n| note(&client, &alice, &format!("{n}")));
    upload.write_all("y".repeat(1000).as_bytes()).unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    note(&client, &alice, "and on");
}

/// Cirrus, issue 131: an export was gathered in memory, and a large repository was more than there is.
#[test]
fn regress_cirrus_131_exports_that_nobody_reads_take_no_memory() {
    /// Records of this size, so many: 60 MB.
    const SIZE: usize = 120_000;
    const RECORDS: usize = 500;
    /// Readers that take the beginning and no more. The kernel takes some megabytes for each, and what has passed through
    /// on its way there is not at once given back; the rest of the export must not have been made.
    const READERS: usize = 16;
    let world = World::start();
    let alice = world.account("alice");
    let client = world.client().with_token(&alice.access);
    (0..RECORDS).for_each(|n| note(&client, &alice, &format!("{n} {}", "x".repeat(SIZE))));
    let before = world.resident_bytes();
    let readers: Vec<TcpStream> = (0..READERS)
        .map(|_| {
            let mut reader = TcpStream::connect(world.address()).unwrap();
            let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", alice.did);
            write!(reader, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
            reader.read_exact(&mut [0; 64 * 1024]).unwrap();
            reader
        })
        .collect();
    note(&client, &alice, "writes go on");
    let grown = world.resident_bytes().saturating_sub(before);
    let whole = READERS * SIZE * RECORDS;
    println!(
        "{READERS} exports of {} MB, stopped: {} MB more resident",
        SIZE * RECORDS / 1_000_000,
        grown / 1_000_000
    );
    assert!(grown < whole / 4, "{} MB", grown / 1_000_000);
    drop(readers);
    let whole = client.get("com.atproto.sync.getRepo", &[("did", &alice.did)]).ok();
    assert!(whole.body.len() > SIZE * RECORDS);
}

/// workerd, issue 6862: two sockets that were accepted at once kept an object from ever hibernating, which is billed.
#[test]
fn regress_workerd_6862_an_object_with_racing_sockets_goes_to_sleep() {
    let world = World::start();
    let alice = world.account("alice");
    let client = world.client().with_token(&alice.access);
    let address = world.address();
    let mut readers: Vec<_> = thread::scope(|scope| {
        let connect = || Subscriber::connect(&address, "/xrpc/com.atproto.sync.subscribeRepos?cursor=0");
        let race: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        race.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    readers.iter_mut().for_each(|reader| drop(reader.until(4)));
    let statements = || {
        let rows = world.client().path("/test/rows?object=relay&name=host").ok().json();
        rows["statements"].as_u64().unwrap()
    };
    assert!(statements() > 0);
    // Nothing tells that an object has gone to sleep but that it begins to count anew; asking would keep it awake.
    thread::sleep(SLEEP);
    assert_eq!(statements(), 0, "the relay stayed awake");
    let asked = Instant::now();
    note(&client, &alice, "good morning");
    readers.iter_mut().for_each(|reader| drop(reader.until(5)));
    println!("asleep with {} sockets, and awake in {:.1?}", readers.len(), asked.elapsed());
}

/// Cirrus, measured in November 2026: a replay gave 1,000 of 1,310 events and went live, with a gap of 300.
#[test]
fn regress_cirrus_a_replay_of_1310_events_has_no_gap() {
    const EVENTS: usize = 1_310;
    let world = World::start();
    let alice = world.account("alice");
    thread::scope(|scope| {
        for part in 0..10 {
            let (client, alice) = (world.client().with_token(&alice.access), &alice);
            scope.spawn(move || (0..EVENTS / 10).for_each(|n| note(&client, alice, &format!("{part} {n}"))));
        }
    });
    let last = i128::try_from(EVENTS + 4).unwrap();
    let frames = world.subscribe(Some(0)).until(last);
    let seqs: Vec<_> = frames.iter().filter_map(murmuration_tests::Frame::seq).collect();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
}
