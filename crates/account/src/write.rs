//! What a caller wants written, and what came of it.

use murmuration_data::blob::BlobRef;
use murmuration_data::{Cid, cid_of_cbor};
use murmuration_syntax::{RepoPath, Rev};

/// Writes of one call: all are done, in one commit, or none.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest {
    /// The commit that the caller saw last; any other is refused.
    pub swap_commit: Option<Cid>,
    /// The writes, in the caller's order.
    pub writes: Vec<Write>,
    /// Whether the write limits do not hold for it: the operator says so.
    pub unlimited: bool,
}

impl WriteRequest {
    /// Bytes of its records.
    #[must_use]
    pub fn size(&self) -> usize {
        self.writes.iter().filter_map(Write::value).map(|value| value.bytes().len()).sum()
    }
}

/// One write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Makes a record that must not exist.
    Create {
        /// Where.
        path: RepoPath,
        /// What.
        value: Value,
        /// Whether it takes the place of the records of the same subject, where a subject is held once.
        replaces: bool,
    },
    /// Changes a record that must exist.
    Update {
        /// Where.
        path: RepoPath,
        /// What.
        value: Value,
    },
    /// Makes or changes a record.
    Put {
        /// Where.
        path: RepoPath,
        /// What.
        value: Value,
        /// What must be there now: `None` anything, `Some(None)` nothing, `Some(Some(cid))` this record.
        swap: Option<Option<Cid>>,
    },
    /// Removes a record.
    Delete {
        /// Where.
        path: RepoPath,
        /// The record that must be there now.
        swap: Option<Cid>,
        /// Whether a record that is not there is an error; otherwise nothing happens.
        must_exist: bool,
    },
}

impl Write {
    /// The record that is written.
    #[must_use]
    pub const fn path(&self) -> &RepoPath {
        match self {
            Self::Create { path, .. }
            | Self::Update { path, .. }
            | Self::Put { path, .. }
            | Self::Delete { path, .. } => path,
        }
    }

    /// What is written, if anything.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Create { value, .. } | Self::Update { value, .. } | Self::Put { value, .. } => Some(value),
            Self::Delete { .. } => None,
        }
    }
}

/// A record that is ready to be stored: validated, encoded, hashed.
#[derive(Clone, Debug)]
pub struct Value {
    bytes: Vec<u8>,
    cid: Cid,
    blobs: Vec<BlobRef>,
    /// The subject, if a second record of the same subject replaces this one.
    subject: Option<String>,
}

impl Value {
    /// Takes the canonical bytes of a record, the blobs that it refers to, and for a like, repost, follow or block
    /// its subject.
    #[must_use]
    pub fn new(bytes: Vec<u8>, blobs: Vec<BlobRef>, subject: Option<String>) -> Self {
        let cid = cid_of_cbor(&bytes);
        Self { bytes, cid, blobs, subject }
    }

    /// The record, in DAG-CBOR.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its hash.
    #[must_use]
    pub const fn cid(&self) -> Cid {
        self.cid
    }

    /// The blobs that it refers to.
    #[must_use]
    pub fn blobs(&self) -> &[BlobRef] {
        &self.blobs
    }

    /// The subject that it must be the only one of, in its collection.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

/// What came of a call's writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The commit; `None` if nothing changed.
    pub commit: Option<CommitRef>,
    /// For each write its record afterwards, in the caller's order; `None` for a delete.
    pub records: Vec<Option<Cid>>,
}

/// A commit by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommitRef {
    /// Its hash.
    pub cid: Cid,
    /// Its revision.
    pub rev: Rev,
}
