//! Envelopes: records and messages sealed to their author and to up to 64 readers.
//!
//! A host that stores private records, and the hosts and queues that a message passes, see an [`Envelope`]: who wrote it
//! and for whom, but not what. Each is sealed under a *data key* of its own. The data key lies in the envelope several
//! times over: once under the author's symmetric [`EpochKey`], and once for each [`Recipient`], by HPKE.
//!
//! ```text
//! data key ─┬─ HKDF ─► content key ────► XChaCha20-Poly1305(padded message)        ─► ciphertext
//!           ├─ HKDF ─► commitment key ─► HMAC-SHA256(binding, head)                ─► commit
//!           ├─ XChaCha20-Poly1305 under the author's epoch key                     ─► own
//!           └─ HPKE to each recipient's published key, X-Wing where there is one   ─► recipients
//! ```
//!
//! - **It opens only in its place.** Every step authenticates the [`Binding`], author, collection, record key and schema,
//!   and the epoch, under a label of its own.
//! - **It opens under one key.** The commitment is checked first; it also covers the head, so that nobody without the
//!   data key can change, add or remove a recipient.
//! - **Length is hidden** up to what Padmé leaves.
//! - **No downgrade.** A [`Recipient`] is made of all the keys that somebody publishes, and is the strongest of them. A
//!   reader refuses an envelope that was sealed to a weaker key than it had published.
//! - **Keys change, records do not.** [`Envelope::rewrap`] puts the own copy under a new epoch's key, and
//!   [`Envelope::share`] adds recipients, without touching the ciphertext. A removed reader is one for whom the next version,
//!   under its own data key, is not sealed. Of an envelope that may not change, a [`KeptKey`] lies beside it, and a [`SharedKey`] is
//!   given to another reader.
//!
//! An envelope says nothing about who sealed it: everyone who can read it could have. The sender of a message is proved by
//! the signature of the parcel around it. And HPKE has no forward secrecy: who steals a recipient's secret key reads what
//! was sealed to it.
//!
//! ```
//! use murmuration_envelope::{Binding, DecryptionKey, Envelope, EpochKey, KeyId, Recipient, SecretKey, Suite};
//! # use murmuration_platform::Entropy;
//! # struct Counter(std::cell::Cell<u8>);
//! # impl Entropy for Counter {
//! #     fn fill(&self, buffer: &mut [u8]) { self.0.set(self.0.get() + 1); buffer.fill(self.0.get()) }
//! # }
//! # let entropy = Counter(std::cell::Cell::new(0));
//! let binding = Binding {
//!     author: "did:plc:alice".parse()?,
//!     collection: "agent.memory.note".parse()?,
//!     rkey: "3lznm6spegk2z".parse()?,
//!     schema: "agent.memory.note".parse()?,
//! };
//! let own = EpochKey::generate(1, &entropy);
//! let bob = DecryptionKey {
//!     id: KeyId::parse("did:plc:bob#agent-enc-1")?,
//!     epoch: 1,
//!     key: SecretKey::generate(Suite::XWing, &entropy),
//! };
//!
//! let recipients = [Recipient::of(&[bob.published()])?];
//! let sealed = Envelope::seal(&binding, &own, &recipients, b"the deploy window is Friday", &entropy)?;
//!
//! let received = Envelope::from_cbor(&sealed.to_cbor())?;
//! assert_eq!(received.open(&binding, &[bob])?.as_slice(), b"the deploy window is Friday");
//! assert_eq!(received.open_own(&binding, &[own])?.as_slice(), b"the deploy window is Friday");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There is no entropy and no clock here: randomness comes from the host's [`Entropy`](murmuration_platform::Entropy), and
//! which published keys are valid now is the caller's to say. The format is written down in `docs/envelope.md`.

mod apart;
mod base;
mod binding;
mod dhkem;
mod envelope;
mod error;
mod form;
mod kept;
mod key;
mod padding;
mod parts;
mod recipient;
mod seal;
mod shared;
mod suite;
mod wrap;

pub use apart::{ApartKey, MAX_APART_BYTES, sealed_apart_bytes};
pub use binding::Binding;
pub use envelope::{
    Envelope, MAX_CIPHERTEXT_BYTES, MAX_ENVELOPE_BYTES, MAX_ENVELOPE_JSON_BYTES, MAX_RECIPIENTS, Opened,
};
pub use error::EnvelopeError;
pub use kept::KeptKey;
pub use key::{
    DecryptionKey, EncryptionKey, EpochKey, KeyId, MAX_KEY_ID_BYTES, PublicKey, SECRET_BYTES, SecretKey,
};
pub use padding::MAX_MESSAGE_BYTES;
pub use parts::{OWN_PART_BYTES, Parts, SEALING_BYTES};
pub use recipient::Recipient;
pub use shared::SharedKey;
pub use suite::Suite;
pub use zeroize::Zeroizing;
