//! What a host gives to the pure crates: storage, blobs, a clock, entropy, outbound HTTP, mail, vectors of texts, and an index of them.
//!
//! Everything below `src/` is written against these eight traits, so that an account or a relay runs the same natively
//! (tests, fuzzing, simulation) and in a Durable Object. The traits are small on purpose: a host that keeps them keeps
//! every promise that the crates above rely on.
//!
//! - [`Store`]: synchronous SQL with a synchronous transaction. Synchronous because a repository write must be one turn:
//!   nothing may run between its first and its last statement.
//! - [`Blobs`]: bytes that are too large for a row, asynchronous, so never inside a turn.
//! - [`Clock`]: wall-clock microseconds. It may stand still or step back; callers that need order keep it themselves.
//! - [`Entropy`]: bytes from a cryptographic source.
//! - [`Outbound`]: one guarded HTTP exchange.
//! - [`Mailer`]: a letter on its way. Like the exchange asynchronous.
//! - [`Embedder`]: vectors of texts, asynchronous too, because some are on other hosts.
//! - [`VectorIndex`]: an index of vectors outside, which does later what it is told.

mod blobs;
mod embedder;
mod mail;
mod outbound;
mod script;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;
mod vectors;
mod versions;

pub use blobs::{Blobs, BlobsError, BlobsFuture};
pub use embedder::{EmbedError, EmbedFuture, Embedder};
pub use mail::{Letter, MailError, MailFuture, Mailer};
pub use outbound::{Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse, Verb};
pub use script::{run_script, statements};
pub use store::{Column, Param, Row, RowCounts, Store, StoreError, transaction};
pub use vectors::{VectorEntry, VectorError, VectorFuture, VectorIndex, VectorQuery};
pub use versions::{migrate, upgrade};

/// The time of day. It may freeze during a turn (as on Workers) and may step back.
pub trait Clock {
    /// Microseconds since the Unix epoch.
    fn now_micros(&self) -> u64;
}

/// Bytes from a cryptographically secure source.
pub trait Entropy {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}
