//! Readers that want the broadcasts of some topics.

use murmuration_data::{cbor, cid_of_cbor, json};
use murmuration_firehose::{CommitEvent, CommitParts, Event, Timestamp};
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::wire::{Item, Push};
use murmuration_relay::{Filter, LogConfig, Pump, Reads, Relay};
use murmuration_repo::{Commit, Edit, Key, NodeMap, empty_root};
use murmuration_syntax::Rev;
use serde_json::{Value, json as object};

use crate::common::{T0, Wires, did, wake};

const BROADCAST: &str = "agent.comms.broadcast";

/// A commit that creates records: in each a collection and a topic, if it has one.
fn commit(account: u64, records: &[(&str, Option<&str>)]) -> Event {
    let nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    let mut written = Vec::new();
    for (index, (collection, topic)) in records.iter().enumerate() {
        let mut record = object!({ "$type": collection, "index": index });
        if let Some(topic) = topic {
            record["topic"] = (*topic).into();
        }
        let record = cbor::encode(&json::from_value(&record).unwrap()).unwrap();
        edit.put(Key::parse(&format!("{collection}/r{index}")).unwrap(), cid_of_cbor(&record)).unwrap();
        written.push(record);
    }
    let change = edit.finish().unwrap();
    let key = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
    let rev = Rev::from_parts(T0 * 1000, 1);
    let commit = Commit::sign(&did(account), change.root, rev, &key).unwrap();
    let blocks: Vec<_> = written.iter().map(|record| (cid_of_cbor(record), record.as_slice())).collect();
    let event = CommitEvent::build(&CommitParts {
        commit: &commit,
        cid: commit.cid(),
        block: &commit.encode(),
        since: None,
        change: &change,
        nodes: &nodes,
        records: &blocks,
        time: &Timestamp::from_micros(T0 * 1000),
    });
    Event::Commit(event.unwrap())
}

fn append(store: &SqliteStore, relay: &mut Relay, wires: &Wires, account: u64, event: &Event) {
    let (draft, ord) = (event.draft().unwrap(), relay.log().head());
    let push = Push { did: did(account), fresh: true, items: vec![Item { ord, made_at: T0, draft: &draft }] };
    relay.append(store, wires, &push, T0).unwrap();
}

/// The numbers of the events that a reader has been told.
fn told(wires: &Wires, id: u64) -> Vec<u64> {
    wires.drain(id, usize::MAX);
    let seq = |text: &Vec<u8>| serde_json::from_slice::<Value>(text).unwrap()["payload"]["seq"].as_u64();
    wires.with(id, |wire| wire.received.iter().filter_map(seq).collect())
}

fn filter(collections: &[&str], dids: &[&str], topics: &[&str]) -> Filter {
    Filter::parse(collections, dids).unwrap().with_topics(topics).unwrap()
}

#[test]
fn broadcasts_find_those_who_want_their_topics_live_and_from_the_log() {
    let store = SqliteStore::open().unwrap();
    let mut relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
    let wires = Wires::default();
    let of_two = did(2);
    let filters = [
        (filter(&[], &[], &["weather"]), vec![1, 5, 7]),
        (filter(&[], &[], &["news", "weather"]), vec![1, 2, 5, 7]),
        (filter(&[], &[of_two.as_str()], &["weather"]), vec![5]),
        (filter(&["com.example.note"], &[], &["news"]), vec![2, 4, 7]),
        (filter(&[BROADCAST], &[], &[]), vec![1, 2, 3, 5, 6, 7]),
        (filter(&[], &[], &["Weather", "weath", "agent.comms.broadcast"]), vec![]),
        (filter(&[], &[], &[]), vec![1, 2, 3, 4, 5, 6, 7]),
    ];
    for (id, (filter, _)) in (1..).zip(&filters) {
        wires.open(id);
        relay.subscribe(&wires, id, None, Reads::Events(filter.clone()));
    }
    let commits = [
        commit(1, &[(BROADCAST, Some("weather"))]),
        commit(1, &[(BROADCAST, Some("news"))]),
        commit(1, &[(BROADCAST, None)]),
        // A record of another collection has no topic.
        commit(1, &[("com.example.note", Some("weather"))]),
        commit(2, &[(BROADCAST, Some("weather"))]),
        commit(2, &[(BROADCAST, Some(""))]),
        // A commit is sent as a whole.
        commit(3, &[(BROADCAST, Some("other")), (BROADCAST, Some("weather")), ("com.example.note", None)]),
    ];
    for (event, account) in commits.iter().zip([1, 1, 1, 1, 2, 2, 3]) {
        append(&store, &mut relay, &wires, account, event);
        // What is wanted lies with the sockets while the relay sleeps.
        relay = wake(&store, LogConfig::default(), &wires, T0);
    }
    for (id, (_, expected)) in (1..).zip(&filters) {
        assert_eq!(told(&wires, id), *expected, "live, reader {id}");
    }
    for (id, (filter, expected)) in (11..).zip(&filters) {
        wires.open(id);
        relay.subscribe(&wires, id, Some("0"), Reads::Events(filter.clone()));
        while relay.pump(&store, &wires, T0).unwrap() == Pump::Again {}
        assert_eq!(told(&wires, id), *expected, "from the log, reader {id}");
        let page = relay.page(&store, Some("0"), filter, 100).unwrap().unwrap();
        assert_eq!(page.events.len(), expected.len(), "by a page");
    }
}

#[test]
fn a_reader_may_want_other_topics_on_the_way() {
    let store = SqliteStore::open().unwrap();
    let mut relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
    let wires = Wires::default();
    wires.open(1);
    relay.subscribe(&wires, 1, None, Reads::Events(filter(&[], &[], &["weather"])));
    for (topic, wanted) in
        [("weather", "news"), ("weather", "weather"), ("news", "news"), ("news", "weather")]
    {
        append(&store, &mut relay, &wires, 1, &commit(1, &[(BROADCAST, Some(topic))]));
        relay.want(&wires, 1, Ok(filter(&[], &[], &[wanted])));
    }
    assert_eq!(told(&wires, 1), [1, 4]);
    append(&store, &mut relay, &wires, 1, &commit(1, &[(BROADCAST, Some("weather"))]));
    assert_eq!(told(&wires, 1), [1, 4, 5]);
}
