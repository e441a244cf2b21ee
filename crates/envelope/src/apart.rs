//! A text that is too large for an envelope: sealed apart, under a key that an envelope carries.
//!
//! The envelope's message then names the key ([`ApartKey::expose`]), and whoever opens the envelope opens the text. The key is of one
//! text only, so nothing else need be bound to it: in another place the envelope does not open, and without the envelope there is no key.

use murmuration_cipher::Cipher;
use murmuration_platform::Entropy;
use zeroize::Zeroizing;

use crate::envelope::Opened;
use crate::seal::draw_nonce;
use crate::wrap::{DATA_KEY_BYTES, NONCE_BYTES, TAG_BYTES};
use crate::{EnvelopeError, padding};

/// The key of one text that lies apart. It is wiped from memory when it goes out of use.
#[derive(Clone, PartialEq, Eq)]
pub struct ApartKey(Zeroizing<[u8; DATA_KEY_BYTES]>);

impl ApartKey {
    /// Draws one, to seal one text with.
    #[must_use]
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; DATA_KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key of its 32 bytes.
    ///
    /// # Errors
    /// [`EnvelopeError::Form`] when there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut key = Zeroizing::new([0; DATA_KEY_BYTES]);
        if bytes.len() != key.len() {
            return Err(EnvelopeError::Form);
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// Its 32 bytes, to be sealed with an envelope and shown to nobody.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Seals the text: a nonce, and the padded text with its tag, [`sealed_apart_bytes`] in all.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`] for more than [`MAX_APART_BYTES`].
    pub fn seal(&self, text: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, EnvelopeError> {
        let padded = padding::pad(text, MAX_APART_BYTES)?;
        let nonce = draw_nonce(entropy);
        Ok([nonce.as_slice(), &Cipher::new(&self.0).seal(&nonce, APART, &padded)].concat())
    }

    /// Opens what [`ApartKey::seal`] has made.
    ///
    /// # Errors
    /// [`EnvelopeError::Sealed`] when it was sealed under another key, or changed.
    pub fn open(&self, sealed: &[u8]) -> Result<Opened, EnvelopeError> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(EnvelopeError::Sealed)?;
        padding::unpad(Cipher::new(&self.0).open(nonce, APART, text).ok_or(EnvelopeError::Sealed)?)
    }
}

impl std::fmt::Debug for ApartKey {
    /// Shows nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApartKey").finish_non_exhaustive()
    }
}

/// Bytes that a text of so many has when it is sealed apart.
#[must_use]
pub fn sealed_apart_bytes(text: usize) -> usize {
    NONCE_BYTES + padding::padded(text.saturating_add(1)) + TAG_BYTES
}

/// Bytes of the longest text that is sealed apart: a record of a repository
/// (<https://atproto.com/specs/data-model>, 1,000,000 bytes of DAG-CBOR).
pub const MAX_APART_BYTES: usize = 1_000_000;

/// What a text is sealed apart for.
const APART: &[u8] = b"agent-envelope-v1 apart";

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that count up.
    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
        }
    }

    #[test]
    fn a_text_that_lies_apart_opens_with_its_own_key_and_says_little_of_its_length() {
        let key = ApartKey::draw(&Counting);
        for length in [0, 1, 258_047, 258_048, MAX_APART_BYTES] {
            let text = vec![7; length];
            let sealed = key.seal(&text, &Counting).unwrap();
            assert_eq!(sealed.len(), sealed_apart_bytes(length));
            assert_eq!(key.open(&sealed).unwrap().as_slice(), text);
        }
        assert_eq!(key.seal(&vec![7; MAX_APART_BYTES + 1], &Counting).err(), Some(EnvelopeError::TooLarge));
        assert_eq!(sealed_apart_bytes(900_000), sealed_apart_bytes(900_001));
    }

    #[test]
    fn nothing_that_was_changed_opens() {
        let key = ApartKey::draw(&Counting);
        let sealed = key.seal(b"the deploy window is Friday", &Counting).unwrap();
        let other = ApartKey::from_bytes(&[9; DATA_KEY_BYTES]).unwrap();
        assert_eq!(other.open(&sealed).err(), Some(EnvelopeError::Sealed));
        for at in [0, NONCE_BYTES, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&changed).err(), Some(EnvelopeError::Sealed));
        }
        for length in [0, NONCE_BYTES, sealed.len() - 1] {
            assert_eq!(key.open(&sealed[..length]).err(), Some(EnvelopeError::Sealed));
        }
        assert!(ApartKey::from_bytes(&[9; 31]).is_err());
    }
}
