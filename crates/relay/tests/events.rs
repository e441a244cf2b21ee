//! Readers of events: what they are told, and that they are told all that they want, once.

use std::cell::Cell;

use murmuration_data::{cbor, cid_of_cbor, cid_to_text, json};
use murmuration_firehose::{
    AccountEvent, AccountStatus, CommitEvent, CommitParts, Event, Glance, IdentityEvent, Seq, SyncEvent,
    Timestamp,
};
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::Store as _;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::limits::{
    ATTACHMENT_BYTES, MAX_EVENT_BYTES, MAX_SUBSCRIBERS, MAX_UPDATES, MAX_WAITING, MAX_WANTED_NAMES,
    UPDATES_WINDOW_MS,
};
use murmuration_relay::wire::{Item, Push};
use murmuration_relay::{
    CLOSE_POLICY, Filter, LogConfig, Message, Pump, Reads, Refusal, Relay, Sight, Sockets,
};
use murmuration_repo::{Action, Commit, Edit, Key, NodeMap, RecordOp, empty_root};
use murmuration_syntax::{Handle, Rev};
use serde_json::{Value, json as object};

use crate::common::{Dice, T0, Wires, did, small, wake};

const COLLECTIONS: [&str; 4] =
    ["com.example.note", "com.example.deep.note", "com.examples.note", "agent.comms.message"];
const PATTERNS: [&str; 5] =
    ["com.example.note", "com.example.*", "agent.*", "com.examples.note", "org.none.*"];

fn time() -> Timestamp {
    Timestamp::from_micros(T0 * 1000)
}

fn rev(n: u64) -> Rev {
    Rev::from_parts(T0 * 1000 + n, 1)
}

fn record(text: &str) -> Vec<u8> {
    cbor::encode(&json::parse(object!({ "text": text }).to_string().as_bytes()).unwrap()).unwrap()
}

/// The first commit of an account: it creates these records.
fn first_commit(account: u64, records: &[(&str, Vec<u8>)]) -> Event {
    let nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    for (path, record) in records {
        edit.put(Key::parse(path).unwrap(), cid_of_cbor(record)).unwrap();
    }
    let change = edit.finish().unwrap();
    let key = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
    let commit = Commit::sign(&did(account), change.root, rev(1), &key).unwrap();
    let blocks: Vec<_> = records.iter().map(|(_, record)| (cid_of_cbor(record), record.as_slice())).collect();
    let event = CommitEvent::build(&CommitParts {
        commit: &commit,
        cid: commit.cid(),
        block: &commit.encode(),
        since: None,
        change: &change,
        nodes: &nodes,
        records: &blocks,
        time: &time(),
    });
    Event::Commit(event.unwrap())
}

/// A commit of any operations, whose blocks nobody can read.
fn commit(account: u64, ops: &[(Action, String)]) -> Event {
    let op = |(action, path): &(Action, String)| RecordOp {
        path: Key::parse(path).unwrap(),
        action: *action,
        cid: (*action != Action::Delete).then(empty_root),
        prev: (*action != Action::Create).then(empty_root),
    };
    Event::Commit(CommitEvent {
        repo: did(account),
        commit: empty_root(),
        rev: rev(9),
        since: Some(rev(8)),
        prev_data: Some(empty_root()),
        ops: ops.iter().map(op).collect(),
        blocks: vec![7; 50],
        time: time(),
    })
}

fn append(store: &SqliteStore, relay: &mut Relay, sockets: &dyn Sockets, account: u64, event: &Event) {
    let draft = event.draft().unwrap();
    let ord = relay.log().head();
    let push = Push { did: did(account), fresh: true, items: vec![Item { ord, made_at: T0, draft: &draft }] };
    relay.append(store, sockets, &push, T0).unwrap();
}

fn world() -> (SqliteStore, Relay, Wires) {
    let store = SqliteStore::open().unwrap();
    let relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
    (store, relay, Wires::default())
}

fn reads(wires: &Wires, relay: &mut Relay, id: u64, cursor: Option<&str>, filter: Filter) {
    wires.open(id);
    relay.subscribe(wires, id, cursor, Reads::Events(filter));
}

/// All that a reader has been told, drained.
fn told(wires: &Wires, id: u64) -> Vec<Value> {
    wires.drain(id, usize::MAX);
    wires.with(id, |wire| wire.received.iter().map(|text| serde_json::from_slice(text).unwrap()).collect())
}

fn seqs(told: &[Value]) -> Vec<u64> {
    told.iter().filter_map(|told| told["payload"]["seq"].as_u64()).collect()
}

#[test]
fn every_kind_of_event_is_told_as_the_lexicon_has_it() {
    let (store, mut relay, wires) = world();
    reads(&wires, &mut relay, 1, None, Filter::default());
    let account = |inactive| Event::Account(AccountEvent { did: did(1), inactive, time: time() });
    let handle = Handle::parse("alice.test").ok();
    let text = record("hello");
    let events = [
        Event::Identity(IdentityEvent { did: did(1), handle, time: time() }),
        Event::Identity(IdentityEvent { did: did(1), handle: None, time: time() }),
        account(None),
        account(Some(AccountStatus::Deleted)),
        account(Some(AccountStatus::Other("at \"rest\"".into()))),
        first_commit(1, &[("com.example.note/a", text.clone())]),
        commit(1, &[(Action::Update, "a.b.c/d".into()), (Action::Delete, "a.b.c/e".into())]),
        commit(1, &[]),
        Event::Sync(SyncEvent { did: did(1), rev: rev(1), blocks: vec![1], time: time() }),
    ];
    events.iter().for_each(|event| append(&store, &mut relay, &wires, 1, event));
    let Event::Commit(first) = &events[5] else { panic!() };
    let cid = |cid: &_| cid_to_text(cid);
    let (root, note) = (cid(&empty_root()), cid(&cid_of_cbor(&text)));
    let expected = [
        object!({ "handle": "alice.test" }),
        object!({}),
        object!({ "active": true }),
        object!({ "active": false, "status": "deleted" }),
        object!({ "active": false, "status": "at \"rest\"" }),
        object!({ "rev": rev(1).to_string(), "commit": cid(&first.commit), "ops": [
            { "action": "create", "collection": "com.example.note", "rkey": "a", "cid": note },
        ] }),
        object!({ "rev": rev(9).to_string(), "since": rev(8).to_string(), "commit": root, "ops": [
            { "action": "update", "collection": "a.b.c", "rkey": "d", "cid": root },
            { "action": "delete", "collection": "a.b.c", "rkey": "e" },
        ] }),
        object!({ "rev": rev(9).to_string(), "since": rev(8).to_string(), "commit": root, "ops": [] }),
        object!({ "rev": rev(1).to_string() }),
    ];
    let told = told(&wires, 1);
    assert_eq!(told.len(), events.len());
    for (index, (mut payload, event)) in expected.into_iter().zip(&events).enumerate() {
        payload["$type"] = format!("agent.relay.subscribeEvents{}", event.tag()).into();
        payload["seq"] = (index + 1).into();
        payload["did"] = did(1).as_str().into();
        payload["time"] = time().as_str().into();
        assert_eq!(told[index], object!({ "$type": "message", "payload": payload }));
    }
}

#[test]
fn records_come_along_where_they_are_wanted_and_there_is_room() {
    let (store, mut relay, wires) = world();
    let bytes = record(&"b".repeat(20_000));
    let records = [("com.example.note/a", record("hello \u{1f426}")), ("com.example.note/b", bytes)];
    let filter = || Filter::default().with_records(true);
    for (id, filter) in
        [(1, filter()), (2, filter().at_most(10_000)), (3, Filter::default()), (4, filter().at_most(300))]
    {
        reads(&wires, &mut relay, id, None, filter);
    }
    append(&store, &mut relay, &wires, 1, &first_commit(1, &records));
    let full = &told(&wires, 1)[0]["payload"];
    assert_eq!(full["ops"][0]["record"], object!({ "text": "hello \u{1f426}" }));
    assert_eq!(full["ops"][1]["record"]["text"].as_str().unwrap().len(), 20_000);
    for id in [2, 3] {
        let plain = &told(&wires, id)[0]["payload"];
        assert_eq!((&plain["seq"], &plain["ops"][0]["rkey"]), (&full["seq"], &full["ops"][0]["rkey"]));
        assert!(plain["ops"][0].get("record").is_none());
    }
    assert!(told(&wires, 4).is_empty(), "not even without records");
}

#[test]
fn what_is_larger_than_any_message_comes_without_records() {
    let (store, mut relay, wires) = world();
    reads(&wires, &mut relay, 1, None, Filter::default().with_records(true));
    // Each of these letters takes six in JSON.
    let record = record(&"\u{1}".repeat(MAX_EVENT_BYTES / 5));
    append(&store, &mut relay, &wires, 1, &first_commit(1, &[("com.example.note/a", record)]));
    let told = told(&wires, 1);
    assert_eq!(told[0]["payload"]["ops"][0]["rkey"], "a");
    assert!(told[0]["payload"]["ops"][0].get("record").is_none());
}

#[test]
fn an_event_is_made_once_and_sent_by_one_call_to_all_who_want_it() {
    struct Count(Cell<usize>, Wires);
    impl Sockets for Count {
        fn buffered(&self, id: u64) -> u64 {
            self.1.buffered(id)
        }
        fn send(&self, ids: &[u64], message: Message<'_>) {
            if !ids.is_empty() {
                self.0.set(self.0.get() + 1);
                assert_eq!(ids.len(), 100, "those who want it, and nobody else");
            }
            self.1.send(ids, message);
        }
        fn keep(&self, id: u64, attachment: &str) {
            self.1.keep(id, attachment);
        }
        fn close(&self, _: u64, _: u16, _: &str) {}
        fn wake(&self, _: &[u64]) {}
    }
    let (store, mut relay, wires) = world();
    let sockets = Count(Cell::new(0), wires);
    for id in 0..300 {
        sockets.1.open(id);
        let filter = Filter::parse(&[], &[did(id % 3).as_str()]).unwrap();
        relay.subscribe(&sockets, id, None, Reads::Events(filter));
    }
    for account in [0, 1, 2, 0] {
        append(
            &store,
            &mut relay,
            &sockets,
            account,
            &commit(account, &[(Action::Create, "a.b.c/d".into())]),
        );
    }
    assert_eq!(sockets.0.get(), 4);
}

#[test]
fn a_subscription_and_a_change_of_filter_write_no_row() {
    let (store, mut relay, wires) = world();
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    let names: Vec<String> = (0..1_000).map(|n| did(n).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = Filter::parse(&[], &names).unwrap();
    let before = store.counts().written;
    reads(&wires, &mut relay, 1, Some("0"), large.clone());
    relay.want(&wires, 1, Ok(Filter::default()));
    relay.want(&wires, 1, Ok(large));
    while relay.pump(&store, &wires, T0).unwrap() != Pump::Idle {}
    relay.unsubscribe(&store, 1, T0).unwrap();
    assert_eq!(store.counts().written, before);
    wires.with(1, |wire| assert!(wire.attachment.len() < ATTACHMENT_BYTES, "{}", wire.attachment.len()));
}

#[test]
fn a_bad_beginning_and_a_bad_change_end_the_stream_with_their_reason() {
    let (store, mut relay, wires) = world();
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    for (id, cursor, error) in [(1, "2", "FutureCursor"), (2, "x", "InvalidRequest")] {
        reads(&wires, &mut relay, id, Some(cursor), Filter::default());
        let told = told(&wires, id);
        assert_eq!((&told[0]["$type"], &told[0]["error"], told.len()), (&"error".into(), &error.into(), 1));
    }
    reads(&wires, &mut relay, 3, None, Filter::default());
    relay.want(&wires, 3, Err(Refusal::new("InvalidFilter", "no")));
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    assert_eq!(told(&wires, 3), [object!({ "$type": "error", "error": "InvalidFilter", "message": "no" })]);
    wires.with(3, |wire| assert_eq!(wire.closed, Some((CLOSE_POLICY, "InvalidFilter".to_owned()))));
    assert!(relay.feed().is_empty());
    // A reader of frames has nothing to say.
    wires.open(4);
    relay.subscribe(&wires, 4, None, Reads::Frames);
    relay.want(&wires, 4, Err(Refusal::new("InvalidFilter", "no")));
    relay.want(&wires, 4, Ok(Filter::default()));
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    wires.drain_all();
    wires.with(4, |wire| assert_eq!((wire.seqs(), &wire.closed), (vec![3], &None)));
}

#[test]
fn a_reader_that_changes_its_filter_too_often_is_sent_away_with_the_reason() {
    let (store, mut relay, wires) = world();
    reads(&wires, &mut relay, 1, None, Filter::default());
    reads(&wires, &mut relay, 2, None, Filter::default());
    wires.open(3);
    relay.subscribe(&wires, 3, None, Reads::Frames);
    let mut now = T0;
    for _ in 0..3 {
        for _ in 0..MAX_UPDATES {
            assert!(relay.heed(&wires, 1, now));
            relay.want(&wires, 1, Ok(Filter::default()));
        }
        now += UPDATES_WINDOW_MS;
    }
    assert!(relay.heed(&wires, 1, T0), "a clock that steps back silences nobody");
    for said in 1..=MAX_UPDATES + 1 {
        assert_eq!(relay.heed(&wires, 1, now), said <= MAX_UPDATES);
        assert!(!relay.heed(&wires, 3, now), "a reader of frames has nothing to say");
    }
    assert!(!relay.heed(&wires, 1, now + UPDATES_WINDOW_MS), "it is gone");
    assert_eq!(told(&wires, 1).pop().unwrap()["error"], "RateLimitExceeded");
    assert_eq!(wires.with(1, |wire| wire.closed.clone()), Some((1008, "RateLimitExceeded".to_owned())));
    assert!(relay.heed(&wires, 2, now), "others go on");
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    assert_eq!(wires.with(3, |wire| (wire.buffered() > 0, wire.closed.clone())), (true, None));
}

#[test]
fn readers_of_events_take_no_room_from_readers_of_frames_and_do_not_stand_in_for_them() {
    let store = SqliteStore::open().unwrap();
    let urls = ["https://relay.example".to_owned()];
    let mut relay = Relay::open(&store, LogConfig::default(), &urls).unwrap();
    let wires = Wires::default();
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    assert_eq!(relay.take_crawls(&store, T0).unwrap().len(), 1);
    relay.crawl_accepted(&store, &urls[0]).unwrap();
    let anything = Reads::Events(Filter::default());
    for id in 0..MAX_SUBSCRIBERS as u64 {
        assert!(relay.has_room(&anything));
        reads(&wires, &mut relay, id, None, Filter::default());
    }
    assert!(!relay.has_room(&anything));
    assert!(relay.has_room(&Reads::Frames));
    relay.start(&store, T0 * 2).unwrap();
    assert_eq!(relay.take_crawls(&store, T0 * 2).unwrap().len(), 1, "no relay is there");
    relay.crawl_accepted(&store, &urls[0]).unwrap();
    relay.unsubscribe(&store, 0, T0 * 3).unwrap();
    assert!(relay.take_crawls(&store, T0 * 3).unwrap().is_empty(), "nor has one gone");
}

#[test]
fn names_are_taken_while_there_is_room_for_them() {
    let (_store, mut relay, wires) = world();
    let names: Vec<String> = (0..1_000).map(|n| did(n).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = Filter::parse(&[], &names).unwrap();
    let many = (MAX_WANTED_NAMES / 1_000) as u64;
    for id in 0..many {
        assert!(relay.has_room(&Reads::Events(large.clone())));
        reads(&wires, &mut relay, id, None, large.clone());
    }
    assert!(!relay.has_room(&Reads::Events(large.clone())));
    relay.want(&wires, 0, Ok(large.clone()));
    assert_eq!(told(&wires, 0)[0]["payload"]["name"], "FilterChanged", "its old names are free");
    assert!(relay.has_room(&Reads::Events(Filter::default())));
    reads(&wires, &mut relay, many, None, Filter::default());
    relay.want(&wires, many, Ok(large));
    assert_eq!(told(&wires, many)[0]["error"], "RateLimitExceeded");
}

/// What a reader wants, and from which number on: each filter holds for what comes behind its number.
type Wants = Vec<(u64, Filter)>;

/// The number behind which a reader goes on, as its attachment says.
fn place(wires: &Wires, id: u64, head: u64) -> u64 {
    wires.with(id, |wire| {
        let (place, _) = wire.attachment.split_once('|').unwrap();
        place.split_once(' ').map_or(head, |(_, after)| after.parse().unwrap())
    })
}

/// Worlds of appends, arrivals, changes of filter, slow readers, prunes and sleeps in every order.
#[test]
fn sim_every_reader_is_told_what_it_wants_once_and_in_order() {
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(120_u64);
    let (mut events, mut changed, mut slept, mut cut, mut fell) = (0, 0, 0, 0, 0);
    for seed in 1..=seeds {
        let store = SqliteStore::open().unwrap();
        let mut dice = Dice(seed);
        let config = LogConfig { retention_ms: 1 << 40, ..small() };
        let mut relay = Relay::open(&store, config, &[]).unwrap();
        let wires = Wires(Default::default(), 200, Default::default());
        let mut models: Vec<Wants> = Vec::new();
        let mut sights = Vec::new();
        let mut now = T0;
        for _ in 0..150 {
            now += dice.roll(300);
            fell += wires.0.borrow().values().filter(|wire| wire.attachment.starts_with("fell")).count();
            match dice.roll(16) {
                0..=6 => {
                    let account = dice.roll(4);
                    let event = match dice.roll(5) {
                        0 => Event::Account(AccountEvent { did: did(account), inactive: None, time: time() }),
                        _ => {
                            let ops = (0..dice.roll(3)).map(|n| {
                                let collection = COLLECTIONS[dice.roll(4) as usize];
                                (Action::Delete, format!("{collection}/{n}"))
                            });
                            commit(account, &ops.collect::<Vec<_>>())
                        }
                    };
                    let frame = event.frame(Seq::FIRST).unwrap();
                    sights.push(Sight::of(&Glance::of(&frame).unwrap()));
                    append(&store, &mut relay, &wires, account, &event);
                }
                7..=9 => drop(relay.pump(&store, &wires, now).unwrap()),
                10..=11 if !models.is_empty() => {
                    wires.drain(dice.roll(models.len() as u64), dice.roll(12) as usize);
                }
                12 => {
                    let id = models.len() as u64;
                    let head = relay.log().head();
                    let cursor = (dice.roll(4) > 0).then(|| dice.roll(head + 1));
                    let filter = any_filter(&mut dice);
                    let from = cursor.unwrap_or(head);
                    models.push(vec![(from, filter.clone())]);
                    let text = cursor.map(|cursor| cursor.to_string());
                    reads(&wires, &mut relay, id, text.as_deref(), filter);
                }
                13..=14 if !models.is_empty() => {
                    let id = dice.roll(models.len() as u64);
                    let filter = any_filter(&mut dice);
                    if wires.with(id, |wire| wire.closed.is_none()) {
                        models[id as usize].push((place(&wires, id, relay.log().head()), filter.clone()));
                        relay.want(&wires, id, Ok(filter));
                        changed += 1;
                    }
                }
                _ => {
                    relay = wake(&store, config, &wires, now);
                    slept += 1;
                }
            }
        }
        while relay.pump(&store, &wires, now).unwrap() != Pump::Idle {
            wires.drain_all();
        }
        for (id, wants) in models.into_iter().enumerate() {
            let told = told(&wires, id as u64);
            let wanted = |seq: &u64| {
                let (_, filter) = wants.iter().rev().find(|(from, _)| from < seq)?;
                filter.wants(&sights[*seq as usize - 1]).then_some(())
            };
            let expected = (1..=relay.log().head()).filter(|seq| wanted(seq).is_some());
            let mut expected: Vec<u64> = expected.collect();
            let seqs = seqs(&told);
            if told.last().is_some_and(|told| told["$type"] == "error") {
                assert_eq!(told.last().unwrap()["error"], "ConsumerTooSlow");
                expected.truncate(seqs.len());
                cut += 1;
            }
            assert_eq!(seqs, expected, "seed {seed} reader {id}");
            events += seqs.len();
        }
    }
    let fates = [events, changed, slept, fell];
    assert!(fates.iter().all(|count| *count as u64 > seeds), "every kind of fate: {fates:?}");
    eprintln!("{seeds} worlds; events told, changes of filter, sleeps, turns behind, cut: {fates:?} {cut}");
}

fn any_filter(dice: &mut Dice) -> Filter {
    let mut some = |of: Vec<String>| -> Vec<String> {
        if dice.roll(3) == 0 { Vec::new() } else { of.into_iter().filter(|_| dice.roll(3) == 0).collect() }
    };
    let collections = some(PATTERNS.map(str::to_owned).to_vec());
    let dids = some((0..5).map(|n| did(n).to_string()).collect());
    let collections: Vec<&str> = collections.iter().map(String::as_str).collect();
    let dids: Vec<&str> = dids.iter().map(String::as_str).collect();
    Filter::parse(&collections, &dids).unwrap()
}

#[test]
fn pages_hold_what_the_filter_wants_and_lead_from_one_to_the_next() {
    let (store, mut relay, wires) = world();
    for n in 0..40 {
        let ops = [(Action::Create, format!("{}/r{n}", COLLECTIONS[n % 4]))];
        append(&store, &mut relay, &wires, (n % 2) as u64, &commit((n % 2) as u64, &ops));
    }
    let filter = Filter::parse(&["com.example.*"], &[]).unwrap();
    let page = |cursor: &str, limit| relay.page(&store, Some(cursor), &filter, limit).unwrap().unwrap();
    let rkeys = |events: &[String]| -> Vec<String> {
        let rkey = |event: &String| {
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!(event["$type"], "agent.relay.subscribeEvents#commit");
            event["ops"][0]["rkey"].as_str().unwrap().to_owned()
        };
        events.iter().map(rkey).collect()
    };
    let mut all = Vec::new();
    let mut cursor = 0;
    loop {
        let page = page(&cursor.to_string(), 7);
        all.extend(rkeys(&page.events));
        cursor = page.cursor;
        if page.at_head {
            break;
        }
        assert_eq!(page.events.len(), 7);
    }
    let wanted: Vec<String> = (0..40).filter(|n| n % 4 < 2).map(|n| format!("r{n}")).collect();
    assert_eq!((all, cursor), (wanted, 40));
    assert_eq!(page("40", 7), murmuration_relay::Page { cursor: 40, at_head: true, ..Default::default() });
    let now = relay.page(&store, None, &filter, 7).unwrap().unwrap();
    assert_eq!((now.cursor, now.events.len()), (40, 0), "without a cursor from now on");
    for (cursor, error) in [("41", "FutureCursor"), ("x", "InvalidRequest")] {
        assert_eq!(relay.page(&store, Some(cursor), &filter, 7).unwrap().unwrap_err().error, error);
    }
}

#[test]
fn a_page_says_that_events_are_gone() {
    let store = SqliteStore::open().unwrap();
    let mut relay = Relay::open(&store, small(), &[]).unwrap();
    let wires = Wires::default();
    for _ in 0..50 {
        append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    }
    while relay.prune(&store, T0 + 1_000_000).unwrap() {}
    append(&store, &mut relay, &wires, 1, &commit(1, &[]));
    let page = |cursor| relay.page(&store, Some(cursor), &Filter::default(), 500).unwrap().unwrap();
    assert_eq!((page("3").outdated, page("3").events.len(), page("3").cursor), (true, 1, 51));
    assert!(!page("0").outdated && !page("50").outdated);
}

#[test]
fn an_answer_waits_for_the_first_event_that_it_wants() {
    let (store, mut relay, wires) = world();
    let notes = || Filter::parse(&["com.example.note"], &[]).unwrap();
    assert!(relay.await_event(1, notes(), T0 + 100, T0));
    assert!(relay.await_event(2, Filter::default(), T0 + 100, T0));
    assert!(relay.await_event(3, notes(), T0 + 100, T0));
    relay.give_up(3);
    append(&store, &mut relay, &wires, 1, &commit(1, &[(Action::Create, "com.example.other/a".into())]));
    assert_eq!(*wires.2.borrow(), [2]);
    for _ in 0..2 {
        append(&store, &mut relay, &wires, 1, &commit(1, &[(Action::Create, "com.example.note/a".into())]));
        assert_eq!(*wires.2.borrow(), [2, 1], "and for no other");
    }
    let waits = (0..).take_while(|id| relay.await_event(100 + id, notes(), T0 + 200, T0 + 150)).count();
    assert_eq!(waits, MAX_WAITING);
    assert!(relay.await_event(9_000, notes(), T0 + 300, T0 + 201), "the others have given up by now");
}
