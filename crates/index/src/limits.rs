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

/// Documents that are embedded in one request.
pub const EMBED_BATCH: usize = 32;
