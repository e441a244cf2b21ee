//! What an account may write: so much an hour and a day, whatever is lost of memory.

use murmuration_account::{AccountError, Write, WriteRequest};

use crate::common::{World, create, delete, put};

const HOUR: u64 = 60 * 60 * 1_000_000;

fn limited() -> World {
    let mut world = World::new();
    world.account = world.account.limited(true);
    world
}

/// Loses all memory, as hibernation and a crash do.
fn wake(world: &mut World) {
    world.wake(true);
    let account = std::mem::replace(&mut world.account, World::new().account);
    world.account = account.limited(true);
}

/// Spends 600 points.
fn batch(n: u32) -> Vec<Write> {
    (0..200).map(|i| create(&format!("com.example.note/{n}-{i}"), "x")).collect()
}

fn remaining(world: &World) -> u32 {
    world.account.write_budget(world.now).unwrap().unwrap().remaining
}

#[test]
fn regress_bulk_writers_got_the_whole_pds_throttled() {
    let mut world = limited();
    for n in 0..8 {
        world.write(batch(n)).unwrap();
        assert_eq!(remaining(&world), 5000 - 600 * (n + 1));
    }
    wake(&mut world);
    assert_eq!(remaining(&world), 200, "what was spent is remembered");
    (0..66).for_each(|n| drop(world.write(vec![create(&format!("com.example.note/a{n}"), "x")]).unwrap()));
    let before = world.account.head().unwrap();
    world.drain();
    match world.write(vec![create("com.example.note/over", "x")]) {
        Err(AccountError::WriteLimit { status, seconds }) => {
            assert_eq!((status.rule.points, status.rule.seconds, status.remaining), (5000, 3600, 2));
            assert!((3590..=3600).contains(&seconds));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.account.head().unwrap(), before);
    assert!(!world.account.has_unsent().unwrap(), "a refused write tells nobody");
    world.write(vec![put("com.example.note/0-0", "y")]).unwrap();
    assert!(world.write(vec![delete("com.example.note/0-0")]).is_err());
    world.assert_holds_the_model();

    world.now += HOUR;
    world.write(vec![create("com.example.note/over", "x")]).unwrap();
    assert_eq!(remaining(&world), 4997);
}

#[test]
fn the_day_has_a_limit_of_its_own() {
    let mut world = limited();
    let mut batches = 0;
    for _ in 0..8 {
        while world.write(batch(batches)).is_ok() {
            batches += 1;
        }
        wake(&mut world);
        world.now += HOUR;
    }
    assert_eq!(batches, 35_000 / 600);
    assert_eq!(remaining(&world), 35_000 % 600);
    world.now += 17 * HOUR;
    world.write(batch(batches)).unwrap();
}

#[test]
fn a_refused_call_leaves_the_others_of_its_turn_alone() {
    let mut world = limited();
    (0..8).for_each(|n| drop(world.write(batch(n)).unwrap()));
    let request = |writes| WriteRequest { writes, ..WriteRequest::default() };
    let requests = [request(batch(8)), request(vec![create("com.example.note/b", "x")])];
    let answers = world.account.write(&requests, world.now);
    assert!(matches!(answers[0], Err(AccountError::WriteLimit { .. })));
    assert!(answers[1].is_ok());
    let free = WriteRequest { unlimited: true, ..requests[0].clone() };
    assert!(world.account.write(&[free], world.now)[0].is_ok(), "the operator's key opens");
    assert_eq!(remaining(&world), 197);
}

#[test]
fn without_limits_nothing_is_counted() {
    let mut world = World::new();
    (0..9).for_each(|n| drop(world.write(batch(n)).unwrap()));
    assert_eq!(world.account.write_budget(world.now).unwrap(), None);
    wake(&mut world);
    assert_eq!(remaining(&world), 5000);
}
