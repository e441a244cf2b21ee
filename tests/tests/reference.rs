//! The reference PDS, beside which this host is measured and between which accounts move.

use std::time::Duration;

use murmuration_tests::{Account, Client};
use serde_json::{Value, json};
use xtask::child::Echo;
use xtask::plc::Plc;
use xtask::reference::{Mode, Reference};
use xtask::state::State;

#[test]
fn the_reference_server_starts_and_tells_of_its_mail() {
    let folder = std::env::temp_dir().join(format!("murmuration-reference-{}", std::process::id()));
    let state = State::open(&folder).unwrap();
    let root = xtask::root();
    let plc = Plc::start(&root, &state, Echo::Keep).unwrap();
    let data = state.path("reference");
    let started = Reference::start(&root, &data, &plc.url(), state.secrets(), Mode::Development, Echo::Keep);
    let mut reference = started.unwrap();
    let client = Client::new(&reference.url());
    let body = json!({ "handle": "carol.test", "email": "carol@example.com", "password": Account::PASSWORD });
    let carol = Account::of(&client.post("com.atproto.server.createAccount", &body).ok().json());
    let document = Client::new(&plc.url()).path(&format!("/{}", carol.did)).ok().json();
    assert_eq!(document["service"][0]["serviceEndpoint"], reference.url());

    let client = client.with_token(&carol.access);
    let nsid = "/xrpc/com.atproto.identity.requestPlcOperationSignature";
    let _ = client.send("POST", nsid, &[], Vec::new()).unwrap().ok();
    let mail = reference.child().event(Duration::from_secs(20)).unwrap();
    assert_eq!((&mail["event"], &mail["to"]), (&json!("mail"), &json!("carol@example.com")));
    assert!(matches!(&mail["token"], Value::String(token) if token.len() > 8), "{mail}");

    reference.stop();
    plc.stop();
    drop(state);
    State::remove(&folder).unwrap();
}
