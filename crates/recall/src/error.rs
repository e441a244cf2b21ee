//! Why an entry is refused.

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecallError {
    /// Bytes that are no entry.
    #[error("not an entry: {0}")]
    Entry(&'static str),
    /// More entries, or more of their words, than an index counts.
    #[error("the index is full")]
    Full,
}
