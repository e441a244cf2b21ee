//! Webhooks on the real runtime: signed, retried over restarts, nobody else's, and their secrets sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use murmuration_data::json;
use murmuration_lexicons::{Catalog, output};
use murmuration_relay::limits::HOOK_TIMEOUT_MS;
use murmuration_tests::{Account, Client, Noted, Reply, Search, StandIn, World, pause};
use serde_json::{Value, json as object};
use sha2::Sha256;

fn client(world: &World, account: &Account) -> Client {
    world.client().with_token(&account.access)
}

fn checked(nsid: &str, answer: Value) -> Value {
    output(Catalog::builtin(), nsid, &json::from_value(&answer).unwrap()).unwrap();
    answer
}

fn note(world: &World, account: &Account, text: &str) {
    let record = object!({ "$type": "com.example.note", "text": text });
    let body = object!({ "repo": account.did, "collection": "com.example.note", "record": record });
    let _ = client(world, account).post("com.atproto.repo.createRecord", &body).ok();
}

/// Waits until the receiver has been sent so many messages.
fn messages(receiver: &StandIn, count: usize) -> Vec<Noted> {
    let patience = Instant::now() + Duration::from_secs(40);
    let mut noted = receiver.take();
    while noted.len() < count {
        assert!(Instant::now() < patience, "{} of {count} messages", noted.len());
        pause(100);
        noted.extend(receiver.take());
    }
    noted
}

/// The texts of the notes in a message whose signature holds.
fn texts(noted: &Noted, secret: &str) -> Vec<String> {
    let header = |name| noted.header(name).unwrap();
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&noted.body);
    let signature = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), signature);
    assert_eq!((noted.method.as_str(), header("content-type")), ("POST", "application/json"));
    let body: Value = serde_json::from_slice(&noted.body).unwrap();
    let events = checked("agent.relay.listEvents", body["data"].clone());
    let text = |event: &Value| event["ops"][0]["record"]["text"].as_str().unwrap_or_default().to_owned();
    events["events"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_webhook_is_sent_what_it_wants_signed_and_again_after_a_crash() {
    let mut world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let receiver = StandIn::start(|_| Reply::Answer(204, Vec::new(), Vec::new()));
    let body = object!({
        "url": format!("{}/hook", receiver.url()),
        "wantedCollections": ["com.example.*"],
        "wantedDids": [alice.did],
        "includeRecords": true,
    });
    let made = client(&world, &bob).post("agent.relay.createWebhook", &body).ok().json();
    let made = checked("agent.relay.createWebhook", made);
    let secret = made["secret"].as_str().unwrap();
    note(&world, &bob, "not wanted");
    note(&world, &alice, "one");
    assert_eq!(texts(&messages(&receiver, 1)[0], secret), ["one"]);
    // It rests at once, and does not wait for what an exchange that is over might have taken.
    let since = Instant::now();
    world.evict("relay", "host");
    note(&world, &alice, "two");
    let two = messages(&receiver, 1).remove(0);
    assert!(since.elapsed() < Duration::from_millis((HOOK_TIMEOUT_MS / 2).into()), "{:?}", since.elapsed());
    assert_eq!((texts(&two, secret), two.path.as_str()), (vec!["two".to_owned()], "/hook"));

    // Nothing is sent for an account that has put itself to rest, until it is active again.
    let _ = client(&world, &bob).post("com.atproto.server.deactivateAccount", &object!({})).ok();
    let state = |world: &World| {
        let list = client(world, &bob).get("agent.relay.listWebhooks", &[]).ok().json();
        checked("agent.relay.listWebhooks", list)["webhooks"][0]["state"].clone()
    };
    let patience = Instant::now() + Duration::from_secs(10);
    while state(&world) != "paused" {
        assert!(Instant::now() < patience);
        pause(20);
    }
    note(&world, &alice, "at rest");
    world.evict("relay", "host");
    pause(300);
    assert!(receiver.take().is_empty());
    let path = "/xrpc/com.atproto.server.activateAccount";
    let _ = client(&world, &bob).send("POST", path, &[], Vec::new()).unwrap().ok();
    assert_eq!(texts(&messages(&receiver, 1)[0], secret), ["at rest"]);

    // It is away for a while, and the host dies.
    receiver.script(|_| Reply::Answer(503, Vec::new(), Vec::new()));
    note(&world, &alice, "three");
    let first = messages(&receiver, 1).remove(0);
    note(&world, &alice, "four");
    receiver.script(|_| Reply::Answer(200, Vec::new(), b"thanks".to_vec()));
    world.kill_9();
    world.restart();
    let again = messages(&receiver, 2);
    assert_eq!(again[0].header("webhook-id"), first.header("webhook-id"));
    let texts: Vec<_> = again.iter().flat_map(|noted| texts(noted, secret)).collect();
    assert_eq!(texts, ["three", "four"]);

    let list = |account| client(&world, account).get("agent.relay.listWebhooks", &[]).ok().json();
    let hook = checked("agent.relay.listWebhooks", list(&bob))["webhooks"][0].clone();
    assert_eq!((&hook["id"], &hook["state"]), (&made["webhook"]["id"], &"active".into()), "{hook}");
    assert_eq!(hook["wantedDids"], object!([alice.did]));
    assert_eq!(list(&alice)["webhooks"], object!([]));
    let delete = |account| {
        client(&world, account).post("agent.relay.deleteWebhook", &object!({ "id": made["webhook"]["id"] }))
    };
    assert_eq!(delete(&alice).json()["error"], "WebhookNotFound");
    let _ = delete(&bob).ok();
    assert_eq!(delete(&bob).json()["error"], "WebhookNotFound");

    world.kill_9();
    let text = secret.strip_prefix("whsec_").unwrap();
    let search =
        Search::new().word("its text", text).bytes("its bytes", &BASE64.decode(text.as_bytes()).unwrap());
    assert_eq!(search.found_below(&world.folder()), BTreeMap::new(), "a secret lies open in the storage");
    assert_eq!(search.found_in(world.log().as_bytes()), BTreeSet::new());
}

#[test]
fn a_webhook_is_sent_the_broadcasts_of_its_topics_and_no_others() {
    let world = World::start();
    let alice = world.account("alice");
    let receivers = [0; 2].map(|_| StandIn::start(|_| Reply::Answer(204, Vec::new(), Vec::new())));
    let topics = [object!(["weather"]), object!(["news", "weather"])];
    for (receiver, topics) in receivers.iter().zip(&topics) {
        let body = object!({ "url": receiver.url(), "wantedTopics": topics, "includeRecords": true });
        let made = client(&world, &alice).post("agent.relay.createWebhook", &body).ok().json();
        assert_eq!(checked("agent.relay.createWebhook", made)["webhook"]["wantedTopics"], *topics);
    }
    for (topic, text) in [
        (Some("news"), "1"),
        (None, "2"),
        (Some("weather"), "3"),
        (Some("weath"), "4"),
        (Some("weather"), "5"),
    ] {
        let content = object!({ "kind": "text", "text": text });
        let mut record = object!({
            "$type": "agent.comms.broadcast", "sender": alice.did, "content": content,
            "createdAt": "2026-01-01T00:00:00Z",
        });
        record.as_object_mut().unwrap().extend(topic.map(|topic| ("topic".to_owned(), topic.into())));
        let body = object!({ "repo": alice.did, "collection": "agent.comms.broadcast", "record": record });
        let _ = client(&world, &alice).post("com.atproto.repo.createRecord", &body).ok();
        // What is wanted lies in the storage while the relay sleeps.
        world.evict("relay", "host");
    }
    for (receiver, expected) in receivers.iter().zip([vec!["3", "5"], vec!["1", "3", "5"]]) {
        let (patience, mut texts) = (Instant::now() + Duration::from_secs(20), Vec::<String>::new());
        // What was sent in a message whose outcome was lost to a sleep comes again, perhaps in a longer one.
        let mut known = BTreeSet::new();
        while texts.len() < expected.len() {
            assert!(Instant::now() < patience, "{texts:?}");
            for noted in receiver.take() {
                let body: Value = serde_json::from_slice(&noted.body).unwrap();
                let events = body["data"]["events"].as_array().unwrap().clone();
                let new = events.iter().filter(|event| known.insert(event["seq"].as_u64()));
                let text =
                    |event: &Value| event["ops"][0]["record"]["content"]["text"].as_str().map(str::to_owned);
                texts.extend(new.filter_map(text));
            }
            pause(50);
        }
        assert_eq!(texts, expected);
    }
}

#[test]
fn a_webhook_is_made_by_an_account_for_a_url_that_may_be_fetched() {
    let world = World::start();
    let alice = world.account("alice");
    let ask = |client: &Client, url: &str| client.post("agent.relay.createWebhook", &object!({ "url": url }));
    let client = client(&world, &alice);
    for url in ["ftp://example.com/", "https://user:pass@example.com/", "file:///etc/passwd"] {
        let answer = ask(&client, url);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"InvalidUrl".into()), "{url}");
    }
    assert_eq!(ask(&world.client(), "https://hook.example.com/").status, 401);
    for count in 0..=10 {
        let answer = ask(&client, &format!("https://hook{count}.example.com/"));
        match count {
            10 => assert_eq!(answer.json()["error"], "QuotaExceeded"),
            _ => assert_eq!(answer.status, 200),
        }
    }
    let token = object!({ "identifier": alice.did, "password": Account::PASSWORD });
    let _ = world.client().post("com.atproto.server.createSession", &token).ok();
    let _ = client.post("com.atproto.server.deactivateAccount", &object!({})).ok();
    assert_eq!(ask(&client, "https://hook.example.com/").json()["error"], "AccountDeactivated");
}
