//! A panic must not hang: not the caller, not the object, not its neighbours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::{Answer, Client, Subscriber, World};
use serde_json::json;

/// The promise: the caller of a call that panics is answered within this time.
const PROMPT: Duration = Duration::from_millis(100);
/// Within this time a panic is in the log.
const LOGGED: Duration = Duration::from_secs(10);

/// `/test/{verb}` in the agent object of a name.
fn agent(client: &Client, verb: &str, name: &str) -> Answer {
    client.path(&path(verb, name))
}

fn path(verb: &str, name: &str) -> String {
    let (verb, more) =
        verb.split_once('?').map_or((verb, String::new()), |(verb, more)| (verb, format!("&{more}")));
    format!("/test/{verb}?object=agent&name={name}{more}")
}

fn notes(client: &Client, name: &str) -> i64 {
    agent(client, "notes", name).ok().json()["notes"].as_i64().unwrap()
}

#[track_caller]
fn is_internal_error(answer: &Answer) {
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(answer.json()["error"], "InternalServerError", "{}", answer.text());
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

/// Waits for what an alarm does.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

#[test]
fn a_fetch_that_panics_is_answered_promptly_and_the_next_one_succeeds() {
    let world = World::start();
    let client = world.client();
    let mut times = Vec::new();
    for _ in 0..5 {
        let _ = agent(&client, "note", "a").ok();
        let start = Instant::now();
        is_internal_error(&agent(&client, "panic", "a"));
        times.push(start.elapsed());
    }
    times.sort();
    assert!(times[2] < PROMPT, "the median of five is over {PROMPT:?}: {times:?}");
    assert_eq!(notes(&client, "a"), 5);
}

#[test]
fn a_write_that_was_not_flushed_is_gone() {
    let world = World::start();
    let client = world.client();
    let _ = agent(&client, "note", "a").ok();
    is_internal_error(&agent(&client, "write-panic", "a"));
    assert_eq!(notes(&client, "a"), 1);
    is_internal_error(&agent(&client, "write-panic?how=transact", "a"));
    assert_eq!(notes(&client, "a"), 1);
    let _ = agent(&client, "note", "a").ok();
    assert_eq!(notes(&client, "a"), 2);
}

#[test]
fn other_agents_do_not_notice() {
    let world = World::start();
    let client = world.client();
    for name in ["a", "b"] {
        let _ = agent(&client, "note", name).ok();
    }
    let slow = thread::spawn({
        let client = client.clone();
        move || agent(&client, "sleep?ms=500", "b")
    });
    let mut socket = Subscriber::connect(&world.address(), &path("socket", "b"));
    is_internal_error(&agent(&client, "panic?ms=100", "a"));
    socket.send("still there?");
    assert_eq!(socket.message().unwrap().to_text().unwrap(), "still there?");
    assert_eq!(slow.join().unwrap().status, 200);
    assert_eq!(notes(&client, "b"), 1);
}

#[test]
fn an_alarm_that_panics_fires_again_without_what_it_had_not_flushed() {
    let world = World::start();
    let client = world.client();
    let _ = agent(&client, "alarm-panic", "a").ok();
    // One note is flushed before the panic, one is not.
    eventually("the alarm has fired", || agent(&client, "notes", "a").json()["notes"] == 1);
    let _ = agent(&client, "note", "a").ok();
    assert_eq!(notes(&client, "a"), 2);
}

#[test]
fn a_socket_message_that_panics_ends_its_sockets_and_nothing_else() {
    let world = World::start();
    let client = world.client();
    let mut doomed = Subscriber::connect(&world.address(), &path("socket", "a"));
    let mut other = Subscriber::connect(&world.address(), &path("socket", "b"));
    doomed.send("hello");
    assert_eq!(doomed.message().unwrap().to_text().unwrap(), "hello");
    let start = Instant::now();
    doomed.send("panic");
    assert!(doomed.message().is_err(), "the socket lives on");
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
    other.send("hello");
    assert_eq!(other.message().unwrap().to_text().unwrap(), "hello");
    assert_eq!(agent(&client, "note", "a").status, 200);
    let mut again = Subscriber::connect(&world.address(), &path("socket", "a"));
    again.send("hello");
    assert_eq!(again.message().unwrap().to_text().unwrap(), "hello");
}

#[test]
fn a_panic_in_the_worker_itself_is_answered() {
    let world = World::start();
    let client = world.client();
    let _ = client.path("/xrpc/_health").ok();
    is_internal_error(&client.path("/test/panic"));
    let _ = client.path("/xrpc/_health").ok();
}

#[test]
fn the_storage_under_the_worker_is_what_the_crates_count_on() {
    let world = World::start();
    for object in ["agent", "relay"] {
        let _ = world.client().path(&format!("/test/sql?object={object}&name=sql")).ok();
    }
}

#[test]
fn what_is_computed_in_vector_registers_is_what_is_computed_without() {
    let answer = World::start().client().path("/test/registers").ok().json();
    assert_eq!(answer["vectors"], true, "the Wasm is built without vector registers");
}

#[test]
fn a_build_that_serves_people_has_no_test_routes() {
    let world = murmuration_tests::Setup::new().plain().variable("TEST_ROUTES", "true").start();
    let _ = world.client().path("/xrpc/_health").ok();
    for path in ["/test/panic", "/test/rows?object=agent&name=a", "/test/evict?object=agent&name=a"] {
        assert_eq!(world.client().path(path).status, 404, "{path}");
    }
}

/// Turns are run behind the answers of those who wait for them, so this is where a write would panic.
#[test]
fn a_panic_behind_an_answer_undoes_its_write_and_the_next_call_succeeds() {
    let world = World::start();
    let client = world.client();
    let _ = agent(&client, "note", "behind").ok();
    for round in 1..=3 {
        let _ = agent(&client, "panic-behind", "behind").ok();
        let end = Instant::now() + LOGGED;
        while world.log().matches("a test panics in the work behind an answer").count() < round {
            assert!(Instant::now() < end, "it did not panic");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(notes(&client, "behind"), 1);
    }
}

/// Whatever a request waits for when the instance dies (an object, the directory, a turn of others), it is told.
#[test]
fn everybody_on_the_way_when_the_instance_dies_is_answered() {
    const CLIENTS: usize = 8;
    const PANICS: usize = 24;
    let world = World::start();
    let account = world.account("busy");
    let client = world.client().with_token(&account.access);
    let record = json!({ "$type": "com.example.note", "text": "a note" });
    let create = json!({ "repo": account.did, "collection": "com.example.note", "record": record });
    let over = AtomicBool::new(false);
    let answers: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, create, account, over) = (&client, &create, &account, &over);
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        let answer = match number % 4 {
                            0 => client.post("com.atproto.repo.createRecord", create),
                            1 => client
                                .get("com.atproto.identity.resolveHandle", &[("handle", &account.handle)]),
                            2 => client.get("com.atproto.server.getSession", &[]),
                            _ => client.get(
                                "com.atproto.repo.listRecords",
                                &[("repo", &account.did), ("collection", "com.example.note")],
                            ),
                        };
                        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
                        if answer.status != 200 {
                            is_internal_error(&answer);
                        }
                        seen.push(answer.status);
                    }
                    seen
                })
            })
            .collect();
        for round in 0..PANICS {
            let path = if round % 2 == 0 { "/test/panic".to_owned() } else { path("panic", "guilty") };
            is_internal_error(&client.path(&path));
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert!(count(200) > PANICS, "{} were answered", count(200));
    assert!(count(500) < count(200), "{} faults among {} answers", count(500), answers.len());
}
