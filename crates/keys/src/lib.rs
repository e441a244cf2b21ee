//! Signing keys, did:key, and the sealing of secret keys at rest.
//!
//! Accounts sign with ECDSA over SHA-256 on one of two curves. The protocol is narrower than the libraries: a signature
//! is 64 bytes, `r` and then `s`, with `s` in the lower half, so that a commit has one signature and not two
//! (<https://atproto.com/specs/cryptography>).
//!
//! - [`SigningKey`] and [`VerifyingKey`]: the two halves, on either [`Curve`].
//! - [`Ed25519SigningKey`] and [`Ed25519VerifyingKey`]: an agent's own signatures, beside those of its repository.
//! - [`seal`]: how a secret key is stored, under a key-encryption key that comes from the host.
//!
//! ```
//! use murmuration_keys::{Curve, SigningKey, VerifyingKey};
//!
//! let key = SigningKey::from_bytes(Curve::K256, &[7; 32])?;
//! let signature = key.sign(b"hello");
//! let public = VerifyingKey::from_did_key(&key.did_key())?;
//! public.verify(b"hello", &signature)?;
//! assert!(public.verify(b"hullo", &signature).is_err());
//! # Ok::<(), murmuration_keys::KeyError>(())
//! ```
//!
//! There is no entropy here: secrets and nonces come from the caller, who has a source of them.

mod curve;
mod ed25519;
mod error;
mod multikey;
mod own;
pub mod seal;
mod signing;
mod verifying;

pub use curve::Curve;
pub use ed25519::{ED25519_BYTES, Ed25519SigningKey, Ed25519VerifyingKey};
pub use error::KeyError;
pub use multikey::{x25519_from_multibase, x25519_to_multibase};
pub use signing::{SIGNATURE_BYTES, SigningKey};
pub use verifying::VerifyingKey;
pub use zeroize::{Zeroize, Zeroizing};

/// What can tell whether a signature is by a certain key: either half of it.
pub trait Verify {
    /// Checks a signature of a message, by the protocol's rules: 64 bytes, low `s`.
    ///
    /// # Errors
    /// When the signature is of another form, has a high `s`, or is not of this message by this key.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError>;
}
