//! The channels of a search, and their sum.
//!
//! - Cosines are brought to 0..1 between the least and the greatest of the index, but never as if the greatest were nearer
//!   than it is: where nothing is near, nothing scores high.
//! - BM25 (k1 = 1.2, b = .75) is divided by the greatest of the index.
//! - *Coverage* is the part of the query's words that the best memory has, each counted by how rare it is. Where the query has
//!   no vector, it says how near the best came. To lean on the vector where it is low was measured, too: it lost seven points of
//!   recall@10 where a query is a sentence of which one rare word is the right text's, and won a tenth of one elsewhere.

use crate::entry::Slot;
use crate::index::{Index, Row};
use crate::query::{Hit, MAX_QUERY_WORDS, Query};

/// What is known of every row before the caller's filter.
pub(crate) struct Ranking<'a> {
    index: &'a Index,
    query: &'a Query,
    /// The vectors that the query's can be compared with, and the cosine of each.
    cosines: Option<(usize, Vec<f32>)>,
    /// BM25 and coverage, a place each.
    words: Vec<(f32, f32)>,
}

/// How an entry that the caller keeps fits the query.
struct Fit<'a> {
    row: &'a Row,
    cosine: Option<f32>,
    bm25: f32,
    coverage: f32,
}

impl<'a> Ranking<'a> {
    pub(crate) fn of(index: &'a Index, query: &'a Query) -> Self {
        let cosines = query.embedded.as_ref().and_then(|asked| {
            let set =
                index.vectors().iter().position(|vectors| vectors.holds(asked.by, asked.vector.dims()))?;
            Some((set, index.vectors().get(set)?.cosines(&asked.vector)))
        });
        Self { index, query, cosines, words: words_of(index, query) }
    }

    pub(crate) fn hits(&self, keep: impl Fn(Slot) -> bool) -> Vec<Hit> {
        let rows: Vec<Fit<'_>> = self
            .index
            .live()
            .filter(|(_, row, _, _)| keep(row.slot))
            .map(|(place, row, _, _)| {
                let (bm25, coverage) = self.words.get(place).copied().unwrap_or_default();
                Fit { row, cosine: self.cosine(row), bm25, coverage }
            })
            .collect();
        let most = |part: fn(&Fit<'_>) -> f32| rows.iter().map(part).fold(0.0, f32::max);
        let (best, coverage) = (most(|fit| fit.bm25), most(|fit| fit.coverage));
        let near = most(|fit| fit.cosine.unwrap_or(0.0)).max(NEAR);
        let far = rows.iter().filter_map(|fit| fit.cosine).fold(0.0, f32::min);
        let weights = self.query.weights;
        // Where none of its words occurs, the vector has all of it.
        let has_vector = self.cosines.is_some() || !self.query.near.is_empty();
        let by_words = if !has_vector {
            1.0
        } else if best > 0.0 {
            weights.words
        } else {
            0.0
        };
        let by_fit = 1.0 - weights.recency - weights.importance;

        // Without a vector of the query, how much of it was found stands for how near it came.
        let part = if has_vector { 1.0 } else { coverage };
        let words = |bm25: f32| if bm25 > 0.0 { bm25 / best * part } else { 0.0 };
        let score_without_recency = |Fit { row, cosine, bm25, .. }: &Fit<'_>| {
            let vector = cosine.map_or(0.0, |cosine| (cosine - far) / (near - far));
            let fit = by_words * words(*bm25) + (1.0 - by_words) * vector;
            by_fit * fit + weights.importance * (f32::from(row.importance) / 1_000.0)
        };
        let mut fits: Vec<(f32, &Fit<'_>)> = rows
            .iter()
            .filter(|fit| fit.bm25 > 0.0 || fit.cosine.is_some_and(|cosine| cosine > 0.0))
            .map(|fit| (score_without_recency(fit), fit))
            .collect();
        // Recency takes an exponential, and most are behind the last hit whatever it adds to them.
        if let Some(last) = self.query.limit.checked_sub(1).filter(|last| *last < fits.len()) {
            let mut scores: Vec<f32> = fits.iter().map(|(score, _)| *score).collect();
            let (_, least, _) = scores.select_nth_unstable_by(last, |one, other| other.total_cmp(one));
            let least = *least;
            fits.retain(|(score, _)| score + weights.recency >= least);
        }
        let mut hits: Vec<Hit> = fits
            .into_iter()
            .map(|(score, Fit { row, cosine, bm25, .. })| {
                let recency = self.recency(row.time);
                let score = score + weights.recency * recency;
                let words = (*bm25 > 0.0).then(|| words(*bm25));
                Hit { slot: row.slot, score, vector: *cosine, words, recency }
            })
            .collect();
        let before =
            |one: &Hit, other: &Hit| other.score.total_cmp(&one.score).then(one.slot.cmp(&other.slot));
        if self.query.limit < hits.len() {
            hits.select_nth_unstable_by(self.query.limit, before);
            hits.truncate(self.query.limit);
        }
        hits.sort_unstable_by(before);
        hits
    }

    fn cosine(&self, row: &Row) -> Option<f32> {
        let exact = self.cosines.as_ref().and_then(|(set, cosines)| {
            row.vector.filter(|(of, _)| of == set).and_then(|(_, place)| cosines.get(place).copied())
        });
        exact.or_else(|| self.query.near.get(&row.slot).copied())
    }

    /// Halved with every half-life; a memory of the future is as recent as one of now.
    fn recency(&self, time: u64) -> f32 {
        let age = number(self.query.now.saturating_sub(time));
        (-age / number(self.query.weights.half_life.max(1))).exp2()
    }
}

/// BM25 and coverage of every place.
///
/// Entries keep their own words, and there is no list of entries for each word: such a list costs more to build when an object
/// wakes than ten searches without one. The words that might be the query's are found by a table of bits, so that most of an
/// entry's words cost a look at one bit.
fn words_of(index: &Index, query: &Query) -> Vec<(f32, f32)> {
    let mut scores = vec![(0.0, 0.0); index.places()];
    let asked: Vec<u32> = query.words.words.iter().map(|word| word.token).take(MAX_QUERY_WORDS).collect();
    if asked.is_empty() {
        return scores;
    }
    let mut bits = [0_u64; BITS / 64];
    for token in &asked {
        if let Some(word) = bits.get_mut(bit_of(*token) / 64) {
            *word |= 1 << (bit_of(*token) % 64);
        }
    }
    let mut found: Vec<(usize, usize, u8, u32)> = Vec::new();
    let mut entries = vec![0_usize; asked.len()];
    for (place, row, tokens, counts) in index.live() {
        for (token, count) in tokens.iter().zip(counts) {
            let maybe =
                bits.get(bit_of(*token) / 64).is_some_and(|word| word >> (bit_of(*token) % 64) & 1 == 1);
            if let (true, Ok(which)) = (maybe, asked.binary_search(token)) {
                found.push((place, which, *count, row.length));
                if let Some(entries) = entries.get_mut(which) {
                    *entries += 1;
                }
            }
        }
    }
    let total = count_of(index.len());
    let rarity: Vec<f32> = entries
        .iter()
        .map(|entries| (1.0 + (total - count_of(*entries) + 0.5) / (count_of(*entries) + 0.5)).ln())
        .collect();
    let all: f32 = rarity.iter().sum();
    let mean = index.mean_length();
    for (place, which, count, length) in found {
        let (Some(rarity), Some(score)) = (rarity.get(which), scores.get_mut(place)) else { continue };
        let (count, length) = (f32::from(count), number(u64::from(length)));
        score.0 += rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / mean));
        score.1 += rarity / all;
    }
    scores
}

fn bit_of(token: u32) -> usize {
    usize::try_from(token).unwrap_or(0) % BITS
}

fn count_of(count: usize) -> f32 {
    number(count.try_into().unwrap_or(u64::MAX))
}

#[expect(clippy::as_conversions, reason = "rounded to 24 bits, which is more than any score needs")]
fn number(number: u64) -> f32 {
    number as f32
}

/// How soon more of a word counts no more: the usual value.
const K1: f32 = 1.2;

/// How much a long text is held against a memory: the usual value.
const B: f32 = 0.75;

/// The cosine that is near, for the model of this project: below it, the nearest does not count as if it were.
const NEAR: f32 = 0.5;

/// Bits of the table of the query's words: of a query of ten, one in four hundred other words is looked up in vain.
const BITS: usize = 4_096;
