//! An agent moves to another host with all that it remembers, and those who read it go on reading.

use murmuration_tests::{Account, Agent, Client, Setup, World};
use serde_json::{Value, json};

const CAR: &str = "application/vnd.ipld.car";

fn post(client: &Client, nsid: &str, body: &Value) -> Value {
    let answer = match body {
        Value::Null => client.send("POST", &format!("/xrpc/{nsid}"), &[], Vec::new()).unwrap(),
        body => client.post(nsid, body),
    };
    let text = answer.ok().text();
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

/// The code in the last letter of a host.
fn code(world: &World) -> String {
    let outbox = std::fs::read_dir(world.folder().join("outbox")).unwrap();
    let last = outbox.map(|file| file.unwrap().path()).max().unwrap();
    let letter: Value = serde_json::from_slice(&std::fs::read(last).unwrap()).unwrap();
    let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
    letter["text"].as_str().unwrap().split_whitespace().find(is_code).unwrap().to_owned()
}

/// Moves an agent's account, its repository and its keys, by the standard flow.
fn moved(agent: &Agent, here: &World, there: &World) -> Agent {
    let host = there.client().get("com.atproto.server.describeServer", &[]).ok().json()["did"].clone();
    let query = [("aud", host.as_str().unwrap()), ("lxm", "com.atproto.server.createAccount")];
    let token = agent.client.get("com.atproto.server.getServiceAuth", &query).ok().json()["token"].clone();
    let body = json!({
        "handle": "alice.test", "did": agent.did, "email": "alice@example.org", "password": Account::PASSWORD,
    });
    let incoming = there.client().with_token(token.as_str().unwrap());
    let Account { did, access, .. } =
        Account::of(&post(&incoming, "com.atproto.server.createAccount", &body));
    let new = Agent { did, client: there.client().with_token(&access), access };
    let car = here.client().get("com.atproto.sync.getRepo", &[("did", &agent.did)]).ok().body;
    let _ = new.client.post_bytes("com.atproto.repo.importRepo", CAR, &car).ok();
    let keys = post(&agent.client, "agent.identity.exportKeys", &Value::Null);
    post(&new.client, "agent.identity.importKeys", &json!({ "epochs": keys["epochs"] }));
    let wanted = "com.atproto.identity.getRecommendedDidCredentials";
    let mut operation = new.client.get(wanted, &[]).ok().json();
    // npm's PLC server is from before June 2025, and takes no such key.
    let _ = operation["verificationMethods"].as_object_mut().unwrap().remove("agent_enc");
    post(&agent.client, "com.atproto.identity.requestPlcOperationSignature", &Value::Null);
    operation["token"] = code(here).into();
    let signed = post(&agent.client, "com.atproto.identity.signPlcOperation", &operation);
    post(&new.client, "com.atproto.identity.submitPlcOperation", &signed);
    post(&new.client, "com.atproto.server.activateAccount", &Value::Null);
    post(&agent.client, "com.atproto.server.deactivateAccount", &json!({}));
    new
}

#[test]
fn an_agent_takes_all_that_it_remembers_to_another_host_and_its_readers_read_on() {
    let here = World::start();
    let there = Setup::new().plc_of(&here).start();
    let [alice, bob] = ["alice", "bob"].map(|name| Agent::new(&here, name));
    let carol = Agent::new(&there, "carol");
    alice.welcome_all();
    carol.welcome_all();
    let text = format!("{} and the very end", "what a long day it was ".repeat(20_000));
    let large = json!({ "$type": "agent.memory.note", "summary": "a long day", "text": text });
    // It is shared as it is made.
    let body = json!({ "record": large, "shareWith": [bob.did, carol.did], "pinned": true });
    let made = post(&alice.client, "agent.memory.createMemory", &body);
    assert_eq!(made["shares"].as_array().unwrap().len(), 2, "{made}");
    let uri = made["uri"].as_str().unwrap().to_owned();
    let told = bob.claim(60);
    assert_eq!(told[0]["record"]["content"]["uri"], json!(uri));
    let read = |agent: &Agent| {
        let answer = agent.client.get("agent.memory.getMemory", &[("uri", &uri)]);
        answer.ok().json()["record"]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(read(&bob), text);
    let small = json!({ "record": { "$type": "agent.memory.note", "summary": "the window is on Friday" } });
    post(&alice.client, "agent.memory.createMemory", &small);
    post(&alice.client, "agent.memory.putState", &json!({ "key": "task", "value": { "step": 7 } }));
    let space = |agent: &Agent| agent.client.get("agent.memory.getStats", &[]).ok().json()["space"].clone();
    let before = space(&alice);

    let new = moved(&alice, &here, &there);
    let export = alice.client.get("agent.memory.exportMemories", &[("format", "sealed")]).ok().text();
    assert!(!export.contains("Friday") && !export.contains("very end"));
    for line in export.lines() {
        let part: Value = serde_json::from_str(line).unwrap();
        post(&new.client, "agent.memory.importMemories", &json!({ "part": part }));
    }
    let after = space(&new);
    assert_eq!((&after["hash"], &after["memories"]), (&before["hash"], &before["memories"]));
    assert_eq!(read(&new), text);
    let found = new.client.get("agent.memory.searchMemories", &[("q", "very end")]).ok().json();
    let hit = &found["hits"][0]["memory"];
    assert_eq!((&hit["uri"], &hit["pinned"], &hit["privacy"]), (&json!(uri), &json!(true), &json!("shared")));
    let state = new.client.get("agent.memory.getState", &[("key", "task")]).ok().json();
    assert_eq!(state["value"]["step"], 7);

    // One reads from where she is, one from where she was.
    assert_eq!(read(&carol), text);
    assert_eq!(read(&bob), text);
    let shares = new.client.get("agent.memory.listShares", &[]).ok().json();
    assert_eq!(shares["shares"].as_array().unwrap().len(), 2);
    post(&new.client, "agent.memory.revokeShare", &json!({ "uri": uri, "subjects": [bob.did] }));
    let answer = bob.client.get("agent.memory.getMemory", &[("uri", &uri)]);
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("MemoryNotFound")));
}
