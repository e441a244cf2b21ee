//! What the operator asks and decides.

use murmuration_firehose::Event;
use serde_json::{Value, json};

use super::World;
use super::ask::OPERATOR;

pub const NS: &str = "com.atproto.admin";
pub const NOBODY: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

/// A host, and the DID of an account on it whose first events are told.
pub fn alice() -> (World, String) {
    let world = World::new();
    let did = world.create("alice").1["did"].as_str().unwrap().to_owned();
    events(&world, &did);
    (world, did)
}

/// Status and body of a query of the operator's.
pub fn read(world: &World, method: &str, query: &[(&str, &str)]) -> (u16, Value) {
    world.ask(&format!("{NS}.{method}"), Some(OPERATOR), query, &Value::Null)
}

/// Status and body of a decision of the operator's.
pub fn act(world: &World, input: &Value) -> (u16, Value) {
    world.ask(&format!("{NS}.updateSubjectStatus"), Some(OPERATOR), &[], input)
}

/// An account as the subject of a decision.
pub fn account(did: &str) -> Value {
    json!({ "$type": "com.atproto.admin.defs#repoRef", "did": did })
}

/// The events since this was last asked.
pub fn events(world: &World, did: &str) -> Vec<Event> {
    let did = did.parse().unwrap();
    let events = world.events(&did);
    world.objects.sent.borrow_mut().remove(&did);
    events
}
