//! Messages to a group: one parcel that each of it opens.

use std::collections::BTreeSet;

use murmuration_syntax::Did;
use serde_json::{Value, json};

use crate::world::World;
use crate::world::agents::{Agent, texts};

/// The most that a message may have (`agent.comms.sendMessage`).
const MOST: usize = 64;

fn letter(to: &[&Agent], text: &str) -> Value {
    let to: Vec<&Did> = to.iter().map(|agent| &agent.did).collect();
    let content = json!({ "kind": "text", "text": text });
    json!({ "record": { "$type": "agent.comms.message", "content": content }, "to": to })
}

#[test]
fn a_message_reaches_each_of_sixty_four_and_no_group_is_larger() {
    let world = World::new();
    let alice = world.agent("alice");
    let group: Vec<Agent> = (0..MOST).map(|n| world.agent(&format!("agent{n}"))).collect();
    let members: Vec<&Agent> = group.iter().collect();
    let (code, sent) = world.call(&alice, "sendMessage", &letter(&members, "all hands"));
    assert_eq!(code, 200, "{sent}");
    let receipts = sent["receipts"].as_array().unwrap();
    assert!(receipts.iter().all(|receipt| receipt["state"] == "delivered"));
    let told: BTreeSet<&str> = receipts.iter().map(|receipt| receipt["to"].as_str().unwrap()).collect();
    assert_eq!(told, group.iter().map(|agent| agent.did.as_str()).collect());
    for agent in &group {
        let items = world.claim(agent);
        assert_eq!(texts(&items), ["all hands"]);
        assert_eq!(items[0]["parcel"]["header"]["to"].as_array().unwrap().len(), MOST);
    }
    let zoe = world.agent("zoe");
    let many: Vec<&Agent> = group.iter().chain([&zoe]).collect();
    let (code, answer) = world.call(&alice, "sendMessage", &letter(&many, "too many"));
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
}

#[test]
fn a_group_talks_in_one_thread_and_works_at_one_task() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    let (code, sent) = world.call(&alice, "sendMessage", &letter(&[&carol, &bob, &carol], "who is in?"));
    assert_eq!((code, sent["receipts"].as_array().unwrap().len()), (200, 2), "each once");
    let heard = world.claim(&bob);
    assert_eq!(heard[0]["record"]["recipient"], heard[0]["parcel"]["header"]["to"][0]);
    world.pass_minutes(1);
    let (code, answer) = world.call(&bob, "sendMessage", &letter(&[&alice, &carol], "I am"));
    assert_eq!(code, 200, "{answer}");
    let thread = heard[0]["parcel"]["header"]["thread"].as_str().unwrap();
    for agent in [&alice, &bob, &carol] {
        let (_, page) = world.look(agent, "getThread", &[("thread", thread)]);
        assert_eq!(texts(page["items"].as_array().unwrap()), ["who is in?", "I am"]);
    }

    let request = json!({ "$type": "agent.comms.request", "task": "keep watch" });
    let input = json!({ "record": request, "to": [bob.did, carol.did] });
    let (code, asked) = world.call(&alice, "sendMessage", &input);
    assert_eq!(code, 200, "{asked}");
    let done = json!({ "$type": "agent.comms.response", "requestUri": asked["uri"], "status": "completed" });
    let (code, answer) =
        world.call(&carol, "sendMessage", &json!({ "record": done, "to": [alice.did, bob.did] }));
    assert_eq!(code, 200, "{answer}");
    let (_, task) = world.look(&alice, "getTask", &[("request", asked["uri"].as_str().unwrap())]);
    assert_eq!((&task["state"], task["assignees"].as_array().unwrap().len()), (&json!("completed"), 2));
}

#[test]
fn a_group_with_somebody_whom_nobody_knows_is_sent_nothing() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.agent(name));
    let mut input = letter(&[&bob], "x");
    input["to"].as_array_mut().unwrap().push(json!("did:plc:nobodynobodynobodynobody"));
    let (code, answer) = world.call(&alice, "sendMessage", &input);
    assert_eq!((code, &answer["error"]), (400, &json!("RecipientNotFound")));
    assert!(world.claim(&bob).is_empty());
}
