//! Agents of a host that write each other.

use murmuration_syntax::Did;
use serde_json::{Value, json};

use super::{World, did};

/// Somebody with an account in a world.
#[derive(Clone)]
pub struct Agent {
    pub did: Did,
    pub token: String,
}

impl World {
    pub fn agent(&self, name: &str) -> Agent {
        let (code, answer) = self.create_with(name, json!({}));
        assert_eq!(code, 200, "{answer}");
        let agent =
            Agent { did: did(&answer["did"]), token: answer["accessJwt"].as_str().unwrap().to_owned() };
        self.rotate(&agent);
        agent
    }

    /// Begins the next epoch of an agent's keys: its first, if it has none.
    pub fn rotate(&self, agent: &Agent) {
        let (code, answer) = self.post_as(Some(&agent.token), "agent.identity.rotateKeys", &json!({}));
        assert_eq!(code, 200, "{answer}");
    }

    pub fn call(&self, agent: &Agent, method: &str, input: &Value) -> (u16, Value) {
        self.post_as(Some(&agent.token), &format!("agent.comms.{method}"), input)
    }

    pub fn look(&self, agent: &Agent, method: &str, query: &[(&str, &str)]) -> (u16, Value) {
        self.get_as(Some(&agent.token), &format!("agent.comms.{method}"), query)
    }

    /// Sends a text, and answers with what the sender is told.
    pub fn tell(&self, from: &Agent, to: &Did, text: &str) -> Value {
        let content = json!({ "kind": "text", "text": text });
        let record = json!({ "$type": "agent.comms.message", "content": content });
        let (code, answer) = self.call(from, "sendMessage", &json!({ "record": record, "to": [to] }));
        assert_eq!(code, 200, "{answer}");
        answer
    }

    /// What an agent claims.
    pub fn claim(&self, agent: &Agent) -> Vec<Value> {
        let (code, mut answer) = self.call(agent, "claimMessages", &json!({}));
        assert_eq!(code, 200, "{answer}");
        serde_json::from_value(answer["items"].take()).unwrap()
    }

    /// Says that messages are done.
    pub fn done(&self, agent: &Agent, items: &[Value]) {
        let results: Vec<Value> =
            items.iter().map(|item| json!({ "leaseId": item["leaseId"], "outcome": "done" })).collect();
        let (code, answer) = self.call(agent, "ackMessages", &json!({ "results": results }));
        assert_eq!((code, answer), (200, json!({ "acked": items.len(), "missing": [] })));
    }

    pub fn put(&self, agent: &Agent, collection: &str, rkey: &str, record: &Value) {
        let input = json!({ "repo": agent.did, "collection": collection, "rkey": rkey, "record": record });
        let (code, answer) = self.post_as(Some(&agent.token), "com.atproto.repo.putRecord", &input);
        assert_eq!(code, 200, "{answer}");
    }

    pub fn say_of(&self, agent: &Agent, subject: &Did, status: &str) {
        let record = json!({ "subject": subject, "status": status, "createdAt": "2026-11-28T05:00:00.000Z" });
        self.put(agent, "agent.comms.contact", subject.as_str(), &record);
    }
}

/// The texts of messages.
pub fn texts(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["record"]["content"]["text"].as_str().unwrap_or("(closed)")).collect()
}
