//! What was said is read once, and the rules take what is said outright.

use std::task::{Context, Poll, Waker};

use crate::common::{Agent, draft, encode, record};
use murmuration_data::{Ipld, json};
use murmuration_memory::{Draft, Extractor, MemoryError, OnDuplicate, Rules, Turn, limits};
use murmuration_platform::Store;
use murmuration_syntax::{RepoPath, Tid};
use serde_json::{Value, json as object};

fn extract(text: &str) -> Vec<Value> {
    let turns = [Turn { text: text.into(), at: None }];
    let mut found = Rules.extract(&turns);
    let Poll::Ready(found) = found.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
    found.unwrap().iter().map(json::to_value).collect()
}

fn turns(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

#[test]
fn the_rules_take_what_is_said_outright() {
    let note = |summary: &str| object!({ "$type": "agent.memory.note", "summary": summary });
    assert_eq!(extract("Please remember that the gate code is 4711."), [note("the gate code is 4711")]);
    assert_eq!(extract("NOTE: version 1.2.3 is broken!"), [note("version 1.2.3 is broken")]);
    assert_eq!(
        extract("We decided to use workerd because it is fast. Fine."),
        [object!({ "$type": "agent.memory.decision", "decision": "use workerd", "rationale": "it is fast",
            "context": "We decided to use workerd because it is fast", "status": "accepted" })]
    );
    assert_eq!(
        extract("- It turns out that tea helps"),
        [object!({ "$type": "agent.memory.learning", "statement": "tea helps" })]
    );
    let fact = |predicate: &str, thing: &str| object!({ "$type": "agent.memory.fact", "predicate": predicate, "object": thing });
    assert_eq!(
        extract("Hi. My favourite colour is blue, I think. I live in Bern!\nOur servers are in Oslo"),
        [fact("favourite colour", "blue, I think"), fact("lives in", "Bern"), fact("servers", "in Oslo")]
    );
    let preference =
        object!({ "$type": "agent.memory.note", "summary": "I never fly", "tags": ["preference"] });
    assert_eq!(extract("I never fly."), [preference]);
    // As it was said, whatever its letters.
    assert_eq!(extract("Remember Zoë İs 🐈"), [note("Zoë İs 🐈")]);
}

#[test]
fn the_rules_leave_the_rest_alone() {
    let long = format!("remember {}", "x".repeat(300));
    for text in [
        "",
        "remember",
        "Do you remember that the gate is open?",
        "What is my name?",
        "I went to Bern.",
        "The deploy window is Friday",
        "my oh my",
        "é",
        long.as_str(),
    ] {
        assert_eq!(extract(text), Vec::<Value>::new(), "{text}");
    }
}

#[test]
fn a_memory_is_of_the_time_when_it_was_said() {
    let at = "2020-01-01T00:00:00.000Z".to_owned();
    let turns = [Turn { text: "Remember tea. I never fly".into(), at: Some(at.clone()) }];
    let mut found = Rules.extract(&turns);
    let Poll::Ready(found) = found.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
    for record in found.unwrap() {
        let Ipld::Map(fields) = record else { panic!() };
        assert_eq!(fields["createdAt"], Ipld::String(at.clone()));
    }
}

#[test]
fn a_turn_is_read_once_in_a_thread_also_after_waking() {
    let mut alice = Agent::new();
    let said = turns(&["one", "two", "one"]);
    let unread = |alice: &Agent, thread: &str, said: &[Vec<u8>]| {
        alice.memories.unread(alice.keeper(), thread, said).unwrap()
    };
    // Nothing was ever kept, so there is nothing to know it by; but one that comes twice is one.
    assert_eq!(unread(&alice, "t", &said).len(), 3);
    let (path, text) = (alice.fresh(), record("of one and two"));
    let before = alice.written();
    let made = alice.memories.learn(alice.keeper(), "t", &said, &[draft(&path, &text)]).unwrap();
    assert_eq!((made.len(), made[0].repeated), (1, false));
    assert_eq!(alice.written() - before, 4 + 1 + 1, "the memory, what was read, and once the secret");
    alice.wake();
    assert_eq!(unread(&alice, "t", &turns(&["one", "two", "three", "three"])), [2]);
    assert_eq!(unread(&alice, "another", &said), [0, 1]);
    let before = alice.written();
    alice.memories.learn(alice.keeper(), "t", &turns(&["three"]), &[]).unwrap();
    assert_eq!(alice.written() - before, 1);
    assert_eq!(unread(&alice, "t", &turns(&["one", "two", "three"])), [0; 0]);
}

#[test]
fn what_is_kept_of_a_part_is_kept_whole_or_not_at_all() {
    let alice = Agent::new();
    alice.remember("the first draws the secret");
    let (one, text) = (alice.fresh(), record("one"));
    let long = record(&"x".repeat(limits::MAX_RECORD_BYTES));
    let two = alice.fresh();
    let before = (alice.written(), alice.all().len());
    let outcome =
        alice.memories.learn(alice.keeper(), "t", &turns(&["a"]), &[draft(&one, &text), draft(&two, &long)]);
    assert!(matches!(outcome, Err(MemoryError::TooLarge(_))));
    // A name that is taken by the second: the first is gone again, too.
    let outcome =
        alice.memories.learn(alice.keeper(), "t", &turns(&["a"]), &[draft(&one, &text), draft(&one, &text)]);
    assert!(matches!(outcome, Err(MemoryError::Conflict(_))));
    assert_eq!(alice.all().len(), before.1);
    assert_eq!(alice.memories.unread(alice.keeper(), "t", &turns(&["a"])).unwrap(), [0]);
    assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
    // And one that is known is not kept twice.
    let skip = |path| Draft { on_duplicate: OnDuplicate::Skip, ..draft(path, &text) };
    let made = alice.memories.learn(alice.keeper(), "t", &turns(&["a"]), &[skip(&one), skip(&two)]).unwrap();
    assert_eq!((made[0].repeated, made[1].repeated, &made[1].path), (false, true, &one));
}

#[test]
fn what_was_read_is_known_within_limits_and_says_nothing_without_the_keys() {
    let alice = Agent::new();
    alice.remember("the first draws the secret");
    let many: Vec<Vec<u8>> =
        (0..limits::MAX_KNOWN_TURNS + 10).map(|n| format!("canary {n}").into_bytes()).collect();
    alice.memories.learn(alice.keeper(), "canary thread", &many, &[]).unwrap();
    let unread = alice.memories.unread(alice.keeper(), "canary thread", &many).unwrap();
    assert_eq!(unread, (0..10).collect::<Vec<_>>(), "the oldest are forgotten");
    let everything = alice.everything();
    assert!(!everything.iter().any(|value| value.windows(6).any(|part| part == b"canary")));
    for n in 0..limits::MAX_THREADS + 5 {
        alice.pass(1);
        alice.memories.learn(alice.keeper(), &n.to_string(), &turns(&["a"]), &[]).unwrap();
    }
    let count = alice.store.query("SELECT count(*) FROM memory_thread", &[]).unwrap()[0].int(0).unwrap();
    assert_eq!(count, limits::MAX_THREADS);
    assert_eq!(alice.memories.unread(alice.keeper(), "canary thread", &many[20..21]).unwrap(), [0]);
}

#[test]
fn the_word_of_others_ends_no_fact_of_the_agents_own() {
    let alice = Agent::new();
    let fact = |thing: &str, provenance: Value| {
        let path = format!("agent.memory.fact/{}", Tid::from_parts(alice.now.get(), 1));
        alice.pass(1_000_000);
        let mut record = object!({ "subject": "office", "predicate": "is in", "object": thing });
        if !provenance.is_null() {
            record["provenance"] = provenance;
        }
        let (path, record) = (RepoPath::parse(&path).unwrap(), encode(&record));
        alice.memories.create(alice.keeper(), draft(&path, &record), None).unwrap()
    };
    let bob = object!({ "kind": "agent", "agent": "did:plc:bob" });
    let own = fact("Bern", Value::Null);
    let bobs = fact("Oslo", bob.clone());
    assert_eq!(bobs.beside.ended, None);
    // Bob's next ends his own, and the agent's ends the one that began last, whosever it is.
    assert_eq!(fact("Rome", bob).beside.ended, Some(bobs.path));
    let next = fact("Paris", Value::Null).beside.ended.unwrap();
    assert_ne!(next, own.path);
}
