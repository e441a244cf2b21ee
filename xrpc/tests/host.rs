//! Finding accounts: sessions, handles, lists, descriptions.

use murmuration_platform::{Param, Store};
use murmuration_syntax::Handle;
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::host::directory::{Entry, Reservation, Status};
use serde_json::json;

use crate::world::{Fault, PLC, World, block_on, config, did, plain};

const RESOLVE: &str = "com.atproto.identity.resolveHandle";
const LIST: &str = "com.atproto.sync.listRepos";
const DESCRIBE: &str = "com.atproto.repo.describeRepo";
const BOB: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

fn alice() -> (World, String) {
    let world = World::new();
    let did = world.create("alice").1["did"].as_str().unwrap().to_owned();
    (world, did)
}

fn set_status(world: &World, did: &str, status: Status) {
    let did = did.parse().unwrap();
    assert!(block_on(Directory::new(&world.shelf.store).set_status(&did, status)).unwrap());
}

#[test]
fn describes_the_server() {
    let (code, answer) = World::new().get("com.atproto.server.describeServer", &[]);
    assert_eq!(code, 200);
    assert_eq!(answer["did"], "did:web:pds.example");
    assert_eq!(answer["availableUserDomains"], json!([".test"]));
    assert_eq!(answer["inviteCodeRequired"], false);
    assert!(answer["blobUploadLimit"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[test]
fn health_is_that_of_the_directory_too() {
    let world = World::new();
    assert_eq!(plain(block_on(world.host().health("1.2.3"))), (200, json!({ "version": "1.2.3" })));
    world.faults.planned.set(Some(Fault::Dead(0)));
    assert_eq!(plain(block_on(world.host().health("1.2.3"))).0, 503);
}

#[test]
fn a_session_begins_by_any_name() {
    let (world, did) = alice();
    for name in ["alice.test", "Alice.TEST", "alice@example.com", "ALICE@example.com", &did] {
        let (code, answer) = world.login(name, "alice's password");
        assert_eq!((code, answer["did"].as_str()), (200, Some(did.as_str())), "{name}: {answer}");
    }
}

#[test]
fn nobody_and_somebody_with_a_wrong_password_get_the_same_answer_in_the_same_way() {
    let (world, did) = alice();
    let wrong = world.login("alice.test", "wrong");
    assert_eq!((wrong.0, &wrong.1["error"]), (401, &json!("AuthenticationRequired")));
    let calls = |identifier: &str| {
        let before = (world.faults.calls.get(), world.objects.called.borrow().len());
        let answer = world.login(identifier, "wrong");
        let called = world.objects.called.borrow()[before.1..].to_vec();
        (answer, world.faults.calls.get() - before.0, called)
    };
    let (answer, made, called) = calls("alice.test");
    assert_eq!((answer, made, called.len()), (wrong.clone(), 2, 1));
    let mut asked = Vec::new();
    for nobody in ["nobody.test", BOB, "nobody@example.com", "alice.test.test"] {
        let (answer, made, called) = calls(nobody);
        assert_eq!((answer, made), (wrong.clone(), 2), "{nobody}");
        assert_eq!(called[0].1, "session");
        asked.push(called[0].0.clone());
    }
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 4, "each name waits for itself alone");
    assert!(
        asked.iter().all(|asked| asked.as_str() != did && asked.as_str() != BOB && !world.objects.has(asked))
    );
    assert_eq!(calls("not a name at all").0, wrong);
    assert_eq!(calls("").0, wrong);
    assert_eq!(world.login("alice.test", &"x".repeat(513)).0, 401);
}

#[test]
fn own_handles_resolve_here_and_nowhere_else() {
    let (world, did) = alice();
    assert_eq!(world.get(RESOLVE, &[("handle", "ALICE.test")]), (200, json!({ "did": did })));
    for unknown in ["nobody.test", "a.b.test"] {
        let (code, answer) = world.get(RESOLVE, &[("handle", unknown)]);
        assert_eq!((code, &answer["error"]), (400, &json!("HandleNotFound")));
        assert_eq!(answer["message"], "Unable to resolve handle");
    }
    for bad in ["no spaces allowed", "alice", ""] {
        let (code, answer) = world.get(RESOLVE, &[("handle", bad)]);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{bad}");
    }
    assert_eq!(world.get(RESOLVE, &[]).0, 400);
    for hidden in [Status::Deactivated, Status::Takendown] {
        set_status(&world, &did, hidden);
        assert_eq!(world.get(RESOLVE, &[("handle", "alice.test")]).1["error"], "HandleNotFound");
    }
}

#[test]
fn other_handles_resolve_outward() {
    let world = World::new();
    let page = |url: &str, status, body: &str| {
        world.network.pages.borrow_mut().insert(url.into(), (status, body.into()));
    };
    let dns = "https://cloudflare-dns.com/dns-query?name=_atproto.bob.example.com&type=TXT";
    let file = "https://bob.example.com/.well-known/atproto-did";
    let resolve = || world.get(RESOLVE, &[("handle", "bob.example.com")]);
    assert_eq!((resolve().0, &resolve().1["error"]), (400, &json!("InvalidRequest")), "nobody answers");
    page(dns, 200, r#"{"Status":3}"#);
    page(file, 404, "");
    assert_eq!(resolve().1["error"], "HandleNotFound");
    page(file, 200, BOB);
    assert_eq!(resolve(), (200, json!({ "did": BOB })));
}

#[test]
fn the_operators_resolvers_are_asked_for_handles() {
    let world = World::with(&[("DOH_URLS", "https://first.example/dns, https://second.example/dns")]);
    let page = |url: &str, status, body: &str| {
        world.network.pages.borrow_mut().insert(url.into(), (status, body.into()));
    };
    let resolve = || world.get(RESOLVE, &[("handle", "bob.example.com")]);
    page("https://first.example/dns?name=_atproto.bob.example.com&type=TXT", 200, r#"{"Status":3}"#);
    page("https://bob.example.com/.well-known/atproto-did", 404, "");
    assert_eq!(resolve().0, 400, "the second does not answer");
    let record = json!({ "Status": 0, "Answer": [{ "type": 16, "data": format!("did={BOB}") }] });
    let second = "https://second.example/dns?name=_atproto.bob.example.com&type=TXT";
    page(second, 200, &record.to_string());
    assert_eq!(resolve(), (200, json!({ "did": BOB })));

    let many = ["https://dns.example/query"; 9].join(",");
    for wrong in ["http://dns.example/query", "https://dns.example/query?name=x", "1.1.1.1", &many] {
        assert!(config(&[("DOH_URLS", wrong)]).is_err(), "{wrong}");
    }
}

#[test]
fn lists_every_repository_once_page_by_page() {
    let world = World::new();
    let mut made: Vec<String> = (0..5)
        .map(|number| world.create(&format!("agent{number}")).1["did"].as_str().unwrap().to_owned())
        .collect();
    made.sort();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let (code, page) = world.get(LIST, &[("limit", "2"), ("cursor", &cursor)]);
        assert_eq!(code, 200);
        for repo in page["repos"].as_array().unwrap() {
            assert!(repo["head"].is_string() && repo["rev"].is_string() && repo["active"] == true);
            listed.push(repo["did"].as_str().unwrap().to_owned());
        }
        match page.get("cursor") {
            Some(next) => next.as_str().unwrap().clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(listed, made);
    let (_, all) = world.get(LIST, &[]);
    assert_eq!((all["repos"].as_array().unwrap().len(), all.get("cursor")), (5, None));
}

#[test]
fn a_list_leaves_out_what_is_not_there() {
    let (world, gone) = alice();
    let bob = world.create("bob").1["did"].as_str().unwrap().to_owned();
    world.objects.broken.borrow_mut().insert(gone.parse().unwrap());
    let (code, page) = world.get(LIST, &[]);
    assert_eq!((code, page["repos"].as_array().unwrap().len()), (200, 1));
    assert_eq!(page["repos"][0]["did"], bob.as_str());
    let entry = Entry {
        did: BOB.parse().unwrap(),
        handle: "soon.test".parse().unwrap(),
        email: None,
        status: Status::Reserved,
        created_at_millis: 0,
        change: None,
    };
    let directory = Directory::new(&world.shelf.store);
    assert_eq!(block_on(directory.reserve(&entry)).unwrap(), Reservation::Made);
    assert_eq!(block_on(directory.page(None, 10)).unwrap().len(), 2);
}

#[test]
fn a_page_has_a_hundred_accounts_at_the_most() {
    let world = World::new();
    let directory = Directory::new(&world.shelf.store);
    for number in 0..150_u32 {
        let entry = Entry {
            did: format!("did:web:a{number}.example.com").parse().unwrap(),
            handle: format!("a{number}.test").parse().unwrap(),
            email: None,
            status: Status::Reserved,
            created_at_millis: 0,
            change: None,
        };
        block_on(directory.reserve(&entry)).unwrap();
        assert!(block_on(directory.activate(&entry.did)).unwrap());
    }
    assert_eq!(world.get(LIST, &[("limit", "1000")]).0, 200);
    assert_eq!(world.objects.called.borrow().len(), 100);
    for (name, value) in [("limit", "1001"), ("limit", "0"), ("limit", "x"), ("cursor", "nonsense")] {
        let (code, answer) = world.get(LIST, &[(name, value)]);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{name}={value}");
    }
}

#[test]
fn describes_a_repository_by_did_and_by_handle() {
    let (world, did) = alice();
    for name in [did.as_str(), "alice.test"] {
        let (code, answer) = world.get(DESCRIBE, &[("repo", name)]);
        assert_eq!(code, 200, "{answer}");
        assert_eq!(
            (answer["did"].as_str().unwrap(), &answer["handle"]),
            (did.as_str(), &json!("alice.test"))
        );
        assert_eq!(answer["didDoc"]["id"], did.as_str());
        assert_eq!((&answer["collections"], &answer["handleIsCorrect"]), (&json!([]), &json!(true)));
    }
    for unknown in [BOB, "nobody.test"] {
        let (code, answer) = world.get(DESCRIBE, &[("repo", unknown)]);
        assert_eq!((code, &answer["error"]), (400, &json!("RepoNotFound")));
        assert_eq!(answer["message"], format!("Could not find repo for DID: {unknown}"));
    }
    assert_eq!(world.get(DESCRIBE, &[("repo", "neither")]).1["error"], "InvalidRequest");
}

#[test]
fn a_handle_that_the_document_does_not_claim_is_not_correct() {
    let (world, name) = alice();
    let did = did(&json!(name));
    let state = world.network.state(&did).unwrap().with_handle(&Handle::parse("alice.example.com").unwrap());
    let mut log = world.network.log.borrow()[&did].clone();
    let key = &world.config.plc_rotation_key;
    log.push(murmuration_bridge::plc::Operation::update(&log[0].cid(), state, key).unwrap());
    world.network.log.borrow_mut().insert(did, log);
    world.pass_minutes(61);
    let (_, answer) = world.get(DESCRIBE, &[("repo", &name)]);
    assert_eq!((&answer["handle"], &answer["handleIsCorrect"]), (&json!("alice.test"), &json!(false)));
}

#[test]
fn hosted_accounts_do_not_depend_on_the_plc_directory() {
    let (world, did) = alice();
    world.network.plc_is_away.set(true);
    for minutes in [0, 61, 48 * 60] {
        world.pass_minutes(minutes);
        let (code, answer) = world.get(DESCRIBE, &[("repo", "alice.test")]);
        assert_eq!(
            (code, &answer["handleIsCorrect"]),
            (200, &json!(true)),
            "after {minutes} minutes: {answer}"
        );
        assert_eq!(answer["didDoc"]["service"][0]["serviceEndpoint"], "https://pds.example");
        assert_eq!(world.login(&did, "alice's password").0, 200);
        assert_eq!(world.get(RESOLVE, &[("handle", "alice.test")]).0, 200);
        assert_eq!(world.get(LIST, &[]).1["repos"][0]["did"], did.as_str());
    }
    let asked = format!("{PLC}/{did}");
    assert!(world.network.pages.borrow().get(&asked).is_none());
}

#[test]
fn locates_an_account_without_a_look_for_a_did_and_with_one_for_a_handle() {
    let (world, did) = alice();
    let locate = |name: &str| block_on(world.host().locate(name));
    let before = world.faults.calls.get();
    assert_eq!(locate(BOB).unwrap().unwrap().as_str(), BOB);
    assert_eq!(world.faults.calls.get(), before);
    assert_eq!(locate("alice.test").unwrap().unwrap().as_str(), did);
    assert_eq!(world.faults.calls.get(), before + 1);
    assert_eq!(locate("nobody.test").unwrap(), None);
    assert_eq!(locate("neither").unwrap_err().error(), "InvalidRequest");
}

#[test]
fn the_directory_tells_a_corrupt_row_from_none() {
    let world = World::new();
    let insert = "INSERT INTO account (did, handle, status, created_at) VALUES (?1, 'x.test', 'active', 0)";
    Store::query(&world.shelf.store, insert, &[Param::Text("nonsense")]).unwrap();
    let directory = Directory::new(&world.shelf.store);
    assert!(block_on(directory.by_handle(&"x.test".parse().unwrap())).is_err());
    let insert = "INSERT INTO account (did, handle, status, created_at) VALUES ('d', 'y.test', 'other', 0)";
    assert!(Store::query(&world.shelf.store, insert, &[]).is_err(), "the table knows the statuses");
}
