//! Why an account refuses.

use murmuration_data::{Cid, DataError};
use murmuration_firehose::{AccountStatus, FirehoseError, VerifyError};
use murmuration_keyring::KeyringError;
use murmuration_keys::KeyError;
use murmuration_memory::MemoryError;
use murmuration_platform::StoreError;
use murmuration_rate::Status;
use murmuration_repo::RepoError;
use murmuration_syntax::{Did, RepoPath};
use thiserror::Error;

/// Why an account refuses a call. Nothing was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The object holds no account.
    #[error("this object holds no account")]
    Vacant,
    /// The object holds an account already.
    #[error("this object holds an account already")]
    Occupied,
    /// The account is not served: it was put to rest, taken down or deleted, perhaps while the call waited for its turn.
    #[error("The account is not active: {0:?}")]
    Inactive(AccountStatus),
    /// The repository moved on since the caller looked: its head is not the commit that was named.
    #[error("Commit was at {current}")]
    CommitSwap {
        /// The head.
        current: Cid,
    },
    /// The record is not the one that the caller named.
    #[error("Record was at {}", current.map_or_else(|| "null".to_owned(), |cid| cid.to_string()))]
    RecordSwap {
        /// The record's CID, if there is a record.
        current: Option<Cid>,
    },
    /// A create of a record that exists.
    #[error("Record already exists: {0}")]
    RecordExists(RepoPath),
    /// An update or delete of a record that does not exist.
    #[error("Could not find record: {0}")]
    NoSuchRecord(RepoPath),
    /// A record refers to a blob that was never uploaded, or has been collected since.
    #[error("Could not find blob: {0}")]
    NoSuchBlob(Cid),
    /// An upload of a blob that the operator has taken down.
    #[error("Blob has been takendown, cannot re-upload")]
    BlobTakendown,
    /// An upload that took so long that its bytes may have been deleted.
    #[error("The blob took too long to arrive")]
    UploadLate,
    /// A record describes a blob with another MIME type than its bytes have.
    #[error("Referenced Mimetype does not match stored blob. Expected: {stored}, Got: {referenced}")]
    BlobType {
        /// What the bytes are.
        stored: String,
        /// What the record says.
        referenced: String,
    },
    /// A record describes a blob with another size than its bytes have.
    #[error("Referenced Size does not match stored blob. Expected: {stored}, Got: {referenced}")]
    BlobSize {
        /// Bytes that are stored.
        stored: u64,
        /// Bytes that the record says.
        referenced: u64,
    },
    /// The commit would be larger than an event may be.
    #[error("Too many writes. Max event size: 2MB")]
    CommitTooLarge,
    /// The blocks that were asked for are too much for one answer.
    #[error("Too many bytes of blocks. Ask for fewer")]
    BlocksTooLarge,
    /// A write names the same record twice in a way that has no order.
    #[error("{0}")]
    InvalidWrite(String),
    /// The account has written as much as it may for now.
    #[error("Rate Limit Exceeded")]
    WriteLimit {
        /// How the window stands.
        status: Status,
        /// Seconds until it ends.
        seconds: u64,
    },
    /// The session is unknown, or was ended.
    #[error("Token has been revoked")]
    SessionRevoked,
    /// The code is not the one that was sent last, or was used, or was guessed at too often.
    #[error("Token is invalid")]
    CodeInvalid,
    /// The code is the right one, and too old.
    #[error("Token is expired")]
    CodeExpired,
    /// There is an app password of that name.
    #[error("An app password with that name already exists")]
    AppPasswordExists,
    /// The account has as many app passwords as it may have.
    #[error("Too many app passwords. Revoke one first. Max: {}", crate::MAX_APP_PASSWORDS)]
    TooManyAppPasswords,
    /// The agent has no keys here: none were ever made, or the agent keeps them itself.
    #[error("The agent has no keys here")]
    NoKeys,
    /// The agent's keys are kept here already.
    #[error("The agent's keys are kept here already")]
    KeysHere,
    /// The keys that the repository publishes are not those that are kept here: whoever holds their secrets must say what
    /// follows them.
    #[error("The keys that the repository publishes are not kept here")]
    ForeignKeys,
    /// A rotation has not yet wrapped anew what it must, or too many epochs are still needed.
    #[error("A rotation of the keys is in progress")]
    RotationInProgress,
    /// The agent's keys, or those that it publishes, are not as they must be.
    #[error("the agent's keys: {0}")]
    Keyring(#[from] KeyringError),
    /// An agent of another host publishes keys that do not go on from those that this agent has seen of it.
    #[error("the keys of {0} are not those that were seen before, and do not follow from them: {1}")]
    PeerChanged(Did, #[source] KeyringError),
    /// An agent of another host publishes no key that can be sealed to.
    #[error("{0} publishes no encryption key that is valid now")]
    PeerHasNoKeys(Did),
    /// An agent of another host shows no keys, and none are known.
    #[error("the host of {0} does not show its keys, and this agent has not seen them lately")]
    PeerUnknown(Did),
    /// A call about memories is refused.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// An export fell too far behind the writes that went on meanwhile.
    #[error("the repository changed too much during the export")]
    ExportOverrun,
    /// The tree or a commit is not as it must be.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A value has no canonical form.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The commit is one that no relay would take. This is a fault of ours, found before anything was stored.
    #[error("the commit does not verify: {0}")]
    Unpublishable(#[from] VerifyError),
    /// An event cannot be made.
    #[error(transparent)]
    Firehose(#[from] FirehoseError),
    /// A key cannot be opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The password cannot be hashed.
    #[error("password hashing: {0}")]
    Password(String),
    /// The turn that held the write failed; nothing of it was stored.
    #[error("the turn failed: {0}")]
    Turn(String),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// Whether the call was refused for what it asks, before anything was written; otherwise the account failed.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Inactive(_)
                | Self::CommitSwap { .. }
                | Self::RecordSwap { .. }
                | Self::RecordExists(_)
                | Self::NoSuchRecord(_)
                | Self::NoSuchBlob(_)
                | Self::BlobTakendown
                | Self::UploadLate
                | Self::BlobType { .. }
                | Self::BlobSize { .. }
                | Self::CommitTooLarge
                | Self::Unpublishable(_)
                | Self::InvalidWrite(_)
                | Self::WriteLimit { .. }
        )
    }
}
