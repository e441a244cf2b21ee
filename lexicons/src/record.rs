//! Records before they enter a repository.

use murmuration_data::Ipld;
use murmuration_syntax::{Nsid, RecordKey};

use crate::path::Path;
use crate::validate::Validator;
use crate::{Catalog, LexiconError};

/// What can be said of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// It is what its lexicon wants.
    Valid,
    /// Its lexicon is not known here.
    Unknown,
}

/// Holds a record against the lexicon of its collection.
///
/// A collection whose name is known as something other than a record's is unknown as well. The record is never changed:
/// defaults are for those who read it.
///
/// # Errors
/// [`LexiconError::RecordKey`] or [`LexiconError::Data`] when the record's key, its `$type` or what it holds is not
/// what the lexicon wants.
pub fn validate_record(
    catalog: &Catalog,
    collection: &Nsid,
    rkey: &RecordKey,
    record: &Ipld,
) -> Result<Validation, LexiconError> {
    let Some(lexicon) = catalog.record(collection.as_str())? else {
        return Ok(Validation::Unknown);
    };
    if let Some(wanted) = lexicon.key.refusal(rkey) {
        return Err(LexiconError::RecordKey { collection: collection.clone(), wanted });
    }
    Validator::new(catalog).record(&Path::root("Record"), collection.as_str(), lexicon, record)?;
    Ok(Validation::Valid)
}
