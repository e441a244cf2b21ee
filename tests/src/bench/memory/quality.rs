//! How well memories are found.

#![allow(clippy::as_conversions, reason = "counts and ranks of a few thousand")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

use murmuration_embedding::{Model, Vector, dot};
use murmuration_recall::{Embedded, Entry, Index, Query, Tokens, Weights, tokens, words};
use xtask::worker::MODEL;

use super::pairs::Pairs;

/// Shares of the query's words that stand in the right text, and what they are called.
const OVERLAPS: [(f64, &str); 4] =
    [(0.25, "up to .25"), (0.5, ".25 to .5"), (0.75, ".5 to .75"), (1.0, "over .75")];
/// The model's number in the index.
const BY: u16 = 1;

/// How often the right text was found.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    queries: f64,
    first: f64,
    in_ten: f64,
    reciprocal: f64,
}

impl Found {
    /// Counts a query whose right text had this rank, from 0; `None` when it was not found at all.
    fn count(&mut self, rank: Option<usize>) {
        self.queries += 1.0;
        let Some(rank) = rank else { return };
        self.first += f64::from(u8::from(rank < 1));
        self.in_ten += f64::from(u8::from(rank < 10));
        self.reciprocal += 1.0 / (rank as f64 + 1.0);
    }

    fn at_1(&self) -> f64 {
        self.first / self.queries
    }

    fn at_10(&self) -> f64 {
        self.in_ten / self.queries
    }

    fn mrr(&self) -> f64 {
        self.reciprocal / self.queries
    }
}

/// A way to find, and what it found: over all queries, over those with less than half their words in the right text, and by
/// overlap.
struct Way {
    name: &'static str,
    all: Found,
    half: Found,
    by_overlap: [Found; 4],
}

/// The tables of a kind of text.
pub(super) fn quality(kind: &str, pairs: &Pairs) -> String {
    let model = Model::read(fs::read(xtask::root().join(MODEL)).unwrap()).unwrap();
    let embed =
        |texts: &[String]| -> Vec<Option<Vector>> { texts.iter().map(|text| model.embed(text)).collect() };
    let given = |vectors: &[Vec<f32>]| -> Vec<Option<Vector>> {
        vectors.iter().map(|vector| Some(Vector::from_f32(vector).unwrap())).collect()
    };
    let asked: Vec<Tokens> = pairs.queries.iter().map(|text| tokens(text, token)).collect();
    let own = (embed(&pairs.queries), embed(&pairs.documents));
    let yardstick = (given(&pairs.asked), given(&pairs.held));
    let overlaps: Vec<f64> =
        pairs.queries.iter().zip(&pairs.documents).map(|(one, other)| overlap(one, other)).collect();

    let plain = Weights { recency: 0.0, importance: 0.0, ..Weights::default() };
    let only_vectors = Weights { words: 0.0, ..plain };
    let nothing = vec![None; pairs.queries.len()];
    let without = vec![Tokens::default(); pairs.queries.len()];
    let ways: [Asked<'_>; 5] = [
        ("BM25, light stemmer", &nothing, &own.1, &asked, plain),
        ("all-MiniLM-L6-v2, the yardstick", &yardstick.0, &yardstick.1, &without, only_vectors),
        ("the embedded model alone", &own.0, &own.1, &without, only_vectors),
        ("the embedded model and BM25", &own.0, &own.1, &asked, plain),
        ("the yardstick and BM25", &yardstick.0, &yardstick.1, &asked, plain),
    ];
    let ways: Vec<Way> = ways
        .into_iter()
        .map(|(name, queries, documents, words, weights)| {
            let index = index_of(&pairs.documents, documents);
            let mut way =
                Way { name, all: Found::default(), half: Found::default(), by_overlap: Default::default() };
            for (place, (vector, words)) in queries.iter().zip(words).enumerate() {
                let embedded = vector.clone().map(|vector| Embedded { by: BY, vector });
                let query =
                    Query { embedded, words: words.clone(), weights, limit: index.len(), ..Query::default() };
                let rank = rank_of(&index, &query, place);
                way.all.count(rank);
                if overlaps[place] < 0.5 {
                    way.half.count(rank);
                }
                let bucket = OVERLAPS.iter().position(|(most, _)| overlaps[place] <= *most).unwrap_or(3);
                way.by_overlap[bucket].count(rank);
            }
            way
        })
        .collect();
    let exact = exactness(&model, &pairs.queries, &pairs.documents, &own);
    tables(kind, &ways, exact, &overlaps)
}

/// What a way asks with: its name, the queries' vectors, the documents', the queries' words, and the weights.
type Asked<'a> = (&'static str, &'a [Option<Vector>], &'a [Option<Vector>], &'a [Tokens], Weights);

/// The rank of the right text: how many others are no worse. Equal scores count against it, and a score that is no number is
/// an error, never a good rank.
fn rank_of(index: &Index, query: &Query, place: usize) -> Option<usize> {
    let hits = index.search(query, |_| true);
    assert!(hits.iter().all(|hit| hit.score.is_finite()), "a score is not a number");
    let right = hits.iter().find(|hit| hit.slot as usize == place)?;
    Some(hits.iter().filter(|hit| hit.score >= right.score).count() - 1)
}

fn index_of(documents: &[String], vectors: &[Option<Vector>]) -> Index {
    let mut index = Index::default();
    for (slot, (text, vector)) in (0..).zip(documents.iter().zip(vectors)) {
        let entry = Entry::new(slot).with_words(tokens(text, token));
        index.put(vector.iter().fold(entry, |entry, vector| entry.with_vector(BY, vector.clone()))).unwrap();
    }
    index
}

/// The part of the ten nearest by the numbers before they were brought to eight bits that the scan of eight bits finds.
fn exactness(
    model: &Model,
    queries: &[String],
    documents: &[String],
    (asked, held): &(Vec<Option<Vector>>, Vec<Option<Vector>>),
) -> f64 {
    let exact: Vec<Vec<f32>> = documents.iter().map(|text| model.coordinates(text)).collect();
    let (mut kept, mut of) = (0_u32, 0_u32);
    for (text, vector) in queries.iter().zip(asked).take(EXACT_QUERIES) {
        let Some(vector) = vector else { continue };
        let query = model.coordinates(text);
        let best = |scores: Vec<f32>| -> Vec<usize> {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
            order.truncate(10);
            order
        };
        let wanted =
            best(exact.iter().map(|held| held.iter().zip(&query).map(|(a, b)| a * b).sum()).collect());
        let scanned =
            best(held.iter().map(|held| held.as_ref().map_or(-1.0, |held| cosine(vector, held))).collect());
        kept += wanted.iter().map(|place| u32::from(scanned.contains(place))).sum::<u32>();
        of += 10;
    }
    f64::from(kept) / f64::from(of)
}

fn cosine(one: &Vector, other: &Vector) -> f32 {
    dot(one.coordinates(), other.coordinates()) as f32 * one.inverse_length() * other.inverse_length()
}

/// The share of the query's different words that stand in the text.
fn overlap(query: &str, document: &str) -> f64 {
    let asked: HashSet<String> = words(query).into_iter().collect();
    let held: HashSet<String> = words(document).into_iter().collect();
    if asked.is_empty() { 0.0 } else { asked.intersection(&held).count() as f64 / asked.len() as f64 }
}

fn tables(kind: &str, ways: &[Way], exact: f64, overlaps: &[f64]) -> String {
    let mut text = format!(
        "### {kind}\n| way | R@1 | R@10 | MRR | R@10, under half the words |\n|---|---|---|---|---|\n"
    );
    for way in ways {
        let _ = writeln!(
            text,
            "| {} | {:.3} | {:.3} | {:.3} | {:.3} |",
            way.name,
            way.all.at_1(),
            way.all.at_10(),
            way.all.mrr(),
            way.half.at_10()
        );
    }
    let _ = write!(text, "\n| overlap (queries) |");
    for way in ways {
        let _ = write!(text, " {} |", way.name);
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(ways.len()));
    for (bucket, (_, name)) in OVERLAPS.iter().enumerate() {
        let _ = write!(text, "| {name} ({}) |", ways[0].by_overlap[bucket].queries);
        for way in ways {
            let _ = write!(text, " {:.3} |", way.by_overlap[bucket].at_10());
        }
        text.push('\n');
    }
    let [words, yardstick, own, fused] = [0, 1, 2, 3].map(|way: usize| &ways[way]);
    let low = overlaps.iter().filter(|overlap| **overlap < 0.5).count();
    let bars = [
        ("embedded alone, of the yardstick's R@10", own.all.at_10() / yardstick.all.at_10(), 0.95),
        ("the same, under half the words", own.half.at_10() / yardstick.half.at_10(), 0.85),
        ("fused above BM25, R@10", fused.all.at_10() - words.all.at_10(), 0.02),
        ("the scan of eight bits, of the exact ten nearest", exact, 0.99),
    ];
    let _ = writeln!(
        text,
        "\n| bar ({low} queries with under half the words) | figure | at least | |\n|---|---|---|---|"
    );
    for (name, figure, least) in bars {
        assert!(figure.is_finite(), "{name} is not a number");
        let _ = writeln!(
            text,
            "| {name} | {figure:.3} | {least} | {} |",
            if figure >= least { "met" } else { "missed" }
        );
    }
    text.push('\n');
    text
}

fn token(word: &str) -> u32 {
    word.bytes().fold(2_166_136_261, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// Queries by which the scan is compared with the exact numbers.
const EXACT_QUERIES: usize = 500;
