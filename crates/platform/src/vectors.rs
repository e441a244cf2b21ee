//! An index of vectors that lies with somebody else, and does what it is told a little later.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// Why the index did not answer. Says nothing of what was asked.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("the index of vectors: {0}")]
pub struct VectorError(pub String);

/// The future of an answer. Not `Send`: a Worker has one thread.
pub type VectorFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, VectorError>> + 'a>>;

/// A vector, and what it may be filtered by.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorEntry {
    /// What it is found as: at most 64 bytes.
    pub id: String,
    /// Its coordinates, as many as the index has dimensions.
    pub values: Vec<f32>,
    /// Names and values, of which 64 bytes count.
    pub metadata: Vec<(&'static str, String)>,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorQuery<'a> {
    /// The coordinates.
    pub values: &'a [f32],
    /// How many of the nearest are wanted: at most 100.
    pub top: usize,
    /// Names, each with the values of which the vector's must be one.
    pub filter: Vec<(&'static str, Vec<String>)>,
}

/// An index of vectors. A change that it has taken is seen later; until then it answers as before.
pub trait VectorIndex {
    /// Adds vectors, or puts them in the place of those of their ids. Answers the name of the change.
    fn upsert<'a>(&'a self, entries: &'a [VectorEntry]) -> VectorFuture<'a, String>;

    /// Takes vectors away, if they are there. Answers the name of the change.
    fn delete<'a>(&'a self, ids: &'a [String]) -> VectorFuture<'a, String>;

    /// The ids of the nearest vectors with their cosines, the nearest first.
    fn query<'a>(&'a self, query: &'a VectorQuery<'a>) -> VectorFuture<'a, Vec<(String, f32)>>;

    /// The name of the last change that is done, with all before it.
    fn processed(&self) -> VectorFuture<'_, Option<String>>;
}
