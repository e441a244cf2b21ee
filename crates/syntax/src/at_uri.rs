//! URIs of repositories, collections and records.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::error::check_length;
use crate::newtype::parse_traits;
use crate::{AtIdentifier, Did, Kind, Nsid, RecordKey, RepoPath, SyntaxError};

/// The address of a repository, a collection or a record: `at://did:plc:…/app.bsky.feed.post/3jzfcijpj2z2a`.
///
/// The form is the one that schemas allow: no query and no fragment. A handle in it is kept in lower case
/// (<https://atproto.com/specs/at-uri-scheme>).
#[derive(Clone)]
pub struct AtUri {
    text: Box<str>,
    authority: AtIdentifier,
    collection: Option<Nsid>,
    rkey: Option<RecordKey>,
}

impl AtUri {
    /// Reads an AT URI.
    ///
    /// # Errors
    /// When the text is not `at://`, a DID or handle, and then at most a collection and a record key.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_length(text, Kind::AtUri, MAX_AT_URI_BYTES)?;
        let rest = text
            .strip_prefix("at://")
            .ok_or(SyntaxError::Form { kind: Kind::AtUri, rule: "does not start with at://" })?;
        let mut parts = rest.split('/');
        let authority = AtIdentifier::parse(parts.next().unwrap_or_default())?;
        let collection = parts.next().map(Nsid::parse).transpose()?;
        let rkey = parts.next().map(RecordKey::parse).transpose()?;
        if parts.next().is_some() {
            return Err(SyntaxError::Form {
                kind: Kind::AtUri,
                rule: "has more than a collection and a key",
            });
        }
        Ok(Self::from_parts(authority, collection, rkey))
    }

    /// The address of a record.
    #[must_use]
    pub fn record(did: &Did, path: &RepoPath) -> Self {
        let RepoPath { collection, rkey } = path.clone();
        Self::from_parts(AtIdentifier::Did(did.clone()), Some(collection), Some(rkey))
    }

    fn from_parts(authority: AtIdentifier, collection: Option<Nsid>, rkey: Option<RecordKey>) -> Self {
        let mut text = format!("at://{authority}");
        for part in collection.iter().map(Nsid::as_str).chain(rkey.iter().map(RecordKey::as_str)) {
            text.push('/');
            text.push_str(part);
        }
        Self { text: text.into(), authority, collection, rkey }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whose repository.
    #[must_use]
    pub fn authority(&self) -> &AtIdentifier {
        &self.authority
    }

    /// The collection, if the URI names one.
    #[must_use]
    pub fn collection(&self) -> Option<&Nsid> {
        self.collection.as_ref()
    }

    /// The record's key, if the URI names a record.
    #[must_use]
    pub fn rkey(&self) -> Option<&RecordKey> {
        self.rkey.as_ref()
    }

    /// The record's path in its repository, if the URI names a record.
    #[must_use]
    pub fn path(&self) -> Option<RepoPath> {
        Some(RepoPath::new(self.collection.clone()?, self.rkey.clone()?))
    }
}

impl fmt::Display for AtUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for AtUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AtUri({})", self.text)
    }
}

impl AsRef<str> for AtUri {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl PartialEq for AtUri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for AtUri {}

impl Ord for AtUri {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for AtUri {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for AtUri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

parse_traits!(AtUri);

/// The longest AT URI, in bytes (<https://atproto.com/specs/at-uri-scheme>).
pub const MAX_AT_URI_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_uri_gives_its_parts_and_its_text_again() {
        let uri = AtUri::parse("at://Alice.Test/app.bsky.feed.post/self").unwrap();
        assert_eq!(uri.as_str(), "at://alice.test/app.bsky.feed.post/self");
        assert_eq!(uri.path().unwrap().to_string(), "app.bsky.feed.post/self");
        let did = Did::parse("did:plc:abc").unwrap();
        let record = AtUri::record(&did, &uri.path().unwrap());
        assert_eq!(record.to_string(), "at://did:plc:abc/app.bsky.feed.post/self");
        assert_eq!(AtUri::parse(record.as_str()).unwrap(), record);
    }
}
