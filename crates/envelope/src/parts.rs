//! An envelope in three parts, for a store that destroys keys before it forgets texts.
//!
//! Whoever keeps an envelope as one value and deletes it leaves key and text side by side in whatever the storage has not yet
//! written over. In parts, the author's key is a short value of always the same length, which is overwritten where it lies; what a
//! rotation changes is that part alone.

use crate::EnvelopeError;
use crate::envelope::{Envelope, OwnCopy};
use crate::form;
use crate::wrap::{COMMIT_BYTES, NONCE_BYTES, WRAP_BYTES};

/// The parts of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The author's copy of the data key, and the commitment: [`OWN_PART_BYTES`].
    pub own: Vec<u8>,
    /// The data key for others, as DAG-CBOR; empty where there are none.
    pub readers: Vec<u8>,
    /// The epoch, the nonce, and the sealed text.
    pub text: Vec<u8>,
}

impl Parts {
    /// What tells this sealing from every other: the epoch and the nonce of the text. It stays when `own` is put under another key.
    #[must_use]
    pub fn sealing(&self) -> Option<&[u8; SEALING_BYTES]> {
        self.text.first_chunk()
    }
}

impl Envelope {
    /// The parts.
    #[must_use]
    pub fn to_parts(&self) -> Parts {
        let own_epoch = self.own.epoch.to_be_bytes();
        let own = [own_epoch.as_slice(), &self.own.nonce, &self.own.wrap, &self.commit].concat();
        let readers = match self.recipients.is_empty() {
            true => Vec::new(),
            false => form::encode(&form::write_recipients(&self.recipients)),
        };
        let epoch = self.epoch.to_be_bytes();
        let text = [epoch.as_slice(), &self.nonce, &self.ciphertext].concat();
        Parts { own, readers, text }
    }

    /// The envelope of its parts.
    ///
    /// # Errors
    /// When one is not what [`Envelope::to_parts`] gives.
    pub fn from_parts(parts: &Parts) -> Result<Self, EnvelopeError> {
        let (own_epoch, rest) = parts.own.split_first_chunk::<4>().ok_or(EnvelopeError::Form)?;
        let (own_nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(EnvelopeError::Form)?;
        let (wrap, rest) = rest.split_first_chunk::<WRAP_BYTES>().ok_or(EnvelopeError::Form)?;
        let commit = <[u8; COMMIT_BYTES]>::try_from(rest).map_err(|_| EnvelopeError::Form)?;
        let (epoch, rest) = parts.text.split_first_chunk::<4>().ok_or(EnvelopeError::Form)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(EnvelopeError::Form)?;
        form::check_ciphertext(ciphertext)?;
        Ok(Self {
            epoch: u32::from_be_bytes(*epoch),
            nonce: *nonce,
            commit,
            own: OwnCopy { epoch: u32::from_be_bytes(*own_epoch), nonce: *own_nonce, wrap: *wrap },
            recipients: match parts.readers.is_empty() {
                true => Vec::new(),
                false => form::decode_recipients(&parts.readers)?,
            },
            ciphertext: ciphertext.to_vec(),
        })
    }
}

/// Bytes of the author's part.
pub const OWN_PART_BYTES: usize = 4 + NONCE_BYTES + WRAP_BYTES + COMMIT_BYTES;

/// Bytes that tell a sealing from every other.
pub const SEALING_BYTES: usize = 4 + NONCE_BYTES;
