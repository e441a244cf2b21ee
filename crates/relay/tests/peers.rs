//! Peers: what they say is believed as far as it is true, told once, and to readers of events alone.

use std::cell::Cell;

use murmuration_data::{Ipld, cbor};
use murmuration_firehose::{
    AccountStatus, CommitEvent, Event, IdentityEvent, MAX_FRAME_BYTES, MAX_REV_AHEAD_MICROS, error_frame,
    info_frame,
};
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Param, Row, RowCounts, Store, StoreError};
use murmuration_relay::limits::{MAX_PEER_ACCOUNTS, PEER_MEND_SECONDS, PEER_SESSION_BYTES};
use murmuration_relay::{
    End, Filter, Found, Identities, LogConfig, NewPeer, PeerHost, Reads, Relay, Session, Trust, Want,
};
use murmuration_syntax::{Did, Handle};
use serde_json::Value;

use crate::common;
use crate::common::author::{Author, frame, time};
use crate::common::{Drafts, T0, Wires};

const PDS: &str = "https://peer.example.com";
const FRAMES: u64 = 1;
const EVENTS: u64 = 2;

fn host() -> PeerHost {
    PeerHost::parse("peer.example.com").unwrap()
}

fn peer(trust: Trust, allow: &[&Author]) -> NewPeer {
    let allow = allow.iter().map(|author| author.did.clone()).collect();
    NewPeer { host: host(), did: None, trust, allow }
}

/// A relay with a peer, a reader of frames and one of events.
struct World {
    store: SqliteStore,
    relay: Relay,
    wires: Wires,
    known: Identities,
    seq: u64,
}

impl World {
    fn new(authors: &[&Author]) -> Self {
        let store = SqliteStore::open().unwrap();
        let mut relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
        let wires = Wires::default();
        wires.open(FRAMES);
        wires.open(EVENTS);
        relay.subscribe(&wires, FRAMES, None, Reads::Frames);
        relay.subscribe(&wires, EVENTS, None, Reads::Events(Filter::default()));
        relay.put_peer(&store, peer(Trust::Open, &[])).unwrap().unwrap();
        let mut world = Self { store, relay, wires, known: Identities::new(), seq: 0 };
        authors.iter().for_each(|author| world.know(author, PDS, true));
        world
    }

    fn know(&mut self, author: &Author, pds: &str, fresh: bool) {
        self.known.insert(author.did.clone(), Found::Account(author.identity(pds, fresh)));
    }

    /// The peer says this, under its next numbers.
    fn says(&mut self, events: &[Event]) -> Vec<Want> {
        let frames: Vec<_> = events
            .iter()
            .map(|event| {
                self.seq += 1;
                frame(self.seq, event)
            })
            .collect();
        let taken = self.take_in(&frames);
        assert_eq!(taken.1, None);
        taken.0
    }

    fn take_in(&mut self, frames: &[Vec<u8>]) -> (Vec<Want>, Option<End>) {
        let taken =
            self.relay.take_in(&self.store, &self.wires, (&host(), frames), (&self.known, 64), T0).unwrap();
        (taken.wants, taken.end)
    }

    /// What the reader of events has been told since this was last asked: kind, account, rev.
    fn told(&self) -> Vec<(String, String, String)> {
        self.wires.drain_all();
        assert_eq!(
            self.wires.with(FRAMES, |wire| wire.received.len()),
            0,
            "a peer's event in the host's own stream"
        );
        let mut wires = self.wires.0.borrow_mut();
        let wire = wires.get_mut(&EVENTS).unwrap();
        std::mem::take(&mut wire.received).iter().map(|text| summary(text)).collect()
    }

    fn mends(&self, now: u64) -> usize {
        self.relay.mends(&self.store, &host(), now).unwrap().len()
    }
}

fn summary(text: &[u8]) -> (String, String, String) {
    let told: Value = serde_json::from_slice(text).unwrap();
    let payload = &told["payload"];
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    (text("$type").rsplit('#').next().unwrap().to_owned(), text("did"), text("rev"))
}

fn commit(event: &CommitEvent) -> (String, String, String) {
    ("commit".to_owned(), event.repo.to_string(), event.rev.to_string())
}

#[test]
fn what_is_true_is_told_in_order_and_not_in_the_hosts_own_stream() {
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let mut world = World::new(&[&alice, &bob]);
    let own = Drafts::new(7, [1]);
    let before = world.store.counts().written;
    let commits: Vec<CommitEvent> =
        (0..20).flat_map(|_| [alice.write(100), bob.write(100)]).take(32).collect();
    let events: Vec<Event> = commits.iter().cloned().map(Event::Commit).collect();
    assert!(world.says(&events).is_empty());
    assert_eq!(
        world.store.counts().written - before,
        2 + 1 + 1 + 1,
        "accounts, peer, log, and the entry of a new partition"
    );
    let before = world.store.counts().written;
    let more = Event::Commit(alice.write(100));
    assert!(world.says(std::slice::from_ref(&more)).is_empty());
    assert_eq!(world.store.counts().written - before, 3, "an event alone: account, peer, log");
    let mut expected: Vec<_> = commits.iter().map(commit).collect();
    expected.push(summary_of(&more));
    assert_eq!(world.told(), expected);

    // An event of the host's own goes to both, and replays tell the same as what came live.
    world.relay.append(&world.store, &world.wires, &own.push(true, T0), T0).unwrap();
    world.wires.drain_all();
    assert_eq!(world.wires.with(FRAMES, common::Wire::seqs), [34], "numbers of one count, with a gap");
    assert_eq!(world.wires.with(EVENTS, |wire| wire.received.len()), 1);
    for (id, reads, count) in [(3, Reads::Frames, 1), (4, Reads::Events(Filter::default()), 34)] {
        world.wires.open(id);
        world.relay.subscribe(&world.wires, id, Some("0"), reads);
        while world.relay.pump(&world.store, &world.wires, T0).unwrap() != murmuration_relay::Pump::Idle {
            world.wires.drain_all();
        }
        world.wires.drain_all();
        assert_eq!(world.wires.with(id, |wire| wire.received.len()), count);
    }
    let page = world.relay.page(&world.store, Some("0"), &Filter::default(), 500).unwrap().unwrap();
    assert_eq!((page.events.len(), page.cursor), (34, 34));
    // Who comes back to where only a peer has spoken since is told nothing, and lives on.
    world.says(&[Event::Commit(bob.write(1))]);
    world.wires.open(5);
    world.relay.subscribe(&world.wires, 5, Some("34"), Reads::Frames);
    assert_eq!(world.relay.pump(&world.store, &world.wires, T0).unwrap(), murmuration_relay::Pump::Idle);
    world.relay.append(&world.store, &world.wires, &Drafts::new(7, [2]).push(true, T0), T0).unwrap();
    world.wires.drain_all();
    assert_eq!(world.wires.with(5, common::Wire::seqs), [36]);
}

fn summary_of(event: &Event) -> (String, String, String) {
    match event {
        Event::Commit(event) => commit(event),
        _ => panic!(),
    }
}

#[test]
fn what_is_not_true_is_passed_over_and_changes_nothing() {
    let (mut alice, mut mallory) = (Author::new(0), Author::new(1));
    let mut elsewhere = Author::new(2);
    let mut world = World::new(&[&alice, &mallory]);
    world.know(&elsewhere, "https://other.example.com", true);
    world.known.insert(Author::new(3).did, Found::Nobody);
    let first = alice.write(10);
    assert!(world.says(&[Event::Commit(first.clone())]).is_empty());
    assert_eq!(world.told(), [commit(&first)]);
    // Another key has signed it, in her name.
    let mut forged = Author::new(1);
    forged.did = alice.did.clone();
    let forgery = forged.write_at(T0 * 1000 + 5, 10);
    let future = mallory.write_at(T0 * 1000 + MAX_REV_AHEAD_MICROS + 1, 10);
    let lies = [
        Event::Commit(first.clone()),
        Event::Commit(elsewhere.write(10)),
        Event::Commit(Author::new(3).write(10)),
        Event::Commit(future),
        Event::Sync({
            let mut sync = forged.sync();
            sync.did = alice.did.clone();
            sync
        }),
        elsewhere.standing(Some(AccountStatus::Deleted)),
        Event::Identity(IdentityEvent { did: elsewhere.did.clone(), handle: None, time: time() }),
    ];
    let before = world.store.counts().written;
    assert!(world.says(&lies).is_empty());
    assert_eq!((world.told(), world.store.counts().written - before), (Vec::new(), 0));
    assert_eq!(world.mends(u64::MAX >> 12), 0, "who lies about others puts nobody out of step");
    // A forgery that follows from her last commit is refused for its signature, and her own goes on from there.
    let mut chained = forgery;
    let next = alice.write(10);
    (chained.since, chained.prev_data) = (next.since, next.prev_data);
    world.says(&[Event::Commit(chained), Event::Commit(next.clone())]);
    assert_eq!(world.told(), [commit(&next)]);
    let view = &world.relay.peers("", 10)[0];
    assert_eq!((view.cursor, view.accounts), (world.seq, 1), "what was passed over is not asked for again");
}

#[test]
fn frames_that_have_been_are_not_taken_again() {
    let mut alice = Author::new(0);
    let mut world = World::new(&[&alice]);
    let frames: Vec<_> = (1..=10).map(|seq| frame(seq, &Event::Commit(alice.write(10)))).collect();
    world.take_in(&frames[..6]);
    world.take_in(&frames[2..8]);
    world.take_in(&frames);
    assert_eq!(world.told().len(), 10);
    // A peer that begins to count anew is read from its beginning, and what was told already is not told again.
    assert_eq!(world.take_in(&[error_frame("FutureCursor", "")]).1, Some(End::Peer("FutureCursor".into())));
    assert_eq!(world.relay.peers("", 1)[0].cursor, 0);
    let next = frame(11, &Event::Commit(alice.write(10)));
    world.take_in(&[&frames[..], &[next]].concat());
    assert_eq!(world.told().len(), 1);
}

#[test]
fn a_chain_that_breaks_is_mended_by_a_sync_or_by_what_its_host_shows() {
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let mut world = World::new(&[&alice, &bob]);
    world.says(&[Event::Commit(alice.write(10)), Event::Commit(bob.write(10))]);
    world.told();
    // One is lost on the way; another forks from her past; one says that it is too large to be said.
    let _ = alice.write(10);
    assert!(world.says(&[Event::Commit(alice.write(10)), Event::Commit(alice.write(10))]).is_empty());
    assert_eq!(world.told(), []);
    assert_eq!((world.mends(T0), world.mends(T0 - 1)), (1, 0));
    world.says(&[Event::Sync(alice.sync())]);
    let next = alice.write(10);
    world.says(&[Event::Commit(next.clone())]);
    let told = world.told();
    assert_eq!((told[0].0.as_str(), told.len(), &told[1]), ("sync", 2, &commit(&next)));
    assert_eq!(world.mends(T0), 0);

    let whole = bob.write(10);
    let fork = CommitEvent { prev_data: Some(alice.head.data), ..whole.clone() };
    world.says(&[Event::Commit(fork), Event::Commit(whole)]);
    assert_eq!((world.mends(T0), world.told()), (1, Vec::new()), "who says two things is believed neither");
    // Its host shows nothing, then something false, then the truth.
    let mut now = T0;
    let bad = Some(alice.sync());
    for (shown, pause) in [None, bad].into_iter().zip(PEER_MEND_SECONDS) {
        let known = (shown, &world.known);
        world.relay.mend(&world.store, &world.wires, (&host(), &bob.did), known, now).unwrap();
        now += pause * 1000;
        assert_eq!((world.mends(now - 1), world.mends(now)), (0, 1));
    }
    let known = (Some(bob.sync()), &world.known);
    world.relay.mend(&world.store, &world.wires, (&host(), &bob.did), known, now).unwrap();
    let next = bob.write(10);
    world.says(&[Event::Commit(next.clone())]);
    let told = world.told();
    assert_eq!((told[0].0.as_str(), &told[1], world.mends(u64::MAX >> 12)), ("sync", &commit(&next), 0));

    // After some times it waits for the account's own word.
    let mut lost = bob.write(10);
    lost.ops.clear();
    world.says(&[Event::Commit(lost)]);
    for _ in 0..=PEER_MEND_SECONDS.len() {
        world.relay.mend(&world.store, &world.wires, (&host(), &bob.did), (None, &world.known), now).unwrap();
    }
    assert_eq!(world.mends(now + (1 << 40)), 0);
    world.says(&[Event::Sync(bob.sync()), Event::Commit(bob.write(10))]);
    assert_eq!(world.told().len(), 2);
}

#[test]
fn an_event_that_is_not_as_the_lexicon_has_it_puts_its_account_out_of_step() {
    let mut alice = Author::new(0);
    let mut world = World::new(&[&alice]);
    world.says(&[Event::Commit(alice.write(10))]);
    world.told();
    let frame = frame(2, &Event::Commit(alice.write(10)));
    let (header, length) = cbor::decode_prefix(&frame).unwrap();
    let Ipld::Map(mut fields) = cbor::decode(&frame[length..]).unwrap() else { panic!() };
    fields.insert("tooBig".to_owned(), Ipld::Bool(true));
    let large = [cbor::encode(&header).unwrap(), cbor::encode(&Ipld::Map(fields)).unwrap()].concat();
    assert_eq!(world.take_in(&[large]), (Vec::new(), None));
    assert_eq!((world.told(), world.mends(T0), world.relay.peers("", 1)[0].cursor), (Vec::new(), 1, 2));
}

#[test]
fn a_frame_that_is_too_large_costs_its_account_its_place_and_blocks_nobody() {
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let mut world = World::new(&[&alice, &bob]);
    let first = frame(1, &Event::Commit(alice.write(10)));
    let small = frame(2, &Event::Commit(alice.write(10)));
    let behind = frame(3, &Event::Commit(bob.write(10)));
    let (header, length) = cbor::decode_prefix(&small).unwrap();
    let Ipld::Map(mut fields) = cbor::decode(&small[length..]).unwrap() else { panic!() };
    fields.insert("blocks".to_owned(), Ipld::Bytes(vec![7; MAX_FRAME_BYTES + 1]));
    let large = [cbor::encode(&header).unwrap(), cbor::encode(&Ipld::Map(fields)).unwrap()].concat();
    let mut session = Session::new(PEER_SESSION_BYTES, T0);
    session.take(first);
    session.take(large);
    let haul = session.end(T0);
    assert!(haul.more && haul.problem.is_none());
    assert_eq!(world.take_in(&haul.frames).1, None);
    assert_eq!(world.take_in(&[behind]).1, None);
    assert_eq!((world.told().len(), world.mends(T0), world.relay.peers("", 1)[0].cursor), (2, 1, 3));
}

#[test]
fn what_is_no_stream_ends_the_visit_and_moves_nothing() {
    let mut alice = Author::new(0);
    let mut world = World::new(&[&alice]);
    let good = frame(1, &Event::Commit(alice.write(10)));
    let later = frame(2, &Event::Commit(alice.write(10)));
    let mut cut = later.clone();
    cut.truncate(later.len() - 3);
    for bad in [b"".to_vec(), b"\xff\xff".to_vec(), b"{\"op\":1}".to_vec(), cut, vec![0xa1; 4000]] {
        let (wants, end) = world.take_in(&[good.clone(), bad, later.clone()]);
        assert!(wants.is_empty() && matches!(end, Some(End::Peer(_))), "{end:?}");
        assert_eq!(world.relay.peers("", 1)[0].cursor, 1);
    }
    assert_eq!(world.told().len(), 1);
    // What says nothing of an account is passed over, and an error without a name has none.
    world.take_in(&[info_frame("OutdatedCursor", ""), later]);
    assert_eq!(world.told().len(), 1);
    let (_, end) = world.take_in(&[error_frame("<script>", "")]);
    assert_eq!(end, Some(End::Peer("an error without a name".into())));
}

#[test]
fn what_was_known_before_is_looked_up_anew_before_anybody_is_called_a_liar() {
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let mut world = World::new(&[]);
    let event = Event::Commit(alice.write(10));
    let bobs = Event::Commit(bob.write(10));
    let renamed = |handle: &str| {
        let handle = Some(Handle::parse(handle).unwrap());
        Event::Identity(IdentityEvent { did: alice.did.clone(), handle, time: time() })
    };
    let want = |author: &Author, fresh| Want { did: author.did.clone(), fresh };
    let frames = [frame(1, &event), frame(2, &bobs), frame(3, &event)];
    assert_eq!(world.take_in(&frames).0, [want(&alice, false), want(&bob, false)]);
    // Both were known otherwise: the one had another key, the other another host.
    let mut old = Author::new(5);
    old.did = alice.did.clone();
    world.know(&old, PDS, false);
    world.know(&bob, "https://other.example.com", false);
    assert_eq!(world.take_in(&frames).0, [want(&alice, true), want(&bob, true)]);
    assert_eq!((world.told(), world.relay.peers("", 1)[0].cursor), (Vec::new(), 0), "nothing was judged yet");
    world.know(&alice, PDS, true);
    world.know(&bob, PDS, true);
    assert_eq!(world.take_in(&frames), (Vec::new(), None));
    assert_eq!(world.told().len(), 2);
    // News of an identity is reason enough, and a handle is told where the document claims it.
    world.know(&alice, PDS, false);
    let news = [frame(4, &renamed("real.example.com")), frame(5, &renamed("false.example.com"))];
    assert_eq!(world.take_in(&news).0, [want(&alice, true)]);
    world.know(&alice, PDS, true);
    assert_eq!(world.take_in(&news), (Vec::new(), None));
    world.wires.drain_all();
    let handles = world.wires.with(EVENTS, |wire| {
        let told: Vec<Value> =
            wire.received.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
        told.iter().map(|told| told["payload"]["handle"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(handles, [Value::from("real.example.com"), Value::Null]);

    // Look-ups are bounded: what comes first is judged, the rest another time.
    world.known.remove(&bob.did);
    let frames = [frame(6, &Event::Commit(alice.write(1))), frame(7, &Event::Commit(bob.write(1)))];
    let none = (&world.known, 0);
    let taken = world.relay.take_in(&world.store, &world.wires, (&host(), &frames), none, T0).unwrap();
    assert_eq!((taken.end, world.relay.peers("", 1)[0].cursor), (Some(End::Lookups), 6));
    // The directory is away: nothing is passed over for that.
    world.known.insert(bob.did.clone(), Found::NoAnswer);
    assert_eq!(world.take_in(&frames).1, Some(End::Away));
    assert_eq!(world.relay.peers("", 1)[0].cursor, 6);
}

#[test]
fn an_account_at_rest_is_silent_and_lists_and_limits_hold() {
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let mut world = World::new(&[&alice, &bob]);
    world.says(&[Event::Commit(alice.write(1)), alice.standing(Some(AccountStatus::Takendown))]);
    let skipped = alice.write(1);
    world.says(&[Event::Commit(skipped.clone()), alice.standing(None), Event::Sync(alice.sync())]);
    let kinds: Vec<_> = world.told().into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["commit", "account", "account", "sync"]);
    let odd = AccountStatus::Other("x".repeat(1_000));
    world.says(&[alice.standing(Some(odd)), alice.standing(None)]);
    world.wires.drain_all();
    assert!(world.wires.with(EVENTS, |wire| wire.received.iter().all(|text| text.len() < 400)));
    world.told();

    world.relay.put_peer(&world.store, peer(Trust::Allowlist, &[&alice])).unwrap();
    world.says(&[Event::Commit(bob.write(1)), Event::Commit(alice.write(1))]);
    assert_eq!(world.told().len(), 1);
    world.relay.put_peer(&world.store, peer(Trust::Blocked, &[&alice])).unwrap();
    world.says(&[Event::Commit(alice.write(1))]);
    assert_eq!((world.told().len(), world.relay.take_visit(T0).is_none()), (0, true));

    world.relay.put_peer(&world.store, peer(Trust::Open, &[])).unwrap();
    let many: Vec<Author> = (0..MAX_PEER_ACCOUNTS)
        .map(|index| {
            let mut author = Author::new(2);
            author.did = Did::parse(&format!("did:web:a{index}.example.com")).unwrap();
            author
        })
        .collect();
    many.iter().for_each(|author| world.know(author, PDS, true));
    let events: Vec<Event> =
        many.iter().map(|author| author.standing(Some(AccountStatus::Deactivated))).collect();
    for events in events.chunks(100) {
        world.says(events);
    }
    assert_eq!(world.told().len() as u64, MAX_PEER_ACCOUNTS - 1, "she was there before");
    assert_eq!(world.relay.peers("", 1)[0].accounts, MAX_PEER_ACCOUNTS);
    world.relay = Relay::open(&world.store, LogConfig::default(), &[]).unwrap();
    assert_eq!(world.relay.peers("", 1)[0].accounts, MAX_PEER_ACCOUNTS);
}

#[test]
fn a_commit_too_large_for_a_row_is_told_as_the_sync_that_it_amounts_to() {
    let mut alice = Author::new(0);
    let mut world = World::new(&[&alice]);
    let mut large = alice.write(900_000);
    // Blocks that nobody needs are no reason to refuse it.
    let padding: Vec<u8> = cbor::encode(&Ipld::Bytes(vec![7; 990_000])).unwrap();
    murmuration_repo::car::block(&mut large.blocks, &murmuration_data::cid_of_cbor(&padding), &padding);
    let rest: Vec<u8> = cbor::encode(&Ipld::Bytes(vec![8; 95_000])).unwrap();
    murmuration_repo::car::block(&mut large.blocks, &murmuration_data::cid_of_cbor(&rest), &rest);
    assert!(Event::Commit(large.clone()).draft().is_err() && large.blocks.len() < 2_000_000);
    let small = frame(
        1,
        &Event::Commit({
            let mut small = large.clone();
            small.blocks.clear();
            small
        }),
    );
    let (header, length) = cbor::decode_prefix(&small).unwrap();
    let Ipld::Map(mut fields) = cbor::decode(&small[length..]).unwrap() else { panic!() };
    fields.insert("blocks".to_owned(), Ipld::Bytes(large.blocks));
    let frame = [cbor::encode(&header).unwrap(), cbor::encode(&Ipld::Map(fields)).unwrap()].concat();
    assert_eq!(world.take_in(&[frame]), (Vec::new(), None));
    assert_eq!(world.told()[0].0, "sync");
    world.seq = 1;
    let next = alice.write(1);
    world.says(&[Event::Commit(next.clone())]);
    assert_eq!(world.told(), [commit(&next)]);
}

/// A store whose statement of a number fails, as all after it.
struct Failing<'a>(&'a SqliteStore, Cell<u64>);

impl Store for Failing<'_> {
    fn query_within(&self, sql: &str, params: &[Param<'_>], max: usize) -> Result<Vec<Row>, StoreError> {
        let left = self.1.get().checked_sub(1).ok_or_else(|| StoreError::Engine("it is broken".into()))?;
        self.1.set(left);
        self.0.query_within(sql, params, max)
    }

    fn transact(&self, body: &mut dyn FnMut() -> bool) -> Result<(), StoreError> {
        self.0.transact(body)
    }

    fn counts(&self) -> RowCounts {
        self.0.counts()
    }

    fn size(&self) -> Result<u64, StoreError> {
        self.0.size()
    }
}

#[test]
fn a_crash_anywhere_repeats_and_loses_nothing() {
    let (mut alice, mut bob) = (Author::new(0), Author::new(1));
    let mut frames = Vec::new();
    for seq in (1..=40).step_by(2) {
        frames.push(frame(seq, &Event::Commit(alice.write(10))));
        frames.push(frame(seq + 1, &Event::Commit(bob.write(10))));
    }
    let world = World::new(&[&alice, &bob]);
    let (store, known) = (&world.store, &world.known);
    let mut crashes = 0;
    let mut seen: Vec<String> = Vec::new();
    'frames: for part in frames.chunks(7) {
        for statements in 0.. {
            // The object has died, and wakes to what is stored.
            let mut relay = Relay::open(store, LogConfig::default(), &[]).unwrap();
            let wires = Wires::default();
            wires.open(EVENTS);
            relay.subscribe(&wires, EVENTS, None, Reads::Events(Filter::default()));
            let failing = Failing(store, Cell::new(statements));
            // All frames, from the beginning, as a peer might send them again.
            let end = frames.iter().position(|frame| frame == part.last().unwrap()).unwrap();
            let asked = (&host(), &frames[..=end]);
            let done = relay.take_in(&failing, &wires, asked, (known, 9), T0).is_ok();
            wires.drain_all();
            let told = wires.with(EVENTS, |wire| wire.received.len());
            if done {
                assert_eq!(told, part.len());
                continue 'frames;
            }
            assert_eq!(told, 0, "what is not stored is not told");
            crashes += 1;
        }
    }
    assert!(crashes > 20, "{crashes}");
    let page = world_page(store);
    seen.extend(page);
    let expected: Vec<String> = frames.iter().map(|_| "commit".to_owned()).collect();
    assert_eq!(seen, expected);
}

fn world_page(store: &SqliteStore) -> Vec<String> {
    let relay = Relay::open(store, LogConfig::default(), &[]).unwrap();
    let page = relay.page(store, Some("0"), &Filter::default(), 500).unwrap().unwrap();
    let mut revs = std::collections::BTreeSet::new();
    let kinds = page.events.iter().map(|event| {
        let event: Value = serde_json::from_str(event).unwrap();
        assert!(revs.insert((event["did"].to_string(), event["rev"].to_string())), "told twice: {event}");
        event["$type"].as_str().unwrap().rsplit('#').next().unwrap().to_owned()
    });
    kinds.collect()
}

#[test]
fn the_index_is_told_of_a_peers_accounts_as_of_others() {
    let mut alice = Author::new(0);
    let mut world = World::new(&[&alice]);
    world.relay.take_poke();
    world.says(&[Event::Commit(alice.write(1))]);
    assert!(!world.relay.take_poke(), "what is no memory");
    world.says(&[alice.standing(None)]);
    assert!(world.relay.take_poke());
    let own = Drafts::new(7, [1]);
    world.relay.append(&world.store, &world.wires, &own.push(true, T0), T0).unwrap();
    let page = world.relay.published(&world.store, 0).unwrap();
    assert_eq!(page.frames.iter().map(|(own, _)| *own).collect::<Vec<_>>(), [false]);
}
