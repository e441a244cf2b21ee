//! Names, documents and pages: what others read of who an account is.

use murmuration_bridge::Document;
use murmuration_bridge::plc::{Operation, State};
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::{Did, Handle};
use murmuration_xrpc::auth::Caller;
use murmuration_xrpc::table;
use serde_json::{Value, json};

use crate::world::{World, block_on, did};

const RESOLVE_DID: &str = "com.atproto.identity.resolveDid";
const RESOLVE_HANDLE: &str = "com.atproto.identity.resolveHandle";
const RESOLVE_IDENTITY: &str = "com.atproto.identity.resolveIdentity";
const REFRESH: &str = "com.atproto.identity.refreshIdentity";
const UPDATE: &str = "com.atproto.identity.updateHandle";

fn alice() -> (World, Did, String) {
    let world = World::new();
    let (code, answer) = world.create("alice");
    assert_eq!(code, 200, "{answer}");
    let token = answer["accessJwt"].as_str().unwrap().to_owned();
    (world, did(&answer["did"]), token)
}

fn page(world: &World, url: &str, status: u16, body: &str) {
    world.network.pages.borrow_mut().insert(url.into(), (status, body.into()));
}

/// Points a handle of somebody else's at a DID.
fn point(world: &World, handle: &str, did: &str) {
    let url = format!("https://cloudflare-dns.com/dns-query?name=_atproto.{handle}&type=TXT");
    let answer = json!({ "Status": 0, "Answer": [{ "type": 16, "data": format!("\"did={did}\"") }] });
    page(world, &url, 200, &answer.to_string());
}

/// Registers a DID of another host's account.
fn stranger(world: &World, handle: &str) -> Did {
    let key = SigningKey::from_bytes(Curve::K256, &[9; 32]).unwrap();
    let handle: Handle = handle.parse().unwrap();
    let state = State::atproto(&handle, &key.did_key(), "https://other.example", vec![key.did_key()]);
    let genesis = Operation::genesis(state, &key).unwrap();
    let did = genesis.did().unwrap();
    world.network.log.borrow_mut().insert(did.clone(), vec![genesis]);
    did
}

fn identity(world: &World, name: &str) -> (u16, Value) {
    world.get(RESOLVE_IDENTITY, &[("identifier", name)])
}

#[test]
fn an_account_of_this_host_resolves_by_did_and_by_handle() {
    let (world, did, _) = alice();
    let (code, answer) = world.get(RESOLVE_DID, &[("did", did.as_str())]);
    assert_eq!((code, &answer["didDoc"]["id"]), (200, &json!(did)));
    for name in [did.as_str(), "alice.test", "ALICE.test"] {
        let (code, answer) = identity(&world, name);
        assert_eq!(
            (code, &answer["did"], &answer["handle"]),
            (200, &json!(did), &json!("alice.test")),
            "{name}"
        );
        assert_eq!(answer["didDoc"]["alsoKnownAs"], json!(["at://alice.test"]));
    }
}

#[test]
fn another_hosts_account_counts_by_its_handle_only_when_both_directions_agree() {
    let world = World::new();
    let bob = stranger(&world, "bob.example.com");
    assert_eq!(identity(&world, bob.as_str()).1["handle"], "handle.invalid", "nothing resolves");
    point(&world, "bob.example.com", bob.as_str());
    for name in [bob.as_str(), "bob.example.com"] {
        assert_eq!(identity(&world, name).1["handle"], "bob.example.com", "{name}");
    }
    // Another name may lead to him, but it is not his handle.
    point(&world, "robert.example.com", bob.as_str());
    assert_eq!(identity(&world, "robert.example.com").1["handle"], "bob.example.com");
    // And one that he claims may be somebody else's: here, Alice's.
    assert_eq!(world.create("alice").0, 200);
    let mallory = {
        let key = SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap();
        let state = State::atproto(
            &"alice.test".parse().unwrap(),
            &key.did_key(),
            "https://m.example",
            vec![key.did_key()],
        );
        let genesis = Operation::genesis(state, &key).unwrap();
        world.network.log.borrow_mut().insert(genesis.did().unwrap(), vec![genesis.clone()]);
        genesis.did().unwrap()
    };
    assert_eq!(identity(&world, mallory.as_str()).1["handle"], "handle.invalid");
}

#[test]
fn says_why_a_did_does_not_resolve() {
    let (world, did, token) = alice();
    let ask = |did: &str| {
        let (code, answer) = world.get(RESOLVE_DID, &[("did", did)]);
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let unknown = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(ask(unknown), (400, "DidNotFound".into()));
    assert_eq!(ask("did:web:nobody.example.com"), (502, "UpstreamFailure".into()));
    assert_eq!(
        ask("did:key:zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1"),
        (400, "InvalidRequest".into())
    );
    assert_eq!(ask("alice.test"), (400, "InvalidRequest".into()));
    let mut log = world.network.log.borrow()[&did].clone();
    log.push(Operation::tombstone(&log[0].cid(), &world.config.plc_rotation_key).unwrap());
    world.network.log.borrow_mut().insert(did.clone(), log);
    let (code, answer) = world.post_as(Some(&token), REFRESH, &json!({ "identifier": did }));
    assert_eq!((code, &answer["error"]), (400, &json!("DidDeactivated")), "{answer}");
    assert_eq!(ask(did.as_str()), (400, "DidDeactivated".into()));
    assert_eq!(identity(&world, "nobody.test").1["error"], "HandleNotFound");
    assert_eq!(identity(&world, "neither").1["error"], "InvalidRequest");
    page(&world, "https://gone.example.com/.well-known/did.json", 404, "");
    assert_eq!(ask("did:web:gone.example.com"), (400, "DidNotFound".into()));
}

#[test]
fn refreshing_asks_again_and_is_for_members() {
    let (world, _, token) = alice();
    let bob = stranger(&world, "bob.example.com");
    point(&world, "bob.example.com", bob.as_str());
    assert_eq!(identity(&world, bob.as_str()).1["handle"], "bob.example.com");
    let log = world.network.log.borrow()[&bob].clone();
    let key = SigningKey::from_bytes(Curve::K256, &[9; 32]).unwrap();
    let state = world.network.state(&bob).unwrap().with_handle(&"bob.example.org".parse().unwrap());
    let moved = Operation::update(&log[0].cid(), state, &key).unwrap();
    world.network.log.borrow_mut().get_mut(&bob).unwrap().push(moved);
    point(&world, "bob.example.org", bob.as_str());
    assert_eq!(identity(&world, bob.as_str()).1["handle"], "bob.example.com", "as it was an instant ago");
    let input = json!({ "identifier": bob });
    assert_eq!(world.post(REFRESH, &input).0, 401);
    let (code, answer) = world.post_as(Some(&token), REFRESH, &input);
    assert_eq!((code, &answer["handle"]), (200, &json!("bob.example.org")));
    assert_eq!(identity(&world, bob.as_str()).1["handle"], "bob.example.org");
}

#[test]
fn ones_own_domain_that_points_elsewhere_by_now_is_no_handle_after_a_refresh() {
    let (world, did, token) = alice();
    point(&world, "alice.example.com", did.as_str());
    assert_eq!(world.post_as(Some(&token), UPDATE, &json!({ "handle": "alice.example.com" })).0, 200);
    assert_eq!(identity(&world, did.as_str()).1["handle"], "alice.example.com");
    point(&world, "alice.example.com", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
    let refresh = || world.post_as(Some(&token), REFRESH, &json!({ "identifier": did }));
    assert_eq!(refresh().1["handle"], "handle.invalid");
    world.network.pages.borrow_mut().clear();
    assert_eq!(refresh().1["handle"], "alice.example.com", "nobody answers, and this host has it so");
}

/// T11: the PLC directory is down for an hour.
#[test]
fn hosted_agents_work_in_full_while_the_plc_directory_is_down() {
    let (world, did, token) = alice();
    let bob = stranger(&world, "bob.example.com");
    point(&world, "bob.example.com", bob.as_str());
    assert_eq!(identity(&world, bob.as_str()).0, 200);
    world.network.plc_is_away.set(true);
    for minutes in [0, 30, 31, 60 * 24] {
        world.pass_minutes(minutes);
        assert_eq!(identity(&world, did.as_str()).1["handle"], "alice.test");
        assert_eq!(identity(&world, "alice.test").1["didDoc"]["id"], json!(did));
        assert_eq!(world.get(RESOLVE_HANDLE, &[("handle", "alice.test")]).0, 200);
        assert_eq!(world.get("com.atproto.repo.describeRepo", &[("repo", "alice.test")]).0, 200);
        assert_eq!(world.get("com.atproto.sync.listRepos", &[]).1["repos"].as_array().unwrap().len(), 1);
        assert_eq!(world.page(Some("alice.test"), "/.well-known/atproto-did").0, 200);
        let (code, session) = world.login("alice.test", "alice's password");
        assert_eq!((code, &session["did"]), (200, &json!(did)));
        let token = session["accessJwt"].as_str();
        let input =
            json!({ "repo": "alice.test", "collection": "com.example.note", "record": { "text": "x" } });
        let (code, written) = world.post_as(token, "com.atproto.repo.createRecord", &input);
        assert_eq!(code, 200, "after {minutes} minutes: {written}");
        let (code, answer) = world.post_as(token, REFRESH, &json!({ "identifier": did }));
        assert_eq!((code, &answer["handle"]), (200, &json!("alice.test")));
        // What was learnt of others is shown for a day, and nothing new can be learnt.
        let known = if minutes == 60 * 24 { 502 } else { 200 };
        assert_eq!(identity(&world, bob.as_str()).0, known, "after {minutes} minutes");
        assert_eq!(world.get(RESOLVE_DID, &[("did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")]).0, 502);
    }
    let input = json!({ "handle": "alicia.test" });
    assert_eq!(world.post_as(Some(&token), UPDATE, &input).1["error"], "ExpiredToken");
    world.network.plc_is_away.set(false);
    assert_eq!(identity(&world, bob.as_str()).0, 200);
}

#[test]
fn an_agent_of_this_host_is_known_by_its_service_token_while_the_plc_directory_is_down() {
    const UPLOAD: &str = "com.atproto.repo.uploadBlob";
    let (world, did, token) = alice();
    // What was learnt when the account was made decides nothing any more.
    world.pass_minutes(11);
    let query = [("aud", "did:web:pds.example"), ("lxm", UPLOAD)];
    let (code, answer) = world.get_as(Some(&token), "com.atproto.server.getServiceAuth", &query);
    assert_eq!(code, 200, "{answer}");
    let header = format!("Bearer {}", answer["token"].as_str().unwrap());
    let ask = || block_on(world.host().authenticate(table::find(UPLOAD).unwrap(), Some(&header)));
    world.network.plc_is_away.set(true);
    assert_eq!(ask().unwrap(), Caller::Service(did));
    // Who is not served here may have left, and the key may be another by now.
    assert_eq!(world.post_as(Some(&token), "com.atproto.server.deactivateAccount", &json!({})).0, 200);
    assert_eq!(ask().unwrap_err().status(), 502);
    world.network.plc_is_away.set(false);
    assert!(ask().is_ok());
}

#[test]
fn a_page_is_that_of_the_host_header() {
    let (world, did, _) = alice();
    let file = |host: Option<&str>| {
        let (code, _, body) = world.page(host, "/.well-known/atproto-did");
        (code, body)
    };
    for host in ["alice.test", "ALICE.test", "alice.test:2583"] {
        assert_eq!(file(Some(host)), (200, did.to_string()), "{host}");
    }
    for host in
        [None, Some("nobody.test"), Some("localhost:2583"), Some("127.0.0.1"), Some("[::1]:80"), Some("")]
    {
        assert_eq!(file(host), (404, "User not found".into()), "{host:?}");
    }
}

fn document(world: &World, host: &str) -> (u16, Value) {
    let (code, kind, body) = world.page(Some(host), "/.well-known/did.json");
    assert_eq!(kind, "application/json");
    (code, serde_json::from_str(&body).unwrap())
}

#[test]
fn this_host_has_a_document_of_its_own() {
    let world = World::new();
    for name in ["pds.example", "PDS.example:443"] {
        let (code, json) = document(&world, name);
        assert_eq!(code, 200);
        let did = Did::parse("did:web:pds.example").unwrap();
        let read = Document::from_json(&did, json).unwrap();
        assert_eq!(read.pds().unwrap(), "https://pds.example");
    }
}

#[test]
fn an_account_with_a_did_web_has_its_document_at_its_host_name_whatever_its_handle_is_by_now() {
    let (world, _, _) = alice();
    let (carol, token) = world.create_web("carol.test", "carol.test");
    let read = |host: &str| {
        let (code, json) = document(&world, host);
        assert_eq!(code, 200, "{json}");
        Document::from_json(&carol, json).unwrap()
    };
    let first = read("carol.test");
    assert_eq!(first.handle().unwrap().as_str(), "carol.test");
    assert_eq!(first.pds().unwrap(), "https://pds.example");
    let key = world.objects.accounts.borrow()[&carol].signing_key().unwrap();
    assert_eq!(first.signing_key().unwrap().did_key(), key);
    assert_eq!(identity(&world, "carol.test").1["handle"], "carol.test");

    assert_eq!(world.post_as(Some(&token), UPDATE, &json!({ "handle": "caroline.test" })).0, 200);
    assert_eq!(read("carol.test").handle().unwrap().as_str(), "caroline.test");
    assert_eq!(identity(&world, carol.as_str()).1["handle"], "caroline.test");
    // Neither the new name, nor a did:plc's, nor a stranger's is a did:web.
    for host in ["caroline.test", "alice.test", "nobody.test", "127.0.0.1", ""] {
        let (code, answer) = document(&world, host);
        assert_eq!((code, &answer["error"]), (404, &json!("NotFound")), "{host}");
    }
}

#[test]
fn a_did_web_elsewhere_must_claim_the_handle_first() {
    let world = World::new();
    let (dave, token) = world.create_web("dave.example.com", "dave.test");
    let update = || world.post_as(Some(&token), UPDATE, &json!({ "handle": "david.test" })).0;
    let url = "https://dave.example.com/.well-known/did.json";
    assert_eq!(update(), 502, "nobody answers");
    let key = world.objects.accounts.borrow()[&dave].signing_key().unwrap();
    let says = |handle: &str, pds: &str| {
        let document = Document::atproto(&dave, &handle.parse().unwrap(), &key, pds);
        page(&world, url, 200, &document.json().to_string());
    };
    says("dave.test", "https://elsewhere.example");
    assert_eq!(update(), 400);
    says("david.test", "https://pds.example");
    assert_eq!(update(), 200);
    // A document that is what this host says is served here, and follows by itself.
    says("david.test", "https://pds.example");
    assert_eq!(world.post_as(Some(&token), UPDATE, &json!({ "handle": "dave.test" })).0, 200);
    assert_eq!(document(&world, "dave.example.com").1["alsoKnownAs"], json!(["at://dave.test"]));
}

#[test]
fn serves_the_pages_of_a_host() {
    let (world, _, _) = alice();
    world.create_web("carol.test", "caroline.test");
    let (code, kind, body) = world.page(None, "/");
    assert_eq!((code, kind.as_str()), (200, "text/plain; charset=utf-8"));
    assert!(
        body.contains("/xrpc/")
            && body.contains("https://atproto.com")
            && body.contains("https://pds.example")
    );
    let (code, _, body) = world.page(None, "/robots.txt");
    assert!(code == 200 && body.contains("User-agent: *\nAllow: /"));
    let (code, target, _) = world.page(None, "/.well-known/change-password");
    assert_eq!((code, target.as_str()), (302, "https://pds.example/account/reset-password"));
    let (code, kind, html) = world.page(None, "/account/reset-password");
    assert_eq!((code, kind.as_str()), (200, "text/html; charset=utf-8"));
    let (_, _, script) = world.page(None, "/account/reset-password.js");
    assert!(html.contains("/account/reset-password.js") && script.contains("/xrpc/com.atproto.server."));
    for domain in ["pds.example", "alice.test", "Alice.Test", "carol.test", "caroline.test"] {
        assert_eq!(world.page(None, &format!("/tls-check?domain={domain}")).0, 200, "{domain}");
    }
    assert_eq!(world.page(None, "/tls-check?domain=nobody.test").0, 404);
    for bad in ["/tls-check", "/tls-check?domain=", "/tls-check?domain=127.0.0.1"] {
        assert_eq!(world.page(None, bad).0, 400, "{bad}");
    }
    for nothing in ["/favicon.ico", "/index.html", "//", "/.well-known/", "/account", "/robots.txt/"] {
        let (code, kind, body) = world.page(None, nothing);
        assert_eq!((code, kind.as_str()), (404, "application/json"), "{nothing}");
        assert!(body.contains("NotFound"));
    }
}

#[test]
fn words_that_the_host_refuses_are_in_no_handle() {
    let (world, did, token) = alice();
    for handle in ["weasel.test", "w3asels.test", "old-weasel.test"] {
        let (code, answer) = world.create_with("someone", json!({ "handle": handle }));
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidHandle")), "{handle}");
        let (code, answer) = world.post_as(Some(&token), UPDATE, &json!({ "handle": handle }));
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidHandle")), "{handle}");
    }
    point(&world, "weasel.example.com", did.as_str());
    assert_eq!(world.post_as(Some(&token), UPDATE, &json!({ "handle": "weasel.example.com" })).0, 400);
    assert_eq!(world.create_with("bob", json!({ "handle": "weaselton.test" })).0, 200);
}

#[test]
fn words_that_the_host_refuses_are_in_no_record_key_that_a_client_chooses() {
    let (world, did, token) = alice();
    let note = json!({ "repo": did, "collection": "com.example.note", "record": { "text": "weasel" } });
    let with = |nsid: &str, rkey: &str| {
        let mut input = note.clone();
        input["rkey"] = rkey.into();
        let (code, answer) = world.post_as(Some(&token), &format!("com.atproto.repo.{nsid}"), &input);
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    for nsid in ["createRecord", "putRecord"] {
        assert_eq!(with(nsid, "we_asel"), (400, "InvalidRequest".into()), "{nsid}");
        assert_eq!(with(nsid, nsid).0, 200);
    }
    let write = |rkey: &str| {
        let write = json!({
            "$type": "com.atproto.repo.applyWrites#create",
            "collection": "com.example.note",
            "rkey": rkey,
            "value": { "text": "x" },
        });
        world
            .post_as(Some(&token), "com.atproto.repo.applyWrites", &json!({ "repo": did, "writes": [write] }))
            .0
    };
    assert_eq!((write("weasel"), write("stoat")), (400, 200));
}
