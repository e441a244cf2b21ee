//! Identity in the real Worker, beside the reference PLC server: handles, documents by host name, operations, pages.

use std::fs;

use murmuration_firehose::{Event, Frame};
use murmuration_keys::{Curve, SigningKey};
use murmuration_tests::{Account, Answer, Client, World};
use serde_json::{Value, json};

const NS: &str = "com.atproto.identity";

/// What the PLC server says of a DID.
fn data(world: &World, did: &str) -> Value {
    Client::new(world.plc_url()).path(&format!("/{did}/data")).ok().json()
}

/// A path, asked for under a name.
fn at(world: &World, host: &str, path: &str) -> Answer {
    world.client().send("GET", path, &[("host", host)], Vec::new()).unwrap()
}

/// The code in the last letter of the outbox.
fn code(world: &World) -> String {
    let mut letters: Vec<_> =
        fs::read_dir(world.folder().join("outbox")).unwrap().map(|file| file.unwrap().path()).collect();
    letters.sort();
    let letter: Value = serde_json::from_slice(&fs::read(letters.last().unwrap()).unwrap()).unwrap();
    let text = letter["text"].as_str().unwrap().to_owned();
    let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
    text.split_whitespace().find(is_code).unwrap().to_owned()
}

#[test]
fn a_handle_and_a_document_change_under_the_owners_own_key() {
    let world = World::start();
    let recovery = SigningKey::from_bytes(Curve::P256, &[5; 32]).unwrap();
    let body = json!({
        "handle": "alice.test", "email": "alice@example.com", "password": Account::PASSWORD,
        "recoveryKey": recovery.did_key(),
    });
    let alice = Account::of(&world.client().post("com.atproto.server.createAccount", &body).ok().json());
    let client = world.client().with_token(&alice.access);

    // The handle: in the document, in the session, by name, and no longer by the old name.
    let _ = client.post(&format!("{NS}.updateHandle"), &json!({ "handle": "alicia.test" })).ok();
    assert_eq!(data(&world, &alice.did)["alsoKnownAs"], json!(["at://alicia.test"]));
    assert_eq!(data(&world, &alice.did)["rotationKeys"][0], recovery.did_key());
    assert_eq!(client.get("com.atproto.server.getSession", &[]).ok().json()["handle"], "alicia.test");
    let known = client.get(&format!("{NS}.resolveIdentity"), &[("identifier", "alicia.test")]).ok().json();
    assert_eq!((&known["did"], &known["handle"]), (&json!(alice.did), &json!("alicia.test")));
    assert_eq!(client.get(&format!("{NS}.resolveHandle"), &[("handle", "alice.test")]).status, 400);
    assert_eq!(at(&world, "alicia.test", "/.well-known/atproto-did").ok().body, alice.did.as_bytes());
    assert_eq!(at(&world, "alice.test", "/.well-known/atproto-did").status, 404);

    // An operation, signed against a code and submitted.
    let _ = client
        .send("POST", &format!("/xrpc/{NS}.requestPlcOperationSignature"), &[], Vec::new())
        .unwrap()
        .ok();
    let names = json!(["at://alicia.test", "https://alice.example"]);
    let input = json!({ "token": code(&world), "alsoKnownAs": names });
    let signed = client.post(&format!("{NS}.signPlcOperation"), &input).ok().json();
    assert_eq!(client.post(&format!("{NS}.signPlcOperation"), &input).status, 400, "a code works once");
    let _ = client.post(&format!("{NS}.submitPlcOperation"), &signed).ok();
    assert_eq!(data(&world, &alice.did)["alsoKnownAs"], names);
    assert_eq!(data(&world, &alice.did)["rotationKeys"][0], recovery.did_key());

    // The stream tells of both.
    let mut reader = world.subscribe(Some(0));
    let mut told = Vec::new();
    while told.len() < 3 {
        if let Frame::Event { event: Event::Identity(event), .. } =
            Frame::decode(&reader.frame().unwrap().bytes).unwrap()
        {
            told.push(event.handle.map(|handle| handle.to_string()));
        }
    }
    assert_eq!(told, [Some("alice.test".to_owned()), Some("alicia.test".to_owned()), None]);
}

#[test]
fn pages_are_served_by_host_name_and_the_rest_is_json() {
    let world = World::start();
    let alice = world.account("alice");
    let document = at(&world, "localhost", "/.well-known/did.json").ok().json();
    assert_eq!(
        (&document["id"], &document["service"][0]["id"]),
        (&json!("did:web:localhost"), &json!("#atproto_pds"))
    );
    assert_eq!(at(&world, "alice.test", "/.well-known/did.json").status, 404, "a did:plc is no did:web");
    assert_eq!(at(&world, "alice.test", "/.well-known/atproto-did").ok().body, alice.did.as_bytes());
    let text = |path: &str| String::from_utf8(world.client().path(path).ok().body).unwrap();
    assert!(text("/").contains("AT Protocol") && text("/robots.txt").contains("Allow: /"));
    assert!(
        text("/account/reset-password").contains("<form")
            && text("/account/reset-password.js").contains("fetch")
    );
    assert_eq!(world.client().path("/.well-known/change-password").status, 302);
    assert_eq!(world.client().path("/tls-check?domain=alice.test").status, 200);
    for (verb, path) in
        [("GET", "/nothing"), ("GET", "/tls-check?domain=nobody.test"), ("POST", "/"), ("PUT", "/robots.txt")]
    {
        let answer = world.client().send(verb, path, &[], Vec::new()).unwrap();
        assert_eq!((answer.status, &answer.json()["error"]), (404, &json!("NotFound")), "{verb} {path}");
    }
}
