//! `createAccount`: an account in four places, or in none, whatever fails.

use murmuration_bridge::plc::State;
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::{Did, Handle};
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::host::directory::Status;
use murmuration_xrpc::http::{Request, Verb};
use serde_json::{Value, json};

use crate::world::{Fault, World, block_on, did};

fn status(world: &World, name: &str) -> Option<Status> {
    let handle = Handle::parse(&format!("{name}.test")).unwrap();
    block_on(Directory::new(&world.shelf.store).by_handle(&handle)).unwrap().map(|entry| entry.status)
}

/// DIDs that the PLC directory has and that have not ended.
fn living_dids(world: &World) -> Vec<Did> {
    let dids: Vec<Did> = world.network.log.borrow().keys().cloned().collect();
    dids.into_iter().filter(|did| world.network.state(did).is_some()).collect()
}

fn living_accounts(world: &World) -> Vec<Did> {
    let dids: Vec<Did> = world.objects.accounts.borrow().keys().cloned().collect();
    dids.into_iter().filter(|did| world.objects.has(did)).collect()
}

#[test]
fn makes_an_account_in_all_four_places() {
    let world = World::new();
    let (code, answer) = world.create("alice");
    assert_eq!(code, 200, "{answer}");
    let did = did(&answer["did"]);
    assert_eq!(answer["handle"], "alice.test");
    assert!(answer["accessJwt"].is_string() && answer["refreshJwt"].is_string());
    assert_eq!(status(&world, "alice"), Some(Status::Active));
    assert!(world.objects.has(&did));

    let state = world.network.state(&did).unwrap();
    let key = world.objects.accounts.borrow()[&did].signing_key().unwrap();
    let handle = Handle::parse("alice.test").unwrap();
    let host_key = world.config.plc_rotation_key.did_key();
    assert_eq!(state, State::atproto(&handle, &key, "https://pds.example", vec![host_key]));
    assert_eq!(answer["didDoc"]["id"], answer["did"]);
    assert_eq!(answer["didDoc"]["alsoKnownAs"], json!(["at://alice.test"]));

    let (code, session) = world.login("alice.test", "alice's password");
    assert_eq!((code, &session["did"]), (200, &answer["did"]));
}

#[test]
fn an_answer_is_kept_out_of_shared_caches() {
    let world = World::new();
    let input = json!({ "handle": "alice.test", "email": "alice@example.com", "password": "x" });
    for wanted in [200, 400] {
        let response = world
            .send(&Request {
                verb: Verb::Post,
                nsid: "com.atproto.server.createAccount".into(),
                query: Vec::new(),
                authorization: None,
                content_type: Some("application/json".into()),
                body: input.to_string().into_bytes(),
            })
            .unwrap();
        assert_eq!(response.status, wanted);
        assert!(response.headers.contains(&("cache-control", "private".into())));
    }
}

#[test]
fn a_recovery_key_stands_before_the_hosts() {
    let world = World::new();
    let own = SigningKey::from_bytes(Curve::P256, &[5; 32]).unwrap().did_key();
    let host = world.config.plc_rotation_key.did_key();
    let (_, answer) = world.create_with("alice", json!({ "recoveryKey": own }));
    assert_eq!(world.network.state(&did(&answer["did"])).unwrap().rotation_keys, [own, host.clone()]);
    let (_, answer) = world.create_with("bob", json!({ "recoveryKey": host }));
    assert_eq!(world.network.state(&did(&answer["did"])).unwrap().rotation_keys, [host]);
}

#[test]
fn an_account_without_a_password_is_made_and_nobody_logs_in_to_it() {
    let world = World::new();
    for (name, password) in [("alice", Value::Null), ("bob", json!(""))] {
        assert_eq!(world.create_with(name, json!({ "password": password })).0, 200);
        assert_eq!(world.login(&format!("{name}.test"), "").0, 401, "{name}");
    }
}

#[test]
fn refuses_what_is_not_right_and_does_nothing() {
    let world = World::new();
    assert_eq!(world.create("taken").0, 200);
    let before = world.faults.calls.get();
    let long = "x".repeat(257);
    let cases = [
        (json!({ "handle": "ab.test" }), "InvalidHandle"),
        (json!({ "handle": format!("{}.test", "a".repeat(19)) }), "InvalidHandle"),
        (json!({ "handle": "some.one.test" }), "InvalidHandle"),
        (json!({ "handle": "someone.local" }), "InvalidHandle"),
        (json!({ "handle": "someone.example.com" }), "UnsupportedDomain"),
        (json!({ "handle": "admin.test" }), "HandleNotAvailable"),
        (json!({ "handle": "pds.example" }), "HandleNotAvailable"),
        (json!({ "handle": "some_one.test" }), "InvalidRequest"),
        (json!({ "handle": null }), "InvalidRequest"),
        (json!({ "email": null }), "InvalidRequest"),
        (json!({ "email": "not-an-address" }), "InvalidRequest"),
        (json!({ "email": 7 }), "InvalidRequest"),
        (json!({ "password": long }), "InvalidRequest"),
        (json!({ "plcOp": {} }), "InvalidRequest"),
        (
            json!({ "recoveryKey": "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" }),
            "InvalidRequest",
        ),
    ];
    for (changes, error) in cases {
        let (code, answer) = world.create_with("someone", changes.clone());
        assert_eq!((code, answer["error"].as_str().unwrap()), (400, error), "{changes}: {answer}");
    }
    let (code, answer) = world.create_with("someone", json!({ "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz" }));
    assert_eq!((code, &answer["error"]), (401, &json!("AuthenticationRequired")));
    assert_eq!(world.faults.calls.get(), before, "a refusal costs nothing");
}

#[test]
fn a_handle_and_an_address_belong_to_one_account_in_any_case() {
    let world = World::new();
    assert_eq!(world.create("alice").0, 200);
    for handle in ["alice.test", "ALICE.test"] {
        let (code, answer) = world.create_with("other", json!({ "handle": handle }));
        assert_eq!((code, &answer["error"]), (400, &json!("HandleNotAvailable")));
        assert_eq!(answer["message"], "Handle already taken: alice.test");
    }
    let (code, answer) = world.create_with("other", json!({ "email": "Alice@Example.com" }));
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
    assert_eq!(answer["message"], "Email already taken: Alice@Example.com");
    assert_eq!((living_dids(&world).len(), living_accounts(&world).len()), (1, 1));
}

#[test]
fn says_that_the_directory_is_away() {
    let world = World::new();
    world.network.plc_is_away.set(true);
    let (code, answer) = world.create("alice");
    assert_eq!((code, &answer["error"]), (502, &json!("UpstreamFailure")));
    assert_eq!(status(&world, "alice"), None);
    world.network.plc_is_away.set(false);
    world.network.plc_refuses.set(true);
    assert_eq!(world.create("alice").0, 500);
    assert_eq!(status(&world, "alice"), None);
    world.network.plc_refuses.set(false);
    assert_eq!(world.create("alice").0, 200);
}

/// How many calls of the outside a creation makes.
fn calls_of_a_creation() -> usize {
    let world = World::new();
    assert_eq!(world.create("alice").0, 200);
    world.faults.calls.get()
}

/// After a creation that answered `code`, all places must agree.
fn assert_whole(world: &World, code: u16, what: &str) {
    match code {
        200 => {
            assert!(matches!(status(world, "alice"), Some(Status::Active)), "{what}");
            assert_eq!(living_accounts(world), living_dids(world), "{what}");
            assert_eq!(world.login("alice.test", "alice's password").0, 200, "{what}");
        }
        _ => {
            assert_eq!(status(world, "alice"), None, "{what}");
            assert!(living_accounts(world).is_empty(), "{what}");
            assert!(living_dids(world).is_empty(), "{what}");
        }
    }
}

#[test]
fn sim_one_call_that_fails_leaves_an_account_or_nothing() {
    for number in 0..calls_of_a_creation() {
        for fault in [Fault::Refused(number), Fault::Lost(number)] {
            let world = World::new();
            world.faults.planned.set(Some(fault));
            let (code, answer) = world.create("alice");
            world.faults.planned.set(None);
            let what = format!("{fault:?}: {code} {answer}");
            if code != 200 && status(&world, "alice") == Some(Status::Reserved) {
                // The answer of the reservation itself was lost: it stays until it is old.
                assert_eq!(fault, Fault::Lost(0), "{what}");
                assert_eq!((living_accounts(&world).len(), living_dids(&world).len()), (0, 0), "{what}");
                world.pass_minutes(6);
            } else {
                assert_whole(&world, code, &what);
            }
            if code != 200 {
                let (code, answer) = world.create("alice");
                assert_eq!(code, 200, "{what}, then {answer}");
                assert_whole(&world, code, &what);
            }
        }
    }
}

#[test]
fn sim_a_worker_that_dies_leaves_names_that_can_be_had_again_or_an_account_that_works() {
    let (mut completed, mut reclaimed) = (0, 0);
    for number in 0..calls_of_a_creation() {
        let world = World::new();
        world.faults.planned.set(Some(Fault::Dead(number)));
        let (code, _) = world.create("alice");
        world.faults.planned.set(None);
        if code == 200 {
            // Only the document for the answer could not be had.
            assert_whole(&world, code, "an answer without a fresh document");
            continue;
        }
        let left = status(&world, "alice");
        // Nobody may take the names while their maker may be at work.
        if left.is_some() {
            assert_eq!(world.create("alice").0, 400, "dead at {number}");
        }
        world.pass_minutes(6);
        let account = living_accounts(&world);
        let (code, answer) = world.create_with("alice", json!({ "password": "another" }));
        if let [account] = account.as_slice() {
            // The account was there: it is completed, and its owner has it.
            assert_eq!((code, &answer["error"]), (400, &json!("HandleNotAvailable")), "dead at {number}");
            assert_eq!(status(&world, "alice"), Some(Status::Active));
            assert_eq!(living_dids(&world), std::slice::from_ref(account));
            assert_eq!(world.login("alice@example.com", "alice's password").0, 200);
            completed += 1;
        } else {
            assert_eq!(code, 200, "dead at {number}: {answer}");
            assert_eq!(living_dids(&world), [did(&answer["did"])], "dead at {number}");
            assert_eq!(living_accounts(&world), [did(&answer["did"])], "dead at {number}");
            reclaimed += usize::from(left.is_some());
        }
    }
    assert!(completed > 0 && reclaimed > 0, "{completed} {reclaimed}");
}

#[test]
fn an_account_whose_creation_died_at_the_last_step_lets_its_owner_in() {
    let world = World::new();
    // Before the activation: the directory is asked for the first time after the object was.
    let at = (0..calls_of_a_creation())
        .find(|number| {
            let world = World::new();
            world.faults.planned.set(Some(Fault::Dead(*number)));
            world.create("alice");
            living_accounts(&world).len() == 1
        })
        .unwrap();
    world.faults.planned.set(Some(Fault::Dead(at)));
    assert_eq!(world.create("alice").0, 500);
    world.faults.planned.set(None);
    assert_eq!(status(&world, "alice"), Some(Status::Reserved));
    let handle = [("handle", "alice.test")];
    assert_eq!(world.get("com.atproto.identity.resolveHandle", &handle).0, 200);
    assert_eq!(world.login("alice.test", "alice's password").0, 200);
    assert_eq!(status(&world, "alice"), Some(Status::Active));
}

#[test]
fn one_lost_answer_of_the_directory_does_not_lose_the_account() {
    let activation = calls_of_a_creation() - 2;
    for fault in [Fault::Refused(activation), Fault::Lost(activation)] {
        let world = World::new();
        world.faults.planned.set(Some(fault));
        let (code, answer) = world.create("alice");
        assert_eq!(code, 200, "{fault:?}: {answer}");
        assert_whole(&world, code, "after a second try");
    }
}

#[test]
fn a_did_is_ended_only_after_its_object_is_empty() {
    let world = World::new();
    world.objects.stubborn.set(true);
    assert_eq!(world.create("alice").0, 500);
    assert_eq!(world.objects.called.borrow().last().unwrap().1, "destroy");
    assert_eq!((living_accounts(&world).len(), living_dids(&world).len()), (1, 1));
    assert_eq!(status(&world, "alice"), Some(Status::Reserved));
    // A row whose object cannot be asked is left alone.
    let account = living_accounts(&world).remove(0);
    world.objects.broken.borrow_mut().insert(account);
    world.pass_minutes(6);
    assert_eq!(world.create("alice").0, 400);
    assert_eq!((status(&world, "alice"), living_dids(&world).len()), (Some(Status::Reserved), 1));
    // One that holds the account is completed.
    world.objects.broken.borrow_mut().clear();
    assert_eq!(world.create("alice").0, 400);
    assert_eq!(status(&world, "alice"), Some(Status::Active));
}

#[test]
fn a_did_that_has_moved_on_is_not_ended() {
    let world = World::new();
    assert_eq!(world.create("alice").0, 200);
    let did = living_dids(&world).remove(0);
    // Its owner took the DID elsewhere, and the object is empty.
    let mut log = world.network.log.borrow()[&did].clone();
    let state = world.network.state(&did).unwrap().with_pds("https://elsewhere.example");
    let key = &world.config.plc_rotation_key;
    log.push(murmuration_bridge::plc::Operation::update(&log[0].cid(), state, key).unwrap());
    world.network.log.borrow_mut().insert(did.clone(), log);
    world.objects.accounts.borrow_mut().clear();
    world.pass_minutes(6);
    let (code, answer) = world.create("alice");
    assert_eq!(code, 200, "{answer}");
    assert!(world.network.state(&did).is_some());
}

#[test]
fn a_seed_holds_no_secret_of_another_account() {
    let world = World::new();
    let keys: Vec<Value> = ["alice", "bob"].map(|name| world.create(name).1).into();
    let key = |answer: &Value| world.objects.accounts.borrow()[&did(&answer["did"])].signing_key().unwrap();
    assert_ne!(key(&keys[0]), key(&keys[1]));
}
