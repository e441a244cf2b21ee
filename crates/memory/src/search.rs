//! Finding memories, by meaning, by word and by time.

use std::collections::BTreeSet;
use std::ops::Range;

use murmuration_embedding::Vector;
use murmuration_recall::{Embedded, Hit, Query, Slot, Tokens, tokens};
use murmuration_syntax::Nsid;

use crate::secret::Secret;
use crate::shelf::Label;
use crate::{Keeper, Memories, Memory, MemoryError, Uses};

/// A vector of a text, and the model that has made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// The model's name.
    pub model: String,
    /// The vector.
    pub vector: Vector,
}

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    /// In words.
    pub text: &'a str,
    /// In meaning, if there is a model.
    pub meaning: Option<&'a Meaning>,
    /// Of which collections; of all if there are none.
    pub collections: &'a [Nsid],
    /// With which tags, all of them.
    pub tags: &'a [&'a str],
    /// Made when, in microseconds since the Unix epoch.
    pub made: Range<u64>,
    /// What held at this time, instead of now.
    pub as_of: Option<u64>,
    /// Whether what does not hold any more is found, too.
    pub superseded: bool,
    /// The least score, from 0 to 1.
    pub least: f32,
    /// How many, at most.
    pub limit: usize,
}

impl<'a> Search<'a> {
    /// A search for a text in everything that holds now, by its words.
    #[must_use]
    pub fn of(text: &'a str, limit: usize) -> Self {
        Self {
            text,
            meaning: None,
            collections: &[],
            tags: &[],
            made: 0..u64::MAX,
            as_of: None,
            superseded: false,
            least: 0.0,
            limit,
        }
    }
}

/// A memory that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The memory.
    pub memory: Memory,
    /// How well it fits, from 0 to 1, and by what.
    pub hit: Hit,
    /// How it was used before.
    pub uses: Uses,
}

impl Memories {
    /// The memories that fit best, the best first. A memory is found by the very next search after it was made. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn search(&self, keeper: Keeper<'_>, search: &Search<'_>) -> Result<Vec<Found>, MemoryError> {
        let hits = self.look_at_index(keeper, Vec::new(), |secret, shelf| {
            let embedded = search.meaning.map(|meaning| Embedded {
                by: shelf.number_of(&meaning.model),
                vector: meaning.vector.clone(),
            });
            let words = words_of(secret, search.text);
            let limit = search.limit;
            let query = Query { embedded, words, now: keeper.now, limit, ..Query::default() };
            let wanted = Wanted::of(secret, search, keeper.now);
            // One walk over all labels, not a look-up for each.
            let end = shelf.labels.last_key_value().map_or(0, |(slot, _)| place_of(*slot).saturating_add(1));
            let mut taken = vec![false; end];
            for (slot, label) in &shelf.labels {
                if let Some(taken) = taken.get_mut(place_of(*slot)) {
                    *taken = wanted.takes(label);
                }
            }
            let hits =
                shelf.index.search(&query, |slot| taken.get(place_of(slot)).is_some_and(|taken| *taken));
            let found = hits.into_iter().filter(|hit| hit.score >= search.least);
            let known = |slot| shelf.labels.get(&slot).map(|label| (label.path.clone(), label.uses));
            Ok(found.filter_map(|hit| Some((known(hit.slot)?, hit))).collect())
        })?;
        let mut found = Vec::new();
        for ((path, uses), hit) in hits {
            found.push(Found { memory: self.head(keeper, &path)?, hit, uses });
        }
        Ok(found)
    }

    /// The memories that upkeep leaves alone, the newest first, some. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn pinned(&self, keeper: Keeper<'_>, limit: usize) -> Result<Vec<Memory>, MemoryError> {
        let mut paths = self.look_at_index(keeper, Vec::new(), |_, shelf| {
            let alive = |label: &&Label| label.pinned && label.holds(keeper.now);
            let pinned = shelf.labels.values().filter(alive);
            Ok(pinned.map(|label| (label.created_at, label.path.clone())).collect::<Vec<_>>())
        })?;
        paths.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
        paths.truncate(limit);
        paths.iter().map(|(_, path)| self.head(keeper, path)).collect()
    }

    /// How many memories the index holds. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn indexed(&self, keeper: Keeper<'_>) -> Result<usize, MemoryError> {
        self.look_at_index(keeper, 0, |_, shelf| Ok(shelf.labels.len()))
    }
}

/// Which labels are wanted.
struct Wanted<'a> {
    search: &'a Search<'a>,
    tags: BTreeSet<u32>,
    now: u64,
}

impl<'a> Wanted<'a> {
    fn of(secret: &Secret, search: &'a Search<'a>, now: u64) -> Self {
        Self { search, tags: search.tags.iter().map(|tag| tag_of(secret, tag)).collect(), now }
    }

    fn takes(&self, label: &Label) -> bool {
        let search = self.search;
        let at = search.as_of.unwrap_or(self.now);
        let (from, to) = label.valid;
        let holds = to.is_none_or(|to| to > at);
        // What was made later did not hold then, unless it says that it did.
        let begun = from.map_or(search.as_of.is_none() || label.created_at <= at, |from| from <= at);
        label.expires_at.is_none_or(|end| end > self.now)
            && (search.collections.is_empty() || search.collections.contains(&label.path.collection))
            && search.made.contains(&label.created_at)
            && begun
            && (holds || search.superseded)
            && self.tags.iter().all(|tag| label.tags.contains(tag))
    }
}

/// The words of a text as keyed hashes.
pub(crate) fn words_of(secret: &Secret, text: &str) -> Tokens {
    tokens(text, |word| token(secret, "word", word))
}

/// A tag as a keyed hash.
pub(crate) fn tag_of(secret: &Secret, tag: &str) -> u32 {
    token(secret, "tag", tag)
}

fn token(secret: &Secret, label: &str, word: &str) -> u32 {
    let [a, b, c, d, ..] = secret.name(label, word.as_bytes());
    u32::from_be_bytes([a, b, c, d])
}

/// Where a slot is in a list of all: slots are given from 0 on, those that are free first.
fn place_of(slot: Slot) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

/// The slot of a row, out of the storage.
pub(crate) fn slot_of(number: Option<i64>) -> Option<Slot> {
    number.and_then(|number| Slot::try_from(number).ok())
}
