//! `agent.relay.subscribeEvents`: what a reader may ask for.

use murmuration_lexicons::Catalog;
use murmuration_relay::Filter;
use murmuration_xrpc::events::{filter_of_message, filter_of_query, offers_subprotocol};
use serde_json::{Value, json};

const ALICE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

fn asked(query: &[(&str, &str)]) -> Result<Filter, String> {
    let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    filter_of_query(Catalog::builtin(), &query).map_err(|refusal| refusal.error.to_owned())
}

fn said(payload: &Value) -> Result<Filter, String> {
    let mut payload = payload.clone();
    payload["$type"] = "agent.relay.subscribeEvents#filter".into();
    let message = json!({ "$type": "message", "payload": payload }).to_string();
    filter_of_message(Catalog::builtin(), &message).map_err(|refusal| refusal.error.to_owned())
}

#[test]
fn a_filter_is_the_same_in_a_request_and_in_a_message() {
    let query = [
        ("cursor", "17"),
        ("wantedCollections", "agent.comms.*"),
        ("wantedCollections", "com.example.note"),
        ("wantedTopics", "weather"),
        ("wantedDids", ALICE),
        ("includeRecords", "true"),
        ("maxMessageBytes", "5000"),
    ];
    let message = json!({
        "wantedCollections": ["agent.comms.*", "com.example.note"],
        "wantedTopics": ["weather"],
        "wantedDids": [ALICE],
        "includeRecords": true,
        "maxMessageBytes": 5000,
    });
    let filter = Filter::parse(&["com.example.note", "agent.comms.*"], &[ALICE]).unwrap();
    let filter = filter.with_topics(&["weather"]).unwrap().with_records(true).at_most(5000);
    assert_eq!(asked(&query).unwrap(), filter);
    assert_eq!(said(&message).unwrap(), filter);
    assert_eq!(
        asked(&[("cursor", "soon")]).unwrap(),
        Filter::default(),
        "the cursor is the stream's to read"
    );
    assert_eq!(said(&json!({})).unwrap(), Filter::default());
}

#[test]
fn what_is_no_filter_is_refused_as_one() {
    for query in [
        ("wantedCollections", "agent.*.message"),
        ("wantedCollections", "*"),
        ("wantedDids", "alice.test"),
        ("includeRecords", "yes"),
        ("maxMessageBytes", "-1"),
        ("maxMessageBytes", "2000001"),
    ] {
        assert_eq!(asked(&[query]), Err("InvalidFilter".to_owned()), "{query:?}");
    }
    for payload in [
        json!({ "wantedCollections": "agent.comms.*" }),
        json!({ "wantedCollections": ["agent.comms."] }),
        json!({ "wantedCollections": vec!["a.b.c"; 101] }),
        json!({ "wantedTopics": [""] }),
        json!({ "wantedTopics": vec!["t"; 101] }),
        json!({ "wantedDids": [1] }),
        json!({ "wantedDids": vec![ALICE; 1001] }),
        json!({ "maxMessageBytes": 1.5 }),
    ] {
        assert_eq!(said(&payload), Err("InvalidFilter".to_owned()), "{payload}");
    }
    for text in [
        "",
        "{",
        "null",
        "{}",
        r#"{"$type":"message"}"#,
        r#"{"$type":"message","payload":{}}"#,
        r#"{"$type":"message","payload":{"$type":"agent.relay.subscribeEvents#commit"}}"#,
        r#"{"$type":"error","payload":{"$type":"agent.relay.subscribeEvents#filter"}}"#,
        r#"{"payload":{"$type":"agent.relay.subscribeEvents#filter"}}"#,
        &" ".repeat(300_000),
    ] {
        let refusal = filter_of_message(Catalog::builtin(), text).unwrap_err();
        assert_eq!(refusal.error, "InvalidFilter", "{text}");
    }
}

#[test]
fn the_subprotocol_is_found_among_those_that_are_offered() {
    for offer in ["xrpc.v1.json", "xrpc.v1.cbor, xrpc.v1.json", "xrpc.v1.json,chat"] {
        assert!(offers_subprotocol(offer), "{offer}");
    }
    for offer in ["", "xrpc.v0.cbor", "xrpc.v1.jsonx", "XRPC.V1.JSON"] {
        assert!(!offers_subprotocol(offer), "{offer}");
    }
}
