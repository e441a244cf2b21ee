//! What is kept comes whole into another store, once, whether it was opened on the way or not.

use crate::common::{Agent, SECOND, encode, note, record, search};
use murmuration_data::{Ipld, cbor, json as data};
use murmuration_keyring::Ring;
use murmuration_memory::{Filter, Incoming, IncomingState, Memories, MemoryError, Part, Put, TakenIn};
use murmuration_syntax::RepoPath;
use serde_json::json;

fn export(from: &Agent) -> Vec<Part> {
    let mut export = from.memories.export(from.now.get());
    std::iter::from_fn(|| export.next_part().unwrap()).collect()
}

/// As a host that has the agent's keys takes a part in.
fn take_in(to: &Agent, ring: &Ring, part: &Part) -> Result<TakenIn, MemoryError> {
    let records: Vec<_> = part.memories.iter().map(|memory| memory.open(ring, None).unwrap().0).collect();
    let memories: Vec<_> = part
        .memories
        .iter()
        .zip(&records)
        .map(|(memory, record)| Incoming {
            path: &memory.path,
            record,
            pinned: memory.pinned,
            created_at: memory.created_at,
            updated_at: memory.updated_at,
            expires_at: memory.expires_at,
            readers: &memory.readers,
            meaning: None,
        })
        .collect();
    let entries: Vec<_> = part.states.iter().map(|state| state.open(ring).unwrap()).collect();
    let states: Vec<_> = part
        .states
        .iter()
        .zip(&entries)
        .map(|(state, (key, value))| IncomingState {
            key,
            value,
            updated_at: state.updated_at,
            expires_at: state.expires_at,
        })
        .collect();
    to.memories.take_in(to.keeper(), &memories, &states)
}

/// Another store of the same agent.
fn elsewhere(alice: &Agent) -> Agent {
    let mut other = Agent::new();
    other.ring = alice.ring.clone();
    other.random.0.set(99);
    other.now.set(alice.now.get());
    other
}

/// All that is seen of the memories and the working state, without revisions.
fn seen(agent: &Agent) -> (Vec<String>, Vec<String>) {
    let page = agent.memories.list(agent.keeper(), &Filter::default(), None, 500).unwrap();
    let memory = |memory: &murmuration_memory::Memory| {
        let record = data::to_value(&cbor::decode(&memory.record).unwrap());
        let times = (memory.created_at, memory.updated_at, memory.expires_at);
        format!("{} {} {times:?} {} {record}", memory.path, memory.cid, memory.pinned)
    };
    let states = agent.memories.states(agent.keeper(), "", "", 500).unwrap().entries;
    let state = |entry: &murmuration_memory::Entry| {
        format!("{} {:?} {} {:?}", entry.key, entry.value, entry.updated_at, entry.expires_at)
    };
    (page.memories.iter().map(memory).collect(), states.iter().map(state).collect())
}

fn full() -> Agent {
    let alice = Agent::new();
    for n in 0..120 {
        alice.remember(&format!("note number {n}"));
    }
    let changed = alice.remember("changed").path;
    alice.pass(SECOND);
    alice.update(&changed, &record("it was"), None).unwrap();
    let (path, text) = (alice.fresh(), record("ends"));
    let ends = murmuration_memory::Draft {
        path: &path,
        record: &text,
        pinned: true,
        expires_at: Some(alice.now.get() + 3600 * SECOND),
        meaning: None,
        on_duplicate: murmuration_memory::OnDuplicate::Keep,
        near: None,
    };
    alice.memories.create(alice.keeper(), ends, None).unwrap();
    for (rkey, object) in [("one", "Bern"), ("two", "Basel")] {
        alice.pass(SECOND);
        let fact = encode(&json!({ "$type": "agent.memory.fact", "subject": "Anna", "predicate": "lives in",
            "object": object, "createdAt": "2026-11-18T05:00:00.000Z" }));
        let path = RepoPath::parse(&format!("agent.memory.fact/{rkey}")).unwrap();
        alice.create(&path, &fact).unwrap();
    }
    for n in 0..120 {
        alice.pass(SECOND);
        let (key, value) = (format!("key {n}"), Ipld::Integer(n));
        let expires_at = (n == 7).then(|| alice.now.get() + 3600 * SECOND);
        let put = Put { key: &key, value: &value, expires_at, swap: None };
        alice.memories.put_state(alice.keeper(), put).unwrap();
    }
    alice
}

#[test]
fn nothing_is_lost_and_both_sides_agree() {
    let alice = full();
    let other = elsewhere(&alice);
    let parts = export(&alice);
    assert!(parts.len() > 3, "{}", parts.len());
    assert!(parts.iter().all(|part| part.memories.len() <= 100 && part.states.len() <= 100));
    let before = (other.written(), other.index_entries());
    let added: usize = parts.iter().map(|part| take_in(&other, &alice.ring, part).unwrap().added).sum();
    assert_eq!(added, 124 + 120);
    let (with, entries) =
        (parts.iter().filter(|part| !part.memories.is_empty()).count(), other.index_entries());
    let rows = other.written() - before.0 + u64::try_from(entries - before.1).unwrap();
    assert_eq!(
        rows,
        1 + 3 * 124 + u64::try_from(with).unwrap() + 120 + 2,
        "secret, memories, spaces, entries, two that end"
    );
    assert_eq!(seen(&other), seen(&alice));
    let [one, two] = [&alice, &other].map(|agent| agent.memories.space(agent.keeper()).unwrap());
    assert_eq!((one.hash.digest(), one.memories, one.bytes), (two.hash.digest(), two.memories, two.bytes));
    assert_eq!(two.hash, other.hash_of_all());

    // Found by its words, and a fact that is told again is still known.
    let found = other.memories.search(other.keeper(), &search("number 77")).unwrap();
    assert_eq!(crate::common::summary(&found[0].memory.record), "note number 77");
    let fact = encode(&json!({ "$type": "agent.memory.fact", "subject": "Anna", "predicate": "lives in",
        "object": "Chur", "createdAt": "2026-11-18T06:00:00.000Z" }));
    let three = RepoPath::parse("agent.memory.fact/three").unwrap();
    other.create(&three, &fact).unwrap();
    let two = RepoPath::parse("agent.memory.fact/two").unwrap();
    let ended = other.memories.get(other.keeper(), &two).unwrap();
    let ended = data::to_value(&cbor::decode(&ended.record).unwrap());
    assert!(ended["supersededBy"].is_object() || ended["validity"]["supersededBy"].is_object(), "{ended}");
}

#[test]
fn what_is_taken_in_twice_is_there_once() {
    let alice = full();
    let other = elsewhere(&alice);
    let parts = export(&alice);
    for part in parts.iter().chain(parts.iter().rev()) {
        let whole = part.memories.len() + part.states.len();
        let taken = take_in(&other, &alice.ring, part).unwrap();
        assert_eq!(taken.added + taken.known, whole);
        assert!(taken.added == 0 || taken.known == 0);
    }
    assert_eq!(seen(&other), seen(&alice));
    let before = other.written();
    take_in(&other, &alice.ring, parts.last().unwrap()).unwrap();
    assert_eq!(other.written() - before, 0);
}

#[test]
fn a_part_with_something_that_is_there_otherwise_changes_nothing() {
    let alice = Agent::new();
    let paths: Vec<RepoPath> = (0..3).map(|n| alice.remember(&format!("note {n}")).path).collect();
    let value = Ipld::Bool(true);
    let put = |agent: &Agent, value: &Ipld| {
        let put = Put { key: "k", value, expires_at: None, swap: None };
        agent.memories.put_state(agent.keeper(), put).unwrap();
    };
    put(&alice, &value);
    let mut whole = Part::default();
    for part in export(&alice) {
        whole.memories.extend(part.memories);
        whole.states.extend(part.states);
    }
    for conflict in ["memory", "state"] {
        let mut other = elsewhere(&alice);
        match conflict {
            "memory" => drop(other.create(&paths[2], &record("another")).unwrap()),
            _ => put(&other, &Ipld::Bool(false)),
        }
        let before = seen(&other);
        let space = other.memories.space(other.keeper()).unwrap();
        assert!(matches!(take_in(&other, &alice.ring, &whole), Err(MemoryError::Conflict(_))), "{conflict}");
        for _ in 0..2 {
            assert_eq!(seen(&other), before, "{conflict}");
            assert_eq!(other.memories.space(other.keeper()).unwrap(), space, "{conflict}");
            other.wake();
        }
        other.create(&note("3lznm6spegk2z"), &record("goes on")).unwrap();
    }
}

#[test]
fn an_export_says_nothing_without_the_keys() {
    let alice = full();
    let mallory = Agent::new();
    let (ring, _) = Ring::begin(alice.ring.did(), &mallory.random, alice.now.get()).unwrap();
    // Of the same name, with other keys.
    let (ring, _) = {
        mallory.random.0.set(ring.current().number().into());
        Ring::begin(alice.ring.did(), &mallory.random, alice.now.get()).unwrap()
    };
    for part in export(&alice) {
        for memory in &part.memories {
            let bytes = memory.envelope.to_cbor();
            assert!(!bytes.windows(6).any(|window| window == b"number"));
            assert!(memory.open(&ring, None).is_err());
            // Nor where it does not belong.
            let mut moved = memory.clone();
            moved.path = note("3lznm6spegk2z");
            assert!(moved.open(&alice.ring, None).is_err());
        }
        for state in &part.states {
            assert!(state.open(&ring).is_err());
        }
    }
    let woken = Memories::new(alice.store.clone());
    assert_eq!(woken.export(alice.now.get()).next_part().unwrap(), export(&alice).first().cloned());
}
