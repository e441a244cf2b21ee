//! The secret half of a signing key.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use k256::ecdsa::signature::Signer;
use zeroize::{Zeroize, Zeroizing};

use crate::verifying::read_k256;
use crate::{Curve, KeyError, Verify, VerifyingKey, own};

/// The secret half of a signing key. It is wiped from memory when it goes out of use.
#[derive(Clone)]
pub struct SigningKey(Scalar);

/// The libraries' keys wipe themselves.
#[derive(Clone)]
enum Scalar {
    K256(k256::ecdsa::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl SigningKey {
    /// Reads the 32 bytes of a secret key.
    ///
    /// # Errors
    /// When they are zero, or not below the order of the curve.
    pub fn from_bytes(curve: Curve, bytes: &[u8; SECRET_BYTES]) -> Result<Self, KeyError> {
        let scalar = match curve {
            Curve::K256 => k256::ecdsa::SigningKey::from_slice(bytes).map(Scalar::K256),
            Curve::P256 => p256::ecdsa::SigningKey::from_slice(bytes).map(Scalar::P256),
        };
        scalar.map(Self).map_err(|_| KeyError::Secret)
    }

    /// Reads a secret key of 64 hexadecimal digits, as configuration has it.
    ///
    /// # Errors
    /// When the text is something else, or not a secret key of the curve.
    pub fn from_hex(curve: Curve, text: &str) -> Result<Self, KeyError> {
        let bytes =
            Zeroizing::new(HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| KeyError::Secret)?);
        let bytes: &[u8; SECRET_BYTES] = bytes.as_slice().try_into().map_err(|_| KeyError::Secret)?;
        Self::from_bytes(curve, bytes)
    }

    /// A new key from a source of secure random bytes.
    ///
    /// A few 32 bytes are no secret key, on P-256 one in four thousand million; more are then asked for.
    ///
    /// # Errors
    /// When the source gives nothing usable again and again, which is to say that it is broken.
    pub fn generate(curve: Curve, mut fill: impl FnMut(&mut [u8])) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        for _ in 0..GENERATE_ATTEMPTS {
            fill(bytes.as_mut_slice());
            if let Ok(key) = Self::from_bytes(curve, &bytes) {
                return Ok(key);
            }
        }
        Err(KeyError::Secret)
    }

    /// The 32 bytes of the secret key, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; SECRET_BYTES]> {
        let mut field = match &self.0 {
            Scalar::K256(key) => key.to_bytes(),
            Scalar::P256(key) => key.to_bytes(),
        };
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        bytes.copy_from_slice(&field);
        field.as_mut_slice().zeroize();
        bytes
    }

    /// Signs a message: SHA-256, the nonce of RFC 6979, `r` and then `s`, low `s`. The same message gives the same
    /// signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match &self.0 {
            Scalar::K256(key) => {
                let signature: k256::ecdsa::Signature = key.sign(message);
                signature.normalize_s().to_bytes().into()
            }
            Scalar::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.normalize_s().to_bytes().into()
            }
        }
    }

    /// The curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        match self.0 {
            Scalar::K256(_) => Curve::K256,
            Scalar::P256(_) => Curve::P256,
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Scalar::K256(key) => VerifyingKey::of_k256(key),
            Scalar::P256(key) => VerifyingKey::of_p256(key),
        }
    }

    /// The public half as a `did:key`.
    #[must_use]
    pub fn did_key(&self) -> String {
        self.verifying_key().did_key()
    }
}

impl Verify for SigningKey {
    /// Faster than with the public half, where the curve is K-256.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        match &self.0 {
            Scalar::K256(key) => {
                let signature = read_k256(signature, true)?;
                match own::is_signed(key.as_nonzero_scalar(), message, &signature) {
                    true => Ok(()),
                    false => Err(KeyError::Signature),
                }
            }
            Scalar::P256(_) => self.verifying_key().verify(message, signature),
        }
    }
}

impl fmt::Debug for SigningKey {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.did_key())
    }
}

/// Bytes of a signature: two numbers of 32.
pub const SIGNATURE_BYTES: usize = 64;

/// Bytes of a secret key.
const SECRET_BYTES: usize = 32;

/// How often [`SigningKey::generate`] asks its source. Two failures in a row do not happen by chance.
const GENERATE_ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_on_both_curves_with_a_low_s_and_always_alike() {
        for curve in [Curve::K256, Curve::P256] {
            let key = SigningKey::from_bytes(curve, &[3; 32]).unwrap();
            let public = key.verifying_key();
            for message in 0..64_u8 {
                let signature = key.sign(&[message]);
                assert_eq!(signature, key.sign(&[message]));
                let halves: [&dyn Verify; 2] = [&public, &key];
                for verify in halves {
                    verify.verify(&[message], &signature).unwrap();
                    assert_eq!(verify.verify(&[message, 0], &signature), Err(KeyError::Signature));
                }
            }
        }
    }

    #[test]
    fn both_halves_refuse_a_signature_with_any_bit_turned() {
        for curve in [Curve::K256, Curve::P256] {
            let key = SigningKey::from_bytes(curve, &[7; 32]).unwrap();
            let signature = key.sign(b"message");
            for bit in 0..signature.len() * 8 {
                let mut turned = signature;
                turned[bit / 8] ^= 1 << (bit % 8);
                let refused = key.verify(b"message", &turned);
                assert!(refused.is_err(), "{bit}");
                assert_eq!(refused, key.verifying_key().verify(b"message", &turned), "{bit}");
            }
        }
    }

    #[test]
    fn rejects_secrets_that_are_zero_or_not_below_the_order() {
        for curve in [Curve::K256, Curve::P256] {
            for bytes in [[0; 32], [0xff; 32]] {
                assert_eq!(SigningKey::from_bytes(curve, &bytes).err(), Some(KeyError::Secret));
            }
        }
        assert_eq!(SigningKey::from_hex(Curve::K256, "07").err(), Some(KeyError::Secret));
    }

    #[test]
    fn generating_asks_again_and_gives_up_on_a_broken_source() {
        let mut calls = 0;
        let key = SigningKey::generate(Curve::P256, |bytes| {
            calls += 1;
            bytes.fill(if calls < 3 { 0xff } else { 5 });
        });
        assert_eq!(*key.unwrap().to_bytes(), [5; 32]);
        assert_eq!(calls, 3);
        assert_eq!(SigningKey::generate(Curve::K256, |bytes| bytes.fill(0)).err(), Some(KeyError::Secret));
    }

    #[test]
    fn what_is_shown_of_a_key_is_its_public_half() {
        let key = SigningKey::from_hex(Curve::K256, &"07".repeat(32)).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.did_key()) && !shown.contains("0707"));
    }
}
