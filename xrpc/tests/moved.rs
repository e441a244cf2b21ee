//! An agent that has moved to another host: the row that it leaves behind makes it no neighbour.

use murmuration_bridge::plc::Operation;
use murmuration_syntax::{Did, Handle};
use serde_json::{Value, json};

use crate::world::agents::{Agent, texts};
use crate::world::hosts::Hosts;
use crate::world::operator::{account, act};

const CREATE: &str = "com.atproto.server.createAccount";

/// Moves an agent of this host to the other: its account, its DID document, and the row that is left here.
fn move_away(hosts: &Hosts, agent: &Agent, name: &str) -> Agent {
    let (here, there) = (&hosts.here, &hosts.there);
    hosts.share_the_directory();
    let handle = format!("{name}.far");
    let token = hosts.token(agent, "did:web:far.example", CREATE);
    let email = format!("{name}@far.example");
    let input = json!({ "did": agent.did, "handle": handle, "email": email, "password": "a long one" });
    let (code, answer) = there.post_as(Some(&token), CREATE, &input);
    assert_eq!(code, 200, "{answer}");
    let moved = Agent { did: agent.did.clone(), token: answer["accessJwt"].as_str().unwrap().to_owned() };
    let key = there.objects.accounts.borrow()[&agent.did].signing_key().unwrap();
    let mut log = here.network.log.borrow()[&agent.did].clone();
    let last = log.last().unwrap();
    let state = last.state().unwrap().with_pds("https://far.example").with_signing_key(&key);
    let state = state.with_handle(&Handle::parse(&handle).unwrap());
    log.push(Operation::update(&last.cid(), state, &here.config.plc_rotation_key).unwrap());
    for world in [here, &**there] {
        world.network.log.borrow_mut().insert(agent.did.clone(), log.clone());
    }
    let activate = "com.atproto.server.activateAccount";
    assert_eq!(there.ask_as(Some(&moved.token), activate), (200, Value::Null));
    let deactivate = "com.atproto.server.deactivateAccount";
    assert_eq!(here.post_as(Some(&agent.token), deactivate, &json!({})), (200, Value::Null));
    moved
}

/// What the last delivery of the other host to this one comes to.
fn delivered_here(hosts: &Hosts) -> Value {
    let asked = hosts.there.network.asked.borrow().last().cloned().unwrap();
    assert_eq!(asked.url, "https://pds.example/xrpc/agent.comms.deliver");
    let input: Value = serde_json::from_slice(&asked.body).unwrap();
    let (code, answer) = hosts.here.ask("agent.comms.deliver", Some(&asked.headers[0].1), &[], &input);
    assert_eq!(code, 200, "{answer}");
    answer
}

/// Has the other host find the keys of an agent of this.
fn keys_are_found_there(hosts: &Hosts, did: &Did) {
    let (_, keys) = hosts.here.proof(did.as_str(), "agent.identity.keys", "self");
    *hosts.there.network.peer.borrow_mut() = Some(Box::new(move |request| {
        request.url.contains("sync.getRecord").then(|| (200, Vec::new(), keys.clone()))
    }));
}

#[test]
fn an_agent_that_has_moved_away_is_written_to_where_it_lives_and_is_a_stranger_to_whom_it_has_left() {
    let hosts = Hosts::new();
    let [carol, dave] = ["carol", "dave"].map(|name| hosts.here.agent(name));
    let content = json!({ "kind": "text", "text": "from next door" });
    let record = json!({ "$type": "agent.comms.message", "content": content, "thread": "before" });
    let (code, old) = hosts.here.call(&carol, "sendMessage", &json!({ "record": record, "to": [dave.did] }));
    assert_eq!((code, &old["receipts"][0]["state"]), (200, &json!("delivered")));
    assert_eq!(texts(&hosts.here.claim(&dave)), ["from next door"], "a neighbour");

    // Who will write to her again has found her here.
    let (_, sent) =
        hosts.here.call(&hosts.alice, "sendMessage", &json!({ "record": record, "to": [carol.did] }));
    assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");

    let moved = move_away(&hosts, &carol, "carol");
    // Two hosts of one clock would give two messages one name.
    hosts.pass_minutes(1);
    hosts.there.rotate(&moved);
    let sent = hosts.here.tell(&hosts.alice, &carol.did, "how is it there?");
    assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
    hosts.there.say_of(&moved, &hosts.alice.did, "allowed");
    assert_eq!(texts(&hosts.there.claim(&moved)), ["how is it there?"]);

    keys_are_found_there(&hosts, &dave.did);
    hosts.there.tell(&moved, &dave.did, "from afar");
    assert_eq!(delivered_here(&hosts)["state"], "quarantined");
    // Who has written to it is answered.
    keys_are_found_there(&hosts, &hosts.alice.did);
    hosts.there.tell(&moved, &hosts.alice.did, "fine");
    assert_eq!(delivered_here(&hosts)["state"], "delivered");
}

#[test]
fn what_an_agent_hands_over_that_has_moved_away_is_fetched_where_it_lives() {
    let hosts = Hosts::new();
    let carol = hosts.here.agent("carol");
    let moved = move_away(&hosts, &carol, "carol");
    hosts.there.rotate(&moved);
    hosts.here.say_of(&hosts.alice, &carol.did, "allowed");
    let content = json!({ "kind": "text", "text": "the pump leaks" });
    let letter = json!({ "$type": "agent.comms.message", "content": content, "thread": "case 7" });
    hosts.there.say_of(&hosts.bob, &carol.did, "allowed");
    hosts.there.rotate(&hosts.bob);
    let (code, answer) =
        hosts.there.call(&moved, "sendMessage", &json!({ "record": letter, "to": [hosts.bob.did] }));
    assert_eq!(code, 200, "{answer}");
    keys_are_found_there(&hosts, &hosts.alice.did);
    let handoff = json!({ "$type": "agent.comms.handoff", "summary": "Go on." });
    let input = json!({ "record": handoff, "to": [hosts.alice.did], "handOver": "case 7" });
    let (code, sent) = hosts.there.call(&moved, "sendMessage", &input);
    assert_eq!((code, &delivered_here(&hosts)["state"]), (200, &json!("delivered")), "{sent}");
    let query = [("handoff", sent["uri"].as_str().unwrap())];
    let (code, page) = hosts.here.look(&hosts.alice, "getHandoff", &query);
    assert_eq!(code, 200, "{page}");
    assert_eq!(texts(page["messages"].as_array().unwrap()), ["the pump leaks"]);
}

#[test]
fn an_account_that_was_taken_down_is_no_neighbour_though_its_document_names_this_host() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let spammer = hosts.there_agent("zoe");
    // It is delivered later than it was sent, by a token that was made before.
    hosts.there.objects.broken.borrow_mut().insert(hosts.bob.did.clone());
    let content = json!({ "kind": "text", "text": "buy" });
    let record = json!({ "$type": "agent.comms.message", "content": content, "thread": "offer" });
    let input = json!({ "record": record, "to": [hosts.bob.did], "privacy": "public" });
    let (code, answer) = hosts.there.call(&spammer, "sendMessage", &input);
    assert_eq!((code, &answer["receipts"][0]["state"]), (200, &json!("queued")), "{answer}");
    hosts.there.objects.broken.borrow_mut().clear();
    let (_, page) = hosts.there.look(&spammer, "getThread", &[("thread", "offer")]);
    let query = [("aud", &*hosts.inbox()), ("lxm", "agent.comms.deliver")];
    let token = hosts.there.get_as(Some(&spammer.token), "com.atproto.server.getServiceAuth", &query).1;
    let takedown = json!({ "subject": account(spammer.did.as_str()), "takedown": { "applied": true } });
    assert_eq!(act(&hosts.there, &takedown).0, 200);
    let parcel = &page["items"][0]["parcel"];
    assert_eq!(hosts.deliver(token["token"].as_str().unwrap(), parcel), (200, "quarantined".into()));
}
