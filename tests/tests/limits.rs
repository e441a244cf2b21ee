//! Rate limits in the real Worker: their headers, who is counted, and what survives a kill.

use murmuration_tests::{Account, Answer, Setup, World};
use serde_json::{Value, json};

const KEY: &str = "the operator's key";

fn asked_from(world: &World, address: &str) -> Answer {
    let headers = [("x-real-ip", address)];
    world.client().send("GET", "/xrpc/com.atproto.server.describeServer", &headers, Vec::new()).unwrap()
}

fn number(answer: &Answer, name: &str) -> u64 {
    answer.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", answer.headers)).parse().unwrap()
}

fn batch(did: &str) -> Value {
    let write = |n| {
        json!({
            "$type": "com.atproto.repo.applyWrites#create",
            "collection": "com.example.note",
            "value": { "$type": "com.example.note", "n": n },
        })
    };
    json!({ "repo": did, "writes": (0..200).map(write).collect::<Vec<_>>() })
}

#[test]
fn a_client_is_counted_by_the_header_that_the_operator_named() {
    let world = Setup::new()
        .variable("RATE_LIMITS", "on")
        .variable("CLIENT_IP_HEADER", "X-Real-IP")
        .variable("RATE_LIMIT_BYPASS_KEY", KEY)
        .start();
    let first = asked_from(&world, "192.0.2.1").ok();
    assert_eq!(number(&first, "ratelimit-limit"), 3000);
    assert_eq!(number(&first, "ratelimit-remaining"), 2999);
    assert_eq!(first.header("ratelimit-policy"), Some("3000;w=300"));
    assert_eq!(
        first.header("access-control-expose-headers"),
        Some("ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-policy")
    );
    assert!(first.header("retry-after").is_none());
    for left in (0..2999).rev() {
        assert_eq!(number(&asked_from(&world, "192.0.2.1").ok(), "ratelimit-remaining"), left);
    }
    let over = asked_from(&world, "192.0.2.1");
    assert_eq!((over.status, &over.json()["error"]), (429, &json!("RateLimitExceeded")));
    assert!((1..=300).contains(&number(&over, "retry-after")));
    assert_eq!(number(&over, "ratelimit-remaining"), 0);
    assert_eq!(over.header("access-control-allow-origin"), Some("*"));
    let exposed = over.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("ratelimit-remaining") && exposed.contains("retry-after"), "{exposed}");
    let unknown =
        world.client().send("GET", "/xrpc/com.example.nothing", &[("x-real-ip", "192.0.2.1")], Vec::new());
    assert_eq!(unknown.unwrap().status, 429, "what does not exist is counted, too");

    assert_eq!(asked_from(&world, "192.0.2.2").status, 200);
    let forged =
        [("x-real-ip", "192.0.2.1"), ("cf-connecting-ip", "192.0.2.9"), ("x-forwarded-for", "192.0.2.9")];
    let path = "/xrpc/com.atproto.server.describeServer";
    assert_eq!(world.client().send("GET", path, &forged, Vec::new()).unwrap().status, 429);
    let free = [("x-real-ip", "192.0.2.1"), ("x-ratelimit-bypass", KEY)];
    let free = world.client().send("GET", path, &free, Vec::new()).unwrap().ok();
    assert!(free.header("ratelimit-limit").is_none());
    assert!(free.header("access-control-expose-headers").is_none(), "nothing to be exposed is there");
    let wrong = [("x-real-ip", "192.0.2.1"), ("x-ratelimit-bypass", "a guess")];
    assert_eq!(world.client().send("GET", path, &wrong, Vec::new()).unwrap().status, 429);
}

#[test]
fn what_an_account_has_written_survives_a_kill() {
    let mut world = Setup::new().variable("RATE_LIMITS", "on").variable("RATE_LIMIT_BYPASS_KEY", KEY).start();
    let account = world.account("writer");
    let client = world.client().with_token(&account.access);
    for n in 1..=8 {
        let answer = client.post("com.atproto.repo.applyWrites", &batch(&account.did)).ok();
        // The tighter of the client's window and the account's is told.
        let left = number(&answer, "ratelimit-remaining");
        assert!(left == 5000 - 600 * n || (left > 2900 && n < 4), "{n}: {left}");
    }
    world.kill_9();
    world.restart();
    let over = client.post("com.atproto.repo.applyWrites", &batch(&account.did));
    assert_eq!((over.status, &over.json()["error"]), (429, &json!("RateLimitExceeded")));
    assert_eq!(number(&over, "ratelimit-limit"), 5000);
    assert_eq!(number(&over, "ratelimit-remaining"), 200);
    assert!((3500..=3600).contains(&number(&over, "retry-after")));
    let records = client.get(
        "com.atproto.repo.listRecords",
        &[("repo", &account.did), ("collection", "com.example.note"), ("limit", "100")],
    );
    assert_eq!(records.ok().json()["records"].as_array().unwrap().len(), 100);
    let headers = [("content-type", "application/json"), ("x-ratelimit-bypass", KEY)];
    let body = batch(&account.did).to_string().into_bytes();
    let free = client.send("POST", "/xrpc/com.atproto.repo.applyWrites", &headers, body).unwrap().ok();
    assert!(free.header("ratelimit-limit").is_none());
}

#[test]
fn an_import_that_its_headers_refuse_is_not_counted() {
    let world = Setup::new().variable("RATE_LIMITS", "on").start();
    let account = world.account("moving");
    let client = world.client().with_token(&account.access);
    let import = |kind: &str| client.post_bytes("com.atproto.repo.importRepo", kind, b"x").status;
    for _ in 0..12 {
        assert_eq!(import("text/plain"), 400);
    }
    for _ in 0..10 {
        assert_eq!(import("application/vnd.ipld.car"), 400);
    }
    assert_eq!(import("application/vnd.ipld.car"), 429);
}

#[test]
fn guesses_at_a_password_end_after_thirty() {
    let world = Setup::new().variable("RATE_LIMITS", "on").start();
    let account = world.account("guessed");
    let login = |password| {
        let body = json!({ "identifier": account.handle, "password": password });
        world.client().post("com.atproto.server.createSession", &body)
    };
    for _ in 0..30 {
        assert_eq!(login("a guess").status, 401);
    }
    let over = login(Account::PASSWORD);
    assert_eq!(over.status, 429);
    assert_eq!(over.header("ratelimit-policy"), Some("30;w=300"));
}

#[test]
fn a_world_without_limits_says_nothing_of_them() {
    let world = World::start();
    let account = world.account("free");
    let answer =
        world.client().with_token(&account.access).post("com.atproto.repo.applyWrites", &batch(&account.did));
    assert!(answer.ok().headers.iter().all(|(name, _)| !name.starts_with("ratelimit")));
}
