//! The stream's order, its replays, its window: what readers see of the sequencer, over restarts and panics.

use std::thread;
use std::time::{Duration, Instant};

use murmuration_firehose::{Event, Frame, Head, verify_commit, verify_sync};
use murmuration_keys::VerifyingKey;
use murmuration_tests::{Account, Client, Setup, Subscriber, World, scaled};
use serde_json::{Value, json};

/// Commits before a replay begins (`cargo xtask soak`: a hundred thousand), from so many accounts.
const EVENTS: u64 = 2_000;
const WRITERS: usize = 16;
/// Readers that replay at once.
const REPLAYS: usize = 3;
/// Events that a new account makes: identity, account, commit, sync.
const BIRTH: i128 = 4;

fn create(client: &Client, did: &str, text: &str) {
    let record =
        json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-11-23T04:00:00.000Z" });
    let body =
        json!({ "repo": did, "collection": "app.bsky.feed.post", "validate": false, "record": record });
    let _ = client.post("com.atproto.repo.createRecord", &body).ok();
}

fn author(world: &World, name: &str) -> (Account, Client) {
    let account = world.account(name);
    let client = world.client().with_token(&account.access);
    (account, client)
}

fn connect(world: &World, query: &str) -> Subscriber {
    Subscriber::connect(&world.address(), &format!("/xrpc/com.atproto.sync.subscribeRepos{query}"))
}

fn decoded(frame: &murmuration_tests::Frame) -> Frame {
    Frame::decode(&frame.bytes).unwrap()
}

fn seqs(frames: &[murmuration_tests::Frame]) -> Vec<i128> {
    frames.iter().filter_map(murmuration_tests::Frame::seq).collect()
}

/// The account's signing key, as the PLC server knows it.
fn signing_key(world: &World, did: &str) -> VerifyingKey {
    let data: Value = Client::new(world.plc_url()).path(&format!("/{did}/data")).ok().json();
    VerifyingKey::from_did_key(data["verificationMethods"]["atproto"].as_str().unwrap()).unwrap()
}

#[test]
fn an_account_begins_with_its_events_and_every_commit_verifies() {
    let world = World::start();
    let (alice, client) = author(&world, "alice");
    for count in 0..12 {
        create(&client, &alice.did, &format!("post {count}"));
    }
    let frames = world.subscribe(Some(0)).until(BIRTH + 12);
    let kinds: Vec<&str> = frames.iter().map(murmuration_tests::Frame::kind).collect();
    assert_eq!(kinds[..4], ["#identity", "#account", "#commit", "#sync"]);
    assert!(kinds[4..].iter().all(|kind| *kind == "#commit"));
    assert_eq!(seqs(&frames), (1..=BIRTH + 12).collect::<Vec<_>>());

    let key = signing_key(&world, &alice.did);
    let mut known: Option<Head> = None;
    for frame in &frames {
        match decoded(frame) {
            Frame::Event { event: Event::Commit(event), .. } => {
                let now = murmuration_syntax::datetime::micros(event.time.as_str()).unwrap();
                let head = verify_commit(&event, known.as_ref(), &key, u64::try_from(now).unwrap()).unwrap();
                assert_eq!(event.since, known.map(|known| known.rev));
                known = Some(head);
            }
            Frame::Event { event: Event::Sync(event), .. } => {
                let head = verify_sync(&event, known.as_ref(), &key, u64::MAX / 2).unwrap();
                assert_eq!(Some(head), known, "the sync says where the commit has led");
            }
            _ => {}
        }
    }
}

#[test]
fn every_cursor_gets_what_it_asks_for() {
    let world = World::start();
    let (alice, client) = author(&world, "alice");
    for count in 0..20 {
        create(&client, &alice.did, &format!("post {count}"));
    }
    let last = BIRTH + 20;
    let all = world.subscribe(Some(0)).until(last);
    assert_eq!(seqs(&all), (1..=last).collect::<Vec<_>>());

    let mut live = connect(&world, "");
    let mut latest = connect(&world, &format!("?cursor={last}"));
    let mut middle = connect(&world, "?cursor=9");
    create(&client, &alice.did, "and now");
    assert_eq!(seqs(&live.until(last + 1)), [last + 1]);
    assert_eq!(seqs(&latest.until(last + 1)), [last + 1]);
    let replayed = middle.until(last + 1);
    assert_eq!(seqs(&replayed), (10..=last + 1).collect::<Vec<_>>());
    assert_eq!(replayed[..11], all[9..20], "a replay gives the same bytes");

    let cases = [
        (format!("?cursor={}", last + 2), "FutureCursor"),
        ("?cursor=9007199254740991".to_owned(), "FutureCursor"),
        ("?cursor=9007199254740992".to_owned(), "FutureCursor"),
        ("?cursor=99999999999999999999".to_owned(), "FutureCursor"),
        ("?cursor=soon".to_owned(), "InvalidRequest"),
    ];
    for (query, expected) in cases {
        let mut refused = connect(&world, &query);
        let frame = refused.frame().unwrap();
        assert!(matches!(decoded(&frame), Frame::Error { error, .. } if error == expected), "{query}");
        assert!(refused.frame().is_err(), "the stream is closed after an error");
    }
}

/// A replay from the beginning runs into what is written meanwhile, and on, with no gap and no repeat.
#[test]
fn a_long_replay_has_no_gap_and_no_repeat_while_writes_go_on() {
    let world = World::start();
    let events = scaled("SOAK_EVENTS", EVENTS);
    let started = Instant::now();
    let authors: Vec<_> = (0..WRITERS).map(|n| author(&world, &format!("author{n}"))).collect();
    let write = |part: &str, each: u64| {
        thread::scope(|scope| {
            for (account, client) in &authors {
                scope.spawn(move || {
                    (0..each).for_each(|n| create(client, &account.did, &format!("{part} {n}")))
                });
            }
        });
    };
    let writers = u64::try_from(WRITERS).unwrap();
    write("before", events / writers);
    let written = started.elapsed();
    let before = BIRTH * i128::from(writers) + i128::from(events / writers * writers);
    let meanwhile = (events / writers / 10).max(20);
    let last = before + i128::from(meanwhile * writers);
    let mut readers: Vec<_> = (0..REPLAYS).map(|_| world.subscribe(Some(0))).collect();
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| write("meanwhile", meanwhile));
        for reader in &mut readers {
            scope.spawn(move || {
                for expected in 1..=last {
                    assert_eq!(reader.frame().unwrap().seq(), Some(expected));
                }
            });
        }
    });
    println!(
        "{before} events written in {written:.1?}; {REPLAYS} replays of {last} events in {:.1?}",
        started.elapsed()
    );
}

#[test]
fn what_is_no_websocket_is_told_to_upgrade() {
    let world = World::start();
    let answer = world.client().path("/xrpc/com.atproto.sync.subscribeRepos");
    assert_eq!(answer.status, 426);
    assert!(answer.json()["error"].is_string());
}

#[test]
fn frames_are_not_compressed_for_who_offers_to_take_them_so() {
    let world = World::start();
    let (alice, client) = author(&world, "alice");
    let path = "/xrpc/com.atproto.sync.subscribeRepos?cursor=0";
    let (mut reader, agreed) = Subscriber::offering(&world.address(), path, "permessage-deflate");
    assert_eq!(agreed, None, "a compressor takes 300 kB a reader");
    create(&client, &alice.did, "as it is");
    assert_eq!(seqs(&reader.until(BIRTH + 1)), (1..=BIRTH + 1).collect::<Vec<_>>());
}

#[test]
fn readers_that_come_while_writes_go_on_miss_nothing() {
    let world = World::start();
    let (alice, alice_client) = author(&world, "alice");
    let (bob, bob_client) = author(&world, "bob");
    let writers = [(alice, alice_client), (bob, bob_client)].map(|(account, client)| {
        thread::spawn(move || {
            for count in 0..60 {
                create(&client, &account.did, &format!("{count} {}", "x".repeat(2_000)));
            }
        })
    });
    let last = 2 * BIRTH + 120;
    let mut readers = Vec::new();
    for _ in 0..12 {
        let mut reader = world.subscribe(Some(0));
        readers.push(thread::spawn(move || reader.until(last)));
        thread::sleep(Duration::from_millis(100));
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let reference = world.subscribe(Some(0)).until(last);
    assert_eq!(seqs(&reference), (1..=last).collect::<Vec<_>>());
    for reader in readers {
        assert_eq!(reader.join().unwrap(), reference);
    }
}

#[test]
fn a_replay_goes_on_when_the_instance_has_died() {
    let world = World::start();
    let (alice, client) = author(&world, "alice");
    for count in 0..40 {
        create(&client, &alice.did, &format!("{count} {}", "x".repeat(500_000)));
    }
    let last = BIRTH + 40;
    let mut reader = world.subscribe(Some(0));
    let mut frames = reader.until(3);
    for _ in 0..3 {
        // Its buffers are full by now, and the rest waits in the log.
        thread::sleep(Duration::from_secs(1));
        // A panic elsewhere takes the instance away under the replay. The alarm begins again.
        let _ = world.client().path("/test/panic?object=agent&name=other");
        let more = frames.last().unwrap().seq().unwrap() + 4;
        frames.extend(reader.until(more));
    }
    frames.extend(reader.until(last));
    assert_eq!(seqs(&frames), (1..=last).collect::<Vec<_>>());
}

#[test]
fn old_events_go_and_their_numbers_do_not_come_back() {
    let mut world = Setup::new().variable("FIREHOSE_RETENTION_SECONDS", "4").start();
    let (alice, client) = author(&world, "alice");
    for count in 0..10 {
        create(&client, &alice.did, &format!("post {count}"));
    }
    let last = BIRTH + 10;
    let _ = world.subscribe(Some(0)).until(last);
    thread::sleep(Duration::from_secs(6));
    for _ in 0..2 {
        // Nothing is left but the number.
        let mut outdated = connect(&world, "?cursor=3");
        let frame = outdated.frame().unwrap();
        assert!(matches!(decoded(&frame), Frame::Info { name, .. } if name == "OutdatedCursor"));
        let mut future = connect(&world, &format!("?cursor={}", last + 1));
        assert!(matches!(decoded(&future.frame().unwrap()), Frame::Error { .. }));
        world.kill_9();
        world.restart();
    }
    let mut outdated = connect(&world, "?cursor=3");
    let mut whole = connect(&world, "?cursor=0");
    let mut latest = connect(&world, &format!("?cursor={last}"));
    create(&client, &alice.did, "again");
    let frames = outdated.until(last + 1);
    assert_eq!((frames[0].kind(), seqs(&frames)), ("#info", vec![last + 1]));
    assert_eq!(seqs(&whole.until(last + 1)), [last + 1]);
    assert_eq!(seqs(&latest.until(last + 1)), [last + 1]);
}
