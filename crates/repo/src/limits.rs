//! Every limit of this crate, with its unit and its source.
//!
//! A repository is untrusted input: anyone can serve a tree that is valid by its hashes and built to hurt. The numbers
//! marked *derived* are chosen so that no honest repository comes near them; the arithmetic stands beside them.

/// Entries in one node of the tree.
///
/// Derived: among 10^8 honest keys the longest run is about 64, and the chance that any node reaches 192 is 2.6e-17.
/// Wide nodes are the cheap attack (1.33 hashes a key), because every commit rewrites the whole node.
pub const MAX_ENTRIES_PER_NODE: usize = 192;

/// Highest layer of any key in a tree that is read, counted from 0.
///
/// Derived: the chance that one of 10^8 honest keys reaches layer 32 is 5e-12. It also bounds every recursion here.
pub const MAX_LAYER: u32 = 32;

/// Highest layer of a key that a client may add to a tree of this host.
///
/// Derived: mining a key of layer L costs 4^L hashes; 24 is beyond what an honest client meets (4^24 = 2.8e14 keys)
/// and within what a graphics card mines in a day, so keys above it are refused where they enter.
pub const MAX_CLIENT_LAYER: u32 = 24;

/// Length of a key, in bytes: 1024, as the reference implementation has it
/// (<https://github.com/bluesky-social/atproto/blob/main/packages/repo/src/mst/util.ts>).
pub const MAX_KEY_BYTES: usize = 1024;

/// Size of a node's block, in bytes.
///
/// Derived: [`MAX_ENTRIES_PER_NODE`] entries of [`MAX_KEY_BYTES`] and two links each are 217,000 bytes.
pub const MAX_NODE_BYTES: usize = 256 * 1024;

/// Size of a commit's block, in bytes. Derived: a DID has at most 2,048, everything else of a commit 214.
pub const MAX_COMMIT_BYTES: usize = 4096;

/// Size of a record's block, in bytes: 1 MiB (<https://atproto.com/guides/data-validation>).
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// Size of a CAR header, in bytes. Derived: 59 with one root; this leaves room for 90 roots.
pub const MAX_CAR_HEADER_BYTES: usize = 4096;

/// Size of the CAR in one `#commit` event, in bytes (<https://atproto.com/specs/sync>).
pub const MAX_EVENT_CAR_BYTES: u64 = 2_000_000;

/// Blocks in the CAR of one `#commit` event. Derived: [`MAX_EVENT_CAR_BYTES`] over the 40 bytes of the least block.
pub const MAX_EVENT_CAR_BLOCKS: u64 = 50_000;

/// Size of a CAR that is imported, in bytes, unless the host says less. Ours: it is held in memory, in half of an isolate's
/// 128 MB.
pub const MAX_IMPORT_BYTES: u64 = 64 * 1024 * 1024;

/// Blocks in a CAR that is imported. Ours: a repository of likes, the smallest records there are, has about 270,000 in 64 MiB,
/// nodes included; each costs 40 bytes.
pub const MAX_IMPORT_BLOCKS: u64 = 500_000;
