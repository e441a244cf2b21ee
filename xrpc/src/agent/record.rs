//! From a caller's JSON to a record that can be stored.

use murmuration_account::{Value, backlink};
use murmuration_data::{Ipld, blob, cbor};
use murmuration_lexicons::{self as lexicons, Catalog, Validation};
use murmuration_repo::{Key, MAX_CLIENT_LAYER};
use murmuration_syntax::{Nsid, RecordKey, RepoPath};

use crate::XrpcError;

/// Bytes of a record's block: the data model's limit. <https://atproto.com/guides/data-validation>
const MAX_RECORD_BYTES: usize = 1_000_000;

/// A record that is ready to be written.
pub(super) struct Prepared {
    pub(super) path: RepoPath,
    pub(super) value: Value,
    /// `validationStatus`; `None` where the caller asked for no validation.
    pub(super) status: Option<&'static str>,
}

/// Whether a caller wants its records validated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Validate {
    /// `validate: true`: a collection without a lexicon is refused.
    Required,
    /// `validate: false`: only the data model counts.
    Off,
    /// Absent: where there is a lexicon.
    WhereKnown,
}

impl Validate {
    pub(super) const fn from(flag: Option<bool>) -> Self {
        match flag {
            Some(true) => Self::Required,
            Some(false) => Self::Off,
            None => Self::WhereKnown,
        }
    }
}

/// Validates and encodes a record. `$type` is filled in if it is missing.
pub(super) fn prepare(
    catalog: &Catalog,
    validate: Validate,
    collection: Nsid,
    rkey: RecordKey,
    record: Ipld,
) -> Result<Prepared, XrpcError> {
    let Ipld::Map(mut fields) = record else {
        return Err(XrpcError::invalid("Invalid record: must be an object"));
    };
    match fields.get("$type") {
        None => {
            fields.insert("$type".into(), Ipld::String(collection.as_str().into()));
        }
        Some(Ipld::String(name)) if name == collection.as_str() => {}
        Some(other) => {
            let got =
                if let Ipld::String(name) = other { name.as_str() } else { "a value that is not a string" };
            return Err(XrpcError::invalid(format!("Invalid $type: expected {collection}, got {got}")));
        }
    }
    let record = Ipld::Map(fields);
    let status = match validate {
        Validate::Off => None,
        Validate::Required | Validate::WhereKnown => {
            let outcome = lexicons::validate_record(catalog, &collection, &rkey, &record)
                .map_err(|error| XrpcError::invalid(format!("Invalid {collection} record: {error}")))?;
            match (outcome, validate) {
                (Validation::Valid, _) => Some("valid"),
                (Validation::Unknown, Validate::Required) => {
                    return Err(XrpcError::invalid(format!("Unknown lexicon type: {collection}")));
                }
                (Validation::Unknown, _) => Some("unknown"),
            }
        }
    };
    if !blob::legacy_refs(&record).is_empty() {
        return Err(XrpcError::invalid("Legacy blobs are not allowed"));
    }
    let blobs = blob::refs(&record);
    let subject = backlink::subject(&collection, &record).map(str::to_owned);
    let bytes =
        cbor::encode(&record).map_err(|error| XrpcError::invalid(format!("Invalid record: {error}")))?;
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(XrpcError::invalid(format!("Record is larger than {MAX_RECORD_BYTES} bytes")));
    }
    let path = RepoPath::new(collection, rkey);
    if Key::from(&path).layer() > MAX_CLIENT_LAYER {
        // Such a key costs its maker hours of hashing and every reader a taller tree.
        return Err(XrpcError::invalid("The record key would make the repository's tree too tall"));
    }
    Ok(Prepared { path, value: Value::new(bytes, blobs, subject), status })
}
