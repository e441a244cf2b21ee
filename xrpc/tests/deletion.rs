//! The deletion of an account: nothing is left of it, whatever fails.

use murmuration_account::{Blob, Notice};
use murmuration_data::cid_of_raw;
use murmuration_firehose::{AccountStatus, Event};
use murmuration_syntax::Did;
use murmuration_xrpc::host::Directory;
use serde_json::{Value, json};

use crate::world;
use crate::world::{Fault, World, block_on, did};

const DELETE: &str = "com.atproto.server.deleteAccount";
const REQUEST: &str = "com.atproto.server.requestAccountDelete";

/// A world with alice, who has two blobs and whose events the relay has, and bob.
fn world() -> (World, Did, Value) {
    let world = World::new();
    let (_, bob) = world.create("bob");
    let (status, alice) = world.create("alice");
    assert_eq!(status, 200);
    let did = did(&alice["did"]);
    let accounts = world.objects.accounts.borrow();
    for account in [&accounts[&did], &accounts[&world::did(&bob["did"])]] {
        while world.objects.outside.push(account).unwrap() {}
    }
    for key in ["one", "two"] {
        let blob = Blob {
            cid: cid_of_raw(key.as_bytes()),
            key: key.into(),
            mime_type: "text/plain".into(),
            size: 3,
        };
        accounts[&did].expect_blob(&blob.key, 1, 1).unwrap();
        accounts[&did].add_blob(&blob, 1).unwrap();
        world.objects.outside.blobs.borrow_mut().insert(key.into());
    }
    drop(accounts);
    (world, did, alice)
}

fn request(world: &World, alice: &Value) -> String {
    let (status, body) = world.post_as(alice["accessJwt"].as_str(), REQUEST, &Value::Null);
    assert_eq!(status, 200, "{body}");
    world.postbox.code("delete_account")
}

fn delete(world: &World, did: &Did, code: &str) -> (u16, Value) {
    world.post(DELETE, &json!({ "did": did, "password": "alice's password", "token": code }))
}

fn has_row(world: &World, did: &Did) -> bool {
    block_on(Directory::new(&world.shelf.store).by_did(did)).unwrap().is_some()
}

#[track_caller]
fn assert_gone(world: &World, did: &Did) {
    assert!(!world.objects.accounts.borrow().contains_key(did), "the object holds something");
    assert!(!has_row(world, did), "the directory has a row");
    assert!(world.objects.outside.blobs.borrow().is_empty(), "blobs are left");
    let told = world.objects.outside.told(did);
    let [Event::Account(event)] = told.as_slice() else { panic!("the stream says {told:?}") };
    assert_eq!(event.inactive, Some(AccountStatus::Deleted));
}

#[test]
fn nothing_is_left_of_an_account_but_that_it_is_gone() {
    let (world, did, alice) = world();
    let code = request(&world, &alice);
    assert_eq!(world.postbox.letters.borrow()[0].to, "alice@example.com");
    assert_eq!(delete(&world, &did, &code).0, 200);
    assert_gone(&world, &did);
    assert_eq!(world.login("alice.test", "alice's password").0, 401);
    assert_eq!(world.create("alice").0, 200, "the names are free");
    assert_eq!(world.login("bob.test", "bob's password").0, 200);
}

#[test]
fn nothing_is_left_of_what_the_relay_had_yet_to_take_when_the_account_ended() {
    for crashes in [false, true] {
        let (world, did, alice) = world();
        let code = request(&world, &alice);
        {
            let accounts = world.objects.accounts.borrow();
            for now in 1..4 {
                accounts[&did].edit(&[Notice::Handle], now, |_| {}).unwrap();
            }
        }
        world.faults.calls.set(0);
        world.faults.planned.set(crashes.then_some(Fault::Dead(1)));
        assert_eq!(delete(&world, &did, &code).0, 200);
        world.faults.planned.set(None);
        if crashes {
            world.objects.crash(&did);
            world.objects.end(&did).unwrap();
        }
        assert_gone(&world, &did);
    }
}

#[test]
fn a_blob_that_stays_is_in_the_way_of_no_other_and_the_account_goes_when_it_goes() {
    let (world, did, alice) = world();
    let code = request(&world, &alice);
    world.objects.outside.stuck.borrow_mut().extend(["one".into(), "two".into()]);
    {
        let accounts = world.objects.accounts.borrow();
        for n in 0..120_u8 {
            let (cid, key) = (cid_of_raw(&[n]), format!("k{n}"));
            world.objects.outside.blobs.borrow_mut().insert(key.clone());
            let blob = Blob { cid, key, mime_type: "text/plain".into(), size: 1 };
            accounts[&did].expect_blob(&blob.key, 1, 1).unwrap();
            accounts[&did].add_blob(&blob, 1).unwrap();
        }
    }
    assert_eq!(delete(&world, &did, &code).0, 200);
    let left: Vec<String> = world.objects.outside.blobs.borrow().iter().cloned().collect();
    assert_eq!(left, ["one", "two"]);
    assert!(world.objects.end(&did).is_err(), "its remains are there");
    world.objects.outside.stuck.borrow_mut().clear();
    world.objects.end(&did).unwrap();
    assert_gone(&world, &did);
}

#[test]
fn what_the_directory_keeps_beside_the_row_goes_with_it() {
    let (world, did, alice) = world();
    let directory = Directory::new(&world.shelf.store);
    let codes = [("unused", did.to_string()), ("used", did.to_string())]
        .map(|(code, whose)| (whose, code.to_owned()));
    let codes: Vec<(&str, String)> =
        codes.iter().map(|(whose, code)| (whose.as_str(), code.clone())).collect();
    block_on(directory.add_invites(&codes, 2, 1)).unwrap();
    block_on(directory.add_invites(&[("admin", "own".to_owned())], 1, 1)).unwrap();
    let bob = Did::parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    assert!(block_on(directory.use_invite("used", &bob, 1)).unwrap());
    assert!(block_on(directory.use_invite("own", &did, 1)).unwrap());
    block_on(directory.stop_invites(&did, Some("note"))).unwrap();
    let email = json!({ "email": "alice@example.com" });
    assert_eq!(world.post("com.atproto.server.requestPasswordReset", &email).0, 200);
    let reset = world.postbox.code("reset_password");
    assert!(block_on(directory.by_reset(&reset)).unwrap().is_some());
    let code = request(&world, &alice);
    assert_eq!(delete(&world, &did, &code).0, 200);

    assert!(block_on(directory.by_reset(&reset)).unwrap().is_none());
    assert!(block_on(directory.stopped_invites(&[did.as_str()])).unwrap().is_empty());
    let left = block_on(directory.invites_of(&[did.as_str()])).unwrap();
    let left: Vec<_> = left.iter().map(|invite| (invite.code.as_str(), invite.is_open())).collect();
    assert_eq!(left, [("used", false)], "by whom somebody was invited");
    assert!(
        !block_on(directory.use_invite("own", &bob, 1)).unwrap(),
        "nobody is invited twice with one code"
    );
}

#[test]
fn a_deletion_wants_password_and_code() {
    let (world, did, alice) = world();
    let code = request(&world, &alice);
    let wrong = json!({ "did": did, "password": "bob's password", "token": code });
    assert_eq!(world.post(DELETE, &wrong).0, 401);
    let (status, body) = delete(&world, &did, "AAAAA-AAAAA");
    assert_eq!((status, &body["error"]), (400, &json!("InvalidToken")));
    let long = json!({ "did": did, "password": "x".repeat(513), "token": code });
    assert_eq!(world.post(DELETE, &long).0, 401);
    let nobody = json!({ "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "password": "x", "token": code });
    let (status, body) = world.post(DELETE, &nobody);
    assert_eq!((status, &body["error"]), (401, &json!("AuthenticationRequired")));
    assert!(world.objects.has(&did) && has_row(&world, &did));

    world.pass_minutes(15);
    let (status, body) = delete(&world, &did, &code);
    assert_eq!((status, &body["error"]), (400, &json!("ExpiredToken")));
    assert!(world.objects.has(&did));
    let code = request(&world, &alice);
    assert_eq!(delete(&world, &did, &code).0, 200);
    assert_gone(&world, &did);
}

#[test]
fn from_the_first_moment_on_the_account_answers_nobody() {
    let (world, did, alice) = world();
    let code = request(&world, &alice);
    // The code is checked and the account marked; everything behind that is out of reach.
    world.faults.calls.set(0);
    world.faults.planned.set(Some(Fault::Dead(1)));
    assert_eq!(delete(&world, &did, &code).0, 200);
    assert!(world.objects.accounts.borrow().contains_key(&did), "its remains are there");
    world.faults.planned.set(None);
    assert!(!world.objects.has(&did));
    let accounts = world.objects.accounts.borrow();
    let account = &accounts[&did];
    assert!(account.head().is_err() && account.collections().is_err() && account.fresh_tid(1).is_err());
    assert!(account.has_unsent().unwrap());
}

/// Every step of a deletion fails in every way; then the object's alarm comes, and the memory of it may be lost.
#[test]
fn sim_a_deletion_is_finished_whatever_fails() {
    let mut steps = 0;
    for kind in [Fault::Refused, Fault::Lost, Fault::Dead] {
        for step in 0.. {
            let (world, did, alice) = world();
            let code = request(&world, &alice);
            world.faults.calls.set(0);
            world.faults.planned.set(Some(kind(step)));
            let (status, _) = delete(&world, &did, &code);
            let struck = world.faults.calls.get() > step;
            world.faults.planned.set(None);

            let deleted = !world.objects.has(&did);
            assert_eq!(deleted, step > 0 || matches!(kind(0), Fault::Lost(_)), "{:?}", kind(step));
            assert_eq!(status == 200, step > 0, "{:?}", kind(step));
            if deleted {
                world.objects.crash(&did);
                world.objects.end(&did).unwrap();
            } else {
                assert!(has_row(&world, &did));
                assert_eq!(world.objects.outside.told(&did).len(), 4, "it is as it was");
                assert_eq!(delete(&world, &did, &code).0, 200, "the same code works");
            }
            assert_gone(&world, &did);
            if !struck {
                steps = step;
                break;
            }
        }
    }
    assert_eq!(steps, 12, "call, row, agent, reset, three of invites, event, purge, two blobs, storage");
}

/// What the object's alarm does.
fn alarm(world: &World, did: &Did) -> bool {
    let accounts = world.objects.accounts.borrow();
    let deleted = accounts.get(did).map(|account| account.delete_if_due(world.now_millis() * 1000));
    drop(accounts);
    world.objects.end(did).unwrap();
    matches!(deleted, Some(Ok(true)))
}

#[test]
fn an_account_at_rest_is_deleted_on_its_day_and_not_before_its_owner_can_take_that_back() {
    let (world, did, alice) = world();
    let token = alice["accessJwt"].as_str().unwrap().to_owned();
    let past = json!({ "deleteAfter": "1969-07-20T20:17:40Z" });
    assert_eq!(world.post_as(Some(&token), "com.atproto.server.deactivateAccount", &past).0, 200);
    assert!(!alarm(&world, &did), "an access token alone deletes nothing");
    world.pass_minutes(3 * 24 * 60 - 1);
    assert!(!alarm(&world, &did) && has_row(&world, &did));
    world.pass_minutes(1);
    assert!(alarm(&world, &did));
    assert_gone(&world, &did);
    assert!(!alarm(&world, &did), "a second alarm finds nothing to do");
    assert_eq!(world.create("alice").0, 200, "the names are free");
}

#[test]
fn an_account_that_was_activated_again_is_kept() {
    let (world, did, alice) = world();
    let token = alice["accessJwt"].as_str().unwrap().to_owned();
    let soon = json!({ "deleteAfter": "1970-01-01T00:00:00Z" });
    assert_eq!(world.post_as(Some(&token), "com.atproto.server.deactivateAccount", &soon).0, 200);
    let (status, body) = world.post_as(Some(&token), "com.atproto.server.activateAccount", &Value::Null);
    assert_eq!(status, 200, "{body}");
    world.pass_minutes(4 * 24 * 60);
    assert!(!alarm(&world, &did) && world.objects.has(&did));
    // Put to rest once more, without a time: the old one counts no more.
    let token = world.login("alice.test", "alice's password").1["accessJwt"].as_str().unwrap().to_owned();
    assert_eq!(world.post_as(Some(&token), "com.atproto.server.deactivateAccount", &json!({})).0, 200);
    assert!(!alarm(&world, &did) && world.objects.has(&did));
}

#[test]
fn the_operator_deletes_without_a_code_and_hears_when_there_is_nothing() {
    let (world, did, _) = world();
    block_on(world.host().delete_account(&did)).unwrap();
    assert_gone(&world, &did);
    let again = block_on(world.host().delete_account(&did)).unwrap_err();
    assert_eq!(again.error(), "RepoNotFound");
}

#[test]
fn without_mail_there_is_no_code() {
    let (world, _, alice) = world();
    world.no_mail.set(true);
    let (status, body) = world.post_as(alice["accessJwt"].as_str(), REQUEST, &Value::Null);
    assert_eq!((status, &body["error"]), (400, &json!("InvalidRequest")));
    world.no_mail.set(false);
    world.postbox.is_away.set(true);
    let (status, body) = world.post_as(alice["accessJwt"].as_str(), REQUEST, &Value::Null);
    assert_eq!((status, &body["error"]), (502, &json!("UpstreamFailure")));
    assert!(world.postbox.letters.borrow().is_empty());
}
