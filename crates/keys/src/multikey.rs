//! Public keys as text: multibase, base 58.

use multibase::Base;

use crate::KeyError;

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

/// The longest text looked at, in bytes. The longest key, 65 bytes of an uncompressed point, has 90.
const MAX_TEXT_BYTES: usize = 128;
