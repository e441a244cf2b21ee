//! What is dropped, and what goes on without it.

use murmuration_comms::limits::{
    FORGET_MICROS, FORGET_OWN_MICROS, GAP_WAIT_MICROS, OPEN_TASK_MICROS, RETENTION_MICROS, TOO_OLD_MICROS,
};
use murmuration_comms::{Attempt, Claim, CommsError, Delivery, Outcome, Parcel};
use murmuration_platform::Store;

use crate::common::{Agent, NOW, SECOND};

const DAY: u64 = 24 * 60 * 60 * SECOND;

fn count(agent: &Agent, table: &str) -> i64 {
    agent.store.query(&format!("SELECT count(*) FROM {table}"), &[]).unwrap()[0].int(0).unwrap()
}

/// Sends messages from Alice to Bob, each delivered.
fn exchange(alice: &Agent, bob: &Agent, thread: &str, times: &[u64]) -> Vec<Parcel> {
    times
        .iter()
        .map(|at| {
            let parcel = alice.send(bob, Some(thread), "x", *at);
            bob.receive(&parcel, *at).unwrap();
            let delivered = [(bob.did.clone(), Attempt::Delivered)];
            alice.comms.settle(parcel.header().id, &delivered, *at, 0).unwrap();
            parcel
        })
        .collect()
}

fn read(bob: &Agent, now: u64) -> usize {
    let claim = Claim { max: 50, micros: 60 * SECOND, kinds: &[] };
    let items = bob.comms.claim(&claim, now).unwrap();
    let done: Vec<_> = items.iter().map(|item| (item.lease.unwrap().id(), Outcome::Done)).collect();
    assert!(bob.comms.acknowledge(&done, now).unwrap().is_empty());
    items.len()
}

#[test]
fn messages_go_a_month_after_all_was_done_with_them_some_a_run() {
    let (mut alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    let times: Vec<u64> = (0..10).map(|n| NOW + n * SECOND).collect();
    exchange(&alice, &bob, "t", &times);
    assert_eq!(read(&bob, NOW + 20 * SECOND), 10);
    for (agent, table) in [(&mut alice, "sent"), (&mut bob, "inbox")] {
        agent.restart();
        let due = agent.comms.next_drop(NOW).unwrap().unwrap();
        assert!((NOW + RETENTION_MICROS..NOW + RETENTION_MICROS + SECOND).contains(&due));
        assert!(agent.comms.drop_old(due - SECOND, 4).unwrap());
        assert_eq!(count(agent, table), 10);
        let late = NOW + RETENTION_MICROS + 20 * SECOND;
        // Whoever sleeps until it is time finds that it is.
        agent.restart();
        assert_eq!(agent.comms.next_drop(late).unwrap(), Some(late));
        for left in [6, 2, 0] {
            assert_eq!(agent.comms.drop_old(late, 4).unwrap(), left == 0, "{left}");
            assert_eq!(count(agent, table), left);
            if left > 0 {
                assert_eq!(agent.comms.next_drop(late).unwrap(), Some(late), "at once");
            }
        }
        // What is left is where the thread began, for long.
        assert!(agent.comms.next_drop(late).unwrap().unwrap() >= late + FORGET_MICROS);
        assert_eq!(count(agent, "dropped"), 1);
    }
}

#[test]
fn a_thread_goes_on_behind_what_was_dropped_of_it() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let old = exchange(&alice, &bob, "t", &[NOW, NOW + SECOND]);
    assert_eq!(read(&bob, NOW + 2 * SECOND), 2);
    let later = NOW + RETENTION_MICROS + DAY;
    assert!(alice.comms.drop_old(later, 9).unwrap() && bob.comms.drop_old(later, 9).unwrap());
    assert_eq!((count(&alice, "sent"), count(&bob, "inbox")), (0, 0));
    let new = exchange(&alice, &bob, "t", &[later]);
    assert_eq!((new[0].header().seq, new[0].header().prev.is_some()), (3, true));
    // No gap is seen, nor waited for.
    assert!(bob.comms.thread("t", None, 9, later).unwrap().gaps.is_empty());
    assert_eq!(read(&bob, later), 1);
    // What was dropped does not come again, also not by a clock that lies.
    for parcel in &old {
        assert!(matches!(bob.receive(parcel, later), Err(CommsError::Expired)));
        assert!(matches!(bob.receive(parcel, NOW + SECOND), Err(CommsError::Conflict)));
    }
    // Nor does another follow what was dropped.
    let forger = Agent::new("alice");
    let fork = [NOW, NOW + SECOND].map(|at| forger.send(&bob, Some("t"), "other", at))[1].clone();
    let mut header = fork.header().clone();
    (header.seq, header.created_at) = (3, later / 1000 * 1000);
    let fork = forger.open_parcel(header, "fork");
    assert!(matches!(bob.receive(&fork, later), Err(CommsError::Conflict)));
}

#[test]
fn what_is_not_done_stays() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    exchange(&alice, &bob, "t", &[NOW]);
    let mut header = alice.header(&[&bob], Some("t"), NOW + SECOND);
    header.kind = "agent.comms.request".parse().unwrap();
    let request = alice.open_parcel(header, "review");
    alice.comms.send(&request, &request.to_cbor().unwrap(), b"", None, NOW + SECOND).unwrap();
    bob.receive(&request, NOW + SECOND).unwrap();
    let delivered = [(bob.did.clone(), Attempt::Delivered)];
    alice.comms.settle(request.header().id, &delivered, NOW + SECOND, 0).unwrap();
    let waiting = alice.send(&bob, Some("u"), "x", NOW + 2 * SECOND);
    let later = NOW + RETENTION_MICROS + DAY;
    assert!(alice.comms.drop_old(later, 9).unwrap() && bob.comms.drop_old(later, 9).unwrap());
    // The request and what is not delivered; and what Bob has not read.
    assert_eq!((count(&alice, "sent"), count(&bob, "inbox")), (2, 2));
    assert!(alice.comms.sent(waiting.header().id).unwrap().is_some());
    // They are looked at once a day, not all the time.
    assert_eq!(alice.comms.next_drop(later).unwrap(), Some(later + DAY));
    assert_eq!(read(&bob, later), 2);
    assert!(bob.comms.drop_old(later, 9).unwrap());
    assert_eq!(count(&bob, "inbox"), 1);
    let end = NOW + OPEN_TASK_MICROS + DAY;
    assert!(bob.comms.drop_old(end, 9).unwrap());
    assert_eq!(count(&bob, "inbox"), 0);
}

#[test]
fn what_is_older_than_any_sender_tries_is_refused() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let parcel = alice.send(&bob, None, "x", NOW);
    assert!(matches!(bob.receive(&parcel, NOW + TOO_OLD_MICROS), Err(CommsError::Expired)));
    assert_eq!(bob.receive(&parcel, NOW + TOO_OLD_MICROS - SECOND).unwrap(), Delivery::Delivered);
}

#[test]
fn whoever_has_missed_what_was_dropped_is_told_so() {
    let (alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    assert_eq!(bob.comms.earliest().unwrap(), 1);
    exchange(&alice, &bob, "t", &[NOW, NOW + SECOND]);
    let late = alice.send(&bob, Some("u"), "x", NOW);
    let away = Attempt::Later {
        retry_after_seconds: None,
        reason: "away".into(),
        fault: false,
        keeper: Some(murmuration_comms::Keeper::Alarm),
    };
    for (attempt, hours) in [(away, 1), (Attempt::Delivered, 2)] {
        alice
            .comms
            .settle(late.header().id, &[(bob.did.clone(), attempt)], NOW + hours * 3600 * SECOND, 0)
            .unwrap();
        assert_eq!(count(&alice, "late_receipt"), 1);
    }
    assert_eq!(read(&bob, NOW + 2 * SECOND), 2);
    let later = NOW + RETENTION_MICROS + DAY;
    assert!(alice.comms.drop_old(later, 9).unwrap() && bob.comms.drop_old(later, 9).unwrap());
    assert_eq!(count(&alice, "late_receipt"), 0, "its number goes with a message");
    bob.restart();
    assert_eq!(alice.comms.earliest().unwrap(), NOW + 2 * 3600 * SECOND + 1);
    assert_eq!(bob.comms.earliest().unwrap(), NOW + SECOND + 1);
}

#[test]
fn where_a_thread_began_is_forgotten_in_the_end_and_the_thread_goes_on() {
    let (alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    exchange(&alice, &bob, "t", &[NOW, NOW + SECOND]);
    exchange(&alice, &bob, "u", &[NOW]);
    assert_eq!(read(&bob, NOW + 2 * SECOND), 3);
    let dropped = NOW + RETENTION_MICROS + DAY;
    assert!(alice.comms.drop_old(dropped, 9).unwrap() && bob.comms.drop_old(dropped, 9).unwrap());
    assert_eq!([count(&alice, "dropped"), count(&bob, "dropped")], [2, 2]);
    // The reader forgets first, so that whoever counts anew is read.
    assert_eq!(bob.comms.next_drop(dropped).unwrap(), Some(dropped + FORGET_MICROS));
    bob.restart();
    let forget = dropped + FORGET_MICROS + 1;
    assert_eq!(bob.comms.next_drop(forget).unwrap(), Some(forget));
    let drop_all = |now| alice.comms.drop_old(now, 9).unwrap() && bob.comms.drop_old(now, 9).unwrap();
    assert!(drop_all(dropped + FORGET_MICROS));
    assert_eq!([count(&alice, "dropped"), count(&bob, "dropped")], [2, 2]);
    let later = dropped + FORGET_MICROS + DAY;
    assert!(drop_all(later));
    assert_eq!([count(&alice, "dropped"), count(&bob, "dropped")], [2, 0]);
    let third = exchange(&alice, &bob, "t", &[later]);
    assert_eq!((third[0].header().seq, read(&bob, later + 2 * GAP_WAIT_MICROS)), (3, 1));
    // A thread of which something is left stays.
    let end = dropped + FORGET_OWN_MICROS + DAY;
    assert!(drop_all(end));
    assert_eq!([count(&alice, "dropped"), count(&bob, "dropped")], [1, 1]);
    let anew = exchange(&alice, &bob, "u", &[end]);
    assert_eq!((anew[0].header().seq, read(&bob, end)), (1, 1));
    // What is forgotten is refused all the same when it comes again.
    assert!(matches!(
        bob.receive(&third[0], end),
        Err(CommsError::Expired | CommsError::Conflict) | Ok(Delivery::Duplicate)
    ));
}
