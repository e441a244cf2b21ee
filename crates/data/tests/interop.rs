//! The published interop files of the data model.

use std::path::PathBuf;

use data_encoding::BASE64_NOPAD;
use murmuration_data::{DataError, Ipld, cbor, cid_of_cbor, json, parse_cid, record};
use serde_json::Value;

/// The cases of a file, or nothing where the interop data is absent.
fn cases(name: &str) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/interop/data-model");
    if !folder.exists() {
        println!("skipped: {name}: no interop data at {}", folder.display());
        return Vec::new();
    }
    let text = std::fs::read(folder.join(name)).expect("a file of the interop data");
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn interop_data_model_fixtures() {
    for case in cases("data-model-fixtures.json") {
        let block = BASE64_NOPAD.decode(case["cbor_base64"].as_str().unwrap().as_bytes()).unwrap();
        let cid = parse_cid(case["cid"].as_str().unwrap()).unwrap();
        let value = json::parse(case["json"].to_string().as_bytes()).unwrap();
        assert_eq!(json::from_value(&case["json"]).unwrap(), value);
        assert_eq!(cbor::encode(&value).unwrap(), block);
        assert_eq!(cbor::decode(&block).unwrap(), value);
        assert_eq!(cid_of_cbor(&block), cid);
        assert_eq!(json::to_value(&value), case["json"]);
        assert_eq!(record::from_cbor(&block).unwrap(), value);
    }
}

#[test]
fn interop_data_model_valid() {
    for case in cases("data-model-valid.json") {
        let note = case["note"].as_str().unwrap();
        let value = record::from_json(case["json"].to_string().as_bytes());
        let value = value.unwrap_or_else(|error| panic!("{note}: {error}"));
        assert_eq!(json::from_value(&case["json"]).unwrap(), value, "{note}");
        let block = record::to_cbor(&value).unwrap();
        assert_eq!(record::from_cbor(&block).unwrap(), value, "{note}");
    }
}

#[test]
fn interop_data_model_invalid() {
    let expected = [
        ("top-level not an object", DataError::RecordForm),
        ("float", DataError::Float),
        ("record with $type null", DataError::TypeForm),
        ("record with $type wrong type", DataError::TypeForm),
        ("record with empty $type string", DataError::TypeForm),
        ("blob with string size", DataError::BlobForm),
        ("blob with missing key", DataError::BlobForm),
        ("bytes with wrong field type", DataError::BytesForm),
        ("bytes with extra fields", DataError::BytesForm),
        ("link with wrong field type", DataError::LinkForm),
        ("link with bogus CID", DataError::LinkForm),
        ("link with extra fields", DataError::LinkForm),
    ];
    for case in cases("data-model-invalid.json") {
        let note = case["note"].as_str().unwrap();
        let (_, expected) = expected.iter().find(|(known, _)| *known == note).expect("a note we know");
        let error = record::from_json(case["json"].to_string().as_bytes()).expect_err(note);
        assert_eq!(&error, expected, "{note}");
        let error = json::from_value(&case["json"]).and_then(|value| record::check(&value)).expect_err(note);
        assert_eq!(&error, expected, "{note}");
    }
}

#[test]
fn the_json_form_of_the_second_fixture_is_a_link_bytes_and_a_blob() {
    let Some(case) = cases("data-model-fixtures.json").into_iter().nth(1) else { return };
    let value = json::from_value(&case["json"]).unwrap();
    let Ipld::Map(fields) = &value else { panic!("a map") };
    assert!(matches!(fields["a"], Ipld::Link(_)));
    assert!(matches!(&fields["b"], Ipld::Bytes(bytes) if bytes.len() == 32));
    let blobs = murmuration_data::blob::refs(&value);
    assert_eq!(blobs.len(), 1);
    assert_eq!((blobs[0].mime_type.as_str(), blobs[0].size), ("image/jpeg", 10_000));
}
