//! Agents that keep their keys to themselves: the host stores what they publish and what was sealed, and has no secret.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::cell::Cell;

use murmuration_client::{Binding, Custody, Entropy, Peer};
use murmuration_syntax::Did;
use serde_json::{Value, json};
use world::World;
use world::alice::Alice;

const MARKER: &[u8] = b"the deploy window is Friday, said the canary";

struct Counter(Cell<u32>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(4) {
            self.0.set(self.0.get().wrapping_mul(2_654_435_761).wrapping_add(12_345));
            chunk.copy_from_slice(&self.0.get().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Somebody with an account here, and keys that are not.
struct Agent<'a> {
    world: &'a World,
    did: Did,
    header: String,
    custody: Custody,
}

impl<'a> Agent<'a> {
    fn new(world: &'a World, did: &Did, token: &str, entropy: &Counter) -> Self {
        let custody = Custody::create(did, entropy, now(world)).unwrap();
        Self { world, did: did.clone(), header: format!("Bearer {token}"), custody }
    }

    fn post(&self, nsid: &str, input: &Value) -> (u16, Value) {
        self.world.ask(nsid, Some(&self.header), &[], input)
    }

    fn publish(&self) -> (u16, Value) {
        self.post("com.atproto.repo.putRecord", &self.custody.put_record())
    }

    /// The agent as somebody sees it who asks its host.
    fn peer(&self) -> Peer {
        Peer::read(&self.did, &self.keys(), None).unwrap()
    }

    fn keys(&self) -> Value {
        let (code, answer) =
            self.world.ask("agent.identity.getKeys", None, &[("agent", self.did.as_str())], &Value::Null);
        assert_eq!(code, 200, "{answer}");
        answer
    }

    fn binding(&self, rkey: &str) -> Binding {
        Binding {
            author: self.did.clone(),
            collection: "com.example.letter".parse().unwrap(),
            rkey: rkey.parse().unwrap(),
            schema: "com.example.letter".parse().unwrap(),
        }
    }

    /// Leaves a letter for somebody at the host.
    fn send(&self, rkey: &str, to: &Peer, entropy: &Counter) {
        let envelope =
            self.custody.seal(&self.binding(rkey), &[to], MARKER, entropy, now(self.world)).unwrap();
        let (code, answer) = self.post(
            "com.atproto.repo.createRecord",
            &json!({
                "repo": self.did, "collection": "com.example.letter", "rkey": rkey,
                "record": { "$type": "com.example.letter", "envelope": envelope },
            }),
        );
        assert_eq!(code, 200, "{answer}");
    }

    /// Reads a letter that somebody has left at the host.
    fn receive(&self, from: &Agent<'_>, rkey: &str) -> Vec<u8> {
        let query = [("repo", from.did.as_str()), ("collection", "com.example.letter"), ("rkey", rkey)];
        let (code, answer) = self.world.ask("com.atproto.repo.getRecord", None, &query, &Value::Null);
        assert_eq!(code, 200, "{answer}");
        self.custody.open(&from.binding(rkey), &answer["value"]["envelope"]).unwrap().to_vec()
    }

    /// Every secret that it has.
    fn secrets(&self) -> Vec<Vec<u8>> {
        let exported = self.custody.export().unwrap();
        let mut secrets = Vec::new();
        for (at, window) in exported.windows(2).enumerate() {
            // A byte string of 128 bytes: the four secrets of an epoch.
            if window == [0x58, 0x80] {
                secrets.extend(exported[at + 2..at + 130].chunks(32).map(<[u8]>::to_vec));
            }
        }
        secrets
    }
}

fn now(world: &World) -> u64 {
    world.now_millis() * 1_000
}

fn two(alice: &Alice, entropy: &Counter) -> (Did, String) {
    let (code, answer) = alice.world.create("bob");
    assert_eq!(code, 200, "{answer}");
    entropy.0.set(entropy.0.get() + 1);
    (world::did(&answer["did"]), answer["accessJwt"].as_str().unwrap().to_owned())
}

#[test]
fn an_agent_with_keys_of_its_own_is_written_to_and_its_host_never_sees_a_secret_or_the_text() {
    let (made, entropy) = (Alice::new(), Counter(Cell::new(7)));
    let (did, token) = two(&made, &entropy);
    let mut alice = Agent::new(&made.world, &made.did, &made.token, &entropy);
    let bob = Agent::new(&made.world, &did, &token, &entropy);
    for agent in [&alice, &bob] {
        let (code, answer) = agent.publish();
        assert_eq!((code, &answer["validationStatus"]), (200, &json!("valid")), "{answer}");
        assert_eq!(agent.keys()["custody"], "client");
    }
    bob.send("one", &alice.peer(), &entropy);
    assert_eq!(alice.receive(&bob, "one"), MARKER);

    // The next epoch: old letters stay readable, new ones go to the new keys.
    let seen = alice.peer().seen();
    made.world.pass_minutes(1);
    alice.custody.rotate(Some("scheduled"), &entropy, now(&made.world)).unwrap();
    assert_eq!(alice.publish().0, 200);
    let peer = Peer::read(&alice.did, &alice.keys(), Some(&seen)).unwrap();
    assert_eq!((seen.epoch(), peer.seen().epoch()), (1, 2));
    bob.send("two", &peer, &entropy);
    let stored = alice.custody.export().unwrap();
    alice.custody = Custody::import(&stored).unwrap();
    assert_eq!(alice.receive(&bob, "one"), MARKER);
    assert_eq!(alice.receive(&bob, "two"), MARKER);
    alice.custody.forget(1);
    assert_eq!(alice.receive(&bob, "two"), MARKER);

    let mut secrets = [alice.secrets(), bob.secrets()].concat();
    assert_eq!(secrets.len(), 8);
    secrets.push(MARKER.to_vec());
    let kept = made.world.everything();
    assert!(kept.iter().any(|bytes| bytes.windows(19).any(|window| window == b"agent.identity.keys")));
    for secret in &secrets {
        let found = kept.iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret));
        assert!(!found, "the host has what it must not have");
    }
}

#[test]
fn a_host_takes_only_keys_that_go_on_from_those_it_has() {
    let (made, entropy) = (Alice::new(), Counter(Cell::new(7)));
    let mut alice = Agent::new(&made.world, &made.did, &made.token, &entropy);
    let first = alice.custody.put_record();
    assert_eq!(alice.publish().0, 200);
    alice.custody.rotate(None, &entropy, now(&made.world) + 1_000).unwrap();
    assert_eq!(alice.publish().0, 200);
    let kept = alice.keys();

    // Rolled back; somebody else's; and made by the host, which has no key to go on from.
    let mut back = first.clone();
    back.as_object_mut().unwrap().remove("swapRecord");
    let mut mallory = Custody::create(&alice.did, &entropy, now(&made.world)).unwrap();
    mallory.rotate(None, &entropy, now(&made.world) + 1_000).unwrap();
    let mut other = mallory.put_record();
    other.as_object_mut().unwrap().remove("swapRecord");
    for input in [back, other] {
        let (code, answer) = alice.post("com.atproto.repo.putRecord", &input);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{answer}");
    }
    let (code, answer) = alice.post("agent.identity.rotateKeys", &json!({}));
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{answer}");
    assert_eq!(alice.keys(), kept);

    // What a dishonest host would serve, a peer that has seen better refuses.
    let seen = alice.peer().seen();
    assert!(Peer::read(&alice.did, &first["record"], Some(&seen)).is_err());
    assert!(Peer::read(&alice.did, &mallory.put_record()["record"], Some(&seen)).is_err());
}

#[test]
fn exported_keys_are_read_whole_or_not_at_all() {
    let (made, entropy) = (Alice::new(), Counter(Cell::new(7)));
    let custody = Custody::create(&made.did, &entropy, now(&made.world)).unwrap();
    let bytes = custody.export().unwrap();
    assert_eq!(Custody::import(&bytes).unwrap().put_record(), custody.put_record());
    for at in (0..bytes.len()).step_by(7) {
        assert!(Custody::import(&bytes[..at]).is_err());
    }
    let other = Custody::create(&made.did, &entropy, now(&made.world)).unwrap().export().unwrap();
    let at = |bytes: &[u8]| bytes.windows(2).position(|window| window == [0x58, 0x80]).unwrap() + 2;
    let mut mixed = bytes.to_vec();
    mixed[at(&bytes)..at(&bytes) + 128].copy_from_slice(&other[at(&other)..at(&other) + 128]);
    assert!(Custody::import(&mixed).is_err());
}
