//! Ed25519 (RFC 8032): the keys by which an agent vouches for its own encryption keys.
//!
//! Repositories are signed on the two curves of [`Curve`](crate::Curve), whose secret the host of a repository must hold.
//! An agent's own signatures need no host, so an agent that keeps its keys to itself has a key that no host has.

use std::fmt;

use ed25519_dalek::Signer;
use zeroize::Zeroizing;

use crate::{KeyError, SIGNATURE_BYTES, multikey};

/// The secret half. It is wiped from memory when it goes out of use.
#[derive(Clone)]
pub struct Ed25519SigningKey(ed25519_dalek::SigningKey);

impl Ed25519SigningKey {
    /// A secret key from its 32 bytes. All of them make one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; ED25519_BYTES]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(bytes))
    }

    /// The 32 bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; ED25519_BYTES]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Signs a message. The same message gives the same signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> Ed25519VerifyingKey {
        Ed25519VerifyingKey(self.0.verifying_key())
    }
}

impl fmt::Debug for Ed25519SigningKey {
    /// Shows nothing secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519SigningKey").finish_non_exhaustive()
    }
}

/// The public half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ed25519VerifyingKey(ed25519_dalek::VerifyingKey);

impl Ed25519VerifyingKey {
    /// Reads a `publicKeyMultibase` of type `Multikey`.
    ///
    /// # Errors
    /// When it is not base 58, of another type, or not a point of the curve.
    pub fn from_multibase(text: &str) -> Result<Self, KeyError> {
        let bytes = multikey::decode_typed(multikey::ED25519, text)?;
        ed25519_dalek::VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyError::Public)
    }

    /// The key as a `publicKeyMultibase` of type `Multikey`.
    #[must_use]
    pub fn multibase(&self) -> String {
        multikey::encode_typed(multikey::ED25519, self.0.as_bytes())
    }

    /// Checks a signature of a message, strictly: no key of a small order, under which one signature fits many messages, and
    /// one form of each signature.
    ///
    /// # Errors
    /// When the signature is not 64 bytes, or is not of this message by this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let signature =
            ed25519_dalek::Signature::from_slice(signature).map_err(|_| KeyError::SignatureForm)?;
        self.0.verify_strict(message, &signature).map_err(|_| KeyError::Signature)
    }
}

impl fmt::Debug for Ed25519VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519VerifyingKey({})", self.multibase())
    }
}

/// Bytes of either half.
pub const ED25519_BYTES: usize = 32;
