//! The published vectors, `tests/vectors/keys.json` of the project: records of keys that are to be believed or refused.

use murmuration_data::json;
use murmuration_keyring::{EpochSecrets, PublishedKeys, Ring, Seen};
use murmuration_syntax::Did;
use serde_json::Value;

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap().as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn records_of_keys_are_believed_and_refused_as_the_vectors_say() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../tests/vectors/keys.json")).unwrap();
    let (mut believed, mut refused) = (0, 0);
    for vector in &vectors {
        let did: Did = vector["did"].as_str().unwrap().parse().unwrap();
        let read = PublishedKeys::from_ipld(&did, json::from_value(&vector["record"]).unwrap());
        let seen = vector.get("seen").map(|seen| Seen::from_bytes(&bytes(seen).try_into().unwrap()));
        let read = read.and_then(|keys| match &seen {
            Some(seen) => keys.goes_on_from(seen).map(|()| keys),
            None => Ok(keys),
        });
        let Some(secrets) = vector["secrets"].as_array() else {
            assert_eq!(read.unwrap_err().to_string(), vector["refused"].as_str().unwrap());
            refused += 1;
            continue;
        };
        let first = vector["record"]["epochs"][0]["epoch"].as_u64().unwrap();
        let epochs = (u32::try_from(first).unwrap()..).zip(secrets);
        let epochs = epochs.map(|(epoch, hex)| EpochSecrets::from_bytes(epoch, &bytes(hex)).unwrap());
        let ring = Ring::new(did, epochs.collect()).unwrap();
        let published = read.unwrap();
        ring.check(&published).unwrap();
        assert_eq!(json::to_value(&published.to_ipld()), vector["record"]);
        believed += 1;
    }
    assert!(believed >= 3 && refused >= 7, "{believed} {refused}");
}
