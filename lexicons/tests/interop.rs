//! The published interop data for lexicons, in `../shared/interop/lexicon`.

use std::fs;
use std::path::PathBuf;

use murmuration_data::{Ipld, parse_cid};
use murmuration_lexicons::{Catalog, Document, Validation, validate_record};
use murmuration_syntax::{Nsid, RecordKey};
use serde_json::Value;

/// The folder, or nothing where it is not.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/lexicon");
    if !folder.is_dir() {
        println!("skipped: no interop data at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A value of the data model, read more loosely than a record is: the data here has references to blobs whose CID is
/// not of raw bytes, and base64 with bits left over, neither of which is for a lexicon to judge.
fn value(json: &Value) -> Ipld {
    match json {
        Value::Null => Ipld::Null,
        Value::Bool(value) => Ipld::Bool(*value),
        Value::Number(value) => Ipld::Integer(value.as_i64().unwrap().into()),
        Value::String(value) => Ipld::String(value.clone()),
        Value::Array(items) => Ipld::List(items.iter().map(value).collect()),
        Value::Object(members) => match (members.len(), members.get("$link"), members.get("$bytes")) {
            (1, Some(Value::String(cid)), None) => Ipld::Link(parse_cid(cid).unwrap()),
            (1, None, Some(Value::String(base64))) => Ipld::Bytes(vec![0; base64.len() * 3 / 4]),
            _ => Ipld::Map(members.iter().map(|(name, member)| (name.clone(), value(member))).collect()),
        },
    }
}

fn cases(file: &str) -> Option<Vec<Value>> {
    let Value::Array(cases) = read(folder()?.join(file)) else { panic!("{file} is no list") };
    assert!(!cases.is_empty());
    Some(cases)
}

/// The documents that the record data is made for.
fn catalog() -> Option<Catalog> {
    let mut catalog = Catalog::new();
    for entry in fs::read_dir(folder()?.join("catalog")).unwrap() {
        catalog.insert(Document::parse(&read(entry.unwrap().path())).unwrap());
    }
    assert_eq!(catalog.ids().count(), 5);
    Some(catalog)
}

#[test]
fn interop_well_formed_documents_parse() {
    for case in cases("lexicon-valid.json").unwrap_or_default() {
        Document::parse(&case["lexicon"]).unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
    }
}

#[test]
fn interop_ill_formed_documents_are_refused() {
    for case in cases("lexicon-invalid.json").unwrap_or_default() {
        let error = Document::parse(&case["lexicon"]).expect_err(case["name"].as_str().unwrap());
        println!("{}: {error}", case["name"]);
    }
}

#[test]
fn interop_valid_records_are_valid() {
    let Some(catalog) = catalog() else { return };
    for case in cases("record-data-valid.json").unwrap_or_default() {
        let record = value(&case["data"]);
        let rkey = RecordKey::parse(case["rkey"].as_str().unwrap()).unwrap();
        let collection = Nsid::parse(case["data"]["$type"].as_str().unwrap()).unwrap();
        let validation = validate_record(&catalog, &collection, &rkey, &record);
        assert_eq!(validation, Ok(Validation::Valid), "{}", case["name"]);
    }
}

#[test]
fn interop_invalid_records_are_refused() {
    let Some(catalog) = catalog() else { return };
    for case in cases("record-data-invalid.json").unwrap_or_default() {
        let name = case["name"].as_str().unwrap();
        let record = value(&case["data"]);
        let rkey = RecordKey::parse(case["rkey"].as_str().unwrap()).unwrap();
        let collection = Nsid::parse(case["data"]["$type"].as_str().unwrap()).unwrap();
        let error = validate_record(&catalog, &collection, &rkey, &record).expect_err(name);
        println!("{name}: {error}");
        assert!(error.blames_data(), "{name}: {error}");
    }
}
