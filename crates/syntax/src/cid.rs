//! Content identifiers as text, as the `cid` format of schemas has them.
//!
//! Only the look is checked, in any base: schemas allow links to data of other systems. A link of the data model is
//! another matter, and strict; it is read by the crate of the data model.

use crate::{Kind, SyntaxError};

/// Checks that a text looks like a content identifier of version 1.
///
/// # Errors
/// When it is not 8 to 256 letters, digits, `+` and `=`, or is a version 0 identifier (`Qm…`).
pub fn check(text: &str) -> Result<(), SyntaxError> {
    crate::error::check_length(text, Kind::Cid, MAX_BYTES)?;
    if text.len() < MIN_BYTES {
        return Err(SyntaxError::Form { kind: Kind::Cid, rule: "is too short" });
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'=')) {
        return Err(SyntaxError::Character { kind: Kind::Cid });
    }
    if text.starts_with("Qm") {
        return Err(SyntaxError::Form { kind: Kind::Cid, rule: "is of version 0" });
    }
    Ok(())
}

/// The shortest text taken, in bytes (the reference implementations' rule).
const MIN_BYTES: usize = 8;

/// The longest text taken, in bytes (the reference implementations' rule).
const MAX_BYTES: usize = 256;
