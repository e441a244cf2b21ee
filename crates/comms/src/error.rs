//! Why a parcel is refused, or a call about one.

use murmuration_envelope::EnvelopeError;
use murmuration_platform::StoreError;
use murmuration_syntax::Did;

/// Why something is refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommsError {
    /// Data that are no parcel.
    #[error("not a parcel: {0}")]
    Form(&'static str),
    /// More bytes than a parcel may have, or than its reader takes.
    #[error("the parcel is larger than {0} bytes")]
    TooLarge(usize),
    /// The proof is not the sender's, or not of this parcel.
    #[error("the proof does not show that {from} sent this: {rule}")]
    Proof {
        /// Who is said to have sent it.
        from: Did,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A parcel whose time is over.
    #[error("the parcel has expired")]
    Expired,
    /// A parcel that says it was made later than now.
    #[error("the parcel was made in the future")]
    Future,
    /// Another parcel of the same sender has this id, or this place in its thread.
    #[error("another message of the sender has the same id, or the same place in the thread")]
    Conflict,
    /// The reader does not take messages of this sender, or of this type.
    #[error("the recipient does not accept this: {0}")]
    NotAllowed(&'static str),
    /// The reader takes sealed messages only.
    #[error("the recipient accepts sealed messages only")]
    SealRequired,
    /// A token that was used before.
    #[error("the token was used before")]
    Replayed,
    /// The sender sends faster, or has more waiting, than it may.
    #[error("{reason}: try again in {seconds} seconds")]
    Busy {
        /// Which limit.
        reason: &'static str,
        /// When it may be otherwise.
        seconds: u64,
    },
    /// No message with this id was sent.
    #[error("no message has this id")]
    NoSuchMessage,
    /// No thread has this name.
    #[error("no thread has this name")]
    NoSuchThread,
    /// No request has this address.
    #[error("no task has this address")]
    NoSuchTask,
    /// A task does not become this from what it is, or not by this agent.
    #[error("a task that is {from} does not become {to} by its {by}")]
    TaskState {
        /// How it stands.
        from: &'static str,
        /// How it was to stand.
        to: &'static str,
        /// Who wanted that.
        by: &'static str,
    },
    /// The body cannot be sealed or is no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
