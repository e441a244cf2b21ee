//! What can go wrong in the sequencer.

use murmuration_firehose::FirehoseError;
use murmuration_keys::KeyError;
use murmuration_platform::StoreError;
use thiserror::Error;

/// Why the sequencer could not do as asked. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// A push is malformed or over a limit; sending it again will not help.
    #[error("malformed push: {0}")]
    Push(&'static str),
    /// The stream has used up its numbers (2^53 - 1).
    #[error("the stream has no sequence number left")]
    Exhausted,
    /// A subscriber's place has been dropped from the log.
    #[error("the events after {0} are no longer in the log")]
    Outrun(u64),
    /// The secret of a webhook cannot be opened.
    #[error("the secret of the webhook {id:x}: {source}")]
    Secret {
        /// Its name.
        id: u64,
        /// Why not.
        source: KeyError,
    },
    /// A draft is damaged.
    #[error(transparent)]
    Firehose(#[from] FirehoseError),
    /// The storage failed, or holds what this code did not write.
    #[error(transparent)]
    Store(#[from] StoreError),
}
