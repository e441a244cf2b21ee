//! What is found, what is not any more, and what it costs.

use murmuration_index::limits::{MAX_DOCUMENTS, MAX_OF_ACCOUNT, PLACE_EVENTS};
use murmuration_index::{Change, Embedding, Kind, PublicIndex, Wanted, skill_tag};
use murmuration_platform::Store;
use murmuration_syntax::{Nsid, RepoPath};
use serde_json::json;

use crate::common::{MODEL, World, did, document, gone, note, rev, standing, vector};

#[test]
fn a_document_is_found_by_meaning_and_by_word_and_costs_a_row() {
    let (alice, bob) = (did("alice"), did("bob"));
    let mut world = World::new();
    let first = world.apply(vec![note(&alice, "cats", 1, "felines doze")]);
    assert_eq!(first, 3, "the document, the place, and once the name of the embedder");
    let rows = world
        .apply(vec![note(&bob, "trains", 2, "the railway is late"), note(&bob, "more", 3, "rails rust")]);
    assert_eq!(rows, 3, "a row each, and the place");
    assert_eq!(world.found("cat")[0], "cats");
    assert_eq!(world.found("doze")[0], "cats");
    let hit = world.search("train", Wanted::all(Kind::Memories)).remove(0);
    assert!(hit.hit.vector.unwrap() > 0.9 && hit.hit.words.is_none());
    assert_eq!((&hit.did, hit.record.contains("railway") || hit.record.contains("rails")), (&bob, true));
    let found = world.found("engine");
    world.reopen();
    assert_eq!(world.found("engine"), found, "after a sleep");
    assert_eq!(world.index.cursor(), 2);
}

#[test]
fn what_changes_goes_or_is_read_twice_is_known_as_it_is_now() {
    let alice = did("alice");
    let mut world = World::new();
    let story = || {
        vec![
            note(&alice, "a", 1, "felines doze"),
            note(&alice, "b", 2, "the railway is late"),
            note(&alice, "a", 3, "a kitten purrs"),
            gone(&alice, "b", 4),
        ]
    };
    world.apply(story());
    assert_eq!((world.index.len(), world.found("purr")), (1, vec!["a".to_owned()]));
    // The last of them again, as after a crash before the place was written.
    assert_eq!(world.apply(story().split_off(2)), 0, "what is known costs nothing");
    // All of it again ends where it ended.
    world.apply(story());
    assert_eq!((world.index.len(), world.found("late").contains(&"b".to_owned())), (1, false));
    assert_eq!(world.apply(vec![gone(&alice, "a", 2)]), 0, "a deletion of an older version");
    assert_eq!(world.apply(vec![gone(&alice, "a", 5)]), 2);
    assert!(world.index.is_empty() && world.found("purr").is_empty());
    world.reopen();
    assert!(world.index.is_empty());
}

#[test]
fn nothing_is_shown_of_who_is_not_served_and_of_what_is_taken_down() {
    let (alice, bob) = (did("alice"), did("bob"));
    let mut world = World::new();
    world.apply(vec![note(&alice, "a", 1, "felines doze"), note(&bob, "b", 2, "a kitten purrs")]);
    assert_eq!(world.apply(vec![standing(&alice, false, false)]), 2);
    assert_eq!(world.apply(vec![standing(&alice, false, false), standing(&did("nobody"), false, false)]), 0);
    world.reopen();
    assert_eq!(world.found("cat"), ["b"]);
    world.apply(vec![standing(&alice, true, false)]);
    assert_eq!(world.found("doze")[0], "a");
    let uri = "at://did:web:alice.example/agent.memory.note/a";
    world.index.hide(&world.store, uri, true).unwrap();
    world.apply(vec![note(&alice, "a", 3, "felines doze on")]);
    world.reopen();
    assert_eq!(world.found("doze"), ["b"], "also as it is changed");
    world.index.hide(&world.store, uri, false).unwrap();
    assert_eq!(world.found("doze")[0], "a");
    world.apply(vec![standing(&alice, false, true)]);
    world.reopen();
    assert_eq!((world.index.len(), world.found("cat")), (1, vec!["b".to_owned()]));
}

#[test]
fn a_repository_that_has_become_another_one_has_what_it_says_and_nothing_else() {
    let alice = did("alice");
    let mut world = World::new();
    let documents = || vec![note(&alice, "a", 1, "felines doze"), note(&alice, "b", 2, "a kitten purrs")];
    world.apply(documents());
    let Change::Put(kept) = note(&alice, "b", 3, "a kitten purrs") else { panic!() };
    let Change::Put(new) = note(&alice, "c", 3, "rails rust") else { panic!() };
    world.apply(vec![Change::Another {
        did: alice.clone(),
        rev: rev(3),
        own: true,
        documents: vec![*kept, *new],
    }]);
    assert_eq!((world.index.len(), world.found("rust").remove(0)), (2, "c".to_owned()));
    assert!(!world.found("cat").contains(&"a".to_owned()));
    world.apply(vec![Change::Another { did: alice, rev: rev(4), own: false, documents: Vec::new() }]);
    assert!(world.index.is_empty());
}

#[test]
fn a_search_wants_what_it_says() {
    let (alice, bob) = (did("alice"), did("bob"));
    let mut world = World::new();
    let fact = json!({
        "$type": "agent.memory.fact", "subject": "cat", "predicate": "is", "object": "asleep", "createdAt": "2026-01-01T00:00:00Z",
        "validity": { "validTo": "2026-02-01T00:00:00Z" },
    });
    let fact = document(&alice, &RepoPath::parse("agent.memory.fact/f").unwrap(), 1, &fact);
    let ends = json!({ "summary": "a cat for a day", "expiresAt": "2026-01-02T00:00:00Z" });
    let ends = document(&alice, &RepoPath::parse("agent.memory.note/e").unwrap(), 1, &ends);
    let profile = json!({
        "displayName": "Tom", "description": "feeds every cat", "skills": [{ "id": "feed", "name": "Feeding", "tags": ["milk"] }],
    });
    let profile = document(&bob, &RepoPath::parse("agent.identity.profile/self").unwrap(), 1, &profile);
    let put = |document| Change::Put(Box::new(document));
    world.apply(vec![put(fact), put(ends), put(profile), note(&bob, "n", 2, "my cat")]);
    let keys = |wanted: Wanted<'_>| {
        let mut keys: Vec<String> =
            world.search("cat", wanted).into_iter().map(|found| found.path.rkey.to_string()).collect();
        keys.sort();
        keys
    };
    let all = Wanted::all(Kind::Memories);
    assert_eq!(keys(all.clone()), ["n"], "neither what has ended nor what does not hold");
    assert_eq!(keys(Wanted { superseded: true, ..all.clone() }), ["f", "n"]);
    let january = 1_768_000_000_000_000;
    assert_eq!(keys(Wanted { as_of: Some(january), ..all.clone() }), ["f"]);
    assert_eq!(keys(Wanted { made: january..u64::MAX, ..all.clone() }), ["n"]);
    let decisions = [Nsid::parse("agent.memory.decision").unwrap()];
    assert!(keys(Wanted { collections: &decisions, ..all.clone() }).is_empty());
    assert_eq!(keys(Wanted { tags: &["t"], ..all.clone() }), ["n"]);
    assert!(keys(Wanted { author: Some(&alice), ..all.clone() }).is_empty());
    assert_eq!(keys(Wanted { author: Some(&bob), ..all }), ["n"]);
    let agents = Wanted::all(Kind::Agents);
    assert_eq!(keys(agents.clone()), ["self"]);
    let skill = skill_tag("feed");
    assert_eq!(keys(Wanted { tags: &["milk", &skill], ..agents.clone() }), ["self"]);
    assert!(keys(Wanted { tags: &["feed"], ..agents }).is_empty(), "the id of a skill is no tag");
}

#[test]
fn what_was_not_embedded_is_found_by_its_words_until_it_is_and_anew_by_another_embedder() {
    let alice = did("alice");
    let mut world = World::new();
    let Change::Put(mut late) = note(&alice, "late", 1, "felines doze") else { panic!() };
    late.embedding = Embedding::Pending;
    world.apply(vec![Change::Put(late), note(&alice, "other", 2, "the railway is late")]);
    assert!(!world.index.is_embedded(MODEL));
    assert!(world.found("doze").contains(&"late".to_owned()));
    assert!(!world.found("kitten").contains(&"late".to_owned()));
    let pending = world.index.unembedded(&world.store, MODEL).unwrap();
    assert_eq!(
        pending.iter().map(|document| document.text.as_str()).collect::<Vec<_>>(),
        ["felines doze\nt"]
    );
    let made = pending.into_iter().map(|document| (document, Embedding::Is(vector("felines")))).collect();
    let before = world.store.counts().written;
    world.index.keep_vectors(&world.store, MODEL, made).unwrap();
    assert_eq!(world.store.counts().written - before, 1);
    world.reopen();
    assert!(world.index.is_embedded(MODEL) && !world.index.is_embedded("another"));
    assert_eq!(world.found("kitten")[0], "late");
    let pending = world.index.unembedded(&world.store, "another").unwrap();
    assert_eq!(pending.len(), 2);
    // One of them changes meanwhile, and the other has no vector.
    world.apply(vec![note(&alice, "late", 3, "felines doze on")]);
    let made = pending.into_iter().map(|document| (document, Embedding::Nothing)).collect();
    world.index.keep_vectors(&world.store, "another", made).unwrap();
    assert_eq!(world.index.unembedded(&world.store, "another").unwrap().len(), 1);
}

#[test]
fn an_account_has_its_share_and_a_full_index_the_newest_of_those_who_say_most() {
    let (alice, bob) = (did("alice"), did("bob"));
    let mut world = World::new();
    world.apply(vec![note(&bob, "b", 1, "a kitten")]);
    let many = (0..=MAX_OF_ACCOUNT).map(|n| note(&alice, &format!("n{n}"), 1, "the railway")).collect();
    world.apply(many);
    assert_eq!(world.index.len(), MAX_OF_ACCOUNT + 1);
    let first = world.search("railway", Wanted { author: Some(&alice), ..Wanted::all(Kind::Memories) });
    assert!(first.iter().all(|found| found.path.rkey.as_str() != "n0"), "the oldest went");
    assert_eq!(world.found("kitten")[0], "b");
    const { assert!(MAX_DOCUMENTS > MAX_OF_ACCOUNT) };
}

#[test]
fn the_place_is_written_with_what_was_found_and_else_seldom() {
    let mut world = World::new();
    let mut rows = |cursor| {
        let before = world.store.counts().written;
        world.index.apply(&world.store, Vec::new(), MODEL, cursor).unwrap();
        world.store.counts().written - before
    };
    assert_eq!((rows(1), rows(PLACE_EVENTS - 1), rows(PLACE_EVENTS), rows(PLACE_EVENTS + 1)), (0, 0, 1, 0));
    assert_eq!(world.index.cursor(), PLACE_EVENTS + 1);
    world.reopen();
    assert_eq!(world.index.cursor(), PLACE_EVENTS);
}

#[test]
fn a_storage_that_fails_anywhere_leaves_all_or_nothing() {
    let (alice, bob) = (did("alice"), did("bob"));
    let changes = || {
        vec![
            note(&alice, "a", 5, "a kitten purrs"),
            note(&alice, "c", 5, "rails rust"),
            gone(&bob, "b", 5),
            standing(&bob, false, false),
        ]
    };
    for statement in 0.. {
        let mut world = World::new();
        world.apply(vec![
            note(&alice, "a", 1, "felines doze"),
            note(&bob, "b", 1, "a train"),
            note(&bob, "d", 1, "cats"),
        ]);
        world.store.fail_after(Some(statement));
        let outcome = world.index.apply(&world.store, changes(), MODEL, 9);
        if world.store.fault_armed() {
            assert!(outcome.is_ok() && statement > 4, "{statement}");
            break;
        }
        assert!(outcome.is_err());
        world.reopen();
        assert_eq!((world.index.len(), world.index.cursor()), (3, 1), "{statement}");
        world.index = PublicIndex::open(&world.store, None).unwrap();
        world.index.apply(&world.store, changes(), MODEL, 9).unwrap();
        world.reopen();
        assert_eq!((world.index.len(), world.found("rust").remove(0)), (3, "c".to_owned()));
        assert!(!world.found("cat").contains(&"d".to_owned()));
    }
}
