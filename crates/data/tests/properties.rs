//! Laws of the two forms, over random values and random bytes.

use murmuration_data::limits::MAX_INTEGER;
use murmuration_data::{Ipld, cbor, cid_of_cbor, cid_of_raw, json, record};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// A value of the data model, nested a few levels.
fn value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        (-MAX_INTEGER..=MAX_INTEGER).prop_map(|value| Ipld::Integer(value.into())),
        (-300..300_i64).prop_map(|value| Ipld::Integer(value.into())),
        any::<String>().prop_map(Ipld::String),
        vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
        any::<[u8; 4]>().prop_map(|seed| Ipld::Link(cid_of_cbor(&seed))),
        any::<[u8; 4]>().prop_map(|seed| Ipld::Link(cid_of_raw(&seed))),
    ];
    leaf.prop_recursive(5, 64, 12, |inner| {
        let key = prop_oneof!["[a-c]{1,3}", "\\PC{1,30}", "[a-z]{20,30}"];
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(Ipld::List),
            btree_map(key, inner, 0..12).prop_map(Ipld::Map),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(value in value()) {
        let block = cbor::encode(&value).unwrap();
        prop_assert_eq!(cbor::decode(&block).unwrap(), value);
    }

    #[test]
    fn another_implementation_encodes_alike(value in value()) {
        let block = cbor::encode(&value).unwrap();
        prop_assert_eq!(&serde_ipld_dagcbor::to_vec(&value).unwrap(), &block);
        prop_assert_eq!(serde_ipld_dagcbor::from_slice::<Ipld>(&block).unwrap(), value);
    }

    #[test]
    fn what_decodes_is_what_encoding_gives(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(value) = cbor::decode(&bytes) {
            prop_assert_eq!(cbor::encode(&value).unwrap(), bytes);
        }
    }

    /// Random bytes are seldom CBOR; an encoding with a few bytes changed often still is, and is then another value.
    #[test]
    fn a_damaged_block_is_refused_or_is_another_value(
        value in value(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let block = cbor::encode(&value).unwrap();
        let mut damaged = block.clone();
        for (at, byte) in damage {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        if let Ok(other) = cbor::decode(&damaged) {
            prop_assert_eq!(&cbor::encode(&other).unwrap(), &damaged);
            prop_assert_eq!(other == value, damaged == block);
        }
    }

    #[test]
    fn no_start_of_a_block_is_a_block(value in value()) {
        let block = cbor::encode(&value).unwrap();
        for length in 0..block.len() {
            prop_assert!(cbor::decode(&block[..length]).is_err());
        }
    }

    #[test]
    fn json_undoes_json(value in value()) {
        let text = json::to_string(&value);
        prop_assert_eq!(json::parse(text.as_bytes()).unwrap(), value.clone());
        prop_assert_eq!(json::from_value(&json::to_value(&value)).unwrap(), value);
    }

    #[test]
    fn an_encoding_shows_itself_as_its_value_does(value in value()) {
        let block = cbor::encode(&value).unwrap();
        let write = |block: &[u8]| {
            let mut text = "before ".to_owned();
            json::write_encoded(&mut text, block).map(|()| text)
        };
        let text = write(&block).unwrap();
        prop_assert_eq!(json::parse(text.strip_prefix("before ").unwrap().as_bytes()).unwrap(), value);
        prop_assert!(write(&block[..block.len() - 1]).is_err());
        prop_assert!(write(&[block.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn what_json_gives_can_be_encoded(text in "\\PC{0,60}") {
        if let Ok(value) = json::parse(text.as_bytes()) {
            prop_assert!(cbor::encode(&value).is_ok());
        }
    }

    #[test]
    fn a_record_is_a_record_in_both_forms(value in value()) {
        if let Ok(block) = record::to_cbor(&value) {
            let again = record::from_cbor(&block).unwrap();
            prop_assert_eq!(record::from_json(json::to_string(&again).as_bytes()).unwrap(), value);
        }
    }
}
