//! The published vectors, `tests/vectors/envelope.json` of the project: all inputs, all randomness, and what comes of them. Another implementation
//! that gives the same bytes seals as this one does.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use murmuration_data::{Ipld, cbor};
use murmuration_envelope::{
    Binding, DecryptionKey, Envelope, EpochKey, KeyId, PublicKey, Recipient, SecretKey, Suite, Zeroizing,
};
use serde_json::Value;
use sha2::Sha256;

use crate::common;
use crate::common::Tape;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../tests/vectors/envelope.json")).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    HEXLOWER.decode(text(value, field).as_bytes()).unwrap()
}

fn secret(value: &Value, field: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(bytes(value, field).try_into().unwrap())
}

fn number(value: &Value, field: &str) -> u32 {
    value[field].as_u64().unwrap().try_into().unwrap()
}

fn binding_of(vector: &Value) -> Binding {
    let field = |name| text(&vector["binding"], name);
    Binding {
        author: field("author").parse().unwrap(),
        collection: field("collection").parse().unwrap(),
        rkey: field("rkey").parse().unwrap(),
        schema: field("schema").parse().unwrap(),
    }
}

fn own_of(vector: &Value) -> EpochKey {
    EpochKey::from_bytes(number(&vector["own"], "epoch"), secret(&vector["own"], "key"))
}

fn keys_of(vector: &Value) -> Vec<DecryptionKey> {
    let key = |entry: &Value| DecryptionKey {
        id: KeyId::parse(text(entry, "kid")).unwrap(),
        epoch: number(entry, "epoch"),
        key: SecretKey::from_bytes(Suite::parse(text(entry, "suite")).unwrap(), secret(entry, "secretKey")),
    };
    vector["recipients"].as_array().unwrap().iter().map(key).collect()
}

#[test]
fn the_published_vectors_come_out_byte_for_byte() {
    let vectors = vectors();
    assert!(vectors.len() >= 4);
    for vector in &vectors {
        let (binding, own, keys) = (binding_of(vector), own_of(vector), keys_of(vector));
        for (key, entry) in keys.iter().zip(vector["recipients"].as_array().unwrap()) {
            let public = PublicKey::from_bytes(key.key.suite(), &bytes(entry, "publicKey")).unwrap();
            assert_eq!(key.key.public_key(), public);
        }
        let recipients: Vec<Recipient> = keys.iter().map(common::to).collect();
        let tape = Tape::new(bytes(vector, "randomness"));
        let message = bytes(vector, "message");
        let sealed = Envelope::seal(&binding, &own, &recipients, &message, &tape).unwrap();
        assert!(tape.is_used_up());
        let name = text(vector, "name");
        assert_eq!(HEXLOWER.encode(&sealed.to_cbor()), text(vector, "cbor"), "{name}");
        let json: Value = serde_json::from_str(&sealed.to_json()).unwrap();
        assert_eq!(json, vector["json"], "{name}");
        assert_eq!(Envelope::from_json(vector["json"].to_string().as_bytes()).as_ref(), Ok(&sealed));
        for key in keys {
            assert_eq!(sealed.open(&binding, &[key]).unwrap().as_slice(), message);
        }
        assert_eq!(sealed.open_own(&binding, &[own]).unwrap().as_slice(), message);
    }
}

/// The steps of `docs/envelope.md`, written out from the primitives alone.
#[test]
fn the_published_vectors_are_what_the_specification_says() {
    for vector in vectors() {
        let random = bytes(&vector, "randomness");
        let (data_key, nonce, own_nonce) = (&random[..32], &random[32..56], &random[56..80]);
        let list = |label: &str, more: Vec<Ipld>| {
            let fields =
                ["author", "collection", "rkey", "schema"].map(|name| text(&vector["binding"], name));
            let mut items = vec![Ipld::String(format!("agent-envelope-v1 {label}"))];
            items.extend(fields.map(|field| Ipld::String(field.to_owned())));
            items.push(Ipld::Integer(number(&vector["own"], "epoch").into()));
            items.extend(more);
            cbor::encode(&Ipld::List(items)).unwrap()
        };
        let derive = |label: &str| {
            let mut key = [0; 32];
            let info = format!("agent-envelope-v1 {label}");
            Hkdf::<Sha256>::new(None, data_key).expand(info.as_bytes(), &mut key).unwrap();
            key
        };
        let seal = |key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]| {
            let cipher = XChaCha20Poly1305::new_from_slice(key).unwrap();
            Ipld::Bytes(cipher.encrypt(nonce.try_into().unwrap(), Payload { msg, aad }).unwrap())
        };
        let mut padded = bytes(&vector, "message");
        padded.push(0x80);
        padded.resize(usize::try_from(number(&vector, "paddedBytes")).unwrap(), 0);

        let Ipld::Map(mut map) = cbor::decode(&bytes(&vector, "cbor")).unwrap() else { panic!() };
        let ciphertext = map.remove("ciphertext").unwrap();
        assert_eq!(ciphertext, seal(&derive("content key"), nonce, &list("content", vec![]), &padded));
        let Ipld::Map(own) = &map["own"] else { panic!() };
        let aad = list("own", vec![own["epoch"].clone()]);
        assert_eq!(own["wrap"], seal(&bytes(&vector["own"], "key"), own_nonce, &aad, data_key));
        let commit = map.remove("commit").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&derive("commitment key")).unwrap();
        mac.update(&list("commit", vec![Ipld::Map(map)]));
        assert_eq!(commit, Ipld::Bytes(mac.finalize().into_bytes().to_vec()));
    }
}
