//! Somebody who has an account.

use murmuration_firehose::Event;
use murmuration_syntax::Did;
use serde_json::{Value, json};

use super::{World, did};

/// An account of its own host, and its access token.
pub struct Alice {
    pub world: World,
    pub did: Did,
    pub token: String,
}

impl Alice {
    pub fn new() -> Self {
        Self::with(json!({}))
    }

    /// The same, made with other fields than usual.
    pub fn with(changes: Value) -> Self {
        let world = World::new();
        let (code, answer) = world.create_with("alice", changes);
        assert_eq!(code, 200, "{answer}");
        let token = answer["accessJwt"].as_str().unwrap().to_owned();
        Self { did: did(&answer["did"]), token, world }
    }

    /// The handles that `#identity` events have told, oldest first.
    pub fn told(&self) -> Vec<Option<String>> {
        let events = self.world.events(&self.did);
        let identity = |event| match event {
            Event::Identity(event) => Some(event.handle.map(|handle| handle.to_string())),
            _ => None,
        };
        events.into_iter().filter_map(identity).collect()
    }
}
