//! Webhooks: what is owed is sent, once and in order, again when it was not taken, and given up in the end.

use std::cell::RefCell;
use std::collections::BTreeMap;

use murmuration_firehose::{AccountEvent, AccountStatus, Event, Timestamp};
use murmuration_keys::seal::Keks;
use murmuration_platform::Store as _;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::limits::{
    HOOK_BACKSTOP_MS, HOOK_GIVEN_UP_KEPT_MS, MAX_FLYING, MAX_HOOK_FAILURES, MAX_HOOKS_OF_ACCOUNT,
};
use murmuration_relay::{Delivery, Filter, HookState, LogConfig, NewHook, Outcome, Relay};
use serde_json::Value;

use crate::common::{Dice, Drafts, Seeded, T0, Wires, did, small};

const TAKEN: Outcome = Outcome::Answered { status: 204, retry_after: None };
const BUSY: Outcome = Outcome::Answered { status: 503, retry_after: None };

fn keks(digit: &str) -> Keks {
    Keks::parse(&digit.repeat(64)).unwrap()
}

struct World {
    store: SqliteStore,
    relay: Relay,
    keks: Keks,
    entropy: Seeded,
    ord: u64,
}

impl World {
    fn new(config: LogConfig) -> Self {
        let store = SqliteStore::open().unwrap();
        let relay = Relay::open(&store, config, &[]).unwrap();
        Self { store, relay, keks: keks("3"), entropy: Seeded(RefCell::new(Dice(1))), ord: 0 }
    }

    fn hook(&mut self, owner: u64, of: &[u64]) -> Option<u64> {
        self.hook_at(owner, of, T0)
    }

    fn hook_at(&mut self, owner: u64, of: &[u64], now: u64) -> Option<u64> {
        let dids: Vec<String> = of.iter().map(|account| did(*account).to_string()).collect();
        let dids: Vec<&str> = dids.iter().map(String::as_str).collect();
        let filter = Filter::parse(&[], &dids).unwrap();
        let new = NewHook {
            did: did(owner),
            url: format!("https://hook-{owner}.example.com/"),
            filter,
            wanted: "{}".to_owned(),
        };
        let made = self.relay.add_hook(&self.store, new, &self.keks, &self.entropy, now).unwrap();
        made.map(|(view, secret)| {
            assert!(secret.starts_with("whsec_"));
            view.id
        })
    }

    fn event(&mut self, account: u64, now: u64) {
        self.ord += 1;
        let drafts = Drafts::new(account, [self.ord]);
        self.relay.append(&self.store, &Wires::default(), &drafts.push(true, now), now).unwrap();
    }

    /// An account says whether it is active.
    fn standing(&mut self, account: u64, inactive: Option<AccountStatus>, now: u64) {
        self.ord += 1;
        let time = Timestamp::from_micros(now * 1000);
        let event = Event::Account(AccountEvent { did: did(account), inactive, time });
        let drafts = Drafts(did(account), vec![(self.ord, event.draft().unwrap())]);
        self.relay.append(&self.store, &Wires::default(), &drafts.push(true, now), now).unwrap();
    }

    fn state(&self, owner: u64) -> HookState {
        self.relay.hooks(&self.store, &did(owner)).unwrap()[0].state
    }

    fn take(&mut self, now: u64) -> Vec<Delivery> {
        self.relay.take_deliveries(&self.store, &self.keks, now).unwrap()
    }

    fn done(&mut self, id: u64, outcome: Outcome, now: u64) {
        self.relay.delivered(&self.store, id, outcome, 7, now).unwrap();
    }

    fn sleep(&mut self, config: LogConfig) {
        self.relay = Relay::open(&self.store, config, &[]).unwrap();
    }
}

fn seqs(delivery: &Delivery) -> Vec<u64> {
    let body: Value = serde_json::from_slice(&delivery.request.body).unwrap();
    assert_eq!(body["type"], "agent.relay.events");
    let events = body["data"]["events"].as_array().unwrap();
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> &'a str {
    delivery.request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value).unwrap()
}

#[test]
fn events_that_are_wanted_go_out_in_order_and_a_message_costs_a_row() {
    let mut world = World::new(LogConfig::default());
    let id = world.hook(9, &[1]).unwrap();
    world.event(2, T0);
    assert!(!world.relay.owes(T0) && world.take(T0).is_empty(), "nothing is wanted yet");
    let before = world.store.counts().written;
    for account in [1, 2, 1] {
        world.event(account, T0);
    }
    assert_eq!(world.store.counts().written - before, 3 + 1, "a row a push, and one for what is owed");
    assert!(world.relay.owes(T0));
    let deliveries = world.take(T0);
    assert_eq!((deliveries.len(), seqs(&deliveries[0])), (1, vec![2]), "the first after a pause, alone");
    assert!(world.take(T0).is_empty(), "one message at a time");
    // What comes meanwhile waits.
    world.event(1, T0);
    let before = world.store.counts().written;
    world.done(id, TAKEN, T0);
    let next = world.take(T0);
    assert_eq!(seqs(&next[0]), [4, 5]);
    world.event(2, T0);
    world.done(id, TAKEN, T0);
    assert_eq!(world.store.counts().written - before, 2 + 1, "a row a message, and one for the push");
    assert!(!world.relay.owes(T0), "what nobody wants leaves nothing owed");
    assert_eq!(world.relay.hooks(&world.store, &did(9)).unwrap()[0].state, HookState::Active);
}

#[test]
fn a_message_that_was_not_taken_is_sent_again_the_same_and_later_and_later() {
    let mut world = World::new(LogConfig { retention_ms: 1 << 40, ..LogConfig::default() });
    let id = world.hook(9, &[1]).unwrap();
    world.event(1, T0);
    let mut now = T0;
    let first = world.take(now).remove(0);
    let mut pauses = Vec::new();
    for failure in 1..MAX_HOOK_FAILURES {
        world.done(id, BUSY, now);
        world.event(1, now);
        assert!(world.take(now).is_empty());
        let due = world.relay.urgent_alarm(now).unwrap();
        pauses.push((due - now) / 1000);
        now = due;
        if failure % 3 == 0 {
            world.sleep(LogConfig { retention_ms: 1 << 40, ..LogConfig::default() });
        }
        let again = world.take(now).remove(0);
        assert_eq!(header(&again, "webhook-id"), header(&first, "webhook-id"));
        assert_eq!(seqs(&again), [1], "what has come since is for the next message");
        let view = &world.relay.hooks(&world.store, &did(9)).unwrap()[0];
        assert_eq!((view.state, view.failures), (HookState::Failing, failure));
    }
    assert!(pauses.is_sorted() && pauses[0] < 10 && pauses.iter().sum::<u64>() > 12 * 3600, "{pauses:?}");
    world.done(id, Outcome::Failed, now);
    assert_eq!(world.relay.hooks(&world.store, &did(9)).unwrap()[0].state, HookState::Disabled);
    for _ in 0..2 {
        world.event(1, now);
        assert!(!world.relay.owes(now + (1 << 50)), "it is given up");
        world.sleep(LogConfig::default());
    }
}

#[test]
fn nothing_is_sent_for_an_account_that_is_not_active_until_it_is_again() {
    let mut world = World::new(LogConfig::default());
    let id = world.hook(9, &[1]).unwrap();
    let other = world.hook(8, &[1]).unwrap();
    world.event(1, T0);
    for status in [AccountStatus::Takendown, AccountStatus::Deactivated] {
        let before = world.store.counts().written;
        world.standing(9, Some(status.clone()), T0);
        world.standing(9, Some(status), T0);
        assert_eq!(world.store.counts().written - before, 2 + 1, "a row a push, and one for the news");
        world.event(1, T0);
        for _ in 0..2 {
            assert_eq!(world.state(9), HookState::Paused);
            let sent = world.take(T0);
            assert!(sent.iter().all(|delivery| delivery.id == other), "{sent:?}");
            world.done(other, TAKEN, T0);
            world.sleep(LogConfig::default());
        }
        assert!(!world.relay.owes(T0 + (1 << 50)) && world.relay.urgent_alarm(T0).is_none());
        world.standing(9, None, T0);
        assert_eq!(world.state(9), HookState::Active);
        assert!(world.relay.owes(T0));
    }
    assert_eq!(seqs(&world.take(T0)[0]), [1], "what it was owed meanwhile is not lost");
    world.done(id, TAKEN, T0);
    assert_eq!(seqs(&world.take(T0)[0]), [4, 8]);
    world.done(id, TAKEN, T0);
    // A webhook that is on its way when its account goes to rest is noted as ever.
    world.event(1, T0);
    assert_eq!(world.take(T0).len(), 2);
    world.standing(9, Some(AccountStatus::Takendown), T0);
    world.done(id, BUSY, T0);
    assert!(world.take(T0 + (1 << 40)).iter().all(|delivery| delivery.id == other));
    world.relay.purge(&world.store, did(9).as_str(), 0).unwrap();
    let mut rows = world.store.query("SELECT COUNT(*) FROM resting", &[]).unwrap();
    assert_eq!(rows[0].int(0).unwrap(), 0, "nothing is left of an account that is gone");
}

#[test]
fn what_a_receiver_says_is_heeded() {
    let mut world = World::new(LogConfig::default());
    let ids: Vec<u64> = (0..4).map(|owner| world.hook(owner, &[1]).unwrap()).collect();
    world.event(1, T0);
    assert_eq!(world.take(T0).len(), MAX_FLYING.min(4));
    let later = |seconds| Outcome::Answered { status: 429, retry_after: Some(seconds) };
    for (id, outcome) in ids.iter().zip([
        later(100),
        later(1 << 40),
        Outcome::Answered { status: 410, retry_after: None },
        Outcome::Postponed(30),
    ]) {
        world.done(*id, outcome, T0);
    }
    let state = |world: &World, owner| world.relay.hooks(&world.store, &did(owner)).unwrap()[0].clone();
    assert_eq!(state(&world, 2).state, HookState::Disabled, "gone is gone");
    assert_eq!((state(&world, 3).state, state(&world, 3).failures), (HookState::Active, 0), "not its fault");
    assert!(world.take(T0 + 29_999).is_empty());
    assert_eq!(world.take(T0 + 30_000)[0].id, ids[3]);
    assert_eq!(world.take(T0 + 100_000)[0].id, ids[0]);
    assert_eq!(world.take(T0 + 2 * 3_600_000)[0].id, ids[1], "two hours at the most");
}

#[test]
fn a_crash_on_the_way_sends_it_again() {
    let mut world = World::new(LogConfig::default());
    let id = world.hook(9, &[1]).unwrap();
    world.event(1, T0);
    let first = world.take(T0).remove(0);
    assert_eq!(world.relay.urgent_alarm(T0), Some(T0 + HOOK_BACKSTOP_MS), "the alarm would come to it");
    world.sleep(LogConfig::default());
    assert!(world.relay.owes(T0));
    // Whatever has come since.
    world.event(1, T0);
    let again = world.take(T0).remove(0);
    assert_eq!(header(&first, "webhook-id"), header(&again, "webhook-id"));
    assert_eq!(seqs(&first), seqs(&again));
    world.done(id, TAKEN, T0);
    let next = world.take(T0).remove(0);
    world.sleep(LogConfig::default());
    world.event(1, T0);
    let again = world.take(T0).remove(0);
    assert_eq!(header(&next, "webhook-id"), header(&again, "webhook-id"));
    assert_eq!((seqs(&next), seqs(&again)), (vec![2], vec![2]));
    world.done(id, TAKEN, T0);
    let _ = world.take(T0);
    world.done(id, TAKEN, T0);
    world.sleep(LogConfig::default());
    assert!(!world.relay.owes(T0) && world.relay.urgent_alarm(T0).is_none());
}

#[test]
fn only_its_owner_sees_and_deletes_a_webhook_and_it_goes_with_the_account() {
    let mut world = World::new(LogConfig::default());
    let mut ids: Vec<u64> = Vec::new();
    while let Some(id) = world.hook(1, &[]) {
        ids.push(id);
    }
    assert_eq!(ids.len(), MAX_HOOKS_OF_ACCOUNT);
    let other = world.hook(2, &[]).unwrap();
    // One that was given up is in its place for a week.
    world.event(5, T0);
    let flying = world.take(T0);
    let ends = flying.iter().position(|delivery| ids.contains(&delivery.id)).unwrap();
    for (index, delivery) in flying.iter().enumerate() {
        let gone = Outcome::Answered { status: 410, retry_after: None };
        world.done(delivery.id, if index == ends { gone } else { TAKEN }, T0);
    }
    assert!(world.hook(1, &[]).is_none());
    let later = T0 + HOOK_GIVEN_UP_KEPT_MS;
    ids.retain(|id| *id != flying[ends].id);
    ids.push(world.hook_at(1, &[], later).unwrap());
    assert!(world.hook_at(1, &[], later).is_none());
    let seen = world.relay.hooks(&world.store, &did(1)).unwrap();
    assert_eq!(seen.len(), ids.len());
    assert!(seen.iter().all(|view| ids.contains(&view.id) && view.wanted == "{}"));
    assert!(!world.relay.delete_hook(&world.store, &did(1), other).unwrap());
    assert!(world.relay.delete_hook(&world.store, &did(1), ids[0]).unwrap());
    assert!(!world.relay.delete_hook(&world.store, &did(1), ids[0]).unwrap());
    world.event(5, T0);
    let flying = world.take(T0);
    assert_eq!(flying.len(), MAX_FLYING);
    world.relay.purge(&world.store, did(1).as_str(), 0).unwrap();
    for delivery in flying {
        world.done(delivery.id, BUSY, T0);
    }
    world.sleep(LogConfig::default());
    assert!(world.relay.hooks(&world.store, &did(1)).unwrap().is_empty());
    assert_eq!(world.relay.hooks(&world.store, &did(2)).unwrap().len(), 1);
}

#[test]
fn a_secret_lies_sealed_and_another_key_does_not_stop_the_relay() {
    let mut world = World::new(LogConfig::default());
    let id = world.hook(9, &[]).unwrap();
    world.event(1, T0);
    world.keks = keks("4");
    assert!(world.relay.take_deliveries(&world.store, &world.keks, T0).is_err());
    world.event(1, T0);
    assert!(world.take(T0 + 1).is_empty(), "and is not tried at every event");
    world.keks = keks("3");
    world.sleep(LogConfig::default());
    assert_eq!(world.take(T0 + 1)[0].id, id);
}

/// Worlds of events, answers, crashes and pauses: every receiver has had every event that it wants, in order.
#[test]
fn sim_every_webhook_is_told_everything_at_least_once_and_in_order() {
    let (mut sent, mut repeated) = (0, 0);
    for seed in 1..=150 {
        let config = LogConfig { retention_ms: 1 << 45, ..small() };
        let mut world = World::new(config);
        let mut dice = Dice(seed);
        let hooks: Vec<(u64, Vec<u64>)> = (0..5)
            .map(|owner| {
                let of: Vec<u64> = (0..3).filter(|_| dice.roll(2) == 0).collect();
                (world.hook(owner, &of).unwrap(), of)
            })
            .collect();
        let mut got: Vec<Vec<u64>> = vec![Vec::new(); hooks.len()];
        let mut messages: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut note = |delivery: &Delivery| {
            let known = messages.entry(header(delivery, "webhook-id").to_owned());
            assert_eq!(*known.or_insert_with(|| seqs(delivery)), seqs(delivery), "one id, one message");
        };
        let mut accounts = Vec::new();
        let mut flying: Vec<Delivery> = Vec::new();
        let mut now = T0;
        for step in 0..400 {
            now += dice.roll(3_000);
            let settle = step > 300;
            match dice.roll(8) {
                0..=2 if !settle => {
                    let account = dice.roll(4);
                    accounts.push(account);
                    world.event(account, now);
                }
                3..=4 => {
                    let taken = world.take(now);
                    taken.iter().for_each(&mut note);
                    flying.extend(taken);
                }
                5 if !settle => {
                    world.sleep(config);
                    // What was on its way may have arrived all the same.
                    flying.clear();
                }
                _ if !flying.is_empty() => {
                    let delivery = flying.swap_remove(dice.roll(flying.len() as u64) as usize);
                    let arrives = settle || dice.roll(3) > 0;
                    if arrives {
                        let index = hooks.iter().position(|(id, _)| *id == delivery.id).unwrap();
                        for seq in seqs(&delivery) {
                            sent += 1;
                            if got[index].last().is_none_or(|last| *last < seq) {
                                got[index].push(seq);
                            } else {
                                repeated += 1;
                            }
                        }
                    }
                    // An answer may be lost.
                    let heard = settle || dice.roll(4) > 0;
                    world.done(delivery.id, if arrives && heard { TAKEN } else { BUSY }, now);
                }
                _ => now += 60_000,
            }
        }
        while let Some(due) = world.relay.urgent_alarm(now) {
            now = now.max(due);
            for delivery in flying.drain(..).chain(world.take(now)).collect::<Vec<_>>() {
                note(&delivery);
                let index = hooks.iter().position(|(id, _)| *id == delivery.id).unwrap();
                let fresh = seqs(&delivery);
                let last = got[index].last().copied().unwrap_or(0);
                got[index].extend(fresh.into_iter().filter(|seq| *seq > last));
                world.done(delivery.id, TAKEN, now);
            }
        }
        for (id, _) in &hooks {
            let own = messages.iter().filter(|(name, _)| name.starts_with(&format!("msg_{id:x}_")));
            let mut told: Vec<u64> = own.flat_map(|(_, seqs)| seqs.iter().copied()).collect();
            let all = told.len();
            told.sort_unstable();
            told.dedup();
            assert_eq!(told.len(), all, "no event is in two messages; seed {seed}");
        }
        for ((_, of), got) in hooks.iter().zip(got) {
            let wanted = |account: &u64| of.is_empty() || of.contains(account);
            let expected: Vec<u64> =
                (1..).zip(&accounts).filter(|(_, account)| wanted(account)).map(|(seq, _)| seq).collect();
            assert_eq!(got, expected, "seed {seed}");
        }
    }
    assert!(sent > 5_000 && repeated > 100, "{sent} {repeated}");
}

#[test]
fn a_new_key_encryption_key_seals_all_secrets_anew_some_a_turn_and_they_sign_as_before() {
    let mut world = World::new(LogConfig::default());
    let ids: Vec<u64> =
        (0..150).map(|owner| world.hook(owner, &[if owner == 7 { 1 } else { 2 }]).unwrap()).collect();
    world.event(1, T0);
    let signature = |world: &mut World| {
        let delivery = world.take(T0).remove(0);
        let signature = header(&delivery, "webhook-signature").to_owned();
        (delivery.id, signature)
    };
    // On its way, and lost when the relay sleeps.
    let (first, before) = signature(&mut world);
    let both = Keks::parse(&format!("1:{},2:{}", "3".repeat(64), "4".repeat(64))).unwrap();
    let mut turns = Vec::new();
    loop {
        world.sleep(LogConfig::default());
        let rows = world.store.counts().written;
        let found = world.relay.reseal_hooks(&world.store, &both, &world.entropy).unwrap();
        assert_eq!(world.store.counts().written - rows, found.resealed as u64);
        turns.push((found.resealed, found.failed.len()));
        if found.done {
            break;
        }
    }
    assert_eq!(turns, [(100, 0), (50, 0)]);
    // The old one is not needed any more.
    world.keks = Keks::parse(&format!("2:{}", "4".repeat(64))).unwrap();
    world.sleep(LogConfig::default());
    let (again, after) = signature(&mut world);
    assert_eq!((first, before), (again, after));
    assert_eq!(first, ids[7]);
    // What none of the keys opens is named, and stays as it is.
    let other = Keks::parse(&format!("9:{}", "5".repeat(64))).unwrap();
    let found = world.relay.reseal_hooks(&world.store, &other, &world.entropy).unwrap();
    assert_eq!((found.resealed, found.failed.len(), found.done), (0, 150, true));
}
