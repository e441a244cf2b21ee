//! Accounts that are to be deleted at a time.

use murmuration_account::{AccountError, Notice};
use murmuration_platform::Store;

use crate::common::World;

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// An account that was put to rest, to be deleted after a day.
fn at_rest() -> World {
    let world = World::new();
    world
        .account
        .edit(&[Notice::Status], world.now, |profile| {
            profile.deactivated = true;
            profile.delete_after = Some(world.now + DAY);
        })
        .unwrap();
    world
}

#[test]
fn an_account_at_rest_is_deleted_once_and_not_before_its_time() {
    let mut world = at_rest();
    world.wake(false);
    let due = world.now + DAY;
    assert_eq!(world.account.deletion_due().unwrap(), Some(due));
    // A clock that steps back only puts it off.
    for early in [0, world.now, due - 1] {
        assert!(!world.account.delete_if_due(early).unwrap());
    }
    let before = world.store.counts().written;
    assert!(world.account.delete_if_due(due).unwrap());
    assert_eq!(world.store.counts().written - before, 2, "the mark, and the event");
    assert!(world.account.is_deleted().unwrap());
    let rows = world.store.counts().written;
    assert!(matches!(world.account.delete_if_due(due), Err(AccountError::Vacant)));
    assert_eq!(world.store.counts().written, rows, "an alarm that fires twice deletes once");
}

#[test]
fn an_active_account_has_no_time_to_be_deleted_whatever_stands_in_its_row() {
    let mut world = at_rest();
    world.account.edit(&[], world.now, |profile| profile.deactivated = false).unwrap();
    world.wake(true);
    assert_eq!(world.account.deletion_due().unwrap(), None);
    assert!(!world.account.delete_if_due(u64::MAX).unwrap());
}

#[test]
fn an_account_that_is_taken_down_waits_until_that_is_lifted() {
    let world = at_rest();
    let due = world.now + DAY;
    let take_down = |reference: Option<&str>| {
        let reference = reference.map(str::to_owned);
        world.account.edit(&[], world.now, |profile| profile.takedown = reference).unwrap()
    };
    take_down(Some("x"));
    assert!(!world.account.delete_if_due(due).unwrap());
    take_down(None);
    assert!(world.account.delete_if_due(due).unwrap());
}
