//! What an index keeps of a memory.

use murmuration_embedding::Vector;

use crate::words::Tokens;

/// The caller's number of a memory; each has one entry.
pub type Slot = u32;

/// A word of a memory, as its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word {
    /// What stands for the word.
    pub token: u32,
    /// How often it occurs; 255 stands for more, too.
    pub count: u8,
}

/// A vector, and which model made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The caller's number of the model: vectors of different models are not compared.
    pub by: u16,
    /// The vector.
    pub vector: Vector,
}

/// What an index keeps of a memory: nothing that can be read without the key of its tokens but the vector, which is why an
/// entry is sealed wherever it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose entry it is.
    pub slot: Slot,
    /// When the memory is of, in microseconds since the Unix epoch: newer ones come first among equals.
    pub time: u64,
    /// How much it matters, from 0 to 1,000.
    pub importance: u16,
    /// Its vector, when it has one.
    pub embedded: Option<Embedded>,
    /// Its words, sorted by token, each once.
    pub words: Vec<Word>,
    /// Words of its text, repeated ones too.
    pub length: u32,
}

impl Entry {
    /// An entry of nothing yet, of middling importance.
    #[must_use]
    pub fn new(slot: Slot) -> Self {
        Self { slot, time: 0, importance: MIDDLING, embedded: None, words: Vec::new(), length: 0 }
    }

    /// With the words of its text.
    #[must_use]
    pub fn with_words(self, tokens: Tokens) -> Self {
        Self { words: tokens.words, length: tokens.length, ..self }
    }

    /// With its vector, by that model.
    #[must_use]
    pub fn with_vector(self, by: u16, vector: Vector) -> Self {
        Self { embedded: Some(Embedded { by, vector }), ..self }
    }

    /// With its time, in microseconds since the Unix epoch.
    #[must_use]
    pub fn with_time(self, time: u64) -> Self {
        Self { time, ..self }
    }

    /// With its importance, 1,000 at the most.
    #[must_use]
    pub fn with_importance(self, importance: u16) -> Self {
        Self { importance: importance.min(1_000), ..self }
    }
}

/// Different words of a memory that are kept, at most: a page of text has some 300. Each takes 5 bytes of the index.
pub const MAX_WORDS: usize = 1_024;

/// The importance of a memory that says none.
const MIDDLING: u16 = 500;
