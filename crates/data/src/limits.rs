//! The limits of the data model, each with its unit and its source.
//!
//! Those of the guide are from <https://atproto.com/guides/data-validation>.

/// Containers inside one another, at most. A value that is no container has depth 0. Source: the guide.
pub const MAX_DEPTH: usize = 32;

/// Items of one list or entries of one map, at most. Source: the guide.
pub const MAX_CONTAINER: usize = 131_072;

/// Values in one document, at most, counting containers and what they hold.
///
/// Ours: a decoded value takes about a hundred times the memory of the one byte it may be encoded in. This holds the
/// greatest document below 40 MB, where the guide alone would let a 1 MB record grow to 110 MB. A record at the guide's
/// size limit would need values of four bytes or less throughout to be refused for it.
pub const MAX_VALUES: usize = 262_144;

/// Bytes of a map's key, at most. Source: the guide.
pub const MAX_KEY_BYTES: usize = 8_192;

/// Bytes of a CID in a link, at most. Source: the guide. The CIDs taken here all have 36.
pub const MAX_CID_BYTES: usize = 100;

/// The greatest integer; the least is its negative. 2^53 - 1, what JavaScript counts exactly. Source: the guide.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Bytes of a record in DAG-CBOR, at most. Source: the guide.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// Bytes of a record in JSON, at most. Source: the guide.
pub const MAX_RECORD_JSON_BYTES: usize = 2 * 1024 * 1024;
