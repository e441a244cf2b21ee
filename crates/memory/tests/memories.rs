//! What is remembered is found as it was, once, by nobody without the keys, and counted.

use std::collections::BTreeMap;

use crate::common::{Agent, SECOND, draft, encode, note, record, summary};
use murmuration_memory::{Draft, Filter, MemoryError, Once, SetHash, limits};
use murmuration_platform::{Param, Store};
use murmuration_syntax::RepoPath;
use serde_json::json;

#[test]
fn a_memory_is_found_by_the_very_next_call_and_after_waking() {
    let mut alice = Agent::new();
    let written = alice.remember("the deploy window is Friday");
    assert_eq!(alice.summary(&written.path).as_deref(), Some("the deploy window is Friday"));
    alice.wake();
    let memory = alice.memories.get(alice.keeper(), &written.path).unwrap();
    assert_eq!((memory.cid, memory.rev), (written.cid, written.rev));
    assert_eq!(summary(&memory.record), "the deploy window is Friday");
    assert!(!memory.shared && !memory.pinned);
    assert_eq!(alice.summary(&note("3lznm6spegk2z")), None);
}

#[test]
fn a_create_writes_at_most_eight_rows() {
    let alice = Agent::new();
    alice.remember("the first draws the secret");
    let cost = |work: &mut dyn FnMut()| {
        let before = (alice.written(), alice.index_entries());
        work();
        alice.written() - before.0 + u64::try_from(alice.index_entries() - before.1).unwrap()
    };
    assert_eq!(cost(&mut || drop(alice.remember("one"))), 4, "memory, page of the index, operation, space");
    let dear = cost(&mut || {
        let (path, record) = (alice.fresh(), record("two"));
        let expires_at = Some(alice.now.get() + SECOND);
        let once = Once { key: "k", asked: b"two" };
        let draft = Draft { expires_at, ..draft(&path, &record) };
        alice.memories.create(alice.keeper(), draft, Some(once)).unwrap();
    });
    assert_eq!(dear, 6, "and one for its end, and one for its key");
    let path = alice.remember("three").path;
    assert_eq!(cost(&mut || drop(alice.update(&path, &record("four"), None).unwrap())), 5);
    assert_eq!(cost(&mut || drop(alice.update(&path, &record("four"), None).unwrap())), 0, "nothing changes");
    let before = alice.written();
    alice.memories.delete(alice.keeper(), &path, None).unwrap();
    assert_eq!(alice.written() - before, 5, "the key, the row, its page, operation, space");
    assert_eq!(cost(&mut || drop(alice.all())), 0);
}

#[test]
fn nothing_of_a_memory_lies_in_the_open() {
    let alice = Agent::new();
    let text = "xylophone-canary";
    let written = alice.remember(text);
    let (path, once) = (alice.fresh(), Once { key: "canary-key", asked: b"canary-asked" });
    let tagged = encode(
        &json!({ "$type": "agent.memory.note", "summary": text, "tags": ["tag-canary"], "createdAt": "2026-11-28T05:00:00.000Z" }),
    );
    let cid = alice.memories.create(alice.keeper(), draft(&path, &tagged), Some(once)).unwrap().cid;
    let put = murmuration_memory::Put {
        key: "key-of-state-canary",
        value: &murmuration_data::Ipld::String("value-canary".into()),
        expires_at: None,
        swap: None,
    };
    alice.memories.put_state(alice.keeper(), put).unwrap();
    let everything = alice.everything();
    assert!(everything.len() > 30);
    let finds =
        |wanted: &[u8]| everything.iter().any(|value| value.windows(wanted.len()).any(|part| part == wanted));
    for wanted in ["xylophone", "canary", "tag-", "value-"] {
        assert!(!finds(wanted.as_bytes()), "{wanted}");
    }
    // Nor what a guess could be held against: the hash of a record, or of a set of few.
    for cid in [written.cid, cid] {
        assert!(!finds(cid.hash().digest()));
    }
    let space = alice.memories.space(alice.keeper()).unwrap();
    assert!(!finds(&space.hash.to_bytes()[..32]) && !finds(&space.hash.digest()));
    // The search does find what lies in the open.
    assert!(finds(written.path.rkey.as_str().as_bytes()));
}

#[test]
fn a_row_opens_in_its_own_place_only() {
    let alice = Agent::new();
    let (one, two) = (alice.remember("one").path, alice.remember("two").path);
    let sql =
        "UPDATE memory SET (own, text) = (SELECT own, text FROM memory WHERE rkey = ?1) WHERE rkey = ?2";
    alice.store.query(sql, &[Param::Text(one.rkey.as_str()), Param::Text(two.rkey.as_str())]).unwrap();
    assert!(matches!(alice.memories.get(alice.keeper(), &two), Err(MemoryError::Envelope(_))));
    assert_eq!(alice.summary(&one).as_deref(), Some("one"));
}

#[test]
fn each_version_has_a_data_key_of_its_own() {
    let alice = Agent::new();
    let path = alice.remember("one").path;
    let row = || {
        let sql = "SELECT own, text FROM memory";
        let mut row = alice.store.query(sql, &[]).unwrap().pop().unwrap();
        (row.blob(0).unwrap(), row.blob(1).unwrap())
    };
    let old = row();
    alice.update(&path, &record("two"), None).unwrap();
    let new = row();
    assert_ne!(old.0, new.0);
    // The old key does not open the new text.
    let sql = "UPDATE memory SET own = ?1";
    alice.store.query(sql, &[Param::Blob(&old.0)]).unwrap();
    assert!(alice.memories.get(alice.keeper(), &path).is_err());
    alice.store.query(sql, &[Param::Blob(&new.0)]).unwrap();
    assert_eq!(alice.summary(&path).as_deref(), Some("two"));
}

/// The statements of a delete, and of a new version: the key is gone before anything else is touched.
#[test]
fn the_key_is_destroyed_before_the_row_goes() {
    let alice = Agent::new();
    let path = alice.remember("one").path;
    // Somebody watches the row: what it is when it goes, and when its text changes.
    let watch = "CREATE TABLE seen (own BLOB)";
    alice.store.query(watch, &[]).unwrap();
    alice
        .store
        .query(
            "CREATE TRIGGER goes BEFORE DELETE ON memory BEGIN INSERT INTO seen VALUES (old.own); END",
            &[],
        )
        .unwrap();
    alice
        .store
        .query(
            "CREATE TRIGGER turns BEFORE UPDATE OF text ON memory BEGIN INSERT INTO seen VALUES (old.own); END",
            &[],
        )
        .unwrap();
    alice.update(&path, &record("two"), None).unwrap();
    alice.memories.delete(alice.keeper(), &path, None).unwrap();
    let seen = alice.store.query("SELECT own FROM seen", &[]).unwrap();
    assert_eq!(seen.len(), 2);
    for mut row in seen {
        assert_eq!(row.blob(0).unwrap(), vec![0; murmuration_envelope::OWN_PART_BYTES]);
    }
    assert_eq!(alice.summary(&path), None);
}

#[test]
fn a_change_that_names_another_version_is_refused() {
    let alice = Agent::new();
    let first = alice.remember("one");
    let second = alice.update(&first.path, &record("two"), Some(&first.cid)).unwrap();
    assert!(second.rev > first.rev && second.cid != first.cid);
    let late = alice.update(&first.path, &record("three"), Some(&first.cid));
    assert!(matches!(late, Err(MemoryError::Swap(current)) if current == second.cid));
    let late = alice.memories.delete(alice.keeper(), &first.path, Some(&first.cid));
    assert!(matches!(late, Err(MemoryError::Swap(_))));
    assert_eq!(alice.summary(&first.path).as_deref(), Some("two"));
    alice.memories.delete(alice.keeper(), &first.path, Some(&second.cid)).unwrap();
    for outcome in [
        alice.update(&first.path, &record("four"), None).map(drop),
        alice.memories.delete(alice.keeper(), &first.path, None).map(drop),
    ] {
        assert!(matches!(outcome, Err(MemoryError::NotFound)));
    }
}

#[test]
fn an_idempotency_key_does_one_thing_once() {
    let mut alice = Agent::new();
    let (path, other) = (alice.fresh(), alice.fresh());
    let create = |alice: &Agent, path: &RepoPath, asked: &'static [u8]| {
        alice.memories.create(alice.keeper(), draft(path, &record("once")), Some(Once { key: "k", asked }))
    };
    let first = create(&alice, &path, b"once").unwrap();
    alice.wake();
    let again = create(&alice, &other, b"once").unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!((&again.path, again.cid, again.rev), (&first.path, first.cid, first.rev));
    assert!(matches!(create(&alice, &other, b"something else"), Err(MemoryError::Conflict(_))));
    assert_eq!(alice.all().len(), 1);
    // Without a key, a name is taken once.
    assert!(matches!(alice.create(&path, &record("once")), Err(MemoryError::Conflict(_))));
}

#[test]
fn a_copy_that_follows_the_operations_has_the_same_hash() {
    let mut alice = Agent::new();
    let (mut copy, mut since) = (BTreeMap::new(), None);
    let mut paths = Vec::new();
    for round in 0..40_u64 {
        match alice.random.next() % 4 {
            0 if !paths.is_empty() => {
                let at = usize::try_from(alice.random.next()).unwrap() % paths.len();
                let path: RepoPath = paths.swap_remove(at);
                alice.memories.delete(alice.keeper(), &path, None).unwrap();
            }
            1 if !paths.is_empty() => {
                let at = usize::try_from(alice.random.next()).unwrap() % paths.len();
                alice.update(&paths[at], &record(&format!("changed {round}")), None).unwrap();
            }
            _ => paths.push(alice.remember(&format!("made {round}")).path),
        }
        if round % 7 == 0 {
            since = alice.follow(&mut copy, since);
            alice.wake();
        }
    }
    alice.follow(&mut copy, since);
    let space = alice.memories.space(alice.keeper()).unwrap();
    let mut hash = SetHash::default();
    for (name, cid) in &copy {
        hash.add(&RepoPath::parse(name).unwrap(), cid);
    }
    assert_eq!(hash, space.hash);
    assert_eq!(alice.hash_of_all(), space.hash);
    assert_eq!((space.memories, space.operations), (u64::try_from(paths.len()).unwrap(), 40));
    // One that has missed an operation sees it.
    let (first, cid) = copy.first_key_value().unwrap();
    hash.remove(&RepoPath::parse(first).unwrap(), cid);
    assert_ne!(hash.digest(), space.hash.digest());
}

#[test]
fn the_operations_say_when_they_do_not_reach_back() {
    let alice = Agent::new();
    let first = alice.remember("first").rev;
    let second = alice.remember("second").rev;
    let known = |since| alice.memories.operations(alice.keeper(), since, 10).unwrap();
    assert!(!known(None).gap && !known(Some(first)).gap);
    // As if the ring had gone round: the first place is taken.
    alice.store.query("DELETE FROM memory_op WHERE place = 0", &[]).unwrap();
    assert!(known(None).gap);
    let page = known(Some(second));
    assert!(page.operations.is_empty() && !page.gap && !page.more);
}

#[test]
fn lists_take_collections_tags_and_times() {
    let alice = Agent::new();
    let tagged = |n: u64| {
        let tags = if n.is_multiple_of(2) { json!(["even"]) } else { json!(["odd"]) };
        encode(&json!({ "$type": "agent.memory.note", "summary": n.to_string(), "tags": tags }))
    };
    let mut made = Vec::new();
    for n in 0..6 {
        let path = alice.fresh();
        alice.create(&path, &tagged(n)).unwrap();
        made.push(alice.now.get());
    }
    let fact = RepoPath::parse("agent.memory.fact/one").unwrap();
    alice.create(&fact, &record("a fact")).unwrap();
    let list = |filter: &Filter<'_>, limit| {
        let page = alice.memories.list(alice.keeper(), filter, None, limit).unwrap();
        page.memories.iter().map(|memory| summary(&memory.record)).collect::<Vec<_>>()
    };
    let notes = "agent.memory.note".parse().unwrap();
    let of = |filter: Filter<'_>| list(&filter, 10);
    assert_eq!(of(Filter::default()), ["5", "4", "3", "2", "1", "0", "a fact"]);
    assert_eq!(
        of(Filter { collection: Some(&notes), tag: Some("even"), ..Filter::default() }),
        ["4", "2", "0"]
    );
    assert_eq!(of(Filter { made: made[1]..made[3], ..Filter::default() }), ["2", "1"]);
    assert_eq!(of(Filter { tag: Some("none"), ..Filter::default() }), [""; 0]);
    assert_eq!(of(Filter { shared: Some(true), ..Filter::default() }), [""; 0]);
    let page = alice.memories.list(alice.keeper(), &Filter::default(), None, 2).unwrap();
    let next = alice.memories.list(alice.keeper(), &Filter::default(), page.next.as_ref(), 2).unwrap();
    assert_eq!(next.memories.iter().map(|memory| summary(&memory.record)).collect::<Vec<_>>(), ["3", "2"]);
    assert_eq!(alice.all().len(), 7);
}

#[test]
fn a_memory_ends_at_its_time_and_its_key_with_it() {
    let mut alice = Agent::new();
    let (path, stays) = (alice.fresh(), alice.remember("stays").path);
    let ends = alice.now.get() + 10 * SECOND;
    let text = record("ends");
    let create = |alice: &Agent, ends| {
        let draft = Draft { expires_at: Some(ends), ..draft(&path, &text) };
        alice.memories.create(alice.keeper(), draft, None).map(drop)
    };
    assert_eq!(alice.memories.next_expiry().unwrap(), None);
    create(&alice, ends).unwrap();
    assert_eq!(alice.memories.next_expiry().unwrap(), Some(ends));
    alice.wake();
    assert_eq!(alice.memories.next_expiry().unwrap(), Some(ends));
    alice.pass(10 * SECOND);
    assert_eq!(alice.summary(&path), None, "before the alarm, too");
    assert_eq!(alice.all().len(), 1);
    // Its name is free again.
    create(&alice, ends + 20 * SECOND).unwrap();
    assert!(alice.summary(&path).is_some());
    alice.pass(20 * SECOND);
    alice.memories.drop_expired(alice.keeper(), 100).unwrap();
    assert_eq!(alice.memories.next_expiry().unwrap(), None);
    assert!(alice.summary(&stays).is_some());
    let space = alice.memories.space(alice.keeper()).unwrap();
    assert_eq!((space.memories, space.operations), (1, 5));
    assert_eq!(alice.hash_of_all(), space.hash);
}

#[test]
fn a_record_has_a_size_and_an_agent_a_quota() {
    let alice = Agent::new();
    let path = alice.fresh();
    let large = vec![0; limits::MAX_RECORD_BYTES + 1];
    assert!(matches!(alice.create(&path, &large), Err(MemoryError::TooLarge(_))));
    let whole = record(&"x".repeat(limits::MAX_ROW_BYTES - 100));
    alice.create(&path, &whole).unwrap();
    let space = alice.memories.space(alice.keeper()).unwrap();
    assert!(space.bytes >= u64::try_from(whole.len()).unwrap());
    alice.update(&path, &record("small"), None).unwrap();
    assert!(alice.memories.space(alice.keeper()).unwrap().bytes < 1_000);
    alice.memories.delete(alice.keeper(), &path, None).unwrap();
    assert_eq!(alice.memories.space(alice.keeper()).unwrap().bytes, 0);
}

/// Each statement of each call fails once; nothing of the call holds, and the next call finds all as it was.
#[test]
fn a_failed_statement_leaves_nothing_behind() {
    let alice = Agent::new();
    let path = alice.remember("one").path;
    let mut faults = 0;
    for call in 0..4 {
        for at in 0..30 {
            let before = (alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap());
            let fresh = alice.fresh();
            alice.memories.forget();
            alice.store.fail_after(Some(at));
            let failed = match call {
                0 => alice.create(&fresh, &record("new")).is_err(),
                1 => alice.update(&path, &record(&format!("changed {at}")), None).is_err(),
                2 => alice.memories.delete(alice.keeper(), &path, None).is_err(),
                _ => {
                    let value = murmuration_data::Ipld::Integer(at.into());
                    let put =
                        murmuration_memory::Put { key: "k", value: &value, expires_at: None, swap: None };
                    alice.memories.put_state(alice.keeper(), put).is_err()
                }
            };
            let fired = !alice.store.fault_armed();
            alice.store.fail_after(None);
            assert_eq!(failed, fired, "call {call}, statement {at}");
            let after = (alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap());
            assert_eq!(after.0, after.1.hash);
            if !fired {
                break;
            }
            faults += 1;
            assert_eq!(after, before, "call {call}, statement {at}");
        }
    }
    assert!(faults > 20, "{faults}");
}
