//! Visits to peers: how much is read at a time, and how often.

use murmuration_platform::Store;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::limits::{
    MAX_PEERS, PEER_BACKOFF_SECONDS, PEER_BUSY_PAUSE_MS, PEER_MAX_PAUSE_MS, PEER_PASSED_BYTES, PEER_PAUSE_MS,
    PEER_SESSION_BYTES, PEER_SESSION_EVENTS, PEER_SESSION_MS, PEERS_DAY_BYTES,
};
use murmuration_relay::{LogConfig, NewPeer, PeerHost, Relay, Session, Trust, Visited};

use crate::common::T0;

#[test]
fn a_peer_that_never_ends_is_left_and_what_it_says_is_bounded() {
    let mut session = Session::new(PEER_SESSION_BYTES, T0);
    let mut now = T0;
    while session.patience(now).is_some() {
        now += 1_000;
        session.take(vec![0; 10]);
    }
    assert_eq!(now, T0 + PEER_SESSION_MS, "it is listened to for so long");
    let haul = session.end(now);
    assert!(haul.more && haul.problem.is_none() && haul.frames.len() == 10);

    let mut session = Session::new(PEER_SESSION_BYTES, T0);
    while session.patience(T0).is_some() {
        session.take(vec![0; 10]);
    }
    assert_eq!(session.end(T0).frames.len(), PEER_SESSION_EVENTS);

    let mut session = Session::new(1_000_000, T0);
    while session.patience(T0).is_some() {
        session.take(vec![0; 300_000]);
    }
    let haul = session.end(T0);
    assert_eq!((haul.bytes, haul.more), (1_200_000, true));

    let mut session = Session::new(PEER_SESSION_BYTES, T0);
    session.take(vec![0; PEER_PASSED_BYTES + 1]);
    assert_eq!(session.patience(T0), None);
    let haul = session.end(T0);
    assert!(haul.problem.is_some() && haul.frames.is_empty() && !haul.more);
    // A clock that steps back does not make a visit longer.
    assert_eq!(Session::new(1, T0).patience(T0 - 1), None);
}

#[test]
fn peers_are_visited_one_at_a_time_less_when_they_are_silent_and_less_when_they_fail() {
    let store = SqliteStore::open().unwrap();
    let mut relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
    let new = |index: usize| {
        let host = PeerHost::parse(&format!("p{index}.example.com")).unwrap();
        NewPeer { host, did: None, trust: Trust::Open, allow: Vec::new() }
    };
    assert_eq!(relay.next_alarm(&store, T0).unwrap(), None);
    relay.put_peer(&store, new(0)).unwrap();
    let host = new(0).host;
    let visited =
        |bytes, more, problem: Option<&str>| Visited { bytes, more, problem: problem.map(str::to_owned) };
    let mut now = T0;
    let mut visit = |relay: &mut Relay, visited| {
        assert_eq!(relay.take_visit(now).unwrap().host, host);
        assert!(relay.take_visit(now).is_none(), "one at a time");
        let before = store.counts().written;
        relay.visited(&store, &host, visited, now).unwrap();
        let pause = relay.urgent_alarm(now).unwrap() - now;
        now += pause;
        (pause, store.counts().written - before)
    };
    assert_eq!(visit(&mut relay, visited(10, false, None)), (PEER_PAUSE_MS, 1));
    assert_eq!(visit(&mut relay, visited(10, true, None)), (PEER_BUSY_PAUSE_MS, 1));
    let mut pauses = vec![PEER_PAUSE_MS];
    for _ in 0..12 {
        // The object sleeps in the longer ones.
        relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
        let (pause, rows) = visit(&mut relay, visited(0, false, None));
        assert_eq!(rows, 0, "silence costs no row");
        pauses.push(pause);
    }
    assert!(pauses.is_sorted() && pauses[1] == PEER_PAUSE_MS, "{pauses:?}");
    assert_eq!(pauses[11..], [PEER_MAX_PAUSE_MS; 2]);
    for seconds in PEER_BACKOFF_SECONDS.into_iter().chain([3_600, 3_600]) {
        assert_eq!(visit(&mut relay, visited(0, false, Some("away"))), (seconds * 1000, 1));
    }
    assert_eq!(relay.peers("", 1)[0].failures, 8);
    // What a crash interrupts is begun again when the alarm comes that was set meanwhile.
    relay.take_visit(now).unwrap();
    assert_eq!(relay.urgent_alarm(now), Some(now + PEER_MAX_PAUSE_MS));
    let mut relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
    assert_eq!(
        (relay.peers("", 1)[0].problem.as_deref(), relay.take_visit(now).is_some()),
        (Some("away"), true)
    );
    relay.visited(&store, &host, visited(0, false, None), now).unwrap();
    assert_eq!(relay.peers("", 1)[0].failures, 0);

    // A day's bytes are shared among the peers.
    relay.put_peer(&store, new(1)).unwrap();
    let share = usize::try_from(PEERS_DAY_BYTES / 2).unwrap();
    let other = new(1).host;
    assert_eq!(relay.take_visit(now).map(|visit| visit.host), Some(other.clone()));
    relay.visited(&store, &other, visited(share - 5, true, None), now).unwrap();
    now += PEER_BUSY_PAUSE_MS;
    assert_eq!(relay.take_visit(now).unwrap().max_bytes, 5);
    relay.visited(&store, &other, visited(100, true, None), now).unwrap();
    now += PEER_BUSY_PAUSE_MS;
    assert!(relay.take_visit(now).is_none_or(|visit| visit.host == host));
    relay.visited(&store, &host, visited(0, false, None), now).unwrap();
    now += 24 * 3_600_000;
    relay.take_visit(now).unwrap();
    relay.visited(&store, &host, visited(0, false, None), now).unwrap();
    assert_eq!(relay.take_visit(now).unwrap().max_bytes, PEER_SESSION_BYTES);
    for index in 2..=MAX_PEERS {
        assert_eq!(relay.put_peer(&store, new(index)).unwrap().is_some(), index < MAX_PEERS);
    }
    assert_eq!((relay.peers("", 10).len(), relay.peers("p62", 10).len()), (10, 5));
}
