//! Why a text is not the identifier it was taken for.

use std::fmt;

/// What a text was meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A decentralised identifier.
    Did,
    /// A handle, which is a domain name.
    Handle,
    /// A DID or a handle.
    AtIdentifier,
    /// The name of a schema, a collection or a method.
    Nsid,
    /// The name of a record in its collection.
    RecordKey,
    /// A timestamp identifier.
    Tid,
    /// An `at://` URI.
    AtUri,
    /// A record's path in its repository.
    RepoPath,
    /// A date and time with a time zone.
    Datetime,
    /// A BCP 47 language tag.
    Language,
    /// A generic URI.
    Uri,
    /// A content identifier as text.
    Cid,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Did => "DID",
            Self::Handle => "handle",
            Self::AtIdentifier => "DID or handle",
            Self::Nsid => "NSID",
            Self::RecordKey => "record key",
            Self::Tid => "TID",
            Self::AtUri => "AT URI",
            Self::RepoPath => "repository path",
            Self::Datetime => "datetime",
            Self::Language => "language tag",
            Self::Uri => "URI",
            Self::Cid => "CID",
        })
    }
}

/// Why a text is not the identifier it was taken for. The text itself is never repeated: it may be long or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// Nothing where something must stand.
    #[error("{kind}: empty")]
    Empty {
        /// What the text was meant to be.
        kind: Kind,
    },
    /// Longer than the specification allows.
    #[error("{kind}: longer than {limit} bytes")]
    TooLong {
        /// What the text was meant to be.
        kind: Kind,
        /// The greatest length, in bytes.
        limit: usize,
    },
    /// A character that may not stand where it stands.
    #[error("{kind}: a character that may not stand there")]
    Character {
        /// What the text was meant to be.
        kind: Kind,
    },
    /// The right characters in the wrong form.
    #[error("{kind}: {rule}")]
    Form {
        /// What the text was meant to be.
        kind: Kind,
        /// The rule that is broken, as a sentence without a stop.
        rule: &'static str,
    },
}

impl SyntaxError {
    /// What the text was meant to be.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match *self {
            Self::Empty { kind }
            | Self::TooLong { kind, .. }
            | Self::Character { kind }
            | Self::Form { kind, .. } => kind,
        }
    }
}

/// Refuses an empty text and one longer than `limit` bytes.
pub(crate) fn check_length(text: &str, kind: Kind, limit: usize) -> Result<(), SyntaxError> {
    if text.is_empty() {
        return Err(SyntaxError::Empty { kind });
    }
    if text.len() > limit {
        return Err(SyntaxError::TooLong { kind, limit });
    }
    Ok(())
}
