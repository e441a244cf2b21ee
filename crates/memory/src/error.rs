//! Why a call about memories is refused.

use murmuration_data::Cid;
use murmuration_envelope::EnvelopeError;
use murmuration_keys::KeyError;
use murmuration_platform::StoreError;

use crate::limits::MAX_READERS;

/// Why something is refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// There is no such memory, or none that the caller may know of.
    #[error("Could not find memory")]
    NotFound,
    /// There is no such entry of the working state.
    #[error("Could not find state")]
    NoSuchState,
    /// The memory is not the one that the caller named.
    #[error("Memory was at {0}")]
    Swap(Cid),
    /// The entry of the working state is not the one that the caller named.
    #[error("State was at {}", .0.as_deref().unwrap_or("null"))]
    StateSwap(Option<String>),
    /// A memory with this name exists, or the idempotency key was used for something else.
    #[error("{0}")]
    Conflict(&'static str),
    /// More than an agent may keep.
    #[error("{0}")]
    Quota(&'static str),
    /// More would read a memory than may.
    #[error("A memory is shared with at most {MAX_READERS}")]
    TooManyReaders,
    /// More bytes than one of them may have.
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    /// The call wants something of the blob storage, as its [`Desk`](crate::Desk) says, and is to be made again.
    #[error("the call wants the blob storage")]
    Elsewhere,
    /// Too many large memories are on their way into the blob storage.
    #[error("Too many large memories are being written: try again in a second")]
    Busy,
    /// It cannot be sealed, or does not open.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What is kept under the store's own secret does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MemoryError {
    /// Whether the call was refused for what it asks, before anything was written; otherwise something failed.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Envelope(_) | Self::Key(_) | Self::Store(_))
    }
}
