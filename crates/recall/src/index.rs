//! The index: entries laid out for a scan.

use std::ops::Range;

use murmuration_embedding::MAX_DIMS;

use crate::RecallError;
use crate::bytes::{NO_VECTOR, Packed};
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
    /// The row of each slot, by slot.
    places: Vec<(Slot, usize)>,
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
    /// An index that will hold so many entries, about: what it takes is then taken once, and not moved while it grows.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        let entries = entries.min(MAX_ENTRIES);
        Self {
            rows: Vec::with_capacity(entries),
            places: Vec::with_capacity(entries),
            tokens: Vec::with_capacity(entries * USUAL_WORDS),
            counts: Vec::with_capacity(entries * USUAL_WORDS),
            vectors: Vec::new(),
            length: 0,
        }
    }

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
        let Entry { slot, time, importance, embedded, words, length } = entry;
        self.make_room(slot)?;
        let vector = embedded.as_ref().and_then(|Embedded { by, vector }| {
            self.lay_vector(*by, vector.dims(), vector.coordinates().iter().copied())
        });
        let (tokens, counts) = (words.iter().map(|word| word.token), words.iter().map(|word| word.count));
        self.lay(Row { slot, time, importance, length, words: 0..0, vector, gone: false }, tokens, counts);
        Ok(())
    }

    /// The same of an entry that is alone in its bytes ([`Entry::to_bytes`]), which takes a third of the time: nothing of it is moved
    /// but into its place. Gives its slot.
    ///
    /// # Errors
    /// As [`Entry::from_bytes`] and [`Self::put`]; the entry of its slot may be gone then.
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<Slot, RecallError> {
        let entry = Packed::alone(bytes)?;
        let Packed { slot, time, importance, length, counts, .. } = entry;
        self.make_room(slot)?;
        let vector = match entry.vector {
            Some((_, coordinates)) if coordinates.len() > MAX_DIMS => return Err(NO_VECTOR),
            Some((by, coordinates)) => {
                let signed = coordinates.iter().map(|coordinate| coordinate.cast_signed());
                Some(self.lay_vector(by, coordinates.len(), signed).ok_or(NO_VECTOR)?)
            }
            None => None,
        };
        let row = Row { slot, time, importance, length, words: 0..0, vector, gone: false };
        self.lay(row, entry.tokens(), counts.iter().copied());
        Ok(slot)
    }

    fn make_room(&mut self, slot: Slot) -> Result<(), RecallError> {
        if self.len() >= MAX_ENTRIES && self.place(slot).is_none() {
            return Err(RecallError::Full);
        }
        self.remove(slot);
        Ok(())
    }

    /// Puts a vector behind the others of its model; says where.
    fn lay_vector(
        &mut self,
        by: u16,
        dims: usize,
        coordinates: impl Iterator<Item = i8>,
    ) -> Option<(usize, usize)> {
        let set = self.vectors.iter().position(|vectors| vectors.holds(by, dims)).unwrap_or_else(|| {
            // The first is of the model that most are of.
            let expected = if self.vectors.is_empty() { self.rows.capacity() } else { 0 };
            self.vectors.push(Vectors::new(by, dims, expected));
            self.vectors.len() - 1
        });
        Some((set, self.vectors.get_mut(set)?.push(coordinates)?))
    }

    /// Puts a row behind the others, with its words.
    fn lay(&mut self, row: Row, tokens: impl Iterator<Item = u32>, counts: impl Iterator<Item = u8>) {
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        self.counts.extend(counts);
        self.length += u64::from(row.length);
        // Most come in order.
        match self.places.last() {
            Some((last, _)) if *last >= row.slot => {
                let at = self.places.partition_point(|(slot, _)| *slot < row.slot);
                self.places.insert(at, (row.slot, self.rows.len()));
            }
            _ => self.places.push((row.slot, self.rows.len())),
        }
        self.rows.push(Row { words: start..self.tokens.len(), ..row });
    }

    /// Where the row of a slot is.
    fn place(&self, slot: Slot) -> Option<usize> {
        let at = self.places.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        self.places.get(at).map(|(_, row)| *row)
    }

    fn row(&self, slot: Slot) -> Option<&Row> {
        self.rows.get(self.place(slot)?)
    }

    /// Takes an entry away; says whether there was one.
    pub fn remove(&mut self, slot: Slot) -> bool {
        // Most that are put are behind all others.
        if self.places.last().is_none_or(|(last, _)| *last < slot) {
            return false;
        }
        let Ok(at) = self.places.binary_search_by_key(&slot, |(slot, _)| *slot) else { return false };
        let (_, place) = self.places.remove(at);
        let Some(row) = self.rows.get_mut(place) else { return false };
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
        self.row(slot).map(|row| self.entry_of(row))
    }

    /// Which model made the vector of an entry; `None` where it has none.
    #[must_use]
    pub fn embedded_by(&self, slot: Slot) -> Option<u16> {
        let (set, _) = self.row(slot)?.vector?;
        self.vectors.get(set).map(|vectors| vectors.by)
    }

    /// How much the memory of a slot matters, from 0 to 1,000.
    #[must_use]
    pub fn importance(&self, slot: Slot) -> Option<u16> {
        self.row(slot).map(|row| row.importance)
    }

    /// The slots it holds, ascending.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.places.iter().map(|(slot, _)| *slot)
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

/// Different words of a memory, usually.
const USUAL_WORDS: usize = 32;

/// Bytes of an entry's place in the order of slots.
const PLACE_BYTES: usize = size_of::<(Slot, usize)>();

/// Empty places that are never worth laying the rows anew.
const FEW_GONE: usize = 64;
