//! An entry in bytes: what a sealed page holds.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | slot |
//! | 8 | time |
//! | 2 | importance |
//! | 4 | words of the text |
//! | 2 | the model's number, 0 without a vector |
//! | 2, n | the vector's dimensions (0: none) and coordinates |
//! | 2 | different words |
//! | 4 each | their tokens, ascending |
//! | 1 each | how often each occurs |
//!
//! Numbers have their lower byte first. A memory of forty words and 256 dimensions takes 480 bytes.

use murmuration_embedding::Vector;

use crate::RecallError;
use crate::entry::{Embedded, Entry, MAX_WORDS, Slot, Word};

impl Entry {
    /// Appends the entry to a page.
    pub fn write_to(&self, page: &mut Vec<u8>) {
        page.extend(self.slot.to_le_bytes());
        page.extend(self.time.to_le_bytes());
        page.extend(self.importance.to_le_bytes());
        page.extend(self.length.to_le_bytes());
        let embedded = self.embedded.as_ref();
        page.extend(embedded.map_or(0, |embedded| embedded.by).to_le_bytes());
        let coordinates = embedded.map_or(&[][..], |embedded| embedded.vector.coordinates());
        // Both are bounded by their types' own limits, MAX_DIMS and MAX_WORDS.
        page.extend(u16::try_from(coordinates.len()).unwrap_or(0).to_le_bytes());
        page.extend(coordinates.iter().map(|coordinate| coordinate.cast_unsigned()));
        let words = self.words.get(..MAX_WORDS).unwrap_or(&self.words);
        page.extend(u16::try_from(words.len()).unwrap_or(0).to_le_bytes());
        page.extend(words.iter().flat_map(|word| word.token.to_le_bytes()));
        page.extend(words.iter().map(|word| word.count));
    }

    /// The entry in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        bytes
    }

    /// Reads an entry that is alone in its bytes.
    ///
    /// # Errors
    /// [`RecallError::Entry`] for anything that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecallError> {
        Packed::alone(bytes)?.unpack()
    }

    /// Reads the next entry of a page, and leaves what follows.
    ///
    /// # Errors
    /// [`RecallError::Entry`] for anything that [`Self::write_to`] does not write.
    pub fn read_from(page: &mut &[u8]) -> Result<Self, RecallError> {
        Packed::read(page)?.unpack()
    }
}

/// An entry as it lies in its page, checked but for its vector.
pub(crate) struct Packed<'a> {
    pub(crate) slot: Slot,
    pub(crate) time: u64,
    pub(crate) importance: u16,
    pub(crate) length: u32,
    /// The model's number, and the coordinates; none where it has no vector.
    pub(crate) vector: Option<(u16, &'a [u8])>,
    tokens: &'a [[u8; 4]],
    pub(crate) counts: &'a [u8],
}

impl<'a> Packed<'a> {
    /// An entry that is alone in its bytes.
    pub(crate) fn alone(mut bytes: &'a [u8]) -> Result<Self, RecallError> {
        let entry = Self::read(&mut bytes)?;
        if bytes.is_empty() { Ok(entry) } else { Err(RecallError::Entry("there is something after its end")) }
    }

    fn read(page: &mut &'a [u8]) -> Result<Self, RecallError> {
        let slot = u32::from_le_bytes(array(page)?);
        let time = u64::from_le_bytes(array(page)?);
        let importance = u16::from_le_bytes(array(page)?);
        if importance > 1_000 {
            return Err(RecallError::Entry("an importance beyond 1,000"));
        }
        let length = u32::from_le_bytes(array(page)?);
        let by = u16::from_le_bytes(array(page)?);
        let coordinates = usize::from(u16::from_le_bytes(array(page)?));
        let coordinates = take(page, coordinates)?;
        let vector = (!coordinates.is_empty()).then_some((by, coordinates));
        let count = usize::from(u16::from_le_bytes(array(page)?));
        if count > MAX_WORDS {
            return Err(RecallError::Entry("too many words"));
        }
        let tokens = take(page, count * 4)?.as_chunks::<4>().0;
        let entry = Self { slot, time, importance, length, vector, tokens, counts: take(page, count)? };
        if !entry.tokens().is_sorted_by(|one, other| one < other) {
            return Err(RecallError::Entry("words out of order"));
        }
        Ok(entry)
    }

    pub(crate) fn tokens(&self) -> impl ExactSizeIterator<Item = u32> {
        self.tokens.iter().map(|token| u32::from_le_bytes(*token))
    }

    fn unpack(&self) -> Result<Entry, RecallError> {
        let embedded = match self.vector {
            Some((by, coordinates)) => {
                let vector = Vector::from_bytes(coordinates).map_err(|_| NO_VECTOR)?;
                Some(Embedded { by, vector })
            }
            None => None,
        };
        let words = self.tokens().zip(self.counts).map(|(token, count)| Word { token, count: *count });
        let Self { slot, time, importance, length, .. } = *self;
        Ok(Entry { slot, time, importance, embedded, words: words.collect(), length })
    }
}

fn take<'a>(page: &mut &'a [u8], length: usize) -> Result<&'a [u8], RecallError> {
    page.split_off(..length).ok_or(RecallError::Entry("it ends too early"))
}

fn array<const N: usize>(page: &mut &[u8]) -> Result<[u8; N], RecallError> {
    let (array, rest) = page.split_first_chunk().ok_or(RecallError::Entry("it ends too early"))?;
    *page = rest;
    Ok(*array)
}

pub(crate) const NO_VECTOR: RecallError = RecallError::Entry("a vector that is none");
