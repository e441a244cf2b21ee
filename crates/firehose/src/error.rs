//! What can be wrong with an event.

use murmuration_data::DataError;
use murmuration_repo::RepoError;
use thiserror::Error;

/// Why an event cannot be made, or a frame cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FirehoseError {
    /// More operations, or more bytes, than an event may hold. The writer asked for too much at once.
    #[error("the event has {actual} {what}; at most {limit} are allowed")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        actual: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A draft is damaged, or is not one.
    #[error("not a draft of an event")]
    Draft,
    /// A frame is not two DAG-CBOR maps side by side, or its header is not one.
    #[error("not a frame: {0}")]
    Framing(&'static str),
    /// A frame's header names a type this code does not know. Consumers skip such a frame.
    #[error("a frame of the unknown type {0}")]
    UnknownType(String),
    /// A field is missing or of another type than the lexicon says.
    #[error("the field {0} is missing or malformed")]
    Field(&'static str),
    /// The DAG-CBOR is not strict.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A block could not be written.
    #[error(transparent)]
    Repo(#[from] RepoError),
}

/// Why a relay would refuse an event.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Over one of the stream's limits.
    #[error("{actual} {what}; at most {limit} are allowed")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        actual: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The CAR, the commit or its tree is malformed, the signature is not by the account's key
    /// ([`RepoError::Signature`]), or the operations contradict the tree ([`RepoError::Operation`]).
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The CAR's first root is not the commit that the event names, or the commit is not in it.
    #[error("the blocks do not hold the commit that the event names")]
    CommitMissing,
    /// A field of the event differs from the signed commit.
    #[error("the event's {0} differs from the signed commit's")]
    Mismatch(&'static str),
    /// The rev lies more than five minutes ahead of the clock.
    #[error("the rev lies in the future")]
    FutureRev,
    /// The rev is not later than the last one.
    #[error("the rev is not later than the last one")]
    StaleRev,
    /// `since` is not the rev of the last commit.
    #[error("since is not the rev of the last commit")]
    BrokenSince,
    /// `prevData` is not the tree of the last commit, or is missing though there was one.
    #[error("prevData is not the tree of the last commit")]
    BrokenPrevData,
    /// An operation does not have the fields that its action asks for, or its path is none.
    #[error("the operation on {0} is malformed")]
    BadOp(String),
    /// A created or updated record's block is not among the blocks.
    #[error("the record {0} is not among the blocks")]
    RecordMissing(String),
    /// Undoing the operations does not lead to the tree before.
    #[error("the operations do not lead from prevData to the commit's tree")]
    Inversion,
}
