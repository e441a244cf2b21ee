//! Decentralised identifiers.

use crate::error::check_length;
use crate::newtype::string_newtype;
use crate::{Kind, SyntaxError};

/// A decentralised identifier, the permanent name of an account: `did:plc:7iza6de2dwap2sbkpav7c6c6`.
///
/// Any method is taken; which methods count is a matter of resolution. Case is kept, since it means something.
/// Percent signs are not looked into, as the specification asks (<https://atproto.com/specs/did>).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(Box<str>);

string_newtype!(Did);

impl Did {
    /// Reads a DID.
    ///
    /// # Errors
    /// When the text is not `did:`, a method in lower case letters, `:`, and an identifier.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_length(text, Kind::Did, MAX_DID_BYTES)?;
        let rest = text.strip_prefix("did:").ok_or(form("does not start with did:"))?;
        let (method, identifier) = rest.split_once(':').ok_or(form("has no identifier after its method"))?;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(form("the method is not in lower case letters"));
        }
        if !identifier.bytes().all(is_identifier_byte) {
            return Err(SyntaxError::Character { kind: Kind::Did });
        }
        match identifier.bytes().next_back() {
            None => Err(form("the identifier is empty")),
            Some(b':' | b'%') => Err(form("ends with a colon or a percent sign")),
            Some(_) => Ok(Self(text.into())),
        }
    }

    /// The method: `plc`, `web`, `key`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.parts().0
    }

    /// What follows the method.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.strip_prefix("did:").and_then(|rest| rest.split_once(':')).unwrap_or_default()
    }
}

fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'%' | b'-')
}

fn form(rule: &'static str) -> SyntaxError {
    SyntaxError::Form { kind: Kind::Did, rule }
}

/// The longest DID, in bytes (<https://atproto.com/specs/did>).
pub const MAX_DID_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_gives_its_method_and_identifier() {
        let did = Did::parse("did:web:localhost%3A1234").unwrap();
        assert_eq!((did.method(), did.identifier()), ("web", "localhost%3A1234"));
        assert_eq!(did, "did:web:localhost%3A1234");
    }

    #[test]
    fn the_longest_did_is_taken_and_one_byte_more_is_not() {
        let longest = format!("did:x:{}", "a".repeat(MAX_DID_BYTES - 6));
        assert!(Did::parse(&longest).is_ok());
        let error = Did::parse(&format!("{longest}a")).unwrap_err();
        assert_eq!(error, SyntaxError::TooLong { kind: Kind::Did, limit: MAX_DID_BYTES });
    }
}
