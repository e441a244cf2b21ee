//! Identity across networks: did:plc, did:web, did:cf, handles, resolution.
//!
//! An account has three names. Its *DID* never changes and stands in every record; its *DID document* says which key
//! signs for it and which host serves it; its *handle* is the domain name that people type. A handle counts only when
//! both directions agree: the name resolves to the DID, and the DID's document claims the name.
//!
//! - [`plc`]: operations of did:plc (make, sign, encode), logs of them (verify), and the directory's HTTP interface.
//! - [`cf`]: an agent's native alias, did:cf: its document, and the proof that it and the canonical DID are one.
//! - [`document`]: DID documents, read by the rules of atproto and built for did:web.
//! - [`web`]: which URL a did:web stands for.
//! - [`handle`]: which handles a host may give out, and how a handle resolves over DNS and HTTPS.
//! - [`Resolver::record`]: a record of somebody else's repository, proven by the key of the DID's document.
//! - [`resolver`]: all of it behind one cache with the specification's ages. Nothing here believes a stale answer when it
//!   decides who somebody is.
//!
//! The crate does no I/O. What must be fetched goes through [`Outbound`](murmuration_platform::Outbound), the host's
//! guarded client, with a limit on bytes and time that stands beside each fetch.

pub mod cf;
pub mod document;
mod error;
mod fetch;
pub mod handle;
pub mod plc;
mod record;
pub mod resolver;
pub mod web;

pub use cf::{AgentKeys, CfDid};
pub use document::Document;
pub use error::BridgeError;
pub use resolver::Resolver;
