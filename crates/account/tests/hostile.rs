//! Writes that were made to hurt: keys that all fall into one node of the tree.

use murmuration_account::{AccountError, WriteRequest};
use murmuration_platform::Store;
use murmuration_repo::{Key, MAX_ENTRIES_PER_NODE};

use crate::common::{World, create, path};

/// Keys of one run: a node of them all would have 700 kB, and every commit would write it.
const RUN: usize = 10_000;

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
    let keys = run(RUN);
    let (fitting, over) = keys.split_at(MAX_ENTRIES_PER_NODE);
    let all = keys.iter().take(MAX_ENTRIES_PER_NODE + 1).map(|key| create(key, "x")).collect();
    assert!(matches!(world.write(all), Err(AccountError::InvalidWrite(_))), "all at once");
    world.write(fitting.iter().map(|key| create(key, "x")).collect()).unwrap();

    let (head, written) = (world.account.head().unwrap(), world.store.counts().written);
    let request = |key: &str| WriteRequest { writes: vec![create(key, "x")], ..WriteRequest::default() };
    // As they would come: many calls a turn.
    for keys in over.chunks(64) {
        let requests: Vec<WriteRequest> = keys.iter().map(|key| request(key)).collect();
        for answer in world.account.write(&requests, world.now + 1) {
            let Err(AccountError::InvalidWrite(why)) = answer else { panic!("{answer:?}") };
            assert!(why.contains("192"), "{why}");
        }
    }
    assert_eq!(world.account.head().unwrap(), head);
    assert_eq!(world.store.counts().written, written, "what is refused writes nothing");
    // One that lies higher makes room on both sides of it.
    let mut others = (0..).map(|n| format!("com.example.other/{n}"));
    let other = others.find(|text| Key::from(&path(text)).layer() == 2).unwrap();
    let answers = world.account.write(&[request(&over[0]), request(&other)], world.now + 1);
    assert!(matches!(answers[0], Err(AccountError::InvalidWrite(_))));
    assert!(answers[1].is_ok(), "a call of the same turn goes on");
    world.wake(true);
    assert_eq!(world.account.collections().unwrap().len(), 2);
}
