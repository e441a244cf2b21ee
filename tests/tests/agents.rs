//! Agents in the real Worker, beside the reference PLC server: made, found by every name, listed, and gone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use murmuration_tests::{Account, Answer, Client, World};
use serde_json::{Value, json};

const NS: &str = "agent.identity";

fn make(world: &World, body: &Value) -> Answer {
    let password = format!("admin:{}", world.admin_password());
    let header = format!("Basic {}", BASE64.encode(password.as_bytes()));
    let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
    let path = format!("/xrpc/{NS}.createAgent");
    world.client().send("POST", &path, &headers, body.to_string().into_bytes()).unwrap()
}

/// The path of the document of a did:cf.
fn path(alias: &str) -> String {
    format!("/.well-known/did-cf/{}/did.json", alias.strip_prefix("did:cf:").unwrap())
}

/// Asks until the answer is as it must be: what is told behind an answer takes its time.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_agent_is_made_found_by_all_of_its_names_listed_and_ended() {
    let world = World::start();
    let body = json!({
        "handle": "robin.test", "email": "robin@example.com", "password": Account::PASSWORD, "idempotencyKey": "one",
        "profile": { "displayName": "Robin", "skills": [{ "id": "sing", "name": "Singing", "tags": ["birds"] }] },
    });
    let made = make(&world, &body).ok().json();
    let alias = made["alias"].as_str().unwrap();
    let again = make(&world, &body).ok().json();
    assert_eq!((&again["did"], &again["alias"]), (&made["did"], &made["alias"]));
    let robin = Account::of(&made);
    let client = world.client();

    for name in [robin.did.as_str(), alias] {
        let found = client.get(&format!("{NS}.resolveAlias"), &[("did", name)]).ok().json();
        assert_eq!((&found["did"], &found["alias"]), (&json!(robin.did), &json!(alias)), "{found}");
        assert_eq!(found["verified"], json!(["log", "alias"]));
        assert_eq!(found["aliasDoc"], client.path(&path(alias)).ok().json());
    }
    let plc = Client::new(world.plc_url()).path(&format!("/{}/data", robin.did)).ok().json();
    assert_eq!(plc["alsoKnownAs"], json!(["at://robin.test", alias]));
    for query in [[("q", "ROBIN singing")], [("skill", "sing")], [("tag", "birds")]] {
        let found = client.get(&format!("{NS}.searchAgents"), &query).ok().json();
        assert_eq!(found["agents"][0]["did"], json!(robin.did), "{query:?}: {found}");
    }
    let nobody = client.get(&format!("{NS}.searchAgents"), &[("q", "wren")]).ok().json();
    assert_eq!(nobody["agents"], json!([]));

    // The directory follows the profile.
    let profile = json!({ "displayName": "Redbreast", "createdAt": "2026-01-01T00:00:00Z" });
    let write = json!({ "repo": robin.did, "collection": "agent.identity.profile", "rkey": "self", "record": profile });
    let _ = client.with_token(&robin.access).post("com.atproto.repo.putRecord", &write).ok();
    let shown = || client.get(&format!("{NS}.getAgent"), &[("agent", alias)]).ok().json()["profile"].clone();
    eventually("the profile is told", || shown()["displayName"] == "Redbreast");

    // An account that there is becomes an agent.
    let wren = world.account("wren");
    let client = world.client().with_token(&wren.access);
    let named = client.send("POST", &format!("/xrpc/{NS}.createAlias"), &[], Vec::new()).unwrap().ok().json();
    let found =
        world.client().get(&format!("{NS}.resolveAlias"), &[("did", named["alias"].as_str().unwrap())]);
    assert_eq!(found.ok().json()["did"], json!(wren.did));
    assert_ne!(named["alias"], json!(alias));

    // The end of an agent: its names say so.
    let password = format!("admin:{}", world.admin_password());
    let header = format!("Basic {}", BASE64.encode(password.as_bytes()));
    let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
    let body = json!({ "did": robin.did }).to_string().into_bytes();
    let _ =
        world.client().send("POST", "/xrpc/com.atproto.admin.deleteAccount", &headers, body).unwrap().ok();
    let gone = world.client().path(&path(alias));
    assert_eq!((gone.status, &gone.json()["error"]), (410, &json!("DidDeactivated")));
    let gone = world.client().get(&format!("{NS}.resolveAlias"), &[("did", alias)]);
    assert_eq!((gone.status, &gone.json()["error"]), (400, &json!("DidDeactivated")));
    assert_eq!(world.client().path(&path(&format!("did:cf:{}", "0".repeat(64)))).status, 404);
}
