//! Agents that keep their keys to themselves: the host stores what they publish and what was sealed, and has no secret.

use std::cell::Cell;

use murmuration_client::{Binding, Custody, Did, Entropy, Peer, Tid};
use murmuration_platform::Store;
use serde_json::{Value, json};

use crate::world;
use crate::world::World;
use crate::world::alice::Alice;

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

/// An agent whose keys its host never has, from the call that makes it.
fn made<'a>(world: &'a World, name: &str, entropy: &Counter) -> Agent<'a> {
    let (code, answer) = world.make_agent(name, &json!({ "custody": "client" }));
    assert_eq!(code, 200, "{answer}");
    let did = world::did(&answer["did"]);
    let token = answer["accessJwt"].as_str().unwrap();
    Agent::new(world, &did, token, entropy)
}

impl Agent<'_> {
    /// The answer of a method of `agent.comms`.
    fn comms(&self, method: &str, input: &Value) -> Value {
        let (code, answer) = self.post(&format!("agent.comms.{method}"), input);
        assert_eq!(code, 200, "{method}: {answer}");
        answer
    }

    /// Sends a sealed message, and answers with what went to the host.
    fn tell(&self, id: u64, to: &[&Agent<'_>], text: &str, entropy: &Counter) -> Value {
        let peers: Vec<Peer> = to.iter().map(|agent| agent.peer()).collect();
        let peers: Vec<&Peer> = peers.iter().collect();
        let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": text }, "priority": 4 });
        let id = Tid::from_parts(now(self.world) + id, 1);
        self.custody.send_message(id, &record, &peers, entropy, now(self.world)).unwrap()
    }

    /// The texts of what is in the inbox, opened here.
    fn claimed(&self, from: &Agent<'_>) -> Vec<String> {
        let claimed = self.comms("claimMessages", &json!({}));
        let items = claimed["items"].as_array().unwrap();
        let done: Vec<Value> =
            items.iter().map(|item| json!({ "leaseId": item["leaseId"], "outcome": "done" })).collect();
        self.comms("ackMessages", &json!({ "results": done }));
        items
            .iter()
            .map(|item| {
                assert!(item.get("record").is_none(), "the host has opened it");
                let record =
                    self.custody.open_message(&item["parcel"], &from.did, &from.signing_key()).unwrap();
                record["content"]["text"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// The key at `#atproto` of its document.
    fn signing_key(&self) -> String {
        self.world.network.state(&self.did).unwrap().verification_methods["atproto"].clone()
    }

    /// The key to seal to that its document names.
    fn named_key(&self) -> Option<String> {
        self.world.network.state(&self.did).unwrap().verification_methods.get("agent_enc").cloned()
    }
}

#[test]
fn agents_with_keys_of_their_own_write_each_other_and_their_host_learns_nothing() {
    let (world, entropy) = (World::new(), Counter(Cell::new(7)));
    let (mut alice, bob) = (made(&world, "alice", &entropy), made(&world, "bob", &entropy));
    entropy.0.set(entropy.0.get() + 1);
    let query = [("agent", alice.did.as_str())];
    assert_eq!(world.ask("agent.identity.getKeys", None, &query, &Value::Null).1["error"], "NoKeys");
    for agent in [&alice, &bob] {
        assert_eq!(agent.named_key(), None);
        assert_eq!(agent.publish().0, 200);
        let (code, answer) = agent.post("agent.identity.createAlias", &Value::Null);
        assert_eq!(code, 200, "{answer}");
        let key = agent.keys()["epochs"][0]["agreementKey"].as_str().unwrap().to_owned();
        assert_eq!(agent.named_key(), Some(format!("did:key:{key}")));
        let (code, page) = world.alias_page(answer["alias"].as_str().unwrap());
        assert_eq!((code, &page["verificationMethod"][1]["publicKeyMultibase"]), (200, &json!(key)));
    }

    let marker = std::str::from_utf8(MARKER).unwrap();
    let first = alice.tell(1, &[&bob], marker, &entropy);
    let sent = alice.comms("sendMessage", &first);
    assert_eq!(sent["receipts"][0]["state"], "delivered");
    assert_eq!(alice.comms("sendMessage", &first)["cid"], sent["cid"], "the same again is done once");
    assert_eq!(bob.claimed(&alice), [marker]);

    // After a rotation of the reader's, and of the sender's.
    let seen = alice.peer().seen();
    world.pass_minutes(1);
    alice.custody.rotate(Some("scheduled"), &entropy, now(&world)).unwrap();
    assert_eq!(alice.publish().0, 200);
    assert!(Peer::read(&alice.did, &alice.keys(), Some(&seen)).is_ok());
    let second = bob.tell(2, &[&alice], "an answer, also a canary", &entropy);
    bob.comms("sendMessage", &second);
    assert_eq!(alice.claimed(&bob), ["an answer, also a canary"]);
    let third = alice.tell(3, &[&bob], "and another canary", &entropy);
    alice.comms("sendMessage", &third);
    assert_eq!(bob.claimed(&alice), ["and another canary"]);
    // What was sent reads back, too.
    let threads = world.ask("agent.comms.listThreads", Some(&alice.header), &[], &Value::Null).1;
    let thread = threads["threads"][0]["id"].as_str().unwrap();
    let page = world.ask("agent.comms.getThread", Some(&alice.header), &[("thread", thread)], &Value::Null).1;
    let own = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["parcel"]["header"]["id"] == first["parcel"]["id"]);
    let own = alice.custody.open_message(&own.unwrap()["parcel"], &alice.did, &alice.signing_key()).unwrap();
    assert_eq!(own["content"]["text"], marker);

    // Nothing that went in, and nothing that is kept, has a text or a secret in it.
    let mut hidden = [alice.secrets(), bob.secrets()].concat();
    hidden.extend([MARKER.to_vec(), b"canary".to_vec()]);
    let mut host = world.everything();
    host.extend([first, second, third].map(|input| input.to_string().into_bytes()));
    for secret in &hidden {
        assert!(!host.iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret)));
    }
}

#[test]
fn a_host_that_has_no_keys_says_so_and_begins_none() {
    let (world, entropy) = (World::new(), Counter(Cell::new(7)));
    let (alice, carol) = (made(&world, "alice", &entropy), world.agent("carol"));
    let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": "x" } });
    let to_carol = json!({ "record": record, "to": [carol.did] });
    let send = |input: &Value| alice.post("agent.comms.sendMessage", input).1["error"].clone();
    // Nobody seals to her before she publishes keys, and the host does not make any for her, whoever asks.
    let (code, answer) = world.call(&carol, "sendMessage", &json!({ "record": record, "to": [alice.did] }));
    assert_eq!((code, &answer["error"]), (400, &json!("NoRecipientKey")));
    for published in [false, true] {
        if published {
            assert_eq!(alice.publish().0, 200);
        }
        assert_eq!(send(&to_carol), "ClientCustody");
        let (code, answer) = alice.post("agent.identity.rotateKeys", &json!({}));
        assert_eq!((code, &answer["error"]), (400, &json!("ClientCustody")), "{answer}");
        let (code, answer) = alice.post("agent.identity.createAlias", &Value::Null);
        assert_eq!(code, 200, "{answer}");
        let kept = world.objects.store(&alice.did).query("SELECT epoch FROM key_epoch", &[]).unwrap();
        assert_eq!(kept.len(), 0);
    }
    // What she gets is kept for her as it is.
    let (code, answer) = world.call(&carol, "sendMessage", &json!({ "record": record, "to": [alice.did] }));
    assert_eq!((code, &answer["receipts"][0]["state"]), (200, &json!("delivered")));
    let listed = world.ask("agent.comms.listInbox", Some(&alice.header), &[], &Value::Null).1;
    assert!(listed["items"][0].get("record").is_none());
    assert_eq!(world.make_agent("dora", &json!({ "custody": "mine" })).1["error"], "InvalidRequest");
    let both = json!({ "custody": "client", "profile": { "custody": "hosted" } });
    assert_eq!(world.make_agent("dora", &both).1["error"], "InvalidRequest");
}

#[test]
fn a_parcel_is_looked_at_from_outside() {
    let (world, entropy) = (World::new(), Counter(Cell::new(7)));
    let (mut alice, bob) = (made(&world, "alice", &entropy), made(&world, "bob", &entropy));
    let carol = world.agent("carol");
    for agent in [&alice, &bob] {
        assert_eq!(agent.publish().0, 200);
    }
    let good = alice.tell(1, &[&bob], "x", &entropy);
    let changed = |at: &str, value: Value| {
        let mut input = good.clone();
        *input.pointer_mut(at).unwrap() = value;
        input
    };
    let mut both = good.clone();
    both["record"] = json!({ "$type": "agent.comms.message" });
    let mut public = good.clone();
    public["privacy"] = json!("public");
    for (input, error) in [
        (both, "InvalidRequest"),
        (json!({ "to": [bob.did] }), "InvalidRequest"),
        (public, "InvalidRecord"),
        (changed("/to/0", json!(carol.did)), "InvalidParcel"),
        (changed("/parcel/type", json!("com.example.letter")), "InvalidRecord"),
        (changed("/parcel/body/epoch", json!(2)), "InvalidRecord"),
        (changed("/parcel/priority", json!(9)), "InvalidRequest"),
        (changed("/parcel/body/recipients", json!([])), "InvalidParcel"),
    ] {
        let (code, answer) = alice.post("agent.comms.sendMessage", &input);
        assert_eq!((code, &answer["error"]), (400, &json!(error)), "{input}: {answer}");
    }
    // For somebody whose keys the host keeps it seals itself.
    let (code, answer) = world.call(&carol, "sendMessage", &good);
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRecord")), "{answer}");
    assert_eq!(alice.post("agent.comms.sendMessage", &good).0, 200);
    // Under an epoch that has ended, no more.
    world.pass_minutes(1);
    let late = alice.tell(2, &[&bob], "x", &entropy);
    alice.custody.rotate(None, &entropy, now(&world)).unwrap();
    assert_eq!(alice.publish().0, 200);
    assert_eq!(alice.post("agent.comms.sendMessage", &late).1["error"], "InvalidRecord");

    // A parcel that another key has signed, or that says it is another's, is not opened.
    let claimed = bob.comms("claimMessages", &json!({}));
    let parcel = &claimed["items"][0]["parcel"];
    let open = |did: &Did, key: &str| bob.custody.open_message(parcel, did, key);
    assert!(open(&alice.did, &alice.signing_key()).is_ok());
    assert!(open(&alice.did, &bob.signing_key()).is_err());
    assert!(open(&bob.did, &bob.signing_key()).is_err());
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
    assert_eq!((code, &answer["error"]), (400, &json!("ClientCustody")), "{answer}");
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
