//! What a record must be, beyond being data of the model.
//!
//! A record is a map. Wherever `$type` stands in it, it is a text with something in it; an object of `$type` blob is a
//! whole blob reference; no map has a key `$link` or `$bytes`, since in JSON that would be a link or bytes; and none has the
//! key `__proto__`. So what is a record in DAG-CBOR is the same record in JSON.

use std::collections::BTreeMap;

use crate::blob::BlobRef;
use crate::limits::{MAX_RECORD_BYTES, MAX_RECORD_JSON_BYTES};
use crate::{DataError, Ipld, cbor, json};

/// Reads a record from JSON.
///
/// # Errors
/// When it is larger than [`MAX_RECORD_JSON_BYTES`], not JSON of the data model, or not a record.
pub fn from_json(text: &[u8]) -> Result<Ipld, DataError> {
    if text.len() > MAX_RECORD_JSON_BYTES {
        return Err(DataError::RecordTooLarge(MAX_RECORD_JSON_BYTES));
    }
    let record = json::parse(text)?;
    check(&record)?;
    Ok(record)
}

/// Reads a record from DAG-CBOR.
///
/// # Errors
/// When it is larger than [`MAX_RECORD_BYTES`], not DAG-CBOR, or not a record.
pub fn from_cbor(block: &[u8]) -> Result<Ipld, DataError> {
    if block.len() > MAX_RECORD_BYTES {
        return Err(DataError::RecordTooLarge(MAX_RECORD_BYTES));
    }
    let record = cbor::decode(block)?;
    check(&record)?;
    Ok(record)
}

/// The encoding of a record.
///
/// # Errors
/// When the value is not a record, or its encoding is larger than [`MAX_RECORD_BYTES`].
pub fn to_cbor(record: &Ipld) -> Result<Vec<u8>, DataError> {
    check(record)?;
    let block = cbor::encode(record)?;
    if block.len() > MAX_RECORD_BYTES {
        return Err(DataError::RecordTooLarge(MAX_RECORD_BYTES));
    }
    Ok(block)
}

/// Checks that a value of the data model is a record. Sizes are not looked at.
///
/// # Errors
/// When it breaks one of the rules of this module.
pub fn check(record: &Ipld) -> Result<(), DataError> {
    if !matches!(record, Ipld::Map(_)) {
        return Err(DataError::RecordForm);
    }
    let mut stack = vec![record];
    while let Some(value) = stack.pop() {
        match value {
            Ipld::List(items) => stack.extend(items),
            Ipld::Map(entries) => {
                check_map(entries)?;
                stack.extend(entries.values());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the fields of one map whose names mean something.
pub(crate) fn check_map(entries: &BTreeMap<String, Ipld>) -> Result<(), DataError> {
    if entries.contains_key("$link") {
        return Err(DataError::LinkForm);
    }
    if entries.contains_key("$bytes") {
        return Err(DataError::BytesForm);
    }
    if entries.contains_key("__proto__") {
        return Err(DataError::KeyReserved);
    }
    match entries.get("$type") {
        None => Ok(()),
        Some(Ipld::String(name)) if name == "blob" => {
            BlobRef::from_fields(entries).map(|_| ()).ok_or(DataError::BlobForm)
        }
        Some(Ipld::String(name)) if !name.is_empty() => Ok(()),
        Some(_) => Err(DataError::TypeForm),
    }
}
