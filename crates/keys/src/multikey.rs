//! Public keys as text: multibase, base 58.

use multibase::Base;

use crate::KeyError;

/// An X25519 public key as a `publicKeyMultibase` of type `Multikey`, for the key agreement of a DID document.
#[must_use]
pub fn x25519_to_multibase(key: &[u8; 32]) -> String {
    encode_typed(X25519, key)
}

/// Reads the bytes of an X25519 public key from a `publicKeyMultibase` of type `Multikey`.
///
/// # Errors
/// When it is not base 58, or of another type.
pub fn x25519_from_multibase(text: &str) -> Result<[u8; 32], KeyError> {
    decode_typed(X25519, text)
}

/// Writes a key of 32 bytes after its type.
pub(crate) fn encode_typed(codec: [u8; 2], key: &[u8; 32]) -> String {
    encode(&[codec.as_slice(), key].concat())
}

/// Reads a key of 32 bytes after its type.
pub(crate) fn decode_typed(codec: [u8; 2], text: &str) -> Result<[u8; 32], KeyError> {
    let bytes = decode(text)?;
    let key = bytes.strip_prefix(codec.as_slice()).ok_or(KeyError::KeyType)?;
    key.try_into().map_err(|_| KeyError::Public)
}

/// Writes bytes in base 58, after the `z` that says so.
pub(crate) fn encode(bytes: &[u8]) -> String {
    multibase::encode(Base::Base58Btc, bytes)
}

/// Reads bytes in base 58 after a `z`. Base 58 takes time by the square of the length, so that is bounded first.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(KeyError::Multibase);
    }
    let digits = text.strip_prefix('z').filter(|digits| !digits.is_empty()).ok_or(KeyError::Multibase)?;
    Base::Base58Btc.decode(digits).map_err(|_| KeyError::Multibase)
}

/// The varint that stands before an Ed25519 public key, as the multicodec table has it: 0xed.
pub(crate) const ED25519: [u8; 2] = [0xed, 0x01];
/// The same for X25519: 0xec.
const X25519: [u8; 2] = [0xec, 0x01];

/// The longest text looked at, in bytes. The longest key, 65 bytes of an uncompressed point, has 90.
const MAX_TEXT_BYTES: usize = 128;
