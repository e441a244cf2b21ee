//! What is done in vector registers in Wasm, and natively is not: here against what is plain, on the same numbers.

use std::error::Error;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use murmuration_cipher::Cipher;
use murmuration_embedding::dot;
use murmuration_platform::Entropy;

use crate::entropy::SystemEntropy;

/// Lengths around whole registers and blocks, in coordinates and in bytes.
const LENGTHS: std::ops::Range<usize> = 0..600;
/// The most coordinates, which are all the least number there is.
const MOST: usize = murmuration_embedding::MAX_DIMS;

/// Whether this module has vector registers; an error where one of them computes something else than it should.
pub(super) fn check() -> Result<bool, Box<dyn Error>> {
    let (mut key, mut nonce, mut bytes) = ([0; 32], [0; 24], [0; 2 * LENGTHS.end]);
    for length in LENGTHS {
        SystemEntropy.fill(&mut key);
        SystemEntropy.fill(&mut nonce);
        SystemEntropy.fill(&mut bytes);
        let (one, other) = bytes.split_at(length);
        let (own, library) = (Cipher::new(&key), XChaCha20Poly1305::new(&key.into()));
        let sealed = own.seal(&nonce, b"here", one);
        let payload = Payload { msg: &sealed, aad: b"here" };
        if library.decrypt(&nonce.into(), payload).ok().as_deref() != Some(one) {
            return Err(format!("{length} bytes are not sealed as by the library").into());
        }
        if own.open(&nonce, b"here", &sealed).is_none_or(|opened| opened.as_slice() != one) {
            return Err(format!("{length} bytes do not open").into());
        }
        let signed = |bytes: &[u8]| bytes.iter().map(|byte| byte.cast_signed()).collect::<Vec<i8>>();
        let (one, other) = (signed(one), signed(other));
        let plain: i32 = one.iter().zip(&other).map(|(one, other)| i32::from(*one) * i32::from(*other)).sum();
        if dot(&one, &other) != plain {
            return Err(format!("the product of {length} coordinates is another").into());
        }
    }
    let least = [i8::MIN; MOST];
    if u32::try_from(dot(&least, &least)) != Ok(128 * 128 * 1536) {
        return Err("the greatest product is another".into());
    }
    Ok(cfg!(target_feature = "simd128"))
}
