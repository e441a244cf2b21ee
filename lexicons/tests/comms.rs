//! The records that agents send each other: the smallest that is taken, and what is not.

use murmuration_data::json;
use murmuration_lexicons::{Catalog, Validation, validate_record};
use murmuration_syntax::{Nsid, RecordKey};
use serde_json::{Value, json as object};

const ALICE: &str = "did:plc:alice234567alice234567al";
const BOB: &str = "did:cf:0123456789abcdef";
const AT: &str = "2026-11-28T05:00:00.000Z";
const TID: &str = "3jzfcijpj2z2a";

fn verdict(collection: &str, rkey: &str, mut record: Value) -> Result<Validation, String> {
    record.as_object_mut().unwrap().insert("$type".into(), collection.into());
    let (collection, rkey) = (Nsid::parse(collection).unwrap(), RecordKey::parse(rkey).unwrap());
    let record = json::from_value(&record).unwrap();
    validate_record(Catalog::builtin(), &collection, &rkey, &record).map_err(|error| error.to_string())
}

/// The smallest record is taken, also with each of the changes; and refused without any one of its fields.
fn takes(collection: &str, rkey: &str, smallest: &Value, changes: &[Value]) {
    assert_eq!(verdict(collection, rkey, smallest.clone()), Ok(Validation::Valid), "{smallest}");
    for change in changes {
        assert_eq!(verdict(collection, rkey, with(smallest, change)), Ok(Validation::Valid), "{change}");
    }
    for name in smallest.as_object().unwrap().keys() {
        let mut less = smallest.clone();
        less.as_object_mut().unwrap().remove(name);
        let wanted = format!("Record must have the property \"{name}\"");
        assert_eq!(verdict(collection, rkey, less), Err(wanted));
    }
}

/// The smallest record is refused with each of the changes.
fn refuses(collection: &str, rkey: &str, smallest: &Value, changes: &[Value]) {
    for change in changes {
        assert!(verdict(collection, rkey, with(smallest, change)).is_err(), "{collection}: {change}");
    }
}

fn with(record: &Value, change: &Value) -> Value {
    let mut record = record.clone();
    record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    record
}

#[test]
fn a_message_has_one_piece_of_content_at_least() {
    let smallest = object!({ "sender": ALICE, "recipient": BOB, "content": { "kind": "text", "text": "hi" }, "createdAt": AT });
    takes(
        "agent.comms.message",
        TID,
        &smallest,
        &[
            object!({ "content": { "kind": "json", "data": { "answer": 42 } } }),
            object!({ "content": { "kind": "ref", "uri": "at://did:plc:a/agent.memory.note/3jzfcijpj2z2a" } }),
            object!({ "content": { "kind": "text" }, "thread": "t", "priority": 1 }),
            object!({ "priority": 5 }),
        ],
    );
    refuses(
        "agent.comms.message",
        TID,
        &smallest,
        &[
            object!({ "content": "hi" }),
            object!({ "content": {} }),
            object!({ "content": { "kind": "text", "text": "x".repeat(10_001) } }),
            object!({ "content": { "kind": "ref", "uri": "no uri" } }),
            object!({ "sender": "alice.test" }),
            object!({ "recipient": [BOB] }),
            object!({ "priority": 0 }),
            object!({ "priority": 6 }),
            object!({ "priority": "3" }),
            object!({ "thread": "t".repeat(65) }),
            object!({ "createdAt": "today" }),
        ],
    );
    assert!(verdict("agent.comms.message", "self", smallest).is_err());
}

#[test]
fn a_request_is_a_task_in_words() {
    let smallest = object!({ "sender": ALICE, "recipient": BOB, "task": "review the plan", "createdAt": AT });
    takes(
        "agent.comms.request",
        TID,
        &smallest,
        &[
            object!({ "params": { "depth": 2 }, "deadline": AT }),
            object!({ "skill": "review", "thread": "t" }),
        ],
    );
    refuses(
        "agent.comms.request",
        TID,
        &smallest,
        &[
            object!({ "task": "x".repeat(3_001) }),
            object!({ "params": "depth" }),
            object!({ "deadline": 5 }),
            object!({ "sender": "" }),
        ],
    );
}

#[test]
fn a_response_names_its_request_and_how_it_stands() {
    let smallest = object!({
        "sender": BOB,
        "recipient": ALICE,
        "requestUri": format!("at://{ALICE}/agent.comms.request/{TID}"),
        "status": "accepted",
        "createdAt": AT,
    });
    takes(
        "agent.comms.response",
        TID,
        &smallest,
        &[
            object!({ "status": "completed", "result": { "lines": 12 } }),
            object!({ "status": "failed", "error": "out of tokens" }),
            object!({ "status": "rejected" }),
        ],
    );
    refuses(
        "agent.comms.response",
        TID,
        &smallest,
        &[
            object!({ "requestUri": "https://example.com/" }),
            object!({ "status": 1 }),
            object!({ "status": "x".repeat(25) }),
            object!({ "result": [1] }),
            object!({ "error": "x".repeat(301) }),
        ],
    );
}

#[test]
fn a_broadcast_needs_no_recipient() {
    let smallest =
        object!({ "sender": ALICE, "content": { "kind": "text", "text": "down" }, "createdAt": AT });
    takes(
        "agent.comms.broadcast",
        TID,
        &smallest,
        &[
            object!({ "topic": "deploys", "severity": "warning" }),
            object!({ "audience": [{ "$type": "agent.comms.broadcast#did", "did": BOB }] }),
        ],
    );
    refuses(
        "agent.comms.broadcast",
        TID,
        &smallest,
        &[
            object!({ "topic": "x".repeat(257) }),
            object!({ "audience": [BOB] }),
            object!({ "audience": [{ "$type": "agent.comms.broadcast#did", "did": "bob" }] }),
        ],
    );
}

#[test]
fn a_handoff_says_what_goes_over() {
    let smallest = object!({ "sender": ALICE, "recipient": BOB, "summary": "half done", "createdAt": AT });
    takes(
        "agent.comms.handoff",
        TID,
        &smallest,
        &[object!({ "state": { "step": 3 }, "reason": "shift ends" })],
    );
    refuses(
        "agent.comms.handoff",
        TID,
        &smallest,
        &[
            object!({ "summary": "x".repeat(10_001) }),
            object!({ "state": 3 }),
            object!({ "request": "at://x" }),
        ],
    );
}

#[test]
fn a_declaration_is_the_only_one_of_its_repository() {
    let smallest = object!({ "allowIncoming": "all", "createdAt": AT });
    takes(
        "agent.comms.declaration",
        "self",
        &smallest,
        &[object!({ "requireSealed": true, "acceptTypes": ["agent.comms.message"], "maxParcelBytes": 1024 })],
    );
    refuses(
        "agent.comms.declaration",
        "self",
        &smallest,
        &[
            object!({ "allowIncoming": true }),
            object!({ "acceptTypes": ["everything"] }),
            object!({ "maxParcelBytes": 1023 }),
        ],
    );
    assert!(verdict("agent.comms.declaration", TID, smallest).is_err());
}

#[test]
fn a_contact_may_be_named_by_the_did_of_its_subject() {
    let smallest = object!({ "subject": BOB, "status": "allowed", "createdAt": AT });
    takes("agent.comms.contact", BOB, &smallest, &[object!({ "status": "blocked", "note": "sells things" })]);
    refuses(
        "agent.comms.contact",
        BOB,
        &smallest,
        &[
            object!({ "subject": "bob" }),
            object!({ "status": "x".repeat(17) }),
            object!({ "note": "x".repeat(301) }),
        ],
    );
}
