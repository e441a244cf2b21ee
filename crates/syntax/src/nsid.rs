//! Namespaced identifiers: the names of schemas, collections and methods.

use crate::error::check_length;
use crate::handle::check_label;
use crate::newtype::string_newtype;
use crate::{Kind, SyntaxError};

/// A namespaced identifier, the name of a schema, a collection or a method: `app.bsky.feed.post`.
///
/// A domain name in reverse (the authority), then a name. Case is kept as it came: a collection's name is part of the
/// key under which a repository files its records (<https://atproto.com/specs/nsid>).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(Box<str>);

string_newtype!(Nsid);

impl Nsid {
    /// Reads an NSID.
    ///
    /// # Errors
    /// When the text has fewer than three segments, its authority is no reversed domain name, or its name is not a
    /// letter followed by at most 62 letters and digits.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_length(text, Kind::Nsid, MAX_NSID_BYTES)?;
        let (authority, name) = text.rsplit_once('.').ok_or(form("has no dot"))?;
        if !authority.contains('.') {
            return Err(form("has fewer than three segments"));
        }
        for label in authority.split('.') {
            check_label(label, Kind::Nsid)?;
        }
        check_length(name, Kind::Nsid, MAX_NAME_BYTES)?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SyntaxError::Character { kind: Kind::Nsid });
        }
        if !starts_with_letter(authority) || !starts_with_letter(name) {
            return Err(form("the first and the last segment start with a letter"));
        }
        Ok(Self(text.into()))
    }

    /// All but the last segment: `app.bsky.feed`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.rsplit_once('.').unwrap_or_default().0
    }

    /// The last segment: `post`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').unwrap_or_default().1
    }

    /// The authority as a domain name, in lower case: `feed.bsky.app`.
    #[must_use]
    pub fn domain(&self) -> String {
        let labels: Vec<&str> = self.authority().rsplit('.').collect();
        labels.join(".").to_ascii_lowercase()
    }
}

fn starts_with_letter(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}

fn form(rule: &'static str) -> SyntaxError {
    SyntaxError::Form { kind: Kind::Nsid, rule }
}

/// The longest NSID, in bytes: a domain name of 253, a dot and a name of 63 (<https://atproto.com/specs/nsid>). The
/// interop files hold the whole to this, and not the authority to its 253.
pub const MAX_NSID_BYTES: usize = 253 + 1 + MAX_NAME_BYTES;

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nsid_gives_its_parts() {
        let nsid = Nsid::parse("app.Bsky.feed.getPosts").unwrap();
        assert_eq!(nsid.authority(), "app.Bsky.feed");
        assert_eq!(nsid.name(), "getPosts");
        assert_eq!(nsid.domain(), "feed.bsky.app");
    }
}
