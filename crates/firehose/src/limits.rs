//! Every limit of the stream, with its unit and where it comes from.

/// Bytes of a commit's CAR that any consumer accepts (specification: sync, "Commit events have the following size limits").
pub const MAX_BLOCKS_BYTES: usize = 2_000_000;

/// Bytes of a commit's CAR that this host publishes. Lower than [`MAX_BLOCKS_BYTES`], so that the finished event fits a
/// row of the platform's storage (2 MB) beside its operations.
pub const MAX_OWN_BLOCKS_BYTES: usize = 1_900_000;

/// Bytes of a finished event that this host publishes: a row of the platform's storage is 2,000,000 bytes, and the
/// sequencer's row also holds the sequence number, the DID and its own columns.
pub const MAX_DRAFT_BYTES: usize = 1_980_000;

/// Record operations in one commit (specification: sync).
pub const MAX_OPS: usize = 200;

/// Bytes of the CAR of a `#sync` event (lexicon: com.atproto.sync.subscribeRepos#sync).
pub const MAX_SYNC_BLOCKS_BYTES: usize = 10_000;

/// Bytes of a whole frame (specification: sync, "hard maximum size limit of 5 MBytes").
pub const MAX_FRAME_BYTES: usize = 5_000_000;

/// Microseconds that a commit's rev may lie ahead of the verifier's clock (indigo's relay: five minutes).
pub const MAX_REV_AHEAD_MICROS: u64 = 5 * 60 * 1_000_000;
