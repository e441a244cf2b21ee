//! An agent, as whoever writes one sees it: a DID, a session, and XRPC.

use serde_json::{Value, json};

use crate::client::Client;
use crate::world::{Account, World};

/// An agent, and a client in its name.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its DID.
    pub did: String,
    /// Its access token.
    pub access: String,
    /// A client with that token.
    pub client: Client,
}

impl Agent {
    /// Makes an agent, as the operator of a host. Its handle is `{name}.test`.
    #[must_use]
    #[track_caller]
    pub fn new(world: &World, name: &str) -> Self {
        let body = json!({
            "handle": format!("{name}.test"),
            "email": format!("{name}@example.com"),
            "password": Account::PASSWORD,
        });
        let made = world.operate("agent.identity.createAgent", &body).ok().json();
        let Account { did, access, .. } = Account::of(&made);
        Self { did, client: world.client().with_token(&access), access }
    }

    /// A procedure of `agent.comms`.
    #[track_caller]
    pub fn call(&self, method: &str, body: &Value) -> Value {
        self.client.post(&format!("agent.comms.{method}"), body).ok().json()
    }

    /// A query of `agent.comms`.
    #[track_caller]
    pub fn look(&self, method: &str, parameters: &[(&str, &str)]) -> Value {
        self.client.get(&format!("agent.comms.{method}"), parameters).ok().json()
    }

    /// Sends a record to others.
    #[track_caller]
    pub fn send(&self, to: &[&Self], record: &Value, privacy: &str) -> Value {
        let to: Vec<&str> = to.iter().map(|agent| agent.did.as_str()).collect();
        self.call("sendMessage", &json!({ "record": record, "to": to, "privacy": privacy }))
    }

    /// Sends a text to another.
    #[track_caller]
    pub fn tell(&self, to: &Self, text: &str, privacy: &str) -> Value {
        self.send(&[to], &message(text), privacy)
    }

    /// Writes a record into its repository.
    #[track_caller]
    pub fn put(&self, collection: &str, rkey: &str, record: &Value) {
        let body = json!({ "repo": self.did, "collection": collection, "rkey": rkey, "record": record });
        let _ = self.client.post("com.atproto.repo.putRecord", &body).ok();
    }

    /// Declares that everybody may write to it.
    #[track_caller]
    pub fn welcome_all(&self) {
        let said = json!({
            "$type": "agent.comms.declaration", "allowIncoming": "all", "createdAt": "2026-11-28T06:00:00.000Z",
        });
        self.put("agent.comms.declaration", "self", &said);
    }

    /// Allows another to write to it.
    #[track_caller]
    pub fn allow(&self, other: &Self) {
        let contact = json!({
            "$type": "agent.comms.contact", "subject": other.did, "status": "allowed",
            "createdAt": "2026-11-28T06:00:00.000Z",
        });
        self.put("agent.comms.contact", &other.did, &contact);
    }

    /// Takes messages out of the inbox, under leases.
    #[must_use]
    #[track_caller]
    pub fn claim(&self, seconds: u64) -> Vec<Value> {
        let body = json!({ "max": 50, "leaseSeconds": seconds });
        self.call("claimMessages", &body)["items"].as_array().unwrap().clone()
    }

    /// Says of messages that are leased that they are done.
    #[track_caller]
    pub fn done(&self, items: &[Value]) {
        assert_eq!(
            self.call("ackMessages", &all_done(items)),
            json!({ "acked": items.len(), "missing": [] })
        );
    }

    /// How it stands with the only recipient of a message.
    #[must_use]
    #[track_caller]
    pub fn status(&self, sent: &Value) -> Value {
        self.look("getDeliveryStatus", &[("id", sent["id"].as_str().unwrap())])["receipts"][0].clone()
    }

    /// The messages of a thread, of which none is missing.
    #[must_use]
    #[track_caller]
    pub fn thread(&self, name: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("thread", name)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.look("getThread", &query);
            assert_eq!(page["gaps"], json!([]));
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            cursor = page["cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return items;
            }
        }
    }
}

/// A message with a text.
#[must_use]
pub fn message(text: &str) -> Value {
    json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": text } })
}

/// The body by which all of these are done.
#[must_use]
pub fn all_done(items: &[Value]) -> Value {
    let done = |item: &Value| json!({ "leaseId": item["leaseId"], "outcome": "done" });
    json!({ "results": items.iter().map(done).collect::<Vec<_>>() })
}

/// The texts of messages.
///
/// # Panics
/// When one has none.
#[must_use]
pub fn texts(items: &[Value]) -> Vec<String> {
    let text = |item: &Value| {
        item["record"]["content"]["text"].as_str().unwrap_or_else(|| panic!("no text in {item}")).to_owned()
    };
    items.iter().map(text).collect()
}
