//! Working state: compare and swap, expiry, and names that say nothing.

use crate::common::{Agent, SECOND};
use murmuration_data::Ipld;
use murmuration_memory::{Entry, MemoryError, Put, limits};
use murmuration_platform::Store;
use murmuration_syntax::Rev;

fn put(alice: &Agent, key: &str, value: &str, swap: Option<Option<Rev>>) -> Result<Entry, MemoryError> {
    alice.pass(SECOND);
    let value = Ipld::String(value.into());
    alice.memories.put_state(alice.keeper(), Put { key, value: &value, expires_at: None, swap })
}

#[test]
fn of_two_who_swap_one_wins() {
    let mut alice = Agent::new();
    let first = put(&alice, "task", "one", Some(None)).unwrap().rev;
    assert!(matches!(put(&alice, "task", "two", Some(None)), Err(MemoryError::StateSwap(Some(_)))));
    let second = put(&alice, "task", "two", Some(Some(first))).unwrap().rev;
    assert!(matches!(put(&alice, "task", "three", Some(Some(first))), Err(MemoryError::StateSwap(_))));
    alice.wake();
    let entry = alice.memories.state(alice.keeper(), "task").unwrap();
    assert_eq!((entry.value, entry.rev), (Ipld::String("two".into()), second));
    assert!(alice.memories.delete_state(alice.keeper(), "task", Some(first)).is_err());
    alice.memories.delete_state(alice.keeper(), "task", Some(second)).unwrap();
    assert!(matches!(alice.memories.state(alice.keeper(), "task"), Err(MemoryError::NoSuchState)));
    // What was there before does not come back under the same version, though the clock steps back.
    alice.now.set(crate::common::NOW);
    let third = put(&alice, "task", "three", None).unwrap().rev;
    assert!(third != first && third != second);
}

#[test]
fn entries_are_listed_by_their_keys() {
    let alice = Agent::new();
    for key in ["task/b", "context", "task/a", "task/c", "session"] {
        put(&alice, key, key, None).unwrap();
    }
    let list = |prefix: &str, after: &str| {
        let page = alice.memories.states(alice.keeper(), prefix, after, 2).unwrap();
        (page.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(list("task/", ""), (vec!["task/a".into(), "task/b".into()], true));
    assert_eq!(list("task/", "task/b"), (vec!["task/c".into()], false));
    assert_eq!(list("", ""), (vec!["context".into(), "session".into()], true));
}

#[test]
fn an_entry_ends_at_its_time() {
    let alice = Agent::new();
    let ends = alice.now.get() + 5 * SECOND;
    let value = Ipld::String("short".into());
    let put = Put { key: "k", value: &value, expires_at: Some(ends), swap: None };
    alice.memories.put_state(alice.keeper(), put).unwrap();
    assert_eq!(alice.memories.next_expiry().unwrap(), Some(ends));
    alice.pass(5 * SECOND);
    assert!(alice.memories.state(alice.keeper(), "k").is_err());
    assert!(alice.memories.states(alice.keeper(), "", "", 10).unwrap().entries.is_empty());
    alice.memories.drop_expired(alice.keeper(), 10).unwrap();
    assert!(alice.store.query("SELECT 1 FROM memory_state", &[]).unwrap().is_empty());
    assert_eq!(alice.memories.next_expiry().unwrap(), None);
}

#[test]
fn a_change_writes_one_row_and_one_for_the_key_before_it() {
    let alice = Agent::new();
    put(&alice, "k", "the secret is drawn", None).unwrap();
    let before = alice.written();
    put(&alice, "other", "new", None).unwrap();
    assert_eq!(alice.written() - before, 1);
    put(&alice, "other", "newer", None).unwrap();
    assert_eq!(alice.written() - before, 3);
}

#[test]
fn a_value_has_a_size() {
    let alice = Agent::new();
    let large = "x".repeat(limits::MAX_STATE_BYTES);
    assert!(matches!(put(&alice, "k", &large, None), Err(MemoryError::TooLarge(_))));
    put(&alice, "k", &large[100..], None).unwrap();
}
