//! What the queue gives up: it comes through the dead-letter queue, and its sender is told that it has failed.

use std::time::{Duration, Instant};

use murmuration_tests::{Agent, Reply, Setup, StandIn, message, pause};
use serde_json::json;
use xtask::config::Queue;

#[test]
fn a_message_whose_tries_are_used_up_fails_through_the_dead_letter_queue() {
    // A host that is always busy, and a queue that brings a ticket twice.
    let far = StandIn::start(|_| Reply::Answer(503, Vec::new(), Vec::new()));
    let service =
        json!({ "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": far.url() });
    let document = json!({ "id": far.did(), "service": [service] });
    far.script(move |noted| match noted.path.as_str() {
        "/.well-known/did.json" => Reply::json(200, &document),
        _ => Reply::Answer(503, Vec::new(), Vec::new()),
    });
    let world = Setup::new().plain().queue(Queue::Bundled { retries: 1 }).start();
    let alice = Agent::new(&world, "alice");
    let body = json!({ "record": message("x"), "to": [far.did()], "privacy": "public" });
    let sent = alice.call("sendMessage", &body);
    assert_eq!(sent["receipts"][0]["state"], "queued", "{sent}");
    let patience = Instant::now() + Duration::from_secs(45);
    let mut receipt = alice.status(&sent);
    while receipt["state"] == "queued" {
        assert!(Instant::now() < patience, "{receipt}");
        pause(100);
        receipt = alice.status(&sent);
    }
    // The alarm would have tried for three days: it was the queue that gave it up, and what is given up is not tried any more.
    assert_eq!((&receipt["state"], &receipt["attempts"]), (&"failed".into(), &3.into()), "{receipt}");
    let brought = far.take().iter().filter(|noted| noted.path.ends_with("agent.comms.deliver")).count();
    assert_eq!(brought, 3, "at once, and by the ticket twice");
}
