//! From a caller's JSON to a record that can be kept.

use murmuration_data::{Ipld, blob, cbor};
use murmuration_firehose::Timestamp;
use murmuration_lexicons::{Validation, validate_record};
use murmuration_memory::limits::MAX_RECORD_BYTES;
use murmuration_memory::{Essence, MemoryError};
use murmuration_syntax::{Nsid, RecordKey, RepoPath};

use super::super::Context;
use crate::XrpcError;

/// What kinds of memories there are: the records of `agent.memory`.
const KINDS: [&str; 6] = [
    "agent.memory.decision",
    "agent.memory.digest",
    "agent.memory.episode",
    "agent.memory.fact",
    "agent.memory.learning",
    "agent.memory.note",
];

/// A record that is ready to be kept.
pub(super) struct Prepared {
    pub(super) path: RepoPath,
    /// In DAG-CBOR.
    pub(super) bytes: Vec<u8>,
    /// All that it says.
    pub(super) text: String,
    /// When it ends by itself, in microseconds since the Unix epoch.
    pub(super) expires_at: Option<u64>,
}

/// Validates and encodes a record. `createdAt` is filled in if it is missing.
pub(super) fn prepare(context: &Context<'_>, rkey: RecordKey, record: Ipld) -> Result<Prepared, XrpcError> {
    let Ipld::Map(mut fields) = record else { return Err(invalid("it must be an object")) };
    let Some(Ipld::String(kind)) = fields.get("$type") else { return Err(invalid("it must have a $type")) };
    if !KINDS.contains(&kind.as_str()) {
        return Err(invalid(format!("{kind} is no kind of memory: {} are", KINDS.join(", "))));
    }
    let collection = Nsid::parse(kind).map_err(|error| invalid(error.to_string()))?;
    let now = || Ipld::String(Timestamp::from_micros(context.clock.now_micros()).to_string());
    fields.entry("createdAt".into()).or_insert_with(now);
    let expires_at = match fields.get("expiresAt") {
        Some(Ipld::String(text)) => {
            Some(super::micros(text).map_err(|_| invalid("expiresAt is no datetime"))?)
        }
        _ => None,
    };
    let record = Ipld::Map(fields);
    match validate_record(context.catalog, &collection, &rkey, &record) {
        Ok(Validation::Valid) => {}
        Ok(Validation::Unknown) => return Err(invalid(format!("{collection} has no lexicon"))),
        Err(error) => return Err(invalid(error.to_string())),
    }
    if !blob::refs(&record).is_empty() || !blob::legacy_refs(&record).is_empty() {
        // An uploaded blob is public, and goes when no public record refers to it.
        return Err(invalid("a memory has no blobs"));
    }
    let bytes = cbor::encode(&record).map_err(|error| invalid(error.to_string()))?;
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(MemoryError::TooLarge(MAX_RECORD_BYTES).into());
    }
    let text = Essence::of(&record).text;
    Ok(Prepared { path: RepoPath::new(collection, rkey), bytes, text, expires_at })
}

pub(super) fn invalid(why: impl std::fmt::Display) -> XrpcError {
    XrpcError::named("InvalidRecord", format!("Invalid memory: {why}"))
}
