//! The keys of agents of other hosts: proven by their repositories, going on from what was seen, and kept while a host is away.

use std::cell::Cell;

use murmuration_client::{Custody, Entropy};
use murmuration_platform::Store;
use serde_json::{Value, json};

use crate::world::agents::texts;
use crate::world::block_on;
use crate::world::hosts::{Hosts, Weather};

struct Seed(Cell<u8>);

impl Entropy for Seed {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        buffer.fill(self.0.get());
    }
}

fn hosts() -> Hosts {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    hosts.there.say_of(&hosts.bob, &hosts.alice.did, "allowed");
    hosts
}

fn send(hosts: &Hosts, text: &str, more: &Value) -> (u16, Value) {
    let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": text } });
    let mut input = json!({ "record": record, "to": [hosts.bob.did] });
    for (name, value) in more.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    hosts.here.call(&hosts.alice, "sendMessage", &input)
}

/// Rows of an agent here about agents of other hosts.
fn peers(hosts: &Hosts) -> Vec<(String, i64)> {
    let rows = hosts.here.objects.store(&hosts.alice.did).query("SELECT did, proven_at FROM peer", &[]);
    rows.unwrap().into_iter().map(|mut row| (row.text(0).unwrap(), row.int(1).unwrap())).collect()
}

/// Bob's repository without the keys that it had, or with others.
fn bob_has_other_keys(hosts: &Hosts) -> Custody {
    let store = hosts.there.objects.store(&hosts.bob.did);
    store.query("DELETE FROM key_epoch", &[]).unwrap();
    hosts.there.objects.crash(&hosts.bob.did);
    let path = json!({ "repo": hosts.bob.did, "collection": "agent.identity.keys", "rkey": "self" });
    let (code, answer) = hosts.there.post_as(Some(&hosts.bob.token), "com.atproto.repo.deleteRecord", &path);
    assert_eq!(code, 200, "{answer}");
    Custody::create(&hosts.bob.did, &Seed(Cell::new(9)), hosts.there.now_millis() * 1_000).unwrap()
}

#[test]
fn keys_are_taken_from_the_signed_repository_alone() {
    let hosts = hosts();
    hosts.weather.set(Weather::Forging);
    let (code, answer) = send(&hosts, "one", &json!({}));
    assert_eq!((code, &answer["error"]), (502, &json!("UpstreamFailure")), "{answer}");
    assert_eq!(peers(&hosts), []);
    hosts.weather.set(Weather::Fine);
    assert_eq!(send(&hosts, "two", &json!({})).1["receipts"][0]["state"], "delivered");
    let asked = hosts.here.network.asked.borrow();
    assert!(asked.iter().any(|asked| asked.url.contains("com.atproto.sync.getRecord")));
    assert!(!asked.iter().any(|asked| asked.url.contains("com.atproto.repo.getRecord")));
}

#[test]
fn keys_are_asked_for_once_in_ten_minutes_and_noted_once_in_six_hours() {
    let hosts = hosts();
    let asked = || {
        let asked = hosts.here.network.asked.borrow();
        asked.iter().filter(|asked| asked.url.contains("sync.getRecord")).count()
    };
    for _ in 0..3 {
        assert_eq!(send(&hosts, "hello", &json!({})).0, 200);
    }
    let first = peers(&hosts);
    assert_eq!((asked(), first.len(), &first[0].0), (1, 1, &hosts.bob.did.to_string()));
    hosts.pass_minutes(11);
    assert_eq!(send(&hosts, "hello", &json!({})).0, 200);
    assert_eq!((asked(), peers(&hosts)), (2, first.clone()));
    // New keys are noted at once.
    let header = format!("Bearer {}", hosts.bob.token);
    assert_eq!(hosts.there.ask("agent.identity.rotateKeys", Some(&header), &[], &json!({})).0, 200);
    hosts.pass_minutes(11);
    assert_eq!(send(&hosts, "hello", &json!({})).0, 200);
    assert_ne!(peers(&hosts), first);
    assert_eq!(texts(&hosts.there.claim(&hosts.bob)), ["hello"; 5]);
}

#[test]
fn keys_that_do_not_go_on_from_those_that_were_seen_are_refused_until_the_agent_takes_them() {
    let hosts = hosts();
    assert_eq!(send(&hosts, "before", &json!({})).0, 200);
    let others = bob_has_other_keys(&hosts);
    hosts.pass_minutes(11);
    let broken = |hosts: &Hosts| {
        let (code, answer) = send(hosts, "secret", &json!({}));
        assert_eq!((code, &answer["error"]), (400, &json!("KeyContinuityBroken")), "{answer}");
    };
    // The repository is proven to hold none.
    broken(&hosts);
    hosts.pass_minutes(11);
    let put = others.put_record();
    let (code, answer) = hosts.there.post_as(Some(&hosts.bob.token), "com.atproto.repo.putRecord", &put);
    assert_eq!(code, 200, "{answer}");
    broken(&hosts);
    hosts.here.objects.crash(&hosts.alice.did);
    broken(&hosts);
    // Another agent of this host decides for itself, and has not seen Bob before.
    let carol = hosts.here.agent("carol");
    hosts.share_the_directory();
    let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": "hi" } });
    let input = json!({ "record": record, "to": [hosts.bob.did] });
    assert_eq!(hosts.here.call(&carol, "sendMessage", &input).0, 200);
    broken(&hosts);

    let (code, answer) = send(&hosts, "taken", &json!({ "acceptNewKeys": true }));
    assert_eq!(code, 200, "{answer}");
    assert_eq!(send(&hosts, "and from then on", &json!({})).0, 200);
}

#[test]
fn a_message_to_an_agent_whose_host_is_away_waits_for_it_sealed_to_its_last_known_keys() {
    let mut hosts = hosts();
    assert_eq!(send(&hosts, "before", &json!({})).0, 200);
    // Right after, Bob rotates, and his host goes away, and the PLC directory with it.
    let header = format!("Bearer {}", hosts.bob.token);
    assert_eq!(hosts.there.ask("agent.identity.rotateKeys", Some(&header), &[], &json!({})).0, 200);
    hosts.weather.set(Weather::Dead);
    hosts.alice_later(9);
    hosts.here.network.plc_is_away.set(true);
    let (code, sent) = send(&hosts, "while you were out", &json!({}));
    assert_eq!((code, &sent["receipts"][0]["state"]), (200, &json!("queued")), "{sent}");

    hosts.here.network.plc_is_away.set(false);
    hosts.weather.set(Weather::Fine);
    hosts.alice_later(2);
    block_on(hosts.here.host().carry_due(&hosts.alice.did)).unwrap();
    assert_eq!(hosts.status(&sent["id"])["state"], "delivered");
    assert_eq!(texts(&hosts.there.claim(&hosts.bob)), ["before", "while you were out"]);

    // Nobody is sealed to whose keys may be gone by the time that it comes.
    hosts.weather.set(Weather::Dead);
    hosts.alice_later(11);
    let (code, answer) = send(&hosts, "too late", &json!({}));
    assert_eq!((code, &answer["error"]), (502, &json!("UpstreamFailure")), "{answer}");
    // And of whom nothing was seen, nothing is known.
    let dora = hosts.there_agent("dora");
    let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": "hi" } });
    let input = json!({ "record": record, "to": [dora.did] });
    assert_eq!(hosts.here.call(&hosts.alice, "sendMessage", &input).0, 502);
}
