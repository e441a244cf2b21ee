//! Search among an agent's memories, in memory: by meaning, by word and by time, with scores that say why.
//!
//! An [`Index`] holds an [`Entry`] for each memory: its vector, its words as *tokens*, and what else ranks it. It holds no
//! text. A token is a number that the caller makes of a word, with a key (see [`tokens`]), so what is kept of an entry says
//! nothing to anyone without the key. An entry has a form in bytes for a sealed page; the index is built from entries when an
//! object wakes, and a memory is found by the very next search after [`Index::put`].
//!
//! A [`Query`] is compared with every entry, exactly: ten thousand vectors of 256 numbers are two and a half megabytes, which
//! take less time to read than an approximate index takes to keep. Three channels are weighed into one score:
//!
//! - **vector**: the cosine between query and memory, from the same model only;
//! - **words**: BM25 over tokens, against the best of the index;
//! - **recency** and **importance**: a little, so that of two memories that fit equally the newer or weightier comes first.
//!
//! Words weigh as much as the vector, unless none of the query's occurs at all: then the vector has all of it. The weights are
//! measured (`docs/benchmarks.md`), and are [`Weights`].
//!
//! ```
//! use murmuration_recall::{Entry, Index, Query, tokens};
//!
//! let key = |word: &str| word.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte));
//! let mut index = Index::default();
//! index.put(Entry::new(1).with_words(tokens("The deploy window is Friday", key)))?;
//! index.put(Entry::new(2).with_words(tokens("Cats sleep all day", key)))?;
//!
//! let query = Query { words: tokens("when do we deploy?", key), ..Query::default() };
//! let hits = index.search(&query, |_slot| true);
//! assert_eq!(hits.first().map(|hit| hit.slot), Some(1));
//! # Ok::<(), murmuration_recall::RecallError>(())
//! ```

mod bytes;
mod entry;
mod error;
mod index;
mod query;
mod rank;
mod scan;
mod stem;
mod words;

pub use entry::{Embedded, Entry, MAX_WORDS, Slot, Word};
pub use error::RecallError;
pub use index::{Index, MAX_ENTRIES};
pub use query::{Hit, MAX_QUERY_WORDS, Query, Weights};
pub use stem::stem;
pub use words::{MAX_WORD_BYTES, Tokens, tokens, words};
