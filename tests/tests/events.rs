//! `agent.relay.subscribeEvents` where only the real runtime can show it: the subprotocol, the way from the log to live,
//! sleep, and filters that change.

use std::thread;
use std::time::{Duration, Instant};

use murmuration_data::json;
use murmuration_lexicons::{Catalog, message, output};
use murmuration_tests::{Account, Client, Setup, Subscriber, World};
use serde_json::{Value, json as object};

const STREAM: &str = "agent.relay.subscribeEvents";
/// Events that a new account makes: identity, account, commit, sync.
const BIRTH: u64 = 4;

fn connect(world: &World, query: &str) -> Subscriber {
    Subscriber::connect(&world.address(), &format!("/xrpc/{STREAM}{query}"))
}

fn note(client: &Client, account: &Account, collection: &str, text: &str) {
    let record = object!({ "$type": collection, "text": text });
    let body = object!({ "repo": account.did, "collection": collection, "record": record });
    let _ = client.with_token(&account.access).post("com.atproto.repo.createRecord", &body).ok();
}

/// The payload of the next message, which is as the lexicon says.
fn payload(reader: &mut Subscriber) -> Value {
    let mut told = reader.json().unwrap();
    assert_eq!(told["$type"], "message", "{told}");
    let payload = told["payload"].take();
    let kind = payload["$type"].as_str().unwrap();
    message(Catalog::builtin(), STREAM, kind, &json::from_value(&payload).unwrap()).unwrap();
    payload
}

fn kind(payload: &Value) -> &str {
    payload["$type"].as_str().unwrap().strip_prefix(STREAM).unwrap()
}

/// The text of the one record that a commit has created, with its number.
fn record(reader: &mut Subscriber) -> (u64, String) {
    let payload = payload(reader);
    assert_eq!(kind(&payload), "#commit", "{payload}");
    let text = payload["ops"][0]["record"]["text"].as_str().unwrap_or_default().to_owned();
    (payload["seq"].as_u64().unwrap(), text)
}

/// Changes what a reader wants, and reads up to where that holds.
fn want(reader: &mut Subscriber, filter: &Value) -> Vec<Value> {
    let mut filter = filter.clone();
    filter["$type"] = format!("{STREAM}#filter").into();
    reader.send(&object!({ "$type": "message", "payload": filter }).to_string());
    let mut before = Vec::new();
    loop {
        let payload = payload(reader);
        if payload["name"] == "FilterChanged" {
            return before;
        }
        before.push(payload);
    }
}

fn refused(mut reader: Subscriber, error: &str) {
    let told = reader.json().unwrap();
    assert_eq!((&told["$type"], &told["error"]), (&"error".into(), &error.into()), "{told}");
    assert!(reader.json().is_err(), "the stream is closed after an error");
}

#[test]
fn the_log_is_told_in_json_under_the_numbers_that_it_has_in_frames() {
    let world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    note(&world.client(), &alice, "com.example.note", "\u{1f426} \"quoted\"\n");
    let last = i128::from(2 * BIRTH + 1);
    let frames = world.subscribe(Some(0)).until(last);
    let path = format!("/xrpc/{STREAM}?cursor=0&includeRecords=true");
    let mut reader = Subscriber::speaking(&world.address(), &path, "xrpc.v1.json");
    for frame in &frames {
        let payload = payload(&mut reader);
        assert_eq!(kind(&payload), frame.kind());
        assert_eq!(payload["seq"].as_i64().map(i128::from), frame.seq());
        if frame.seq() == Some(last) {
            assert_eq!(payload["did"], alice.did.as_str());
            assert_eq!(payload["ops"][0]["action"], "create");
            assert_eq!(payload["ops"][0]["record"]["text"], "\u{1f426} \"quoted\"\n");
            let found = world.client().get(
                "com.atproto.repo.getRecord",
                &[
                    ("repo", &alice.did),
                    ("collection", "com.example.note"),
                    ("rkey", payload["ops"][0]["rkey"].as_str().unwrap()),
                ],
            );
            assert_eq!(found.ok().json()["cid"], payload["ops"][0]["cid"]);
        }
    }
    let mut his = connect(&world, &format!("?cursor=0&wantedDids={}", bob.did));
    let kinds: Vec<String> = (0..BIRTH).map(|_| kind(&payload(&mut his)).to_owned()).collect();
    assert_eq!(kinds, ["#identity", "#account", "#commit", "#sync"]);
}

/// Replays run into what is written meanwhile, and on: each reader gets all that it wants once and in order.
#[test]
fn no_event_is_lost_or_repeated_between_the_log_and_what_comes_live() {
    const EACH: usize = 60;
    let world = World::start();
    let accounts = ["alice", "bob"].map(|name| world.account(name));
    let client = &world.client();
    let write = &|account: &Account| {
        for count in 0..EACH {
            let collection = ["com.example.note", "com.example.deep.note", "com.examples.note"][count % 3];
            note(client, account, collection, &format!("{collection} {count}"));
        }
    };
    thread::scope(|scope| {
        let writers = accounts.each_ref().map(|account| scope.spawn(move || write(account)));
        let readers: Vec<_> = (0..8)
            .map(|turn| {
                let account = &accounts[turn % 2];
                let query = format!(
                    "?cursor=0&includeRecords=true&wantedCollections=com.example.*&wantedDids={}",
                    account.did
                );
                let mut reader = connect(&world, &query);
                thread::sleep(Duration::from_millis(150));
                scope.spawn(move || {
                    let mut last = 0;
                    for count in (0..EACH).filter(|count| count % 3 < 2) {
                        let (seq, text) = loop {
                            let payload = payload(&mut reader);
                            let seq = payload["seq"].as_u64().unwrap();
                            assert!(seq > last);
                            last = seq;
                            if kind(&payload) == "#commit" {
                                break (seq, payload["ops"][0]["record"]["text"].clone());
                            }
                        };
                        assert!(text.as_str().unwrap().ends_with(&format!(" {count}")), "{seq} {text}");
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn filters_outlive_the_relays_sleep_and_change_on_the_way() {
    let world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let query = "?includeRecords=true&wantedCollections=com.example.note&wantedCollections=org.example.*";
    let mut some = connect(&world, query);
    let mut hers = connect(&world, &format!("?includeRecords=true&wantedDids={}", alice.did));
    let mut everything = connect(&world, "?includeRecords=true");
    // Events come behind their writes, and those of two accounts in any order: each is waited for.
    let mut write = |text: &str| {
        for (account, collection) in
            [(&alice, "com.example.note"), (&bob, "org.example.deep.thing"), (&bob, "com.example.other")]
        {
            let text = format!("{text} {collection}");
            note(&world.client(), account, collection, &text);
            assert_eq!(record(&mut everything).1, text);
        }
    };
    for text in ["awake", "asleep", "asleep again"] {
        write(text);
        assert_eq!(record(&mut some).1, format!("{text} com.example.note"));
        assert_eq!(record(&mut some).1, format!("{text} org.example.deep.thing"));
        assert_eq!(record(&mut hers).1, format!("{text} com.example.note"));
        world.evict("relay", "host");
    }

    // The relay sleeps when it is told; the largest filter there is, with a name that counts at its end.
    let mut dids: Vec<String> = (1..1_000).map(|n| format!("did:web:nobody{n}.example.com")).collect();
    dids.push(bob.did.clone());
    let mut collections: Vec<String> = (1..100).map(|n| format!("com.example.none{n}")).collect();
    collections.push("com.example.other".into());
    let large = object!({ "wantedCollections": collections, "wantedDids": dids, "includeRecords": true });
    assert!(want(&mut hers, &large).is_empty());
    for text in ["changed", "changed and asleep"] {
        write(text);
        assert_eq!(record(&mut hers).1, format!("{text} com.example.other"));
        world.evict("relay", "host");
    }
    assert!(want(&mut hers, &object!({})).is_empty());
    write("all");
    let texts: Vec<_> = (0..3).map(|_| record(&mut hers).1).collect();
    assert_eq!(texts, [""; 3], "records are not wanted any more");

    // Four times two that it wanted, and then it is told off.
    for _ in 0..6 {
        record(&mut some);
    }
    some.send("{\"$type\":\"message\",\"payload\":{\"$type\":\"agent.relay.subscribeEvents#other\"}}");
    refused(some, "InvalidFilter");
}

#[test]
fn what_cannot_be_is_refused_in_the_stream() {
    let world = Setup::new().variable("FIREHOSE_RETENTION_SECONDS", "4").start();
    let alice = world.account("alice");
    let names = |count: usize| "&wantedCollections=a.b.c".repeat(count);
    for (query, error) in [
        ("?cursor=999", "FutureCursor"),
        ("?cursor=9007199254740992", "FutureCursor"),
        ("?cursor=soon", "InvalidRequest"),
        ("?wantedCollections=com.example.*.note", "InvalidFilter"),
        ("?wantedCollections=com.example*", "InvalidFilter"),
        ("?wantedCollections=*", "InvalidFilter"),
        ("?wantedDids=alice.test", "InvalidFilter"),
        ("?maxMessageBytes=2000001", "InvalidFilter"),
        (&format!("?{}", names(101)), "InvalidFilter"),
    ] {
        refused(connect(&world, query), error);
    }
    assert_eq!(world.client().path(&format!("/xrpc/{STREAM}")).status, 426);
    for said in ["", "{}", "[]", "{\"$type\":\"message\",\"payload\":{\"wantedDids\":[1]}}"] {
        let mut reader = connect(&world, "");
        reader.send(said);
        refused(reader, "InvalidFilter");
    }
    thread::sleep(Duration::from_secs(6));
    let mut outdated = connect(&world, "?cursor=1");
    assert_eq!(payload(&mut outdated)["name"], "OutdatedCursor");
    note(&world.client(), &alice, "com.example.note", "new");
    assert_eq!(kind(&payload(&mut outdated)), "#commit");
}

fn list(client: &Client, parameters: &[(&str, &str)]) -> Value {
    let answer = client.get("agent.relay.listEvents", parameters).ok().json();
    output(Catalog::builtin(), "agent.relay.listEvents", &json::from_value(&answer).unwrap()).unwrap();
    answer
}

#[test]
fn events_are_listed_in_pages_and_a_long_poll_ends_with_the_first_that_is_wanted() {
    let world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    for text in ["one", "two", "three"] {
        note(&world.client(), &alice, "com.example.note", text);
    }
    let client = world.client();
    let wanted =
        [("wantedCollections", "com.example.*"), ("wantedDids", &alice.did), ("includeRecords", "true")];
    let mut cursor = "0".to_owned();
    let mut texts = Vec::new();
    loop {
        let page = list(&client, &[&wanted[..], &[("cursor", cursor.as_str()), ("limit", "2")]].concat());
        let events = page["events"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        assert!(events.len() <= 2);
        let of_notes = events.iter().filter(|event| event["ops"][0]["collection"] == "com.example.note");
        texts.extend(of_notes.map(|event| event["ops"][0]["record"]["text"].as_str().unwrap().to_owned()));
        cursor = page["cursor"].to_string();
    }
    assert_eq!(texts, ["one", "two", "three"]);

    let client = &client;
    let started = Instant::now();
    let waiting = [("wantedCollections", "com.example.note"), ("waitSeconds", "20"), ("cursor", &cursor)];
    thread::scope(|scope| {
        let polls: Vec<_> = (0..3).map(|_| scope.spawn(move || list(client, &waiting))).collect();
        thread::sleep(Duration::from_millis(500));
        note(client, &bob, "com.example.other", "not this");
        thread::sleep(Duration::from_millis(500));
        assert!(polls.iter().all(|poll| !poll.is_finished()));
        note(client, &bob, "com.example.note", "this");
        for poll in polls {
            let page = poll.join().unwrap();
            assert_eq!(page["events"].as_array().unwrap().len(), 1);
            assert_eq!(page["events"][0]["did"], bob.did.as_str());
        }
    });
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let started = Instant::now();
    let page = list(client, &[("waitSeconds", "1")]);
    assert_eq!(page["events"], object!([]));
    assert!(started.elapsed() >= Duration::from_secs(1));

    let about = client.get("agent.relay.describeRelay", &[]).ok().json();
    assert_eq!((&about["seq"], &about["oldestSeq"]), (&page["cursor"], &1.into()));
    for (parameters, error) in [
        (("cursor", "99999"), "FutureCursor"),
        (("cursor", "x"), "InvalidRequest"),
        (("limit", "501"), "InvalidRequest"),
        (("waitSeconds", "26"), "InvalidRequest"),
        (("wantedCollections", "com.*.x"), "InvalidFilter"),
    ] {
        let answer = client.get("agent.relay.listEvents", &[parameters]);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &error.into()), "{parameters:?}");
    }
}

#[test]
fn broadcasts_come_to_those_who_want_their_topic() {
    let world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let mut weather = connect(&world, "?includeRecords=true&wantedTopics=weather");
    let topics = ["news", "weather", "news", "weather"];
    for (account, topic) in [&alice, &bob, &bob, &alice].into_iter().zip(topics) {
        let content = object!({ "kind": "text", "text": topic });
        let record = object!({
            "$type": "agent.comms.broadcast", "sender": account.did, "topic": topic, "content": content,
            "createdAt": "2026-11-28T08:00:00.000Z",
        });
        let body = object!({ "repo": account.did, "collection": "agent.comms.broadcast", "record": record });
        let _ = world.client().with_token(&account.access).post("com.atproto.repo.createRecord", &body).ok();
    }
    let from = |told: Value| {
        assert_eq!(told["ops"][0]["record"]["topic"], "weather");
        told["did"].as_str().unwrap().to_owned()
    };
    // Two accounts' events come in any order.
    let mut told = [from(payload(&mut weather)), from(payload(&mut weather))];
    told.sort();
    let mut expected = [alice.did.clone(), bob.did.clone()];
    expected.sort();
    assert_eq!(told, expected);
    // One of them may still be on its way from its account.
    let (mut commits, mut cursor) = (0, "0".to_owned());
    while commits < 2 {
        let page =
            list(&world.client(), &[("wantedTopics", "news"), ("cursor", &cursor), ("waitSeconds", "20")]);
        let events = page["events"].as_array().unwrap();
        assert_ne!(events.len(), 0, "{commits} of 2 have come");
        commits += events.iter().filter(|event| kind(event) == "#commit").count();
        cursor = page["cursor"].to_string();
    }
    assert_eq!(commits, 2);
}
