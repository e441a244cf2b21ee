//! The private memories of one agent: sealed records, their operation log and set hash, and working state.
//!
//! [`Memories`] keeps them in the storage of the agent's object. They never enter the public repository, and no method of
//! `com.atproto.repo` or `com.atproto.sync` reaches them.
//!
//! ```text
//!   create ─┐                          ┌─► memory: text under a data key of its own, that key under the agent's
//!   update ─┼─► one transaction writes ┼─► operation: which memory, from which CID to which
//!   delete ─┘                          ├─► space: revision, set hash, counts
//!                                      └─► page of the index: words, tags and vectors, sealed
//!   search ───► the pages, in memory   ───► the memories that fit best
//! ```
//!
//! - *Fresh keys.* Each version of a memory is sealed under a data key of its own. A delete, and a new version, overwrite the old
//!   key where it lies before anything else.
//! - *Two copies agree* when their [`SetHash`] does: of paths and CIDs, whatever the order in which they came.
//! - *Shared key by key.* A reader is given the sealed memory and its data key, sealed to the reader; whom it is not shared with
//!   does not learn that it is there.
//! - *Once.* A create with an idempotency key is done once.
//! - *Large ones apart.* What does not fit a row lies sealed in the blob storage, which no turn waits for ([`Desk`]).
//! - *Compare and swap.* A change may name the CID that it is a change of, and is refused when that is another.
//!
//! The shape is that of a permissioned repo of proposal 0016, in a space of the agent's own. There is no clock here and no entropy;
//! the agent's keys come with each call ([`Keeper`]). How it lies at rest is in `docs/memory.md`.

mod apart;
mod compact;
mod desk;
mod duplicate;
mod embedding;
mod error;
mod essence;
mod expiry;
mod extract;
mod fact;
mod ingest;
pub mod limits;
mod list;
mod loaded;
mod memories;
mod operation;
mod origin;
mod received;
mod rewrap;
mod row;
mod search;
mod secret;
mod set_hash;
mod sharing;
mod shelf;
mod space;
mod state;
mod transfer;
mod upkeep;
mod uses;

pub use compact::{Compaction, Dropped, Policy, Strategy};
pub use desk::Desk;
pub use duplicate::{Beside, OnDuplicate};
pub use embedding::Unembedded;
pub use error::MemoryError;
pub use essence::{Essence, moment};
pub use extract::{ExtractError, ExtractFuture, Extractor, Rules, Turn};
pub use list::{Filter, Page};
pub use memories::{Change, Draft, Keeper, Memories, Memory, Once, Written};
pub use operation::{Operation, Operations};
pub use origin::Origin;
pub use received::Received;
pub use rewrap::{Rewrap, left_to_wrap, wrap_some};
pub use search::{Found, Meaning, Search};
pub use set_hash::SetHash;
pub use sharing::{Given, Share};
pub use space::{SKEY, SPACE_TYPE, Space};
pub use state::{Entry, EntryPage, Put};
pub use transfer::{Export, Exported, ExportedState, Incoming, IncomingState, Part, Place, TakenIn};
pub use upkeep::Job;
pub use uses::Uses;
