//! What goes wrong in an index.

use murmuration_platform::StoreError;
use murmuration_recall::RecallError;
use thiserror::Error;

/// Why a call of the index failed. Nothing of it was stored; what is in memory is to be dropped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is no entry, or there are more than an index holds.
    #[error(transparent)]
    Recall(#[from] RecallError),
}
