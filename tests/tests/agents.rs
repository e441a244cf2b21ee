//! Agents in the real Worker, beside the reference PLC server: made, found by every name, listed, and gone.

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

/// The alarm brings what is sealed under the new keys while messages go on and the host dies.
#[test]
fn keys_rotate_between_messages_and_all_of_them_stay_readable() {
    let mut world = World::start();
    let (wren, robin) = (world.account("wren"), world.account("robin"));
    let as_agent = |world: &World, account: &Account| world.client().with_token(&account.access);
    let alias = as_agent(&world, &wren);
    let _ = alias.send("POST", &format!("/xrpc/{NS}.createAlias"), &[], Vec::new()).unwrap().ok();
    let tell = |world: &World, text: &str| {
        let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": text } });
        let sent = as_agent(world, &robin)
            .post("agent.comms.sendMessage", &json!({ "record": record, "to": [wren.did] }))
            .ok()
            .json();
        assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
    };
    let texts = |world: &World| -> Vec<String> {
        let listed = as_agent(world, &wren).get("agent.comms.listInbox", &[]).ok().json();
        let items = listed["items"].as_array().unwrap().iter().rev();
        items
            .map(|item| item["record"]["content"]["text"].as_str().unwrap_or("(closed)").to_owned())
            .collect()
    };
    let mut told = Vec::new();
    for round in 0..3 {
        for n in 0..2 {
            told.push(format!("{round} {n}"));
            tell(&world, told.last().unwrap());
        }
        let rotated = as_agent(&world, &wren).post(&format!("{NS}.rotateKeys"), &json!({})).ok().json();
        assert_eq!(
            (&rotated["epoch"], &rotated["documentPending"]),
            (&json!(round + 2), &json!(false)),
            "{rotated}"
        );
        assert_eq!(texts(&world), told);
        if round == 1 {
            world.kill_9();
            world.restart();
        } else {
            world.evict("agent", &wren.did);
        }
        assert_eq!(texts(&world), told);
    }
    let document =
        as_agent(&world, &wren).get(&format!("{NS}.resolveAlias"), &[("did", &wren.did)]).ok().json();
    let keys = world.client().get(&format!("{NS}.getKeys"), &[("agent", &wren.did)]).ok().json();
    let named = &document["aliasDoc"]["verificationMethod"][1]["publicKeyMultibase"];
    assert_eq!(*named, keys["epochs"][3]["agreementKey"]);

    // A pass over all that is sealed under the host's key finds nothing to do, and comes to an end.
    let password = format!("admin:{}", world.admin_password());
    let header = format!("Basic {}", BASE64.encode(password.as_bytes()));
    let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
    let (mut input, mut calls) = (json!({ "limit": 1 }), 0);
    loop {
        let body = input.to_string().into_bytes();
        let path = "/xrpc/agent.host.resealSecrets";
        let answer = world.client().send("POST", path, &headers, body).unwrap().ok().json();
        assert_eq!((&answer["resealed"], &answer["failed"]), (&json!(0), &json!([])), "{answer}");
        calls += 1;
        match answer.get("cursor") {
            Some(cursor) => input["cursor"] = cursor.clone(),
            None => break,
        }
    }
    assert_eq!(calls, 5, "two accounts and the end of them, reserved keys, webhooks");
}
