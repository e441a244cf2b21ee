//! What can be wrong with data, and with the documents that describe it.

use murmuration_syntax::Nsid;

use crate::path::Path;

/// Why data is not what its lexicon wants, or why there is no saying.
///
/// The texts of [`LexiconError::Data`], [`LexiconError::RecordKey`] and [`LexiconError::Parameter`] are for the one
/// who sent the data: they name the place and what was wanted there, in the words that users of `@atproto/lexicon`
/// know, and never repeat the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LexiconError {
    /// A value is not what its schema wants: `Record/text must not be longer than 300 graphemes`.
    #[error("{path} {wanted}")]
    Data {
        /// Where the value stands: `Record/text`, or the name of a parameter.
        path: String,
        /// What was wanted, as the rest of a sentence.
        wanted: String,
    },
    /// A record's key is not of the kind that its collection wants.
    #[error("Invalid record key for {collection}: {wanted}")]
    RecordKey {
        /// The collection.
        collection: Nsid,
        /// What was wanted, as the rest of a sentence.
        wanted: String,
    },
    /// A query parameter has a name that is refused whatever the method.
    #[error("Invalid query parameter: {name}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
    },
    /// There is no such document, or no such definition in it.
    #[error("Lexicon not found: {reference}")]
    NotFound {
        /// The definition: `app.bsky.feed.defs#postView`.
        reference: String,
    },
    /// A definition is of another kind than its use here asks for.
    #[error("Not a {wanted} lexicon: {reference}")]
    Kind {
        /// The definition.
        reference: String,
        /// The kind that was wanted.
        wanted: &'static str,
    },
    /// A document is not well formed.
    #[error("{path} {rule}")]
    Document {
        /// Where in the document: `Lexicon/defs/main/record`.
        path: String,
        /// The rule that it breaks, as the rest of a sentence.
        rule: &'static str,
    },
}

impl LexiconError {
    /// Whether the data is at fault, so that its sender should know; else it is the method's or the document's.
    #[must_use]
    pub fn blames_data(&self) -> bool {
        matches!(self, Self::Data { .. } | Self::RecordKey { .. } | Self::Parameter { .. })
    }

    pub(crate) fn data(path: &Path<'_>, wanted: impl Into<String>) -> Self {
        Self::Data { path: path.to_string(), wanted: wanted.into() }
    }

    pub(crate) fn document(path: &Path<'_>, rule: &'static str) -> Self {
        Self::Document { path: path.to_string(), rule }
    }
}
