//! Letters in the outbox and on their other ways, and what their codes open in the real Worker.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_data::Ipld;
use murmuration_tests::{Account, Client, Reply, Setup, StandIn, World};
use serde_json::{Value, json};

/// The alarm that goes on with a deletion is due after 20 seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// The letters of an outbox, in order.
fn letters(world: &World) -> Vec<Value> {
    let mut files: Vec<_> =
        std::fs::read_dir(world.folder().join("outbox")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

/// The code of the last letter, which is for `purpose` and went to `to`.
fn code(world: &World, purpose: &str, to: &str) -> String {
    let letters = letters(world);
    let letter = letters.last().unwrap();
    assert_eq!((&letter["purpose"], &letter["to"]), (&json!(purpose), &json!(to)));
    let text = letter["text"].as_str().unwrap();
    let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
    text.split_whitespace().find(is_code).unwrap().to_owned()
}

/// A procedure without a body.
fn ask(client: &Client, nsid: &str) {
    let _ = client.send("POST", &format!("/xrpc/{nsid}"), &[], Vec::new()).unwrap().ok();
}

fn login(world: &World, password: &str) -> u16 {
    let body = json!({ "identifier": "alice@example.com", "password": password });
    world.client().post("com.atproto.server.createSession", &body).status
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_password_is_reset_by_a_letter_and_no_code_is_in_the_log() {
    let world = World::start();
    let alice = world.account("alice");
    let body = json!({ "email": "alice@example.com" });
    let _ = world.client().post("com.atproto.server.requestPasswordReset", &body).ok();
    let code = code(&world, "reset_password", "alice@example.com");
    let reset = |token: &str| {
        let body = json!({ "token": token, "password": "a new one" });
        world.client().post("com.atproto.server.resetPassword", &body)
    };
    assert_eq!(reset("AAAAA-AAAAA").json()["error"], "InvalidToken");
    assert_eq!(login(&world, Account::PASSWORD), 200);
    let _ = reset(&code).ok();
    assert_eq!((login(&world, Account::PASSWORD), login(&world, "a new one")), (401, 200));
    let refresh = world.client().with_token(&alice.refresh);
    let answer = refresh.send("POST", "/xrpc/com.atproto.server.refreshSession", &[], Vec::new()).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(!world.log().contains(&code) && !world.log().contains("a new one"));
}

/// Has a letter written, and answers with what the service was sent; then has the service refuse one.
fn write_to_alice(world: &World, service: &StandIn) -> (Option<String>, Value) {
    let _ = world.account("alice");
    let reset = || {
        let body = json!({ "email": "alice@example.com" });
        world.client().post("com.atproto.server.requestPasswordReset", &body)
    };
    let _ = reset().ok();
    let noted = service.take();
    assert_eq!(noted.len(), 1);
    let letter: Value = serde_json::from_slice(&noted[0].body).unwrap();
    let words = letter["text"].as_str().unwrap().split_whitespace();
    let code = words.into_iter().find(|word| word.len() == 11 && word.as_bytes()[5] == b'-').unwrap();
    let body = json!({ "token": code, "password": "a new one" });
    let _ = world.client().post("com.atproto.server.resetPassword", &body).ok();
    assert_eq!(login(world, "a new one"), 200);
    // What the service says of a letter may quote it.
    service.script(|noted| Reply::Answer(500, Vec::new(), noted.body.clone()));
    let refused = reset();
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (502, &json!("UpstreamFailure")),
        "{}",
        refused.text()
    );
    let code = |letter: &Value| letter["text"].as_str().unwrap().to_owned();
    let last: Value = serde_json::from_slice(&service.take()[0].body).unwrap();
    let told = format!("{}{}", refused.text(), world.log());
    assert!(!told.contains(&code(&last)) && !told.contains("alice@example.com"), "{told}");
    (noted[0].header("authorization").map(str::to_owned), letter)
}

#[test]
fn letters_go_by_an_api_or_by_the_platform_and_what_is_refused_is_told() {
    let service = StandIn::start(|_| Reply::json(200, &json!({})));
    let api = Setup::new()
        .variable("MAIL", "http")
        .variable("MAIL_URL", &format!("{}/letters", service.url()))
        .variable("MAIL_TOKEN", "the-token")
        .variable("MAIL_FROM", "host@example.com")
        .start();
    let (authorization, letter) = write_to_alice(&api, &service);
    assert_eq!(authorization.as_deref(), Some("Bearer the-token"));
    assert_eq!((&letter["from"], &letter["to"]), (&json!("host@example.com"), &json!("alice@example.com")));

    let service = StandIn::start(|_| Reply::json(200, &json!({})));
    let platform = Setup::new()
        .email(&service)
        .variable("MAIL", "binding")
        .variable("MAIL_FROM", "host@example.com")
        .start();
    let (_, letter) = write_to_alice(&platform, &service);
    assert_eq!((&letter["from"], &letter["to"]), (&json!("host@example.com"), &json!("alice@example.com")));
}

/// An account with a record and a blob.
fn furnished(world: &World) -> (Account, Client) {
    let alice = world.account("alice");
    let client = world.client().with_token(&alice.access);
    let blob = client.post_bytes("com.atproto.repo.uploadBlob", "text/plain", b"bytes").ok().json();
    let record = json!({ "$type": "com.example.file", "file": blob["blob"] });
    let body = json!({ "repo": alice.did, "collection": "com.example.file", "record": record });
    let _ = client.post("com.atproto.repo.createRecord", &body).ok();
    assert_eq!(files(&world.folder().join("blobs")), 1);
    ask(&client, "com.atproto.server.requestAccountDelete");
    (alice, client)
}

fn deletion(world: &World, alice: &Account) -> Value {
    let code = code(world, "delete_account", "alice@example.com");
    json!({ "did": alice.did, "password": Account::PASSWORD, "token": code })
}

/// What the stream says of an account, from its beginning to the first word of a new one.
fn told(world: &World, did: &str) -> Vec<(String, Ipld)> {
    let marker = world.account("marker").did;
    let mut stream = world.subscribe(Some(0));
    let mut told = Vec::new();
    loop {
        let frame = stream.frame().unwrap();
        let of = frame.body.get("did").ok().flatten().or(frame.body.get("repo").ok().flatten()).cloned();
        match of {
            Some(Ipld::String(of)) if of == marker => return told,
            Some(Ipld::String(of)) if of == did => {
                let status = frame.body.get("status").ok().flatten().cloned().unwrap_or(Ipld::Null);
                told.push((frame.kind().to_owned(), status));
            }
            _ => {}
        }
    }
}

#[track_caller]
fn assert_gone(world: &World, alice: &Account) {
    let deleted = ("#account".to_owned(), Ipld::String("deleted".into()));
    assert_eq!(told(world, &alice.did), [deleted]);
    let status = world.client().get("com.atproto.sync.getRepoStatus", &[("did", &alice.did)]);
    assert_eq!(status.json()["error"], "RepoNotFound");
    assert_eq!(files(&world.folder().join("blobs")), 0);
    assert_ne!(world.account("alice").did, alice.did, "the names are free");
}

#[test]
fn nothing_is_left_of_a_deleted_account() {
    let world = World::start();
    let (alice, client) = furnished(&world);
    let _ = world.client().post("com.atproto.server.deleteAccount", &deletion(&world, &alice)).ok();
    assert_eq!(client.get("com.atproto.server.getSession", &[]).status, 400);
    assert_gone(&world, &alice);
}

#[test]
fn a_deletion_that_kill_9_cuts_off_is_finished() {
    let mut world = World::start();
    let (alice, _) = furnished(&world);
    let (client, body) = (world.client(), deletion(&world, &alice));
    let caller = thread::spawn(move || client.try_post("com.atproto.server.deleteAccount", &body).is_ok());
    // As soon as the account is marked, in the middle of what follows.
    let status = |world: &World| {
        let client = world.client();
        client.get("com.atproto.sync.getRepoStatus", &[("did", &alice.did)]).status
    };
    let end = Instant::now() + PATIENCE;
    while status(&world) == 200 {
        assert!(Instant::now() < end, "the account has not been deleted");
    }
    world.kill_9();
    let _ = caller.join().unwrap();
    world.restart();
    assert_eq!(status(&world), 400, "what was seen to be gone stays gone");
    let end = Instant::now() + PATIENCE;
    while files(&world.folder().join("blobs")) > 0
        || world.client().get("com.atproto.identity.resolveHandle", &[("handle", "alice.test")]).status == 200
    {
        assert!(Instant::now() < end, "the names or the bytes are still there");
        thread::sleep(Duration::from_millis(200));
    }
    assert_gone(&world, &alice);
}

#[test]
fn an_account_at_rest_is_deleted_when_its_time_comes_and_one_that_came_back_is_not() {
    let world = Setup::new().variable("DELETION_PATIENCE_SECONDS", "1").start();
    let (alice, client) = furnished(&world);
    let bob = world.account("bob");
    let bobs = world.client().with_token(&bob.access);
    let body = json!({ "deleteAfter": "2020-01-01T00:00:00Z" });
    for client in [&client, &bobs] {
        let _ = client.post("com.atproto.server.deactivateAccount", &body).ok();
    }
    ask(&bobs, "com.atproto.server.activateAccount");
    // What it must not forget lies in storage.
    world.evict("agent", &alice.did);
    let error = |did: &str| world.client().get("com.atproto.sync.getRepoStatus", &[("did", did)]).json();
    let end = Instant::now() + PATIENCE;
    while error(&alice.did)["error"] != "RepoNotFound" || files(&world.folder().join("blobs")) > 0 {
        assert!(Instant::now() < end, "the alarm has not deleted it");
        thread::sleep(Duration::from_millis(200));
    }
    assert_gone(&world, &alice);
    let _ = world.client().path(&format!("/test/fire?object=agent&name={}", bob.did)).ok();
    assert_eq!(error(&bob.did)["active"], true);
}
