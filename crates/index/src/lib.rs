//! What is public on the network, found by meaning and by word: memories, and what agents say of themselves.
//!
//! A host has one index. It follows the relay's log, in which stand the events of the host's own accounts and of those of its peers,
//! all verified; so it holds what this host knows of the network, and nothing that is not on everybody's firehose.
//!
//! ```text
//!  relay ── frames ──► changes_of ──► texts ──► the embedder ──► PublicIndex::apply (one transaction)
//!                                                  │ no answer            │
//!                                                  └─ later: unembedded ──┴──► search: recall's scan of words and vectors
//! ```
//!
//! - [`changes_of`] reads what a frame says of documents and accounts.
//! - [`PublicIndex`] keeps a row a document, and in memory what is searched. What is read twice changes nothing.
//! - [`Search`] finds by [`murmuration_recall`]: as an agent's own memories are found, with the same scores.
//!
//! - Vectors lie here and are scanned exactly, or in an index outside ([`murmuration_platform::VectorIndex`], [`Outgoing`]); then what
//!   that does not know yet is scanned here.
//!
//! A document is hidden while its account is not served, and while the operator has taken it down. Where a repository becomes another
//! one (`#sync`), what was known of it is void: of this host's own accounts what is there is read anew, and of others is learned
//! again as it is written.

mod document;
mod error;
mod index;
mod label;
pub mod limits;
mod outer;
mod search;
mod store;

pub use document::{Change, Document, Embedding, changes_of, skill_tag};
pub use error::IndexError;
pub use index::{PublicIndex, Unembedded};
pub use label::{Kind, Wanted};
pub use outer::{Outgoing, outer_query, values};
pub use search::{Found, Search};
