//! Writes that were made to hurt: keys that all fall into one node of the tree.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{World, create, path};
use murmuration_account::{AccountError, WriteRequest};
use murmuration_repo::{Key, MAX_ENTRIES_PER_NODE};

/// Keys of the lowest layer, in order: they cost their maker 1.3 hashes each.
fn run(count: usize) -> Vec<String> {
    (0..)
        .map(|n| format!("com.example.note/{n:07}"))
        .filter(|text| Key::from(&path(text)).layer() == 0)
        .take(count)
        .collect()
}

#[test]
fn a_run_of_keys_for_one_node_is_refused_and_disturbs_nobody() {
    let mut world = World::new();
    let keys = run(MAX_ENTRIES_PER_NODE + 40);
    let (fitting, over) = keys.split_at(MAX_ENTRIES_PER_NODE);
    let all = keys.iter().take(MAX_ENTRIES_PER_NODE + 1).map(|key| create(key, "x")).collect();
    assert!(matches!(world.write(all), Err(AccountError::InvalidWrite(_))), "all at once");
    world.write(fitting.iter().map(|key| create(key, "x")).collect()).unwrap();

    let head = world.account.head().unwrap();
    for key in over {
        assert!(matches!(world.write(vec![create(key, "x")]), Err(AccountError::InvalidWrite(_))), "{key}");
    }
    assert_eq!(world.account.head().unwrap(), head);
    let request = |key: &str| WriteRequest { writes: vec![create(key, "x")], ..WriteRequest::default() };
    // One that lies higher makes room on both sides of it.
    let mut others = (0..).map(|n| format!("com.example.other/{n}"));
    let other = others.find(|text| Key::from(&path(text)).layer() == 2).unwrap();
    let answers = world.account.write(&[request(&over[0]), request(&other)], world.now + 1);
    assert!(matches!(answers[0], Err(AccountError::InvalidWrite(_))));
    assert!(answers[1].is_ok(), "a call of the same turn goes on");
    world.wake(true);
    assert_eq!(world.account.collections().unwrap().len(), 2);
}
