//! Peers on the real runtime: one host reads another, verifies it against the PLC server that both have, and tells its events
//! once, whatever is killed, and not in its own stream.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use murmuration_data::{Ipld, json};
use murmuration_lexicons::{Catalog, output};
use murmuration_tests::{Account, Answer, Reply, Setup, StandIn, Subscriber, World};
use serde_json::{Value, json as object};

const STREAM: &str = "/xrpc/agent.relay.subscribeEvents";

fn operator(world: &World, verb: &str, method: &str, body: &Value) -> Answer {
    let password = format!("admin:{}", world.admin_password());
    let header = format!("Basic {}", BASE64.encode(password.as_bytes()));
    let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
    let body = if verb == "GET" { Vec::new() } else { body.to_string().into_bytes() };
    world.client().send(verb, &format!("/xrpc/agent.relay.{method}"), &headers, body).unwrap()
}

fn checked(method: &str, answer: Answer) -> Value {
    let answer = answer.ok().json();
    let nsid = format!("agent.relay.{method}");
    output(Catalog::builtin(), &nsid, &json::from_value(&answer).unwrap()).unwrap();
    answer
}

fn peers(world: &World) -> Value {
    checked("listPeers", operator(world, "GET", "listPeers", &Value::Null))["peers"].take()
}

fn note(world: &World, account: &Account, text: &str) {
    let record = object!({ "$type": "com.example.note", "text": text });
    let body = object!({ "repo": account.did, "collection": "com.example.note", "record": record });
    let _ = world.client().with_token(&account.access).post("com.atproto.repo.createRecord", &body).ok();
}

fn broadcast(world: &World, account: &Account, topic: &str, text: &str) {
    let content = object!({ "kind": "text", "text": text });
    let mut record = object!({ "$type": "agent.comms.broadcast", "sender": account.did, "topic": topic });
    record["content"] = content;
    record["createdAt"] = "2026-01-01T00:00:00Z".into();
    let body = object!({ "repo": account.did, "collection": "agent.comms.broadcast", "record": record });
    let _ = world.client().with_token(&account.access).post("com.atproto.repo.createRecord", &body).ok();
}

/// Reads events of an account until a record of this text has come; the texts of all that came, and the last number.
fn until(reader: &mut Subscriber, text: &str) -> (Vec<String>, u64) {
    let mut texts = Vec::new();
    loop {
        let mut told = reader.json().unwrap();
        let payload = told["payload"].take();
        let kind = payload["$type"].as_str().unwrap_or_else(|| panic!("{told}")).rsplit('#').next().unwrap();
        let record = payload["ops"][0]["record"]["text"].as_str();
        texts.push(record.unwrap_or(kind).to_owned());
        if record == Some(text) {
            return (texts, payload["seq"].as_u64().unwrap());
        }
    }
}

#[test]
fn another_hosts_events_are_told_once_over_kills_and_never_in_the_hosts_own_stream() {
    let started = Instant::now();
    let mut here = World::start();
    let there = Setup::new().plc_of(&here).start();
    let (alice, bob) = (here.account("alice"), there.account("bob"));
    note(&there, &bob, "one");
    let name = format!("localhost:{}", there.port());
    let peer = object!({ "host": name, "trust": "open" });
    let made = checked("putPeer", operator(&here, "POST", "putPeer", &peer));
    assert_eq!((&made["peer"]["host"], &made["peer"]["did"]), (&name.into(), &"did:web:localhost".into()));
    let read = |world: &World, cursor: u64| {
        let query = format!("?includeRecords=true&cursor={cursor}&wantedDids={}", bob.did);
        Subscriber::connect(&world.address(), &format!("{STREAM}{query}"))
    };
    let (texts, last) = until(&mut read(&here, 0), "one");
    assert_eq!(texts, ["identity", "account", "commit", "sync", "one"]);

    // The one that reads dies, and the other goes on; then it dies again on the way.
    here.kill_9();
    note(&there, &bob, "two");
    here.restart();
    note(&there, &bob, "three");
    let (texts, last) = until(&mut read(&here, last), "three");
    assert_eq!(texts, ["two", "three"]);
    here.kill_9();
    here.restart();
    note(&there, &bob, "four");
    let (texts, _) = until(&mut read(&here, last), "four");
    assert_eq!(texts, ["four"]);
    let list = here.client().get(
        "agent.relay.listEvents",
        &[("cursor", "0"), ("limit", "500"), ("wantedDids", &bob.did), ("includeRecords", "true")],
    );
    let list = list.ok().json();
    let texts = list["events"].as_array().unwrap().iter();
    let texts: Vec<&str> = texts.filter_map(|event| event["ops"][0]["record"]["text"].as_str()).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
    let peer = &peers(&here)[0];
    assert_eq!(
        (&peer["accounts"], &peer["failures"], peer.get("problem")),
        (&1.into(), &0.into(), None),
        "{peer}"
    );

    // A broadcast over there reaches who wants its topic here: live, from the log, by a page, and by a webhook.
    let receiver = StandIn::start(|_| Reply::Answer(204, Vec::new(), Vec::new()));
    let hook = object!({
        "url": format!("{}/hook", receiver.url()), "wantedTopics": ["weather"], "includeRecords": true,
    });
    let _ = here.client().with_token(&alice.access).post("agent.relay.createWebhook", &hook).ok();
    let wanted = "includeRecords=true&wantedTopics=weather";
    let mut live = Subscriber::connect(&here.address(), &format!("{STREAM}?{wanted}"));
    for (topic, text) in
        [("news", "not this"), ("weather", "rain"), ("Weather", "nor this"), ("weather", "sun")]
    {
        broadcast(&there, &bob, topic, text);
    }
    note(&there, &bob, "five");
    until(&mut read(&here, last), "five");
    // An account's standing is told whatever the topics.
    let text = |event: &Value| Some(event["ops"][0]["record"]["content"]["text"].as_str()?.to_owned());
    let two = |reader: &mut Subscriber| -> Vec<String> {
        std::iter::repeat_with(|| text(&reader.json().unwrap()["payload"])).flatten().take(2).collect()
    };
    assert_eq!(two(&mut live), ["rain", "sun"]);
    let mut log = Subscriber::connect(&here.address(), &format!("{STREAM}?cursor=0&{wanted}"));
    assert_eq!(two(&mut log), ["rain", "sun"]);
    let topics = [("cursor", "0"), ("wantedTopics", "weather"), ("includeRecords", "true")];
    let list = here.client().get("agent.relay.listEvents", &topics).ok().json();
    assert_eq!(
        list["events"].as_array().unwrap().iter().filter_map(text).collect::<Vec<_>>(),
        ["rain", "sun"]
    );
    let (patience, mut sent) = (Instant::now() + Duration::from_secs(20), Vec::new());
    while sent.len() < 2 {
        assert!(Instant::now() < patience, "{sent:?}");
        for noted in receiver.take() {
            let body: Value = serde_json::from_slice(&noted.body).unwrap();
            sent.extend(body["data"]["events"].as_array().unwrap().iter().filter_map(text));
        }
        murmuration_tests::pause(50);
    }
    assert_eq!(sent, ["rain", "sun"]);

    // What comes last in this host's own stream is this host's own, and so is all before it.
    note(&here, &alice, "mine");
    let about = here.client().get("agent.relay.describeRelay", &[]).ok().json();
    let head = i128::from(about["seq"].as_i64().unwrap());
    let frames = here.subscribe(Some(0)).until(head);
    assert!(frames.len() >= 5);
    for frame in &frames {
        let did = frame.body.get("repo").unwrap().or(frame.body.get("did").unwrap());
        assert_eq!(did, Some(&Ipld::String(alice.did.clone())), "{}", frame.kind());
    }
    println!("{:?}", started.elapsed());
}

#[test]
fn a_peer_is_added_by_the_operator_and_is_the_host_that_it_says() {
    let world = World::start();
    let impostor = StandIn::start(|_| Reply::json(200, &object!({ "did": "did:web:bank.example" })));
    let port = impostor.url().rsplit(':').next().unwrap().to_owned();
    let own = format!("localhost:{}", world.port());
    for (host, error) in [
        (format!("localhost:{port}"), "IdentityMismatch"),
        (own, "IdentityMismatch"),
        ("localhost:1".to_owned(), "HostUnreachable"),
        ("https://example.com/".to_owned(), "HostUnreachable"),
    ] {
        let answer = operator(&world, "POST", "putPeer", &object!({ "host": host, "trust": "open" }));
        assert_eq!((answer.status, &answer.json()["error"]), (400, &error.into()), "{host}");
    }
    let odd = operator(&world, "POST", "putPeer", &object!({ "host": "localhost:1", "trust": "some" }));
    assert_eq!(odd.json()["error"], "InvalidRequest");
    let alice = world.account("alice");
    for client in [world.client(), world.client().with_token(&alice.access)] {
        let peer = object!({ "host": "localhost:1", "trust": "blocked" });
        assert_eq!(client.post("agent.relay.putPeer", &peer).status, 401);
        assert_eq!(client.get("agent.relay.listPeers", &[]).status, 401);
    }
    assert_eq!(peers(&world), object!([]));
    // One that is blocked need not be there, and is not visited.
    let blocked = object!({ "host": format!("localhost:{port}"), "trust": "blocked" });
    let _ = checked("putPeer", operator(&world, "POST", "putPeer", &blocked));
    assert_eq!(peers(&world)[0]["trust"], "blocked");
    let _ = impostor.take();
    // One that says no stream is noted, and left alone for a while.
    impostor.script(|noted| match noted.path.contains("describeServer") {
        true => Reply::json(200, &object!({ "did": "did:web:localhost" })),
        false => Reply::json(200, &object!({})),
    });
    let open = object!({ "host": format!("localhost:{port}"), "trust": "open" });
    let _ = checked("putPeer", operator(&world, "POST", "putPeer", &open));
    let patience = Instant::now() + Duration::from_secs(10);
    while peers(&world)[0]["failures"] != 1 {
        assert!(Instant::now() < patience, "{}", peers(&world));
        murmuration_tests::pause(50);
    }
    assert_eq!(impostor.take().len(), 2, "who it is, and its stream, once");
}
