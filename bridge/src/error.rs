//! Why an identity could not be made, read or resolved.

use murmuration_data::DataError;
use murmuration_keys::KeyError;
use murmuration_platform::OutboundError;
use murmuration_repo::RepoError;
use murmuration_syntax::{Did, SyntaxError};
use thiserror::Error;

/// Why an identity could not be made, read or resolved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// An identifier is not well formed.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A key is not one that atproto knows.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value has no canonical encoding.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There was no answer from the other host.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The other host answered with another status than success or absence.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The other host's answer is not what was asked for.
    #[error("{url} answered with something else than {wanted}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What was expected.
        wanted: &'static str,
    },

    /// An operation is not in the form that the did:plc specification gives.
    #[error("did:plc operation: {0}")]
    Operation(&'static str),
    /// None of the rotation keys in force signed the operation, or the signature is not canonical.
    #[error("did:plc operation: no rotation key in force signed it")]
    Signature,
    /// An operation does not follow from those before it.
    #[error("did:plc log: {0}")]
    Log(&'static str),
    /// The directory refused an operation.
    #[error("the PLC directory refused the operation: {0}")]
    Refused(String),

    /// The DID's method is not one that this host resolves.
    #[error("the method of {0} is not supported")]
    UnsupportedMethod(Did),
    /// A did:web that atproto does not allow.
    #[error("did:web: {0}")]
    Web(&'static str),
    /// Something that has the method of did:cf and not its form, or that cannot be resolved by itself.
    #[error("did:cf: {0}")]
    Cf(&'static str),
    /// The authority of the method says that there is no such DID.
    #[error("{0} is not registered")]
    DidNotFound(Did),
    /// The authority of the method says that the DID has ended.
    #[error("{0} was deactivated")]
    DidDeactivated(Did),
    /// A DID and its alias do not name each other in their documents.
    #[error("{0} and the DID that it stands for do not name each other")]
    AliasNotVerified(Did),
    /// What a host gives out as a proof of a record proves nothing.
    #[error("the proof of a record: {0}")]
    Proof(#[from] RepoError),
    /// A host says that there is no record, or no repository, and shows no proof of it.
    #[error("the host of {0} does not show what its repository holds")]
    Unproven(Did),
    /// A DID document breaks a rule.
    #[error("DID document: {0}")]
    Document(&'static str),

    /// The handle resolves to no DID: both ways answered, and neither has one.
    #[error("the handle resolves to no DID")]
    HandleNotFound,
    /// The handle resolves to more than one DID.
    #[error("the handle resolves to several DIDs")]
    HandleAmbiguous,
    /// The handle may not be given out by this host.
    #[error(transparent)]
    HandleRefused(#[from] crate::handle::Refusal),
}

impl BridgeError {
    /// Whether asking again later may help: the other side is away or broken, and has not said no.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Outbound(OutboundError::Refused { .. }) => false,
            Self::Outbound(_) => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}
