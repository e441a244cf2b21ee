//! What can be wrong with a repository.

use murmuration_data::DataError;
use murmuration_syntax::SyntaxError;

use crate::{Cid, Key};

/// What can be wrong with a repository, a part of one, or a change to one.
///
/// No variant repeats foreign bytes; a key that is named has passed [`Key::parse`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// A block that is needed is not there.
    #[error("block {0} is missing")]
    MissingBlock(Cid),
    /// The source of nodes failed; the text is its own.
    #[error("the nodes' source failed: {0}")]
    Source(String),
    /// A text is no key of a tree.
    #[error("the key {rule}")]
    Key {
        /// What it does that a key may not, as a predicate.
        rule: &'static str,
    },
    /// A key is no path of a record.
    #[error("the key is no path of a record: {0}")]
    Path(#[from] SyntaxError),
    /// A key lies higher in the tree than is allowed where it came from.
    #[error("the key belongs to layer {layer}, above the limit of {limit}")]
    LayerLimit {
        /// The key's layer.
        layer: u32,
        /// The highest one allowed.
        limit: u32,
    },
    /// A node, commit, CAR or header is not in the one form it may have.
    #[error("the {what} {rule}")]
    Malformed {
        /// What is malformed.
        what: &'static str,
        /// What it does that it may not, as a predicate.
        rule: &'static str,
    },
    /// A node, commit or CAR header is not strict DAG-CBOR, or has a value of the wrong kind.
    #[error("the {what} is malformed: {source}")]
    Cbor {
        /// What is malformed.
        what: &'static str,
        /// What is wrong with it.
        source: DataError,
    },
    /// Something is larger than its limit.
    #[error("the {what} is larger than {limit}")]
    TooLarge {
        /// What is too large, and in which unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A node lies on another layer than its place in the tree says.
    #[error("a node of layer {found} stands where layer {expected} belongs")]
    Layer {
        /// The layer its place has.
        expected: u32,
        /// The layer its keys have.
        found: u32,
    },
    /// A node of the tree has neither key nor child, or its root has no key.
    #[error("the tree has an empty node")]
    EmptyNode,
    /// The keys of a subtree are not all between the keys around it.
    #[error("the tree has a key out of order")]
    KeyOrder,
    /// A node stands in a tree twice, or within itself.
    #[error("node {0} stands in the tree more than once")]
    RepeatedNode(Cid),
    /// A link has a codec or a hash that may not stand there.
    #[error("the link {0} is not dag-cbor with SHA-256")]
    Link(Cid),
    /// A block is not what its CID says.
    #[error("block {0} does not have that hash")]
    WrongHash(Cid),
    /// A CAR has not exactly one root.
    #[error("the CAR has {0} roots, not one")]
    Roots(usize),
    /// A commit belongs to another account.
    #[error("the commit belongs to another account")]
    WrongDid,
    /// A commit's signature does not verify.
    #[error("the commit's signature does not verify")]
    Signature,
    /// A list of operations names one path twice.
    #[error("the operations name {0} twice")]
    RepeatedPath(Key),
    /// An operation does not fit the tree it is said to have led to.
    #[error("the operation on {0} does not fit the tree")]
    Operation(Key),
    /// A block that stands as a record is none.
    #[error("the record at {key} is not valid: {source}")]
    Record {
        /// Where it stands.
        key: Key,
        /// What is wrong with it.
        source: DataError,
    },
}

impl RepoError {
    /// A [`RepoError::TooLarge`] of a limit that is a size in memory.
    pub(crate) fn too_large(what: &'static str, limit: usize) -> Self {
        Self::TooLarge { what, limit: u64::try_from(limit).unwrap_or(u64::MAX) }
    }

    /// Names what was being read when the data model's reader gave up.
    pub(crate) fn cbor(what: &'static str) -> impl Fn(DataError) -> Self {
        move |source| Self::Cbor { what, source }
    }
}
