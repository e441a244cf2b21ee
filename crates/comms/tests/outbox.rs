//! Messages that are sent: what becomes of them, the threads they are in, and the tasks they ask for.

use murmuration_comms::limits::{EARLY_MICROS, MAX_AGE_MICROS, MAX_TICKET_RETRIES, TICKET_PATIENCE_MICROS};
use murmuration_comms::{
    Attempt, Claim, CommsError, Delivery, DeliveryState, Keeper, Outcome, Parcel, Receipt, Role, TaskChange,
    TaskFilter, TaskState, Ticket, Verdict, backoff,
};
use murmuration_syntax::Tid;

use crate::common::{Agent, NOW, SECOND, text};

const MINUTE: u64 = 60 * SECOND;

fn later(retry_after_seconds: Option<u64>) -> Attempt {
    Attempt::Later {
        retry_after_seconds,
        reason: "the host is away".into(),
        fault: false,
        keeper: Some(Keeper::Alarm),
    }
}

fn states(receipts: &[Receipt]) -> Vec<DeliveryState> {
    receipts.iter().map(|receipt| receipt.state).collect()
}

fn settle(agent: &Agent, parcel: &Parcel, to: &Agent, attempt: Attempt, now: u64) -> Vec<Receipt> {
    agent.comms.settle(parcel.header().id, &[(to.did.clone(), attempt)], now, 7).unwrap().receipts
}

#[test]
fn a_message_is_due_until_every_recipient_has_it_or_never_will() {
    let (mut alice, bob, carol) = (Agent::new("alice"), Agent::new("bob"), Agent::new("carol"));
    let parcel = alice.open_parcel(alice.header(&[&bob, &carol], None, NOW), "x");
    let bytes = parcel.to_cbor().unwrap();
    alice.comms.send(&parcel, &bytes, b"digest", None, NOW).unwrap();
    // Whoever has sent it delivers it; the alarm waits for a while.
    assert!(alice.comms.due(NOW, 9).unwrap().is_empty());
    let due = alice.comms.next_due().unwrap().unwrap();
    assert!(due > NOW && due < NOW + MINUTE);
    assert_eq!(alice.comms.due(due, 9).unwrap()[0].first, [bob.did.clone(), carol.did.clone()]);

    assert_eq!(
        states(&settle(&alice, &parcel, &bob, Attempt::Delivered, NOW)),
        [DeliveryState::Delivered, DeliveryState::Queued]
    );
    settle(&alice, &parcel, &carol, later(Some(120)), NOW);
    alice.restart();
    assert!(alice.comms.due(NOW + 120 * SECOND - 1, 9).unwrap().is_empty());
    let due = alice.comms.next_due().unwrap().unwrap();
    assert!((NOW + 120 * SECOND..NOW + 123 * SECOND).contains(&due));
    let again = alice.comms.due(due, 9).unwrap().remove(0);
    assert_eq!((again.id, again.again, again.parcel), (parcel.header().id, vec![carol.did.clone()], bytes));
    assert!(again.first.is_empty());

    let receipts = settle(&alice, &parcel, &carol, Attempt::Rejected("blocked".into()), due);
    assert_eq!(states(&receipts), [DeliveryState::Delivered, DeliveryState::Rejected]);
    assert_eq!((receipts[1].attempts, receipts[1].reason.as_deref()), (2, Some("blocked")));
    assert_eq!(alice.comms.next_due().unwrap(), None);
    // What has ended stays so, whoever answers late.
    assert_eq!(settle(&alice, &parcel, &carol, Attempt::Delivered, due), receipts);
    assert_eq!(alice.comms.sent(parcel.header().id).unwrap().unwrap().receipts, receipts);
}

#[test]
fn what_nobody_takes_is_given_up_in_the_end() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let parcel = alice.send(&bob, None, "x", NOW);
    let (mut now, mut tries) = (NOW, 0);
    let receipt = loop {
        tries += 1;
        let receipt = settle(&alice, &parcel, &bob, later(None), now).remove(0);
        if receipt.state != DeliveryState::Queued {
            break receipt;
        }
        now = receipt.due;
    };
    assert_eq!((receipt.state, receipt.reason.as_deref()), (DeliveryState::Failed, Some("the host is away")));
    assert!(now > NOW + MAX_AGE_MICROS - 3 * 60 * MINUTE && now <= NOW + MAX_AGE_MICROS);
    assert!((40..MAX_TICKET_RETRIES).contains(&tries), "{tries}");
    assert_eq!(alice.comms.next_due().unwrap(), None);
}

#[test]
fn tries_of_three_days_are_fewer_than_a_queue_makes_of_a_ticket() {
    // Whatever is drawn: the shortest waits are the most tries.
    let (mut waited, mut tries) = (0, 0);
    while waited < MAX_AGE_MICROS {
        tries += 1;
        waited += backoff(tries, None, 0);
    }
    assert!(tries < MAX_TICKET_RETRIES - 10, "{tries}");
}

#[test]
fn a_delivery_has_one_keeper_at_a_time() {
    let (mut alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let parcel = alice.send(&bob, None, "x", NOW);
    let (id, bytes) = (parcel.header().id, parcel.to_cbor().unwrap());
    let kept = |keeper| Attempt::Later {
        retry_after_seconds: None,
        reason: "away".into(),
        fault: false,
        keeper: Some(keeper),
    };
    let redeem = |agent: &Agent, now| agent.comms.redeem(id, &bob.did, now).unwrap();
    // The sender died between the ticket and the note of it: both the ticket and the alarm are good.
    assert_eq!(redeem(&alice, NOW + 2 * SECOND), Ticket::Try(bytes.clone()));
    assert_eq!(alice.comms.due(NOW + MINUTE, 9).unwrap()[0].first, std::slice::from_ref(&bob.did));

    // The queue has it: the alarm looks away until the queue is late.
    let due = settle(&alice, &parcel, &bob, kept(Keeper::Queue), NOW)[0].due;
    alice.restart();
    assert!(
        matches!(redeem(&alice, due - EARLY_MICROS - 1), Ticket::Early(micros) if micros == EARLY_MICROS + 1)
    );
    assert_eq!(redeem(&alice, due - EARLY_MICROS), Ticket::Try(bytes.clone()));
    assert_eq!(alice.comms.next_due().unwrap(), Some(due + TICKET_PATIENCE_MICROS));
    assert!(alice.comms.due(due + TICKET_PATIENCE_MICROS - 1, 9).unwrap().is_empty());
    let due = settle(&alice, &parcel, &bob, kept(Keeper::Queue), due)[0].due;
    assert_eq!(alice.comms.next_due().unwrap(), Some(due + TICKET_PATIENCE_MICROS));

    // The queue is late: the alarm takes it back, and the ticket is void from then on.
    let late = due + TICKET_PATIENCE_MICROS;
    let taken = alice.comms.due(late, 9).unwrap().remove(0);
    assert_eq!((taken.again, taken.first), (vec![bob.did.clone()], Vec::new()));
    let due = settle(&alice, &parcel, &bob, kept(Keeper::Alarm), late)[0].due;
    assert_eq!(alice.comms.next_due().unwrap(), Some(due));
    assert_eq!(redeem(&alice, due), Ticket::Void);
    // What the queue says of a try that it had begun before does not give it back; nor is it the queue's to give up.
    let receipt = settle(&alice, &parcel, &bob, kept(Keeper::Queue), late).remove(0);
    assert_eq!(receipt.keeper, Keeper::Alarm);
    alice.comms.give_up(id, &bob.did, late).unwrap();
    assert_eq!(alice.comms.sent(id).unwrap().unwrap().receipts, [receipt]);
    settle(&alice, &parcel, &bob, Attempt::Delivered, late);
    assert_eq!(redeem(&alice, late), Ticket::Void);
    assert_eq!(alice.comms.redeem(Tid::MIN, &bob.did, late).unwrap(), Ticket::Void);
}

#[test]
fn what_the_queue_gives_up_has_failed() {
    let (alice, bob, carol) = (Agent::new("alice"), Agent::new("bob"), Agent::new("carol"));
    let parcel = alice.open_parcel(alice.header(&[&bob, &carol], None, NOW), "x");
    alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, NOW).unwrap();
    let id = parcel.header().id;
    let later = Attempt::Later {
        retry_after_seconds: None,
        reason: "away".into(),
        fault: false,
        keeper: Some(Keeper::Queue),
    };
    for reader in [&bob, &carol] {
        settle(&alice, &parcel, reader, later.clone(), NOW);
    }
    for _ in 0..2 {
        let rows = alice.rows_written();
        alice.comms.give_up(id, &bob.did, NOW + MINUTE).unwrap();
        let receipts = alice.comms.sent(id).unwrap().unwrap().receipts;
        assert_eq!(states(&receipts), [DeliveryState::Failed, DeliveryState::Queued]);
        assert_eq!((receipts[0].reason.as_deref(), receipts[0].at), (Some("away"), NOW + MINUTE));
        assert!(alice.rows_written() <= rows + 1);
    }
    alice.comms.give_up(id, &carol.did, NOW + MINUTE).unwrap();
    assert_eq!(alice.comms.next_due().unwrap(), None);
    alice.comms.give_up(Tid::MIN, &bob.did, NOW).unwrap();
}

#[test]
fn a_ticket_whose_message_has_expired_ends_it() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut header = alice.header(&[&bob], None, NOW);
    header.expires_at = Some(NOW + 10 * SECOND);
    let parcel = alice.open_parcel(header, "x");
    alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, NOW).unwrap();
    let redeem = |now| alice.comms.redeem(parcel.header().id, &bob.did, now).unwrap();
    // In time, though the alarm would come too late.
    assert!(matches!(redeem(NOW + 2 * SECOND), Ticket::Try(_)));
    assert_eq!(redeem(NOW + 10 * SECOND), Ticket::Void);
    let receipts = alice.comms.sent(parcel.header().id).unwrap().unwrap().receipts;
    assert_eq!(states(&receipts), [DeliveryState::Expired]);
    assert_eq!(alice.comms.next_due().unwrap(), None);
}

#[test]
fn what_would_come_too_late_expires() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut header = alice.header(&[&bob], None, NOW);
    header.expires_at = Some(NOW + MINUTE);
    let parcel = alice.open_parcel(header, "x");
    alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, NOW).unwrap();
    assert_eq!(states(&settle(&alice, &parcel, &bob, later(None), NOW)), [DeliveryState::Queued]);
    assert_eq!(
        states(&settle(&alice, &parcel, &bob, later(Some(90)), NOW + SECOND)),
        [DeliveryState::Expired]
    );
}

#[test]
fn a_message_is_sent_once_and_into_its_place() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let first = alice.send(&bob, Some("t"), "one", NOW);
    let rows = alice.rows_written();
    let send = |parcel: &Parcel| alice.comms.send(parcel, &parcel.to_cbor().unwrap(), b"", None, NOW);
    assert!(matches!(send(&first), Err(CommsError::Conflict)));
    let mut header = alice.header(&[&bob], Some("t"), NOW + SECOND);
    assert_eq!(
        (header.seq, header.prev),
        (2, alice.comms.sent(first.header().id).unwrap().map(|sent| sent.cid))
    );
    header.seq = 3;
    assert!(matches!(send(&alice.open_parcel(header, "three")), Err(CommsError::Conflict)));
    assert_eq!(alice.rows_written(), rows);
    assert!(alice.comms.sent(Tid::MIN).unwrap().is_none());
    let missing = alice.comms.settle(Tid::MIN, &[], NOW, 0);
    assert!(matches!(missing, Err(CommsError::NoSuchMessage)));
}

#[test]
fn a_thread_whose_chain_is_broken_begins_anew_where_none_is_named() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let name = murmuration_comms::default_thread(&alice.did, std::slice::from_ref(&bob.did));
    let unbroken = |agent: &Agent| agent.comms.unbroken(name.clone()).unwrap();
    assert_eq!(unbroken(&alice), name);
    for n in 0..2 {
        bob.receive(&alice.send(&bob, None, "x", NOW + n), NOW).unwrap();
    }
    // Alice's host was put back to a day on which she had sent one message.
    let restored = Agent::new("alice");
    let first = restored.send(&bob, None, "x", NOW);
    settle(&restored, &first, &bob, Attempt::Delivered, NOW);
    assert_eq!(unbroken(&restored), name);
    let other = restored.send(&bob, None, "another", NOW + SECOND);
    assert!(matches!(bob.receive(&other, NOW + SECOND), Err(CommsError::Conflict)));
    let no = Attempt::Rejected("DuplicateConflict: the place is taken".into());
    settle(&restored, &other, &bob, no, NOW + SECOND);
    let anew = unbroken(&restored);
    assert_eq!(anew, format!("{name}.2"));
    let again = restored.send(&bob, Some(&anew), "another", NOW + 2 * SECOND);
    assert_eq!(bob.receive(&again, NOW + 2 * SECOND).unwrap(), Delivery::Delivered);
    settle(&restored, &again, &bob, Attempt::Delivered, NOW + 2 * SECOND);
    assert_eq!(unbroken(&restored), anew);
}

#[test]
fn a_message_under_an_old_id_is_found_when_it_is_due() {
    let (mut alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    for n in 0..200 {
        let parcel = alice.send(&bob, None, "x", NOW + n * SECOND);
        settle(&alice, &parcel, &bob, Attempt::Delivered, NOW);
    }
    let old = alice.send(&bob, None, "x", NOW - MINUTE);
    for _ in 0..2 {
        assert_eq!(alice.comms.due(NOW + 300 * SECOND, 9).unwrap()[0].id, old.header().id);
        alice.restart();
    }
}

#[test]
fn a_thread_shows_both_sides_in_order_page_by_page() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    for n in 0..6 {
        let at = NOW + n * SECOND;
        let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        to.receive(&from.send(to, None, &n.to_string(), at), at).unwrap();
    }
    let thread = murmuration_comms::default_thread(&alice.did, std::slice::from_ref(&bob.did));
    for agent in [&alice, &bob] {
        let mut said = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = agent.comms.thread(&thread, next.as_deref(), 4, NOW + MINUTE).unwrap();
            if page.items.is_empty() {
                break;
            }
            assert!(page.gaps.is_empty());
            said.extend(page.items.iter().map(text));
            next = page.next;
        }
        assert_eq!(said, ["0", "1", "2", "3", "4", "5"]);
    }
    let missing = alice.comms.thread("nothing", None, 4, NOW);
    assert!(matches!(missing, Err(CommsError::NoSuchThread)));
    assert!(alice.comms.has_written_to(&thread, &bob.did).unwrap());
    assert!(!alice.comms.has_written_to(&thread, &alice.did).unwrap());
    assert!(!alice.comms.has_written_to("nothing", &bob.did).unwrap());
}

#[test]
fn threads_are_listed_with_who_is_in_them_and_what_waits() {
    let (alice, bob, carol) = (Agent::new("alice"), Agent::new("bob"), Agent::new("carol"));
    for (n, thread) in (0_u64..).zip(["a", "b", "c", "b"]) {
        bob.receive(&alice.send(&bob, Some(thread), "x", NOW + n * SECOND), NOW + n * SECOND).unwrap();
    }
    bob.send(&carol, Some("b"), "x", NOW + MINUTE);
    bob.send(&carol, Some("d"), "x", NOW + MINUTE + SECOND);
    let claim = Claim { max: 1, micros: MINUTE, kinds: &[] };
    let item = bob.comms.claim(&claim, NOW + MINUTE).unwrap().remove(0);
    bob.comms.acknowledge(&[(item.lease.unwrap().id(), Outcome::Done)], NOW + MINUTE).unwrap();
    let page = bob.comms.threads("", 3).unwrap();
    let said: Vec<_> =
        page.iter().map(|thread| (thread.name.as_str(), thread.members.len(), thread.pending)).collect();
    assert_eq!(said, [("a", 1, 0), ("b", 2, 2), ("c", 1, 1)]);
    assert_eq!(page[1].last_at, NOW + MINUTE);
    let rest = bob.comms.threads("c", 3).unwrap();
    assert_eq!((rest.len(), rest[0].name.as_str(), rest[0].members.as_slice()), (1, "d", &[carol.did][..]));
}

fn request(from: &Agent, to: &Agent, at: u64) -> (Tid, Parcel) {
    let mut header = from.header(&[to], None, at);
    header.kind = "agent.comms.request".parse().unwrap();
    let parcel = from.open_parcel(header, "review");
    from.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, at).unwrap();
    to.receive(&parcel, at).unwrap();
    (parcel.header().id, parcel)
}

/// What a message of `from` to `to` makes of a task on one of the two sides.
fn say(
    from: &Agent,
    to: &Agent,
    request: (&Agent, Tid),
    state: TaskState,
    at: u64,
) -> Result<(), CommsError> {
    let change = |own: &Agent| TaskChange {
        own: own.did.clone(),
        requester: request.0.did.clone(),
        request: request.1,
        to: state,
        by: from.did.clone(),
    };
    let parcel = from.open_parcel(from.header(&[to], None, at), "response");
    let bytes = parcel.to_cbor().unwrap();
    from.comms.send(&parcel, &bytes, b"", Some(&change(from)), at)?;
    to.take(&parcel, Verdict::Accept, Some(&change(to)), at).map(drop)
}

#[test]
fn both_sides_of_a_task_follow_it_to_its_end() {
    let (alice, bob, mallory) = (Agent::new("alice"), Agent::new("bob"), Agent::new("mallory"));
    let (id, _) = request(&alice, &bob, NOW);
    let task = (&alice, id);
    let stands = |state, at| {
        for agent in [&alice, &bob] {
            let task = agent.comms.task(&agent.did, &alice.did, id).unwrap();
            assert_eq!((task.state, task.at), (state, at));
            assert_eq!(task.assignees, std::slice::from_ref(&bob.did));
        }
    };
    stands(TaskState::Submitted, NOW);
    say(&bob, &alice, task, TaskState::Working, NOW + SECOND).unwrap();
    stands(TaskState::Working, NOW + SECOND);
    // Said once more it is as it was.
    say(&bob, &alice, task, TaskState::Working, NOW + 2 * SECOND).unwrap();
    stands(TaskState::Working, NOW + SECOND);
    // Nothing is sent that may not be said.
    let rows = alice.rows_written();
    let refused = say(&alice, &bob, task, TaskState::Completed, NOW + 3 * SECOND);
    assert!(matches!(refused, Err(CommsError::TaskState { by: "requester", .. })));
    let refused = say(&mallory, &bob, task, TaskState::Completed, NOW + 3 * SECOND);
    assert!(matches!(refused, Err(CommsError::NoSuchTask)));
    assert!(alice.rows_written() <= rows + 1, "undone, but counted");
    stands(TaskState::Working, NOW + SECOND);
    say(&bob, &alice, task, TaskState::Completed, NOW + 4 * SECOND).unwrap();
    stands(TaskState::Completed, NOW + 4 * SECOND);
    let late = say(&alice, &bob, task, TaskState::Canceled, NOW + 5 * SECOND);
    assert!(matches!(late, Err(CommsError::TaskState { from: "completed", to: "canceled", .. })));
}

#[test]
fn a_task_that_is_ended_and_called_off_at_once_ends_alike_in_both_books() {
    for ends in [TaskState::Completed, TaskState::Failed, TaskState::Rejected] {
        for canceled_first in [true, false] {
            let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
            let (id, _) = request(&alice, &bob, NOW);
            let change = |own: &Agent, by: &Agent, to| {
                let (own, requester, by) = (own.did.clone(), alice.did.clone(), by.did.clone());
                TaskChange { own, requester, request: id, to, by }
            };
            let sends = |from: &Agent, to: &Agent, state| {
                let parcel = from.open_parcel(from.header(&[to], None, NOW + SECOND), "response");
                let (bytes, said) = (parcel.to_cbor().unwrap(), change(from, from, state));
                from.comms.send(&parcel, &bytes, b"", Some(&said), NOW + SECOND).map(|_| parcel)
            };
            let hears = |own: &Agent, by: &Agent, parcel: &Parcel, state| {
                let said = change(own, by, state);
                own.take(parcel, Verdict::Accept, Some(&said), NOW + MINUTE).unwrap();
            };
            let ended = sends(&bob, &alice, ends).unwrap();
            let expected = if canceled_first {
                // Neither has heard of the other's word.
                let canceled = sends(&alice, &bob, TaskState::Canceled).unwrap();
                hears(&alice, &bob, &ended, ends);
                hears(&bob, &alice, &canceled, TaskState::Canceled);
                TaskState::Canceled
            } else {
                hears(&alice, &bob, &ended, ends);
                let late = sends(&alice, &bob, TaskState::Canceled);
                assert!(matches!(late, Err(CommsError::TaskState { .. })));
                ends
            };
            let states = [&alice, &bob].map(|own| own.comms.task(&own.did, &alice.did, id).unwrap().state);
            assert_eq!(states, [expected; 2], "{ends:?} {canceled_first}");
            // And so it stays.
            assert!(sends(&bob, &alice, TaskState::Working).is_err());
        }
    }
}

#[test]
fn a_message_that_is_wrong_about_a_task_comes_all_the_same() {
    let (alice, bob, mallory) = (Agent::new("alice"), Agent::new("bob"), Agent::new("mallory"));
    let (id, _) = request(&alice, &bob, NOW);
    let change = TaskChange {
        own: bob.did.clone(),
        requester: alice.did.clone(),
        request: id,
        to: TaskState::Completed,
        by: mallory.did.clone(),
    };
    let parcel = mallory.open_parcel(mallory.header(&[&bob], None, NOW), "mine now");
    let taken = bob.take(&parcel, Verdict::Accept, Some(&change), NOW);
    assert_eq!(taken.unwrap(), Delivery::Delivered);
    assert_eq!(bob.comms.task(&bob.did, &alice.did, id).unwrap().state, TaskState::Submitted);
}

#[test]
fn tasks_are_listed_the_last_first_by_role_and_state() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut ids: Vec<Tid> = (0..3).map(|n| request(&alice, &bob, NOW + n * SECOND).0).collect();
    ids.push(request(&bob, &alice, NOW + 9 * SECOND).0);
    alice.send(&bob, None, "no task", NOW + MINUTE);
    let list = |filter, before: Option<&str>| -> Vec<Tid> {
        let before = before.map(|id| (id, alice.did.as_str()));
        let tasks = alice.comms.tasks(&alice.did, filter, before, 3).unwrap();
        tasks.into_iter().map(|task| task.id).collect()
    };
    assert_eq!(list(TaskFilter::default(), None), [ids[3], ids[2], ids[1]]);
    assert_eq!(list(TaskFilter::default(), Some(&ids[1].to_string())), [ids[0]]);
    assert_eq!(list(TaskFilter { role: Some(Role::Assignee), state: None }, None), [ids[3]]);
    assert_eq!(list(TaskFilter { role: Some(Role::Requester), state: None }, None), [ids[2], ids[1], ids[0]]);
    say(&bob, &alice, (&alice, ids[1]), TaskState::Failed, NOW + MINUTE + SECOND).unwrap();
    assert_eq!(list(TaskFilter { role: None, state: Some(TaskState::Failed) }, None), [ids[1]]);
}

#[test]
fn a_delivered_message_writes_six_rows_on_both_sides_together() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let written = || {
        let index = alice.index_entries() + bob.index_entries();
        alice.rows_written() + bob.rows_written() + u64::try_from(index).unwrap()
    };
    let before = written();
    let messages = 256;
    for n in 0..messages {
        let at = NOW + n * SECOND;
        let parcel = alice.send(&bob, Some("t"), "x", at);
        bob.receive(&parcel, at).unwrap();
        settle(&alice, &parcel, &bob, Attempt::Delivered, at);
    }
    // And the floor of the outbox, once for sixty-four.
    assert_eq!(written() - before, messages * 6 + messages / 64);
    // To be handed out and done with is a row each.
    let before = written();
    let claim = Claim { max: 50, micros: MINUTE, kinds: &[] };
    let items = bob.comms.claim(&claim, NOW + 999 * SECOND).unwrap();
    let results: Vec<_> = items.iter().map(|item| (item.lease.unwrap().id(), Outcome::Done)).collect();
    assert!(bob.comms.acknowledge(&results, NOW + 999 * SECOND).unwrap().is_empty());
    assert_eq!((items.len(), written() - before), (50, 100));
}
