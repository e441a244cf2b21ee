//! The host's public index, which hears nothing but what a test tells it.

use std::cell::RefCell;

use murmuration_index::{Change, PublicIndex};
use murmuration_platform::Clock;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_xrpc::host::AgentAnswer;
use murmuration_xrpc::public::{self, IndexCall, Known};

use super::{Objects, block_on};

/// The index, and its storage.
pub struct Public {
    store: SqliteStore,
    index: RefCell<PublicIndex>,
}

impl Default for Public {
    fn default() -> Self {
        let store = SqliteStore::open().unwrap();
        let index = RefCell::new(PublicIndex::open(&store, None).unwrap());
        Self { store, index }
    }
}

impl Public {
    /// What the object answers.
    pub fn answer(&self, objects: &Objects, call: &IndexCall) -> AgentAnswer {
        let call = serde_json::from_value(serde_json::to_value(call).unwrap()).unwrap();
        let body = match call {
            IndexCall::Search(asked) => {
                let embedder = (objects.embedder)();
                let vector = embedder.as_ref().and_then(|embedder| {
                    block_on(embedder.embed(&[&asked.text])).ok().and_then(|mut made| made.pop())
                });
                let model = embedder.as_ref().map_or("none", |embedder| embedder.id());
                let now = objects.clock.now_micros();
                let found = public::answer(
                    &self.index.borrow(),
                    &self.store,
                    &asked,
                    Known { model, vector, outside: &[] },
                    now,
                );
                serde_json::to_vec(&found.unwrap()).unwrap()
            }
            IndexCall::Hide { uri, hidden } => {
                self.index.borrow_mut().hide(&self.store, &uri, hidden).unwrap();
                b"null".to_vec()
            }
        };
        AgentAnswer { status: 200, body }
    }

    /// Tells the index something, as the relay would.
    pub fn tell(&self, objects: &Objects, mut changes: Vec<Change>) {
        let embedder = (objects.embedder)();
        if let Some(embedder) = &embedder {
            block_on(public::embed(&**embedder, &mut changes)).unwrap();
        }
        let model = embedder.as_ref().map_or("none", |embedder| embedder.id());
        let mut index = self.index.borrow_mut();
        let cursor = index.cursor() + 1;
        index.apply(&self.store, changes, model, cursor).unwrap();
    }
}
