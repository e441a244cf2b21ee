//! How much there may be, and what it costs to have it.

use std::cell::Cell;
use std::rc::Rc;

use murmuration_comms::limits::{
    MAX_OPEN_BYTES_OF_SENDER, MAX_PARCEL_BYTES, MAX_STORED_BYTES, RETENTION_MICROS, TIGHT_PAUSE_MICROS,
    TIGHT_STORED_BYTES,
};
use murmuration_comms::{Attempt, Claim, Comms, CommsError, Delivery, Item, Outcome, Parcel};
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Param, Row, RowCounts, Store, StoreError};

use crate::common::{Agent, NOW, SECOND, text};

const MINUTE: u64 = 60 * SECOND;

fn claim(agent: &Agent, kinds: &[&str], now: u64) -> Vec<Item> {
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.parse().unwrap()).collect();
    agent.comms.claim(&Claim { max: 50, micros: MINUTE, kinds: &kinds }, now).unwrap()
}

fn done(agent: &Agent, items: &[Item], now: u64) {
    let results: Vec<_> = items.iter().map(|item| (item.lease.unwrap().id(), Outcome::Done)).collect();
    assert!(agent.comms.acknowledge(&results, now).unwrap().is_empty());
}

/// Steps of the engine in a call.
fn steps<T>(agent: &Agent, call: impl FnOnce() -> T) -> (u64, T) {
    let before = agent.store.steps();
    let outcome = call();
    (agent.store.steps() - before, outcome)
}

#[test]
fn the_bytes_of_a_sender_that_wait_are_bounded() {
    let (alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    let large = "x".repeat(400_000);
    let (mut now, mut bytes) = (NOW, 0);
    let refused = loop {
        now += SECOND;
        let parcel = alice.open_parcel(alice.header(&[&bob], Some(&now.to_string()), now), &large);
        match bob.receive(&parcel, now) {
            Ok(_) => bytes += u64::try_from(parcel.to_cbor().unwrap().len()).unwrap(),
            Err(error) => break (parcel, error),
        }
        // What is known of it outlives the object.
        bob.restart();
    };
    assert!(matches!(refused.1, CommsError::Busy { reason: "too many bytes wait", .. }), "{}", refused.1);
    let most = MAX_OPEN_BYTES_OF_SENDER;
    let largest = u64::try_from(MAX_PARCEL_BYTES).unwrap();
    assert!((most - largest..=most).contains(&bytes), "{bytes}");
    let carol = Agent::new("carol");
    assert!(bob.receive(&carol.send(&bob, None, "x", now), now).is_ok());
    // When some of it is dealt with, there is room.
    done(&bob, &claim(&bob, &[], now), now);
    assert_eq!(bob.receive(&refused.0, now + SECOND).unwrap(), Delivery::Delivered);
}

/// A storage that is larger than it is.
struct Swollen(Rc<SqliteStore>, Cell<u64>);

impl Store for Swollen {
    fn query_within(&self, sql: &str, params: &[Param<'_>], max: usize) -> Result<Vec<Row>, StoreError> {
        self.0.query_within(sql, params, max)
    }

    fn transact(&self, body: &mut dyn FnMut() -> bool) -> Result<(), StoreError> {
        self.0.transact(body)
    }

    fn counts(&self) -> RowCounts {
        self.0.counts()
    }

    fn size(&self) -> Result<u64, StoreError> {
        Ok(self.0.size()? + self.1.get())
    }
}

/// An agent, and how much larger its storage says it is.
fn swollen(name: &str) -> (Agent, Rc<Swollen>) {
    let mut agent = Agent::new(name);
    let store = Rc::new(Swollen(agent.store.clone(), Cell::new(0)));
    agent.comms = Comms::new(store.clone());
    (agent, store)
}

fn left(agent: &Agent, table: &str) -> i64 {
    agent.store.query(&format!("SELECT count(*) FROM {table}"), &[]).unwrap()[0].int(0).unwrap()
}

#[test]
fn what_is_done_goes_early_when_the_storage_is_nearly_full_the_oldest_first() {
    let ((alice, outbox), (bob, inbox)) = (swollen("alice"), swollen("bob"));
    let send = |text: &str, now| {
        let parcel = alice.send(&bob, Some(text), text, now);
        bob.receive(&parcel, now).unwrap();
        alice.comms.settle(parcel.header().id, &[(bob.did.clone(), Attempt::Delivered)], now, 0).unwrap();
    };
    for n in 0..6 {
        send(&n.to_string(), NOW + n * SECOND);
    }
    let now = NOW + MINUTE;
    let items = claim(&bob, &[], now);
    // All but the third is dealt with.
    let items: Vec<Item> = items.into_iter().filter(|item| text(item) != "2").collect();
    done(&bob, &items, now);
    for agent in [&alice, &bob] {
        assert!(agent.comms.next_drop(now).unwrap().unwrap() > now + RETENTION_MICROS / 2);
        assert!(agent.comms.drop_old(now, 9).unwrap());
    }
    assert_eq!((left(&alice, "sent"), left(&bob, "inbox")), (6, 6));

    for store in [&outbox, &inbox] {
        store.1.set(TIGHT_STORED_BYTES);
    }
    // The next message finds it so, and the alarm is soon, but not for each.
    send("six", now + SECOND);
    send("seven", now + 2 * SECOND);
    for agent in [&alice, &bob] {
        assert_eq!(agent.comms.next_drop(now).unwrap(), Some(now + SECOND + TIGHT_PAUSE_MICROS));
    }
    let now = now + SECOND + TIGHT_PAUSE_MICROS;
    assert!(!alice.comms.drop_old(now, 3).unwrap() && !bob.comms.drop_old(now, 3).unwrap());
    assert_eq!((left(&alice, "sent"), left(&bob, "inbox")), (5, 5));
    let kept = bob.comms.list(&murmuration_comms::Filter::default(), None, 9, now).unwrap();
    let kept: Vec<String> = kept.iter().map(text).collect();
    assert_eq!(kept, ["seven", "six", "5", "4", "2"], "what is not done stays");
    // When that was enough, the rest has its time.
    inbox.1.set(0);
    assert!(bob.comms.drop_old(now, 9).unwrap());
    assert_eq!(left(&bob, "inbox"), 5);
    // What comes again of what went early is not taken twice.
    assert!(matches!(bob.receive(&first(&alice, &bob), now), Err(CommsError::Conflict)));
}

/// The parcel that begins a thread that was dropped.
fn first(alice: &Agent, bob: &Agent) -> Parcel {
    let mut header = alice.header(&[bob], Some("0"), NOW);
    (header.seq, header.prev) = (1, None);
    alice.open_parcel(header, "0")
}

#[test]
fn a_full_storage_takes_and_sends_nothing() {
    let ((alice, outbox), (bob, inbox)) = (swollen("alice"), swollen("bob"));
    let parcel = alice.send(&bob, None, "one", NOW);
    inbox.1.set(MAX_STORED_BYTES);
    let rows = bob.rows_written();
    assert!(matches!(bob.receive(&parcel, NOW), Err(CommsError::Busy { .. })));
    assert!(matches!(bob.quarantine(&parcel, NOW), Err(CommsError::Busy { .. })));
    assert_eq!(bob.rows_written(), rows);
    outbox.1.set(MAX_STORED_BYTES);
    let next = alice.open_parcel(alice.header(&[&bob], None, NOW + SECOND), "two");
    let sent = alice.comms.send(&next, &next.to_cbor().unwrap(), b"", None, NOW + SECOND);
    assert!(matches!(sent, Err(CommsError::Busy { .. })));
    inbox.1.set(0);
    bob.receive(&parcel, NOW).unwrap();
}

#[test]
fn what_is_wanted_is_found_behind_any_number_of_messages_of_other_types() {
    let bob = Agent::new("bob");
    let mut now = NOW;
    for name in ["alice", "carol", "dave"] {
        let from = Agent::new(name);
        for n in 0..800 {
            now += SECOND;
            bob.receive(&from.send(&bob, None, &n.to_string(), now), now).unwrap();
        }
    }
    let zoe = Agent::new("zoe");
    let mut header = zoe.header(&[&bob], None, now);
    header.kind = "agent.comms.request".parse().unwrap();
    bob.receive(&zoe.open_parcel(header, "help"), now).unwrap();
    let items = claim(&bob, &["agent.comms.request"], now);
    assert_eq!(items.iter().map(text).collect::<Vec<_>>(), ["help"]);
    // Of the others, too, whoever claims reads what is handed out and no more.
    let (steps, items) = steps(&bob, || claim(&bob, &["agent.comms.message"], now));
    assert_eq!(items.len(), 50);
    assert!(steps < 50 * 100, "{steps}");
}

#[test]
fn one_message_that_nobody_claims_does_not_have_all_be_read_that_is_done_behind_it() {
    let (alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut header = alice.header(&[&bob], Some("left alone"), NOW);
    header.kind = "agent.comms.request".parse().unwrap();
    bob.receive(&alice.open_parcel(header, "help"), NOW).unwrap();
    let busy = ["agent.comms.message"];
    let cost = |bob: &mut Agent, now| {
        bob.receive(&alice.send(bob, Some("busy"), "x", now), now).unwrap();
        let (claimed, items) = steps(bob, || claim(bob, &busy, now));
        assert_eq!(items.len(), 1);
        let (acked, ()) = steps(bob, || done(bob, &items, now));
        bob.restart();
        let (woken, ()) = steps(bob, || assert!(claim(bob, &busy, now).is_empty()));

        (claimed + acked, woken)
    };
    let mut now = NOW;
    let deal = |bob: &Agent, times: u64, now: &mut u64| {
        for n in 0..times {
            *now += SECOND;
            bob.receive(&alice.send(bob, Some("busy"), &n.to_string(), *now), *now).unwrap();
            done(bob, &claim(bob, &busy, *now), *now);
        }
    };
    deal(&bob, 70, &mut now);
    let (few, woken_of_few) = cost(&mut bob, now + SECOND);
    now += SECOND;
    deal(&bob, 640, &mut now);
    let (many, woken_of_many) = cost(&mut bob, now + SECOND);
    assert!(many <= few + few / 4, "{few} and {many} steps");
    // It is woken with what has ended since the floor was stored, at most 64.
    assert!(woken_of_many <= woken_of_few + 64 * 12, "{woken_of_few} and {woken_of_many} steps");
    // And nothing is lost by it.
    assert_eq!(
        claim(&bob, &["agent.comms.request"], now + SECOND).iter().map(text).collect::<Vec<_>>(),
        ["help"]
    );
}

#[test]
fn one_delivery_that_waits_does_not_have_all_be_read_that_was_delivered_behind_it() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let later = |reason: &str| Attempt::Later {
        retry_after_seconds: Some(3600),
        reason: reason.into(),
        fault: false,
        keeper: Some(murmuration_comms::Keeper::Alarm),
    };
    let stuck = alice.send(&bob, Some("stuck"), "x", NOW);
    alice.comms.settle(stuck.header().id, &[(bob.did.clone(), later("away"))], NOW, 0).unwrap();
    let deliver = |now| {
        let parcel = alice.send(&bob, Some("busy"), "x", now);
        alice.comms.settle(parcel.header().id, &[(bob.did.clone(), Attempt::Delivered)], now, 0).unwrap();
        assert!(alice.comms.next_due().unwrap().is_some_and(|due| due > now));
        assert!(alice.comms.due(now, 20).unwrap().is_empty());
    };
    let mut now = NOW;
    let mut deal = |times: u64| {
        for _ in 0..times {
            now += SECOND;
            deliver(now);
        }
        now += SECOND;
        steps(&alice, || deliver(now)).0
    };
    let few = deal(20);
    let many = deal(640);
    assert!(many <= few + few / 4, "{few} and {many} steps");
    let due = alice.comms.next_due().unwrap().unwrap();
    assert_eq!(alice.comms.due(due, 20).unwrap()[0].id, stuck.header().id);
}
