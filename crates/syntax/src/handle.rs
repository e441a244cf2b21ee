//! Handles: the domain names that accounts go by.

use crate::error::check_length;
use crate::newtype::string_newtype;
use crate::{Kind, SyntaxError};

/// A handle, the domain name an account goes by: `alice.example.com`.
///
/// Handles do not tell upper from lower case; the lower case is what is kept, so that equal handles are equal values
/// (<https://atproto.com/specs/handle>).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Box<str>);

string_newtype!(Handle);

impl Handle {
    /// Reads a handle, and turns it into lower case.
    ///
    /// # Errors
    /// When the text is not a domain name of two labels or more whose last does not start with a digit.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_length(text, Kind::Handle, MAX_HANDLE_BYTES)?;
        let mut last = None;
        let mut labels = 0_usize;
        for label in text.split('.') {
            check_label(label, Kind::Handle)?;
            last = label.bytes().next();
            labels = labels.saturating_add(1);
        }
        if labels < 2 {
            return Err(SyntaxError::Form { kind: Kind::Handle, rule: "has no dot" });
        }
        if !last.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Err(SyntaxError::Form {
                kind: Kind::Handle,
                rule: "the last label starts with no letter",
            });
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The placeholder for an account whose handle does not resolve: `handle.invalid`.
    #[must_use]
    pub fn invalid() -> Self {
        Self("handle.invalid".into())
    }

    /// The last label.
    #[must_use]
    pub fn top_level(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }

    /// Whether the last label is one that no account on the public network may have.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        RESERVED_TOP_LEVELS.contains(&self.top_level())
    }
}

/// Checks one label of a domain name: letters, digits and inner hyphens, at most 63.
pub(crate) fn check_label(label: &str, kind: Kind) -> Result<(), SyntaxError> {
    check_length(label, kind, MAX_LABEL_BYTES)?;
    if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(SyntaxError::Character { kind });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(SyntaxError::Form { kind, rule: "a label starts or ends with a hyphen" });
    }
    Ok(())
}

/// The longest handle, in bytes (<https://atproto.com/specs/handle>; RFC 1035).
pub const MAX_HANDLE_BYTES: usize = 253;

/// The longest label of a domain name, in bytes (RFC 1035).
const MAX_LABEL_BYTES: usize = 63;

/// Top-level names the specification bars from the public network. `.test` is for development and stays allowed here.
const RESERVED_TOP_LEVELS: [&str; 8] =
    ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_that_differ_in_case_are_equal() {
        assert_eq!(Handle::parse("Alice.Example.COM").unwrap(), Handle::parse("alice.example.com").unwrap());
    }

    #[test]
    fn reserved_top_levels_parse_but_are_known() {
        assert!(Handle::parse("laptop.local").unwrap().is_reserved());
        assert!(Handle::invalid().is_reserved());
        assert!(!Handle::parse("alice.test").unwrap().is_reserved());
    }
}
