//! Why a model or a vector is refused.

/// What is wrong with a model's file, or with a vector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// Bytes that are no model's file of this version.
    #[error("not a model: {0}")]
    Model(&'static str),
    /// Numbers that are no vector.
    #[error("not a vector: {0}")]
    Vector(&'static str),
}
