//! The accounts of peers: how long they are remembered, and how they are forgotten.

use murmuration_firehose::Event;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Param, Store};
use murmuration_relay::limits::{
    PEER_FORGET_MS, PEER_SWEEP_ACCOUNTS, PEER_SWEEP_MS, PEER_UNWANTED_FORGET_MS,
};
use murmuration_relay::{Found, Identities, LogConfig, NewPeer, PeerHost, Relay, Trust};

use crate::common::author::{Author, frame};
use crate::common::{T0, Wires};

const DAY_MS: u64 = 24 * 3_600_000;

fn peer(trust: Trust) -> NewPeer {
    NewPeer { host: PeerHost::parse("peer.example.com").unwrap(), did: None, trust, allow: Vec::new() }
}

fn open(store: &SqliteStore) -> Relay {
    // Its own events outlast the tests.
    let log = LogConfig { retention_ms: 2 * PEER_FORGET_MS, ..LogConfig::default() };
    Relay::open(store, log, &[]).unwrap()
}

/// Runs an alarm: how many turns it took.
fn alarm(relay: &mut Relay, store: &SqliteStore, now: u64) -> usize {
    1 + std::iter::from_fn(|| relay.prune(store, now).unwrap().then_some(())).count()
}

fn remembered(store: &SqliteStore) -> i64 {
    store.query("SELECT count(*) FROM peer_account", &[]).unwrap().remove(0).int(0).unwrap()
}

#[test]
fn an_account_that_says_nothing_for_half_a_year_is_forgotten_and_known_anew_when_it_speaks() {
    let store = SqliteStore::open().unwrap();
    let (mut relay, wires) = (open(&store), Wires::default());
    relay.put_peer(&store, peer(Trust::Open)).unwrap();
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let known: Identities = [&alice, &bob]
        .map(|author| (author.did.clone(), Found::Account(author.identity("https://peer.example.com", true))))
        .into();
    let mut seq = 0;
    let mut say = |relay: &mut Relay, event: Event, now: u64| {
        seq += 1;
        let (host, frames) = (peer(Trust::Open).host, [frame(seq, &event)]);
        let taken = relay.take_in(&store, &wires, (&host, &frames), (&known, 64), now).unwrap();
        assert_eq!((taken.wants.len(), taken.end), (0, None));
        relay.mends(&store, &host, now).unwrap().len()
    };
    say(&mut relay, Event::Commit(alice.write(1)), T0);
    let later = T0 + 100 * DAY_MS;
    say(&mut relay, Event::Commit(bob.write_at(later * 1000, 1)), later);
    assert_eq!(relay.peers("", 1)[0].accounts, 2);

    let before = store.counts().written;
    assert_eq!(alarm(&mut relay, &store, T0 + PEER_FORGET_MS - 1), 1);
    assert_eq!((remembered(&store), store.counts().written - before), (2, 1), "that it has looked");
    assert_eq!(alarm(&mut relay, &store, T0 + PEER_FORGET_MS), 1);
    assert_eq!(remembered(&store), 2, "it looks once a day");
    let now = T0 + PEER_FORGET_MS + PEER_SWEEP_MS;
    let before = store.counts().written;
    alarm(&mut relay, &store, now);
    assert_eq!(
        (remembered(&store), store.counts().written - before),
        (1, 3),
        "account, peer, that it has looked"
    );
    assert_eq!(relay.peers("", 1)[0].accounts, 1, "there is room for another");
    assert_eq!(open(&store).peers("", 1)[0].accounts, 1);

    // What does not follow from the last commit puts an account out of step, unless nobody knows that one any more.
    alice.write_at(now * 1000, 1);
    assert_eq!(say(&mut relay, Event::Commit(alice.write_at(now * 1000, 1)), now), 0);
    bob.write_at(now * 1000, 1);
    assert_eq!(say(&mut relay, Event::Commit(bob.write_at(now * 1000, 1)), now), 1);
    assert_eq!(remembered(&store), 2);
}

#[test]
fn an_account_that_moves_makes_room_where_it_was() {
    let store = SqliteStore::open().unwrap();
    let (mut relay, wires) = (open(&store), Wires::default());
    let hosts = ["peer.example.com", "there.example.com"].map(|host| PeerHost::parse(host).unwrap());
    for host in &hosts {
        let new = NewPeer { host: host.clone(), ..peer(Trust::Open) };
        relay.put_peer(&store, new).unwrap();
    }
    let mut alice = Author::new(0);
    let counts = |relay: &Relay| [0, 1].map(|at: usize| relay.peers("", 2)[at].accounts);
    for (seq, (host, expected)) in (1..).zip([(0, [1, 0]), (1, [0, 1]), (1, [0, 1]), (0, [1, 0])]) {
        let identity = alice.identity(&format!("https://{}", hosts[host].as_str()), true);
        let known = Identities::from([(alice.did.clone(), Found::Account(identity))]);
        let frames = [frame(seq, &Event::Commit(alice.write(1)))];
        relay.take_in(&store, &wires, (&hosts[host], &frames), (&known, 64), T0).unwrap();
        assert_eq!(counts(&relay), expected);
        assert_eq!(counts(&open(&store)), expected);
    }
}

#[test]
fn the_accounts_of_a_blocked_peer_go_after_a_week_some_a_turn_whatever_happens_in_between() {
    let store = SqliteStore::open().unwrap();
    let mut relay = open(&store);
    relay.put_peer(&store, peer(Trust::Blocked)).unwrap();
    assert_eq!(relay.urgent_alarm(T0), None, "no accounts, no alarm");
    let count = 2 * PEER_SWEEP_ACCOUNTS + 500;
    for n in 0..count {
        // As they were before it was noted when they were heard of, and after.
        let (did, seen) =
            (format!("did:plc:{n:024}"), if n % 2 == 0 { 0 } else { i64::try_from(T0).unwrap() });
        let rev = murmuration_syntax::Rev::from_parts(T0 * 1000, 0).to_string();
        let sql = "INSERT INTO peer_account (did, host, active, rev, data, mend_at, tries, seen_at) \
                   VALUES (?1, 'peer.example.com', 1, ?2, NULL, NULL, 0, ?3)";
        store.query(sql, &[Param::Text(&did), Param::Text(&rev), Param::Int(seen)]).unwrap();
    }
    store.query("UPDATE peer SET accounts = ?1", &[Param::Int(i64::try_from(count).unwrap())]).unwrap();
    relay = open(&store);
    assert_eq!(relay.urgent_alarm(T0), Some(T0), "an alarm comes to them, though nobody is visited");
    assert_eq!(alarm(&mut relay, &store, T0), 3);
    assert_eq!(relay.urgent_alarm(T0), Some(T0 + PEER_SWEEP_MS));
    assert_eq!(usize::try_from(remembered(&store)).unwrap(), count);

    let now = T0 + PEER_UNWANTED_FORGET_MS;
    assert!(relay.prune(&store, now).unwrap());
    assert_eq!(usize::try_from(remembered(&store)).unwrap(), count - PEER_SWEEP_ACCOUNTS);
    // The object dies, and goes on where it was.
    relay = open(&store);
    assert_eq!(relay.urgent_alarm(now), Some(now));
    store.fail_after(Some(1));
    assert!(relay.prune(&store, now).is_err());
    relay = open(&store);
    assert_eq!(alarm(&mut relay, &store, now), 2);
    assert_eq!((remembered(&store), relay.peers("", 1)[0].accounts), (0, 0));
    assert_eq!(relay.urgent_alarm(now), None, "there is nothing left to come to");
}
