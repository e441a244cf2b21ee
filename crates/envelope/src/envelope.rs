//! The envelope, as it is stored and sent.

use zeroize::Zeroizing;

use murmuration_data::{Ipld, cbor, json};

use crate::form;
use crate::wrap::{COMMIT_BYTES, NONCE_BYTES, WRAP_BYTES};
use crate::{EnvelopeError, KeyId, Suite};

/// A sealed record or message. What it holds has the right form; whether it opens, [`Envelope::open`] and
/// [`Envelope::open_own`] say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub(crate) epoch: u32,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) commit: [u8; COMMIT_BYTES],
    pub(crate) own: OwnCopy,
    /// In the order of their DIDs, each once.
    pub(crate) recipients: Vec<WrappedKey>,
    pub(crate) ciphertext: Vec<u8>,
}

/// The data key under the author's epoch key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnCopy {
    pub(crate) epoch: u32,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) wrap: [u8; WRAP_BYTES],
}

/// The data key, sealed to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedKey {
    pub(crate) id: KeyId,
    pub(crate) suite: Suite,
    pub(crate) encapsulated: Vec<u8>,
    pub(crate) wrap: [u8; WRAP_BYTES],
}

impl Envelope {
    /// Reads an envelope from DAG-CBOR.
    ///
    /// # Errors
    /// When the bytes are more than [`MAX_ENVELOPE_BYTES`], or not exactly what [`Envelope::to_cbor`] gives for one.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        Self::from_ipld(cbor::decode(bytes).map_err(|_| EnvelopeError::Form)?)
    }

    /// Reads an envelope from its JSON form.
    ///
    /// # Errors
    /// When the text is more than [`MAX_ENVELOPE_JSON_BYTES`], or not the JSON form of an envelope.
    pub fn from_json(text: &[u8]) -> Result<Self, EnvelopeError> {
        if text.len() > MAX_ENVELOPE_JSON_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        Self::from_ipld(json::parse(text).map_err(|_| EnvelopeError::Form)?)
    }

    /// Reads an envelope from a value of the data model, as it stands in a record.
    ///
    /// # Errors
    /// When it is not one: a field is missing, unknown, or of a wrong type or length, or the recipients are not in order.
    pub fn from_ipld(value: Ipld) -> Result<Self, EnvelopeError> {
        form::read(value)
    }

    /// The value of the data model.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        form::write(self)
    }

    /// Its DAG-CBOR.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        form::encode(&self.to_ipld())
    }

    /// Its JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::to_string(&self.to_ipld())
    }

    /// The author's epoch that it was sealed in. It never changes.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The author's epoch whose key the own copy is under. A rotation changes it.
    #[must_use]
    pub fn own_epoch(&self) -> u32 {
        self.own.epoch
    }

    /// The keys it is sealed to, besides the author's own.
    pub fn recipients(&self) -> impl Iterator<Item = (&KeyId, Suite)> {
        self.recipients.iter().map(|key| (&key.id, key.suite))
    }
}

/// A text that was sealed. It is wiped from memory when it goes out of use.
pub type Opened = Zeroizing<Vec<u8>>;

/// How many readers an envelope may have besides its author (`agent.crypto.defs#envelope`).
pub const MAX_RECIPIENTS: usize = 64;

/// Bytes of the largest ciphertext, its tag with it: 256 KiB (`agent.crypto.defs#envelope`).
pub const MAX_CIPHERTEXT_BYTES: usize = 256 * 1024;

/// Bytes of the largest encoded envelope: the ciphertext, and 64 recipients of 1,120 + 48 bytes, a name of 256 and the
/// fields' own names, which is less than 2 KiB each.
pub const MAX_ENVELOPE_BYTES: usize = MAX_CIPHERTEXT_BYTES + 64 * 2 * 1024;

/// Bytes of the largest JSON form: base 64 takes four bytes for three, and blanks are free.
pub const MAX_ENVELOPE_JSON_BYTES: usize = 2 * MAX_ENVELOPE_BYTES;
