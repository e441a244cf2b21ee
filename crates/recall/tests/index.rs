//! The index as its callers see it: what is put is found, and what is not, is not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions)]

use murmuration_embedding::Vector;
use murmuration_recall::{Embedded, Entry, Hit, Index, Query, RecallError, Tokens, Weights, tokens};

/// A keyed hash, as far as these tests need one.
fn key(word: &str) -> u32 {
    word.bytes().fold(2_166_136_261, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(16_777_619))
}

fn words(text: &str) -> Tokens {
    tokens(text, key)
}

fn vector(coordinates: &[f32]) -> Vector {
    Vector::from_f32(coordinates).unwrap()
}

fn asked(text: &str, coordinates: &[f32]) -> Query {
    Query {
        embedded: Some(Embedded { by: 1, vector: vector(coordinates) }),
        words: words(text),
        ..Query::default()
    }
}

fn slots(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.slot).collect()
}

fn index_of(entries: impl IntoIterator<Item = Entry>) -> Index {
    let mut index = Index::default();
    for entry in entries {
        index.put(entry).unwrap();
    }
    index
}

/// Vectors that point anywhere, the same ones on every run.
fn scattered(count: usize, dims: usize) -> Vec<Vec<f32>> {
    let mut state = 42_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| (0..dims).map(|_| next()).collect()).collect()
}

#[test]
fn finds_by_word_and_says_so() {
    let index = index_of([
        Entry::new(1).with_words(words("The deploy window is Friday")),
        Entry::new(2).with_words(words("Alice prefers tea")),
    ]);
    let hits = index.search(&Query { words: words("deploys?"), ..Query::default() }, |_| true);
    assert_eq!(slots(&hits), [1]);
    assert_eq!((hits[0].vector, hits[0].words.is_some()), (None, true));
}

#[test]
fn finds_by_meaning_where_no_word_is_shared() {
    let index = index_of([
        Entry::new(1).with_words(words("release on friday")).with_vector(1, vector(&[1.0, 0.1, 0.0])),
        Entry::new(2).with_words(words("tea in the morning")).with_vector(1, vector(&[0.0, 0.1, 1.0])),
    ]);
    let hits = index.search(&asked("deploy window", &[0.9, 0.2, 0.1]), |_| true);
    assert_eq!(hits[0].slot, 1);
    assert_eq!(hits[0].words, None);
    assert!(hits[0].vector.unwrap() > 0.9 && hits[0].score > 0.8, "{hits:?}");
    assert!(hits[1].score < 0.3, "{hits:?}");
}

#[test]
fn a_memory_that_shares_nothing_is_no_hit() {
    let index = index_of([Entry::new(1).with_words(words("tea")).with_vector(1, vector(&[0.0, 1.0]))]);
    assert!(index.search(&asked("deploy", &[1.0, 0.0]), |_| true).is_empty());
    assert!(Index::default().search(&asked("deploy", &[1.0, 0.0]), |_| true).is_empty());
}

#[test]
fn where_nothing_is_near_nothing_scores_high() {
    let index = index_of([
        Entry::new(1).with_vector(1, vector(&[0.2, 1.0, 0.0])),
        Entry::new(2).with_vector(1, vector(&[0.1, 0.0, 1.0])),
    ]);
    let hits = index.search(&asked("", &[1.0, 0.0, 0.0]), |_| true);
    assert_eq!(slots(&hits), [1, 2]);
    assert!(hits[0].score < 0.5, "{hits:?}");
}

#[test]
fn vectors_of_another_model_are_not_compared() {
    let index = index_of([
        Entry::new(1).with_words(words("deploy")).with_vector(2, vector(&[1.0, 0.0])),
        Entry::new(2).with_words(words("tea")).with_vector(1, vector(&[0.5, 0.5])),
        Entry::new(3).with_words(words("tea")).with_vector(1, vector(&[1.0, 0.0, 0.0])),
    ]);
    let hits = index.search(&asked("deploy", &[1.0, 0.0]), |_| true);
    let found = |slot| hits.iter().find(|hit| hit.slot == slot);
    assert_eq!(found(1).unwrap().vector, None);
    assert!(found(2).unwrap().vector.is_some());
    assert!(found(3).is_none());
}

#[test]
fn a_replaced_memory_is_found_as_it_is_now_and_a_removed_one_not_at_all() {
    let mut index = index_of((0..10).map(|slot| Entry::new(slot).with_words(words("deploy friday"))));
    index.put(Entry::new(3).with_words(words("tea"))).unwrap();
    assert!(index.remove(4) && !index.remove(4));
    assert_eq!(index.len(), 9);
    let by =
        |text| slots(&index.search(&Query { words: words(text), limit: 50, ..Query::default() }, |_| true));
    assert_eq!(by("deploy"), [0, 1, 2, 5, 6, 7, 8, 9]);
    assert_eq!(by("tea"), [3]);
}

#[test]
fn an_index_that_was_much_rewritten_is_as_large_as_a_new_one() {
    let vectors = scattered(50, 32);
    let entry = |slot: u32| {
        Entry::new(slot)
            .with_words(words("some words of a note"))
            .with_vector(1, vector(&vectors[slot as usize]))
    };
    let fresh = index_of((0..50).map(entry));
    let mut rewritten = fresh.clone();
    for turn in 0..2_000 {
        rewritten.put(entry(turn % 50)).unwrap();
    }
    assert!(rewritten.bytes() < 4 * fresh.bytes(), "{} {}", rewritten.bytes(), fresh.bytes());
    let query = asked("notes", &vectors[7]);
    assert_eq!(rewritten.search(&query, |_| true), fresh.search(&query, |_| true));
}

#[test]
fn the_scan_finds_what_a_sort_by_the_exact_cosine_finds() {
    let vectors = scattered(1_000, 256);
    let index =
        index_of((0..1_000).map(|slot| Entry::new(slot).with_vector(1, vector(&vectors[slot as usize]))));
    let length = |v: &[f32]| v.iter().map(|a| a * a).sum::<f32>().sqrt();
    let mut kept = 0;
    for query in scattered(20, 256) {
        let cosine = |v: &Vec<f32>| v.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>() / length(v);
        let mut exact: Vec<(f32, u32)> = vectors.iter().map(cosine).zip(0..).collect();
        exact.sort_by(|one, other| other.0.total_cmp(&one.0));
        let found = slots(&index.search(&asked("", &query), |_| true));
        kept += exact[..10].iter().filter(|(_, slot)| found.contains(slot)).count();
    }
    // Vectors that point anywhere lie closer together than those of texts: the bar for those is .99.
    assert!(kept >= 196, "{kept} of 200");
}

#[test]
fn only_what_the_caller_keeps_is_found_or_compared_with() {
    let index = index_of([
        Entry::new(1).with_words(words("deploy deploy deploy")),
        Entry::new(2).with_words(words("deploy on friday with a checklist")),
    ]);
    let hits = index.search(&Query { words: words("deploy"), ..Query::default() }, |slot| slot == 2);
    assert_eq!(slots(&hits), [2]);
    assert_eq!(hits[0].words, Some(1.0));
}

#[test]
fn of_two_that_fit_equally_the_newer_then_the_weightier_comes_first() {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    let entry = |slot, days: u64, importance| {
        Entry::new(slot).with_words(words("deploy")).with_time(days * DAY).with_importance(importance)
    };
    let index = index_of([entry(1, 10, 500), entry(2, 90, 500), entry(3, 90, 900), entry(4, 10, 500)]);
    let query = Query { words: words("deploy"), now: 100 * DAY, ..Query::default() };
    assert_eq!(slots(&index.search(&query, |_| true)), [3, 2, 1, 4]);
    let plain = Weights { recency: 0.0, importance: 0.0, ..Weights::default() };
    assert_eq!(slots(&index.search(&Query { weights: plain, ..query }, |_| true)), [1, 2, 3, 4]);
}

#[test]
fn recency_does_not_put_a_memory_before_one_that_fits_much_better() {
    let index = index_of([
        Entry::new(1).with_words(words("deploy window friday")).with_time(0),
        Entry::new(2).with_words(words("window cleaning")).with_time(1_000_000_000_000_000),
    ]);
    let query = Query { words: words("deploy window"), now: 1_000_000_000_000_000, ..Query::default() };
    assert_eq!(slots(&index.search(&query, |_| true)), [1, 2]);
}

#[test]
fn no_more_hits_than_asked_for_and_those_the_best() {
    let vectors = scattered(300, 16);
    let index =
        index_of((0..300).map(|slot| Entry::new(slot).with_vector(1, vector(&vectors[slot as usize]))));
    let all = index.search(&Query { limit: 300, ..asked("", &vectors[0]) }, |_| true);
    let few = index.search(&Query { limit: 7, ..asked("", &vectors[0]) }, |_| true);
    assert_eq!(few, all[..7]);
    assert!(index.search(&Query { limit: 0, ..asked("", &vectors[0]) }, |_| true).is_empty());
}

#[test]
fn what_recency_puts_among_the_first_is_found_however_few_are_asked_for() {
    const HOUR: u64 = 60 * 60 * 1_000_000;
    let vectors = scattered(400, 8);
    let entry = |slot: u32| {
        Entry::new(slot)
            .with_vector(1, vector(&vectors[slot as usize]))
            .with_time(u64::from(slot * 7919 % 400) * 20 * HOUR)
            .with_importance(u16::try_from(slot * 31 % 1_000).unwrap())
    };
    let index = index_of((0..400).map(entry));
    let now = 8_000 * HOUR;
    for (asked_for, recency) in (0..40).flat_map(|n| [0.0, 0.05, 0.4].map(|recency| (n * 9, recency))) {
        let weights = Weights { recency, ..Weights::default() };
        let query = Query { now, weights, ..asked("", &vectors[asked_for]) };
        let all = index.search(&Query { limit: 400, ..query.clone() }, |_| true);
        for limit in [1, 5, 50] {
            assert_eq!(index.search(&Query { limit, ..query.clone() }, |_| true), all[..limit]);
        }
    }
}

#[test]
fn scores_are_numbers_between_0_and_1() {
    let vectors = scattered(100, 16);
    let entry = |slot: u32| {
        let text = ["deploy", "deploy window", "", "tea tea tea"][slot as usize % 4];
        let entry = Entry::new(slot).with_words(words(text)).with_time(u64::MAX >> (slot % 60));
        if slot.is_multiple_of(3) { entry } else { entry.with_vector(1, vector(&vectors[slot as usize])) }
    };
    let index = index_of((0..100).map(entry));
    for text in ["", "deploy", "deploy window tea", "nothing of it"] {
        for query in [asked(text, &vectors[5]), Query { words: words(text), ..Query::default() }] {
            let hits = index.search(&Query { limit: 100, now: 1 << 50, ..query }, |_| true);
            assert!(hits.iter().all(|hit| (0.0..=1.0001).contains(&hit.score)), "{hits:?}");
        }
    }
}

#[test]
fn an_entry_survives_its_bytes_and_the_index() {
    let full = Entry::new(7)
        .with_words(words("a note of words, words"))
        .with_vector(3, vector(&scattered(1, 256)[0]));
    let full = full.with_time(1_795_000_000_000_000).with_importance(1_000);
    let mut page = Vec::new();
    for entry in [&full, &Entry::new(8)] {
        assert_eq!(Entry::from_bytes(&entry.to_bytes()).as_ref(), Ok(entry));
        assert_eq!(index_of([entry.clone()]).entry(entry.slot).as_ref(), Some(entry));
        let mut index = Index::default();
        assert_eq!(index.put_bytes(&entry.to_bytes()), Ok(entry.slot));
        assert_eq!(index.entry(entry.slot).as_ref(), Some(entry));
        entry.write_to(&mut page);
    }
    let mut rest = page.as_slice();
    assert_eq!(Entry::read_from(&mut rest), Ok(full));
    assert_eq!(Entry::read_from(&mut rest), Ok(Entry::new(8)));
    assert!(rest.is_empty());
}

#[test]
fn refuses_bytes_that_are_no_entry() {
    let bytes = Entry::new(7).with_words(words("two words")).with_vector(1, vector(&[1.0, 2.0])).to_bytes();
    for length in 0..bytes.len() {
        assert!(Entry::from_bytes(&bytes[..length]).is_err());
    }
    assert!(Entry::from_bytes(&[bytes.clone(), vec![0]].concat()).is_err());
    let mut swapped = bytes.clone();
    let tokens = bytes.len() - 10;
    swapped[tokens..tokens + 4].copy_from_slice(&bytes[tokens + 4..tokens + 8]);
    swapped[tokens + 4..tokens + 8].copy_from_slice(&bytes[tokens..tokens + 4]);
    assert_eq!(Entry::from_bytes(&swapped), Err(RecallError::Entry("words out of order")));
    let mut heavy = bytes.clone();
    heavy[12..14].copy_from_slice(&1_001_u16.to_le_bytes());
    assert_eq!(Entry::from_bytes(&heavy), Err(RecallError::Entry("an importance beyond 1,000")));
    let mut nowhere = bytes;
    nowhere[22..24].fill(0);
    assert_eq!(Entry::from_bytes(&nowhere), Err(RecallError::Entry("a vector that is none")));
    for bytes in [swapped, heavy, nowhere] {
        let mut index = Index::default();
        assert_eq!(index.put_bytes(&bytes), Entry::from_bytes(&bytes).map(|entry| entry.slot));
        assert!(index.is_empty());
    }
}

#[test]
fn entries_are_found_by_their_slots_in_whatever_order_they_come() {
    let mut index = Index::default();
    for slot in [5, 900, 3, 7, 3, 0, u32::MAX, 4] {
        index.put_bytes(&Entry::new(slot).with_time(slot.into()).to_bytes()).unwrap();
    }
    assert!(index.remove(7) && !index.remove(7) && !index.remove(6));
    assert_eq!(index.slots().collect::<Vec<_>>(), [0, 3, 4, 5, 900, u32::MAX]);
    for slot in index.slots() {
        assert_eq!(index.entry(slot).map(|entry| entry.time), Some(slot.into()));
    }
}
