//! What is not DAG-CBOR of the data model is refused, each for its reason.

use std::time::{Duration, Instant};

use murmuration_data::cbor::{self, Reader, Writer};
use murmuration_data::limits::{MAX_CONTAINER, MAX_DEPTH, MAX_INTEGER, MAX_KEY_BYTES, MAX_VALUES};
use murmuration_data::{DataError, Ipld, Kind, cid_of_cbor, cid_of_raw};

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.replace(' ', "").as_bytes()).unwrap()
}

#[test]
fn rejects_everything_that_is_not_canonical() {
    let cases = [
        ("", DataError::Truncated),
        ("00 00", DataError::Trailing),
        // Integers and lengths that are not in the shortest form.
        ("18 17", DataError::NotMinimal),
        ("19 00ff", DataError::NotMinimal),
        ("1a 0000ffff", DataError::NotMinimal),
        ("1b 00000000ffffffff", DataError::NotMinimal),
        ("38 00", DataError::NotMinimal),
        ("58 00", DataError::NotMinimal),
        ("78 01 61", DataError::NotMinimal),
        ("98 00", DataError::NotMinimal),
        ("b8 00", DataError::NotMinimal),
        ("d8 17 00", DataError::NotMinimal),
        ("d9 002a 41 00", DataError::NotMinimal),
        // Integers out of range: 2^53, -2^53, 2^64 - 1, -2^64.
        ("1b 0020000000000000", DataError::IntegerRange),
        ("3b 001fffffffffffff", DataError::IntegerRange),
        ("1b ffffffffffffffff", DataError::IntegerRange),
        ("3b ffffffffffffffff", DataError::IntegerRange),
        // Indefinite lengths and the stray break.
        ("5f 41 00 ff", DataError::Indefinite),
        ("7f 61 61 ff", DataError::Indefinite),
        ("9f ff", DataError::Indefinite),
        ("bf ff", DataError::Indefinite),
        ("ff", DataError::Indefinite),
        // Reserved lengths, simple values, floats.
        ("1c", DataError::Unsupported),
        ("5d", DataError::Unsupported),
        ("f7", DataError::Unsupported),
        ("e0", DataError::Unsupported),
        ("f8 ff", DataError::Unsupported),
        ("f8 14", DataError::Unsupported),
        ("f9 0000", DataError::Float),
        ("fa 3f800000", DataError::Float),
        ("fb 3ff0000000000000", DataError::Float),
        ("fb 7ff8000000000000", DataError::Float),
        // Texts and keys.
        ("61 ff", DataError::Utf8),
        ("63 eda080", DataError::Utf8),
        ("a1 00 00", DataError::KeyKind),
        ("a1 41 61 00", DataError::KeyKind),
        ("a1 60 00", DataError::KeyEmpty),
        ("a2 61 61 00 61 61 00", DataError::KeyOrder),
        ("a2 61 62 00 61 61 00", DataError::KeyOrder),
        ("a2 62 6161 00 61 62 00", DataError::KeyOrder),
        // Lengths beyond the input.
        ("41", DataError::Truncated),
        ("5b ffffffffffffffff", DataError::Truncated),
        ("7a ffffffff", DataError::Truncated),
        ("82 00", DataError::Truncated),
        ("a1 61 61", DataError::Truncated),
        ("19 01", DataError::Truncated),
        ("9a 00020001", DataError::Container),
        ("bb ffffffffffffffff", DataError::Container),
        // Tags: a date, a bignum, self-described CBOR, and links of the wrong form.
        ("c1 00", DataError::Tag(1)),
        ("c2 41 00", DataError::Tag(2)),
        ("d9 d9f7 00", DataError::Tag(55799)),
        ("d8 2a 00", DataError::Cid),
        ("d8 2a 60", DataError::Cid),
        ("d8 2a 40", DataError::Cid),
        ("d8 2a 41 00", DataError::Cid),
        ("d8 2a", DataError::Truncated),
    ];
    for (text, expected) in cases {
        assert_eq!(cbor::decode(&hex(text)), Err(expected), "{text}");
    }
}

#[test]
fn rejects_links_of_other_kinds() {
    let digest = "00".repeat(32);
    let link = |inner: String| {
        let inner = hex(&inner);
        let mut writer = Writer::new();
        writer.raw(&[0xd8, 42]).bytes(&inner);
        cbor::decode(writer.as_bytes())
    };
    assert!(link(format!("00 01 71 12 20 {digest}")).is_ok());
    assert!(link(format!("00 01 55 12 20 {digest}")).is_ok());
    for inner in [
        format!("01 71 12 20 {digest}"),
        format!("01 01 71 12 20 {digest}"),
        format!("00 12 20 {digest}"),
        format!("00 02 71 12 20 {digest}"),
        format!("00 01 70 12 20 {digest}"),
        format!("00 01 71 1b 20 {digest}"),
        format!("00 01 71 12 1f {}", "00".repeat(31)),
        format!("00 01 71 12 20 {digest} 00"),
        format!("00 81 00 71 12 20 {digest}"),
        format!("00 01 71 12 20 {}", "00".repeat(100)),
    ] {
        assert_eq!(link(inner.clone()), Err(DataError::Cid), "{inner}");
    }
}

#[test]
fn integers_are_taken_to_the_limit_on_both_sides() {
    for value in [0, 23, 24, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, MAX_INTEGER] {
        for value in [value, -value] {
            let block = cbor::encode(&Ipld::Integer(value.into())).unwrap();
            assert_eq!(cbor::decode(&block).unwrap(), Ipld::Integer(value.into()));
        }
    }
    for value in [i128::from(MAX_INTEGER) + 1, -i128::from(MAX_INTEGER) - 1, i128::MAX, i128::MIN] {
        assert_eq!(cbor::encode(&Ipld::Integer(value)), Err(DataError::IntegerRange));
    }
}

#[test]
fn nesting_is_taken_to_the_limit_and_not_beyond() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    let deepest = cbor::decode(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(cbor::encode(&deepest).unwrap(), nested(MAX_DEPTH));
    assert_eq!(cbor::encode(&Ipld::List(vec![deepest])), Err(DataError::Depth));
    for depth in [MAX_DEPTH + 1, 10_000, 1_000_000] {
        assert_eq!(cbor::decode(&nested(depth)), Err(DataError::Depth));
    }
    let maps = |depth: usize| [[0xa1, 0x61, b'a'].repeat(depth), vec![0]].concat();
    assert!(cbor::decode(&maps(MAX_DEPTH)).is_ok());
    assert_eq!(cbor::decode(&maps(MAX_DEPTH + 1)), Err(DataError::Depth));
}

#[test]
fn containers_and_documents_are_taken_to_the_limit_and_not_beyond() {
    let list = |length: usize| {
        let mut writer = Writer::new();
        writer.array(length).raw(&vec![0xf6; length]);
        writer.into_bytes()
    };
    assert!(cbor::decode(&list(MAX_CONTAINER)).is_ok());
    assert_eq!(cbor::decode(&list(MAX_CONTAINER + 1)), Err(DataError::Container));
    assert_eq!(cbor::encode(&Ipld::List(vec![Ipld::Null; MAX_CONTAINER + 1])), Err(DataError::Container));
    let lists = MAX_VALUES / MAX_CONTAINER;
    let mut writer = Writer::new();
    writer.array(lists + 1);
    for _ in 0..=lists {
        writer.raw(&list(MAX_CONTAINER));
    }
    assert_eq!(cbor::decode(writer.as_bytes()), Err(DataError::Values));
}

#[test]
fn keys_are_taken_to_the_limit_and_not_beyond() {
    let map = |length: usize| Ipld::Map([("k".repeat(length), Ipld::Null)].into());
    let block = cbor::encode(&map(MAX_KEY_BYTES)).unwrap();
    assert_eq!(cbor::decode(&block).unwrap(), map(MAX_KEY_BYTES));
    assert_eq!(cbor::encode(&map(MAX_KEY_BYTES + 1)), Err(DataError::KeyTooLong));
    assert_eq!(cbor::encode(&map(0)), Err(DataError::KeyEmpty));
    let mut writer = Writer::new();
    writer.map(1).text(&"k".repeat(MAX_KEY_BYTES + 1)).null();
    assert_eq!(cbor::decode(writer.as_bytes()), Err(DataError::KeyTooLong));
}

#[test]
fn what_is_not_of_the_model_is_not_encoded() {
    assert_eq!(cbor::encode(&Ipld::Float(1.0)), Err(DataError::Float));
    let dag_pb = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".parse().unwrap();
    assert_eq!(cbor::encode(&Ipld::Link(dag_pb)), Err(DataError::Cid));
}

/// A hostile length is refused for what it says; nothing is reserved for it and nothing is read.
#[test]
fn hostile_blocks_are_refused_at_once() {
    let deep = vec![0x81; 5_000_000];
    let wide = [hex("9a 0001ffff"), vec![0xf6; 1_000_000]].concat();
    // A list of the longest lists, each of which claims what the rest of the input could fill.
    let claims = hex("9a 00010000").repeat(100_000);
    let start = Instant::now();
    for block in [deep, wide, claims] {
        assert!(cbor::decode(&block).is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_prefix_tells_its_length() {
    let block = [cbor::encode(&Ipld::List(vec![Ipld::Null])).unwrap(), vec![0x01, 0x02]].concat();
    assert_eq!(cbor::decode_prefix(&block).unwrap(), (Ipld::List(vec![Ipld::Null]), 2));
}

#[test]
fn a_reader_reads_what_a_writer_wrote() {
    let (node, leaf) = (cid_of_cbor(b"node"), cid_of_raw(b"leaf"));
    let mut writer = Writer::with_capacity(128);
    writer.map(2).text("a").array(6).int(-5).uint(500).bytes(&[1, 2]).bool(true).null().link(&leaf);
    writer.text("bb").array(2).optional_link(Some(&node)).optional_link(None);
    let block = writer.into_bytes();
    assert!(cbor::decode(&block).is_ok());

    let mut reader = Reader::new(&block);
    assert_eq!(reader.peek(), Ok(Kind::Map));
    assert_eq!(reader.map(), Ok(2));
    assert_eq!(reader.key(""), Ok("a"));
    assert_eq!(reader.array(), Ok(6));
    assert_eq!(reader.integer(), Ok(-5));
    assert_eq!(reader.uint(), Ok(500));
    assert_eq!(reader.bytes(), Ok([1, 2].as_slice()));
    assert_eq!(reader.bool(), Ok(true));
    assert_eq!(reader.null(), Ok(()));
    assert_eq!(reader.link(), Ok(leaf));
    assert_eq!(reader.key("a"), Ok("bb"));
    assert_eq!(reader.array(), Ok(2));
    assert_eq!(reader.optional_link(), Ok(Some(node)));
    assert_eq!(reader.optional_link(), Ok(None));
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(reader.offset(), block.len());
}

#[test]
fn a_reader_says_what_it_wanted() {
    let wanted = |read: &dyn Fn(&mut Reader<'_>) -> Result<(), DataError>| read(&mut Reader::new(&[0xf6]));
    assert_eq!(wanted(&|r| r.text().map(|_| ())), Err(DataError::Expected(Kind::Text)));
    assert_eq!(wanted(&|r| r.bytes().map(|_| ())), Err(DataError::Expected(Kind::Bytes)));
    assert_eq!(wanted(&|r| r.integer().map(|_| ())), Err(DataError::Expected(Kind::Integer)));
    assert_eq!(wanted(&|r| r.array().map(|_| ())), Err(DataError::Expected(Kind::Array)));
    assert_eq!(wanted(&|r| r.map().map(|_| ())), Err(DataError::Expected(Kind::Map)));
    assert_eq!(wanted(&|r| r.link().map(|_| ())), Err(DataError::Expected(Kind::Link)));
    assert_eq!(wanted(&|r| r.bool().map(|_| ())), Err(DataError::Expected(Kind::Bool)));
    assert_eq!(Reader::new(&[0x20]).uint(), Err(DataError::IntegerRange));
    assert_eq!(Reader::new(&[0x01]).null(), Err(DataError::Expected(Kind::Null)));
}
