//! What a refusal costs in memory. One test, because what is counted is the whole process's.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use murmuration_data::limits::{MAX_CONTAINER, MAX_DEPTH, MAX_VALUES};
use murmuration_data::{DataError, cbor, json, record};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes that a refusal may take at its worst, the document itself aside.
const MOST: usize = 8 * 1024 * 1024;
/// Bytes of the greatest JSON body that reaches a parser.
const BODY: usize = 2 * 1024 * 1024;

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.replace(' ', "").as_bytes()).unwrap()
}

/// Runs a parser over a document that it must refuse, and answers the bytes that it held at its worst.
fn cost(name: &str, refuse: impl FnOnce() -> Option<DataError>) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let error = refuse();
    let cost = ALLOCATOR.peak_usage().saturating_sub(before);
    println!("{name}: {cost} bytes, {error:?}");
    assert!(error.is_some(), "{name} was taken");
    cost
}

#[test]
fn a_refusal_takes_little_memory_whatever_the_document_says() {
    let mut worst = Vec::new();
    let blocks = [
        ("depth 33", [vec![0x81; MAX_DEPTH + 1], vec![0]].concat()),
        ("depth 10,000", [vec![0x81; 10_000], vec![0]].concat()),
        ("depth 60,000", [vec![0x81; 60_000], vec![0]].concat()),
        ("maps 60,000 deep", [hex("a1 61 61").repeat(60_000), vec![0]].concat()),
        ("a key twice", hex("a2 61 61 00 61 61 00")),
        ("an endless list", [vec![0x9f], vec![0; BODY]].concat()),
        ("an endless text", [hex("7f 61 61"), vec![0x61; BODY]].concat()),
        ("a length that is not minimal", [hex("9b 0000000000010000"), vec![0; BODY]].concat()),
        ("a float", hex("fb 3ff8000000000000")),
        ("a text of 2^64 bytes", [hex("7b ffffffffffffffff"), vec![0x61; BODY]].concat()),
        ("bytes of 2^63 bytes", hex("5b 7fffffffffffffff")),
        ("a list of 2^64", hex("9b ffffffffffffffff")),
        ("a map of 2^32", hex("ba ffffffff")),
        ("a list of 131,073", [hex("9a 00020001"), vec![0xf6; MAX_CONTAINER + 1]].concat()),
        ("lists that claim 65,536 each", hex("9a 00010000").repeat(MAX_DEPTH)),
        ("a list that ends early", [hex("9a 00020000"), vec![0xf6; MAX_CONTAINER - 1]].concat()),
    ];
    for (name, block) in &blocks {
        worst.push((cost(name, || cbor::decode(block).err()), *name));
        worst.push((cost(name, || record::from_cbor(block).err()), *name));
    }
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let list = |length: usize| format!("[{}1]", "1,".repeat(length - 1));
    let texts = [
        ("depth 33", nested(MAX_DEPTH + 1)),
        ("depth 10,000", nested(10_000)),
        ("depth 60,000", nested(60_000)),
        ("maps 60,000 deep", "{\"a\":".repeat(60_000)),
        ("a key twice", r#"{"a":1,"a":1}"#.to_owned()),
        ("a float", "[1.5]".to_owned()),
        ("a number of a million digits", "1".repeat(1_000_000)),
        ("a list of 131,073", list(MAX_CONTAINER + 1)),
        ("a list of half a million", list(500_000)),
        ("too many values", format!("[{}]", vec![list(1000); MAX_VALUES / 1000].join(","))),
    ];
    for (name, text) in &texts {
        worst.push((cost(name, || json::parse(text.as_bytes()).err()), *name));
        let record = format!(r#"{{"a":{text}}}"#);
        worst.push((cost(name, || record::from_json(record.as_bytes()).err()), *name));
    }
    let (bytes, name) = worst.into_iter().max().unwrap();
    assert!(bytes <= MOST, "{name}: {bytes} bytes");
}
