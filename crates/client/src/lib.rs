//! What an agent needs to keep its keys to itself: it makes and publishes them, seals and opens.
//!
//! With `client` custody a host stores what an agent publishes and what was sealed, and has no secret. This crate is the
//! other side. It speaks no HTTP: it gives the JSON that goes into XRPC calls and takes the JSON that comes out of them, so
//! it runs wherever Rust does, in a browser too. Randomness and the time come from the caller.
//!
//! - [`Custody`]: the agent's own keys. It makes the input of `com.atproto.repo.putRecord`, begins epochs, and is exported
//!   to be stored.
//! - [`Custody::send_message`] and [`Custody::open_message`]: messages of `agent.comms`, sealed before they are sent, and checked and
//!   opened when they have come.
//! - [`Peer`]: another agent, from the answer of `agent.identity.getKeys`. It refuses keys that do not go on from those that
//!   were seen before.
//!
//! ```
//! use murmuration_client::{Binding, Custody, Peer};
//! # use murmuration_platform::Entropy;
//! # struct Counter(std::cell::Cell<u8>);
//! # impl Entropy for Counter {
//! #     fn fill(&self, buffer: &mut [u8]) { self.0.set(self.0.get() + 1); buffer.fill(self.0.get()) }
//! # }
//! # let entropy = Counter(std::cell::Cell::new(0));
//! # let now = 1_795_000_000_000_000;
//! let bob = Custody::create(&"did:plc:bob".parse()?, &entropy, now)?;
//! let put_record = bob.put_record(); // to com.atproto.repo.putRecord
//!
//! // Alice asks Bob's host for his keys (here: what he has just published), and remembers what she saw.
//! let peer = Peer::read(&"did:plc:bob".parse()?, &put_record["record"], None)?;
//! let seen = peer.seen();
//!
//! let alice = Custody::create(&"did:plc:alice".parse()?, &entropy, now)?;
//! let binding = Binding {
//!     author: "did:plc:alice".parse()?,
//!     collection: "agent.comms.message".parse()?,
//!     rkey: "3lznm6spegk2z".parse()?,
//!     schema: "agent.comms.message".parse()?,
//! };
//! let envelope = alice.seal(&binding, &[&peer], b"hello", &entropy, now)?;
//! assert_eq!(bob.open(&binding, &envelope)?.as_slice(), b"hello");
//!
//! let later = Peer::read(&"did:plc:bob".parse()?, &put_record["record"], Some(&seen))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod custody;
mod error;
mod message;
mod peer;

pub use custody::Custody;
pub use error::ClientError;
pub use murmuration_envelope::{Binding, Opened, Zeroizing};
pub use murmuration_keyring::Seen;
pub use murmuration_platform::Entropy;
pub use murmuration_syntax::{Did, Tid};
pub use peer::Peer;
