//! What may go wrong on the agent's side.

use murmuration_data::DataError;
use murmuration_envelope::EnvelopeError;
use murmuration_keyring::KeyringError;

/// Why keys are refused, or something is not sealed or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Keys that are none, are not by the agent that was seen before, or cannot be made.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// An envelope that is refused.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// JSON that is no value of the data model.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What is no message, or not of the sender that it is said to be of.
    #[error("not a message of this sender")]
    Message,
    /// What is no record of a message, or another's.
    #[error("not a record of this sender and type")]
    Record,
    /// Bytes that are no exported keys.
    #[error("not exported keys")]
    Export,
}
