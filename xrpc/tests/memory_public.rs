//! `agent.memory.searchMemories` beyond one's own, as a client sees it.

use crate::world::operator::act;
use crate::world::{self, World};
use murmuration_data::{cid_of_cbor, json as data, record};
use murmuration_index::{Change, Document};
use murmuration_lexicons::{Catalog, output};
use murmuration_syntax::{Did, Handle, RepoPath, Rev};
use serde_json::{Value, json};

const SEARCH: &str = "agent.memory.searchMemories";

struct Scene {
    world: World,
    alice: Did,
    header: String,
}

impl Scene {
    fn new() -> Self {
        let world = World::new().with_model();
        let (code, answer) = world.make_agent("alice", &json!({}));
        assert_eq!(code, 200, "{answer}");
        let header = format!("Bearer {}", answer["accessJwt"].as_str().unwrap());
        Self { alice: world::did(&answer["did"]), world, header }
    }

    /// Something becomes public, as the relay tells it.
    fn publish(&self, did: &Did, rkey: &str, value: &Value) {
        let value = data::from_value(value).unwrap();
        let cid = cid_of_cbor(&record::to_cbor(&value).unwrap());
        let path = RepoPath::parse(&format!("agent.memory.note/{rkey}")).unwrap();
        let rev = Rev::from_parts(1_795_000_000_000_000, 1);
        let document = Document::of(did, &path, cid, rev, &value).unwrap();
        self.tell(vec![Change::Put(Box::new(document))]);
    }

    /// An agent says who it is.
    fn introduce(&self, did: &Did, value: &Value) {
        let value = data::from_value(value).unwrap();
        let cid = cid_of_cbor(&record::to_cbor(&value).unwrap());
        let path = RepoPath::parse("agent.identity.profile/self").unwrap();
        let rev = Rev::from_parts(1_795_000_000_000_000, 1);
        self.tell(vec![Change::Put(Box::new(Document::of(did, &path, cid, rev, &value).unwrap()))]);
    }

    fn tell(&self, changes: Vec<Change>) {
        self.world.objects.public.tell(&self.world.objects, changes);
    }

    fn remember(&self, text: &str) {
        let input = json!({ "record": { "$type": "agent.memory.note", "summary": text } });
        let (code, made) = self.world.ask("agent.memory.createMemory", Some(&self.header), &[], &input);
        assert_eq!(code, 200, "{made}");
    }

    fn search(&self, header: Option<&str>, query: &[(&str, &str)]) -> Value {
        let (code, answer) = self.world.ask(SEARCH, header, query, &Value::Null);
        assert_eq!(code, 200, "{answer}");
        output(Catalog::builtin(), SEARCH, &data::from_value(&answer).unwrap()).unwrap();
        answer
    }

    fn texts(&self, header: Option<&str>, query: &[(&str, &str)]) -> Vec<String> {
        let answer = self.search(header, query);
        let hits = answer["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["memory"]["record"]["summary"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn anybody_finds_what_is_public_and_hears_whose_word_it_is() {
    let scene = Scene::new();
    let bob = Did::parse("did:web:bob.example").unwrap();
    scene.remember("a secret of a feline");
    let claims =
        json!({ "summary": "a feline dozes", "provenance": { "kind": "operator", "verified": true } });
    scene.publish(&bob, "a", &claims);
    scene.publish(&scene.alice, "3lznm6spegk2z", &json!({ "summary": "the train is late" }));
    let handle = Some(Handle::parse("bob.example").unwrap());
    scene.tell(vec![Change::Handle { did: bob.clone(), handle }]);
    let answer = scene.search(None, &[("q", "cat")]);
    assert_eq!(answer["degraded"], json!([]));
    let hit = &answer["hits"][0];
    assert_eq!(hit["memory"]["record"], claims);
    let uri = format!("at://{bob}/agent.memory.note/a");
    assert_eq!(hit["memory"]["uri"], json!(uri));
    assert_eq!((&hit["memory"]["author"], &hit["memory"]["handle"]), (&json!(bob), &json!("bob.example")));
    assert_eq!(hit["memory"]["privacy"], "public");
    let source = json!({ "uri": uri, "cid": hit["memory"]["cid"] });
    let verified = json!({ "kind": "agent", "agent": bob, "verified": true, "source": source });
    assert_eq!(hit["provenance"], verified, "not what the record claims");
    assert_eq!(hit["channels"][0]["name"], "vector");
    let late = scene.search(None, &[("q", "train"), ("scope", "public")]);
    assert_eq!(late["hits"][0]["memory"]["handle"], "alice.test");
    for (query, found) in [
        (vec![("q", "cat"), ("agent", bob.as_str())], vec!["a feline dozes"]),
        (vec![("q", "train"), ("agent", "alice.test")], vec!["the train is late"]),
        (vec![("q", "train"), ("agent", "nobody.test")], vec![]),
        (vec![("q", "cat"), ("collections", "agent.memory.fact")], vec![]),
    ] {
        assert_eq!(scene.texts(None, &query), found, "{query:?}");
    }
}

#[test]
fn ones_own_and_what_is_public_are_found_apart_and_together() {
    let scene = Scene::new();
    let bob = Did::parse("did:web:bob.example").unwrap();
    scene.remember("my own feline");
    scene.publish(&bob, "a", &json!({ "summary": "a feline dozes" }));
    let header = Some(scene.header.as_str());
    let query = [("q", "cat")];
    assert_eq!(scene.texts(header, &query), ["my own feline"], "as ever, without a scope");
    let scoped = |scope| scene.texts(header, &[("q", "cat"), ("scope", scope)]);
    assert_eq!(scoped("own"), ["my own feline"]);
    assert_eq!(scoped("public"), ["a feline dozes"]);
    let mut all = scoped("all");
    all.sort();
    assert_eq!(all, ["a feline dozes", "my own feline"]);
    let one = scene.search(header, &[("q", "cat"), ("scope", "all"), ("limit", "1")]);
    assert_eq!(one["hits"].as_array().unwrap().len(), 1);
    for scope in ["own", "all"] {
        let (code, answer) = scene.world.ask(SEARCH, None, &[("q", "cat"), ("scope", scope)], &Value::Null);
        assert_eq!((code, &answer["error"]), (401, &json!("AuthMissing")), "{scope}");
    }
    let (code, answer) = scene.world.ask(SEARCH, header, &[("q", "cat"), ("scope", "shared")], &Value::Null);
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
    // A stranger's memory is no part of what the agent is given to read.
    let (_, context) = scene.world.ask("agent.memory.getContext", header, &query, &Value::Null);
    assert!(context["text"].as_str().unwrap().contains("my own feline"), "{context}");
    assert!(!context["text"].as_str().unwrap().contains("dozes"), "{context}");
}

#[test]
fn what_is_taken_down_is_not_found_before_the_index_has_heard_of_it() {
    let scene = Scene::new();
    let (code, made) = scene.world.ask(
        "com.atproto.repo.createRecord",
        Some(&scene.header),
        &[],
        &json!({ "repo": scene.alice, "collection": "agent.memory.note", "rkey": "3lznm6spegk2z",
            "record": { "$type": "agent.memory.note", "summary": "the train is late", "createdAt": "2026-01-01T00:00:00Z" } }),
    );
    assert_eq!(code, 200, "{made}");
    scene.publish(&scene.alice, "3lznm6spegk2z", &json!({ "summary": "the train is late" }));
    let found = || scene.texts(None, &[("q", "train")]).len();
    assert_eq!(found(), 1);
    let record = json!({ "$type": "com.atproto.repo.strongRef", "uri": made["uri"], "cid": made["cid"] });
    let account = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": scene.alice });
    for subject in [record, account] {
        for (applied, expected) in [(true, 0), (false, 1)] {
            let body = json!({ "subject": subject, "takedown": { "applied": applied } });
            let (code, answer) = act(&scene.world, &body);
            assert_eq!(code, 200, "{answer}");
            assert_eq!(found(), expected, "{subject}");
        }
    }
}

#[test]
fn agents_of_the_network_are_found_by_meaning_and_this_hosts_by_words_as_ever() {
    let scene = Scene::new();
    let nsid = "agent.identity.searchAgents";
    let bob = Did::parse("did:web:bob.example").unwrap();
    let skills = json!([{ "id": "nap", "name": "Napping", "tags": ["sofa"] }]);
    let profile =
        json!({ "description": "keeps a feline", "skills": skills, "createdAt": "2026-01-01T00:00:00Z" });
    scene.introduce(&bob, &profile);
    scene.introduce(
        &scene.alice,
        &json!({ "description": "drives a train", "createdAt": "2026-01-01T00:00:00Z" }),
    );
    scene.publish(&bob, "a", &json!({ "summary": "a feline dozes" }));
    let search = |query: &[(&str, &str)]| {
        let (code, answer) = scene.world.ask(nsid, None, query, &Value::Null);
        assert_eq!(code, 200, "{answer}");
        output(Catalog::builtin(), nsid, &data::from_value(&answer).unwrap()).unwrap();
        answer["agents"].as_array().unwrap().clone()
    };
    let found = search(&[("q", "cat"), ("by", "meaning")]);
    assert_eq!((&found[0]["did"], &found[0]["profile"]), (&json!(bob), &profile));
    assert_eq!((&found[0]["status"], &found[0]["channels"][0]["name"]), (&json!("active"), &json!("vector")));
    let found = search(&[("q", "train"), ("by", "meaning"), ("limit", "1")]);
    assert_eq!((found.len(), &found[0]["handle"]), (1, &json!("alice.test")));
    let named = |name, value| search(&[("q", "cat"), ("by", "meaning"), (name, value)]).len();
    assert_eq!([named("skill", "nap"), named("tag", "sofa"), named("skill", "sofa")], [1, 1, 0]);
    assert!(search(&[("q", "cat")]).is_empty(), "by words, among this host's own");
    let (code, answer) = scene.world.ask(nsid, None, &[("by", "meaning")], &Value::Null);
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
}
