//! The store's own secret: what names, counts, operations and the pages of the index are kept under.
//!
//! It is drawn with the first thing that is kept, and lies sealed under the agent's keys as a memory does, so a rotation wraps one
//! row anew and not every page. What is under it says nothing without the agent's keys, as the memories themselves.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use murmuration_envelope::{Binding, SECRET_BYTES, Zeroizing};
use murmuration_keys::seal::{self, Kek};
use murmuration_platform::{Entropy, StoreError};
use murmuration_syntax::{Did, Nsid, RecordKey};
use sha2::Sha256;

use crate::MemoryError;

/// What is derived from the store's secret.
pub(crate) struct Secret {
    sealing: Kek,
    naming: Zeroizing<[u8; SECRET_BYTES]>,
}

impl Secret {
    /// Fresh bytes to make one of.
    pub(crate) fn draw(entropy: &dyn Entropy) -> Zeroizing<[u8; SECRET_BYTES]> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        bytes
    }

    /// The secret of its bytes.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() != SECRET_BYTES {
            return Err(StoreError::Corrupt("the secret of the memories has not its length".into()));
        }
        let hkdf = Hkdf::<Sha256>::new(None, bytes);
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; SECRET_BYTES]);
            #[expect(clippy::expect_used, reason = "the invariant beside it")]
            // INVARIANT: HKDF-SHA256 gives up to 255 times 32 bytes.
            hkdf.expand(label, key.as_mut_slice()).expect("32 bytes");
            key
        };
        Ok(Self { sealing: Kek::new(FORM, *derive(SEALING)), naming: derive(NAMING) })
    }

    /// Where the secret itself is sealed for.
    pub(crate) fn binding(did: &Did) -> Result<Binding, StoreError> {
        let name = Nsid::parse(KEY_COLLECTION).map_err(|_| corrupt_name())?;
        Ok(Binding { author: did.clone(), collection: name.clone(), rkey: RecordKey::only(), schema: name })
    }

    /// Seals something small, for one place.
    pub(crate) fn seal(&self, place: &str, bytes: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; seal::NONCE_BYTES];
        entropy.fill(&mut nonce);
        seal::seal(&self.sealing, nonce, place.as_bytes(), bytes)
    }

    /// Opens what was sealed for a place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MemoryError> {
        Ok(seal::open(&self.sealing, place.as_bytes(), sealed)?)
    }

    /// A name that says nothing: a keyed hash.
    pub(crate) fn name(&self, label: &str, text: &[u8]) -> [u8; NAME_BYTES] {
        #[expect(clippy::expect_used, reason = "the invariant beside it")]
        // INVARIANT: HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.naming.as_slice()).expect("a key");
        mac.update(label.as_bytes());
        // Labels have no zero byte, so no two pairs are written alike.
        mac.update(&[0]);
        mac.update(text);
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let mut name = [0; NAME_BYTES];
        for (to, from) in name.iter_mut().zip(whole) {
            *to = from;
        }
        name
    }
}

fn corrupt_name() -> StoreError {
    StoreError::Corrupt("the name of a collection is none".into())
}

/// The collection that the secret is bound to: none that has records.
const KEY_COLLECTION: &str = "agent.memory.key";

/// What the keys are derived for.
const SEALING: &[u8] = b"agent-memory-v1 sealing key";
const NAMING: &[u8] = b"agent-memory-v1 naming key";

/// The form of what is sealed.
const FORM: u32 = 1;

/// Bytes of a name: none of a million is ever met twice.
pub(crate) const NAME_BYTES: usize = 16;
