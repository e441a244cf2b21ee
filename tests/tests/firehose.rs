//! The host's own stream, where only the real runtime can show it: sleep, slow readers, and asking to be read.
//!
//! Frames, cursors and verification are held by the clients (`tests/clients`) and by `kill.rs`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_firehose::Frame;
use murmuration_tests::{Account, Client, Setup, Subscriber, Watcher, World};
use serde_json::{Value, json};

/// Records of this size fill what the kernel holds for a reader that does not read.
const LARGE: usize = 900_000;
/// So many fill it for certain: the kernel holds some megabytes on each side.
const LARGE_RECORDS: usize = 24;
/// Readers that do read, beside the one that does not.
const FAST_READERS: usize = 49;
/// Events that a reader which was live may lag behind (`murmuration_relay::limits::MAX_LAG_EVENTS`), and some more.
const LAG: usize = 2_100;

fn note(client: &Client, account: &Account, text: &str) {
    let record = json!({ "$type": "com.example.note", "text": text });
    let body = json!({ "repo": account.did, "collection": "com.example.note", "record": record });
    let _ = client.with_token(&account.access).post("com.atproto.repo.createRecord", &body).ok();
}

/// Reads until the stream has told of so many records.
fn read_until(watcher: &mut Watcher, subscriber: &mut Subscriber, account: &Account, count: usize) {
    while watcher.cursor() == 0 || watcher.repo(&account.did).records.len() < count {
        watcher.take(&subscriber.frame().unwrap().bytes);
    }
}

/// Reads every event behind `from` up to `last`: no gap, no repeat, no end before that.
fn follow(mut reader: Subscriber, from: i128, last: i128) {
    for expected in from + 1..=last {
        assert_eq!(reader.frame().unwrap().seq(), Some(expected));
    }
}

#[test]
fn sockets_outlive_the_relays_sleep() {
    let world = World::start();
    let alice = world.account("alice");
    let mut watcher = Watcher::new(&world);
    let mut live = world.subscribe(Some(0));
    for (text, count) in [("one", 1), ("two", 2), ("three", 3)] {
        note(&world.client(), &alice, text);
        read_until(&mut watcher, &mut live, &alice, count);
        world.evict("relay", "host");
        world.evict("agent", &alice.did);
    }
    let _ = watcher.compare(&world, &alice.did);
}

#[test]
fn one_reader_of_fifty_that_does_not_read_is_cut_and_the_others_miss_nothing() {
    let world = World::start();
    let alice = world.account("alice");
    let others: Vec<_> = ["ben", "cleo"].iter().map(|name| world.account(name)).collect();
    let mut watcher = Watcher::new(&world);
    let dids: Vec<_> = others.iter().chain([&alice]).map(|account| account.did.as_str()).collect();
    watcher.catch_up(&world, &dids);

    let mut slow = world.subscribe(Some(watcher.cursor()));
    note(&world.client(), &alice, "it is live");
    read_until(&mut watcher, &mut slow, &alice, 1);
    let text = "x".repeat(LARGE);
    let from = watcher.cursor();
    let load = || {
        (0..LARGE_RECORDS).for_each(|_| note(&world.client(), &alice, &text));
        thread::scope(|scope| {
            for account in &others {
                let client = world.client();
                scope.spawn(move || (0..LAG / 2).for_each(|_| note(&client, account, "small")));
            }
        });
    };
    // Whoever reads has everything while the slow one stands still.
    let beside = told(&world, from, &load);

    // What had been sent still arrives, in order; then the reason; then the end.
    let reason = loop {
        let frame = slow.frame().unwrap();
        if let Ok(Frame::Error { error, .. }) = Frame::decode(&frame.bytes) {
            break error;
        }
        watcher.take(&frame.bytes);
    };
    assert_eq!(reason, "ConsumerTooSlow");
    assert!(slow.frame().is_err());
    let seen = watcher.frames().len();
    watcher.catch_up(&world, &dids);
    assert!(watcher.frames().len() > seen + LAG / 2, "it had been sent nearly everything before it was cut");
    for did in dids {
        let _ = watcher.compare(&world, did);
    }
    // And nobody waits for it: without it the same takes about as long.
    let alone = told(&world, watcher.cursor(), &load);
    println!("{FAST_READERS} readers were told in {beside:.1?} beside a slow one, in {alone:.1?} without");
    assert!(beside < alone * 3, "{beside:?} beside a reader that does not read, {alone:?} without");
}

/// How long it takes until all readers were told of a load: large records of one account, and small ones of two others.
fn told(world: &World, from: i128, load: &dyn Fn()) -> Duration {
    let total = i128::try_from(LARGE_RECORDS + 2 * (LAG / 2)).unwrap();
    let fast: Vec<Subscriber> = (0..FAST_READERS).map(|_| world.subscribe(Some(from))).collect();
    let readers: Vec<_> =
        fast.into_iter().map(|reader| thread::spawn(move || follow(reader, from, from + total))).collect();
    let begun = Instant::now();
    load();
    for reader in readers {
        reader.join().unwrap();
    }
    begun.elapsed()
}

#[test]
fn relays_are_asked_to_crawl() {
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", relay.local_addr().unwrap());
    let asked = thread::spawn(move || read_request(&relay));
    let world = Setup::new().variable("RELAYS", &url).start();
    let _ = world.account("alice");
    let (line, body) = asked.join().unwrap();
    assert_eq!(line, "POST /xrpc/com.atproto.sync.requestCrawl HTTP/1.1");
    assert!(body["hostname"].as_str().unwrap().starts_with("localhost"), "{body}");
}

/// The first line and the body of the next request, which is answered.
fn read_request(listener: &TcpListener) -> (String, Value) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if first.is_empty() {
            line.clone_into(&mut first);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}")
        .unwrap();
    (first, serde_json::from_slice(&body).unwrap())
}
