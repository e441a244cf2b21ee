//! Storage that fails: each statement of each call once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use murmuration_firehose::{AccountEvent, AccountStatus, Event, Timestamp};
use murmuration_keys::seal::Keks;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Entropy, Store as _};
use murmuration_relay::wire::Told;
use murmuration_relay::{
    Filter, Found, Identities, NewHook, NewPeer, Outcome, PeerHost, Reads, Relay, RelayError, Trust, Visited,
};
use murmuration_syntax::Nsid;

use crate::common::author::{Author, frame};
use crate::common::{Dice, Drafts, Seeded, T0, Wires, did, small};

const READER: u64 = 1;
const RELAYS: [&str; 2] = ["https://one.relay.example", "https://two.relay.example"];
/// When the calls are made: what the world has told is old enough to go.
const NOW: u64 = T0 + 60_000;

/// A relay with events, webhooks that were told some of them, a peer, and relays that are to be asked to come.
struct World {
    store: SqliteStore,
    relay: Relay,
    wires: Wires,
    known: Identities,
    /// What the peer will say next.
    next: Vec<u8>,
    alice: Author,
}

fn keks() -> Keks {
    Keks::parse(&"3".repeat(64)).unwrap()
}

fn peer() -> NewPeer {
    let host = PeerHost::parse("peer.example.com").unwrap();
    NewPeer { host, did: None, trust: Trust::Open, allow: Vec::new() }
}

fn open(store: &SqliteStore) -> Relay {
    Relay::open(store, small(), &RELAYS.map(str::to_owned)).unwrap()
}

fn hook(owner: u64) -> NewHook {
    let url = format!("https://hook-{owner}.example.com/");
    NewHook { did: did(owner), url, filter: Filter::default(), wanted: "{}".to_owned() }
}

fn add_hook(world: &mut World, owner: u64, seed: u64) -> Result<u64, RelayError> {
    let entropy = Seeded(RefCell::new(Dice(seed)));
    let made = world.relay.add_hook(&world.store, hook(owner), &keks(), &entropy, NOW)?;
    Ok(made.unwrap().0.id)
}

fn append(world: &mut World, drafts: &Drafts, now: u64) -> Result<(), RelayError> {
    // As an agent pushes again: what of it is known is asked of the log.
    world.relay.append(&world.store, &world.wires, &drafts.push(false, now), now).map(drop)
}

fn standing(ord: u64) -> Drafts {
    let time = Timestamp::from_micros(NOW * 1000);
    let event = AccountEvent { did: did(1), inactive: Some(AccountStatus::Deactivated), time };
    Drafts(did(1), vec![(ord, Event::Account(event).draft().unwrap())])
}

fn take_in(world: &mut World) -> Result<(), RelayError> {
    let (host, frames) = (peer().host, [world.next.clone()]);
    let taken = world.relay.take_in(&world.store, &world.wires, (&host, &frames), (&world.known, 64), NOW)?;
    assert_eq!((taken.wants.len(), taken.end), (0, None));
    Ok(())
}

fn mend(world: &mut World) -> Result<(), RelayError> {
    let (host, did) = (peer().host, world.alice.did.clone());
    let shown = (Some(world.alice.sync()), &world.known);
    world.relay.mend(&world.store, &world.wires, (&host, &did), shown, NOW).map(drop)
}

fn deliver(world: &mut World) -> Result<(), RelayError> {
    let taken = world.relay.take_deliveries(&world.store, &keks(), NOW)?;
    for delivery in taken {
        let taken = Outcome::Answered { status: 204, retry_after: None };
        world.relay.delivered(&world.store, delivery.id, taken, 7, NOW)?;
    }
    Ok(())
}

impl World {
    fn new() -> Self {
        let store = SqliteStore::open().unwrap();
        let mut alice = Author::new(0);
        let known =
            [(alice.did.clone(), Found::Account(alice.identity("https://peer.example.com", true)))].into();
        let first = frame(1, &Event::Commit(alice.write(10)));
        let next = frame(2, &Event::Commit(alice.write(10)));
        let relay = open(&store);
        let mut world = Self { store, relay, wires: Wires::default(), known, next: first, alice };
        world.relay.put_peer(&world.store, peer()).unwrap();
        for ord in 1..=8 {
            append(&mut world, &Drafts::new(ord % 2 + 1, [ord]), T0 + ord * 500).unwrap();
        }
        for (owner, seed) in [(1, 1), (2, 2)] {
            add_hook(&mut world, owner, seed).unwrap();
        }
        take_in(&mut world).unwrap();
        deliver(&mut world).unwrap();
        world.next = next;
        world.relay = open(&world.store);
        world.wires.open(READER);
        world.relay.subscribe(&world.wires, READER, None, Reads::Frames);
        world
    }

    /// Every row of every table.
    fn storage(&self) -> BTreeMap<String, String> {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let dump = |name: String| {
            let rows = self.store.query(&format!("SELECT * FROM {name}"), &[]).unwrap();
            (name, format!("{rows:?}"))
        };
        self.store.query(tables, &[]).unwrap().into_iter().map(|mut row| dump(row.text(0).unwrap())).collect()
    }

    /// What a reader was told.
    fn told(&self) -> usize {
        self.wires.with(READER, |wire| wire.waiting.len() + wire.received.len())
    }
}

const NONE: [&str; 0] = [];

/// The tables that are not the same.
fn changed<'a>(a: &'a BTreeMap<String, String>, b: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).map(String::as_str).collect()
}

type Call = fn(&mut World) -> Result<(), RelayError>;

/// Calls, and whether nothing at all is stored when they fail. The others do one thing after another, each whole.
const CALLS: &[(&str, bool, Call)] = &[
    ("append", true, |world| append(world, &Drafts::new(2, [20, 21, 22]), NOW)),
    ("append what is not active", true, |world| append(world, &standing(20), NOW)),
    ("take in", true, take_in),
    ("mend", true, mend),
    ("be told", false, |world| {
        let collections = ["com.example.one", "com.example.two"].map(|name| Nsid::parse(name).unwrap());
        world.relay.told(&world.store, &Told { did: did(1), collections: collections.into() })
    }),
    ("purge", false, |world| world.relay.purge(&world.store, did(1).as_str(), 8)),
    ("prune", false, |world| {
        while world.relay.prune(&world.store, NOW)? {}
        Ok(())
    }),
    ("send to webhooks", false, |world| {
        append(world, &Drafts::new(2, [20]), NOW)?;
        deliver(world)
    }),
    ("make a webhook", true, |world| add_hook(world, 3, 3).map(drop)),
    ("delete a webhook", true, |world| {
        let id = world.relay.hooks(&world.store, &did(1))?.first().map_or(0, |hook| hook.id);
        world.relay.delete_hook(&world.store, &did(1), id).map(drop)
    }),
    ("seal secrets anew", false, |world| {
        let both = Keks::parse(&format!("1:{},2:{}", "3".repeat(64), "4".repeat(64))).unwrap();
        // The same for each, so that it is the same when it is done again.
        let found = world.relay.reseal_hooks(&world.store, &both, &Same)?;
        assert!(found.done);
        Ok(())
    }),
    ("put a peer", true, |world| {
        world.relay.put_peer(&world.store, NewPeer { trust: Trust::Blocked, ..peer() }).map(drop)
    }),
    ("have visited", true, |world| {
        let visited = Visited { bytes: 10, more: false, problem: Some("away".to_owned()) };
        world.relay.visited(&world.store, &peer().host, visited, NOW)
    }),
    ("ask to crawl", false, |world| {
        // Somebody who reads has come already.
        world.relay.unsubscribe(&world.store, READER, NOW)?;
        world.relay.start(&world.store, NOW)?;
        world.relay.take_crawls(&world.store, NOW)?;
        RELAYS.iter().try_for_each(|url| Ok(world.relay.crawl_accepted(&world.store, url)?))
    }),
];

struct Same;

impl Entropy for Same {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// A call that failed and is made again ends as one that did not, when the relay was opened anew in between, as its host does. Events
/// are stored with all that follows from them, or not at all, and are told when they are.
#[test]
fn sim_every_statement_of_every_call_fails_once() {
    for (name, whole, call) in CALLS {
        let mut never = World::new();
        call(&mut never).unwrap();
        let expected = never.storage();
        let mut statement = 0;
        loop {
            let mut world = World::new();
            let before = (world.storage(), world.told());
            world.store.fail_after(Some(statement));
            let outcome = call(&mut world);
            let fired = !world.store.fault_armed();
            world.store.fail_after(None);
            if !fired {
                outcome.unwrap();
                assert_eq!(changed(&expected, &world.storage()), NONE, "{name}");
                break;
            }
            assert!(
                matches!(outcome, Err(RelayError::Store(_))),
                "{name}, statement {statement}: {outcome:?}"
            );
            if *whole {
                assert_eq!(changed(&before.0, &world.storage()), NONE, "{name}, statement {statement}");
                assert_eq!(world.told(), before.1, "{name}, statement {statement}");
            }
            world.relay = open(&world.store);
            call(&mut world).unwrap();
            assert_eq!(changed(&expected, &world.storage()), NONE, "{name}, statement {statement}");
            statement += 1;
        }
        assert!(statement > 0, "{name} stores nothing");
    }
}
