//! Messages between agents: parcels, inbox, leases, outbox, threads and tasks.
//!
//! A [`Parcel`] is a signed message: a [`Header`] that the hosts on its way read, a body that only its readers do, and a proof
//! that the sender has written both. It is stored on both sides as it is, and its CID is its name.
//!
//! [`Comms`] keeps the messages of one agent in the storage of its object:
//!
//! ```text
//!   sender's object                                     reader's object
//!   next_place ─► Parcel::sign ─► send ─► (delivery) ─► Parcel::verify ─► Declaration::judge ─► admit ─► receive
//!   settle ◄────────────────────────── its outcome ◄──────────────────────────────────────────────┘
//!   redeem: what the queue tries again                  release, claim ─► work ─► acknowledge
//!   due: what the alarm tries again                     news: what has come
//!   news: what has become of it
//! ```
//!
//! - *Once.* A message has one effect however often it is delivered: its sender and id are unique, and its CID says whether it
//!   is the same.
//! - *In order.* What one sender has sent in a thread is handed out in the order of `seq`; what has not come is waited for, and
//!   then reported as a gap.
//! - *Not lost.* A message stays in the outbox until the other host has it, and in the inbox until its reader has said that it
//!   is done.
//! - *Six rows.* That is what a delivered message writes on both sides together; `migrations/agent` says which.
//!
//! There is no clock here, no entropy and no key: the caller brings times, random numbers and signatures. What is sealed
//! is `murmuration_envelope`'s; [`binding`] says where it opens.

mod backoff;
mod comms;
mod consent;
mod error;
mod fields;
mod handoff;
mod header;
mod inbox;
mod lease;
pub mod limits;
mod line;
mod news;
mod open;
mod outbox;
mod parcel;
mod prune;
mod quarantine;
mod receipt;
mod rewrap;
mod settle;
mod task;
mod tasks;
mod thread;

pub use backoff::backoff;
pub use comms::Comms;
pub use consent::{Acquaintance, Contact, Declaration, Verdict};
pub use error::CommsError;
pub use handoff::{HANDOFF, Handed, HandedKeys, KeepHanded, handoffs_left, keep_handoffs};
pub use header::{Header, default_thread};
pub use inbox::{Arrival, Delivery, Filter, Item, State};
pub use lease::{Claim, Lease, Outcome};
pub use news::{Happened, MAX_FRESH, News, NewsPage};
pub use outbox::{Due, Sent};
pub use parcel::{Body, Parcel, Sender, binding, cid_of};
pub use quarantine::{Judge, Released};
pub use receipt::{Attempt, DeliveryState, Keeper, Receipt};
pub use rewrap::{Keep, keep_some, left_to_keep};
pub use settle::{Settled, Ticket};
pub use task::{REQUEST, Role, TaskState};
pub use tasks::{Task, TaskChange, TaskFilter};
pub use thread::{Gap, Original, Thread, ThreadPage};
