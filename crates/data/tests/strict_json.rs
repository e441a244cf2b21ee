//! What JSON can say and the data model cannot is refused, each for its reason.

use murmuration_data::limits::{
    MAX_CONTAINER, MAX_DEPTH, MAX_KEY_BYTES, MAX_RECORD_BYTES, MAX_RECORD_JSON_BYTES, MAX_VALUES,
};
use murmuration_data::{DataError, Ipld, cbor, cid_of_raw, json, record};

fn parse(text: &str) -> Result<Ipld, DataError> {
    json::parse(text.as_bytes())
}

#[test]
fn rejects_what_is_not_json() {
    for text in [
        "",
        " ",
        "{",
        "{}{}",
        "{} x",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "+1",
        "1.",
        ".5",
        "NaN",
        "Infinity",
        "nul",
        "\"\u{1}\"",
        "\"\\x\"",
        "\u{feff}{}",
        "// x\n1",
    ] {
        assert!(matches!(parse(text), Err(DataError::Json(_))), "{text:?}: {:?}", parse(text));
    }
    assert!(matches!(json::parse(b"\"\xff\""), Err(DataError::Json(_))));
    assert!(matches!(json::parse(b"{\"\xff\": 1}"), Err(DataError::Json(_))));
}

#[test]
fn rejects_lone_surrogates() {
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#"{"\udfff": 1}"#] {
        assert!(matches!(parse(text), Err(DataError::Json(_))), "{text}");
    }
    assert_eq!(parse(r#""\ud83d\ude00""#).unwrap(), Ipld::String("😀".to_owned()));
    assert!(matches!(json::parse(b"\"\xed\xa0\x80\""), Err(DataError::Json(_))));
}

#[test]
fn rejects_keys_that_repeat_or_are_empty_or_reserved() {
    assert_eq!(parse(r#"{"a": 1, "a": 1}"#), Err(DataError::KeyRepeated));
    assert_eq!(parse(r#"{"a": 1, "\u0061": 2}"#), Err(DataError::KeyRepeated));
    assert_eq!(parse(r#"[{"$link": "x", "$link": "x"}]"#), Err(DataError::KeyRepeated));
    assert_eq!(parse(r#"{"": 1}"#), Err(DataError::KeyEmpty));
    assert_eq!(parse(r#"{"x": {"__proto__": {}}}"#), Err(DataError::KeyReserved));
    assert_eq!(parse(&format!("{{\"{}\": 1}}", "k".repeat(MAX_KEY_BYTES + 1))), Err(DataError::KeyTooLong));
}

#[test]
fn numbers_are_whole_and_in_range() {
    let cases = [
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("123.0", 123),
        ("1e3", 1000),
        ("1.5e1", 15),
        ("9007199254740991", 9_007_199_254_740_991),
        ("-9007199254740991", -9_007_199_254_740_991),
        ("9007199254740991.0", 9_007_199_254_740_991),
    ];
    for (text, value) in cases {
        assert_eq!(parse(text).unwrap(), Ipld::Integer(value), "{text}");
        let already = serde_json::from_str(text).unwrap();
        assert_eq!(json::from_value(&already).unwrap(), Ipld::Integer(value), "{text}");
    }
    for text in
        ["9007199254740992", "-9007199254740992", "9223372036854775808", "18446744073709551616", "1e300"]
    {
        assert_eq!(parse(text), Err(DataError::IntegerRange), "{text}");
        assert_eq!(json::from_value(&serde_json::from_str(text).unwrap()), Err(DataError::IntegerRange));
    }
    for text in ["0.5", "-123.456", "1e-3", "5e-324"] {
        assert_eq!(parse(text), Err(DataError::Float), "{text}");
        assert_eq!(json::from_value(&serde_json::from_str(text).unwrap()), Err(DataError::Float));
    }
    assert!(matches!(parse("1e999"), Err(DataError::Json(_))));
}

#[test]
fn bytes_are_taken_with_padding_and_without() {
    for text in [r#"{"$bytes": "AQI"}"#, r#"{"$bytes": "AQI="}"#] {
        assert_eq!(parse(text).unwrap(), Ipld::Bytes(vec![1, 2]));
    }
    assert_eq!(parse(r#"{"$bytes": ""}"#).unwrap(), Ipld::Bytes(vec![]));
    // Bits that no byte has, the alphabet of URLs, blanks, padding that is wrong.
    for text in ["AQJ", "-_8", "A QI", "AQI==", "A", "AQ=", "=", "AQID="] {
        assert_eq!(parse(&format!("{{\"$bytes\": \"{text}\"}}")), Err(DataError::BytesForm), "{text}");
    }
}

#[test]
fn nesting_is_taken_to_the_limit_and_not_beyond() {
    let lists = |depth: usize, inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    let maps = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for text in [lists(MAX_DEPTH, "1"), maps(MAX_DEPTH)] {
        let value = parse(&text).unwrap();
        assert_eq!(cbor::decode(&cbor::encode(&value).unwrap()).unwrap(), value);
        assert_eq!(json::to_string(&value), text);
    }
    // A link is no container, though it looks like one.
    let link = format!("{{\"$link\":\"{}\"}}", cid_of_raw(b"x"));
    let value = parse(&lists(MAX_DEPTH, &link)).unwrap();
    assert_eq!(cbor::decode(&cbor::encode(&value).unwrap()).unwrap(), value);
    assert_eq!(parse(&lists(MAX_DEPTH + 1, &link)), Err(DataError::Depth));
    assert_eq!(parse(&lists(MAX_DEPTH, "{\"$link\":[]}")), Err(DataError::Depth));
    for depth in [MAX_DEPTH + 1, 10_000, 500_000] {
        assert_eq!(parse(&lists(depth, "1")), Err(DataError::Depth));
        assert_eq!(parse(&maps(depth)), Err(DataError::Depth));
    }
}

#[test]
fn containers_and_documents_are_taken_to_the_limit_and_not_beyond() {
    let list = |length: usize| format!("[{}1]", "1,".repeat(length - 1));
    assert!(parse(&list(MAX_CONTAINER)).is_ok());
    assert_eq!(parse(&list(MAX_CONTAINER + 1)), Err(DataError::Container));
    let many = vec![list(1000); MAX_VALUES / 1000].join(",");
    assert_eq!(parse(&format!("[{many}]")), Err(DataError::Values));
}

/// A long text is counted before it is read; the count must say what the reader would.
#[test]
fn a_long_text_is_counted_as_it_is_read() {
    let blank = " ".repeat(2 * MAX_CONTAINER);
    let pad = |text: &str| format!("{blank}{text}");
    let list = |item: &str, length: usize| format!("[{}{item}]", format!("{item} , ").repeat(length - 1));
    // Empty containers hold nothing, and what stands in a string is text.
    for item in ["1", "[]", "{ }", "\",\"", r#""[\\\"{,""#] {
        let text = pad(&list(item, MAX_CONTAINER));
        assert!(matches!(parse(&text), Ok(Ipld::List(items)) if items.len() == MAX_CONTAINER), "{item}");
        assert_eq!(parse(&pad(&list(item, MAX_CONTAINER + 1))), Err(DataError::Container), "{item}");
    }
    // The outer list, and two values an item.
    let pairs = MAX_VALUES / 2;
    assert_eq!(parse(&pad(&list("[1]", pairs))), Err(DataError::Values));
    assert!(parse(&pad(&list("[1]", pairs - 1))).is_ok());
    // Siblings are counted apart.
    assert!(parse(&pad(&list(&list("1", 1000), MAX_VALUES / 1002))).is_ok());
    for text in ["", "]", "[", "\"", "\"\\", "[1,]", "{,}", "[1"] {
        assert!(matches!(parse(&pad(text)), Err(DataError::Json(_))), "{text}");
    }
}

#[test]
fn values_already_parsed_are_held_to_the_same_rules() {
    for text in [r#"{"": 1}"#, r#"{"__proto__": 1}"#, r#"{"$type": 1}"#, r#"{"$link": 1}"#] {
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(json::from_value(&value), parse(text), "{text}");
        assert!(parse(text).is_err());
    }
    let long = |bytes: usize| json::from_value(&serde_json::json!({ "k".repeat(bytes): 1 }));
    assert!(long(MAX_KEY_BYTES).is_ok());
    assert_eq!(long(MAX_KEY_BYTES + 1), Err(DataError::KeyTooLong));
    // Three lists, and what the inner two hold.
    let values = |more: usize| {
        let list = |length: usize| vec![serde_json::Value::Null; length];
        json::from_value(&serde_json::json!([
            list(MAX_CONTAINER),
            list(MAX_VALUES - MAX_CONTAINER - 3 + more)
        ]))
    };
    assert!(values(0).is_ok());
    assert_eq!(values(1), Err(DataError::Values));
    let mut deep = serde_json::Value::Null;
    for _ in 0..=MAX_DEPTH {
        deep = serde_json::json!([deep]);
    }
    assert_eq!(json::from_value(&deep), Err(DataError::Depth));
}

#[test]
fn records_in_cbor_have_no_key_that_json_would_take_for_something_else() {
    let keys = [
        ("$link", DataError::LinkForm),
        ("$bytes", DataError::BytesForm),
        ("__proto__", DataError::KeyReserved),
    ];
    for (key, error) in keys {
        let within = Ipld::Map([(key.to_owned(), Ipld::Null)].into());
        for within in [within.clone(), Ipld::List(vec![Ipld::Null, within])] {
            let value = Ipld::Map([("a".to_owned(), within)].into());
            let block = cbor::encode(&value).unwrap();
            assert_eq!(record::from_cbor(&block), Err(error.clone()));
            assert_eq!(record::to_cbor(&value), Err(error.clone()));
        }
    }
}

#[test]
fn records_have_a_greatest_size() {
    assert_eq!((MAX_RECORD_BYTES, MAX_RECORD_JSON_BYTES), (1_048_576, 2_097_152), "one MiB, and two");
    // A map of one, its key of one letter, and a length of four bytes.
    let of = |bytes: usize| Ipld::Map([("a".to_owned(), Ipld::Bytes(vec![0; bytes - 8]))].into());
    let block = record::to_cbor(&of(MAX_RECORD_BYTES)).unwrap();
    assert_eq!((block.len(), record::from_cbor(&block)), (MAX_RECORD_BYTES, Ok(of(MAX_RECORD_BYTES))));
    let record = of(MAX_RECORD_BYTES + 1);
    let block = cbor::encode(&record).unwrap();
    assert!(matches!(record::to_cbor(&record), Err(DataError::RecordTooLarge(_))));
    assert!(matches!(record::from_cbor(&block), Err(DataError::RecordTooLarge(_))));
    let blank = format!("{}{{}}", " ".repeat(MAX_RECORD_JSON_BYTES - 2));
    assert!(record::from_json(blank.as_bytes()).is_ok());
    assert!(record::from_json(format!(" {blank}").as_bytes()).is_err());
}

/// atcute, issue 23: a record nested deep enough was a stack overflow. On a stack of 256 kB: an object may have little.
#[test]
fn regress_atcute_23_depth_is_an_error_and_not_a_crash() {
    let work = || {
        for depth in [MAX_DEPTH + 1, 1_000, 60_000, 500_000] {
            let json = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(parse(&json), Err(DataError::Depth));
            assert_eq!(cbor::decode(&[vec![0x81; depth], vec![0]].concat()), Err(DataError::Depth));
        }
    };
    std::thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap().join().unwrap();
}
