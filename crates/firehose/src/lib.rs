//! Events and frames of `com.atproto.sync.subscribeRepos`, and how a relay verifies them.
//!
//! A WebSocket message of the stream (a *frame*) is two DAG-CBOR objects side by side: a header `{op, t}` and a
//! payload. The bytes of a frame never change once it has a sequence number, so they are made once and stored.
//!
//! ```text
//!   agent                                          relay
//!   repo Change ─► CommitEvent::build ─► draft ──► frame(draft, seq) ─► stored ─► sent
//!                        │
//!                        └─ verify_commit: what a relay would check, before anything is stored
//! ```
//!
//! - [`Event`] is what an account has to say: [`CommitEvent`], [`SyncEvent`], [`IdentityEvent`], [`AccountEvent`].
//! - [`Event::draft`] encodes one without its sequence number; [`frame`] splices the number in, in one copy, so that the
//!   sequencer never decodes what it sequences.
//! - [`info_frame`] and [`error_frame`] make the frames that are never stored.
//! - [`Frame::decode`] reads a frame strictly, and [`verify_commit`] and [`verify_sync`] check one against the
//!   repository's last known [`Head`], including the inversion of its operations.
//!
//! Tricky bits:
//! - Map keys are sorted by length, then by byte: the sequence number of a `#commit` comes third, after `ops` and `rev`.
//! - `prevData` is absent, not null, on an account's first commit; `since` is null there, not absent. So the lexicon, and
//!   so the reference server.
//! - `rebase`, `tooBig` and `blobs` are dead but required fields: written as `false`, `false` and `[]`.
//! - `#commit` names its account `repo`; every other event says `did`.
//!
//! Specification: <https://atproto.com/specs/sync>, <https://atproto.com/specs/event-stream>.

mod build;
mod decode;
mod draft;
mod error;
mod event;
mod limits;
mod seq;
mod time;
mod touched;
mod verify;

pub use build::CommitParts;
pub use decode::Frame;
pub use draft::{draft_is_sound, error_frame, frame, info_frame};
pub use error::{FirehoseError, VerifyError};
pub use event::{AccountEvent, AccountStatus, CommitEvent, Event, IdentityEvent, SyncEvent};
pub use limits::{
    MAX_BLOCKS_BYTES, MAX_DRAFT_BYTES, MAX_FRAME_BYTES, MAX_OPS, MAX_OWN_BLOCKS_BYTES, MAX_REV_AHEAD_MICROS,
    MAX_SYNC_BLOCKS_BYTES,
};
pub use seq::Seq;
pub use time::Timestamp;
pub use touched::{Glance, Touched, touched};
pub use verify::{Head, verify_commit, verify_sync};

use murmuration_data::Cid;
