//! DHKEM(X25519, HKDF-SHA256) of RFC 9180, section 4.1, with the keys of `hpke`.
//!
//! That of `hpke` computes each public key of an ephemeral pair twice: a sixth of the time that sealing to one reader takes.

use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::{SharedSecret, X25519HkdfSha256};
use hpke::rand_core::CryptoRng;
use hpke::{Deserializable, HpkeError, Kem, Serializable};
use zeroize::Zeroizing;

/// The key encapsulation of X25519, without a key of the sender's: all that base mode wants.
pub(crate) struct X25519;

impl Kem for X25519 {
    type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
    type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
    type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;
    type NSecret = <X25519HkdfSha256 as Kem>::NSecret;

    const KEM_ID: u16 = X25519HkdfSha256::KEM_ID;

    fn sk_to_pk(key: &Self::PrivateKey) -> Self::PublicKey {
        X25519HkdfSha256::sk_to_pk(key)
    }

    fn derive_keypair(material: &[u8]) -> (Self::PrivateKey, Self::PublicKey) {
        X25519HkdfSha256::derive_keypair(material)
    }

    fn encap_with_rng(
        to: &Self::PublicKey,
        sender: Option<(&Self::PrivateKey, &Self::PublicKey)>,
        random: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, Self::EncappedKey), HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::EncapError);
        }
        let (secret, public) = Self::gen_keypair_with_rng(random);
        let (public, to) = (public.to_bytes(), to.to_bytes());
        let secret = Zeroizing::new(<[u8; KEY_BYTES]>::from(secret.to_bytes()));
        let agreed = Zeroizing::new(x25519_dalek::x25519(*secret, to.into()));
        // Section 7.1.4: a public key of small order.
        if agreed.iter().fold(0, |all, byte| all | byte) == 0 {
            return Err(HpkeError::EncapError);
        }
        let [high, low] = Self::KEM_ID.to_be_bytes();
        let mut shared = SharedSecret::default();
        HkdfSha256::extract_and_expand(
            agreed.as_slice(),
            &[b'K', b'E', b'M', high, low],
            &[public.as_slice(), to.as_slice()].concat(),
            &mut shared.0,
        )?;
        Ok((shared, Self::EncappedKey::from_bytes(&public)?))
    }

    fn decap(
        key: &Self::PrivateKey,
        sender: Option<&Self::PublicKey>,
        encapsulated: &Self::EncappedKey,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        let mut shared = SharedSecret::default();
        shared.0.copy_from_slice(&X25519HkdfSha256::decap(key, sender, encapsulated)?.0);
        Ok(shared)
    }
}

/// Bytes of a key of either half.
const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use murmuration_platform::Entropy;

    use super::*;
    use crate::base::{open, seal};

    struct Counter(Cell<u8>);

    impl Entropy for Counter {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                self.0.set(self.0.get().wrapping_mul(77).wrapping_add(13));
                *byte = self.0.get();
            }
        }
    }

    #[test]
    fn interop_seals_as_hpke_does_byte_for_byte() {
        for seed in 0..16 {
            let (secret, public) = X25519HkdfSha256::derive_keypair(&[seed; KEY_BYTES]);
            let entropy = || Counter(Cell::new(seed));
            let ours = seal::<X25519>(&public, b"info", b"aad", b"text", &entropy()).unwrap();
            let theirs = seal::<X25519HkdfSha256>(&public, b"info", b"aad", b"text", &entropy()).unwrap();
            assert_eq!(ours, theirs);
            let opened = open::<X25519>(&secret, &ours.0, b"info", b"aad", &ours.1).unwrap();
            assert_eq!(opened, b"text");
        }
    }

    #[test]
    fn refuses_a_public_key_of_small_order() {
        let mut one = [0; KEY_BYTES];
        one[0] = 1;
        for bytes in [[0; KEY_BYTES], one] {
            let public = <X25519 as Kem>::PublicKey::from_bytes(&bytes).unwrap();
            let sealed = seal::<X25519>(&public, b"", b"", b"text", &Counter(Cell::new(1)));
            assert!(matches!(sealed, Err(HpkeError::EncapError)));
        }
    }
}
