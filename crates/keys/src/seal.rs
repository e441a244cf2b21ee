//! How a secret is stored: sealed under a key-encryption key that the host has and storage has not.
//!
//! A sealed secret is
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the form, 1 |
//! | 4 | the version of the key-encryption key, big end first |
//! | 24 | the nonce |
//! | n + 16 | the secret and its tag, by XChaCha20-Poly1305 |
//!
//! The associated data are a fixed text, the first five bytes, and what the caller passes, which must say whose secret
//! it is and what for: a row copied to another account, or a rotation key put where a signing key belongs, does not
//! open. Nonces are random; 24 bytes are enough never to meet one twice.
//!
//! The version lets an operator add a new key-encryption key and seal anew in the background. A version that the host
//! lacks and a key that is another one are errors: a secret that cannot be opened is never replaced by a new one.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use murmuration_cipher::{Cipher, TAG_BYTES};
use zeroize::{Zeroize, Zeroizing};

use crate::KeyError;

/// A key-encryption key and its version. It is wiped from memory when it goes out of use.
#[derive(Clone)]
pub struct Kek {
    /// Which of the host's key-encryption keys this is.
    pub version: u32,
    /// The key.
    pub key: [u8; KEK_BYTES],
}

impl Kek {
    /// A key-encryption key.
    #[must_use]
    pub fn new(version: u32, key: [u8; KEK_BYTES]) -> Self {
        Self { version, key }
    }

    /// Reads a key-encryption key of 64 hexadecimal digits, as configuration has it.
    ///
    /// # Errors
    /// When the text is something else, or nothing but zeros.
    pub fn from_hex(version: u32, text: &str) -> Result<Self, KeyError> {
        let bytes =
            Zeroizing::new(HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| KeyError::KekForm)?);
        let key: [u8; KEK_BYTES] = bytes.as_slice().try_into().map_err(|_| KeyError::KekForm)?;
        if key == [0; KEK_BYTES] { Err(KeyError::KekForm) } else { Ok(Self { version, key }) }
    }

    fn cipher(&self) -> Cipher {
        Cipher::new(&self.key)
    }
}

impl Drop for Kek {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Kek {
    /// Shows the version only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kek").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The key-encryption keys of a host, at least one. What is sealed is sealed under the newest, that of the highest version;
/// what was sealed under another opens under that.
#[derive(Clone, Debug)]
pub struct Keks(Arc<[Kek]>);

impl Keks {
    /// Reads key-encryption keys as configuration has them: `1:<64 hexadecimal digits>`, and more of these after commas. A
    /// single key may stand without a version, and has version 1.
    ///
    /// # Errors
    /// When the text is something else, or a version is there twice.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let read = |item: &str| match item.trim().split_once(':') {
            Some((version, key)) => Kek::from_hex(version.parse().map_err(|_| KeyError::KekForm)?, key),
            None if text.contains(',') => Err(KeyError::KekForm),
            None => Kek::from_hex(FIRST_VERSION, item.trim()),
        };
        let mut keks = text.split(',').map(read).collect::<Result<Vec<_>, _>>()?;
        keks.sort_by_key(|kek| kek.version);
        match keks.is_sorted_by(|left, right| left.version < right.version) {
            true => Ok(Self(keks.into())),
            false => Err(KeyError::KekForm),
        }
    }

    fn newest(&self) -> &Kek {
        #[expect(clippy::expect_used, reason = "the invariant beside it")]
        // INVARIANT: a text has at least one item, and a Kek is one.
        self.0.last().expect("a key-encryption key")
    }

    /// Seals a secret under the newest; see [`seal`].
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], secret: &[u8]) -> Vec<u8> {
        seal(self.newest(), nonce, aad, secret)
    }

    /// Opens a secret; see [`open`].
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        open(&self.0, aad, sealed)
    }

    /// The version of the newest.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.newest().version
    }

    /// What a secret begins with that is sealed under the newest: others are to be sealed anew.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        header(self.newest().version)
    }
}

impl From<Kek> for Keks {
    fn from(kek: Kek) -> Self {
        Self(Arc::new([kek]))
    }
}

impl AsRef<[Kek]> for Kek {
    fn as_ref(&self) -> &[Kek] {
        std::slice::from_ref(self)
    }
}

/// Seals a secret. The nonce is fresh random bytes; `aad` says whose secret it is and what for.
#[must_use]
pub fn seal(kek: &Kek, nonce: [u8; NONCE_BYTES], aad: &[u8], secret: &[u8]) -> Vec<u8> {
    let header = header(kek.version);
    let sealed = kek.cipher().seal(&nonce, &bind(header, aad), secret);
    [header.as_slice(), &nonce, &sealed].concat()
}

/// Opens a secret with the one of the host's key-encryption keys that it was sealed under.
///
/// # Errors
/// When the bytes are no sealed secret, the host lacks the key-encryption key, or the secret does not open under it with
/// this `aad`.
pub fn open(keks: impl AsRef<[Kek]>, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let version = kek_version(sealed)?;
    let (header, rest) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(KeyError::SealForm)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(KeyError::SealForm)?;
    let keks = keks.as_ref();
    let kek = keks.iter().find(|kek| kek.version == version).ok_or(KeyError::KekMissing(version))?;
    kek.cipher().open(nonce, &bind(*header, aad), ciphertext).ok_or(KeyError::SealBroken)
}

/// The version of the key-encryption key that a secret was sealed under.
///
/// # Errors
/// When the bytes are no sealed secret.
pub fn kek_version(sealed: &[u8]) -> Result<u32, KeyError> {
    match sealed.split_first_chunk::<HEADER_BYTES>() {
        Some(([FORM, version @ ..], rest)) if rest.len() >= NONCE_BYTES + TAG_BYTES => {
            Ok(u32::from_be_bytes(*version))
        }
        _ => Err(KeyError::SealForm),
    }
}

fn header(version: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = version.to_be_bytes();
    [FORM, a, b, c, d]
}

/// The associated data: two parts of fixed length, and then what the caller passes.
fn bind(header: [u8; HEADER_BYTES], aad: &[u8]) -> Vec<u8> {
    [CONTEXT, &header, aad].concat()
}

/// Bytes of a key-encryption key.
const KEK_BYTES: usize = 32;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = murmuration_cipher::NONCE_BYTES;

/// Bytes that sealing adds to a secret.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

/// Bytes that say how a secret is sealed, and under which version.
pub const HEADER_BYTES: usize = 5;

/// The version of a key-encryption key that names none.
const FIRST_VERSION: u32 = 1;

/// The form described above.
const FORM: u8 = 1;

/// Keeps these secrets apart from anything else that may ever be sealed under the same key.
const CONTEXT: &[u8] = b"murmuration/sealed-secret";

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (Kek, Vec<u8>) {
        let kek = Kek::new(2, [9; 32]);
        let sealed = seal(&kek, [4; 24], b"did:plc:a signing", b"the secret");
        (kek, sealed)
    }

    #[test]
    fn a_sealed_secret_opens_with_its_key_among_others() {
        let (kek, sealed) = sealed();
        assert_eq!(sealed.len(), b"the secret".len() + OVERHEAD_BYTES);
        assert_eq!(kek_version(&sealed), Ok(2));
        assert_eq!(kek_version(&sealed[..OVERHEAD_BYTES]), Ok(2), "of nothing");
        assert_eq!(kek_version(&sealed[..OVERHEAD_BYTES - 1]), Err(KeyError::SealForm));
        let keks = [Kek::new(1, [8; 32]), kek.clone(), Kek::new(3, [7; 32])];
        assert_eq!(open(keks.as_slice(), b"did:plc:a signing", &sealed).unwrap().as_slice(), b"the secret");
        assert_eq!(open(&kek, b"did:plc:a signing", &sealed).unwrap().as_slice(), b"the secret");
    }

    #[test]
    fn a_missing_or_wrong_key_is_an_error_of_its_own() {
        let (_, sealed) = sealed();
        let none: [Kek; 0] = [];
        assert_eq!(open(none, b"did:plc:a signing", &sealed).err(), Some(KeyError::KekMissing(2)));
        let other = Kek::new(1, [9; 32]);
        assert_eq!(open(&other, b"did:plc:a signing", &sealed).err(), Some(KeyError::KekMissing(2)));
        let wrong = Kek::new(2, [8; 32]);
        assert_eq!(open(&wrong, b"did:plc:a signing", &sealed).err(), Some(KeyError::SealBroken));
    }

    #[test]
    fn a_secret_does_not_open_elsewhere() {
        let (kek, sealed) = sealed();
        for aad in [b"did:plc:b signing".as_slice(), b"did:plc:a rotation", b"", b"did:plc:a signing "] {
            assert_eq!(open(&kek, aad, &sealed).err(), Some(KeyError::SealBroken));
        }
    }

    #[test]
    fn no_bit_can_change_and_no_byte_can_go() {
        let (kek, sealed) = sealed();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut bad = sealed.clone();
                bad[at] ^= 1 << bit;
                assert!(open(&kek, b"did:plc:a signing", &bad).is_err(), "bit {bit} of byte {at}");
            }
            assert!(open(&kek, b"did:plc:a signing", &sealed[..at]).is_err(), "the first {at} bytes");
        }
    }

    /// So that secrets sealed by an older build stay open: the bytes are fixed.
    #[test]
    fn the_form_of_a_sealed_secret_does_not_change() {
        let (_, sealed) = sealed();
        let (head, rest) = sealed.split_at(29);
        assert_eq!(head, [&[1, 0, 0, 0, 2], [4; 24].as_slice()].concat());
        assert_eq!(
            data_encoding::HEXLOWER.encode(rest),
            "8aa4f436117524bab0cbfbc0257382a5f6fda697b64c0442628f"
        );
    }

    #[test]
    fn the_newest_seals_and_every_one_opens_what_it_has_sealed() {
        let (one, two) = ("0a".repeat(32), "0b".repeat(32));
        let old = Keks::parse(&one).unwrap();
        let sealed = old.seal([4; 24], b"aad", b"secret");
        for text in [format!("1:{one},2:{two}"), format!("2:{two}, 1:{one}")] {
            let both = Keks::parse(&text).unwrap();
            assert_eq!(both.open(b"aad", &sealed).unwrap().as_slice(), b"secret");
            let anew = both.seal([4; 24], b"aad", b"secret");
            assert_eq!((kek_version(&sealed), kek_version(&anew)), (Ok(1), Ok(2)));
            assert_eq!((old.version(), both.version()), (1, 2));
            assert!(anew.starts_with(&both.header()) && !sealed.starts_with(&both.header()));
            assert_eq!(old.open(b"aad", &anew).err(), Some(KeyError::KekMissing(2)));
        }
        let bad = [
            "",
            ",",
            "1:",
            "x:00",
            &format!("{one},{two}"),
            &format!("{one},2:{two}"),
            &format!("1:{one},1:{two}"),
            &format!("1:{one},"),
        ];
        for text in bad {
            assert_eq!(Keks::parse(text).err(), Some(KeyError::KekForm), "{text}");
        }
    }

    #[test]
    fn rejects_keys_of_the_wrong_form() {
        assert_eq!(Kek::from_hex(1, &"0".repeat(64)).err(), Some(KeyError::KekForm));
        assert_eq!(Kek::from_hex(1, &"0a".repeat(31)).err(), Some(KeyError::KekForm));
        assert_eq!(Kek::from_hex(1, "").err(), Some(KeyError::KekForm));
        assert_eq!(Kek::from_hex(1, &"0A".repeat(32)).unwrap().key, [10; 32]);
        assert_eq!(format!("{:?}", Kek::new(1, [77; 32])), "Kek { version: 1, .. }");
    }
}
