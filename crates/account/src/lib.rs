//! An account on one object's storage: repository, blobs, credentials, sessions, outbox.
//!
//! [`Account`] is the state of one agent. It is synchronous throughout and knows storage only as
//! [`Store`](murmuration_platform::Store), so the same code runs in a Durable Object, in a test over SQLite, and under
//! injected faults.
//!
//! A write's way, in one turn with nothing awaited in between:
//!
//! ```text
//!   WriteRequest ── swaps, blobs ──► Edit of the tree ──► Change ──► Commit, signed ──► #commit event
//!        │ refused: nothing changed                                                         │ checked as a
//!        ▼                                                                                  ▼ relay checks it
//!   AccountError                    one transaction: records, turn in the log, pages if it is time
//! ```
//!
//! # Rows
//! Rows written are what the platform bills. A createRecord writes its record (1), its turn in the log (1), and its
//! share of the pages that a checkpoint writes for all the turns since the last. Turns lie in a ring, so pruning is
//! free; see [`log`]. Waking reads the account's row, the ring, and the pages that the turns behind the checkpoint
//! touch; see [`tree`].
//!
//! # Tricky bits
//! - The tree in memory is ahead of the pages in storage; the log makes up the difference. [`replay`] is the only code
//!   that joins them, and it checks the result against the signed head.
//! - What an account may still write rides in the row of a turn; see [`budget`].
//! - A record's path is one text column, `collection/rkey`, because the tree sorts `app.bsky.feed.x/` behind
//!   `app.bsky.feed.x.y/` and two columns would not.
//! - What a turn reads it must read in the turn: a call that arrived earlier in the same turn may have changed it.

mod account;
pub mod backlink;
mod blob;
mod budget;
mod census;
mod code;
mod commit;
mod credential;
mod deletion;
mod document;
mod error;
mod export;
mod import;
mod keyring;
mod log;
mod mailbox;
mod memory;
mod owner;
mod packed;
mod page;
mod password;
mod peer;
mod preference;
mod profile;
mod publishing;
mod rebuild;
mod recent;
mod record;
mod replay;
mod reseal;
mod rotation;
mod schema;
mod session;
mod sync;
mod takedown;
mod tree;
mod write;

pub use account::{Account, Head, NewAccount};
pub use blob::{Blob, MissingBlob, UNREFERENCED_MICROS};
pub use census::Census;
pub use code::{Purpose, fresh_code};
pub use credential::{AppPassword, MAX_APP_PASSWORDS};
pub use error::AccountError;
pub use export::Export;
pub use log::Push;
pub use mailbox::{Handoffs, Messages};
pub use memory::{Mind, Remembered};
pub use peer::{Shown, UNPROVEN_MICROS};
pub use profile::{Notice, Profile, Since};
pub use recent::Dated;
pub use record::{Listing, MAX_COLLECTIONS, Page, PageRecord, Record};
pub use rotation::{MAX_LIVE_EPOCHS, Rotation, SealedStore};
pub use session::Session;
pub use sync::{Blocks, MAX_BLOCKS};
pub use write::{CommitRef, Receipt, Value, Write, WriteRequest};
