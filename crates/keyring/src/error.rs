//! Why keys are refused.

use murmuration_envelope::EnvelopeError;
use murmuration_keys::KeyError;

/// Why published keys or a ring are refused. Nothing secret is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Data that are no published keys: the field is missing, or not what it must be.
    #[error("not the published keys of an agent: {0}")]
    Form(&'static str),
    /// Epochs that do not follow each other.
    #[error("epoch {0} does not follow the one before")]
    Order(u32),
    /// An epoch that the key of the one before has not signed.
    #[error("epoch {0} is not signed by the one before")]
    Continuity(u32),
    /// Published keys that are older than those that were seen before.
    #[error("the published keys end before epoch {0}, which was seen before")]
    RolledBack(u32),
    /// Published keys that do not contain the epoch that was seen before, as it was seen.
    #[error("the published keys do not go on from epoch {0}, which was seen before")]
    Discontinuity(u32),
    /// A ring and published keys that are not of the same agent, or not of the same epochs.
    #[error("the published keys are not those of this ring")]
    Foreign,
    /// A DID so long that the names of its keys would be none.
    #[error("the DID is too long for the names of its keys")]
    Did,
    /// Bytes that are no secrets of an epoch.
    #[error("not the secrets of an epoch")]
    Secrets,
    /// A ring without an epoch, or with one twice.
    #[error("the epochs of a ring are not in order")]
    Epochs,
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An encryption key that is none, or an envelope that is refused.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}
