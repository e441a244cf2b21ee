//! What is remembered twice: kept, skipped or ended as the caller says, and told in the answer.

use crate::common::{Agent, draft, encode, search, summary};
use murmuration_embedding::Vector;
use murmuration_memory::{Draft, Meaning, OnDuplicate, Search, Written};
use murmuration_syntax::{RepoPath, Tid};
use serde_json::{Value, json};

fn text(summary: &str, at: &str) -> Vec<u8> {
    encode(&json!({ "$type": "agent.memory.note", "summary": summary, "createdAt": at }))
}

/// A vector at an angle of which this is the cosine.
fn at_cosine(cosine: f32) -> Meaning {
    let vector = Vector::from_f32(&[cosine, (1.0 - cosine * cosine).sqrt()]).unwrap();
    Meaning { model: "m".into(), vector }
}

impl Agent {
    fn make(&self, record: &[u8], on_duplicate: OnDuplicate) -> Written {
        let path = self.fresh();
        self.memories.create(self.keeper(), Draft { on_duplicate, ..draft(&path, record) }, None).unwrap()
    }

    fn like(&self, record: &[u8], meaning: &Meaning, on_duplicate: OnDuplicate, near: f32) -> Written {
        let path = self.fresh();
        let draft = Draft { on_duplicate, near: Some(near), meaning: Some(meaning), ..draft(&path, record) };
        self.memories.create(self.keeper(), draft, None).unwrap()
    }

    fn found(&self, search: &Search<'_>) -> Vec<String> {
        let found = self.memories.search(self.keeper(), search).unwrap();
        found.iter().map(|found| summary(&found.memory.record)).collect()
    }
}

#[test]
fn what_says_the_same_is_kept_unless_asked_and_named_in_the_answer() {
    let mut alice = Agent::new();
    let first = alice.make(&text("tea at four", "2026-11-28T05:00:00.000Z"), OnDuplicate::Keep);
    assert_eq!((first.repeated, &first.beside.same), (false, &None));
    // Whenever it was made, and after waking.
    alice.wake();
    let second = alice.make(&text("tea at four", "2026-11-28T06:00:00.000Z"), OnDuplicate::Keep);
    assert!(!second.repeated && second.path != first.path);
    assert_eq!(second.beside.same.as_ref(), Some(&first.path));
    // One word more is another.
    let other = alice.make(&text("tea at four, too", "2026-11-28T05:00:00.000Z"), OnDuplicate::Skip);
    assert_eq!((other.repeated, other.beside.same), (false, None));
    assert_eq!(alice.all().len(), 3);
}

#[test]
fn what_says_the_same_is_skipped_and_nothing_is_written() {
    let alice = Agent::new();
    let first = alice.make(&text("tea at four", "2026-11-28T05:00:00.000Z"), OnDuplicate::Keep);
    let before = alice.written();
    let second = alice.make(&text("tea at four", "2026-11-28T06:00:00.000Z"), OnDuplicate::Skip);
    assert_eq!(alice.written(), before);
    assert!(second.repeated);
    assert_eq!((&second.path, second.cid, second.rev), (&first.path, first.cid, first.rev));
    assert_eq!(second.beside.same.as_ref(), Some(&first.path));
    // Of another collection, or after the first has gone, it is none.
    let path =
        RepoPath::parse(&format!("agent.memory.episode/{}", Tid::from_parts(alice.now.get(), 2))).unwrap();
    let skip = |path, record: &[u8]| {
        let draft = Draft { on_duplicate: OnDuplicate::Skip, ..draft(path, record) };
        alice.memories.create(alice.keeper(), draft, None).unwrap().repeated
    };
    assert!(!skip(&path, &text("tea at four", "2026-11-28T05:00:00.000Z")));
    alice.memories.delete(alice.keeper(), &first.path, None).unwrap();
    assert!(!skip(&alice.fresh(), &text("tea at four", "2026-11-28T05:00:00.000Z")));
}

#[test]
fn what_is_superseded_ends_and_is_not_dropped() {
    let alice = Agent::new();
    let first = alice.make(&text("tea at four", "2026-11-28T05:00:00.000Z"), OnDuplicate::Keep);
    let before = alice.written();
    let second = alice.make(&text("tea at four", "2026-11-28T06:00:00.000Z"), OnDuplicate::Supersede);
    assert!(alice.written() - before <= 8, "{}", alice.written() - before);
    assert!(!second.repeated);
    assert_eq!(
        (&second.beside.same, &second.beside.ended),
        (&Some(first.path.clone()), &Some(first.path.clone()))
    );
    assert_eq!(alice.found(&search("tea")), ["tea at four"]);
    assert_eq!(alice.found(&Search { superseded: true, ..search("tea") }).len(), 2);
    // What has ended is no duplicate any more.
    alice.memories.delete(alice.keeper(), &second.path, None).unwrap();
    let third = alice.make(&text("tea at four", "2026-11-28T07:00:00.000Z"), OnDuplicate::Skip);
    assert_eq!((third.repeated, third.beside.same), (false, None));
    assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
}

#[test]
fn what_is_near_is_told_and_skipped_only_where_asked() {
    let alice = Agent::new();
    let at = "2026-11-28T05:00:00.000Z";
    let origin = at_cosine(1.0);
    let first = alice.like(&text("the door is open", at), &origin, OnDuplicate::Keep, 0.9);
    let shut = alice.like(&text("the door is shut", at), &at_cosine(0.95), OnDuplicate::Keep, 0.9);
    assert!(!shut.repeated);
    let near = shut.beside.near;
    assert_eq!(near.len(), 1);
    assert!(near[0].0 == first.path && (near[0].1 - 0.95).abs() < 0.01, "{near:?}");
    // Not as near as that, or not asked for.
    let far = alice.like(&text("doors are made of wood", at), &at_cosine(0.5), OnDuplicate::Skip, 0.9);
    assert_eq!((far.repeated, far.beside.near), (false, Vec::new()));
    let unasked = alice.make(&text("the door is ajar", at), OnDuplicate::Skip);
    assert_eq!((unasked.repeated, unasked.beside.near), (false, Vec::new()));
    // To supersede takes more than to be near.
    let open = alice.like(&text("the gate is open", at), &origin, OnDuplicate::Supersede, 0.9);
    assert_eq!((open.repeated, open.beside.near.len(), open.beside.ended), (false, 2, None));
    let before = alice.written();
    let skipped = alice.like(&text("the portal is open", at), &origin, OnDuplicate::Skip, 0.9);
    assert!(skipped.repeated && skipped.beside.near.len() == 3 && alice.written() == before);
    assert!([&first.path, &open.path].contains(&&skipped.path));
}

#[test]
fn a_fact_that_is_known_is_answered_with_unless_it_is_to_supersede() {
    let alice = Agent::new();
    let fact = |thing: &str, on_duplicate| {
        let path = RepoPath::parse(&format!("agent.memory.fact/{}", alice.fresh().rkey)).unwrap();
        let record = json!({ "subject": "office", "predicate": "is in", "object": thing });
        let record: Value = record;
        let record = encode(&record);
        alice.memories.create(alice.keeper(), Draft { on_duplicate, ..draft(&path, &record) }, None).unwrap()
    };
    let first = fact("Bern", OnDuplicate::Keep);
    let again = fact("Bern", OnDuplicate::Keep);
    assert_eq!(
        (again.repeated, &again.path, again.beside.same.as_ref()),
        (true, &first.path, Some(&first.path))
    );
    let anew = fact("Bern", OnDuplicate::Supersede);
    assert_eq!((anew.repeated, anew.beside.ended.as_ref()), (false, Some(&first.path)));
    let other = fact("Oslo", OnDuplicate::Keep);
    assert_eq!((other.beside.same, other.beside.ended.as_ref()), (None, Some(&anew.path)));
}
