//! The published interop files of identifier syntax: each valid line parses, each invalid line does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::PathBuf;

use murmuration_syntax::{
    AtIdentifier, AtUri, Did, Handle, Nsid, RecordKey, SyntaxError, Tid, cid, datetime, language, uri,
};

/// The lines of a file that hold a case, or nothing where the interop data is absent.
fn lines(name: &str) -> Option<Vec<String>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/interop/syntax");
    if !folder.exists() {
        println!("skipped: {name}: no interop data at {}", folder.display());
        return None;
    }
    let text = std::fs::read_to_string(folder.join(name)).expect("a file of the interop data");
    let lines: Vec<String> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(String::from).collect();
    assert!(!lines.is_empty(), "{name} holds no case");
    Some(lines)
}

fn accepts<T>(name: &str, parse: impl Fn(&str) -> Result<T, SyntaxError>) {
    for line in lines(name).unwrap_or_default() {
        if let Err(error) = parse(&line) {
            panic!("{name}: refused {line:?}: {error}");
        }
    }
}

fn rejects<T>(name: &str, parse: impl Fn(&str) -> Result<T, SyntaxError>) {
    for line in lines(name).unwrap_or_default() {
        assert!(parse(&line).is_err(), "{name}: took {line:?}");
    }
}

/// A parser whose value must give back the text it came from, but for the case of handles.
fn back<T: ToString>(
    parse: impl Fn(&str) -> Result<T, SyntaxError>,
) -> impl Fn(&str) -> Result<(), SyntaxError> {
    move |text| {
        let value = parse(text)?;
        assert!(value.to_string().eq_ignore_ascii_case(text), "{text:?} became {:?}", value.to_string());
        Ok(())
    }
}

macro_rules! interop {
    ($($test:ident: $good:literal, $bad:literal, $parse:expr;)+) => {
        $(
            #[test]
            fn $test() {
                accepts($good, $parse);
                rejects($bad, $parse);
            }
        )+
    };
}

interop! {
    interop_at_identifier: "atidentifier_syntax_valid.txt", "atidentifier_syntax_invalid.txt", back(AtIdentifier::parse);
    interop_at_uri: "aturi_syntax_valid.txt", "aturi_syntax_invalid.txt", back(AtUri::parse);
    interop_cid: "cid_syntax_valid.txt", "cid_syntax_invalid.txt", cid::check;
    interop_datetime: "datetime_syntax_valid.txt", "datetime_syntax_invalid.txt", datetime::check;
    interop_did: "did_syntax_valid.txt", "did_syntax_invalid.txt", back(Did::parse);
    interop_handle: "handle_syntax_valid.txt", "handle_syntax_invalid.txt", back(Handle::parse);
    interop_language: "language_syntax_valid.txt", "language_syntax_invalid.txt", language::check;
    interop_nsid: "nsid_syntax_valid.txt", "nsid_syntax_invalid.txt", back(Nsid::parse);
    interop_record_key: "recordkey_syntax_valid.txt", "recordkey_syntax_invalid.txt", back(RecordKey::parse);
    interop_tid: "tid_syntax_valid.txt", "tid_syntax_invalid.txt", back(Tid::parse);
    interop_uri: "uri_syntax_valid.txt", "uri_syntax_invalid.txt", uri::check;
}

#[test]
fn interop_datetimes_that_name_no_moment() {
    rejects("datetime_parse_invalid.txt", datetime::check);
}

#[test]
fn interop_languages_with_a_repeated_part() {
    rejects("language_parse_invalid.txt", language::check);
}

#[test]
fn identifiers_are_strings_in_json() {
    let did: Did = serde_json::from_str("\"did:plc:abc\"").unwrap();
    assert_eq!(serde_json::to_string(&did).unwrap(), "\"did:plc:abc\"");
    let tid: Tid = serde_json::from_str("\"3jzfcijpj2z2a\"").unwrap();
    assert_eq!(serde_json::to_string(&tid).unwrap(), "\"3jzfcijpj2z2a\"");
    assert!(serde_json::from_str::<Did>("\"did:plc:\"").is_err());
    assert!(serde_json::from_str::<Tid>("5").is_err());
}
