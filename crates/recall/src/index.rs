//! The index: entries laid out for a scan.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::RecallError;
use crate::entry::{Embedded, Entry, Slot, Word};
use crate::query::{Hit, Query};
use crate::rank::Ranking;
use crate::scan::Vectors;

/// The entries of an agent's memories, in memory, ready to be searched.
///
/// Words and vectors lie in a few long rows, not in an allocation for each entry: building an index of ten thousand entries
/// and scanning it are both a walk through memory. An entry that is removed or replaced leaves its place empty, until so many
/// are empty that the rows are laid anew.
#[derive(Clone, Debug, Default)]
pub struct Index {
    rows: Vec<Row>,
    places: BTreeMap<Slot, usize>,
    tokens: Vec<u32>,
    counts: Vec<u8>,
    vectors: Vec<Vectors>,
    /// Words of all entries' texts together.
    length: u64,
}

/// An entry without its words and vector.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) slot: Slot,
    pub(crate) time: u64,
    pub(crate) importance: u16,
    pub(crate) length: u32,
    /// Where its words are.
    words: Range<usize>,
    /// Which of the vectors it has: the model's place, and the place within.
    pub(crate) vector: Option<(usize, usize)>,
    gone: bool,
}

impl Index {
    /// How many entries it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes that its rows take, about: what a host counts against its limit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let vectors: usize = self.vectors.iter().map(Vectors::bytes).sum();
        vectors + self.rows.len() * (size_of::<Row>() + PLACE_BYTES) + self.tokens.len() * 5
    }

    /// Adds an entry, or puts it in the place of the one with its slot.
    ///
    /// # Errors
    /// [`RecallError::Full`] when there are [`MAX_ENTRIES`]; nothing was changed.
    pub fn put(&mut self, entry: Entry) -> Result<(), RecallError> {
        if self.len() >= MAX_ENTRIES && !self.places.contains_key(&entry.slot) {
            return Err(RecallError::Full);
        }
        self.remove(entry.slot);
        let start = self.tokens.len();
        self.tokens.extend(entry.words.iter().map(|word| word.token));
        self.counts.extend(entry.words.iter().map(|word| word.count));
        let vector = entry.embedded.map(|Embedded { by, vector }| {
            let known = self.vectors.iter().position(|vectors| vectors.holds(by, &vector));
            let set = known.unwrap_or_else(|| {
                self.vectors.push(Vectors::new(by, vector.dims()));
                self.vectors.len() - 1
            });
            (set, self.vectors.get_mut(set).map_or(0, |vectors| vectors.push(&vector)))
        });
        self.length += u64::from(entry.length);
        self.places.insert(entry.slot, self.rows.len());
        self.rows.push(Row {
            slot: entry.slot,
            time: entry.time,
            importance: entry.importance,
            length: entry.length,
            words: start..self.tokens.len(),
            vector,
            gone: false,
        });
        Ok(())
    }

    /// Takes an entry away; says whether there was one.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let Some(row) = self.places.remove(&slot).and_then(|place| self.rows.get_mut(place)) else {
            return false;
        };
        row.gone = true;
        self.length = self.length.saturating_sub(u64::from(row.length));
        if self.rows.len() > 2 * self.places.len() + FEW_GONE {
            self.lay_anew();
        }
        true
    }

    /// The entry of a slot, as it was put.
    #[must_use]
    pub fn entry(&self, slot: Slot) -> Option<Entry> {
        self.rows.get(*self.places.get(&slot)?).map(|row| self.entry_of(row))
    }

    /// Which model made the vector of an entry; `None` where it has none.
    #[must_use]
    pub fn embedded_by(&self, slot: Slot) -> Option<u16> {
        let (set, _) = self.rows.get(*self.places.get(&slot)?)?.vector?;
        self.vectors.get(set).map(|vectors| vectors.by)
    }

    /// How much the memory of a slot matters, from 0 to 1,000.
    #[must_use]
    pub fn importance(&self, slot: Slot) -> Option<u16> {
        self.rows.get(*self.places.get(&slot)?).map(|row| row.importance)
    }

    /// The slots it holds, ascending.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.places.keys().copied()
    }

    /// The memories that fit a query best, the best first; of equals, the one with the lower slot.
    ///
    /// `keep` says which memories count. A memory that shares neither a word nor a direction with the query is none.
    #[must_use]
    pub fn search(&self, query: &Query, keep: impl Fn(Slot) -> bool) -> Vec<Hit> {
        Ranking::of(self, query).hits(keep)
    }

    /// The rows that are not gone, with their words.
    pub(crate) fn live(&self) -> impl Iterator<Item = (usize, &Row, &[u32], &[u8])> {
        self.rows.iter().enumerate().filter(|(_, row)| !row.gone).map(|(place, row)| {
            let tokens = self.tokens.get(row.words.clone()).unwrap_or_default();
            (place, row, tokens, self.counts.get(row.words.clone()).unwrap_or_default())
        })
    }

    /// Places that rows take, those of the gone too.
    pub(crate) fn places(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn vectors(&self) -> &[Vectors] {
        &self.vectors
    }

    /// Words of an entry's text, on average.
    pub(crate) fn mean_length(&self) -> f32 {
        (number(self.length) / number(self.len().try_into().unwrap_or(u64::MAX)).max(1.0)).max(1.0)
    }

    fn entry_of(&self, row: &Row) -> Entry {
        let words = self.tokens.get(row.words.clone()).unwrap_or_default().iter();
        let counts = self.counts.get(row.words.clone()).unwrap_or_default();
        let embedded = row.vector.and_then(|(set, place)| self.vectors.get(set)?.embedded(place));
        Entry {
            slot: row.slot,
            time: row.time,
            importance: row.importance,
            embedded,
            words: words.zip(counts).map(|(token, count)| Word { token: *token, count: *count }).collect(),
            length: row.length,
        }
    }

    fn lay_anew(&mut self) {
        let mut anew = Self::default();
        for (_, row, _, _) in self.live() {
            // Never full: it holds what this one held.
            let _ = anew.put(self.entry_of(row));
        }
        *self = anew;
    }
}

#[expect(clippy::as_conversions, reason = "counts of words far below 2^53, of which an average is taken")]
fn number(count: u64) -> f32 {
    count as f32
}

/// Entries of an index, at most: with 256 dimensions and forty words each, 50 MB, of the 128 MB that an isolate has for all
/// the objects in it.
pub const MAX_ENTRIES: usize = 100_000;

/// Bytes of an entry's place in the order of slots, about.
const PLACE_BYTES: usize = 16;

/// Empty places that are never worth laying the rows anew.
const FEW_GONE: usize = 64;
