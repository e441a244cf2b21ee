//! An agent's keys by epochs: what it publishes of them, what it keeps, and how one follows from the other.
//!
//! In each *epoch* an agent has four secrets: an Ed25519 key that vouches for its keys, an X25519 and an X-Wing key that
//! others seal to, and a symmetric key that its own copies are sealed under. A rotation begins the next epoch.
//!
//! - [`PublishedKeys`] is the record `agent.identity.keys/self`: all epochs, the public halves. Each epoch is signed by the
//!   Ed25519 key of the one before, so whoever knows one can tell whether the next is by the same agent, whatever the host of
//!   the repository does. [`Seen`] is what a reader keeps to tell.
//! - [`Ring`] is the secret side, all epochs that something is still sealed to. It seals, opens, and wraps anew.
//! - [`EpochSecrets`] is how one epoch is stored. Who holds it, a host (sealed under a key of its own) or the agent's
//!   owner alone, is not decided here: both use this crate.
//!
//! ```
//! use murmuration_envelope::Binding;
//! use murmuration_keyring::{PublishedKeys, Ring};
//! # use murmuration_platform::Entropy;
//! # struct Counter(std::cell::Cell<u8>);
//! # impl Entropy for Counter {
//! #     fn fill(&self, buffer: &mut [u8]) { self.0.set(self.0.get() + 1); buffer.fill(self.0.get()) }
//! # }
//! # let entropy = Counter(std::cell::Cell::new(0));
//! # let now = 1_795_000_000_000_000;
//! let (bob, record) = Ring::begin(&"did:plc:bob".parse()?, &entropy, now)?;
//!
//! // Somebody reads Bob's record, and seals to him.
//! let published = PublishedKeys::from_ipld(&"did:plc:bob".parse()?, record.to_ipld())?;
//! let binding = Binding {
//!     author: "did:plc:alice".parse()?,
//!     collection: "agent.comms.message".parse()?,
//!     rkey: "3lznm6spegk2z".parse()?,
//!     schema: "agent.comms.message".parse()?,
//! };
//! let (alice, _) = Ring::begin(&"did:plc:alice".parse()?, &entropy, now)?;
//! let envelope = alice.seal(&binding, &[published.recipient(now)?], b"hello", &entropy)?;
//!
//! // Bob has moved on meanwhile, and still opens it.
//! let (bob, next) = bob.advance(&published, None, &entropy, now + 1)?;
//! assert_eq!(bob.open(&binding, &envelope)?.as_slice(), b"hello");
//! next.goes_on_from(&published.seen())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The record and its proofs are written down in `docs/keys.md`.

mod epoch;
mod error;
mod published;
mod ring;
mod secrets;

pub use epoch::PublishedEpoch;
pub use error::KeyringError;
pub use published::{COLLECTION, MAX_PUBLISHED_EPOCHS, PublishedKeys, RKEY, SEEN_BYTES, Seen};
pub use ring::Ring;
pub use secrets::{EpochSecrets, SECRETS_BYTES};
