//! HPKE in base mode (RFC 9180, section 6.1, <https://www.rfc-editor.org/rfc/rfc9180>), with HKDF-SHA256 and
//! ChaCha20-Poly1305.
//!
//! The key encapsulation draws its randomness from the host: 32 bytes for X25519, from which the ephemeral key pair is
//! derived as `DeriveKeyPair` says, and 64 for X-Wing.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable};
use murmuration_platform::Entropy;

/// HPKE's SealBase: the encapsulated key and the ciphertext.
pub(crate) fn seal<K: Kem>(
    to: &K::PublicKey,
    info: &[u8],
    aad: &[u8],
    text: &[u8],
    entropy: &dyn Entropy,
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let mut random = Random(entropy);
    let sealed = hpke::single_shot_seal_with_rng::<HpkeAead, HpkeKdf, K>(
        &OpModeS::Base,
        to,
        info,
        text,
        aad,
        &mut random,
    );
    sealed.map(|(encapsulated, ciphertext)| (encapsulated.to_bytes().to_vec(), ciphertext))
}

/// HPKE's OpenBase.
pub(crate) fn open<K: Kem>(
    key: &K::PrivateKey,
    encapsulated: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, HpkeError> {
    let encapsulated = K::EncappedKey::from_bytes(encapsulated)?;
    hpke::single_shot_open::<HpkeAead, HpkeKdf, K>(&OpModeR::Base, key, &encapsulated, info, ciphertext, aad)
}

/// The host's entropy as `hpke` takes it.
struct Random<'a>(&'a dyn Entropy);

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}

type HpkeAead = hpke::aead::ChaCha20Poly1305;
type HpkeKdf = hpke::kdf::HkdfSha256;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use data_encoding::HEXLOWER;
    use hpke::kem::XWing;
    use serde_json::Value;

    use super::*;
    use crate::Suite;
    use crate::dhkem::X25519;

    /// Gives what it was made of, once.
    struct Tape(RefCell<Vec<u8>>);

    impl Entropy for Tape {
        fn fill(&self, buffer: &mut [u8]) {
            let mut left = self.0.borrow_mut();
            buffer.copy_from_slice(&left[..buffer.len()]);
            left.drain(..buffer.len());
        }
    }

    fn reproduces<K: Kem>(vector: &Value) {
        let field = |name: &str| HEXLOWER.decode(vector[name].as_str().unwrap().as_bytes()).unwrap();
        let (info, aad) = (field("info"), field("aad"));
        let tape = Tape(RefCell::new(field("ikmE")));
        let to = K::PublicKey::from_bytes(&field("pkRm")).unwrap();
        let (encapsulated, ciphertext) = seal::<K>(&to, &info, &aad, &field("pt"), &tape).unwrap();
        assert_eq!(encapsulated, field("enc"));
        assert_eq!(ciphertext, field("ct"));
        assert!(tape.0.borrow().is_empty());
        let key = K::PrivateKey::from_bytes(&field("skRm")).unwrap();
        assert_eq!(K::sk_to_pk(&key).to_bytes().to_vec(), field("pkRm"));
        assert_eq!(open::<K>(&key, &encapsulated, &info, &aad, &ciphertext).unwrap(), field("pt"));
        assert!(open::<K>(&key, &encapsulated, b"", &aad, &ciphertext).is_err());
        assert!(open::<K>(&key, &encapsulated, &info, b"", &ciphertext).is_err());
    }

    /// Foreign truth: RFC 9180 for X25519, the vectors of draft-ietf-hpke-pq for X-Wing.
    #[test]
    fn interop_both_suites_reproduce_the_published_vectors() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/vectors/hpke.json")).unwrap();
        assert_eq!(vectors.len(), 2);
        for vector in &vectors {
            match Suite::parse(vector["suite"].as_str().unwrap()).unwrap() {
                Suite::X25519 => reproduces::<X25519>(vector),
                Suite::XWing => reproduces::<XWing>(vector),
            }
        }
    }
}
