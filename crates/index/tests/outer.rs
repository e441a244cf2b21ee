//! An index of vectors outside, which does later what it is told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::ready;
use std::task::{Context, Poll, Waker};

use murmuration_index::{Kind, Outgoing, PublicIndex, Search, Wanted, outer_query, values};
use murmuration_memory::Meaning;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Store, VectorEntry, VectorError, VectorFuture, VectorIndex, VectorQuery};
use murmuration_syntax::Did;

use crate::common::{MODEL, NOW, did, gone, note, vector};

const NAME: Option<&str> = Some("outside");

/// A change: its name, what is to be there, and what is to go.
type Told = (String, Vec<VectorEntry>, Vec<String>);

/// It takes what it is told, and does one change after the other when it is let.
#[derive(Default)]
struct Outside {
    known: RefCell<BTreeMap<String, VectorEntry>>,
    told: RefCell<Vec<Told>>,
    processed: RefCell<Option<String>>,
    count: Cell<u64>,
    away: Cell<bool>,
}

impl Outside {
    fn take(&self, entries: &[VectorEntry], ids: &[String]) -> Result<String, VectorError> {
        if self.away.get() {
            return Err(VectorError("away".into()));
        }
        self.count.set(self.count.get() + 1);
        let mutation = format!("m{}", self.count.get());
        self.told.borrow_mut().push((mutation.clone(), entries.to_vec(), ids.to_vec()));
        Ok(mutation)
    }

    /// Does so many of the changes that it was told of.
    fn work(&self, changes: usize) {
        for (mutation, entries, ids) in self.told.borrow_mut().drain(..changes) {
            self.known.borrow_mut().extend(entries.into_iter().map(|entry| (entry.id.clone(), entry)));
            ids.iter().for_each(|id| drop(self.known.borrow_mut().remove(id)));
            self.processed.replace(Some(mutation));
        }
    }
}

impl VectorIndex for Outside {
    fn upsert<'a>(&'a self, entries: &'a [VectorEntry]) -> VectorFuture<'a, String> {
        Box::pin(ready(self.take(entries, &[])))
    }

    fn delete<'a>(&'a self, ids: &'a [String]) -> VectorFuture<'a, String> {
        Box::pin(ready(self.take(&[], ids)))
    }

    fn query<'a>(&'a self, query: &'a VectorQuery<'a>) -> VectorFuture<'a, Vec<(String, f32)>> {
        let fits = |entry: &&VectorEntry| {
            query.filter.iter().all(|(name, values)| {
                entry.metadata.iter().any(|(known, value)| known == name && values.contains(value))
            })
        };
        let cosine = |entry: &VectorEntry| {
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let lengths = product(&entry.values, &entry.values) * product(query.values, query.values);
            (entry.id.clone(), product(&entry.values, query.values) / lengths.sqrt())
        };
        let mut found: Vec<_> = self.known.borrow().values().filter(fits).map(cosine).collect();
        found.sort_by(|one, other| other.1.total_cmp(&one.1));
        found.truncate(query.top);
        Box::pin(ready(Ok(found)))
    }

    fn processed(&self) -> VectorFuture<'_, Option<String>> {
        Box::pin(ready(Ok(self.processed.borrow().clone())))
    }
}

fn now<T>(mut future: VectorFuture<'_, T>) -> Result<T, VectorError> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it answers at once"),
    }
}

struct World {
    store: SqliteStore,
    index: PublicIndex,
    outside: Outside,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        let store = SqliteStore::open().unwrap();
        let index = PublicIndex::open(&store, NAME).unwrap();
        Self { store, index, outside: Outside::default(), now_ms: NOW / 1000 }
    }

    fn apply(&mut self, changes: Vec<murmuration_index::Change>) -> u64 {
        let before = self.store.counts().written;
        let cursor = self.index.cursor() + 1;
        self.index.apply(&self.store, changes, MODEL, cursor).unwrap();
        self.store.counts().written - before
    }

    /// What the object does behind a change, and by its alarm.
    fn tell(&mut self) -> Result<(), VectorError> {
        while let Some(told) = self.index.outgoing() {
            let mutation = now(match &told {
                Outgoing::Put(entries) => self.outside.upsert(entries),
                Outgoing::Delete(ids) => self.outside.delete(ids),
            })?;
            self.index.sent(&self.store, &told, mutation, self.now_ms).unwrap();
        }
        let processed = now(self.outside.processed())?;
        self.index.landed(&self.store, processed.as_deref(), self.now_ms).unwrap();
        Ok(())
    }

    fn reopen(&mut self) {
        self.index = PublicIndex::open(&self.store, NAME).unwrap();
    }

    /// The record keys that are found, with their cosines; `outside`: whether the outer index is asked.
    fn found(&self, text: &str, author: Option<&Did>, outside: bool) -> Vec<(String, f32)> {
        let meaning = Meaning { model: MODEL.into(), vector: vector(text) };
        let values = values(&meaning.vector);
        let wanted = Wanted { author, ..Wanted::all(Kind::Memories) };
        let found = match outside {
            true => now(self.outside.query(&outer_query(&values, &wanted))).unwrap(),
            false => Vec::new(),
        };
        let search = Search {
            text,
            meaning: Some(&meaning),
            outside: &found,
            wanted,
            least: 0.0,
            limit: 10,
            now: NOW,
        };
        let found = self.index.search(&self.store, &search).unwrap().into_iter();
        found.filter_map(|found| Some((found.path.rkey.to_string(), found.hit.vector?))).collect()
    }
}

#[test]
fn a_document_is_found_by_meaning_before_the_outer_index_has_it_and_after() {
    let (alice, bob) = (did("alice"), did("bob"));
    let mut world = World::new();
    let rows =
        world.apply(vec![note(&alice, "cats", 1, "felines doze"), note(&bob, "rails", 1, "the railway")]);
    assert_eq!(rows, 6, "each document and its row of the outbox, the place, and once the embedder's name");
    let at_once = world.found("kitten", None, true);
    assert_eq!(at_once[0].0, "cats", "from the overlay");
    let before = world.store.counts().written;
    world.tell().unwrap();
    assert_eq!(world.store.counts().written - before, 3, "one change, and the rows of the outbox");
    assert!(!world.index.is_settled());
    assert_eq!(world.found("kitten", None, false), at_once, "it is still looked for here");
    world.reopen();
    assert_eq!(world.found("kitten", None, true), at_once, "after a sleep, too");

    world.outside.work(1);
    world.tell().unwrap();
    assert!(world.index.is_settled());
    assert!(world.found("kitten", None, false).is_empty(), "no vector of it is in memory any more");
    let landed = world.found("kitten", None, true);
    assert_eq!(landed.iter().map(|found| &found.0).collect::<Vec<_>>(), ["cats", "rails"]);
    assert!((landed[0].1 - at_once[0].1).abs() < 0.001, "with the same cosine");
    world.reopen();
    assert_eq!(world.found("kitten", None, true), landed);
    assert_eq!(world.found("kitten", Some(&bob), true)[0].0, "rails");
    let known = world.outside.known.borrow();
    assert!(
        known
            .iter()
            .all(|(id, entry)| id.len() == 52 && entry.metadata.iter().all(|(_, value)| value.len() <= 64))
    );
}

#[test]
fn what_is_outside_counts_for_nothing_where_it_is_known_better_here() {
    let alice = did("alice");
    let mut world = World::new();
    world.apply(vec![note(&alice, "a", 1, "felines doze"), note(&alice, "b", 1, "a kitten purrs")]);
    world.tell().unwrap();
    world.outside.work(1);
    world.tell().unwrap();
    world.apply(vec![note(&alice, "a", 2, "the railway is late"), gone(&alice, "b", 2)]);
    assert_eq!(world.outside.known.borrow().len(), 2, "outside both are as they were");
    let found = world.found("kitten", None, true);
    assert!(found.len() == 1 && found[0].1 < 0.5, "{found:?}");
    world.tell().unwrap();
    assert_eq!(world.outside.told.borrow().len(), 2, "one to be there, one to go");
    world.outside.work(1);
    world.tell().unwrap();
    assert!(!world.index.is_settled());
    world.outside.work(1);
    world.tell().unwrap();
    assert!(world.index.is_settled());
    assert_eq!(world.outside.known.borrow().len(), 1);
    assert_eq!(world.found("train", None, true)[0].0, "a");
}

#[test]
fn what_was_not_taken_or_was_lost_is_told_again_and_what_changed_on_the_way_too() {
    let alice = did("alice");
    let mut world = World::new();
    world.outside.away.set(true);
    world.apply(vec![note(&alice, "a", 1, "felines doze")]);
    assert!(world.tell().is_err());
    assert_eq!(world.found("kitten", None, true)[0].0, "a");
    world.reopen();
    world.outside.away.set(false);
    // It changes while the outer index is told of it.
    let told = world.index.outgoing().unwrap();
    world.apply(vec![note(&alice, "a", 2, "the railway is late")]);
    let Outgoing::Put(entries) = &told else { panic!("{told:?}") };
    let mutation = now(world.outside.upsert(entries)).unwrap();
    world.index.sent(&world.store, &told, mutation, world.now_ms).unwrap();
    assert!(world.index.outgoing().is_some());
    world.tell().unwrap();
    world.outside.work(1);
    world.tell().unwrap();
    assert_eq!(world.found("train", None, false)[0].0, "a", "the first change is done, the second is not");
    // The second never is.
    world.outside.told.borrow_mut().clear();
    world.now_ms += murmuration_index::limits::FLIGHT_MS;
    world.tell().unwrap();
    world.reopen();
    assert!(world.index.outgoing().is_some() && !world.found("train", None, false).is_empty());
    world.tell().unwrap();
    world.outside.work(1);
    world.tell().unwrap();
    assert!(world.index.is_settled());
    assert_eq!(world.found("train", None, true)[0].0, "a");
}

#[test]
fn another_outer_index_is_told_everything_and_none_leaves_all_here() {
    let alice = did("alice");
    let mut world = World::new();
    world.index = PublicIndex::open(&world.store, None).unwrap();
    world.apply(vec![note(&alice, "a", 1, "felines doze"), note(&alice, "b", 1, "the railway")]);
    assert!(world.index.outgoing().is_none());
    world.reopen();
    assert!(matches!(world.index.outgoing(), Some(Outgoing::Put(entries)) if entries.len() == 2));
    world.tell().unwrap();
    world.outside.work(1);
    world.tell().unwrap();
    world.index = PublicIndex::open(&world.store, Some("another")).unwrap();
    assert!(matches!(world.index.outgoing(), Some(Outgoing::Put(entries)) if entries.len() == 2));
    world.index = PublicIndex::open(&world.store, None).unwrap();
    assert!(world.index.is_settled());
    assert_eq!(world.found("kitten", None, false)[0].0, "a", "nothing was to be embedded for it");
}
