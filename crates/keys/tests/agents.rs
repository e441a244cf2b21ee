//! The keys of agents: Ed25519 against the vectors of RFC 8032, and both kinds as text.

use data_encoding::HEXLOWER;
use murmuration_keys::{
    Curve, Ed25519SigningKey, Ed25519VerifyingKey, KeyError, SigningKey, x25519_from_multibase,
    x25519_to_multibase,
};

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

/// RFC 8032, 7.1, tests 1 and 2: the secret, the message and the signature.
const VECTORS: [(&str, &str, &str); 2] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
];

#[test]
fn ed25519_signs_as_its_standard_says() {
    for (secret, message, signature) in VECTORS {
        let key = Ed25519SigningKey::from_bytes(&bytes(secret));
        let message = HEXLOWER.decode(message.as_bytes()).unwrap();
        let signature: [u8; 64] = bytes(signature);
        assert_eq!(key.sign(&message), signature);
        assert_eq!(*key.to_bytes(), bytes(secret));
        assert!(!format!("{key:?}").contains(&secret[..8]), "a secret is shown to nobody");

        let public = key.verifying_key();
        assert_eq!(public.verify(&message, &signature), Ok(()));
        assert_eq!(public.verify(b"another", &signature), Err(KeyError::Signature));
        assert_eq!(public.verify(&message, &signature[1..]), Err(KeyError::SignatureForm));
        for at in 0..signature.len() {
            let mut bad = signature;
            bad[at] ^= 1;
            assert!(public.verify(&message, &bad).is_err(), "byte {at}");
        }
    }
}

/// The first letters are those that the multicodec table and base 58 give each kind (W3C, did:key).
#[test]
fn keys_of_agents_are_text_that_says_their_kind() {
    let key = Ed25519SigningKey::from_bytes(&bytes(VECTORS[0].0)).verifying_key();
    let text = key.multibase();
    assert_eq!(text, "z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw", "as did:key examples have it");
    assert_eq!(Ed25519VerifyingKey::from_multibase(&text).unwrap(), key);
    assert!(format!("{key:?}").contains(&text));

    let agreement = [7; 32];
    let other = x25519_to_multibase(&agreement);
    assert!(other.starts_with("z6LS"), "{other}");
    assert_eq!(x25519_from_multibase(&other), Ok(agreement));

    let foreign = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap().verifying_key().multibase();
    for text in [other.as_str(), &foreign] {
        assert_eq!(Ed25519VerifyingKey::from_multibase(text).err(), Some(KeyError::KeyType), "{text}");
    }
    for text in [text.as_str(), &foreign] {
        assert_eq!(x25519_from_multibase(text).err(), Some(KeyError::KeyType), "{text}");
    }
    for bad in ["", "z", "6Mk", "z6MkO0", &format!("z{}", "1".repeat(128))] {
        assert_eq!(x25519_from_multibase(bad).err(), Some(KeyError::Multibase), "{bad}");
    }
}
