//! What waits in a line while something before it fails, and what goes on.

use murmuration_comms::limits::{FLUSH_PAUSE_MICROS, MAX_AGE_MICROS, STEP_ASIDE_FAULTS, STEP_ASIDE_TRIES};
use murmuration_comms::{Attempt, DeliveryState, Due, Keeper, Parcel, Settled, Ticket};
use murmuration_syntax::{Did, Tid};

use crate::common::{Agent, NOW, SECOND};

fn away() -> Attempt {
    Attempt::Later {
        retry_after_seconds: None,
        reason: "away".into(),
        fault: false,
        keeper: Some(Keeper::Queue),
    }
}

fn fault(keeper: Option<Keeper>) -> Attempt {
    Attempt::Later { retry_after_seconds: None, reason: "500".into(), fault: true, keeper }
}

/// Sends a message, and says to whom it goes at once.
fn send(from: &Agent, to: &[&Agent], thread: &str, at: u64) -> (Tid, Vec<Did>) {
    let parcel = from.open_parcel(from.header(to, Some(thread), at), "x");
    let (first, _) = from.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, at).unwrap();
    (parcel.header().id, first)
}

fn settle(agent: &Agent, id: Tid, to: &Agent, attempt: Attempt, now: u64) -> Settled {
    agent.comms.settle(id, &[(to.did.clone(), attempt)], now, 7).unwrap()
}

fn names(next: &[Due]) -> Vec<(Tid, bool)> {
    next.iter().map(|due| (due.id, due.aside.is_empty())).collect()
}

#[test]
fn what_follows_a_failure_waits_for_it_and_goes_one_behind_the_other() {
    let (mut alice, bob, carol) = (Agent::new("alice"), Agent::new("bob"), Agent::new("carol"));
    let ids: Vec<Tid> = (0..4)
        .map(|n| {
            let at = NOW + n * SECOND;
            let (id, first) = send(&alice, &[&bob], "t", at);
            // The first two are under way together: nothing has failed yet.
            assert_eq!(first.len(), usize::from(n < 2), "{n}");
            if n == 1 {
                assert!(settle(&alice, id, &bob, away(), at).next.is_empty());
            }
            id
        })
        .collect();
    // Other threads and other readers do not wait.
    assert_eq!(send(&alice, &[&bob], "u", NOW + 9 * SECOND).1, std::slice::from_ref(&bob.did));
    assert_eq!(send(&alice, &[&carol], "t", NOW + 9 * SECOND).1, std::slice::from_ref(&carol.did));
    let (both, first) = send(&alice, &[&bob, &carol], "t", NOW + 10 * SECOND);
    assert_eq!(first, std::slice::from_ref(&carol.did));

    let mut now = NOW + 20 * SECOND;
    assert!(settle(&alice, ids[0], &bob, Attempt::Delivered, now).next.is_empty());
    let mut expected = [&ids[2], &ids[3], &both].into_iter();
    let mut id = ids[1];
    for n in 0..4 {
        // Memory may go at any time.
        alice.restart();
        let receipt = alice.comms.sent(id).unwrap().unwrap().receipts.remove(0);
        assert_eq!(receipt.state, DeliveryState::Queued);
        now += SECOND;
        let next = settle(&alice, id, &bob, Attempt::Delivered, now).next;
        let Some(expected) = expected.next() else {
            assert!(next.is_empty());
            break;
        };
        assert_eq!(names(&next), [(*expected, true)], "{n}");
        assert_eq!(next[0].first, std::slice::from_ref(&bob.did));
        Parcel::from_cbor(&next[0].parcel).unwrap();
        // If whoever is to try it dies, the alarm does it.
        assert!(alice.comms.due(now + 20 * SECOND, 99).unwrap().iter().any(|due| due.id == *expected));
        id = *expected;
    }
}

#[test]
fn a_ticket_or_the_alarm_does_not_try_what_is_held() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let head = send(&alice, &[&bob], "t", NOW).0;
    settle(&alice, head, &bob, away(), NOW);
    let (held, first) = send(&alice, &[&bob], "t", NOW + SECOND);
    assert!(first.is_empty());
    assert_eq!(alice.comms.redeem(held, &bob.did, NOW + 60 * SECOND).unwrap(), Ticket::Void);
    let due = alice.comms.due(NOW + MAX_AGE_MICROS, 9).unwrap();
    assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [head]);
}

#[test]
fn one_that_fails_again_and_again_steps_aside_and_is_tried_when_another_gets_through() {
    let (mut alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut now = NOW;
    let poison = send(&alice, &[&bob], "t", now).0;
    let sent: Vec<Tid> = (1..=3).map(|n| send(&alice, &[&bob], "t", now + n).0).collect();
    settle(&alice, sent[0], &bob, Attempt::Delivered, now);
    settle(&alice, sent[1], &bob, Attempt::Delivered, now);
    settle(&alice, sent[2], &bob, Attempt::Delivered, now);
    let mut held = Vec::new();
    for tries in 1..=STEP_ASIDE_FAULTS {
        now += 60 * SECOND;
        let next = settle(&alice, poison, &bob, fault(Some(Keeper::Queue)), now).next;
        if tries < STEP_ASIDE_FAULTS {
            assert!(next.is_empty(), "{tries}");
            let (id, first) = send(&alice, &[&bob], "t", now);
            assert!(first.is_empty());
            held.push(id);
        } else {
            assert_eq!(names(&next), [(held[0], true)]);
        }
        if tries % 2 == 0 {
            alice.restart();
        }
    }
    // The next fails, too: it keeps the others, for it may be the host.
    settle(&alice, held[0], &bob, away(), now);
    let (id, first) = send(&alice, &[&bob], "t", now);
    assert!(first.is_empty());
    held.push(id);
    now += FLUSH_PAUSE_MICROS;
    // It gets through: what has stepped aside is tried again, and the next is let go.
    let next = settle(&alice, held[0], &bob, Attempt::Delivered, now).next;
    assert_eq!(names(&next), [(poison, false), (held[1], true)]);
    let before = alice.comms.sent(poison).unwrap().unwrap().receipts.remove(0);
    let settled = settle(&alice, poison, &bob, fault(None), now);
    let after = &settled.receipts[0];
    assert_eq!((after.keeper, after.due, after.attempts), (before.keeper, before.due, before.attempts));
    assert!(settled.next.is_empty());
    // It keeps nobody, and is not tried with each that gets through.
    for (this, next) in held[1..].iter().zip(&held[2..]) {
        now += FLUSH_PAUSE_MICROS / 10;
        assert_eq!(names(&settle(&alice, *this, &bob, Attempt::Delivered, now).next), [(*next, true)]);
    }
    settle(&alice, held[held.len() - 1], &bob, Attempt::Delivered, now);
    assert_eq!(send(&alice, &[&bob], "t", now).1.len(), 1);
    assert!(settle(&alice, poison, &bob, Attempt::Delivered, now).next.is_empty());
    assert_eq!(alice.comms.sent(poison).unwrap().unwrap().receipts[0].state, DeliveryState::Delivered);
}

#[test]
fn a_host_that_does_not_answer_keeps_the_line_for_longer_and_is_asked_whenever_something_is_sent() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let head = send(&alice, &[&bob], "t", NOW).0;
    for tries in 1..STEP_ASIDE_TRIES {
        assert!(settle(&alice, head, &bob, away(), NOW + u64::from(tries)).next.is_empty());
    }
    let say = |at| {
        let parcel = alice.open_parcel(alice.header(&[&bob], Some("t"), at), "x");
        alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, at).unwrap()
    };
    let (first, heads) = say(NOW + FLUSH_PAUSE_MICROS + 99);
    assert!(first.is_empty());
    assert_eq!((names(&heads), &heads[0].aside), (vec![(head, false)], &vec![bob.did.clone()]));
    // Not with each that is sent.
    assert!(say(NOW + FLUSH_PAUSE_MICROS + 100).1.is_empty());
    let next = settle(&alice, head, &bob, away(), NOW + 60 * SECOND).next;
    assert_eq!(next.len(), 1, "and in the end it may be the message");
}

#[test]
fn nobody_is_asked_before_the_time_that_they_have_asked_for_whatever_is_sent() {
    let (mut alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let head = send(&alice, &[&bob], "t", NOW).0;
    let busy =
        |keeper| Attempt::Later { retry_after_seconds: Some(60), reason: "429".into(), fault: false, keeper };
    settle(&alice, head, &bob, busy(Some(Keeper::Queue)), NOW);
    let heads = |alice: &Agent, at| {
        let parcel = alice.open_parcel(alice.header(&[&bob], Some("t"), at), "x");
        alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, at).unwrap().1.len()
    };
    alice.restart();
    assert_eq!(heads(&alice, NOW + 59 * SECOND), 0);
    assert_eq!(heads(&alice, NOW + 60 * SECOND), 1);
    // Nor by whoever has it, if it was asked when something was sent.
    let receipt = settle(&alice, head, &bob, busy(None), NOW + 60 * SECOND).receipts.remove(0);
    assert_eq!((receipt.attempts, receipt.due >= NOW + 120 * SECOND), (1, true));
    assert_eq!(heads(&alice, NOW + 119 * SECOND), 0);
}

#[test]
fn one_that_ends_badly_lets_the_next_go_and_what_has_expired_meanwhile_is_not_tried() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let head = send(&alice, &[&bob], "t", NOW).0;
    settle(&alice, head, &bob, away(), NOW);
    let mut header = alice.header(&[&bob], Some("t"), NOW + SECOND);
    header.expires_at = Some(NOW + 30 * SECOND);
    let short = alice.open_parcel(header, "x");
    alice.comms.send(&short, &short.to_cbor().unwrap(), b"", None, NOW + SECOND).unwrap();
    let last = send(&alice, &[&bob], "t", NOW + 2 * SECOND).0;
    let next = settle(&alice, head, &bob, Attempt::Rejected("no".into()), NOW + 60 * SECOND).next;
    assert_eq!(names(&next), [(last, true)]);
    let receipts = alice.comms.sent(short.header().id).unwrap().unwrap().receipts;
    assert_eq!(receipts[0].state, DeliveryState::Expired);
}

#[test]
fn what_the_queue_gives_up_lets_the_next_go() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let head = send(&alice, &[&bob], "t", NOW).0;
    settle(&alice, head, &bob, away(), NOW);
    let held = send(&alice, &[&bob], "t", NOW + SECOND).0;
    alice.comms.give_up(head, &bob.did, NOW + 2 * SECOND).unwrap();
    let due = alice.comms.due(NOW + 30 * SECOND, 9).unwrap();
    assert_eq!((due.len(), due[0].id, due[0].first.len()), (1, held, 1));
}

#[test]
fn a_held_message_costs_one_row_more_and_the_usual_one_none() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let head = send(&alice, &[&bob], "t", NOW).0;
    settle(&alice, head, &bob, away(), NOW);
    let before = alice.rows_written();
    let held = send(&alice, &[&bob], "t", NOW + SECOND).0;
    settle(&alice, head, &bob, Attempt::Delivered, NOW + 2 * SECOND);
    settle(&alice, held, &bob, Attempt::Delivered, NOW + 3 * SECOND);
    // The row, the note of the head, the letting go, the note.
    assert_eq!(alice.rows_written() - before, 4);
}
