//! Bytes that are too large for a row.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// Why bytes could not be stored, read or deleted. Says nothing of what they are.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("the blob storage: {0}")]
pub struct BlobsError(pub String);

/// The future of a call of the blob storage. Not `Send`: a Worker has one thread.
pub type BlobsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobsError>> + 'a>>;

/// Where bytes lie under names that say nothing.
pub trait Blobs {
    /// Stores bytes. When it fails, there may be bytes under the name all the same.
    fn put<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> BlobsFuture<'a, ()>;

    /// The bytes under a name, at most `limit` of them; `None` if there are none. More is an error.
    fn get<'a>(&'a self, name: &'a str, limit: usize) -> BlobsFuture<'a, Option<Vec<u8>>>;

    /// Deletes the bytes under a name, be they there or not.
    fn delete<'a>(&'a self, name: &'a str) -> BlobsFuture<'a, ()>;
}
