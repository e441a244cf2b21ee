//! Embedding behind the calls: what was written without a vector, and a change of model, over deaths and failures.

use murmuration_embedding::Vector;
use murmuration_memory::limits::{EMBED_BACKOFF_SECONDS, EMBED_BATCH};
use murmuration_memory::{Change, Draft, Meaning, Search, Unembedded};

use crate::common::{Agent, SECOND, draft, record, search, summary};

/// A vector that points to one of four sides, by which the text begins.
fn toward(text: &str) -> Option<Vector> {
    let side = ["east", "north", "south", "west"].iter().position(|side| text.starts_with(side))?;
    let mut coordinates = [0.1_f32; 4];
    coordinates[side] = 1.0;
    Some(Vector::from_f32(&coordinates).unwrap())
}

fn meaning(model: &str, text: &str) -> Option<Meaning> {
    Some(Meaning { model: model.into(), vector: toward(text)? })
}

impl Agent {
    fn keep_by(&self, model: Option<&str>, text: &str) -> murmuration_syntax::RepoPath {
        let meaning = model.and_then(|model| meaning(model, text));
        if model.is_none() {
            self.memories.embed_later();
        }
        let (path, record) = (self.fresh(), record(text));
        let draft = Draft { meaning: meaning.as_ref(), ..draft(&path, &record) };
        self.memories.create(self.keeper(), draft, None).unwrap().path
    }

    /// What one run of the alarm does, with an embedder that answers: how many texts it was asked.
    fn embed(&self, model: &str) -> usize {
        let found = self.memories.unembedded(self.keeper(), model).unwrap();
        let vectors: Vec<(Unembedded, Option<Vector>)> =
            found.into_iter().map(|memory| (memory.clone(), toward(&memory.text))).collect();
        self.memories.keep_vectors(self.keeper(), model, &vectors).unwrap();
        vectors.len()
    }

    fn due(&self) -> Option<u64> {
        self.memories.embedding_due().unwrap()
    }

    /// What is found by meaning alone.
    fn by_meaning(&self, model: &str, side: &str) -> Vec<String> {
        let meaning = meaning(model, side);
        let search = Search { meaning: meaning.as_ref(), limit: 100, least: 0.8, ..search("") };
        let found = self.memories.search(self.keeper(), &search).unwrap();
        found.iter().map(|found| summary(&found.memory.record)).collect()
    }
}

#[test]
fn what_was_written_without_its_vector_is_embedded_later_for_a_row_of_its_own() {
    let mut alice = Agent::new();
    alice.keep_by(Some("m"), "east one");
    assert_eq!(alice.due(), None);
    let before = alice.written();
    alice.keep_by(Some("m"), "east two");
    let plain = alice.written() - before;
    let before = alice.written();
    alice.keep_by(None, "east three");
    assert_eq!(alice.written() - before, plain + 1, "that something is to be embedded");
    let due = alice.now.get() + EMBED_BACKOFF_SECONDS[0] * SECOND;
    assert_eq!(alice.due(), Some(due));
    let before = alice.written();
    alice.keep_by(None, "north four");
    assert_eq!((alice.written() - before, alice.due()), (plain, Some(due)), "that is known");
    alice.wake();
    assert_eq!((alice.due(), alice.by_meaning("m", "east").len()), (Some(due), 2));

    let before = alice.written();
    assert_eq!(alice.embed("m"), 2);
    assert_eq!(alice.written() - before, 2, "a page, and that it is done");
    assert_eq!((alice.due(), alice.by_meaning("m", "east").len()), (None, 3));
    alice.wake();
    assert_eq!((alice.due(), alice.by_meaning("m", "east").len()), (None, 3));
    assert_eq!(alice.by_meaning("m", "north"), ["north four"]);
    // A call that is refused leaves nothing to do.
    alice.memories.embed_later();
    let (path, large) = (alice.fresh(), record(&"x".repeat(300_000)));
    assert!(alice.create(&path, &large).is_err());
    alice.memories.embed_later();
    let known = alice.all().remove(0).0;
    assert!(alice.create(&known, &record("east again")).is_err());
    assert_eq!(alice.due(), None);
}

#[test]
fn a_text_without_a_vector_is_tried_once_a_pass() {
    let alice = Agent::new();
    alice.keep_by(None, "nowhere");
    alice.keep_by(None, "west");
    assert_eq!((alice.embed("m"), alice.due()), (2, None));
    assert_eq!(alice.by_meaning("m", "west"), ["west"]);
    alice.keep_by(None, "west again");
    assert_eq!(alice.embed("m"), 2);
}

#[test]
fn another_model_embeds_all_anew_in_the_background_whatever_happens_in_between() {
    let mut alice = Agent::new();
    let count = 2 * EMBED_BATCH + 6;
    let paths: Vec<_> = (0..count).map(|n| alice.keep_by(Some("m"), &format!("south {n}"))).collect();
    alice.memories.follow(alice.keeper(), "m").unwrap();
    assert_eq!(alice.due(), None);
    alice.wake();
    let before = alice.written();
    alice.memories.follow(alice.keeper(), "n").unwrap();
    alice.memories.follow(alice.keeper(), "n").unwrap();
    assert_eq!((alice.written() - before, alice.due()), (1, Some(alice.now.get())));
    assert!(alice.by_meaning("n", "south").is_empty(), "models are kept apart");

    let before = alice.written();
    assert_eq!(alice.embed("n"), EMBED_BATCH);
    assert_eq!(alice.written() - before, 2, "a page, and how far it is");
    assert_eq!(alice.by_meaning("n", "south").len(), EMBED_BATCH);
    // The object dies, what is embedded is not again, and the embedder does not answer for a while.
    alice.wake();
    let mut pauses = Vec::new();
    for _ in 0..=EMBED_BACKOFF_SECONDS.len() {
        alice.memories.put_embedding_off(alice.now.get()).unwrap();
        alice.wake();
        pauses.push((alice.due().unwrap() - alice.now.get()) / SECOND);
    }
    assert_eq!(pauses[..EMBED_BACKOFF_SECONDS.len()], EMBED_BACKOFF_SECONDS);
    assert_eq!(pauses.last(), EMBED_BACKOFF_SECONDS.last());

    // A memory that changes while its old text is being embedded keeps what it has; one that is deleted is no matter.
    let found = alice.memories.unembedded(alice.keeper(), "n").unwrap();
    alice.pass(SECOND);
    let changed = record("west, now");
    let vector = meaning("n", "west");
    let change =
        Change { record: &changed, pinned: None, expires_at: None, swap: None, meaning: vector.as_ref() };
    alice.memories.update(alice.keeper(), &paths[EMBED_BATCH], change).unwrap();
    alice.memories.delete(alice.keeper(), &paths[EMBED_BATCH + 1], None).unwrap();
    let vectors: Vec<_> = found.into_iter().map(|memory| (memory, toward("south"))).collect();
    alice.memories.keep_vectors(alice.keeper(), "n", &vectors).unwrap();
    assert_eq!(alice.by_meaning("n", "west"), ["west, now"]);
    // Something was written in a place that the pass has left behind.
    let late = alice.keep_by(None, "south, late");
    assert_eq!(alice.embed("n"), 7);
    assert_eq!(alice.due(), None);
    alice.memories.delete(alice.keeper(), &late, None).unwrap();
    let found = alice.by_meaning("n", "south");
    assert_eq!((found.len(), found.contains(&"south 0".to_owned())), (count - 2, true));
    alice.wake();
    alice.memories.follow(alice.keeper(), "n").unwrap();
    assert_eq!((alice.due(), alice.by_meaning("n", "south").len()), (None, count - 2));
    // A failure in the middle of a turn leaves all as it was.
    alice.memories.follow(alice.keeper(), "o").unwrap();
    let found = alice.memories.unembedded(alice.keeper(), "o").unwrap();
    let vectors: Vec<_> = found.into_iter().map(|memory| (memory, toward("east"))).collect();
    for statement in 0.. {
        alice.store.fail_after(Some(statement));
        let failed = alice.memories.keep_vectors(alice.keeper(), "o", &vectors).is_err();
        if !failed {
            alice.store.fail_after(None);
            break;
        }
        assert_eq!((alice.by_meaning("o", "east").len(), alice.due().is_some()), (0, true));
    }
    assert_eq!(alice.by_meaning("o", "east").len(), EMBED_BATCH);
}
