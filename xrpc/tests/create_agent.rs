//! `createAgent`: an agent in five places, or in none, whatever fails; and what of it is found.

use murmuration_bridge::plc::Operation;
use murmuration_firehose::Event;
use murmuration_platform::Store;
use murmuration_syntax::{Did, Handle};
use murmuration_xrpc::agent::index;
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::host::directory::Status;
use serde_json::{Value, json};

use crate::world::agency::NS;
use crate::world::ask::OPERATOR;
use crate::world::operator::{account, act};
use crate::world::{Fault, World, block_on, did};

fn status(world: &World) -> Option<Status> {
    let handle = Handle::parse("robin.test").unwrap();
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

fn invite(world: &World) -> String {
    let input = json!({ "useCount": 1 });
    let (_, answer) = world.ask("com.atproto.server.createInviteCode", Some(OPERATOR), &[], &input);
    answer["code"].as_str().unwrap().to_owned()
}

#[test]
fn makes_an_agent_in_all_five_places() {
    let world = World::new();
    let profile = json!({ "displayName": "Robin", "createdAt": "2026-01-01T00:00:00Z" });
    let (code, answer) = world.make_agent("robin", &json!({ "profile": profile }));
    assert_eq!(code, 200, "{answer}");
    world.assert_agent(&answer, "a new agent");
    let robin = did(&answer["did"]);
    assert_eq!(answer["alias"], world.cf_of(&robin));
    let (_, record) = world.record(&robin, "agent.identity.profile", "self");
    assert_eq!(record["value"]["displayName"], "Robin");
    assert_eq!(
        (&record["value"]["createdAt"], &record["value"]["custody"]),
        (&profile["createdAt"], &json!("hosted"))
    );

    let log = world.network.log.borrow()[&robin].clone();
    let names = log[1].state().unwrap().also_known_as;
    assert_eq!(
        (log.len(), names),
        (2, vec!["at://robin.test".to_owned(), answer["alias"].as_str().unwrap().to_owned()])
    );
    let (_, found) = world.resolve_alias(robin.as_str());
    let key = |document: &Value| -> Value {
        let methods = document["verificationMethod"].as_array().unwrap();
        let of = |method: &&Value| method["id"].as_str().unwrap().ends_with("#agent_enc");
        methods.iter().find(of).unwrap()["publicKeyMultibase"].clone()
    };
    assert_eq!(key(&found["didDoc"]), key(&found["aliasDoc"]));
    let (_, keys) = world.record(&robin, "agent.identity.keys", "self");
    assert_eq!(key(&found["aliasDoc"]), keys["value"]["epochs"][0]["agreementKey"]);
    assert_eq!(
        found["aliasDoc"]["verificationMethod"][0]["publicKeyMultibase"],
        keys["value"]["epochs"][0]["signingKey"]
    );
    // What its readers are told ends with a look at the document.
    let events = world.events(&robin);
    assert!(
        matches!(events.first(), Some(Event::Identity(_)))
            && matches!(events.last(), Some(Event::Identity(_)))
    );
}

#[test]
fn a_new_agent_writes_so_many_rows() {
    let world = World::new();
    // Statements say which index entries come on top: 1 for the names without an address, 2 for the agent. Of the nine of the index
    // of words the platform counts four.
    let directory = || world.shelf.store.counts().written;
    let (_, answer) = world.make_agent("robin", &json!({}));
    assert_eq!(directory(), 4 + 9, "its names, the agent, its profile, that it is served; their words");
    assert_eq!(world.make_agent("wren", &json!({ "idempotencyKey": "k" })).0, 200);
    assert_eq!(directory() - 13, 5 + 6, "and the key; the index of words is changed, and not begun");
    let account = |did: &Did| world.objects.stores.borrow()[did].counts().written;
    let (_, plain) = world.create("person");
    // Keys: secrets, record, turn. Profile: record and turn. The document: noted, said, and that it is not to be said any more.
    let more = account(&did(&answer["did"])) - account(&did(&plain["did"]));
    assert_eq!(more, 3 + 2 + 3);
}

#[test]
fn an_invite_code_makes_an_agent_and_nobody_else_does_without_one() {
    let world = World::new();
    let (status, answer) = world.make_agent_as(None, "robin", &json!({}));
    assert_eq!((status, &answer["error"]), (400, &json!("InvalidInviteCode")));
    let code = invite(&world);
    let with = json!({ "inviteCode": code });
    world.network.plc_is_away.set(true);
    assert_eq!(world.make_agent_as(None, "robin", &with).0, 502);
    world.network.plc_is_away.set(false);
    let (status, answer) = world.make_agent_as(None, "robin", &with);
    assert_eq!(status, 200, "given back by the one that failed: {answer}");
    world.assert_agent(&answer, "by invitation");
    let (status, answer) = world.make_agent_as(None, "wren", &with);
    assert_eq!((status, &answer["error"]), (400, &json!("InvalidInviteCode")));
    let wrong = "Basic YWRtaW46d3Jvbmc=";
    assert_eq!(world.make_agent_as(Some(wrong), "wren", &json!({})).0, 401);
}

#[test]
fn refuses_what_is_not_right_and_does_nothing() {
    let world = World::new();
    let before = world.faults.calls.get();
    for (changes, error) in [
        (json!({ "handle": "ab.test" }), "InvalidHandle"),
        (json!({ "handle": "robin.example.com" }), "UnsupportedDomain"),
        (json!({ "handle": "admin.test" }), "HandleNotAvailable"),
        (json!({ "handle": "weasel.test" }), "InvalidHandle"),
        (json!({ "didMethod": "cf" }), "UnsupportedDidMethod"),
        (json!({ "didMethod": "key" }), "UnsupportedDidMethod"),
        (json!({ "email": "nowhere" }), "InvalidRequest"),
        (json!({ "password": "x".repeat(257) }), "InvalidRequest"),
        (json!({ "recoveryKey": "did:key:z6Mk" }), "InvalidRequest"),
        (json!({ "profile": { "displayName": 5 } }), "InvalidRequest"),
        (json!({ "profile": { "$type": "app.bsky.actor.profile" } }), "InvalidRequest"),
        (json!({ "profile": { "skills": [{ "id": "x" }] } }), "InvalidRequest"),
        (json!({ "profile": "x" }), "InvalidRequest"),
        (json!({ "idempotencyKey": "x".repeat(65) }), "InvalidRequest"),
        (json!({ "idempotencyKey": "" }), "InvalidRequest"),
    ] {
        let (code, answer) = world.make_agent("robin", &changes);
        assert_eq!((code, &answer["error"]), (400, &json!(error)), "{changes}: {answer}");
    }
    assert_eq!(world.faults.calls.get(), before, "a refusal costs nothing");
    assert_eq!(world.create("robin").0, 200);
    assert_eq!(world.make_agent("robin", &json!({})).1["error"], "HandleNotAvailable");
}

#[test]
fn asking_again_under_a_key_makes_no_second_agent() {
    let world = World::new();
    let wanted =
        json!({ "idempotencyKey": "one", "email": "robin@example.com", "password": "robin's password" });
    let (_, first) = world.make_agent("robin", &wanted);
    let (code, again) = world.make_agent("robin", &wanted);
    assert_eq!((code, &again["did"], &again["alias"]), (200, &first["did"], &first["alias"]), "{again}");
    assert_ne!(again["refreshJwt"], first["refreshJwt"]);
    world.assert_agent(&again, "the same");
    assert_eq!(living_dids(&world).len(), 1);
    let (code, answer) = world.make_agent("wren", &wanted);
    assert_eq!((code, &answer["error"]), (400, &json!("IdempotencyMismatch")));
    // The key is the asker's own, and is good for a day.
    let invited = json!({ "idempotencyKey": "one", "inviteCode": invite(&world) });
    assert_eq!(world.make_agent_as(None, "wren", &invited).0, 200);
    world.pass_minutes(24 * 60);
    assert_eq!(world.make_agent("robin", &wanted).1["error"], "HandleNotAvailable");
    // Of nothing that is secret a plain hash is kept.
    assert_eq!(world.login("robin.test", "robin's password").0, 200);
}

#[test]
fn an_agent_may_be_the_did_web_of_its_handle() {
    let world = World::new();
    let (code, answer) = world.make_agent("robin", &json!({ "didMethod": "web" }));
    assert_eq!((code, &answer["did"]), (200, &json!("did:web:robin.test")), "{answer}");
    world.assert_agent(&answer, "a did:web");
    assert!(living_dids(&world).is_empty());
    let (_, _, document) = world.page(Some("robin.test"), "/.well-known/did.json");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["alsoKnownAs"], json!(["at://robin.test", answer["alias"]]));
    assert_eq!(world.make_agent("robin", &json!({ "didMethod": "web" })).1["error"], "AlreadyExists");

    let robin = did(&answer["did"]);
    block_on(world.host().delete_account(&robin)).unwrap();
    let (code, gone) = world.alias_page(answer["alias"].as_str().unwrap());
    assert_eq!((code, &gone["error"]), (410, &json!("DidDeactivated")));
    for (code, refused) in [
        world.make_agent("robin", &json!({ "didMethod": "web" })),
        world.create_with("robin", json!({ "did": robin })),
    ] {
        assert_eq!((code, &refused["error"]), (400, &json!("HandleNotAvailable")), "{refused}");
    }
    let (code, other) = world.make_agent("robin", &json!({}));
    assert_eq!(code, 200, "the handle is free for another DID: {other}");
    assert_ne!(other["alias"], answer["alias"]);
}

/// How many calls of the outside a creation makes.
fn calls_of_a_creation() -> usize {
    let world = World::new();
    assert_eq!(world.make_agent("robin", &json!({ "idempotencyKey": "k" })).0, 200);
    world.faults.calls.get()
}

/// After a creation that answered so, all places must agree.
fn assert_whole(world: &World, code: u16, answer: &Value, what: &str) {
    if code == 200 {
        assert_eq!(status(world), Some(Status::Active), "{what}");
        assert_eq!(living_accounts(world), [did(&answer["did"])], "{what}");
        assert_eq!(living_dids(world), [did(&answer["did"])], "{what}");
        world.assert_agent(answer, what);
    } else {
        assert_eq!(status(world), None, "{what}");
        assert!(living_accounts(world).is_empty() && living_dids(world).is_empty(), "{what}");
        assert_eq!(world.get(&format!("{NS}.listAgents"), &[]).1["agents"], json!([]), "{what}");
    }
}

#[test]
fn sim_one_call_that_fails_leaves_an_agent_or_nothing_and_the_same_key_has_it_made() {
    let wanted = json!({ "idempotencyKey": "k" });
    let calls = calls_of_a_creation();
    assert!(calls > 12, "{calls}");
    let mut undone = 0;
    for number in 0..calls {
        for fault in [Fault::Refused(number), Fault::Lost(number)] {
            let world = World::new();
            world.faults.planned.set(Some(fault));
            let (code, answer) = world.make_agent("robin", &wanted);
            world.faults.planned.set(None);
            let what = format!("{fault:?}: {code} {answer}");
            if code != 200 && status(&world) == Some(Status::Reserved) {
                // The answer of the reservation itself was lost: it stays until it is old.
                assert!(living_accounts(&world).is_empty() && living_dids(&world).is_empty(), "{what}");
                world.pass_minutes(6);
            } else {
                assert_whole(&world, code, &answer, &what);
                undone += usize::from(code != 200);
            }
            let (mut code, mut answer) = world.make_agent("robin", &wanted);
            if answer["error"] == "CreationInProgress" {
                // The key was noted, and nobody could say what had become of it.
                world.pass_minutes(6);
                (code, answer) = world.make_agent("robin", &wanted);
            }
            assert_eq!(code, 200, "{what}, then {answer}");
            assert_whole(&world, code, &answer, &what);
        }
    }
    assert!(undone > 5, "{undone}");
}

#[test]
fn sim_a_worker_that_dies_leaves_what_the_same_key_completes_or_begins_anew() {
    let wanted = json!({ "idempotencyKey": "k" });
    let (mut completed, mut anew) = (0, 0);
    for number in 0..calls_of_a_creation() {
        let world = World::new();
        world.faults.planned.set(Some(Fault::Dead(number)));
        let (code, _) = world.make_agent("robin", &wanted);
        world.faults.planned.set(None);
        assert_ne!(code, 200, "dead at {number}");
        let before = living_accounts(&world);
        world.pass_minutes(6);
        let (code, answer) = world.make_agent("robin", &wanted);
        assert_eq!(code, 200, "dead at {number}: {answer}");
        assert_whole(&world, code, &answer, &format!("dead at {number}"));
        match before.as_slice() {
            [account] => {
                assert_eq!(did(&answer["did"]), *account, "dead at {number}");
                completed += 1;
            }
            _ => anew += 1,
        }
    }
    assert!(completed > 2 && anew > 2, "{completed} {anew}");
}

#[test]
fn while_an_agent_may_be_in_the_making_its_key_makes_no_other() {
    let wanted = json!({ "idempotencyKey": "k" });
    let world = World::new();
    world.faults.planned.set(Some(Fault::Dead(8)));
    assert_ne!(world.make_agent("robin", &wanted).0, 200);
    world.faults.planned.set(None);
    assert_eq!(world.make_agent("robin", &wanted).1["error"], "CreationInProgress");
}

#[test]
fn a_did_that_says_more_than_this_host_made_it_say_is_not_ended() {
    let world = World::new();
    let (_, answer) = world.make_agent("robin", &json!({}));
    let robin = did(&answer["did"]);
    let mut log = world.network.log.borrow()[&robin].clone();
    let moved = log[1].state().unwrap().with_pds("https://elsewhere.example");
    log.push(Operation::update(&log[1].cid(), moved, &world.config.plc_rotation_key).unwrap());
    world.network.log.borrow_mut().insert(robin.clone(), log);
    world.objects.accounts.borrow_mut().clear();
    world.pass_minutes(6);
    assert_eq!(world.make_agent("robin", &json!({})).0, 200);
    assert!(world.network.state(&robin).is_some());
}

fn names(answer: &Value) -> Vec<&str> {
    answer["agents"].as_array().unwrap().iter().map(|agent| agent["handle"].as_str().unwrap()).collect()
}

/// An agent with a profile of its own.
fn agent(world: &World, name: &str, profile: Value) -> Value {
    let (code, answer) = world.make_agent(name, &json!({ "profile": profile }));
    assert_eq!(code, 200, "{answer}");
    answer
}

#[test]
fn agents_are_listed_by_page_and_found_by_what_they_say() {
    let world = World::new();
    assert_eq!(world.create("person").0, 200);
    let skill = |id: &str, tags: &[&str]| json!({ "id": id, "name": "A Skill", "tags": tags });
    agent(&world, "robin", json!({ "displayName": "Robin", "skills": [skill("sum", &["physics", "math"])] }));
    agent(&world, "wren", json!({ "description": "Reads Physics papers", "skills": [skill("read", &[])] }));
    agent(&world, "stork", json!({}));
    let find = |query: &[(&str, &str)]| {
        let (code, answer) = world.get(&format!("{NS}.searchAgents"), query);
        assert_eq!(code, 200, "{answer}");
        let mut names: Vec<String> = names(&answer).into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(find(&[("q", "PHYSICS")]), ["robin.test", "wren.test"]);
    assert_eq!(find(&[("q", "physics reads")]), ["wren.test"]);
    assert_eq!(find(&[("q", "robin.test")]), ["robin.test"]);
    assert_eq!(find(&[("q", "read paper")]), ["wren.test"], "in any form");
    assert_eq!(find(&[("q", "papers phys")]), ["wren.test"], "the last word may be only begun");
    assert_eq!(find(&[("q", "phys papers")]), Vec::<String>::new());
    assert_eq!(find(&[("tag", "physics")]), ["robin.test"]);
    assert_eq!(find(&[("tag", "phys")]), Vec::<String>::new());
    assert_eq!(find(&[("skill", "read")]), ["wren.test"]);
    assert_eq!(find(&[("skill", "read"), ("tag", "math")]), Vec::<String>::new());
    assert_eq!(find(&[("q", "wren"), ("skill", "read")]), ["wren.test"]);
    for hostile in
        ["100%' OR _", "\"", "\"\" OR robin", "robin NOT wren", "*", "words : robin", "robin\0", "-", "NEAR("]
    {
        let all = find(&[("q", hostile)]);
        assert!(all.is_empty() || hostile == "robin\0" && all == ["robin.test"], "{hostile:?}: {all:?}");
    }
    assert_eq!(find(&[]).len(), 3);

    // A page behind another, in an order that means nothing.
    let page = |query: &[(&str, &str)]| world.get(&format!("{NS}.searchAgents"), query).1;
    let first = page(&[("q", "test"), ("limit", "2")]);
    let rest = page(&[("q", "test"), ("limit", "2"), ("cursor", first["cursor"].as_str().unwrap())]);
    let mut all = [names(&first), names(&rest)].concat();
    all.sort_unstable();
    assert_eq!((all, &rest["cursor"]), (vec!["robin.test", "stork.test", "wren.test"], &Value::Null));
    for cursor in ["x", "-1", "99999999999999999999", "did:web:a.test"] {
        assert_eq!(page(&[("q", "test"), ("cursor", cursor)])["error"], "InvalidRequest", "{cursor}");
    }

    let list = |query: &[(&str, &str)]| world.get(&format!("{NS}.listAgents"), query).1;
    let first = list(&[("limit", "2")]);
    let rest = list(&[("limit", "2"), ("cursor", first["cursor"].as_str().unwrap())]);
    let mut all = [names(&first), names(&rest)].concat();
    all.sort_unstable();
    assert_eq!((all, &rest["cursor"]), (vec!["robin.test", "stork.test", "wren.test"], &Value::Null));
    assert_eq!(list(&[("cursor", "x")])["error"], "InvalidRequest");
}

#[test]
fn an_agent_is_shown_by_any_of_its_names_and_with_its_profile_while_it_is_served() {
    let world = World::new();
    let robin = agent(&world, "robin", json!({ "displayName": "Robin" }));
    let (did, token) = (did(&robin["did"]), robin["accessJwt"].as_str().unwrap());
    let get = |name: &str| world.get(&format!("{NS}.getAgent"), &[("agent", name)]);
    for name in [did.as_str(), robin["alias"].as_str().unwrap(), "robin.test", "ROBIN.test"] {
        let (code, found) = get(name);
        assert_eq!((code, &found["profile"]["displayName"]), (200, &json!("Robin")), "{name}: {found}");
        assert_eq!((&found["aliases"], &found["did"]), (&json!([robin["alias"]]), &robin["did"]));
    }
    world.create("person");
    let foreign = format!("did:cf:{}", "a".repeat(64));
    for nobody in ["person.test", "nobody.test", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", &foreign] {
        assert_eq!(get(nobody).1["error"], "AgentNotFound", "{nobody}");
    }
    let agents = || world.get(&format!("{NS}.listAgents"), &[]).1["agents"].as_array().unwrap().len();
    assert_eq!(world.post_as(Some(token), "com.atproto.server.deactivateAccount", &json!({})).0, 200);
    let (_, found) = get("robin.test");
    assert_eq!((&found["error"], agents()), (&json!("AgentNotFound"), 0));
    let (_, found) = get(did.as_str());
    assert_eq!((&found["status"], &found["profile"]), (&json!("deactivated"), &Value::Null));
    // An identity outlasts the standing of its account.
    assert_eq!(world.alias_page(robin["alias"].as_str().unwrap()).0, 200);
    assert_eq!(world.post_as(Some(token), "com.atproto.server.activateAccount", &Value::Null).0, 200);
    assert_eq!(agents(), 1);
    let input = json!({ "subject": account(did.as_str()), "takedown": { "applied": true, "ref": "1" } });
    assert_eq!(act(&world, &input).0, 200);
    assert_eq!((&get(did.as_str()).1["status"], agents()), (&json!("takendown"), 0));
}

#[test]
fn what_is_shown_follows_the_profile() {
    let world = World::new();
    let robin = agent(&world, "robin", json!({ "displayName": "Robin" }));
    let did = did(&robin["did"]);
    let follow = || {
        let accounts = world.objects.accounts.borrow();
        block_on(index::refresh(&accounts[&did], Directory::new(&world.shelf.store))).unwrap();
    };
    let written = || world.shelf.store.counts().written;
    let shown = || world.get(&format!("{NS}.getAgent"), &[("agent", did.as_str())]).1["profile"].clone();
    let before = written();
    follow();
    assert_eq!(written(), before, "nothing is new");
    let record = json!({ "description": "sings", "createdAt": "2026-01-01T00:00:00Z" });
    let write = |nsid: &str, more: Value| {
        let mut input = json!({ "repo": did, "collection": "agent.identity.profile", "rkey": "self" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = robin["accessJwt"].as_str();
        assert_eq!(world.post_as(token, &format!("com.atproto.repo.{nsid}"), &input).0, 200);
        follow();
    };
    write("putRecord", json!({ "record": record }));
    let rows = written() - before;
    assert_eq!(rows, 11, "the agent, and ten of the index of words, of which the platform counts two");
    assert_eq!(shown()["description"], "sings");
    assert_eq!(names(&world.get(&format!("{NS}.searchAgents"), &[("q", "sings")]).1), ["robin.test"]);
    let uri = format!("at://{did}/agent.identity.profile/self");
    let (_, found) = world.record(&did, "agent.identity.profile", "self");
    let subject = json!({ "$type": "com.atproto.repo.strongRef", "uri": uri, "cid": found["cid"] });
    let take_down = |applied: bool| {
        let takedown =
            if applied { json!({ "applied": true, "ref": "1" }) } else { json!({ "applied": false }) };
        assert_eq!(act(&world, &json!({ "subject": subject, "takedown": takedown })).0, 200);
        follow();
    };
    take_down(true);
    assert_eq!(shown(), Value::Null);
    take_down(false);
    assert_eq!(shown()["description"], "sings");
    write("deleteRecord", json!({}));
    assert_eq!(shown(), Value::Null);
}
