//! What strangers send: it waits, it gives way, and it goes.

use murmuration_comms::limits::{
    DROP_PAUSE_MICROS, MAX_QUARANTINED, MAX_QUARANTINED_OF_SENDER, QUARANTINE_STAY_MICROS, RETENTION_MICROS,
};
use murmuration_comms::{
    Claim, CommsError, Delivery, Filter, Item, Outcome, Released, Role, State, TaskChange, TaskFilter,
    TaskState, Verdict,
};
use murmuration_syntax::Did;

use crate::common::{Agent, NOW, SECOND, text};

const MINUTE: u64 = 60 * SECOND;
/// In which a stranger may send once more.
const PAUSE: u64 = 7 * SECOND;

fn claim(agent: &Agent, now: u64) -> Vec<Item> {
    agent.comms.claim(&Claim { max: 9, micros: MINUTE, kinds: &[] }, now).unwrap()
}

fn release(agent: &Agent, says: impl Fn(&Did) -> Option<Verdict>, now: u64) -> Vec<Released> {
    agent.comms.release(&|did| Ok(says(did)), now).unwrap()
}

fn waits(_: &Did) -> Option<Verdict> {
    Some(Verdict::Quarantine)
}

fn quarantined(agent: &Agent, now: u64) -> Vec<Item> {
    let filter = Filter { state: Some(State::Quarantined), ..Filter::default() };
    agent.comms.list(&filter, None, 1000, now).unwrap()
}

/// Has a stranger send so many messages, and says when it is done.
fn flood(agent: &Agent, name: &str, messages: u32, mut now: u64) -> u64 {
    let stranger = Agent::new(name);
    for n in 0..messages {
        let parcel = stranger.send(agent, None, &format!("{name} {n}"), now);
        assert_eq!(agent.quarantine(&parcel, now).unwrap(), Delivery::Quarantined, "{name} {n}");
        now += PAUSE;
    }
    now
}

#[test]
fn a_strangers_message_waits_until_it_is_allowed() {
    let (alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    let stranger = Agent::new("stranger");
    let parcel = stranger.send(&bob, Some("t"), "psst", NOW);
    assert_eq!(bob.quarantine(&parcel, NOW).unwrap(), Delivery::Quarantined);
    assert_eq!(bob.quarantine(&parcel, NOW).unwrap(), Delivery::Duplicate);
    bob.receive(&alice.send(&bob, Some("t"), "hi", NOW), NOW).unwrap();
    assert!(release(&bob, waits, NOW).is_empty());
    let items = claim(&bob, NOW);
    assert_eq!(items.iter().map(text).collect::<Vec<_>>(), ["hi"]);
    let done = |items: &[Item], now| {
        let results: Vec<_> = items.iter().map(|item| (item.lease.unwrap().id(), Outcome::Done)).collect();
        assert!(bob.comms.acknowledge(&results, now).unwrap().is_empty());
    };
    done(&items, NOW);
    bob.restart();
    let allowed = |did: &Did| Some(if *did == stranger.did { Verdict::Accept } else { Verdict::Quarantine });
    let released = release(&bob, allowed, NOW + SECOND);
    let header = parcel.header();
    let (sender, kind) = (header.from.clone(), header.kind.clone());
    assert_eq!(released, [Released { sender, id: header.id, kind, thread: "t".into() }]);
    let items = claim(&bob, NOW + SECOND);
    assert_eq!(items.iter().map(text).collect::<Vec<_>>(), ["psst"]);
    bob.restart();
    assert!(claim(&bob, NOW + SECOND).is_empty() && release(&bob, allowed, NOW + SECOND).is_empty());
}

#[test]
fn strangers_fill_their_quarantine_and_nothing_else() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let now = flood(&bob, "stranger", MAX_QUARANTINED_OF_SENDER, NOW);
    let stranger = Agent::new("stranger");
    let parcel = stranger.send(&bob, Some("other"), "too much", now);
    assert!(matches!(bob.quarantine(&parcel, now), Err(CommsError::Busy { seconds: 1.., .. })));
    assert_eq!(bob.receive(&alice.send(&bob, None, "hi", now), now).unwrap(), Delivery::Delivered);
}

#[test]
fn a_full_quarantine_takes_from_whom_most_of_it_is_for_one_who_has_less() {
    let mut bob = Agent::new("bob");
    let flooders = MAX_QUARANTINED / MAX_QUARANTINED_OF_SENDER;
    // One of them had a message less, and another stranger one: the first of all.
    let mut now = flood(&bob, "quiet", 1, NOW);
    for n in 0..flooders {
        now = flood(&bob, &format!("flood{n}"), MAX_QUARANTINED_OF_SENDER - u32::from(n == 0), now);
    }
    bob.restart();
    let new = Agent::new("new");
    let parcel = new.send(&bob, None, "let me in", now);
    // What has come lately stays.
    let early = NOW + QUARANTINE_STAY_MICROS;
    assert!(now < early, "the flood takes less than an hour");
    let rows = bob.rows_written();
    assert!(matches!(bob.quarantine(&parcel, now), Err(CommsError::Busy { .. })));
    assert_eq!(bob.rows_written(), rows);
    now += QUARANTINE_STAY_MICROS;
    assert_eq!(bob.quarantine(&parcel, now).unwrap(), Delivery::Quarantined);
    assert_eq!(bob.rows_written() - rows, 2, "a message comes, and one goes: each with three entries");
    let texts: Vec<String> = quarantined(&bob, now).iter().map(text).collect();
    assert_eq!(texts.len(), usize::try_from(MAX_QUARANTINED).unwrap());
    assert!(texts.contains(&"let me in".into()) && texts.contains(&"quiet 0".into()), "who has one keeps it");
    // The first flooder has one less than most: the second has lost its oldest.
    assert!(texts.contains(&"flood0 0".into()) && !texts.contains(&"flood1 0".into()));
    // Who has as many as anybody gets no more by it, be the others' ever so old.
    let parcel = Agent::new("flood2").send(&bob, Some("other"), "more", now);
    assert!(matches!(bob.quarantine(&parcel, now), Err(CommsError::Busy { .. })));
}

#[test]
fn what_is_in_quarantine_goes_when_it_expires_and_after_a_month() {
    let mut bob = Agent::new("bob");
    let stranger = Agent::new("stranger");
    let mut header = stranger.header(&[&bob], Some("short"), NOW);
    header.expires_at = Some(NOW + MINUTE);
    header.kind = "agent.comms.request".parse().unwrap();
    bob.quarantine(&stranger.open_parcel(header, "for a minute"), NOW).unwrap();
    let mut header = stranger.header(&[&bob], Some("long"), NOW + SECOND);
    header.kind = "agent.comms.request".parse().unwrap();
    bob.quarantine(&stranger.open_parcel(header, "for ever"), NOW + SECOND).unwrap();
    bob.restart();
    // It is looked at once a day.
    let due = bob.comms.next_drop(NOW).unwrap().unwrap();
    assert_eq!(due, NOW + DROP_PAUSE_MICROS);
    assert!(bob.comms.drop_old(due, 9).unwrap());
    assert_eq!(quarantined(&bob, due).iter().map(text).collect::<Vec<_>>(), ["for ever"]);
    let month = NOW + SECOND + RETENTION_MICROS;
    assert_eq!(bob.comms.next_drop(due).unwrap(), Some(month));
    assert!(bob.comms.drop_old(month + SECOND, 9).unwrap());
    assert!(quarantined(&bob, month).is_empty());
    assert_eq!(bob.index_entries(), 0);
    // There is room again, also in what is remembered.
    flood(&bob, "stranger", MAX_QUARANTINED_OF_SENDER, month);
    // And what comes with an end is looked for in time.
    bob.comms.drop_old(month + MINUTE, 9).unwrap();
    let later = month + 2 * MINUTE;
    let other = Agent::new("other");
    let mut header = other.header(&[&bob], Some("short"), later);
    header.expires_at = Some(later + MINUTE);
    bob.quarantine(&other.open_parcel(header, "soon over"), later).unwrap();
    assert_eq!(bob.comms.next_drop(later).unwrap(), Some(later + DROP_PAUSE_MICROS));
}

#[test]
fn what_a_blocked_sender_has_in_quarantine_is_dead_and_takes_no_room() {
    let bob = Agent::new("bob");
    let now = flood(&bob, "spammer", 3, NOW);
    let now = flood(&bob, "stranger", 1, now);
    let blocked: Did = "did:plc:spammer".parse().unwrap();
    let says = |did: &Did| (*did != blocked).then_some(Verdict::Quarantine);
    assert!(release(&bob, says, now).is_empty());
    assert_eq!(quarantined(&bob, now).iter().map(text).collect::<Vec<_>>(), ["stranger 0"]);
    let dead = Filter { state: Some(State::Dead), ..Filter::default() };
    let dead = bob.comms.list(&dead, None, 9, now).unwrap();
    assert_eq!(dead.iter().filter(|item| item.reason.as_deref() == Some("its sender is blocked")).count(), 3);
    // They do not come back.
    assert!(release(&bob, |_| Some(Verdict::Accept), now).len() == 1 && claim(&bob, now).len() == 1);
}

#[test]
fn what_is_in_quarantine_says_nothing_of_a_task() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut header = alice.header(&[&bob], Some("t"), NOW);
    header.kind = "agent.comms.request".parse().unwrap();
    let request = alice.open_parcel(header, "do it");
    alice.comms.send(&request, &request.to_cbor().unwrap(), b"x", None, NOW).unwrap();
    let response = bob.send(&alice, Some("t"), "done", NOW + SECOND);
    let (own, requester) = (alice.did.clone(), alice.did.clone());
    let (request, by) = (request.header().id, bob.did.clone());
    let change = TaskChange { own, requester, request, to: TaskState::Completed, by };
    alice.quarantine(&response, NOW + SECOND).unwrap();
    let state = || {
        let filter = TaskFilter { role: Some(Role::Requester), state: None };
        alice.comms.tasks(&alice.did, filter, None, 9).unwrap()[0].state
    };
    assert_eq!(state(), TaskState::Submitted);
    // The host hears what it says when it is let out.
    assert_eq!(release(&alice, |_| Some(Verdict::Accept), NOW + MINUTE).len(), 1);
    alice.comms.hear_of_task(&change, NOW + MINUTE).unwrap();
    assert_eq!(state(), TaskState::Completed);
}
