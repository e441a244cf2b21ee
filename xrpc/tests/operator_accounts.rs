//! Accounts as the operator sees and changes them.

use murmuration_firehose::Event;
use serde_json::{Value, json};

use crate::world::ask::OPERATOR;
use crate::world::operator::{NOBODY, NS, account, act, alice, events, read};
use crate::world::{Fault, World};

#[test]
fn an_account_is_shown_with_its_times() {
    let (world, did) = alice();
    let (code, view) = read(&world, "getAccountInfo", &[("did", &did)]);
    assert_eq!(code, 200);
    let made = view["indexedAt"].as_str().unwrap().to_owned();
    assert_eq!(
        view,
        json!({
            "did": did, "handle": "alice.test", "email": "alice@example.com", "indexedAt": made,
            "invites": [], "invitesDisabled": false,
        })
    );
    world.pass_minutes(1);
    act(&world, &json!({ "subject": account(&did), "deactivated": { "applied": true } }));
    let (_, view) = read(&world, "getAccountInfo", &[("did", &did)]);
    assert!(view["deactivatedAt"].as_str().unwrap() > made.as_str());
    let (code, answer) = read(&world, "getAccountInfo", &[("did", NOBODY)]);
    assert_eq!((code, &answer["error"]), (400, &json!("NotFound")));
}

#[test]
fn several_accounts_are_shown_at_once_in_the_order_asked_for() {
    let (world, alice) = alice();
    let bob = world.create("bob").1["did"].as_str().unwrap().to_owned();
    let infos = |dids: &[&str]| {
        let query: Vec<_> = dids.iter().map(|did| ("dids", *did)).collect();
        let (code, answer) = read(&world, "getAccountInfos", &query);
        let infos = answer["infos"].as_array().map(|infos| {
            infos.iter().map(|info| info["did"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        });
        (code, infos)
    };
    assert_eq!(infos(&[&bob, NOBODY, &alice]), (200, Some(vec![bob.clone(), alice.clone()])));
    world.objects.broken.borrow_mut().insert(bob.parse().unwrap());
    assert_eq!(infos(&[&bob, &alice]), (200, Some(vec![bob, alice])), "the directory knows of them, too");
    let many: Vec<String> = (0..101).map(|number| format!("did:web:a{number}.example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!((infos(&many).0, infos(&many[1..]), infos(&[]).0), (400, (200, Some(vec![])), 400));
}

#[test]
fn accounts_are_found_by_the_beginning_of_their_address_and_of_their_handle_page_by_page() {
    let world = World::new();
    for name in ["anna", "annabel", "anton", "bert"] {
        world.create(name);
    }
    world.create_with("zoe", json!({ "handle": "ann-zoe.test" }));
    world.create_with("ann-other", json!({ "handle": "other.test" }));
    let find = |text: &str, limit: &str| {
        let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let query = [("email", text), ("limit", limit), ("cursor", &cursor)];
            let (code, answer) = read(&world, "searchAccounts", &query);
            assert_eq!(code, 200, "{answer}");
            for account in answer["accounts"].as_array().unwrap() {
                found.push(account["handle"].as_str().unwrap().trim_end_matches(".test").to_owned());
            }
            pages += 1;
            match answer.get("cursor") {
                Some(next) => next.as_str().unwrap().clone_into(&mut cursor),
                None => return (found, pages),
            }
        }
    };
    for limit in ["1", "2", "3", "100"] {
        assert_eq!(find("ann", limit).0, ["other", "anna", "annabel", "ann-zoe"], "{limit}");
        assert_eq!(find("ANNA@", limit).0, ["anna"]);
        assert_eq!(find("anna@example.com", limit).0, ["anna"]);
        assert_eq!(find("zoe", limit).0, ["ann-zoe"]);
        assert_eq!(find("nobody", limit).0, Vec::<String>::new());
        let mut all = find("", limit).0;
        all.sort();
        assert_eq!(all, ["ann-zoe", "anna", "annabel", "anton", "bert", "other"]);
    }
    assert_eq!(find("ann", "2").1, 3);
    for (name, value) in [("limit", "0"), ("limit", "101")] {
        assert_eq!(read(&world, "searchAccounts", &[(name, value)]).1["error"], "InvalidRequest");
    }
}

#[test]
fn the_operator_gives_an_account_a_handle_that_its_owner_could_not_take() {
    let (world, did) = alice();
    world.create("bob");
    let method = &format!("{NS}.updateAccountHandle");
    let give = |did: &str, handle: &str| {
        world.ask(method, Some(OPERATOR), &[], &json!({ "did": did, "handle": handle }))
    };
    assert_eq!(give(&did, "admin.test"), (200, Value::Null));
    let handle = world.network.state(&did.parse().unwrap()).unwrap().handle().unwrap();
    assert_eq!(handle.as_str(), "admin.test");
    assert!(matches!(events(&world, &did)[..], [Event::Identity(_)]));
    assert_eq!(world.login("admin.test", "alice's password").0, 200);
    for (did, handle, error) in [
        (did.as_str(), "bob.test", "HandleNotAvailable"),
        (&did, "x.y.test", "InvalidHandle"),
        (&did, "nobody", "InvalidRequest"),
        ("alice", "carol.test", "InvalidRequest"),
        (NOBODY, "carol.test", "InvalidRequest"),
    ] {
        let (code, answer) = give(did, handle);
        assert_eq!((code, &answer["error"]), (400, &json!(error)), "{did} {handle}");
    }
    assert_eq!(world.login("admin.test", "alice's password").0, 200);
    assert!(events(&world, &did).is_empty());
}

#[test]
fn the_operator_writes_to_an_account() {
    let (world, did) = alice();
    let method = &format!("{NS}.sendEmail");
    let send = |changes: Value| {
        let mut input =
            json!({ "recipientDid": did, "senderDid": NOBODY, "content": "Stop that.", "comment": "x" });
        input.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.ask(method, Some(OPERATOR), &[], &input)
    };
    let last = || {
        let letters = world.postbox.letters.borrow();
        letters.last().map(|letter| (letter.to.clone(), letter.subject.clone(), letter.text.clone()))
    };
    assert_eq!(send(json!({})), (200, json!({ "sent": true })));
    let text = || "Stop that.".to_owned();
    assert_eq!(last(), Some(("alice@example.com".into(), "Message via your PDS".into(), text())));
    assert_eq!(send(json!({ "subject": "A word" })).0, 200);
    assert_eq!(last(), Some(("alice@example.com".into(), "A word".into(), text())));
    for (changes, error) in [
        (json!({ "subject": "A word\r\nBcc: eve@example.com" }), "InvalidRequest"),
        (json!({ "subject": "x".repeat(999) }), "InvalidRequest"),
        (json!({ "recipientDid": "alice" }), "InvalidRequest"),
        (json!({ "recipientDid": NOBODY }), "InvalidRequest"),
    ] {
        assert_eq!(send(changes.clone()).1["error"], error, "{changes}");
    }
    world.no_mail.set(true);
    assert_eq!(send(json!({})).1["error"], "InvalidRequest");
    assert_eq!(world.postbox.letters.borrow().len(), 2);
}

#[test]
fn the_operator_changes_an_address_in_both_places_or_in_none() {
    let (world, did) = alice();
    world.create("bob");
    let method = &format!("{NS}.updateAccountEmail");
    let give = |account: &str, email: &str| {
        world.ask(method, Some(OPERATOR), &[], &json!({ "account": account, "email": email }))
    };
    let address = || {
        let (_, view) = read(&world, "getAccountInfo", &[("did", &did)]);
        let email = view["email"].as_str().unwrap().to_owned();
        assert_eq!(world.login(&email, "alice's password").0, 200, "both know it");
        email
    };
    assert_eq!(give("alice.test", "New.Alice@example.com"), (200, Value::Null));
    assert_eq!(address(), "new.alice@example.com");
    assert_eq!(world.login("alice@example.com", "alice's password").0, 401);
    assert_eq!(give(&did, "new.alice@example.com").0, 200);
    for (account, email) in [
        (did.as_str(), "bob@example.com"),
        (&did, "no address"),
        (NOBODY, "x@example.com"),
        ("nobody.test", "x@example.com"),
        ("nobody", "x@example.com"),
    ] {
        let (code, answer) = give(account, email);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{account} {email}");
    }
    // The calls: look-up of nothing for a DID, then the directory, then the object.
    for (call, email) in [(0, "a@example.com"), (1, "b@example.com")] {
        for fault in [Fault::Refused, Fault::Lost] {
            let before = address();
            world.faults.planned.set(Some(fault(world.faults.calls.get() + call)));
            let (code, _) = give(&did, email);
            world.faults.planned.set(None);
            if code == 200 {
                assert_eq!(address(), email);
            } else {
                assert_eq!(code, 500);
                if (call, fault(0)) != (0, Fault::Lost(0)) {
                    assert_eq!(address(), before);
                }
                assert_eq!(give(&did, email).0, 200, "repeating it repairs it");
                assert_eq!(address(), email);
            }
            assert_eq!(give(&did, &before).0, 200);
        }
    }
    assert!(events(&world, &did).is_empty());
}

#[test]
fn the_operator_deletes_an_account_that_is_taken_down_and_it_is_gone_for_everybody() {
    let (world, did) = alice();
    act(&world, &json!({ "subject": account(&did), "takedown": { "applied": true } }));
    let method = &format!("{NS}.deleteAccount");
    let delete = |did: &str| world.ask(method, Some(OPERATOR), &[], &json!({ "did": did }));
    assert_eq!(delete(&did), (200, Value::Null));
    assert_eq!(read(&world, "getAccountInfo", &[("did", &did)]).1["error"], "NotFound");
    assert_eq!(read(&world, "getSubjectStatus", &[("did", &did)]).1["error"], "NotFound");
    assert_eq!(read(&world, "searchAccounts", &[]), (200, json!({ "accounts": [] })));
    let input = json!({ "subject": account(&did), "takedown": { "applied": false } });
    assert_eq!(act(&world, &input).1["error"], "NotFound", "it does not come back");
    for did in [did.as_str(), NOBODY] {
        assert_eq!(delete(did).1["error"], "InvalidRequest");
    }
    assert_eq!(world.create("alice").0, 200, "its names are free");
}

#[test]
fn a_new_password_of_the_operators_ends_every_session() {
    let (world, did) = alice();
    let (_, session) = world.login("alice.test", "alice's password");
    let refresh = format!("Bearer {}", session["refreshJwt"].as_str().unwrap());
    let renew = || world.ask("com.atproto.server.refreshSession", Some(&refresh), &[], &Value::Null);
    let method = &format!("{NS}.updateAccountPassword");
    let give = |did: &str, password: &str| {
        world.ask(method, Some(OPERATOR), &[], &json!({ "did": did, "password": password }))
    };
    for (did, password) in [(did.as_str(), ""), (&did, &"x".repeat(257)), (NOBODY, "new"), ("alice", "new")] {
        let (code, answer) = give(did, password);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{did}");
    }
    assert_eq!(renew().0, 200);
    assert_eq!(give(&did, "new"), (200, Value::Null));
    assert_eq!(renew().1["error"], "ExpiredToken");
    assert_eq!(world.login("alice.test", "alice's password").0, 401);
    assert_eq!(world.login("alice.test", "new").0, 200);
}

#[test]
fn an_account_is_shown_with_its_invite_codes() {
    let (world, did) = alice();
    let make = json!({ "useCount": 2, "forAccount": did });
    let (_, made) = world.ask("com.atproto.server.createInviteCode", Some(OPERATOR), &[], &make);
    let code = made["code"].as_str().unwrap();
    let bob = world.create_with("bob", json!({ "inviteCode": code })).1["did"].as_str().unwrap().to_owned();
    let stop = json!({ "account": did, "note": "sells them" });
    world.ask(&format!("{NS}.disableAccountInvites"), Some(OPERATOR), &[], &stop);
    let (_, infos) = read(&world, "getAccountInfos", &[("dids", &did), ("dids", &bob)]);
    let (alice, bob_shown) = (&infos["infos"][0], &infos["infos"][1]);
    assert_eq!((&alice["invites"][0]["code"], &alice["invitesDisabled"]), (&json!(code), &json!(true)));
    assert_eq!(alice["invites"][0]["uses"][0]["usedBy"], bob.as_str());
    assert_eq!((alice.get("invitedBy"), &alice["inviteNote"]), (None, &json!("sells them")));
    assert_eq!((&bob_shown["invites"], &bob_shown["invitesDisabled"]), (&json!([]), &json!(false)));
    assert_eq!(bob_shown["invitedBy"], alice["invites"][0]);
    assert_eq!(bob_shown.get("inviteNote"), None);
}

#[test]
fn a_page_of_accounts_costs_a_call_an_account_and_as_many_statements_as_one() {
    let world = World::new();
    let calls = |accounts: usize| {
        world.faults.calls.set(0);
        let (_, page) = read(&world, "searchAccounts", &[]);
        assert_eq!(page["accounts"].as_array().unwrap().len(), accounts);
        world.faults.calls.get()
    };
    world.create("account0");
    let one = calls(1);
    (1..5).for_each(|number| drop(world.create(&format!("account{number}"))));
    assert_eq!(calls(5), one + 4);
}
