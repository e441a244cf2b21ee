//! Compaction: what is hardly needed becomes a digest or goes, what is there twice stays once, and nothing goes unsaid.

use std::collections::BTreeSet;

use crate::common::{Agent, NOW, SECOND, draft, encode, search, summary};
use murmuration_data::{cbor, json};
use murmuration_embedding::Vector;
use murmuration_keyring::Ring;
use murmuration_memory::{Draft, Meaning, Policy, Search, Strategy};
use murmuration_platform::{Param, Store};
use murmuration_syntax::{RepoPath, Tid};
use serde_json::{Value, json as object};

const DAY: u64 = 24 * 60 * 60 * SECOND;

impl Agent {
    fn note(&self, summary: &str, more: &Value) -> RepoPath {
        let mut record = object!({ "$type": "agent.memory.note", "summary": summary });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.of("note", &record, false, None)
    }

    fn of(&self, kind: &str, record: &Value, pinned: bool, meaning: Option<&Meaning>) -> RepoPath {
        self.pass(SECOND);
        let path = format!("agent.memory.{kind}/{}", Tid::from_parts(self.now.get(), 1));
        let (path, record) = (RepoPath::parse(&path).unwrap(), encode(record));
        let draft = Draft { pinned, meaning, ..draft(&path, &record) };
        self.memories.create(self.keeper(), draft, None).unwrap().path
    }

    fn value(&self, path: &RepoPath) -> Value {
        json::to_value(&cbor::decode(&self.memories.get(self.keeper(), path).unwrap().record).unwrap())
    }

    fn digests(&self) -> Vec<Value> {
        let all = self.all();
        let digests = all.iter().filter(|(path, _)| path.collection.as_str() == "agent.memory.digest");
        digests.map(|(path, _)| self.value(path)).collect()
    }

    fn paths(&self) -> BTreeSet<RepoPath> {
        self.all().into_iter().map(|(path, _)| path).collect()
    }
}

fn policy(strategy: Strategy, below: u16) -> Policy {
    Policy { strategy, collection: None, age: 30 * DAY, below }
}

#[test]
fn what_is_worth_little_goes_and_the_answer_and_the_log_say_so() {
    let mut alice = Agent::new();
    let old = alice.note("old", &object!({}));
    let dear = alice.note("dear", &object!({ "importance": 1_000 }));
    let used = alice.note("used often", &object!({}));
    alice.pass(60 * DAY);
    for _ in 0..3 {
        let found = alice.memories.search(alice.keeper(), &search("used often")).unwrap();
        let slots = found.iter().filter(|found| summary(&found.memory.record) == "used often");
        alice.memories.note_uses(alice.keeper(), slots.map(|found| found.hit.slot)).unwrap();
    }
    alice.pass(40 * DAY);
    let new = alice.note("new", &object!({ "importance": 1 }));
    let since = alice.memories.space(alice.keeper()).unwrap().rev;
    // After a hundred days a tenth is left, of 500 and of 1,000; what was used since is worth three times as much as after forty.
    let expire = policy(Strategy::Expire, 60);
    let before = alice.written();
    let preview = alice.memories.preview(alice.keeper(), &expire).unwrap();
    assert_eq!((alice.written(), alice.paths().len()), (before, 4), "a preview writes nothing");
    let done = alice.memories.compact(alice.keeper(), &expire, None).unwrap();
    assert_eq!(done, preview);
    let gone: Vec<_> = done.dropped.iter().map(|dropped| (&dropped.path, dropped.worth)).collect();
    assert_eq!((gone, done.examined, done.left, done.digests), (vec![(&old, 50)], 4, 0, 0));
    // The key, the row, its operation; the page, the space, and what upkeep has done.
    assert_eq!(alice.written() - before, 6);
    assert_eq!(alice.paths(), BTreeSet::from([dear.clone(), used.clone(), new.clone()]));
    let log = alice.memories.operations(alice.keeper(), since, 10).unwrap().operations;
    assert_eq!(log.len(), 1);
    assert_eq!((&log[0].path, log[0].cid, log[0].prev), (&old, None, Some(done.dropped[0].cid)));
    assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
    alice.wake();
    assert_eq!(alice.memories.indexed(alice.keeper()).unwrap(), 3);
    let job = &alice.memories.upkeep(alice.keeper()).unwrap()[0];
    assert_eq!((job.runs, job.dropped, job.running_since, job.next), (1, 1, None, None));
    assert_eq!(alice.memories.next_upkeep().unwrap(), None);
    // All but the new one, if little is enough.
    alice.memories.compact(alice.keeper(), &policy(Strategy::Expire, 1_000), None).unwrap();
    assert_eq!(alice.paths(), BTreeSet::from([new]));
}

#[test]
fn decisions_pinned_memories_facts_that_hold_and_what_others_read_stay() {
    let alice = Agent::new();
    let decision = object!({ "decision": "d", "context": "c", "rationale": "r", "status": "proposed" });
    alice.of("decision", &decision, false, None);
    alice.of("note", &object!({ "summary": "pinned" }), true, None);
    let fact = |thing: &str| {
        let fact = object!({ "subject": "office", "predicate": "is in", "object": thing });
        alice.of("fact", &fact, false, None)
    };
    let (ended, _holds) = (fact("Bern"), fact("Oslo"));
    alice.of("digest", &object!({ "text": "t", "covers": [] }), false, None);
    let shared = alice.note("shared", &object!({}));
    let (_, bob) = Ring::begin(&"did:plc:bob".parse().unwrap(), &alice.random, NOW).unwrap();
    alice.memories.share(alice.keeper(), &shared, &[bob.recipient(NOW).unwrap()]).unwrap();
    alice.pass(3_000 * DAY);
    for strategy in [Strategy::Dedupe, Strategy::Digest, Strategy::Expire] {
        let done = alice.memories.compact(alice.keeper(), &policy(strategy, 1_000), None).unwrap();
        let gone: Vec<_> = done.dropped.into_iter().map(|dropped| dropped.path).collect();
        let wanted = if strategy == Strategy::Expire { vec![ended.clone()] } else { Vec::new() };
        assert_eq!(gone, wanted, "{strategy:?}");
    }
    assert_eq!(alice.memories.space(alice.keeper()).unwrap().memories, 5);
}

#[test]
fn a_digest_says_the_most_of_what_it_covers_and_is_found_in_its_place() {
    let mut alice = Agent::new();
    let toward = |x: f32, y: f32| Meaning { model: "m".into(), vector: Vector::from_f32(&[x, y]).unwrap() };
    let mut covered = Vec::new();
    let meanings = [toward(1.0, 0.0), toward(0.9, 0.1), toward(0.0, 1.0)];
    for (n, meaning) in meanings.iter().enumerate() {
        let record = object!({ "summary": format!("tea number {n}"), "text": "milk\nand sugar", "tags": [format!("t{n}")], "importance": 100 * n });
        covered.push(alice.of("note", &record, false, Some(meaning)));
    }
    let cids: Vec<String> = covered
        .iter()
        .map(|path| alice.memories.get(alice.keeper(), path).unwrap().cid.to_string())
        .collect();
    alice.of("episode", &object!({ "summary": "alone of its kind" }), false, None);
    alice.pass(100 * DAY);
    let before = alice.written();
    let done = alice.memories.compact(alice.keeper(), &policy(Strategy::Digest, 1_000), None).unwrap();
    assert_eq!((done.digests, done.dropped.len(), done.left), (1, 3, 0));
    // Three rows for each that goes; the digest, its operation and its page, which is theirs; the space, and what upkeep has done.
    assert_eq!(alice.written() - before, 3 * 3 + 3 + 2);
    alice.wake();
    let digest = &alice.digests()[0];
    let covers: Vec<Value> = covered
        .iter()
        .zip(&cids)
        .map(|(path, cid)| object!({ "uri": format!("at://{}/{path}", crate::common::DID), "cid": cid }))
        .collect();
    assert_eq!(digest["covers"], object!(covers));
    let text = digest["text"].as_str().unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>()[2], "2026-11-18 tea number 2 t2 milk and sugar");
    assert_eq!((&digest["tags"], &digest["importance"]), (&object!(["t0", "t1", "t2"]), &object!(200)));
    assert_eq!((&digest["summary"], &digest["provenance"]), (&object!("3 notes of 2026-11"), &Value::Null));
    assert!(digest["periodFrom"].as_str() < digest["periodTo"].as_str());
    assert_eq!(alice.all().len(), 2);
    let meaning = toward(0.8, 0.4);
    let found = alice
        .memories
        .search(alice.keeper(), &Search { meaning: Some(&meaning), ..search("sugar") })
        .unwrap();
    assert_eq!(done.dropped[0].digest.as_ref(), Some(&found[0].memory.path));
    assert!(found[0].hit.vector.unwrap() > 0.9, "the middle of what it covers");
    assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
}

#[test]
fn the_word_of_others_does_not_become_the_agents_own() {
    let alice = Agent::new();
    let bob = object!({ "kind": "agent", "agent": "did:plc:bob", "verified": true });
    for n in 0..2 {
        alice.note(&format!("own {n}"), &object!({}));
        alice.note(&format!("bobs {n}"), &object!({ "provenance": bob }));
        alice.note(
            &format!("of a page {n}"),
            &object!({ "provenance": { "kind": "web", "uri": "https://example.com/" } }),
        );
    }
    alice.pass(100 * DAY);
    let done = alice.memories.compact(alice.keeper(), &policy(Strategy::Digest, 1_000), None).unwrap();
    assert_eq!((done.digests, done.dropped.len()), (3, 6));
    for digest in alice.digests() {
        let (text, provenance) = (digest["text"].as_str().unwrap(), &digest["provenance"]);
        let wanted = match (text.contains("own "), text.contains("bobs "), text.contains("of a page ")) {
            (true, false, false) => Value::Null,
            (false, true, false) => object!({ "kind": "agent", "agent": "did:plc:bob" }),
            (false, false, true) => object!({ "kind": "web", "uri": "https://example.com/" }),
            _ => panic!("{text}"),
        };
        assert_eq!(provenance, &wanted);
    }
}

#[test]
fn of_what_is_there_twice_the_pinned_or_else_the_first_stays() {
    let alice = Agent::new();
    let (first, _second) = (alice.note("tea", &object!({})), alice.note("tea", &object!({})));
    alice.note("cake", &object!({}));
    let pinned = alice.of("note", &object!({ "$type": "agent.memory.note", "summary": "cake" }), true, None);
    alice.note("cake", &object!({}));
    alice.of("episode", &object!({ "$type": "agent.memory.note", "summary": "tea" }), false, None);
    let dedupe = Policy { age: 0, ..policy(Strategy::Dedupe, 0) };
    let done = alice.memories.compact(alice.keeper(), &dedupe, None).unwrap();
    let mut same: Vec<_> = done.dropped.iter().map(|dropped| dropped.same.clone().unwrap()).collect();
    same.sort();
    assert_eq!(same, [first.clone(), pinned.clone(), pinned.clone()]);
    assert_eq!(alice.all().len(), 3);
    assert!(alice.paths().contains(&first) && alice.paths().contains(&pinned));
}

#[test]
fn a_run_goes_on_turn_by_turn_also_for_an_object_that_wakes() {
    let mut alice = Agent::new();
    for n in 0..130 {
        alice.note(&format!("note {n}"), &object!({}));
    }
    let kept = alice.note("not as old", &object!({}));
    let all = alice.paths();
    alice.pass(100 * DAY - 1);
    let digest = policy(Strategy::Digest, 1_000);
    let digest = Policy { age: 100 * DAY, ..digest };
    let preview = alice.memories.preview(alice.keeper(), &digest).unwrap();
    let first = alice.memories.compact(alice.keeper(), &digest, None).unwrap();
    assert_eq!((first.dropped.len(), first.left, first.digests), (50, 80, 1));
    let mut turns = 1;
    while let Some(due) = alice.memories.next_upkeep().unwrap() {
        alice.wake();
        assert_eq!(alice.memories.next_upkeep().unwrap(), Some(due));
        assert!(due > alice.now.get());
        alice.now.set(due);
        if turns == 2 {
            // A turn that fails has done nothing, and the next one does it.
            let before = alice.paths();
            alice.store.query("CREATE TRIGGER full BEFORE UPDATE ON memory_upkeep BEGIN SELECT RAISE(ABORT, 'full'); END", &[]).unwrap();
            assert!(alice.memories.tend(alice.keeper()).is_err());
            alice.store.query("DROP TRIGGER full", &[]).unwrap();
            alice.wake();
            assert_eq!(alice.paths(), before);
        }
        let before = alice.written();
        alice.memories.tend(alice.keeper()).unwrap();
        assert!(alice.written() - before <= 3 * 50 + 3 + 8, "{}", alice.written() - before);
        turns += 1;
    }
    assert_eq!(turns, 3);
    // Every memory that is gone is covered by a digest, once.
    let mut covered = BTreeSet::new();
    for digest in alice.digests() {
        for cover in digest["covers"].as_array().unwrap() {
            assert!(covered.insert(cover["uri"].as_str().unwrap().to_owned()));
        }
    }
    let gone: BTreeSet<String> = all
        .iter()
        .filter(|path| !alice.paths().contains(path))
        .map(|path| format!("at://{}/{path}", crate::common::DID))
        .collect();
    assert_eq!((covered.len(), &covered), (130, &gone));
    assert_eq!(preview.dropped.len(), 130);
    assert!(alice.paths().contains(&kept));
    let job = &alice.memories.upkeep(alice.keeper()).unwrap()[0];
    assert_eq!((job.runs, job.dropped, job.digests, job.running_since), (1, 130, 3, None));
    assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
}

#[test]
fn what_is_to_be_done_every_so_many_days_comes_again_until_it_is_told_not_to() {
    let mut alice = Agent::new();
    let expire = Policy { age: DAY, ..policy(Strategy::Expire, 1_000) };
    alice.memories.compact(alice.keeper(), &expire, Some(7)).unwrap();
    for round in 1..4_u64 {
        alice.note("in between", &object!({}));
        let due = alice.memories.next_upkeep().unwrap().unwrap();
        assert_eq!(due, NOW + 7 * DAY * round);
        alice.wake();
        alice.now.set(due);
        alice.memories.tend(alice.keeper()).unwrap();
        assert!(alice.all().is_empty(), "{round}");
    }
    let job = &alice.memories.upkeep(alice.keeper()).unwrap()[0];
    assert_eq!((job.every_days, job.runs, job.dropped), (7, 4, 3));
    alice.memories.compact(alice.keeper(), &expire, Some(0)).unwrap();
    assert_eq!(alice.memories.next_upkeep().unwrap(), None);
}

#[test]
fn what_upkeep_does_says_nothing_without_the_keys() {
    let alice = Agent::new();
    alice.note("a", &object!({}));
    let collection = Some("agent.memory.note".parse().unwrap());
    let expire = Policy { collection, ..policy(Strategy::Expire, 1_000) };
    alice.memories.compact(alice.keeper(), &expire, Some(7)).unwrap();
    let jobs = alice.store.query("SELECT jobs FROM memory_upkeep", &[]).unwrap()[0].blob(0).unwrap();
    assert!(!jobs.windows(4).any(|part| part == b"note"));
    alice.store.query("UPDATE memory_upkeep SET jobs = ?1", &[Param::Blob(&jobs[1..])]).unwrap();
    assert!(alice.memories.upkeep(alice.keeper()).is_err());
}
