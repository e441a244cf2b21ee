//! Moving in and out: an account with a DID that it brings, and whether it is served.

use data_encoding::BASE64URL_NOPAD;
use murmuration_bridge::plc::{Operation, State};
use murmuration_firehose::{AccountStatus, Event};
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::Clock;
use murmuration_syntax::{Did, Handle};
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::host::directory::Status;
use serde_json::{Value, json};

use crate::world::{Fault, World, block_on, did};

const CREATE: &str = "com.atproto.server.createAccount";
const STATUS: &str = "com.atproto.server.checkAccountStatus";
const ACTIVATE: &str = "com.atproto.server.activateAccount";
const DEACTIVATE: &str = "com.atproto.server.deactivateAccount";
const RESERVE: &str = "com.atproto.server.reserveSigningKey";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[seed; 32]).unwrap()
}

/// Bob, whose did:plc another host has made: rotation key 30, signing key 31.
fn bob(world: &World) -> Did {
    let handle = Handle::parse("bob.elsewhere.example").unwrap();
    let keys = vec![key(30).did_key()];
    let state = State::atproto(&handle, &key(31).did_key(), "https://elsewhere.example", keys);
    let genesis = Operation::genesis(state, &key(30)).unwrap();
    let did = genesis.did().unwrap();
    world.network.log.borrow_mut().insert(did.clone(), vec![genesis]);
    did
}

/// A service token that Bob's old host makes for him.
fn token(world: &World, did: &Did, lxm: &str, key: &SigningKey) -> String {
    let now = world.clock.now_micros() / 1_000_000;
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(json!({ "typ": "JWT", "alg": "ES256K" }));
    let claims = json!({ "iss": did, "aud": "did:web:pds.example", "lxm": lxm, "exp": now + 60, "jti": "x" });
    let signed = format!("{header}.{}", part(claims));
    let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn move_in(world: &World, did: &Did, changes: &Value) -> (u16, Value) {
    let token = token(world, did, CREATE, &key(31));
    let mut input = json!({
        "did": did, "handle": "bob.test", "email": "bob@example.com", "password": "bob's password",
    });
    input.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    world.post_as(Some(&token), CREATE, &input)
}

/// Points Bob's DID at this host, as he would with his rotation key.
fn point_here(world: &World, did: &Did, change: impl FnOnce(State) -> State) {
    let mut log = world.network.log.borrow()[did].clone();
    let state = log.last().unwrap().state().unwrap();
    let operation = Operation::update(&log.last().unwrap().cid(), change(state), &key(30)).unwrap();
    log.push(operation);
    world.network.log.borrow_mut().insert(did.clone(), log);
}

fn ours(world: &World, did: &Did) -> String {
    world.objects.accounts.borrow()[did].signing_key().unwrap()
}

fn row(world: &World, did: &Did) -> Option<Status> {
    block_on(Directory::new(&world.shelf.store).by_did(did)).unwrap().map(|entry| entry.status)
}

fn kinds(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::Identity(event) => {
                format!("identity {}", event.handle.as_ref().map_or("", Handle::as_str))
            }
            Event::Account(event) => match &event.inactive {
                None => "account active".to_owned(),
                Some(status) => format!("account {}", status.name().unwrap()),
            },
            Event::Commit(_) => "commit".to_owned(),
            Event::Sync(_) => "sync".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn access(answer: &Value) -> String {
    answer["accessJwt"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn an_account_moves_in_with_its_did_and_says_nothing_until_it_is_activated() {
    let world = World::new();
    let bob = bob(&world);
    let (code, answer) = move_in(&world, &bob, &json!({}));
    assert_eq!(code, 200, "{answer}");
    assert_eq!((did(&answer["did"]), &answer["handle"]), (bob.clone(), &json!("bob.test")));
    assert_eq!(answer["didDoc"]["service"][0]["serviceEndpoint"], "https://elsewhere.example");
    assert!(world.events(&bob).is_empty());
    assert_eq!(row(&world, &bob), Some(Status::Deactivated));
    assert_eq!(world.get("com.atproto.identity.resolveHandle", &[("handle", "bob.test")]).0, 400);
    assert_eq!(world.network.log.borrow()[&bob].len(), 1, "the DID is not touched");
    let token = Some(access(&answer));
    let token = token.as_deref();
    let (code, status) = world.get_as(token, STATUS, &[]);
    assert_eq!(code, 200, "{status}");
    assert_eq!((&status["activated"], &status["validDid"]), (&json!(false), &json!(false)));

    let refuse = |text: &str| {
        let (code, answer) = world.ask_as(token, ACTIVATE);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
        assert!(answer["message"].as_str().unwrap().contains(text), "{answer}");
        assert!(world.events(&bob).is_empty() && row(&world, &bob) == Some(Status::Deactivated));
    };
    let host_key = world.config.plc_rotation_key.did_key();
    refuse("rotation key");
    point_here(&world, &bob, |mut state| {
        state.rotation_keys.push(host_key);
        state
    });
    refuse("endpoint");
    point_here(&world, &bob, |state| state.with_pds("https://pds.example"));
    refuse("signing key");
    let ours = ours(&world, &bob);
    point_here(&world, &bob, |state| {
        state.with_signing_key(&ours).with_handle(&Handle::parse("bob.test").unwrap())
    });
    assert_eq!(world.get_as(token, STATUS, &[]).1["validDid"], true);
    assert_eq!(world.ask_as(token, ACTIVATE), (200, Value::Null));
    assert_eq!(kinds(&world.events(&bob)), ["account active", "identity bob.test", "sync"]);
    assert_eq!(row(&world, &bob), Some(Status::Active));
    assert_eq!(world.get_as(token, STATUS, &[]).1["activated"], true);
    assert_eq!(world.get("com.atproto.identity.resolveHandle", &[("handle", "bob.test")]).0, 200);
}

#[test]
fn who_brings_a_did_must_show_it() {
    let world = World::new();
    let bob = bob(&world);
    let input = json!({ "did": bob, "handle": "bob.test", "email": "bob@example.com", "password": "x" });
    let (_, alice) = world.create("alice");
    let mallory = key(31);
    let other = Did::parse("did:web:mallory.example").unwrap();
    let document = murmuration_bridge::Document::atproto(
        &other,
        &Handle::parse("mallory.example").unwrap(),
        &mallory.did_key(),
        "https://x.example",
    );
    let page = (200, document.json().to_string());
    world.network.pages.borrow_mut().insert("https://mallory.example/.well-known/did.json".into(), page);
    for shown in [
        None,
        Some(access(&alice)),
        Some(token(&world, &bob, CREATE, &key(99))),
        Some(token(&world, &bob, "com.atproto.repo.uploadBlob", &key(31))),
        Some(token(&world, &other, CREATE, &mallory)),
    ] {
        let (code, answer) = world.post_as(shown.as_deref(), CREATE, &input);
        assert_eq!(code, 401, "{shown:?}: {answer}");
    }
    assert!(row(&world, &bob).is_none() && !world.objects.has(&bob));
    // A token of Bob's gives nobody a new DID for less, either.
    let token = token(&world, &bob, CREATE, &key(31));
    let input = json!({ "handle": "new.test", "email": "new@example.com", "password": "x" });
    let (code, answer) = world.post_as(Some(&token), CREATE, &input);
    assert_eq!((code, answer["did"] != json!(bob)), (200, true));
}

#[test]
fn a_domain_of_ones_own_comes_along_if_it_points_at_the_did() {
    let world = World::new();
    let bob = bob(&world);
    let (code, answer) = move_in(&world, &bob, &json!({ "handle": "bob.example.com" }));
    assert_eq!(code, 502, "{answer}");
    let dns = "https://cloudflare-dns.com/dns-query?name=_atproto.bob.example.com&type=TXT";
    let say = |did: &str| {
        let mut pages = world.network.pages.borrow_mut();
        pages.insert(dns.into(), (200, r#"{"Status":3}"#.into()));
        pages.insert("https://bob.example.com/.well-known/atproto-did".into(), (200, did.into()));
    };
    say("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(move_in(&world, &bob, &json!({ "handle": "bob.example.com" })).0, 400);
    assert!(!world.objects.has(&bob));
    say(bob.as_str());
    let (code, answer) = move_in(&world, &bob, &json!({ "handle": "bob.example.com" }));
    assert_eq!((code, &answer["handle"]), (200, &json!("bob.example.com")));
}

#[test]
fn a_did_moves_in_once() {
    let world = World::new();
    let bob = bob(&world);
    assert_eq!(move_in(&world, &bob, &json!({})).0, 200);
    let key = ours(&world, &bob);
    for changes in [json!({}), json!({ "handle": "bobby.test", "email": "other@example.com" })] {
        let (code, answer) = move_in(&world, &bob, &changes);
        assert_eq!((code, &answer["error"]), (400, &json!("AlreadyExists")), "{answer}");
    }
    // Also when the directory has lost it: the account in the object stays as it is.
    block_on(Directory::new(&world.shelf.store).remove(&bob)).unwrap();
    assert_eq!(move_in(&world, &bob, &json!({})).0, 400);
    assert!(world.objects.has(&bob));
    assert_eq!(ours(&world, &bob), key);
}

#[test]
fn sim_a_move_that_fails_leaves_an_account_or_nothing_and_never_touches_the_did() {
    let calls = {
        let world = World::new();
        let bob = bob(&world);
        let before = world.faults.calls.get();
        assert_eq!(move_in(&world, &bob, &json!({})).0, 200);
        world.faults.calls.get() - before
    };
    assert!(calls > 5, "{calls}");
    for number in 0..calls {
        for fault in [Fault::Refused(number), Fault::Lost(number), Fault::Dead(number)] {
            let world = World::new();
            let bob = bob(&world);
            assert_eq!(world.faults.calls.get(), 0);
            world.faults.planned.set(Some(fault));
            let (code, answer) = move_in(&world, &bob, &json!({}));
            world.faults.planned.set(None);
            let what = format!("{fault:?}: {code} {answer}");
            if code == 200 {
                assert!(world.objects.has(&bob) && row(&world, &bob) == Some(Status::Deactivated), "{what}");
            } else {
                // What a dead Worker leaves behind is had again when nobody can still be working on it.
                let left = world.objects.has(&bob);
                world.pass_minutes(6);
                let (again, answer) = move_in(&world, &bob, &json!({}));
                if left {
                    assert!(matches!(fault, Fault::Dead(_)), "{what}");
                    assert_eq!((again, &answer["error"]), (400, &json!("AlreadyExists")), "{what}");
                    assert_eq!(world.login("bob.test", "bob's password").0, 200, "{what}");
                } else {
                    assert_eq!(again, 200, "{what}, then {answer}");
                }
            }
            assert_eq!(world.network.log.borrow()[&bob].len(), 1, "{what}: the DID is Bob's");
            assert!(world.events(&bob).is_empty(), "{what}");
        }
    }
}

#[test]
fn a_reserved_key_becomes_the_key_of_its_account() {
    let world = World::new();
    let bob = bob(&world);
    let reserve = |input: &Value| {
        let (code, answer) = world.post(RESERVE, input);
        assert_eq!(code, 200, "{answer}");
        answer["signingKey"].as_str().unwrap().to_owned()
    };
    let key = reserve(&json!({ "did": bob }));
    assert_eq!(reserve(&json!({ "did": bob })), key, "once for a DID");
    let free = reserve(&json!({}));
    assert!(free != key && free.starts_with("did:key:zQ3s"));
    assert_eq!(move_in(&world, &bob, &json!({})).0, 200);
    assert_eq!(ours(&world, &bob), key);
    assert_ne!(reserve(&json!({ "did": bob })), key, "it is nobody's any more");
    assert_eq!(world.post(RESERVE, &json!({ "did": "nonsense" })).0, 400);

    // One that was reserved for nobody is the account's whose document names it.
    for seen_before in [true, false] {
        let world = World::new();
        let bob = self::bob(&world);
        let key = world.post(RESERVE, &json!({})).1["signingKey"].as_str().unwrap().to_owned();
        if seen_before {
            assert_eq!(move_in(&world, &bob, &json!({ "handle": "b.test" })).0, 400);
        }
        point_here(&world, &bob, |state| state.with_signing_key(&key));
        let (code, answer) = move_in(&world, &bob, &json!({}));
        if seen_before {
            // What was learnt less than ten minutes ago says who Bob is; what holds now, which key he will have.
            assert_eq!((code, ours(&world, &bob)), (200, key), "{answer}");
        } else {
            assert_eq!(code, 401, "the old key says nothing any more: {answer}");
        }
    }
}

#[test]
fn reserved_keys_end_and_are_sealed() {
    use murmuration_platform::Store as _;
    let world = World::new();
    let count = || world.shelf.store.query("SELECT secret FROM reserved_key", &[]).unwrap().len();
    let did = json!({ "did": "did:web:bob.example.com" });
    let first = world.post(RESERVE, &did).1;
    world.pass_minutes(6 * 24 * 60);
    assert_eq!(world.post(RESERVE, &did).1, first);
    world.pass_minutes(2 * 24 * 60);
    let second = world.post(RESERVE, &did).1;
    assert_ne!(second, first);
    assert_eq!(count(), 1);
    let sealed = world.shelf.store.query("SELECT secret FROM reserved_key", &[]).unwrap().remove(0).blob(0);
    // The sealed form: 45 bytes beside the 32 of the secret.
    assert_eq!(sealed.unwrap().len(), 32 + 45);
    let fill = "INSERT INTO reserved_key (public_key, did, secret, reserved_at) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
         SELECT 'k' || i, NULL, x'00', ?1 FROM n";
    let now = i64::try_from(world.now_millis()).unwrap();
    world.shelf.store.query(fill, &[now.into()]).unwrap();
    let (code, answer) = world.post(RESERVE, &json!({}));
    assert_eq!((code, &answer["error"]), (429, &json!("RateLimitExceeded")));
    assert_eq!(world.post(RESERVE, &did).1, second, "what is reserved stays reserved");
}

#[test]
fn a_deactivated_account_is_hidden_and_comes_back_as_it_was() {
    let world = World::new();
    let (_, alice) = world.create("alice");
    let (did, token) = (did(&alice["did"]), access(&alice));
    let before = world.events(&did).len();
    assert_eq!(kinds(&world.events(&did)), ["identity alice.test", "account active", "commit", "sync"]);
    let write = json!({ "repo": did, "collection": "com.example.note", "record": {} });
    let input = json!({ "deleteAfter": "2030-01-01T00:00:00.000Z" });
    assert_eq!(world.post_as(Some(&token), DEACTIVATE, &input), (200, Value::Null));
    assert_eq!(kinds(&world.events(&did)[before..]), ["account deactivated"]);
    let profile = || world.objects.accounts.borrow()[&did].profile().unwrap();
    assert_eq!(profile().inactive(), Some(AccountStatus::Deactivated));
    assert_eq!(profile().delete_after, Some(1_893_456_000_000_000));
    assert_eq!(row(&world, &did), Some(Status::Deactivated));
    let (code, answer) = world.post_as(Some(&token), "com.atproto.repo.createRecord", &write);
    assert_eq!((code, &answer["error"]), (401, &json!("AccountDeactivated")));
    let bad = world.post_as(Some(&token), DEACTIVATE, &json!({ "deleteAfter": "tomorrow" }));
    assert_eq!(bad.0, 400);

    world.objects.called.borrow_mut().clear();
    assert_eq!(world.ask_as(Some(&token), ACTIVATE).0, 200);
    let called: Vec<&str> = world.objects.called.borrow().iter().map(|(_, name)| *name).collect();
    assert_eq!(called, ["describe", "standing"], "the object is asked once who it is, and told");
    let told = ["account deactivated", "account active", "identity alice.test", "sync"];
    assert_eq!(kinds(&world.events(&did)[before..]), told);
    assert_eq!((profile().inactive(), profile().delete_after), (None, None));
    assert_eq!(row(&world, &did), Some(Status::Active));
    assert_eq!(world.post_as(Some(&token), "com.atproto.repo.createRecord", &write).0, 200);
}

#[test]
fn an_activation_whose_authority_is_away_or_whose_object_fails_changes_nothing() {
    let world = World::new();
    let (_, alice) = world.create("alice");
    let (did, token) = (did(&alice["did"]), access(&alice));
    assert_eq!(world.post_as(Some(&token), DEACTIVATE, &json!({})).0, 200);
    let before = world.events(&did).len();
    world.network.plc_is_away.set(true);
    let (code, answer) = world.ask_as(Some(&token), ACTIVATE);
    assert_eq!((code, &answer["error"]), (502, &json!("UpstreamFailure")));
    assert_eq!(world.get_as(Some(&token), STATUS, &[]).1["validDid"], false);
    world.network.plc_is_away.set(false);
    for number in 0.. {
        let start = world.faults.calls.get();
        world.faults.planned.set(Some(Fault::Refused(start + number)));
        let (code, _) = world.ask_as(Some(&token), ACTIVATE);
        let reached = world.faults.calls.get() > start + number;
        world.faults.planned.set(None);
        if !reached {
            assert_eq!(code, 200);
            break;
        }
        assert_ne!(code, 200, "call {number}");
        assert_eq!(world.events(&did).len(), before, "call {number}");
        assert_eq!(row(&world, &did), Some(Status::Deactivated), "call {number}");
    }
    assert_eq!(world.events(&did).len(), before + 3);
}

#[test]
fn only_the_owner_in_full_decides_whether_an_account_is_served() {
    use murmuration_xrpc::token::Scope;
    let world = World::new();
    let (_, alice) = world.create("alice");
    let did = alice["did"].as_str().unwrap();
    let token = |scope| world.bearer(did, scope).strip_prefix("Bearer ").unwrap().to_owned();
    for scope in [Scope::AppPassword, Scope::PrivilegedAppPassword, Scope::Refresh] {
        for nsid in [ACTIVATE, DEACTIVATE] {
            let input = json!({});
            let (code, answer) = match nsid {
                ACTIVATE => world.ask_as(Some(&token(scope)), nsid),
                _ => world.post_as(Some(&token(scope)), nsid, &input),
            };
            assert_eq!((code, &answer["error"]), (400, &json!("InvalidToken")), "{scope:?} {nsid}");
        }
    }
    assert_eq!(world.ask_as(Some(&token(Scope::Takendown)), ACTIVATE).0, 400);
    assert_eq!(world.post_as(Some(&token(Scope::Takendown)), DEACTIVATE, &json!({})).0, 200);
}

#[test]
fn a_status_counts_what_is_there() {
    let world = World::new();
    let (_, alice) = world.create("alice");
    let (did, token) = (did(&alice["did"]), access(&alice));
    let status = || world.get_as(Some(&token), STATUS, &[]).1;
    let empty = status();
    assert_eq!((&empty["activated"], &empty["validDid"]), (&json!(true), &json!(true)));
    assert_eq!((&empty["repoBlocks"], &empty["indexedRecords"]), (&json!(2), &json!(0)), "commit and root");
    let header = format!("Bearer {token}");
    for bytes in [b"one".as_slice(), b"two"] {
        assert_eq!(world.upload(did.as_str(), Some(&header), bytes).0, 200);
    }
    let cid = murmuration_data::cid_of_raw(b"one").to_string();
    let blob = json!({ "$type": "blob", "ref": { "$link": cid }, "mimeType": "image/png", "size": 3 });
    for number in 0..150 {
        let record = if number < 2 { json!({ "blob": blob, "n": number }) } else { json!({ "n": number }) };
        let write = json!({ "repo": did, "collection": "com.example.note", "record": record });
        assert_eq!(world.post_as(Some(&token), "com.atproto.repo.createRecord", &write).0, 200);
    }
    let preferences = json!({ "preferences": [
        { "$type": "app.bsky.actor.defs#adultContentPref", "enabled": false },
        { "$type": "app.bsky.actor.defs#interestsPref", "tags": [] },
    ] });
    assert_eq!(world.post_as(Some(&token), "app.bsky.actor.putPreferences", &preferences).0, 200);
    let full = status();
    let head = world.objects.accounts.borrow()[&did].head().unwrap();
    assert_eq!(
        (&full["repoCommit"], &full["repoRev"]),
        (&json!(head.cid.to_string()), &json!(head.rev.to_string()))
    );
    assert_eq!((&full["indexedRecords"], &full["privateStateValues"]), (&json!(150), &json!(2)));
    assert_eq!((&full["expectedBlobs"], &full["importedBlobs"]), (&json!(1), &json!(2)));
    // As many blocks as an export has.
    let mut export = world.objects.accounts.borrow()[&did].export(None).unwrap();
    let mut reader = murmuration_repo::car::Reader::new(murmuration_repo::car::Limits::IMPORT);
    let mut blocks = 0;
    while let Some(chunk) = export.next_chunk().unwrap() {
        let mut count = |_, _: &[u8]| {
            blocks += 1;
            Ok(())
        };
        reader.push(&chunk, &mut count).unwrap();
    }
    assert_eq!(full["repoBlocks"], json!(blocks));
}

#[test]
fn a_name_of_this_host_makes_a_did_web_that_this_host_answers_for() {
    let world = World::new();
    let (code, answer) = world.create_with("carol", json!({ "did": "did:web:carol.test" }));
    assert_eq!((code, &answer["did"]), (200, &json!("did:web:carol.test")), "{answer}");
    let carol = did(&answer["did"]);
    assert_eq!(kinds(&world.events(&carol)), ["identity carol.test", "account active", "commit", "sync"]);
    assert_eq!(row(&world, &carol), Some(Status::Active));
    assert!(world.network.log.borrow().is_empty(), "the PLC directory is not asked");
    let (code, _, document) = world.page(Some("carol.test"), "/.well-known/did.json");
    assert_eq!((code, serde_json::from_str::<Value>(&document).unwrap()), (200, answer["didDoc"].clone()));
    assert_eq!(answer["didDoc"]["verificationMethod"][0]["publicKeyMultibase"], ours(&world, &carol)[8..]);

    let again = world.create_with("carol", json!({ "did": "did:web:carol.test" }));
    assert_eq!((again.0, &again.1["error"]), (400, &json!("AlreadyExists")));
    // Another name than its own, or one that is not this host's, is somebody else's to give.
    for (handle, did) in [
        ("dave.test", "did:web:carol.test"),
        ("dave.test", "did:web:dave.example.com"),
        ("dave.example.com", "did:web:dave.example.com"),
        ("dave.test", "did:web:Dave.test"),
    ] {
        let (code, answer) = world.create_with("dave", json!({ "handle": handle, "did": did }));
        assert_eq!(code, 401, "{handle} {did}: {answer}");
    }
}
