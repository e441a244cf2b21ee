//! The public half of a signing key.

use std::fmt;

use k256::ecdsa::signature::Verifier;

use crate::{Curve, KeyError, Verify, multikey};

/// The public half of a signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(Point);

#[derive(Clone, PartialEq, Eq)]
enum Point {
    K256(k256::ecdsa::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

impl VerifyingKey {
    /// Reads a `did:key`.
    ///
    /// # Errors
    /// When it is not the `did:key` of a point on a curve we know.
    pub fn from_did_key(text: &str) -> Result<Self, KeyError> {
        Self::from_multibase(text.strip_prefix("did:key:").ok_or(KeyError::DidKey)?)
    }

    /// Reads a `publicKeyMultibase` of type `Multikey`: the type of the key and a compressed point, in base 58.
    ///
    /// # Errors
    /// When it is not base 58, not of a curve we know, or not a compressed point on it.
    pub fn from_multibase(text: &str) -> Result<Self, KeyError> {
        let bytes = multikey::decode(text)?;
        let (codec, point) = bytes.split_first_chunk::<2>().ok_or(KeyError::KeyType)?;
        let curve = [Curve::K256, Curve::P256].into_iter().find(|curve| curve.multicodec() == *codec);
        let curve = curve.ok_or(KeyError::KeyType)?;
        if point.len() != COMPRESSED_BYTES {
            return Err(KeyError::Public);
        }
        Self::from_sec1(curve, point)
    }

    /// Reads a `publicKeyMultibase` of the older types, such as `EcdsaSecp256k1VerificationKey2019`: a point, compressed
    /// or not, in base 58. The type of the verification method tells the curve.
    ///
    /// # Errors
    /// When it is not base 58, or not a point on the curve.
    pub fn from_legacy_multibase(curve: Curve, text: &str) -> Result<Self, KeyError> {
        Self::from_sec1(curve, &multikey::decode(text)?)
    }

    /// Reads a point in the form of SEC 1, compressed or not.
    ///
    /// # Errors
    /// When it is not a point on the curve.
    pub fn from_sec1(curve: Curve, bytes: &[u8]) -> Result<Self, KeyError> {
        let point = match curve {
            Curve::K256 => k256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map(Point::K256),
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map(Point::P256),
        };
        point.map(Self).map_err(|_| KeyError::Public)
    }

    pub(crate) fn of_k256(key: &k256::ecdsa::SigningKey) -> Self {
        Self(Point::K256(*key.verifying_key()))
    }

    pub(crate) fn of_p256(key: &p256::ecdsa::SigningKey) -> Self {
        Self(Point::P256(*key.verifying_key()))
    }

    /// The curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        match self.0 {
            Point::K256(_) => Curve::K256,
            Point::P256(_) => Curve::P256,
        }
    }

    /// The point in the form of SEC 1: 33 bytes compressed, 65 if not.
    #[must_use]
    pub fn to_sec1(&self, compress: bool) -> Vec<u8> {
        match &self.0 {
            Point::K256(key) => key.to_sec1_point(compress).as_bytes().to_vec(),
            Point::P256(key) => key.to_sec1_point(compress).as_bytes().to_vec(),
        }
    }

    /// The key as a `did:key`.
    #[must_use]
    pub fn did_key(&self) -> String {
        format!("did:key:{}", self.multibase())
    }

    /// The key as a `publicKeyMultibase` of type `Multikey`.
    #[must_use]
    pub fn multibase(&self) -> String {
        multikey::encode(&[self.curve().multicodec().as_slice(), &self.to_sec1(true)].concat())
    }

    /// Checks a signature of a message, by the protocol's rules: 64 bytes, low `s`.
    ///
    /// # Errors
    /// When the signature is of another form, has a high `s`, or is not of this message by this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.check(message, signature, true)
    }

    /// Checks a signature of a message, with `s` in either half.
    ///
    /// For tokens alone: their libraries and hardware do not lower `s`, and a token's bytes name nothing. Never for
    /// commits or operations.
    ///
    /// # Errors
    /// When the signature is not 64 bytes, or is not of this message by this key.
    pub fn verify_tolerant(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.check(message, signature, false)
    }

    fn check(&self, message: &[u8], signature: &[u8], strict: bool) -> Result<(), KeyError> {
        match &self.0 {
            Point::K256(key) => key.verify(message, &read_k256(signature, strict)?),
            Point::P256(key) => key.verify(message, &read_p256(signature, strict)?),
        }
        .map_err(|_| KeyError::Signature)
    }
}

impl Verify for VerifyingKey {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.check(message, signature, true)
    }
}

/// Reads a signature on K-256. One with a high `s` is refused if `strict`, and lowered otherwise.
pub(crate) fn read_k256(signature: &[u8], strict: bool) -> Result<k256::ecdsa::Signature, KeyError> {
    // A DER signature may by chance have 64 bytes; it is then read as two halves, and does not verify.
    let given = k256::ecdsa::Signature::from_slice(signature).map_err(|_| KeyError::SignatureForm)?;
    let low = given.normalize_s();
    if strict && low != given { Err(KeyError::SignatureHighS) } else { Ok(low) }
}

/// As [`read_k256`], on P-256.
fn read_p256(signature: &[u8], strict: bool) -> Result<p256::ecdsa::Signature, KeyError> {
    let given = p256::ecdsa::Signature::from_slice(signature).map_err(|_| KeyError::SignatureForm)?;
    let low = given.normalize_s();
    if strict && low != given { Err(KeyError::SignatureHighS) } else { Ok(low) }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.did_key())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

/// Bytes of a compressed point.
const COMPRESSED_BYTES: usize = 33;
