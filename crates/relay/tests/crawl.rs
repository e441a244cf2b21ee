//! The watchdog that asks relays to crawl this host.

use murmuration_platform::Store;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::limits::CRAWL_INTERVAL_MS;
use murmuration_relay::{LogConfig, Relay};

use crate::common::{Drafts, T0, Wires};

fn urls() -> Vec<String> {
    vec!["https://relay.example".to_owned(), "https://bsky.example".to_owned()]
}

fn open(store: &SqliteStore) -> Relay {
    Relay::open(store, LogConfig::default(), &urls()).unwrap()
}

fn event(relay: &mut Relay, store: &SqliteStore, ord: u64, now: u64) {
    relay.append(store, &Wires::default(), &Drafts::new(1, [ord]).push(true, now), now).unwrap();
}

#[test]
fn the_first_event_asks_every_relay_at_once() {
    let store = SqliteStore::open().unwrap();
    let mut relay = open(&store);
    relay.start(&store, T0).unwrap();
    assert_eq!(
        relay.take_crawls(&store, T0).unwrap(),
        Vec::<String>::new(),
        "a host without events is not crawled"
    );
    event(&mut relay, &store, 1, T0);
    assert_eq!(relay.take_crawls(&store, T0).unwrap(), urls());
    assert_eq!(relay.take_crawls(&store, T0 + 1).unwrap(), Vec::<String>::new());
}

#[test]
fn a_suppressed_request_is_made_later() {
    let store = SqliteStore::open().unwrap();
    let mut relay = open(&store);
    event(&mut relay, &store, 1, T0);
    for url in relay.take_crawls(&store, T0).unwrap() {
        relay.crawl_accepted(&store, &url).unwrap();
    }
    let alarm = relay.next_alarm(&store, T0).unwrap().unwrap();
    assert!(alarm > T0 + CRAWL_INTERVAL_MS, "an accepted request leaves nothing to do");
    let written = store.counts().written;
    for ord in 2..100 {
        event(&mut relay, &store, ord, T0 + ord * 1_000);
        assert!(relay.take_crawls(&store, T0 + ord * 1_000).unwrap().is_empty());
    }
    assert_eq!(store.counts().written - written, 98 + 2, "a row a push, and one a relay");
    assert_eq!(relay.next_alarm(&store, T0).unwrap(), Some(T0 + CRAWL_INTERVAL_MS));
    let mut relay = open(&store);
    assert_eq!(relay.next_alarm(&store, T0).unwrap(), Some(T0 + CRAWL_INTERVAL_MS), "it survives a sleep");
    assert!(relay.take_crawls(&store, T0 + CRAWL_INTERVAL_MS - 1).unwrap().is_empty());
    assert_eq!(relay.take_crawls(&store, T0 + CRAWL_INTERVAL_MS).unwrap(), urls());
}

#[test]
fn a_failed_request_is_made_again_and_again() {
    let store = SqliteStore::open().unwrap();
    let mut relay = open(&store);
    event(&mut relay, &store, 1, T0);
    let mut now = T0;
    for _ in 0..5 {
        let asked = relay.take_crawls(&store, now).unwrap();
        assert_eq!(asked.len(), 2);
        relay.crawl_accepted(&store, "https://bsky.example").unwrap();
        event(&mut relay, &store, now, now);
        relay = open(&store);
        let alarm = relay.next_alarm(&store, now).unwrap().unwrap();
        assert_eq!(alarm, now + CRAWL_INTERVAL_MS);
        now = alarm;
    }
}

#[test]
fn a_start_with_nobody_connected_asks_again() {
    let store = SqliteStore::open().unwrap();
    let mut relay = open(&store);
    event(&mut relay, &store, 1, T0);
    for url in relay.take_crawls(&store, T0).unwrap() {
        relay.crawl_accepted(&store, &url).unwrap();
    }
    let later = T0 + 2 * CRAWL_INTERVAL_MS;
    let mut restarted = open(&store);
    restarted.start(&store, later).unwrap();
    assert_eq!(restarted.take_crawls(&store, later).unwrap(), urls());

    let mut soon = open(&store);
    for url in urls() {
        soon.crawl_accepted(&store, &url).unwrap();
    }
    soon.start(&store, later + 60_000).unwrap();
    assert!(soon.take_crawls(&store, later + 60_000).unwrap().is_empty());
    assert_eq!(soon.next_alarm(&store, later).unwrap(), Some(later + CRAWL_INTERVAL_MS));

    for url in urls() {
        soon.crawl_accepted(&store, &url).unwrap();
    }
    let mut woken = open(&store);
    assert!(woken.restore(7, "live"));
    woken.start(&store, later + 61_000).unwrap();
    assert!(
        woken.take_crawls(&store, later + 9 * CRAWL_INTERVAL_MS).unwrap().is_empty(),
        "somebody is connected"
    );
    woken.unsubscribe(&store, 7, later + 62_000).unwrap();
    assert_eq!(woken.take_crawls(&store, later + 9 * CRAWL_INTERVAL_MS).unwrap(), urls());
}

#[test]
fn a_clock_that_steps_back_does_not_silence_the_host() {
    let store = SqliteStore::open().unwrap();
    let mut relay = open(&store);
    let future = T0 + 31_536_000_000;
    event(&mut relay, &store, 1, future);
    assert_eq!(relay.take_crawls(&store, future).unwrap().len(), 2);
    let mut relay = open(&store);
    event(&mut relay, &store, 2, T0);
    assert_eq!(relay.take_crawls(&store, T0).unwrap().len(), 2);
}

#[test]
fn nothing_is_asked_where_no_relay_is_configured() {
    let store = SqliteStore::open().unwrap();
    let mut relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
    let before = store.counts();
    event(&mut relay, &store, 1, T0);
    event(&mut relay, &store, 2, T0);
    assert!(relay.take_crawls(&store, T0).unwrap().is_empty());
    let after = store.counts();
    assert!(after.written - before.written <= 4, "two rows, and a new partition");
}
