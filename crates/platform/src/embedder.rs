//! Vectors of texts.
//!
//! A host has one embedder: the model that comes with it, or another that its operator chose. Vectors of different embedders
//! say nothing about each other, so the id of the one that made a vector is kept with it.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// Why there are no vectors. Says nothing of the texts.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum EmbedError {
    /// There are none now: there may be later.
    #[error("the embedder gave no vectors: {0}")]
    Away(String),
    /// It does not take one of the texts, and never will.
    #[error("the embedder takes no such text: {0}")]
    Refused(String),
}

/// The future of some vectors. Not `Send`: a Worker has one thread.
pub type EmbedFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<Vec<f32>>, EmbedError>> + 'a>>;

/// Something that makes vectors of texts.
pub trait Embedder {
    /// Which one it is: vectors may be compared when their ids are equal. At most 128 bytes.
    fn id(&self) -> &str;

    /// A vector for each text, in their order, all of the same dimensions. All zeros for a text of which it knows nothing.
    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> EmbedFuture<'a>;
}
