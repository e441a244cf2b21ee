//! Record keys: the names of records in their collections.

use crate::error::check_length;
use crate::newtype::string_newtype;
use crate::{Kind, SyntaxError, Tid};

/// The name of a record in its collection: `3jzfcijpj2z2a`, `self` (<https://atproto.com/specs/record-key>).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(Box<str>);

string_newtype!(RecordKey);

impl RecordKey {
    /// Reads a record key.
    ///
    /// # Errors
    /// When the text is empty, `.`, `..`, longer than 512 bytes, or holds anything but letters, digits and `_~.:-`.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_length(text, Kind::RecordKey, MAX_RECORD_KEY_BYTES)?;
        if !text.bytes().all(is_key_byte) {
            return Err(SyntaxError::Character { kind: Kind::RecordKey });
        }
        if matches!(text, "." | "..") {
            return Err(SyntaxError::Form { kind: Kind::RecordKey, rule: "is . or .." });
        }
        Ok(Self(text.into()))
    }

    /// The key `self`, of a collection's only record.
    #[must_use]
    pub fn only() -> Self {
        Self("self".into())
    }
}

impl From<Tid> for RecordKey {
    fn from(tid: Tid) -> Self {
        Self(tid.to_string().into())
    }
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'.' | b':' | b'-')
}

/// The longest record key, in bytes (<https://atproto.com/specs/record-key>).
pub const MAX_RECORD_KEY_BYTES: usize = 512;
