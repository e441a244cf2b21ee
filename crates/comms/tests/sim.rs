//! Seeded worlds: a network that loses, repeats and reorders, objects that forget, workers that die.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_comms::limits::{GAP_WAIT_MICROS, MAX_ATTEMPTS};
use murmuration_comms::{Attempt, Claim, CommsError, Delivery, DeliveryState, Item, Keeper, Outcome, Parcel};
use murmuration_syntax::Did;

use crate::common::{Agent, NOW, Random, SECOND, text};

const THREADS: [&str; 3] = ["a", "b", "c"];
const MESSAGES: usize = 120;

/// A parcel on its way, and when it gets there.
struct Flight {
    at: u64,
    sender: usize,
    parcel: Parcel,
}

/// Thread, sender and number.
type Place = (String, Did, u64);

struct World {
    random: Random,
    senders: Vec<Agent>,
    reader: Agent,
    now: u64,
    flights: Vec<Flight>,
    /// What was dealt with, in order, by thread and sender.
    done: BTreeMap<(String, Did), Vec<u64>>,
    handed_out: BTreeMap<Place, u32>,
    /// What has come.
    arrived: BTreeSet<Place>,
    /// What was handed out with the message at hand.
    batch: BTreeSet<Place>,
    repeats: usize,
    gaps: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::of(seed),
            senders: vec![Agent::new("alice"), Agent::new("bob")],
            reader: Agent::new("reader"),
            now: NOW,
            flights: Vec::new(),
            done: BTreeMap::new(),
            handed_out: BTreeMap::new(),
            arrived: BTreeSet::new(),
            batch: BTreeSet::new(),
            repeats: 0,
            gaps: 0,
        }
    }

    /// Puts a parcel on its way: none, one or two of it arrive, some time later.
    fn throw(&mut self, sender: usize, parcel: &Parcel) {
        for _ in 0..[0, 1, 1, 1, 2][self.random.below(5)] {
            let at = self.now + self.random.next() % (20 * SECOND);
            self.flights.push(Flight { at, sender, parcel: parcel.clone() });
        }
    }

    /// One parcel arrives; its answer may be lost.
    fn land(&mut self) {
        let due: Vec<usize> = (0..self.flights.len()).filter(|at| self.flights[*at].at <= self.now).collect();
        if due.is_empty() {
            return;
        }
        let flight = self.flights.swap_remove(due[self.random.below(due.len())]);
        flight.parcel.verify(&self.senders[flight.sender].sender()).unwrap();
        let attempt = match self.reader.receive(&flight.parcel, self.now) {
            Ok(Delivery::Delivered) => {
                let header = flight.parcel.header();
                self.arrived.insert((header.thread.clone(), header.from.clone(), header.seq.into()));
                Attempt::Delivered
            }
            Ok(Delivery::Duplicate) => {
                self.repeats += 1;
                Attempt::Delivered
            }
            Err(CommsError::Busy { seconds, .. }) => Attempt::Later {
                retry_after_seconds: Some(seconds),
                reason: "busy".into(),
                fault: false,
                keeper: Some(Keeper::Alarm),
            },
            other => panic!("{other:?}"),
        };
        if self.random.below(4) > 0 {
            self.settle(flight.sender, &flight.parcel, attempt);
        }
    }

    fn settle(&self, sender: usize, parcel: &Parcel, attempt: Attempt) {
        let attempts = [(self.reader.did.clone(), attempt)];
        let random = self.random.next();
        self.senders[sender].comms.settle(parcel.header().id, &attempts, self.now, random).unwrap();
    }

    /// The alarm of a sender: what is due is thrown again.
    fn retry(&mut self, sender: usize) {
        for due in self.senders[sender].comms.due(self.now, 10).unwrap() {
            assert_eq!([due.first, due.again].concat(), std::slice::from_ref(&self.reader.did));
            let parcel = Parcel::from_cbor(&due.parcel).unwrap();
            self.settle(
                sender,
                &parcel,
                Attempt::Later {
                    retry_after_seconds: None,
                    reason: String::new(),
                    fault: false,
                    keeper: Some(Keeper::Alarm),
                },
            );
            self.throw(sender, &parcel);
        }
    }

    /// A worker takes some messages, and may die before it says what became of them.
    fn work(&mut self) {
        let claim = Claim { max: 1 + self.random.below(5), micros: 15 * SECOND, kinds: &[] };
        let items = self.reader.comms.claim(&claim, self.now).unwrap();
        let mut stopped = BTreeSet::new();
        self.batch.clear();
        for item in items {
            let (place, seq) = place(&item);
            self.check_order(&item, &place, seq);
            *self.handed_out.entry((place.0.clone(), place.1.clone(), seq)).or_default() += 1;
            match self.random.below(12) {
                // Behind one that it has not dealt with it goes no further in the thread.
                _ if stopped.contains(&place) => {}
                0 => drop(stopped.insert(place)),
                1 => {
                    self.say(&item, Outcome::Retry { delay_micros: Some(SECOND), reason: None });
                    stopped.insert(place);
                }
                _ if text(&item).starts_with("poison") => drop(stopped.insert(place)),
                _ => self.say(&item, Outcome::Done),
            }
        }
    }

    /// What comes before a message that is handed out is done, dead, or handed out with it; or it has not come, and was waited
    /// for.
    fn check_order(&mut self, item: &Item, place: &(String, Did), seq: u64) {
        for before in 1..seq {
            let name = (place.0.clone(), place.1.clone(), before);
            let is_done = self.done.get(place).is_some_and(|done| done.contains(&before));
            let times = self.handed_out.get(&name).copied().unwrap_or(0);
            if is_done || times >= MAX_ATTEMPTS || self.batch.contains(&name) {
                continue;
            }
            assert!(!self.arrived.contains(&name), "{name:?} before {seq}");
            let directly = before == seq - 1;
            assert!(!directly || self.now >= item.received_at + GAP_WAIT_MICROS, "{name:?} before {seq}");
            self.gaps += usize::from(directly);
        }
        self.batch.insert((place.0.clone(), place.1.clone(), seq));
    }

    fn say(&mut self, item: &Item, outcome: Outcome) {
        let is_done = outcome == Outcome::Done;
        let results = [(item.lease.unwrap().id(), outcome)];
        assert!(self.reader.comms.acknowledge(&results, self.now).unwrap().is_empty());
        if is_done {
            let parcel = Parcel::from_cbor(&item.parcel).unwrap();
            let header = parcel.header();
            self.done
                .entry((header.thread.clone(), header.from.clone()))
                .or_default()
                .push(header.seq.into());
        }
    }

    fn step(&mut self) {
        self.now += self.random.next() % SECOND;
        match self.random.below(12) {
            0..=5 => self.land(),
            6..=8 => self.work(),
            9 => self.reader.restart(),
            n => {
                let sender = n - 10;
                if self.random.below(5) == 0 {
                    self.senders[sender].restart();
                }
                self.retry(sender);
            }
        }
    }

    fn queued(&self) -> bool {
        self.senders.iter().any(|sender| sender.comms.next_due().unwrap().is_some())
    }
}

/// The thread, the sender and the number of a message.
fn place(item: &Item) -> ((String, Did), u64) {
    let parcel = Parcel::from_cbor(&item.parcel).unwrap();
    let header = parcel.header();
    ((header.thread.clone(), header.from.clone()), header.seq.into())
}

fn run(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    let mut sent: BTreeMap<(String, Did), Vec<u64>> = BTreeMap::new();
    for n in 0..MESSAGES {
        let sender = world.random.below(2);
        let thread = THREADS[world.random.below(3)];
        let what = if world.random.below(40) == 0 { format!("poison {n}") } else { format!("{n}") };
        world.now += 1000 + world.random.next() % SECOND;
        let parcel = world.senders[sender].send(&world.reader, Some(thread), &what, world.now);
        let header = parcel.header();
        if !what.starts_with("poison") {
            sent.entry((thread.to_owned(), header.from.clone())).or_default().push(header.seq.into());
        }
        world.throw(sender, &parcel);
        for _ in 0..3 {
            world.step();
        }
    }
    let mut idle = 0;
    while idle < 400 {
        let before = world.done.values().map(Vec::len).sum::<usize>();
        world.step();
        world.now += SECOND;
        let moved = world.done.values().map(Vec::len).sum::<usize>() != before;
        idle = if moved || world.queued() || !world.flights.is_empty() { 0 } else { idle + 1 };
    }
    // None lost, none twice in effect.
    let mut done = world.done.clone();
    done.values_mut().for_each(|seqs| seqs.sort_unstable());
    assert_eq!(done, sent, "seed {seed}");
    // Nothing was handed out more often than may be.
    assert!(world.handed_out.values().all(|times| *times <= MAX_ATTEMPTS), "seed {seed}");
    for sender in &world.senders {
        assert_eq!(sender.comms.next_due().unwrap(), None);
    }
    let thread = |name| world.reader.comms.thread(name, None, 1, world.now);
    assert!(THREADS.iter().all(|name| thread(name).map_or(true, |page| page.gaps.is_empty())), "seed {seed}");
    (world.repeats, world.gaps)
}

#[test]
fn sim_nothing_is_lost_and_nothing_has_an_effect_twice() {
    let (mut repeats, mut gaps) = (0, 0);
    for seed in 0..40 {
        let (repeated, skipped) = run(seed);
        repeats += repeated;
        gaps += skipped;
    }
    // The worlds are as rough as they are meant to be.
    assert!(repeats > 500 && gaps > 50, "{repeats} {gaps}");
}

/// Where nothing takes longer than is waited for, order is kept without exception.
#[test]
fn sim_order_is_kept_whatever_the_order_of_arrival() {
    for seed in 0..60 {
        let random = Random::of(seed);
        let (alice, mut reader) = (Agent::new("alice"), Agent::new("reader"));
        let mut parcels: Vec<Parcel> = (0..40)
            .map(|n| {
                let thread = THREADS[random.below(3)];
                alice.send(&reader, Some(thread), &n.to_string(), NOW + n * 1000)
            })
            .collect();
        let mut done: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut now = NOW;
        while !parcels.is_empty() || done.values().map(Vec::len).sum::<usize>() < 40 {
            now += GAP_WAIT_MICROS / 200;
            if !parcels.is_empty() && random.below(2) == 0 {
                let parcel = parcels.swap_remove(random.below(parcels.len()));
                reader.receive(&parcel, now).unwrap();
            }
            if random.below(10) == 0 {
                reader.restart();
            }
            let claim = Claim { max: 3, micros: SECOND / 4, kinds: &[] };
            for item in reader.comms.claim(&claim, now).unwrap() {
                // A worker that dies says nothing of what is left.
                if random.below(6) == 0 && item.attempts < MAX_ATTEMPTS {
                    break;
                }
                let results = [(item.lease.unwrap().id(), Outcome::Done)];
                assert!(reader.comms.acknowledge(&results, now).unwrap().is_empty());
                let parcel = Parcel::from_cbor(&item.parcel).unwrap();
                done.entry(parcel.header().thread.clone()).or_default().push(parcel.header().seq);
            }
        }
        for seqs in done.values() {
            assert!(seqs.iter().zip(1..).all(|(seq, place)| *seq == place), "seed {seed}: {seqs:?}");
        }
    }
}

#[test]
fn every_fault_of_the_storage_leaves_all_or_nothing() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut at = NOW;
    for statements in 0..12 {
        at += SECOND;
        let parcel = alice.open_parcel(alice.header(&[&bob], None, at), "x");
        let bytes = parcel.to_cbor().unwrap();
        alice.store.fail_after(Some(statements));
        if alice.comms.send(&parcel, &bytes, b"", None, at).is_err() {
            alice.store.fail_after(None);
            assert!(alice.comms.sent(parcel.header().id).unwrap().is_none());
            alice.comms.send(&parcel, &bytes, b"", None, at).unwrap();
        }
        alice.store.fail_after(None);
        bob.store.fail_after(Some(statements));
        if bob.receive(&parcel, at).is_err() {
            bob.store.fail_after(None);
            assert_eq!(bob.receive(&parcel, at).unwrap(), Delivery::Delivered);
        }
        bob.store.fail_after(None);
        let delivered = [(bob.did.clone(), Attempt::Delivered)];
        alice.store.fail_after(Some(statements));
        let _ = alice.comms.settle(parcel.header().id, &delivered, at, 0);
        alice.store.fail_after(None);
        let receipts = alice.comms.settle(parcel.header().id, &delivered, at, 0).unwrap().receipts;
        assert_eq!((receipts[0].state, receipts[0].attempts), (DeliveryState::Delivered, 1));

        let claim = Claim { max: 9, micros: SECOND, kinds: &[] };
        bob.store.fail_after(Some(statements));
        let first = bob.comms.claim(&claim, at);
        bob.store.fail_after(None);
        let items = first.or_else(|_| bob.comms.claim(&claim, at)).unwrap();
        assert_eq!((items.len(), items[0].attempts), (1, 1));
        let done = [(items[0].lease.unwrap().id(), Outcome::Done)];
        bob.store.fail_after(Some(statements));
        let said = bob.comms.acknowledge(&done, at).is_ok();
        bob.store.fail_after(None);
        assert_eq!(bob.comms.acknowledge(&done, at).unwrap().is_empty(), !said);
    }
}
