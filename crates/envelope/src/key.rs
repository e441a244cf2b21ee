//! Encryption keys: their names, and their public and secret halves.

use std::fmt;

use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{Deserializable, Kem, Serializable};
use murmuration_platform::Entropy;
use murmuration_syntax::Did;
use zeroize::Zeroizing;

use crate::{EnvelopeError, Suite};

/// The name of an encryption key: a DID, `#`, and a fragment, as in `did:plc:abc#agent-enc-3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    text: Box<str>,
    did: Did,
}

impl KeyId {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is longer than [`MAX_KEY_ID_BYTES`], or is not a DID and a fragment of 1 to 64 letters, digits, `.`, `_`
    /// and `-`.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let (did, fragment) = text.split_once('#').ok_or(EnvelopeError::KeyId)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=MAX_FRAGMENT_BYTES).contains(&fragment.len()) && text.len() <= MAX_KEY_ID_BYTES;
        if !fits || !fragment.bytes().all(plain) {
            return Err(EnvelopeError::KeyId);
        }
        let did = Did::parse(did).map_err(|_| EnvelopeError::KeyId)?;
        Ok(Self { text: text.into(), did })
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whose key it is.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }
}

/// The public half of an encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub(crate) Public);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Public {
    X25519(<X25519HkdfSha256 as Kem>::PublicKey),
    // Fifty times as large as the other.
    XWing(Box<<XWing as Kem>::PublicKey>),
}

impl PublicKey {
    /// Reads the bytes that the suite's specification gives to a public key.
    ///
    /// # Errors
    /// When they are none.
    pub fn from_bytes(suite: Suite, bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let refused = |_| EnvelopeError::PublicKey;
        Ok(Self(match suite {
            Suite::X25519 => Public::X25519(Deserializable::from_bytes(bytes).map_err(refused)?),
            Suite::XWing => Public::XWing(Box::new(Deserializable::from_bytes(bytes).map_err(refused)?)),
        }))
    }

    /// The bytes that the suite's specification gives to it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Public::X25519(key) => key.to_bytes().to_vec(),
            Public::XWing(key) => key.to_bytes().to_vec(),
        }
    }

    /// The suite it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match &self.0 {
            Public::X25519(_) => Suite::X25519,
            Public::XWing(_) => Suite::XWing,
        }
    }
}

/// The secret half of an encryption key: 32 bytes, for X-Wing the seed of both of its halves. Wiped when it goes out of use.
#[derive(Clone)]
pub struct SecretKey {
    suite: Suite,
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
}

impl SecretKey {
    /// A new secret key.
    #[must_use]
    pub fn generate(suite: Suite, entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self { suite, bytes }
    }

    /// A secret key from its bytes. All 32 bytes make one, in either suite.
    #[must_use]
    pub fn from_bytes(suite: Suite, bytes: Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        Self { suite, bytes }
    }

    /// The secret bytes, to be sealed and stored.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.bytes
    }

    /// The suite it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(match self.suite {
            Suite::X25519 => Public::X25519(X25519HkdfSha256::sk_to_pk(&self.unpack::<X25519HkdfSha256>())),
            Suite::XWing => Public::XWing(Box::new(XWing::sk_to_pk(&self.unpack::<XWing>()))),
        })
    }

    pub(crate) fn unpack<K: Kem>(&self) -> K::PrivateKey {
        // INVARIANT: both suites take any 32 bytes as a secret key.
        #[expect(clippy::expect_used, reason = "the invariant above")]
        K::PrivateKey::from_bytes(self.bytes.as_slice()).expect("32 bytes")
    }
}

impl fmt::Debug for SecretKey {
    /// Shows the suite only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// An encryption key as its owner publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionKey {
    /// Its name.
    pub id: KeyId,
    /// The owner's epoch that it belongs to.
    pub epoch: u32,
    /// The key.
    pub key: PublicKey,
}

/// A secret key of a recipient's own, with what it published of it.
#[derive(Clone, Debug)]
pub struct DecryptionKey {
    /// The name it is published under.
    pub id: KeyId,
    /// The owner's epoch that it belongs to.
    pub epoch: u32,
    /// The key.
    pub key: SecretKey,
}

impl DecryptionKey {
    /// What is published of it.
    #[must_use]
    pub fn published(&self) -> EncryptionKey {
        EncryptionKey { id: self.id.clone(), epoch: self.epoch, key: self.key.public_key() }
    }
}

/// The symmetric key that an author's own copies are sealed under in one epoch. Wiped when it goes out of use.
#[derive(Clone)]
pub struct EpochKey {
    epoch: u32,
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
}

impl EpochKey {
    /// A new key for an epoch.
    #[must_use]
    pub fn generate(epoch: u32, entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self { epoch, bytes }
    }

    /// The key of an epoch from its bytes.
    #[must_use]
    pub fn from_bytes(epoch: u32, bytes: Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        Self { epoch, bytes }
    }

    /// The secret bytes, to be sealed and stored.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.bytes
    }

    /// Which of the author's epochs it is for.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl fmt::Debug for EpochKey {
    /// Shows the epoch only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Bytes of a secret key and of an epoch key.
pub const SECRET_BYTES: usize = 32;

/// Bytes of the longest name of a key (`agent.crypto.defs#recipient`).
pub const MAX_KEY_ID_BYTES: usize = 256;

/// Bytes of the longest fragment (`agent.identity.defs#keyEntry`).
const MAX_FRAGMENT_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_a_did_and_a_fragment() {
        let id = KeyId::parse("did:plc:abc#agent-enc-3").unwrap();
        assert_eq!((id.did().as_str(), id.as_str()), ("did:plc:abc", "did:plc:abc#agent-enc-3"));
        let long = format!("did:plc:abc#{}", "a".repeat(65));
        let longer = format!("did:web:{}#a", "a".repeat(250));
        for text in
            ["", "did:plc:abc", "did:plc:abc#", "abc#a", "did:plc:abc#a#b", "did:plc:abc#a b", &long, &longer]
        {
            assert_eq!(KeyId::parse(text).err(), Some(EnvelopeError::KeyId), "{text}");
        }
    }

    #[test]
    fn a_public_key_has_the_length_of_its_suite() {
        for suite in [Suite::X25519, Suite::XWing] {
            let secret = SecretKey::from_bytes(suite, Zeroizing::new([3; 32]));
            let bytes = secret.public_key().to_bytes();
            assert_eq!(bytes.len(), suite.public_key_bytes());
            assert_eq!(PublicKey::from_bytes(suite, &bytes), Ok(secret.public_key()));
            assert_eq!(PublicKey::from_bytes(suite, &bytes[1..]), Err(EnvelopeError::PublicKey));
        }
        // Coefficients beyond the modulus of ML-KEM.
        assert_eq!(PublicKey::from_bytes(Suite::XWing, &[0xff; 1216]), Err(EnvelopeError::PublicKey));
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let secret = SecretKey::from_bytes(Suite::XWing, Zeroizing::new([77; 32]));
        assert_eq!(format!("{secret:?}"), "SecretKey { suite: XWing, .. }");
        assert_eq!(
            format!("{:?}", EpochKey::from_bytes(3, Zeroizing::new([77; 32]))),
            "EpochKey { epoch: 3, .. }"
        );
    }
}
