//! The way of the events: in order, none lost, whatever is lost of memory and however long the relay is away.

use murmuration_firehose::{Event, Frame, Seq, frame};

use crate::common::{Dice, World, create};

fn event(draft: &[u8]) -> Event {
    match Frame::decode(&frame(draft, Seq::FIRST).unwrap()).unwrap() {
        Frame::Event { event, .. } => event,
        other => panic!("{other:?}"),
    }
}

fn revs(drafts: &[Vec<u8>]) -> Vec<String> {
    drafts
        .iter()
        .filter_map(|draft| match event(draft) {
            Event::Commit(commit) => Some(commit.rev.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_new_account_says_identity_account_commit_sync() {
    let world = World::new();
    let tags: Vec<_> = world.drain().iter().map(|draft| event(draft).tag()).collect();
    assert_eq!(tags, ["#identity", "#account", "#commit", "#sync"]);
}

#[test]
fn events_wait_for_a_relay_that_is_away() {
    let mut world = World::new();
    let mut wanted = vec![world.account.head().unwrap().rev.to_string()];
    for n in 0..100 {
        let receipt = world.write(vec![create(&format!("com.example.note/r{n:03}"), "x")]).unwrap();
        wanted.push(receipt.commit.unwrap().rev.to_string());
        if n % 30 == 17 {
            world.wake(false);
        }
    }
    assert_eq!(revs(&world.drain()), wanted);
    assert!(!world.account.has_unsent().unwrap());
    let spilled = murmuration_platform::Store::query(&*world.store, "SELECT 1 FROM outbox", &[]).unwrap();
    assert!(spilled.is_empty());
}

#[test]
fn sim_every_event_leaves_in_order_and_at_least_once() {
    for seed in 0..30 {
        let dice = Dice::new(seed);
        let mut world = World::new();
        let mut wanted = vec![world.account.head().unwrap().rev.to_string()];
        let mut got: Vec<String> = Vec::new();
        for n in 0..80 {
            match dice.roll(4) {
                // The relay takes an event; half the time its answer is lost.
                0 => {
                    if let Some(push) = world.account.next_push().unwrap() {
                        got.extend(revs(&push.drafts));
                        if dice.roll(2) == 0 {
                            world.account.events_taken(push.ord + push.drafts.len() as u64).unwrap();
                        }
                    }
                }
                1 if dice.roll(4) == 0 => world.wake(false),
                _ => {
                    let receipt = world.write(vec![create(&format!("com.example.note/r{n}"), "x")]).unwrap();
                    wanted.push(receipt.commit.unwrap().rev.to_string());
                }
            }
        }
        got.extend(revs(&world.drain()));
        let mut once = Vec::new();
        for rev in got {
            if once.last().is_none_or(|last| *last < rev) {
                once.push(rev);
            }
        }
        assert_eq!(once, wanted, "seed {seed}");
    }
}

#[test]
fn what_was_surely_never_sent_is_fresh_and_what_may_have_been_is_not() {
    let mut world = World::new();
    assert!(world.account.next_push().unwrap().unwrap().fresh);
    assert!(!world.account.next_push().unwrap().unwrap().fresh);
    world.drain();
    world.write(vec![create("com.example.note/a", "x")]).unwrap();
    world.wake(false);
    assert!(!world.account.next_push().unwrap().unwrap().fresh);
    world.drain();
    world.wake(true);
    assert!(world.account.next_push().unwrap().is_none());
    world.write(vec![create("com.example.note/b", "x")]).unwrap();
    assert!(world.account.next_push().unwrap().unwrap().fresh);
}

#[test]
fn turns_that_wait_together_leave_together() {
    let mut world = World::new();
    world.drain();
    let mut wanted = Vec::new();
    for n in 0..3 {
        let receipt = world.write(vec![create(&format!("com.example.note/t{n}"), "x")]).unwrap();
        wanted.push(receipt.commit.unwrap().rev.to_string());
    }
    let push = world.account.next_push().unwrap().unwrap();
    assert_eq!((revs(&push.drafts), push.fresh), (wanted, true));
    // What has been sent before does not go with what has not.
    world.write(vec![create("com.example.note/later", "x")]).unwrap();
    let again = world.account.next_push().unwrap().unwrap();
    assert_eq!((again.ord, again.drafts.len(), again.fresh), (push.ord, 3, false));
    world.account.events_taken(push.ord + 3).unwrap();
    let rest = world.account.next_push().unwrap().unwrap();
    assert_eq!((rest.ord, rest.drafts.len(), rest.fresh), (push.ord + 3, 1, true));
}
