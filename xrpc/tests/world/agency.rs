//! Agents: made, asked for, and looked at from all sides.

use murmuration_syntax::Did;
use serde_json::{Value, json};

use super::ask::OPERATOR;
use super::{World, did};

pub const NS: &str = "agent.identity";

impl World {
    /// Status and body of a createAgent of the operator's, with other fields than usual.
    pub fn make_agent(&self, name: &str, changes: &Value) -> (u16, Value) {
        self.make_agent_as(Some(OPERATOR), name, changes)
    }

    /// The same, of anybody's.
    pub fn make_agent_as(&self, header: Option<&str>, name: &str, changes: &Value) -> (u16, Value) {
        let mut input = json!({ "handle": format!("{name}.test") });
        for (field, value) in changes.as_object().unwrap() {
            input[field] = value.clone();
        }
        self.ask(&format!("{NS}.createAgent"), header, &[], &input)
    }

    /// Status and body of a resolveAlias.
    pub fn resolve_alias(&self, name: &str) -> (u16, Value) {
        self.get(&format!("{NS}.resolveAlias"), &[("did", name)])
    }

    /// Status and body of the document of a did:cf, from this host.
    pub fn alias_page(&self, alias: &str) -> (u16, Value) {
        let id = alias.strip_prefix("did:cf:").unwrap_or(alias);
        let (code, _, body) = self.page(None, &format!("/.well-known/did-cf/{id}/did.json"));
        (code, serde_json::from_str(&body).unwrap())
    }

    /// The did:cf that the object of a DID would have.
    pub fn cf_of(&self, did: &Did) -> String {
        self.host().agents.alias(did).unwrap().did().to_string()
    }

    /// A record of an account.
    pub fn record(&self, did: &Did, collection: &str, rkey: &str) -> (u16, Value) {
        let query = [("repo", did.as_str()), ("collection", collection), ("rkey", rkey)];
        self.ask("com.atproto.repo.getRecord", None, &query, &Value::Null)
    }

    /// Whether an agent is whole: its three names lead to the same, each document says so, and it has keys and a profile.
    pub fn assert_agent(&self, answer: &Value, what: &str) {
        let (did, alias) = (did(&answer["did"]), answer["alias"].as_str().unwrap());
        for name in [did.as_str(), alias] {
            let (code, found) = self.resolve_alias(name);
            assert_eq!(
                (code, &found["did"], &found["alias"]),
                (200, &json!(did), &json!(alias)),
                "{what}: {found}"
            );
            let proof = if did.method() == "plc" { json!(["log", "alias"]) } else { json!(["alias"]) };
            assert_eq!(found["verified"], proof, "{what}");
            assert_eq!(self.alias_page(alias), (200, found["aliasDoc"].clone()), "{what}");
        }
        assert_eq!(self.record(&did, "agent.identity.profile", "self").0, 200, "{what}");
        let (code, keys) = self.record(&did, "agent.identity.keys", "self");
        assert_eq!((code, keys["value"]["epochs"].as_array().map(Vec::len)), (200, Some(1)), "{what}");
        let (code, agent) = self.get(&format!("{NS}.getAgent"), &[("agent", alias)]);
        assert_eq!(
            (code, &agent["status"], &agent["handle"]),
            (200, &json!("active"), &answer["handle"]),
            "{what}"
        );
        let header = format!("Bearer {}", answer["accessJwt"].as_str().unwrap());
        let (code, session) = self.ask("com.atproto.server.getSession", Some(&header), &[], &Value::Null);
        assert_eq!((code, &session["did"]), (200, &answer["did"]), "{what}");
    }
}
