//! `agent.comms.subscribeInbox` where only the real runtime can show it: sockets that outlive the object's sleep, a host that is
//! killed, messages to another host, and what a socket costs.

use std::path::Path;

use murmuration_data::json as data;
use murmuration_lexicons::{Catalog, message};
use murmuration_tests::{Account, Client, Setup, Subscriber, World};
use serde_json::{Value, json};

const STREAM: &str = "agent.comms.subscribeInbox";
/// Messages that are on their way at a time.
const FLIGHT: usize = 30;

/// An agent and its socket.
struct Agent {
    account: Account,
    client: Client,
    socket: Subscriber,
    cursor: u64,
}

impl Agent {
    fn new(world: &World, name: &str) -> Self {
        let account = world.account(name);
        let client = world.client().with_token(&account.access);
        // Its first keys: nobody else makes them.
        let _ = client.post("agent.identity.rotateKeys", &json!({})).ok();
        let path = format!("/xrpc/{STREAM}");
        let socket = Subscriber::with_token(&world.address(), &path, &account.access);
        let mut agent = Self { account, client, socket, cursor: 0 };
        assert_eq!(agent.next()["name"], "Live");
        agent
    }

    /// Comes back to where it was.
    fn resume(&mut self, world: &World) {
        let path = format!("/xrpc/{STREAM}?cursor={}", self.cursor);
        self.socket = Subscriber::with_token(&world.address(), &path, &self.account.access);
    }

    /// The next payload, which is as the lexicon has it, and behind those before it.
    fn next(&mut self) -> Value {
        let mut told = self.socket.json().unwrap();
        assert_eq!(told["$type"], "message", "{told}");
        let payload = told["payload"].take();
        let kind = payload["$type"].as_str().unwrap();
        message(Catalog::builtin(), STREAM, kind, &data::from_value(&payload).unwrap()).unwrap();
        if let Some(seq) = payload["seq"].as_u64() {
            assert!(seq > self.cursor || payload["name"] == "Live", "{seq} after {}: {payload}", self.cursor);
            self.cursor = seq;
        }
        payload
    }

    /// The text of the message that is told next.
    fn text(&mut self) -> String {
        let told = self.next();
        let text = told["item"]["record"]["content"]["text"].as_str();
        text.unwrap_or_else(|| panic!("no message: {told}")).to_owned()
    }

    fn say(&mut self, kind: &str, mut payload: Value) {
        payload["$type"] = format!("{STREAM}{kind}").into();
        self.socket.send(&json!({ "$type": "message", "payload": payload }).to_string());
    }

    fn call(&mut self, id: &str, method: &str, input: &Value) {
        self.say("#call", json!({ "id": id, "method": format!("agent.comms.{method}"), "input": input }));
    }

    /// Calls, and waits for the answer. Answers with what was told before it, too.
    fn ask(&mut self, method: &str, input: &Value) -> (Value, Vec<Value>) {
        self.call("only", method, input);
        let mut before = Vec::new();
        loop {
            let mut told = self.next();
            if told["id"] == "only" {
                assert_eq!(told["$type"], format!("{STREAM}#answer"), "{told}");
                return (told["output"].take(), before);
            }
            before.push(told);
        }
    }

    fn post(&self, to: &Self, text: &str) {
        let _ = self.client.post("agent.comms.sendMessage", &letter(to, text)).ok();
    }
}

fn letter(to: &Agent, text: &str) -> Value {
    let content = json!({ "kind": "text", "text": text });
    json!({ "record": { "$type": "agent.comms.message", "content": content }, "to": [to.account.did] })
}

/// How a message stands with its reader, as its sender is told.
fn receipt(told: &Value) -> (&str, &str) {
    let receipt = &told["receipt"];
    let text = |name: &str| receipt[name].as_str().unwrap_or_else(|| panic!("no receipt: {told}"));
    (text("to"), text("state"))
}

#[test]
fn an_agent_lives_on_one_socket_through_its_objects_sleep_and_its_hosts_death() {
    let mut world = World::start();
    let (mut alice, mut bob) = (Agent::new(&world, "alice"), Agent::new(&world, "bob"));
    let evict = |world: &World| {
        for agent in [&alice.account.did, &bob.account.did] {
            world.evict("agent", agent);
        }
    };
    evict(&world);
    for round in 0..3 {
        let (sent, told) = alice.ask("sendMessage", &letter(&bob, &format!("question {round}")));
        // The receipt is told in the turn that stores it, before the answer.
        assert_eq!(sent["receipts"][0]["state"], "delivered");
        assert_eq!(told.iter().map(receipt).collect::<Vec<_>>(), [(bob.account.did.as_str(), "delivered")]);
        assert_eq!(bob.text(), format!("question {round}"));
        for agent in [&alice.account.did, &bob.account.did] {
            world.evict("agent", agent);
        }
        let (claimed, _) = bob.ask("claimMessages", &json!({}));
        let lease = &claimed["items"][0]["leaseId"];
        let done = json!({ "results": [{ "leaseId": lease, "outcome": "done" }] });
        assert_eq!(bob.ask("ackMessages", &done).0, json!({ "acked": 1, "missing": [] }));
    }

    // Calls that come together are done in their order.
    for n in 0..FLIGHT {
        alice.call(&format!("c{n}"), "sendMessage", &letter(&bob, &format!("flight {n}")));
    }
    for n in 0..FLIGHT {
        assert_eq!(receipt(&alice.next()).1, "delivered");
        assert_eq!(alice.next()["id"], format!("c{n}"));
        assert_eq!(bob.text(), format!("flight {n}"));
    }

    // The host dies with the sockets; what was stored and not read is told behind the cursor, once.
    for n in 0..3 {
        alice.post(&bob, &format!("unread {n}"));
    }
    assert_eq!(bob.text(), "unread 0");
    world.kill_9();
    assert!(std::iter::repeat_with(|| alice.socket.json()).any(|told| told.is_err()));
    world.restart();
    alice.post(&bob, "after");
    bob.resume(&world);
    alice.resume(&world);
    assert_eq!([bob.text(), bob.text(), bob.text()], ["unread 1", "unread 2", "after"]);
    assert_eq!(bob.next()["name"], "Live");
    let told: Vec<_> = (0..4).map(|_| receipt(&alice.next()).1.to_owned()).collect();
    assert_eq!(told, ["delivered"; 4]);
    assert_eq!(alice.next()["name"], "Live");

    // What ends a session ends its sockets.
    alice.post(&bob, "last");
    assert_eq!(bob.text(), "last");
    let deactivated = bob.client.post("com.atproto.server.deactivateAccount", &json!({}));
    assert_eq!(deactivated.status, 200);
    let told = bob.socket.json().unwrap();
    assert_eq!((&told["$type"], &told["error"]), (&json!("error"), &json!("AccountDeactivated")));
    assert!(bob.socket.json().is_err());
    let refused = world.client().path(&format!("/xrpc/{STREAM}"));
    assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("AuthMissing")));
}

#[test]
fn a_socket_reaches_another_host_and_costs_a_row() {
    let here = World::start();
    let there = Setup::new().plc_of(&here).start();
    let rows = |agent: &Agent| {
        let path = format!("/test/rows?object=agent&name={}", agent.account.did);
        here.client().path(&path).ok().json()["written"].as_u64().unwrap()
    };
    let mut alice = Agent::new(&here, "alice");
    let mut bob = Agent::new(&there, "bob");
    let carol = Agent::new(&there, "carol");
    // The first message to Bob makes his keys, and publishes them.
    carol.post(&bob, "hello");
    assert_eq!(bob.text(), "hello");

    let (sent, told) = alice.ask("sendMessage", &letter(&bob, "across"));
    assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
    assert_eq!(receipt(&told[0]), (bob.account.did.as_str(), "delivered"));
    let told = bob.next();
    assert_eq!(
        (&told["item"]["state"], &told["item"]["parcel"]["header"]["id"]),
        (&json!("quarantined"), &sent["id"])
    );
    // She has written to him, so he may answer.
    let (sent, _) = bob.ask("sendMessage", &letter(&alice, "and back"));
    assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
    assert_eq!(alice.text(), "and back");

    // The alarm at the end of the token is all that a socket writes, and another socket needs no other.
    let before = rows(&alice);
    alice.resume(&here);
    assert_eq!(alice.next()["name"], "Live");
    assert_eq!(
        alice.ask("claimMessages", &json!({ "types": ["agent.comms.request"] })).0,
        json!({ "items": [] })
    );
    assert_eq!(rows(&alice) - before, 0);
}

/// Lets so many days pass over the messages that lie in the objects' storage, while nothing runs.
fn age(folder: &Path, days: i64) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, days);
        } else if path.extension().is_some_and(|extension| extension == "sqlite") {
            let storage = rusqlite::Connection::open(&path).unwrap();
            let micros = days * 24 * 60 * 60 * 1_000_000;
            if storage.execute("UPDATE inbox SET ord = ord - ?1, at = at - ?1", [micros]).is_ok() {
                storage.execute("UPDATE comms SET inbox_floor = 0", []).unwrap();
            }
        }
    }
}

#[test]
fn a_cursor_from_before_what_was_dropped_is_told_so_and_what_is_left() {
    const DAYS: u64 = 31;
    let mut world = World::start();
    let (alice, mut bob) = (Agent::new(&world, "alice"), Agent::new(&world, "bob"));
    let before = bob.cursor;
    alice.post(&bob, "done");
    assert_eq!(bob.text(), "done");
    let claimed = bob.ask("claimMessages", &json!({})).0;
    let done = json!({ "results": [{ "leaseId": claimed["items"][0]["leaseId"], "outcome": "done" }] });
    assert_eq!(bob.ask("ackMessages", &done).0["acked"], 1);
    alice.post(&bob, "left");
    assert_eq!(bob.text(), "left");
    world.kill_9();
    age(&world.folder(), DAYS.try_into().unwrap());
    world.restart();
    let alarm = format!("/test/fire?object=agent&name={}", bob.account.did);
    assert_eq!(world.client().path(&alarm).status, 200);

    bob.cursor = before - DAYS * 24 * 60 * 60 * 1_000_000;
    bob.resume(&world);
    assert_eq!(bob.next()["name"], "OutdatedCursor");
    assert_eq!(bob.text(), "left");
    assert_eq!(bob.next()["name"], "Live");
    // Behind what was dropped a cursor is as good as ever.
    bob.resume(&world);
    assert_eq!(bob.next()["name"], "Live");
}
