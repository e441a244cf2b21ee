//! Accounts whose DID document changes elsewhere.

use murmuration_firehose::{Event, Frame, Seq, frame};
use murmuration_platform::Store;

use crate::common::World;

/// How many `#identity` events wait for the relay.
fn said(world: &World) -> usize {
    let is_identity = |draft: &Vec<u8>| {
        let frame = Frame::decode(&frame(draft, Seq::FIRST).unwrap()).unwrap();
        matches!(frame, Frame::Event { event: Event::Identity(event), .. } if event.handle.is_none())
    };
    world.drain().iter().filter(|draft| is_identity(draft)).count()
}

#[test]
fn an_account_that_is_not_told_what_became_of_a_change_says_it_once_and_in_its_time() {
    let mut world = World::new();
    assert_eq!(world.account.document_due().unwrap(), None);
    let before = world.store.counts().written;
    world.account.document_changing(world.now).unwrap();
    assert_eq!(world.store.counts().written - before, 1, "the note");
    world.wake(false);
    let due = world.account.document_due().unwrap().unwrap();
    assert!(due > world.now);
    world.account.say_document_if_due(due - 1).unwrap();
    assert_eq!(said(&world), 0, "the change may be under way");
    let before = world.store.counts().written;
    world.account.say_document_if_due(due).unwrap();
    assert_eq!(world.store.counts().written - before, 2, "the note, and the event");
    world.account.say_document_if_due(u64::MAX).unwrap();
    assert_eq!((said(&world), world.account.document_due().unwrap()), (1, None));
}

#[test]
fn an_account_that_is_told_of_a_change_says_it_at_once_and_never_again() {
    let world = World::new();
    world.account.document_changing(world.now).unwrap();
    world.account.document_changed(world.now + 1).unwrap();
    assert_eq!((said(&world), world.account.document_due().unwrap()), (1, None));
    world.account.say_document_if_due(u64::MAX).unwrap();
    assert_eq!(said(&world), 0);
    let before = world.store.counts().written;
    world.account.document_changed(world.now + 2).unwrap();
    assert_eq!(world.store.counts().written - before, 1, "no row for a note that was not made");
    assert_eq!(said(&world), 1);
}
