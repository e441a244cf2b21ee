//! The data key of an envelope, and how it is sealed: under the author's epoch key, and to recipients.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use hpke::kem::XWing;
use murmuration_cipher::Cipher;
use murmuration_data::cbor::Writer;
use murmuration_platform::Entropy;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base;
use crate::binding::{Binding, Label};
use crate::dhkem::X25519;
use crate::key::Public;
use crate::{EncryptionKey, EnvelopeError, EpochKey, SecretKey, Suite};

/// The key of one envelope. It is drawn when the envelope is sealed and never used for another.
pub(crate) struct DataKey(Zeroizing<[u8; DATA_KEY_BYTES]>);

/// What is derived from a data key: one key for the text, one for the commitment.
pub(crate) struct Derived {
    content: Zeroizing<[u8; DATA_KEY_BYTES]>,
    commitment: Zeroizing<[u8; DATA_KEY_BYTES]>,
}

impl DataKey {
    pub(crate) fn fresh(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; DATA_KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    fn from_slice(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut key = Zeroizing::new([0; DATA_KEY_BYTES]);
        if bytes.len() != key.len() {
            return Err(EnvelopeError::Sealed);
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    pub(crate) fn derive(&self) -> Derived {
        let hkdf = Hkdf::<Sha256>::new(None, self.0.as_slice());
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; DATA_KEY_BYTES]);
            #[expect(clippy::expect_used, reason = "the invariant beside it")]
            // INVARIANT: HKDF-SHA256 gives up to 255 times 32 bytes.
            hkdf.expand(label, key.as_mut_slice()).expect("32 bytes");
            key
        };
        Derived { content: derive(CONTENT_KEY), commitment: derive(COMMITMENT_KEY) }
    }

    /// Seals the data key under an epoch key: the author's, or a keeper's.
    pub(crate) fn wrap_own(
        &self,
        own: &EpochKey,
        label: Label,
        nonce: &[u8; NONCE_BYTES],
        binding: &Binding,
        epoch: u32,
    ) -> [u8; WRAP_BYTES] {
        let aad = own_context(own, label, binding, epoch);
        fixed(&Cipher::new(own.expose()).seal(nonce, &aad, self.0.as_slice()))
    }

    /// Opens what [`DataKey::wrap_own`] has made.
    pub(crate) fn unwrap_own(
        own: &EpochKey,
        label: Label,
        nonce: &[u8; NONCE_BYTES],
        wrap: &[u8],
        binding: &Binding,
        epoch: u32,
    ) -> Result<Self, EnvelopeError> {
        let aad = own_context(own, label, binding, epoch);
        let opened = Cipher::new(own.expose()).open(nonce, &aad, wrap);
        Self::from_slice(&opened.ok_or(EnvelopeError::Sealed)?)
    }

    /// Seals the data key to a recipient: the encapsulated key, and the data key under it.
    pub(crate) fn wrap_for(
        &self,
        to: &EncryptionKey,
        label: Label,
        binding: &Binding,
        epoch: u32,
        entropy: &dyn Entropy,
    ) -> Result<(Vec<u8>, [u8; WRAP_BYTES]), EnvelopeError> {
        let aad = binding.context(label, epoch, &[to.key.suite().name(), to.id.as_str()]);
        let (info, text) = (label.text().as_bytes(), self.0.as_slice());
        let sealed = match &to.key.0 {
            Public::X25519(key) => base::seal::<X25519>(key, info, &aad, text, entropy),
            Public::XWing(key) => base::seal::<XWing>(key, info, &aad, text, entropy),
        };
        // The only failure: a public key of a small order, with which nothing would be secret.
        let (encapsulated, wrap) = sealed.map_err(|_| EnvelopeError::PublicKey)?;
        Ok((encapsulated, fixed(&wrap)))
    }

    /// Opens what [`DataKey::wrap_for`] has made.
    pub(crate) fn unwrap_for(
        key: &SecretKey,
        label: Label,
        id: &str,
        encapsulated: &[u8],
        wrap: &[u8],
        binding: &Binding,
        epoch: u32,
    ) -> Result<Self, EnvelopeError> {
        let aad = binding.context(label, epoch, &[key.suite().name(), id]);
        let info = label.text().as_bytes();
        let opened = match key.suite() {
            Suite::X25519 => base::open::<X25519>(&key.unpack::<X25519>(), encapsulated, info, &aad, wrap),
            Suite::XWing => base::open::<XWing>(&key.unpack::<XWing>(), encapsulated, info, &aad, wrap),
        };
        Self::from_slice(&Zeroizing::new(opened.map_err(|_| EnvelopeError::Sealed)?))
    }
}

impl Derived {
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        binding: &Binding,
        epoch: u32,
        text: &[u8],
    ) -> Vec<u8> {
        Cipher::new(&self.content).seal(nonce, &binding.context(Label::Content, epoch, &[]), text)
    }

    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        binding: &Binding,
        epoch: u32,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let context = binding.context(Label::Content, epoch, &[]);
        Cipher::new(&self.content).open(nonce, &context, ciphertext).ok_or(EnvelopeError::Sealed)
    }

    /// What ties the envelope to this one data key, and its head to what the author wrote.
    pub(crate) fn commit(&self, binding: &Binding, epoch: u32, head: &[u8]) -> [u8; COMMIT_BYTES] {
        self.mac(binding, epoch, head).finalize().into_bytes().into()
    }

    /// Checks a commitment, in the same time wherever it differs.
    pub(crate) fn check(
        &self,
        binding: &Binding,
        epoch: u32,
        head: &[u8],
        commit: &[u8; COMMIT_BYTES],
    ) -> Result<(), EnvelopeError> {
        self.mac(binding, epoch, head).verify_slice(commit).map_err(|_| EnvelopeError::Sealed)
    }

    fn mac(&self, binding: &Binding, epoch: u32, head: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "the invariant beside it")]
        // INVARIANT: HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.commitment.as_slice()).expect("a key");
        mac.update(&binding.context_of(Label::Commit, epoch, head));
        mac
    }
}

fn own_context(own: &EpochKey, label: Label, binding: &Binding, epoch: u32) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.uint(u64::from(own.epoch()));
    binding.context_of(label, epoch, writer.as_bytes())
}

/// A sealed data key, whose length follows from that of the data key.
fn fixed(wrap: &[u8]) -> [u8; WRAP_BYTES] {
    #[expect(clippy::expect_used, reason = "the invariant beside it")]
    // INVARIANT: both ciphers add a tag of 16 bytes to the 32 of a data key.
    wrap.try_into().expect("48 bytes")
}

/// Bytes of a nonce of the cipher.
pub(crate) const NONCE_BYTES: usize = murmuration_cipher::NONCE_BYTES;

/// Bytes of a sealed data key: the key and a tag.
pub(crate) const WRAP_BYTES: usize = DATA_KEY_BYTES + TAG_BYTES;

/// Bytes of a commitment, an HMAC-SHA256.
pub(crate) const COMMIT_BYTES: usize = 32;

/// Bytes that the ciphers add.
pub(crate) const TAG_BYTES: usize = murmuration_cipher::TAG_BYTES;

/// Bytes of a data key.
pub(crate) const DATA_KEY_BYTES: usize = 32;

/// What the content key is derived for.
const CONTENT_KEY: &[u8] = b"agent-envelope-v1 content key";

/// What the commitment key is derived for.
const COMMITMENT_KEY: &[u8] = b"agent-envelope-v1 commitment key";
