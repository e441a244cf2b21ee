//! Keys, signatures and sealed secrets.

use murmuration_keys::seal::{self, Kek};
use murmuration_keys::{Curve, SigningKey, VerifyingKey};

/// A key that is read is written as it was, whatever form it was in; a signature that is noise does not verify.
pub fn did_key(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(key) = VerifyingKey::from_did_key(text) {
            assert_eq!(key.did_key(), text);
            assert_eq!(VerifyingKey::from_multibase(&key.multibase()).as_ref(), Ok(&key));
        }
        let _ = VerifyingKey::from_multibase(text);
        let _ = VerifyingKey::from_legacy_multibase(Curve::K256, text);
    }
    for curve in [Curve::K256, Curve::P256] {
        if let Ok(key) = VerifyingKey::from_sec1(curve, data) {
            assert_eq!(VerifyingKey::from_sec1(curve, &key.to_sec1(true)).as_ref(), Ok(&key));
            assert_eq!(VerifyingKey::from_sec1(curve, &key.to_sec1(false)).as_ref(), Ok(&key));
        }
        let key = example(curve).verifying_key();
        let (signature, message) = data.split_at(data.len().min(64));
        if key.verify(message, signature).is_ok() {
            assert_eq!(example(curve).sign(message), signature, "noise that verifies");
            assert!(key.verify_tolerant(message, signature).is_ok());
        }
    }
}

/// A secret opens where it was sealed and nowhere else; noise does not open.
pub fn seal_open(data: &[u8]) {
    let kek = Kek::new(1, [7; 32]);
    let _ = seal::kek_version(data);
    if let Ok(secret) = seal::open(&kek, b"aad", data) {
        assert_eq!(secret.as_slice(), b"seed", "noise that opens");
    }
    let (aad, secret) = data.split_at(data.len() / 2);
    let sealed = seal::seal(&kek, [1; seal::NONCE_BYTES], aad, secret);
    assert_eq!(seal::open(&kek, aad, &sealed).expect("sealed here").as_slice(), secret);
    let mut bad = sealed;
    let at = data.first().map_or(0, |byte| usize::from(*byte) % bad.len());
    bad[at] ^= 1;
    assert!(seal::open(&kek, aad, &bad).is_err());
}

/// Good keys, and a good signature.
pub fn did_key_seeds() -> Vec<Vec<u8>> {
    [Curve::K256, Curve::P256]
        .into_iter()
        .flat_map(|curve| {
            let key = example(curve);
            let public = key.verifying_key();
            let signed = [key.sign(b"message").as_slice(), b"message"].concat();
            [public.did_key().into_bytes(), public.multibase().into_bytes(), public.to_sec1(true), signed]
        })
        .collect()
}

/// A sealed secret.
pub fn seal_seeds() -> Vec<Vec<u8>> {
    vec![seal::seal(&Kek::new(1, [7; 32]), [2; seal::NONCE_BYTES], b"aad", b"seed"), vec![0; 80]]
}

fn example(curve: Curve) -> SigningKey {
    SigningKey::from_bytes(curve, &[5; 32]).expect("a key")
}
