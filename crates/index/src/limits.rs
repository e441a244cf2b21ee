//! What an index holds.

/// Documents of the index, at most: what fits the memory of its object beside that of others, at 256 dimensions some 30 MB.
pub const MAX_DOCUMENTS: usize = 50_000;

/// Documents of an account, at most: its newest. What one account says a thousand times is no reason to forget what others say once.
pub const MAX_OF_ACCOUNT: usize = 1_000;

/// Bytes of a record, as JSON, that is indexed; larger ones are not.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Tags of a document that are looked for, at most.
pub const MAX_TAGS: usize = 64;

/// Events without anything for the index, after which its place in the log is written all the same: so many are read again after a
/// sleep, at the most, and cost no row.
pub const PLACE_EVENTS: u64 = 10_000;

/// Vectors that an outer index is told of in one call. Vectorize takes 1,000 of a Worker; of 1,024 dimensions so many are half a megabyte.
pub const OUTER_BATCH: usize = 100;

/// The nearest that an outer index is asked for: what Vectorize answers without metadata.
pub const OUTER_TOP: usize = 100;

/// Milliseconds after which an outer index is told again what it has not done. Vectorize takes seconds, and minutes when much comes.
pub const FLIGHT_MS: u64 = 30 * 60_000;

/// Documents that are embedded in one request.
pub const EMBED_BATCH: usize = 32;
