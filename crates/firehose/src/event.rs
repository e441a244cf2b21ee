//! What an account has to say, and how it is encoded.

use murmuration_data::Cid;
use murmuration_data::cbor::Writer;
use murmuration_repo::RecordOp;
use murmuration_syntax::{Did, Handle, Rev};

use crate::draft::DraftWriter;
use crate::limits::{MAX_DRAFT_BYTES, MAX_OPS};
use crate::{FirehoseError, Seq, Timestamp, frame};

/// An event of the stream, without its sequence number.
// An event is made, encoded and dropped: its size is never multiplied.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The repository changed.
    Commit(CommitEvent),
    /// The repository is now this commit, whatever it was.
    Sync(SyncEvent),
    /// The DID document or the handle may have changed.
    Identity(IdentityEvent),
    /// The account's hosting status may have changed.
    Account(AccountEvent),
}

/// `#commit`: a repository moved from one commit to the next. Made by [`CommitEvent::build`].
#[derive(Clone, Debug, PartialEq)]
pub struct CommitEvent {
    /// The account.
    pub repo: Did,
    /// The CID of the signed commit.
    pub commit: Cid,
    /// The commit's rev.
    pub rev: Rev,
    /// The rev of the commit before; `None` on the first.
    pub since: Option<Rev>,
    /// The root of the tree before; `None` on the first commit.
    pub prev_data: Option<Cid>,
    /// The record operations, at most [`MAX_OPS`].
    pub ops: Vec<RecordOp>,
    /// A CAR: the commit, new tree nodes, the covering proof, and the records written.
    pub blocks: Vec<u8>,
    /// When the event was made.
    pub time: Timestamp,
}

/// `#sync`: the state of a repository, without its contents.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncEvent {
    /// The account.
    pub did: Did,
    /// The rev of the current commit.
    pub rev: Rev,
    /// A CAR of the commit's block alone.
    pub blocks: Vec<u8>,
    /// When the event was made.
    pub time: Timestamp,
}

/// `#identity`: a prod to resolve the DID again.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityEvent {
    /// The account.
    pub did: Did,
    /// Its handle, where the host says it.
    pub handle: Option<Handle>,
    /// When the event was made.
    pub time: Timestamp,
}

/// `#account`: the hosting status of an account at this host.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountEvent {
    /// The account.
    pub did: Did,
    /// `None` when the account is active; else why it is not.
    pub inactive: Option<AccountStatus>,
    /// When the event was made.
    pub time: Timestamp,
}

/// Why an account is not active.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AccountStatus {
    /// Removed by the host.
    Takendown,
    /// Removed by the host for a time.
    Suspended,
    /// Gone.
    Deleted,
    /// Put to rest by its owner.
    Deactivated,
    /// Behind its own host (relays only).
    Desynchronized,
    /// Over a rate limit (relays only).
    Throttled,
    /// Not active, and the host does not say why.
    Unstated,
    /// A status that this code does not know.
    Other(String),
}

impl AccountStatus {
    /// The status as the lexicon spells it; `None` for [`AccountStatus::Unstated`].
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        Some(match self {
            Self::Takendown => "takendown",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
            Self::Deactivated => "deactivated",
            Self::Desynchronized => "desynchronized",
            Self::Throttled => "throttled",
            Self::Unstated => return None,
            Self::Other(name) => name,
        })
    }

    /// Reads the lexicon's spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "takendown" => Self::Takendown,
            "suspended" => Self::Suspended,
            "deleted" => Self::Deleted,
            "deactivated" => Self::Deactivated,
            "desynchronized" => Self::Desynchronized,
            "throttled" => Self::Throttled,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Event {
    /// The account that speaks.
    #[must_use]
    pub fn did(&self) -> &Did {
        match self {
            Self::Commit(event) => &event.repo,
            Self::Sync(event) => &event.did,
            Self::Identity(event) => &event.did,
            Self::Account(event) => &event.did,
        }
    }

    /// When the event was made.
    #[must_use]
    pub fn time(&self) -> &Timestamp {
        match self {
            Self::Commit(event) => &event.time,
            Self::Sync(event) => &event.time,
            Self::Identity(event) => &event.time,
            Self::Account(event) => &event.time,
        }
    }

    /// The type as a frame's header spells it.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Commit(_) => "#commit",
            Self::Sync(_) => "#sync",
            Self::Identity(_) => "#identity",
            Self::Account(_) => "#account",
        }
    }

    /// Encodes the event without its sequence number, for [`frame`] to finish.
    ///
    /// # Errors
    /// [`FirehoseError::TooLarge`] when the draft would not fit a row of the sequencer's log
    /// ([`MAX_DRAFT_BYTES`]).
    pub fn draft(&self) -> Result<Vec<u8>, FirehoseError> {
        let draft = self.encode()?;
        let actual = draft.len();
        if actual > MAX_DRAFT_BYTES {
            return Err(FirehoseError::TooLarge { what: "bytes", actual, limit: MAX_DRAFT_BYTES });
        }
        Ok(draft)
    }

    /// Encodes the event as the frame that carries it under `seq`.
    ///
    /// # Errors
    /// [`FirehoseError::TooLarge`] as for [`Event::draft`].
    pub fn frame(&self, seq: Seq) -> Result<Vec<u8>, FirehoseError> {
        frame(&self.draft()?, seq)
    }

    fn encode(&self) -> Result<Vec<u8>, FirehoseError> {
        match self {
            Self::Commit(event) => event.encode(),
            Self::Sync(event) => event.encode(),
            Self::Identity(event) => event.encode(),
            Self::Account(event) => event.encode(),
        }
    }
}

impl CommitEvent {
    fn encode(&self) -> Result<Vec<u8>, FirehoseError> {
        let actual = self.ops.len();
        if actual > MAX_OPS {
            return Err(FirehoseError::TooLarge { what: "operations", actual, limit: MAX_OPS });
        }
        let mut draft = DraftWriter::begin("#commit", if self.prev_data.is_some() { 12 } else { 11 });
        let cbor = draft.head();
        cbor.text("ops");
        cbor.array(actual);
        for op in &self.ops {
            write_op(cbor, op);
        }
        cbor.text("rev");
        cbor.text(&self.rev.to_string());
        let cbor = draft.seq();
        cbor.text("repo");
        cbor.text(self.repo.as_str());
        cbor.text("time");
        cbor.text(self.time.as_str());
        cbor.text("blobs");
        cbor.array(0);
        cbor.text("since");
        match &self.since {
            Some(rev) => cbor.text(&rev.to_string()),
            None => cbor.null(),
        };
        cbor.text("blocks");
        cbor.bytes(&self.blocks);
        cbor.text("commit");
        cbor.link(&self.commit);
        cbor.text("rebase");
        cbor.bool(false);
        cbor.text("tooBig");
        cbor.bool(false);
        if let Some(root) = &self.prev_data {
            cbor.text("prevData");
            cbor.link(root);
        }
        draft.finish()
    }
}

/// Keys in canonical order: `cid`, `path`, `prev`, `action`.
fn write_op(cbor: &mut Writer, op: &RecordOp) {
    cbor.map(if op.prev.is_some() { 4 } else { 3 });
    cbor.text("cid");
    cbor.optional_link(op.cid.as_ref());
    cbor.text("path");
    cbor.text(op.path.as_str());
    if let Some(prev) = &op.prev {
        cbor.text("prev");
        cbor.link(prev);
    }
    cbor.text("action");
    cbor.text(op.action.as_str());
}

impl SyncEvent {
    fn encode(&self) -> Result<Vec<u8>, FirehoseError> {
        let mut draft = DraftWriter::begin("#sync", 5);
        let cbor = draft.head();
        cbor.text("did");
        cbor.text(self.did.as_str());
        cbor.text("rev");
        cbor.text(&self.rev.to_string());
        let cbor = draft.seq();
        cbor.text("time");
        cbor.text(self.time.as_str());
        cbor.text("blocks");
        cbor.bytes(&self.blocks);
        draft.finish()
    }
}

impl IdentityEvent {
    fn encode(&self) -> Result<Vec<u8>, FirehoseError> {
        let mut draft = DraftWriter::begin("#identity", if self.handle.is_some() { 4 } else { 3 });
        let cbor = draft.head();
        cbor.text("did");
        cbor.text(self.did.as_str());
        let cbor = draft.seq();
        cbor.text("time");
        cbor.text(self.time.as_str());
        if let Some(handle) = &self.handle {
            cbor.text("handle");
            cbor.text(handle.as_str());
        }
        draft.finish()
    }
}

impl AccountEvent {
    fn encode(&self) -> Result<Vec<u8>, FirehoseError> {
        let status = self.inactive.as_ref().and_then(AccountStatus::name);
        let mut draft = DraftWriter::begin("#account", if status.is_some() { 5 } else { 4 });
        let cbor = draft.head();
        cbor.text("did");
        cbor.text(self.did.as_str());
        let cbor = draft.seq();
        cbor.text("time");
        cbor.text(self.time.as_str());
        cbor.text("active");
        cbor.bool(self.inactive.is_none());
        if let Some(status) = status {
            cbor.text("status");
            cbor.text(status);
        }
        draft.finish()
    }
}
