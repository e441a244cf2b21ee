//! Messages that come: each once, in order, and no more than there is room for.

use murmuration_comms::limits::{GAP_WAIT_MICROS, MAX_ATTEMPTS, MAX_OPEN_OF_SENDER, MAX_TOKENS, RATE};
use murmuration_comms::{Claim, CommsError, Delivery, Filter, Gap, Item, Outcome, Parcel, State};
use murmuration_syntax::Tid;

use crate::common::{Agent, NOW, SECOND, text};

const MINUTE: u64 = 60 * SECOND;

fn pair() -> (Agent, Agent) {
    (Agent::new("alice"), Agent::new("bob"))
}

fn claim(agent: &Agent, max: usize, now: u64) -> Vec<Item> {
    let claim = Claim { max, micros: MINUTE, kinds: &[] };
    agent.comms.claim(&claim, now).unwrap()
}

fn texts(items: &[Item]) -> Vec<String> {
    items.iter().map(text).collect()
}

fn ack(agent: &Agent, item: &Item, outcome: Outcome, now: u64) -> bool {
    let results = [(item.lease.unwrap().id(), outcome)];
    agent.comms.acknowledge(&results, now).unwrap().is_empty()
}

fn state_of(agent: &Agent, ord: i64, now: u64) -> (State, Option<String>) {
    let items = agent.comms.list(&Filter::default(), None, 1000, now).unwrap();
    let item = items.into_iter().find(|item| item.ord == ord).unwrap();
    (item.state, item.reason)
}

#[test]
fn a_message_has_one_effect_however_often_it_comes() {
    let (alice, mut bob) = pair();
    let parcel = alice.send(&bob, None, "hello", NOW);
    assert_eq!(bob.receive(&parcel, NOW).unwrap(), Delivery::Delivered);
    let rows = bob.rows_written();
    for _ in 0..3 {
        assert_eq!(bob.receive(&parcel, NOW).unwrap(), Delivery::Duplicate);
        bob.restart();
    }
    let item = claim(&bob, 10, NOW).remove(0);
    assert!(ack(&bob, &item, Outcome::Done, NOW));
    // Also when it is done with, and when it would have expired.
    assert_eq!(bob.receive(&parcel, NOW + 100 * MINUTE).unwrap(), Delivery::Duplicate);
    assert_eq!(bob.rows_written(), rows + 2);
    assert!(claim(&bob, 10, NOW + 100 * MINUTE).is_empty());
}

#[test]
fn another_message_under_the_same_id_or_in_the_same_place_is_a_conflict_and_changes_nothing() {
    let (alice, bob) = pair();
    let header = alice.header(&[&bob], Some("t"), NOW);
    let first = alice.open_parcel(header.clone(), "one");
    bob.receive(&first, NOW).unwrap();
    let rows = bob.rows_written();
    let same_id = alice.open_parcel(header.clone(), "two");
    assert!(matches!(bob.receive(&same_id, NOW), Err(CommsError::Conflict)));
    let mut same_place = header;
    same_place.id = alice.header(&[&bob], None, NOW + SECOND).id;
    let same_place = alice.open_parcel(same_place, "three");
    assert!(matches!(bob.receive(&same_place, NOW), Err(CommsError::Conflict)));
    assert_eq!(bob.rows_written(), rows);
    // Ids and places are a sender's own.
    let carol = Agent::new("carol");
    let mut header = first.header().clone();
    header.from = carol.did.clone();
    assert_eq!(bob.receive(&carol.open_parcel(header, "hers"), NOW).unwrap(), Delivery::Delivered);
}

#[test]
fn a_message_that_does_not_follow_the_one_before_it_is_a_conflict() {
    let (alice, bob) = pair();
    let parcels: Vec<Parcel> =
        (0..4).map(|n| alice.send(&bob, Some("t"), &n.to_string(), NOW + n * SECOND)).collect();
    // The same sender tells another reader another story.
    let forked = |at: usize, prev| {
        let mut header = parcels[at].header().clone();
        header.id = Tid::from_parts(NOW + MINUTE, 1);
        header.prev = prev;
        alice.open_parcel(header, "otherwise")
    };
    bob.receive(&parcels[0], NOW + MINUTE).unwrap();
    bob.receive(&parcels[3], NOW + MINUTE).unwrap();
    let rows = bob.rows_written();
    for fork in [forked(1, parcels[3].header().prev), forked(2, parcels[2].header().prev)] {
        assert!(matches!(bob.receive(&fork, NOW + MINUTE), Err(CommsError::Conflict)));
    }
    assert_eq!(bob.rows_written(), rows);
    for at in [2, 1] {
        assert_eq!(bob.receive(&parcels[at], NOW + MINUTE).unwrap(), Delivery::Delivered);
    }
}

#[test]
fn what_a_sender_says_in_a_thread_is_handed_out_in_its_order() {
    let (alice, bob) = pair();
    let parcels: Vec<Parcel> =
        (0..4).map(|n| alice.send(&bob, Some("t"), &n.to_string(), NOW + n * SECOND)).collect();
    let other = alice.send(&bob, Some("u"), "other", NOW + 9 * SECOND);
    for at in [2, 0, 3] {
        bob.receive(&parcels[at], NOW + 10 * SECOND).unwrap();
    }
    bob.receive(&other, NOW + 10 * SECOND).unwrap();
    let now = NOW + 10 * SECOND;
    // 1 has not come, so 2 and 3 wait; the other thread does not.
    let first = claim(&bob, 10, now);
    assert_eq!(texts(&first), ["0", "other"]);
    bob.receive(&parcels[1], now).unwrap();
    // 0 is out: it may come back, and what is behind it waits for that.
    assert!(claim(&bob, 10, now).is_empty());
    assert!(ack(&bob, &first[0], Outcome::Done, now));
    assert_eq!(texts(&claim(&bob, 10, now)), ["1", "2", "3"]);
}

#[test]
fn a_gap_is_waited_for_and_then_reported() {
    let (alice, bob) = pair();
    let parcels: Vec<Parcel> =
        (0..6).map(|n| alice.send(&bob, Some("t"), &n.to_string(), NOW + n * SECOND)).collect();
    for at in [1, 4] {
        bob.receive(&parcels[at], NOW).unwrap();
    }
    let gap = |from, to| Gap { sender: alice.did.clone(), from, to };
    let page = bob.comms.thread("t", None, 10, NOW).unwrap();
    assert_eq!(page.gaps, [gap(1, 1), gap(3, 4)]);
    assert!(claim(&bob, 10, NOW + GAP_WAIT_MICROS - 1).is_empty());
    assert_eq!(texts(&claim(&bob, 10, NOW + GAP_WAIT_MICROS)), ["1", "4"]);
    bob.receive(&parcels[0], NOW).unwrap();
    assert_eq!(bob.comms.thread("t", None, 10, NOW).unwrap().gaps, [gap(3, 4)]);
}

#[test]
fn a_lease_ends_by_itself_and_then_counts_no_more() {
    let (alice, bob) = pair();
    bob.receive(&alice.send(&bob, None, "x", NOW), NOW).unwrap();
    let first = claim(&bob, 1, NOW).remove(0);
    assert_eq!((first.state, first.attempts), (State::Leased, 1));
    assert!(claim(&bob, 1, NOW + MINUTE - 1).is_empty());
    let second = claim(&bob, 1, NOW + MINUTE).remove(0);
    assert_eq!((second.ord, second.attempts), (first.ord, 2));
    assert!(!ack(&bob, &first, Outcome::Done, NOW + MINUTE));
    assert!(ack(&bob, &second, Outcome::Done, NOW + MINUTE));
    assert!(!ack(&bob, &second, Outcome::Done, NOW + MINUTE));
    let nonsense = ["", "1", "x.y", "1.1.1", "999.1", "-1.1"].map(|id| (id.to_owned(), Outcome::Done));
    assert_eq!(bob.comms.acknowledge(&nonsense, NOW).unwrap().len(), nonsense.len());
}

#[test]
fn who_was_slow_may_still_say_that_it_is_done_while_nobody_else_has_it() {
    let (alice, bob) = pair();
    bob.receive(&alice.send(&bob, None, "x", NOW), NOW).unwrap();
    let item = claim(&bob, 1, NOW).remove(0);
    assert!(ack(&bob, &item, Outcome::Done, NOW + 2 * MINUTE));
    assert!(claim(&bob, 1, NOW + 2 * MINUTE).is_empty());
}

#[test]
fn a_poisonous_message_dies_and_does_not_hold_up_others() {
    let (alice, bob) = pair();
    for (thread, what) in [("t", "poison"), ("t", "behind it"), ("u", "beside it")] {
        bob.receive(&alice.send(&bob, Some(thread), what, NOW + bob.rows_written() * SECOND), NOW).unwrap();
    }
    let mut now = NOW;
    let first = claim(&bob, 1, now).remove(0);
    assert_eq!(text(&first), "poison");
    assert_eq!(texts(&claim(&bob, 9, now)), ["beside it"]);
    // Whoever takes it dies of it.
    for attempt in 2..=MAX_ATTEMPTS {
        now += MINUTE;
        let item = claim(&bob, 1, now).remove(0);
        assert_eq!((text(&item).as_str(), item.attempts), ("poison", attempt));
    }
    now += MINUTE;
    assert_eq!(texts(&claim(&bob, 1, now)), ["behind it"]);
    assert_eq!(state_of(&bob, first.ord, now), (State::Dead, Some("handed out too often".into())));
}

#[test]
fn a_message_that_is_given_back_comes_again_after_its_delay() {
    let (alice, bob) = pair();
    bob.receive(&alice.send(&bob, None, "x", NOW), NOW).unwrap();
    let item = claim(&bob, 1, NOW).remove(0);
    let later = Outcome::Retry { delay_micros: Some(5 * MINUTE), reason: Some("é".repeat(400)) };
    assert!(ack(&bob, &item, later, NOW));
    assert!(claim(&bob, 1, NOW + 5 * MINUTE - 1).is_empty());
    let item = claim(&bob, 1, NOW + 5 * MINUTE).remove(0);
    assert_eq!(item.reason.as_deref().map(str::len), Some(300));
    // Said nothing of when: soon, and later each time.
    let soon = Outcome::Retry { delay_micros: None, reason: None };
    assert!(ack(&bob, &item, soon.clone(), NOW + 5 * MINUTE));
    assert!(claim(&bob, 1, NOW + 5 * MINUTE + 3 * SECOND).is_empty());
    let mut now = NOW + 5 * MINUTE + 4 * SECOND;
    for _ in 3..MAX_ATTEMPTS {
        assert!(ack(&bob, &claim(&bob, 1, now)[0], soon.clone(), now));
        now += 10 * MINUTE;
    }
    // The last time that it is given back, it is dead.
    let last = claim(&bob, 1, now).remove(0);
    assert!(ack(&bob, &last, soon, now));
    assert_eq!(state_of(&bob, last.ord, now).0, State::Dead);
    let dead = Outcome::Dead { reason: Some("no such file".into()) };
    bob.receive(&alice.send(&bob, None, "y", now), now).unwrap();
    let item = claim(&bob, 1, now).remove(0);
    assert!(ack(&bob, &item, dead, now));
    assert_eq!(state_of(&bob, item.ord, now), (State::Dead, Some("no such file".into())));
}

#[test]
fn the_most_urgent_message_comes_first_save_within_a_thread() {
    let (alice, bob) = pair();
    for (n, (thread, priority)) in (0_u64..).zip([("a", 3), ("b", 5), ("a", 5), ("c", 1), ("d", 5)]) {
        let mut header = alice.header(&[&bob], Some(thread), NOW + n * SECOND);
        header.priority = priority;
        let parcel = alice.open_parcel(header, &format!("{thread}{priority}"));
        alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, NOW).unwrap();
        bob.receive(&parcel, NOW + n * SECOND).unwrap();
    }
    assert_eq!(texts(&claim(&bob, 9, NOW + MINUTE)), ["b5", "d5", "a3", "a5", "c1"]);
}

#[test]
fn a_claim_may_want_some_types_only() {
    let (alice, bob) = pair();
    bob.receive(&alice.send(&bob, Some("t"), "message", NOW), NOW).unwrap();
    let mut header = alice.header(&[&bob], Some("t"), NOW + SECOND);
    header.kind = "agent.comms.request".parse().unwrap();
    bob.receive(&alice.open_parcel(header, "request"), NOW + SECOND).unwrap();
    let kinds = ["agent.comms.request".parse().unwrap()];
    let wanted = Claim { max: 9, micros: MINUTE, kinds: &kinds };
    let items = bob.comms.claim(&wanted, NOW + SECOND).unwrap();
    assert_eq!(texts(&items), ["request"]);
    assert_eq!(texts(&claim(&bob, 9, NOW + SECOND)), ["message"]);
}

#[test]
fn what_expires_is_neither_taken_nor_handed_out() {
    let (alice, bob) = pair();
    let mut header = alice.header(&[&bob], Some("t"), NOW);
    header.expires_at = Some(NOW + MINUTE);
    let parcel = alice.open_parcel(header, "now or never");
    let rows = bob.rows_written();
    assert!(matches!(bob.receive(&parcel, NOW + MINUTE), Err(CommsError::Expired)));
    assert_eq!(bob.rows_written(), rows);
    bob.receive(&parcel, NOW).unwrap();
    assert!(claim(&bob, 9, NOW + MINUTE).is_empty());
    let items = bob.comms.list(&Filter::default(), None, 9, NOW).unwrap();
    assert_eq!((items[0].state, items[0].reason.as_deref()), (State::Dead, Some("expired")));
}

#[test]
fn a_sender_has_a_rate_and_a_quota() {
    let (alice, mut bob) = pair();
    let parcels: Vec<Parcel> =
        (0..=u64::from(RATE.points)).map(|n| alice.send(&bob, None, "x", NOW + n * 1000)).collect();
    for parcel in &parcels[1..] {
        bob.receive(parcel, NOW).unwrap();
    }
    match bob.receive(&parcels[0], NOW) {
        Err(CommsError::Busy { seconds, .. }) => assert_eq!(seconds, u64::from(RATE.seconds)),
        other => panic!("{other:?}"),
    }
    // What has come already costs nothing.
    assert_eq!(bob.receive(&parcels[1], NOW).unwrap(), Delivery::Duplicate);
    bob.receive(&parcels[0], NOW + MINUTE).unwrap();
    let mut now = NOW + 2 * MINUTE;
    for _ in parcels.len()..usize::try_from(MAX_OPEN_OF_SENDER).unwrap() {
        now += SECOND;
        bob.receive(&alice.send(&bob, None, "x", now), now).unwrap();
    }
    bob.restart();
    let one_more = alice.send(&bob, None, "one more", now + SECOND);
    assert!(matches!(bob.receive(&one_more, now + SECOND), Err(CommsError::Busy { .. })));
    let carol = Agent::new("carol");
    assert!(bob.receive(&carol.send(&bob, None, "x", now), now).is_ok());
    let item = claim(&bob, 1, now).remove(0);
    ack(&bob, &item, Outcome::Done, now);
    assert_eq!(bob.receive(&one_more, now + SECOND).unwrap(), Delivery::Delivered);
}

#[test]
fn messages_are_listed_the_last_first_by_what_they_are() {
    let (alice, bob) = pair();
    let carol = Agent::new("carol");
    for n in 0..5 {
        bob.receive(&alice.send(&bob, Some("t"), &n.to_string(), NOW + n * SECOND), NOW + n * SECOND)
            .unwrap();
    }
    bob.receive(&carol.send(&bob, Some("t"), "hers", NOW), NOW + 5 * SECOND).unwrap();
    let now = NOW + 6 * SECOND;
    let list = |filter: &Filter<'_>, before| bob.comms.list(filter, before, 3, now).unwrap();
    let page = list(&Filter::default(), None);
    assert_eq!(texts(&page), ["hers", "4", "3"]);
    assert_eq!(texts(&list(&Filter::default(), Some(page[2].ord))), ["2", "1", "0"]);
    let from_carol = Filter { sender: Some(&carol.did), ..Filter::default() };
    assert_eq!(texts(&list(&from_carol, None)), ["hers"]);
    let item = claim(&bob, 1, now).remove(0);
    let leased = Filter { state: Some(State::Leased), ..Filter::default() };
    assert_eq!(texts(&list(&leased, None)), ["0"]);
    let pending = Filter { state: Some(State::Pending), thread: Some("t"), ..Filter::default() };
    assert_eq!(bob.comms.list(&pending, None, 9, now).unwrap().len(), 5);
    ack(&bob, &item, Outcome::Done, now);
    let done = Filter { state: Some(State::Done), ..Filter::default() };
    assert_eq!(texts(&list(&done, None)), ["0"]);
    assert!(list(&Filter { thread: Some("u"), ..Filter::default() }, None).is_empty());
    let kind = "agent.comms.request".parse().unwrap();
    assert!(list(&Filter { kind: Some(&kind), ..Filter::default() }, None).is_empty());
}

#[test]
fn a_token_is_used_once_while_it_is_remembered_and_nobody_is_refused_for_others() {
    let (alice, _) = pair();
    let spend = |token: &str, lives, now| alice.comms.spend(token, now + lives, now);
    assert!(spend("a", 60, 1000).is_ok());
    assert!(matches!(spend("a", 60, 1001), Err(CommsError::Replayed)));
    for n in 1..MAX_TOKENS {
        assert!(spend(&n.to_string(), 3600, 1000).is_ok());
    }
    // The one that ends first gives way.
    assert!(spend("one more", 3600, 1001).is_ok());
    assert!(matches!(spend("one more", 3600, 1001), Err(CommsError::Replayed)));
    assert!(matches!(spend("1", 3600, 1001), Err(CommsError::Replayed)));
    assert!(spend("a", 60, 1002).is_ok());
    // And all that have ended.
    assert!(spend("much later", 60, 9000).is_ok());
    assert!(spend("1", 60, 9000).is_ok());
}
