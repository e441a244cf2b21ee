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
    /// Bytes that are no exported keys.
    #[error("not exported keys")]
    Export,
}
