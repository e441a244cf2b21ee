//! The formats of strings: <https://atproto.com/specs/lexicon#string-formats>.

use murmuration_syntax::{
    AtIdentifier, AtUri, Did, Handle, Nsid, RecordKey, Tid, cid, datetime, language, uri,
};

/// The form that a string must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    AtIdentifier,
    AtUri,
    Cid,
    Datetime,
    Did,
    Handle,
    Language,
    Nsid,
    RecordKey,
    Tid,
    Uri,
}

impl Format {
    /// Reads a format's name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "at-identifier" => Self::AtIdentifier,
            "at-uri" => Self::AtUri,
            "cid" => Self::Cid,
            "datetime" => Self::Datetime,
            "did" => Self::Did,
            "handle" => Self::Handle,
            "language" => Self::Language,
            "nsid" => Self::Nsid,
            "record-key" => Self::RecordKey,
            "tid" => Self::Tid,
            "uri" => Self::Uri,
            _ => return None,
        })
    }

    /// Whether `text` has this form.
    pub(crate) fn admits(self, text: &str) -> bool {
        match self {
            Self::AtIdentifier => AtIdentifier::parse(text).is_ok(),
            Self::AtUri => AtUri::parse(text).is_ok(),
            Self::Cid => cid::check(text).is_ok(),
            Self::Datetime => datetime::check(text).is_ok(),
            Self::Did => Did::parse(text).is_ok(),
            Self::Handle => Handle::parse(text).is_ok(),
            Self::Language => language::check(text).is_ok(),
            Self::Nsid => Nsid::parse(text).is_ok(),
            Self::RecordKey => RecordKey::parse(text).is_ok(),
            Self::Tid => Tid::parse(text).is_ok(),
            Self::Uri => uri::check(text).is_ok(),
        }
    }

    /// What to say of a text without this form.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::AtIdentifier => "must be a valid did or a handle",
            Self::AtUri => "must be a valid at-uri",
            Self::Cid => "must be a cid string",
            Self::Datetime => "must be a valid atproto datetime (both RFC-3339 and ISO-8601)",
            Self::Did => "must be a valid did",
            Self::Handle => "must be a valid handle",
            Self::Language => "must be a well-formed BCP 47 language tag",
            Self::Nsid => "must be a valid nsid",
            Self::RecordKey => "must be a valid Record Key",
            Self::Tid => "must be a valid TID",
            Self::Uri => "must be a uri",
        }
    }
}
