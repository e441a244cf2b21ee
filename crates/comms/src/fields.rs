//! Reading maps of the data model strictly.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld};
use murmuration_syntax::{Did, datetime};

use crate::CommsError;

/// The fields of a map that are not yet read.
pub(crate) struct Fields(BTreeMap<String, Ipld>);

impl Fields {
    pub(crate) fn of(value: Ipld) -> Result<Self, CommsError> {
        match value {
            Ipld::Map(fields) => Ok(Self(fields)),
            _ => Err(CommsError::Form("a part is no object")),
        }
    }

    pub(crate) fn optional(&mut self, name: &str) -> Option<Ipld> {
        self.0.remove(name)
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<Ipld, CommsError> {
        self.0.remove(name).ok_or(CommsError::Form("a field is missing"))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String, CommsError> {
        match self.take(name)? {
            Ipld::String(text) => Ok(text),
            _ => Err(CommsError::Form("a field is no string")),
        }
    }

    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, CommsError> {
        match self.take(name)? {
            Ipld::Bytes(bytes) => Ok(bytes),
            _ => Err(CommsError::Form("a field is no bytes")),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<u32, CommsError> {
        match self.take(name)? {
            Ipld::Integer(number) => {
                u32::try_from(number).map_err(|_| CommsError::Form("a number is out of its range"))
            }
            _ => Err(CommsError::Form("a field is no number")),
        }
    }

    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Cid>, CommsError> {
        match self.optional(name) {
            None => Ok(None),
            Some(Ipld::Link(cid)) => Ok(Some(cid)),
            Some(_) => Err(CommsError::Form("a field is no link")),
        }
    }

    /// Microseconds since the Unix epoch, from the only text that says them.
    pub(crate) fn moment(&mut self, name: &str) -> Result<Option<u64>, CommsError> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        let moment = match &value {
            Ipld::String(text) => datetime::micros(text)
                .ok()
                .and_then(|micros| u64::try_from(micros).ok())
                .filter(|micros| datetime::from_micros(*micros).is_ok_and(|only| only == *text)),
            _ => None,
        };
        moment.map(Some).ok_or(CommsError::Form("a time is not in UTC with milliseconds"))
    }

    /// What is left.
    pub(crate) fn rest(self) -> Ipld {
        Ipld::Map(self.0)
    }

    /// Nothing may be left: what nobody reads, nobody has agreed to.
    pub(crate) fn end(self) -> Result<(), CommsError> {
        if self.0.is_empty() { Ok(()) } else { Err(CommsError::Form("a field is unknown")) }
    }
}

/// A DID that is short enough for a header.
pub(crate) fn did(text: &str) -> Result<Did, CommsError> {
    match Did::parse(text) {
        Ok(did) if text.len() <= crate::limits::MAX_HEADER_DID_BYTES => Ok(did),
        _ => Err(CommsError::Form("a DID is none, or too long")),
    }
}

pub(crate) fn string(text: impl Into<String>) -> Ipld {
    Ipld::String(text.into())
}

/// The text of a moment.
pub(crate) fn moment(micros: u64) -> Ipld {
    // INVARIANT: what is read or signed has been checked to be before the year 10000.
    string(datetime::from_micros(micros).unwrap_or_default())
}

pub(crate) fn map<const N: usize>(fields: [(&str, Ipld); N]) -> BTreeMap<String, Ipld> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
