//! Handles and DIDs, resolved over a network of canned answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod fake;

use fake::{Hands, Network, block_on};
use murmuration_bridge::resolver::{Cache, Purpose, Sources};
use murmuration_bridge::{BridgeError, Document, Resolver, handle};
use murmuration_syntax::{AtIdentifier, Did, Handle};

const PLC: &str = "https://plc.example";
const DOH: &str = "https://dns.example/query";
const ALICE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const BOB: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const KEY: &str = "did:key:zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1";
const MINUTE: u64 = 60 * 1_000_000;
const HOUR: u64 = 60 * MINUTE;

fn did(text: &str) -> Did {
    Did::parse(text).unwrap()
}

fn name(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

fn dns_url(handle: &str) -> String {
    format!("{DOH}?name=_atproto.{handle}&type=TXT")
}

fn file_url(handle: &str) -> String {
    format!("https://{handle}/.well-known/atproto-did")
}

fn txt(records: &[&str]) -> String {
    let records: Vec<_> = records
        .iter()
        .map(|data| serde_json::json!({ "name": "x", "type": 16, "TTL": 300, "data": format!("\"{data}\"") }))
        .collect();
    serde_json::json!({ "Status": 0, "Answer": records }).to_string()
}

const NO_SUCH_NAME: &str = r#"{"Status":3}"#;

fn resolve(network: &Network, handle: &str) -> Result<Did, BridgeError> {
    block_on(handle::resolve(network, DOH, &name(handle)))
}

#[test]
fn a_handle_resolves_over_dns() {
    let network = Network::default();
    let record = format!("did={ALICE}");
    network.get(&dns_url("alice.example.com"), 200, txt(&["v=spf1", &record, &record]));
    assert_eq!(resolve(&network, "alice.example.com").unwrap(), did(ALICE));
    assert_eq!(network.times_asked(), 1);
}

#[test]
fn a_handle_resolves_over_https_when_dns_has_nothing() {
    let network = Network::default();
    network.get(&file_url("alice.example.com"), 200, format!("{ALICE}\n"));
    for nothing in [NO_SUCH_NAME, r#"{"Status":0}"#, &txt(&["v=spf1"])] {
        network.get(&dns_url("alice.example.com"), 200, nothing);
        assert_eq!(resolve(&network, "alice.example.com").unwrap(), did(ALICE));
    }
    // A broken name server is no reason to give up either.
    network.get(&dns_url("alice.example.com"), 200, r#"{"Status":2}"#);
    assert_eq!(resolve(&network, "alice.example.com").unwrap(), did(ALICE));
}

#[test]
fn several_dids_in_dns_are_an_error_and_https_is_not_asked() {
    let network = Network::default();
    network.get(&file_url("alice.example.com"), 200, ALICE);
    let both = [format!("did={ALICE}"), format!("did={BOB}")];
    network.get(&dns_url("alice.example.com"), 200, txt(&[&both[0], &both[1]]));
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::HandleAmbiguous)));
    network.get(&dns_url("alice.example.com"), 200, txt(&[&both[0], "did=nonsense"]));
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::HandleAmbiguous)));
    assert_eq!(network.times_asked(), 2);
}

#[test]
fn an_absence_is_not_taken_for_a_failure_nor_a_failure_for_an_absence() {
    let network = Network::default();
    network.get(&dns_url("alice.example.com"), 200, NO_SUCH_NAME);
    network.get(&file_url("alice.example.com"), 404, "");
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::HandleNotFound)));
    network.get(&file_url("alice.example.com"), 200, "<html>home</html>");
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::HandleNotFound)));
    network.get(&file_url("alice.example.com"), 302, "");
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::Status { status: 302, .. })));
    network.cut(&file_url("alice.example.com"));
    assert!(resolve(&network, "alice.example.com").unwrap_err().is_transient());
    network.get(&file_url("alice.example.com"), 404, "");
    network.cut(&dns_url("alice.example.com"));
    assert!(resolve(&network, "alice.example.com").unwrap_err().is_transient());
}

#[test]
fn a_name_that_is_not_on_the_public_network_is_not_asked_for() {
    let network = Network::default();
    for handle in ["alice.local", "alice.internal", "handle.invalid", "alice.onion"] {
        assert!(matches!(resolve(&network, handle), Err(BridgeError::HandleNotFound)), "{handle}");
    }
    assert_eq!(network.times_asked(), 0);
}

#[test]
fn an_oversized_answer_is_an_error() {
    let network = Network::default();
    network.get(&dns_url("alice.example.com"), 200, NO_SUCH_NAME);
    network.get(&file_url("alice.example.com"), 200, "x".repeat(1_000_000));
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::Outbound(_))));
}

/// A world in which Alice is at home.
struct World {
    network: Network,
    clock: Hands,
    cache: Cache,
}

impl World {
    fn new() -> Self {
        let world = Self { network: Network::default(), clock: Hands::default(), cache: Cache::default() };
        world.clock.0.set(100 * HOUR);
        world.publish("alice.example.com");
        world.network.get(&dns_url("alice.example.com"), 200, txt(&[&format!("did={ALICE}")]));
        world
    }

    fn publish(&self, handle: &str) {
        let document = Document::atproto(&did(ALICE), &name(handle), KEY, "https://pds.example");
        self.network.get(&format!("{PLC}/{ALICE}"), 200, document.json().to_string());
    }

    fn plc_is_away(&self) {
        self.network.cut(&format!("{PLC}/{ALICE}"));
    }

    fn pass(&self, micros: u64) {
        self.clock.0.set(self.clock.0.get() + micros);
    }

    fn resolver(&self) -> Resolver<'_> {
        let sources = Sources { plc_url: PLC, doh_url: DOH, allow_localhost: true };
        Resolver::new(&self.cache, sources, &self.network, &self.clock)
    }

    fn document(&self, purpose: Purpose) -> Result<String, BridgeError> {
        let document = block_on(self.resolver().document(&did(ALICE), purpose))?;
        Ok(document.handle().unwrap().to_string())
    }
}

#[test]
fn a_fresh_document_is_not_fetched_again() {
    let world = World::new();
    world.document(Purpose::Authentication).unwrap();
    world.pass(10 * MINUTE);
    world.document(Purpose::Authentication).unwrap();
    world.document(Purpose::Display).unwrap();
    assert_eq!(world.network.times_asked(), 1);
    world.pass(1);
    world.document(Purpose::Authentication).unwrap();
    assert_eq!(world.network.times_asked(), 2);
    world.document(Purpose::Refresh).unwrap();
    world.pass(HOUR);
    world.document(Purpose::Display).unwrap();
    assert_eq!(world.network.times_asked(), 3);
    world.pass(1);
    world.document(Purpose::Display).unwrap();
    assert_eq!(world.network.times_asked(), 4);
}

#[test]
fn an_old_document_is_shown_for_a_day_but_decides_nothing() {
    let world = World::new();
    world.document(Purpose::Display).unwrap();
    world.plc_is_away();
    world.pass(10 * MINUTE);
    assert!(world.document(Purpose::Authentication).is_ok());
    world.pass(HOUR);
    assert!(world.document(Purpose::Authentication).unwrap_err().is_transient());
    assert!(world.document(Purpose::Refresh).unwrap_err().is_transient());
    assert!(world.document(Purpose::Display).is_ok());
    world.clock.0.set(124 * HOUR);
    assert!(world.document(Purpose::Display).is_ok());
    world.pass(1);
    assert!(world.document(Purpose::Display).unwrap_err().is_transient());
}

#[test]
fn a_tombstone_empties_the_cache() {
    let world = World::new();
    world.document(Purpose::Display).unwrap();
    world.network.get(&format!("{PLC}/{ALICE}"), 404, r#"{"message":"DID not available"}"#);
    assert!(world.document(Purpose::Display).is_ok());
    assert!(matches!(world.document(Purpose::Refresh), Err(BridgeError::DidNotFound(_))));
    assert!(matches!(world.document(Purpose::Display), Err(BridgeError::DidNotFound(_))));
}

#[test]
fn a_clock_that_steps_back_makes_every_answer_old() {
    let world = World::new();
    world.document(Purpose::Display).unwrap();
    world.clock.0.set(99 * HOUR);
    world.plc_is_away();
    assert!(world.document(Purpose::Authentication).is_err());
    assert!(world.document(Purpose::Display).is_err());
}

#[test]
fn a_document_of_another_did_poisons_nothing() {
    let world = World::new();
    let other = Document::atproto(&did(BOB), &name("bob.example.com"), KEY, "https://pds.example");
    world.network.get(&format!("{PLC}/{ALICE}"), 200, other.json().to_string());
    assert!(matches!(world.document(Purpose::Display), Err(BridgeError::Document(_))));
    world.publish("alice.example.com");
    assert_eq!(world.document(Purpose::Display).unwrap(), "alice.example.com");
}

#[test]
fn an_identity_is_verified_in_both_directions() {
    let world = World::new();
    let identity = |name: &str| {
        block_on(world.resolver().identity(&AtIdentifier::parse(name).unwrap(), Purpose::Refresh))
    };
    assert_eq!(identity(ALICE).unwrap().handle, Some(name("alice.example.com")));
    let by_handle = identity("alice.example.com").unwrap();
    assert_eq!((by_handle.document.did(), by_handle.handle), (&did(ALICE), Some(name("alice.example.com"))));
    // The document claims another name, which is somebody else's.
    world.publish("bob.example.com");
    world.network.get(&dns_url("bob.example.com"), 200, txt(&[&format!("did={BOB}")]));
    assert_eq!(identity(ALICE).unwrap().handle, None);
    assert_eq!(identity("alice.example.com").unwrap().handle, None);
    // Or one that does not resolve at all.
    world.publish("nobody.example.com");
    assert_eq!(identity(ALICE).unwrap().handle, None);
}

#[test]
fn a_did_web_is_fetched_from_its_host_without_following_a_redirect() {
    let world = World::new();
    let web = did("did:web:agent.example.com");
    let url = "https://agent.example.com/.well-known/did.json";
    let document = Document::atproto(&web, &name("agent.example.com"), KEY, "https://pds.example");
    world.network.get(url, 301, "");
    let resolve = || block_on(world.resolver().document(&web, Purpose::Refresh));
    assert!(matches!(resolve(), Err(BridgeError::Status { status: 301, .. })));
    world.network.get(url, 200, document.json().to_string());
    assert_eq!(*resolve().unwrap(), document);
}

#[test]
fn other_methods_are_not_resolved() {
    let world = World::new();
    for text in ["did:key:zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1", "did:ion:abc"] {
        let resolved = block_on(world.resolver().document(&did(text), Purpose::Display));
        assert!(matches!(resolved, Err(BridgeError::UnsupportedMethod(_))));
    }
    assert_eq!(world.network.times_asked(), 0);
}

#[test]
fn what_one_name_claims_poisons_no_other() {
    let world = World::new();
    let identity = |name: &str, purpose| {
        block_on(world.resolver().identity(&AtIdentifier::parse(name).unwrap(), purpose)).unwrap()
    };
    assert_eq!(identity("alice.example.com", Purpose::Display).handle, Some(name("alice.example.com")));
    // Bob's name leads to Alice, and Bob's own document claims hers.
    world.network.get(&dns_url("bob.example.com"), 200, txt(&[&format!("did={ALICE}")]));
    let document = Document::atproto(&did(BOB), &name("alice.example.com"), KEY, "https://evil.example");
    world.network.get(&format!("{PLC}/{BOB}"), 200, document.json().to_string());
    for purpose in [Purpose::Refresh, Purpose::Display, Purpose::Authentication] {
        assert_eq!(identity("bob.example.com", purpose).handle, Some(name("alice.example.com")));
        assert_eq!(identity("bob.example.com", purpose).document.did(), &did(ALICE));
        assert_eq!(identity(BOB, purpose).handle, None);
        assert_eq!(identity("alice.example.com", purpose).document.did(), &did(ALICE));
    }
}

#[test]
fn a_document_of_a_megabyte_is_not_read() {
    let world = World::new();
    let mut json =
        Document::atproto(&did(ALICE), &name("alice.example.com"), KEY, "https://pds.example").json().clone();
    json["service"][0]["note"] = "x".repeat(1_000_000).into();
    world.network.get(&format!("{PLC}/{ALICE}"), 200, json.to_string());
    assert!(matches!(world.document(Purpose::Display), Err(BridgeError::Outbound(_))));
}
