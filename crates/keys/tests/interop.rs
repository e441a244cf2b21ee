//! The published interop files of cryptography: signatures and `did:key`.

use std::path::PathBuf;

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use murmuration_keys::{Curve, KeyError, SigningKey, VerifyingKey};
use serde_json::Value;

/// The cases of a file, or nothing where the interop data is absent.
fn cases(name: &str) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/interop/crypto");
    if !folder.exists() {
        println!("skipped: {name}: no interop data at {}", folder.display());
        return Vec::new();
    }
    let text = std::fs::read(folder.join(name)).expect("a file of the interop data");
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert!(!cases.is_empty());
    cases
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

#[test]
fn interop_signatures() {
    for case in cases("signature-fixtures.json") {
        let comment = text(&case, "comment");
        let message = BASE64_NOPAD.decode(text(&case, "messageBase64").as_bytes()).unwrap();
        let signature = BASE64_NOPAD.decode(text(&case, "signatureBase64").as_bytes()).unwrap();
        let key = VerifyingKey::from_did_key(text(&case, "publicKeyDid")).unwrap();
        assert_eq!(key.did_key(), text(&case, "publicKeyDid"));
        assert_eq!(key.curve().token_algorithm(), text(&case, "algorithm"));
        let legacy = VerifyingKey::from_legacy_multibase(key.curve(), text(&case, "publicKeyMultibase"));
        assert_eq!(legacy.unwrap(), key, "{comment}");

        let expected = match case["tags"][0].as_str() {
            None => Ok(()),
            Some("high-s") => Err(KeyError::SignatureHighS),
            Some("der-encoded") => Err(KeyError::SignatureForm),
            Some(tag) => panic!("unknown tag {tag}"),
        };
        assert_eq!(case["validSignature"], expected.is_ok(), "{comment}");
        assert_eq!(key.verify(&message, &signature), expected, "{comment}");
        // Tokens may have a high s, and nothing else.
        let tolerated = if expected == Err(KeyError::SignatureHighS) { Ok(()) } else { expected };
        assert_eq!(key.verify_tolerant(&message, &signature), tolerated, "{comment}");
    }
}

#[test]
fn interop_did_key_k256() {
    for case in cases("w3c_didkey_K256.json") {
        let key = SigningKey::from_hex(Curve::K256, text(&case, "privateKeyBytesHex")).unwrap();
        assert_eq!(key.did_key(), text(&case, "publicDidKey"));
        assert_eq!(HEXLOWER.encode(key.to_bytes().as_slice()), text(&case, "privateKeyBytesHex"));
    }
}

#[test]
fn interop_did_key_p256() {
    for case in cases("w3c_didkey_P256.json") {
        let (_, bytes) = multibase::decode(format!("z{}", text(&case, "privateKeyBytesBase58"))).unwrap();
        let key = SigningKey::from_bytes(Curve::P256, bytes.as_slice().try_into().unwrap()).unwrap();
        assert_eq!(key.did_key(), text(&case, "publicDidKey"));
    }
}

#[test]
fn rejects_did_keys_that_are_not_one_compressed_point() {
    let key = SigningKey::from_bytes(Curve::K256, &[1; 32]).unwrap().verifying_key();
    let prefixed = |codec: [u8; 2], point: Vec<u8>| {
        let bytes = [codec.to_vec(), point].concat();
        VerifyingKey::from_multibase(&multibase::encode(multibase::Base::Base58Btc, bytes))
    };
    assert_eq!(prefixed([0xe7, 1], key.to_sec1(true)), Ok(key.clone()));
    assert_eq!(prefixed([0xe7, 1], key.to_sec1(false)), Err(KeyError::Public));
    // An Ed25519 key, and the codec without its second byte.
    assert_eq!(prefixed([0xed, 1], vec![1; 32]), Err(KeyError::KeyType));
    assert_eq!(prefixed([0xe7, 0], key.to_sec1(true)), Err(KeyError::KeyType));
    // The x of no point, and the point at infinity.
    assert_eq!(prefixed([0xe7, 1], [vec![2], vec![0xff; 32]].concat()), Err(KeyError::Public));
    assert_eq!(prefixed([0xe7, 1], vec![0; 33]), Err(KeyError::Public));
    for text in ["", "did:key:", "did:key:z", "did:key:zQ3sh0", "did:web:example.com", "zQ3sh"] {
        assert!(VerifyingKey::from_did_key(text).is_err(), "{text}");
    }
    let long = format!("did:key:z{}", "1".repeat(100_000));
    assert_eq!(VerifyingKey::from_did_key(&long), Err(KeyError::Multibase));
    // The same key in another base is another text.
    let hex = multibase::encode(multibase::Base::Base16Lower, [vec![0xe7, 1], key.to_sec1(true)].concat());
    assert_eq!(VerifyingKey::from_multibase(&hex), Err(KeyError::Multibase));
}

#[test]
fn rejects_signatures_of_the_wrong_length_or_with_a_zero_half() {
    let key = SigningKey::from_bytes(Curve::P256, &[1; 32]).unwrap();
    let public = key.verifying_key();
    let good = key.sign(b"message");
    for length in 0..64 {
        assert_eq!(public.verify(b"message", &good[..length]), Err(KeyError::SignatureForm));
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(public.verify_tolerant(b"message", &longer), Err(KeyError::SignatureForm));
    let mut zero = good;
    zero[..32].fill(0);
    assert_eq!(public.verify_tolerant(b"message", &zero), Err(KeyError::SignatureForm));
}
