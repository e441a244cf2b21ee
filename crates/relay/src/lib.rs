//! The host's sequencer: stores every frame once, then serves it from any cursor.
//!
//! Agents push finished events; the relay gives each the host's next sequence number, stores the exact frame, and only
//! then sends it. A number is stored before it is seen, never given twice, and never goes back.
//!
//! ```text
//!  agents ── wire::Push ──► Relay::append ──► Log (one row a push) ──► Feed::publish ──► live subscribers
//!                                              │   ▲
//!                               prune, by table│   └── Feed::pump ──► subscribers that are behind
//!                                              ▼
//!                                           dropped
//! ```
//!
//! - [`Log`] is the storage: partitions that are dropped whole, a high-water mark that outlives them, and the
//!   deduplication of pushes that agents repeat.
//! - [`Feed`] is the subscribers, behind a small trait for the host's [`Sockets`]; [`pace`] decides how fast each is served.
//! - Some of them read events in JSON, those that their [`Filter`] wants: an event is looked at once, finds its readers
//!   through an index, and is written once for all of them.
//! - Which account holds records of which collection is noted on the way, for [`Relay::holders`].
//! - Webhooks ([`NewHook`]) read the log as those do, and are sent what they want at a URL of theirs.
//! - Peers ([`NewPeer`]) are other hosts whose events are verified and merged into what readers of events read, and readers of
//!   frames do not.
//! - The public index is told what concerns it, of this host and of its peers ([`Published`]).
//! - [`Crawl`] asks other relays to come, and asks again.
//! - [`Relay`] is the three as one object; the Worker gives it storage, sockets and the time.
//! - [`wire`] is what agents' objects and the relay's say to each other.
//!
//! Specification: <https://atproto.com/specs/event-stream>.

mod crawl;
mod cursor;
mod error;
mod feed;
mod filter;
mod holdings;
mod hooks;
mod index;
mod known;
pub mod limits;
mod log;
pub mod pace;
mod pack;
mod page;
mod partition;
mod peers;
mod published;
mod relay;
mod schema;
mod telling;
mod topic;
mod waiting;
pub mod wire;

pub use crawl::{Crawl, crawl_request};
pub use cursor::{Opening, opening};
pub use error::RelayError;
pub use feed::{CLOSE_POLICY, Feed, Message, Pump, Reads, Refusal, Sockets, SubscriberId, refusal};
pub use filter::{Filter, FilterError, Sight};
pub use hooks::{Delivery, HookState, HookView, NewHook, Outcome, ResealedHooks};
pub use log::{Appended, Batch, Log, LogConfig};
pub use page::Page;
pub use peers::{
    End, Found, Haul, Identities, Identity, NewPeer, PeerHost, PeerView, Session, Trust, Visit, Visited, Want,
};
pub use published::{INDEXED, Published, is_indexed};
pub use relay::{Relay, TakenIn};

pub use log::Scope;
