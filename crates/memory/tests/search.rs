//! Searches: by word, by meaning, by tag and time; at once, after waking, and by nobody without the keys.

use crate::common::{Agent, SECOND, draft, encode, search, summary};
use murmuration_embedding::Vector;
use murmuration_memory::{Draft, Meaning, MemoryError, Search, limits};
use murmuration_platform::{Param, Store};
use murmuration_syntax::RepoPath;
use serde_json::{Value, json};

/// A vector that points to one of four sides.
fn toward(model: &str, side: usize) -> Meaning {
    let mut coordinates = [0.1_f32; 4];
    coordinates[side] = 1.0;
    Meaning { model: model.into(), vector: Vector::from_f32(&coordinates).unwrap() }
}

fn note(summary: &str, more: &Value) -> Vec<u8> {
    let mut record = json!({ "$type": "agent.memory.note", "summary": summary });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    encode(&record)
}

impl Agent {
    fn keep(&self, summary: &str, more: &Value, meaning: Option<&Meaning>) -> RepoPath {
        let (path, record) = (self.fresh(), note(summary, more));
        let draft = Draft { meaning, ..draft(&path, &record) };
        self.memories.create(self.keeper(), draft, None).unwrap().path
    }

    fn find(&self, search: &Search<'_>) -> Vec<String> {
        let found = self.memories.search(self.keeper(), search).unwrap();
        found.iter().map(|found| summary(&found.memory.record)).collect()
    }
}

#[test]
fn a_memory_is_found_by_the_very_next_search_and_gone_with_the_next() {
    let mut alice = Agent::new();
    assert!(alice.find(&search("deploy")).is_empty());
    let path = alice.keep("the deploy window is Friday", &json!({}), None);
    alice.keep("cats sleep all day", &json!({}), None);
    assert_eq!(alice.find(&search("when do we deploy?")), ["the deploy window is Friday"]);
    alice.update(&path, &note("releases go out on Monday", &json!({})), None).unwrap();
    assert!(alice.find(&search("deploy")).is_empty());
    assert_eq!(alice.find(&search("release")), ["releases go out on Monday"]);
    alice.wake();
    assert_eq!(alice.find(&search("release")), ["releases go out on Monday"]);
    alice.memories.delete(alice.keeper(), &path, None).unwrap();
    assert!(alice.find(&search("release")).is_empty());
    alice.wake();
    assert!(alice.find(&search("release")).is_empty());
    assert_eq!(alice.memories.indexed(alice.keeper()).unwrap(), 1);
}

#[test]
fn meaning_finds_what_no_word_does_and_models_are_kept_apart() {
    let mut alice = Agent::new();
    alice.keep("felines doze", &json!({}), Some(&toward("m", 0)));
    alice.keep("trains run late", &json!({}), Some(&toward("m", 1)));
    alice.keep("of another model", &json!({}), Some(&toward("n", 0)));
    for _ in 0..2 {
        let meaning = toward("m", 0);
        let asked = Search { meaning: Some(&meaning), least: 0.3, ..search("sleeping cats") };
        let found = alice.memories.search(alice.keeper(), &asked).unwrap();
        assert_eq!(summary(&found[0].memory.record), "felines doze");
        assert!(found[0].hit.vector.unwrap() > 0.99 && found[0].hit.words.is_none());
        assert!(found.iter().all(|found| summary(&found.memory.record) != "of another model"));
        alice.wake();
    }
}

#[test]
fn searches_are_filtered_by_collection_tag_and_time() {
    let alice = Agent::new();
    let mut times = Vec::new();
    for n in 0..4 {
        alice.keep(&format!("tea {n}"), &json!({ "tags": ["all", format!("t{}", n % 2)] }), None);
        times.push(alice.now.get());
    }
    let fact = RepoPath::parse("agent.memory.fact/one").unwrap();
    alice.create(&fact, &encode(&json!({ "summary": "tea is hot" }))).unwrap();
    let sorted = |search: Search<'_>| {
        let mut found = alice.find(&search);
        found.sort();
        found
    };
    assert_eq!(sorted(search("tea")).len(), 5);
    assert_eq!(sorted(Search { tags: &["t1", "all"], ..search("tea") }), ["tea 1", "tea 3"]);
    assert!(sorted(Search { tags: &["t1", "t0"], ..search("tea") }).is_empty());
    assert_eq!(sorted(Search { made: times[1]..times[3], ..search("tea") }), ["tea 1", "tea 2"]);
    let facts = ["agent.memory.fact".parse().unwrap()];
    assert_eq!(sorted(Search { collections: &facts, ..search("tea") }), ["tea is hot"]);
    assert_eq!(sorted(Search { limit: 2, ..search("tea") }).len(), 2);
}

#[test]
fn what_does_not_hold_any_more_is_hidden_unless_asked_for() {
    let alice = Agent::new();
    let until =
        json!({ "validity": { "validFrom": "2020-01-01T00:00:00Z", "validTo": "2022-01-01T00:00:00Z" } });
    let since = json!({ "validity": { "validFrom": "2022-01-01T00:00:00Z" } });
    alice.keep("the office is in Berlin", &until, None);
    alice.keep("the office is in Lisbon", &since, None);
    assert_eq!(alice.find(&search("office")), ["the office is in Lisbon"]);
    assert_eq!(alice.find(&Search { superseded: true, ..search("office") }).len(), 2);
    let at = |year: u64| (year - 1970) * 365_250_000 * 86_400;
    let of = |year| alice.find(&Search { as_of: Some(at(year)), ..search("office") });
    assert_eq!(of(2021), ["the office is in Berlin"]);
    assert_eq!(of(2023), ["the office is in Lisbon"]);
    assert!(of(2019).is_empty());
}

#[test]
fn what_has_ended_is_not_found_before_the_alarm_either() {
    let alice = Agent::new();
    let (path, record) = (alice.fresh(), note("short tea", &json!({})));
    let expires_at = Some(alice.now.get() + SECOND);
    alice.memories.create(alice.keeper(), Draft { expires_at, ..draft(&path, &record) }, None).unwrap();
    assert_eq!(alice.find(&search("tea")).len(), 1);
    alice.pass(SECOND);
    assert!(alice.find(&search("tea")).is_empty());
    alice.memories.drop_expired(alice.keeper(), 10).unwrap();
    assert_eq!(alice.memories.indexed(alice.keeper()).unwrap(), 0);
    assert!(alice.store.query("SELECT 1 FROM memory_page", &[]).unwrap().is_empty());
}

/// Pages say nothing without the key: the same entries under two agents' keys have nothing in common, and no word, token, tag
/// or coordinate of a vector lies in the open.
#[test]
fn pages_at_rest_say_nothing_without_the_agents_key() {
    let alice = Agent::new();
    let meaning = toward("canary-model", 2);
    for _ in 0..20 {
        alice.keep("canary canary", &json!({ "tags": ["canary-tag"] }), Some(&meaning));
    }
    let page = || alice.store.query("SELECT entries FROM memory_page", &[]).unwrap()[0].blob(0).unwrap();
    let (sealed, vector) = (page(), meaning.vector.to_bytes());
    assert!(sealed.len() > 20 * vector.len());
    let holds = |part: &[u8]| sealed.windows(part.len()).any(|window| window == part);
    assert!(!holds(b"canary") && !holds(&vector));
    // Of twenty equal entries no eight bytes stand twice, as they would if anything of an entry were to be seen.
    let mut parts: Vec<&[u8]> = sealed.windows(8).collect();
    parts.sort_unstable();
    assert!(parts.windows(2).all(|pair| pair[0] != pair[1]));
    // The same page sealed again has other bytes; in the place of another page it does not open.
    alice.keep("one more", &json!({}), None);
    assert_ne!(page()[..64], sealed[..64]);
    alice.store.query("UPDATE memory_page SET page = 1", &[]).unwrap();
    alice.memories.forget();
    assert!(matches!(alice.memories.search(alice.keeper(), &search("canary")), Err(MemoryError::Key(_))));
    alice.store.query("UPDATE memory_page SET page = 0, entries = ?1", &[Param::Blob(&sealed)]).unwrap();
    alice.memories.forget();
    assert_eq!(alice.find(&search("canary")).len(), 10);
}

#[test]
fn places_are_used_again_and_pages_hold_their_entries_over_waking() {
    let mut alice = Agent::new();
    let paths: Vec<_> = (0..130).map(|n| alice.keep(&format!("item n{n}"), &json!({}), None)).collect();
    let pages = |alice: &Agent| alice.store.query("SELECT page FROM memory_page", &[]).unwrap().len();
    assert_eq!(pages(&alice), 3);
    for path in &paths[..64] {
        alice.memories.delete(alice.keeper(), path, None).unwrap();
    }
    assert_eq!(pages(&alice), 2);
    alice.wake();
    for n in 130..140 {
        alice.keep(&format!("item n{n}"), &json!({}), None);
    }
    assert_eq!(pages(&alice), 3);
    alice.wake();
    for n in [64, 99, 129, 130, 139] {
        assert_eq!(alice.find(&search(&format!("n{n}"))), [format!("item n{n}")]);
    }
    assert!(alice.find(&search("n3")).is_empty());
    assert_eq!(alice.memories.indexed(alice.keeper()).unwrap(), 76);
    assert!(limits::MAX_MEMORIES <= u64::try_from(murmuration_recall::MAX_ENTRIES).unwrap());
}

#[test]
fn pinned_memories_come_the_newest_first() {
    let alice = Agent::new();
    for (summary, pinned) in [("old", true), ("loose", false), ("new", true)] {
        let (path, record) = (alice.fresh(), note(summary, &json!({})));
        alice.memories.create(alice.keeper(), Draft { pinned, ..draft(&path, &record) }, None).unwrap();
    }
    let pinned = alice.memories.pinned(alice.keeper(), 10).unwrap();
    assert_eq!(pinned.iter().map(|memory| summary(&memory.record)).collect::<Vec<_>>(), ["new", "old"]);
}
