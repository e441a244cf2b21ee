//! Handles and DIDs, resolved over a network of canned answers.

use murmuration_bridge::plc::{Operation, State};
use murmuration_bridge::resolver::{Cache, Purpose, Sources};
use murmuration_bridge::{AgentKeys, BridgeError, CfDid, Document, Resolver, cf, handle};
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::{Did, Handle};
use serde_json::json;

use crate::fake::{Hands, Network, block_on};

const PLC: &str = "https://plc.example";
const DOH: &str = "https://dns.example/query";
/// Another, which nobody answers for unless a test says so.
const BACKUP: &str = "https://backup.example/query";
/// Whose genesis is that of `log("alice.example.com")`.
const ALICE: &str = "did:plc:ilotyq33g5fhauu3oxtzkzje";
/// And of `log("bob.example.com")`.
const BOB: &str = "did:plc:t5xya6g3skea4hlkeb7rtf6e";
const KEY: &str = "did:key:zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1";
const MINUTE: u64 = 60 * 1_000_000;
const HOUR: u64 = 60 * MINUTE;

fn did(text: &str) -> Did {
    Did::parse(text).unwrap()
}

fn name(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap()
}

/// The log of a DID that began with a handle.
fn log(handle: &str) -> Vec<Operation> {
    let rotation_keys = vec![key().did_key()];
    let state = State::atproto(&name(handle), KEY, "https://pds.example", rotation_keys);
    vec![Operation::genesis(state, &key()).unwrap()]
}

/// The same log, after an operation that changes the state.
fn then(mut log: Vec<Operation>, change: impl FnOnce(State) -> State) -> Vec<Operation> {
    let last = log.last().unwrap();
    log.push(Operation::update(&last.cid(), change(last.state().unwrap()), &key()).unwrap());
    log
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
    block_on(handle::resolve(network, &[DOH.to_owned(), BACKUP.to_owned()], &name(handle)))
}

/// What the second resolver has.
fn backup_url(handle: &str) -> String {
    format!("{BACKUP}?name=_atproto.{handle}&type=TXT")
}

#[test]
fn the_other_resolvers_are_asked_when_the_first_and_the_host_have_nothing() {
    let network = Network::default();
    network.get(&backup_url("alice.example.com"), 200, txt(&[&format!("did={ALICE}")]));
    network.get(&file_url("alice.example.com"), 404, "");
    network.get(&dns_url("alice.example.com"), 200, NO_SUCH_NAME);
    assert_eq!(resolve(&network, "alice.example.com").unwrap(), did(ALICE));
    assert_eq!(network.times_asked(), 3, "last of all");
    network.cut(&dns_url("alice.example.com"));
    network.cut(&file_url("alice.example.com"));
    assert_eq!(resolve(&network, "alice.example.com").unwrap(), did(ALICE));

    // The host's own word comes first, and nobody is asked behind it.
    network.get(&file_url("alice.example.com"), 200, BOB);
    assert_eq!(resolve(&network, "alice.example.com").unwrap(), did(BOB));
    assert_eq!(network.times_asked(), 8);
    // One that answers is enough to know that there is none.
    network.get(&file_url("alice.example.com"), 404, "");
    network.get(&backup_url("alice.example.com"), 200, NO_SUCH_NAME);
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::HandleNotFound)));
    let both = [format!("did={ALICE}"), format!("did={BOB}")];
    network.get(&backup_url("alice.example.com"), 200, txt(&[&both[0], &both[1]]));
    assert!(matches!(resolve(&network, "alice.example.com"), Err(BridgeError::HandleAmbiguous)));
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
    resolvers: [String; 1],
}

impl World {
    fn new() -> Self {
        let (network, clock, cache) = <(Network, Hands, Cache)>::default();
        let world = Self { network, clock, cache, resolvers: [DOH.to_owned()] };
        world.clock.0.set(100 * HOUR);
        world.publish("alice.example.com");
        world.network.get(&dns_url("alice.example.com"), 200, txt(&[&format!("did={ALICE}")]));
        world
    }

    /// Alice goes by a handle.
    fn publish(&self, handle: &str) {
        let log = log("alice.example.com");
        match handle {
            "alice.example.com" => self.publish_log(ALICE, &log),
            _ => self.publish_log(ALICE, &then(log, |state| state.with_handle(&name(handle)))),
        }
    }

    fn publish_log(&self, did: &str, log: &[Operation]) {
        self.network.get(&format!("{PLC}/{did}/log"), 200, serde_json::to_string(log).unwrap());
    }

    fn plc_is_away(&self) {
        self.network.cut(&format!("{PLC}/{ALICE}/log"));
    }

    fn pass(&self, micros: u64) {
        self.clock.0.set(self.clock.0.get() + micros);
    }

    fn resolver(&self) -> Resolver<'_> {
        let sources = Sources { plc_url: PLC, doh_urls: &self.resolvers, allow_localhost: true };
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
    let mut ended = log("alice.example.com");
    ended.push(Operation::tombstone(&ended[0].cid(), &key()).unwrap());
    world.publish_log(ALICE, &ended);
    assert!(world.document(Purpose::Display).is_ok());
    assert!(matches!(world.document(Purpose::Refresh), Err(BridgeError::DidDeactivated(_))));
    assert!(matches!(world.document(Purpose::Display), Err(BridgeError::DidDeactivated(_))));
    world.network.get(&format!("{PLC}/{ALICE}/log"), 404, r#"{"message":"DID not registered"}"#);
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
fn what_the_directory_says_of_a_did_is_verified_and_poisons_nothing() {
    let world = World::new();
    // Somebody else's log; one that somebody else's key goes on with; one without its beginning.
    let mallory = SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap();
    let own = log("alice.example.com");
    let taken = own[0].state().unwrap().with_pds("https://evil.example");
    let forged = Operation::update(&own[0].cid(), taken, &mallory).unwrap();
    let moved = then(own.clone(), |state| state.with_handle(&name("alice.example.org")));
    for log in [log("bob.example.com"), vec![own[0].clone(), forged], moved[1..].to_vec(), Vec::new()] {
        world.publish_log(ALICE, &log);
        let refused = world.document(Purpose::Authentication);
        assert!(
            matches!(refused, Err(BridgeError::Log(_) | BridgeError::Signature | BridgeError::Operation(_))),
            "{refused:?}"
        );
    }
    // What it says of the document itself is not even asked for.
    let evil = Document::atproto(&did(ALICE), &name("alice.example.com"), KEY, "https://evil.example");
    world.network.get(&format!("{PLC}/{ALICE}"), 200, evil.json().to_string());
    world.publish_log(ALICE, &own);
    let document = block_on(world.resolver().document(&did(ALICE), Purpose::Authentication)).unwrap();
    assert_eq!(document.pds().unwrap(), "https://pds.example");
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

const OBJECT: &str = "5ac35a3f62e5d2a21ba9f39d0ee6d8a1c1f2cbb0d7b46fbd5d3b6a7de3a1f009";

fn cf() -> CfDid {
    CfDid::of_object(OBJECT).unwrap()
}

impl World {
    /// Has Alice's document name a did:cf, and a host answer for it.
    fn enrol(&self, pds: &str, stands_for: &str) {
        let named =
            then(log("alice.example.com"), |state| state.with_alias(cf().did().as_str()).with_pds(pds));
        self.publish_log(ALICE, &named);
        self.answer(pds, stands_for);
    }

    fn answer(&self, pds: &str, stands_for: &str) {
        let keys = AgentKeys {
            signing: "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into(),
            agreement: "z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc".into(),
        };
        let document = cf::document(&cf(), &did(stands_for), Some(&keys), pds);
        self.network.get(&format!("{pds}{}", cf().path()), 200, document.json().to_string());
    }

    fn alias(&self, of: &str, purpose: Purpose) -> Result<Option<Did>, BridgeError> {
        let canonical = block_on(self.resolver().document(&did(of), Purpose::Refresh))?;
        let alias = block_on(self.resolver().alias(&canonical, purpose))?;
        Ok(alias.map(|document| document.did().clone()))
    }
}

#[test]
fn an_alias_is_found_by_the_document_that_names_it_and_counts_when_it_names_that_back() {
    let world = World::new();
    assert_eq!(world.alias(ALICE, Purpose::Refresh).unwrap(), None);
    world.enrol("https://pds.example", ALICE);
    assert_eq!(world.alias(ALICE, Purpose::Refresh).unwrap(), Some(cf().did().clone()));
    world.answer("https://pds.example", BOB);
    assert!(matches!(world.alias(ALICE, Purpose::Refresh), Err(BridgeError::AliasNotVerified(_))));
    let gone = |status| {
        world.network.get(&format!("https://pds.example{}", cf().path()), status, "{}");
        world.alias(ALICE, Purpose::Refresh).unwrap_err()
    };
    assert!(matches!(gone(404), BridgeError::AliasNotVerified(_)));
    assert!(matches!(gone(410), BridgeError::DidDeactivated(did) if did == *cf().did()));
    // Alone it says nothing of where to ask.
    let alone = block_on(world.resolver().document(cf().did(), Purpose::Display));
    assert!(matches!(alone, Err(BridgeError::Cf(_))));
}

#[test]
fn an_alias_ages_as_a_document_does() {
    let world = World::new();
    world.enrol("https://pds.example", ALICE);
    world.alias(ALICE, Purpose::Authentication).unwrap();
    world.network.cut(&format!("https://pds.example{}", cf().path()));
    world.pass(10 * MINUTE);
    assert!(world.alias(ALICE, Purpose::Authentication).is_ok());
    world.pass(1);
    assert!(world.alias(ALICE, Purpose::Authentication).unwrap_err().is_transient());
    world.pass(2 * HOUR);
    assert!(world.alias(ALICE, Purpose::Display).is_ok());
    world.pass(24 * HOUR);
    assert!(world.alias(ALICE, Purpose::Display).unwrap_err().is_transient());
}

#[test]
fn who_answers_for_the_alias_of_another_on_a_host_of_their_own_wins_nothing() {
    let world = World::new();
    world.enrol("https://pds.example", ALICE);
    let canonical = |of: &str| block_on(world.resolver().document(&did(of), Purpose::Refresh)).unwrap();
    let claim = then(log("bob.example.com"), |state| {
        state.with_alias(cf().did().as_str()).with_pds("https://evil.example")
    });
    world.publish_log(BOB, &claim);
    world.answer("https://evil.example", BOB);
    // Bob may call himself that. It stays beside his own DID, and Alice's is what it was.
    let of_bob = block_on(world.resolver().alias(&canonical(BOB), Purpose::Refresh)).unwrap().unwrap();
    let of_alice = block_on(world.resolver().alias(&canonical(ALICE), Purpose::Display)).unwrap().unwrap();
    assert_eq!(of_bob.aliases().collect::<Vec<_>>(), [BOB]);
    assert_eq!(of_alice.aliases().collect::<Vec<_>>(), [ALICE]);
    // And when he names hers where it is, the host does not name him.
    let theft = then(log("bob.example.com"), |state| state.with_alias(cf().did().as_str()));
    world.publish_log(BOB, &theft);
    assert!(matches!(world.alias(BOB, Purpose::Refresh), Err(BridgeError::AliasNotVerified(_))));
}

#[test]
fn a_document_of_a_megabyte_is_not_read() {
    let world = World::new();
    let web = did("did:web:agent.example.com");
    let mut json =
        Document::atproto(&web, &name("agent.example.com"), KEY, "https://pds.example").json().clone();
    json["service"][0]["note"] = json!("x".repeat(1_000_000));
    world.network.get("https://agent.example.com/.well-known/did.json", 200, json.to_string());
    let resolved = block_on(world.resolver().document(&web, Purpose::Display));
    assert!(matches!(resolved, Err(BridgeError::Outbound(_))));
    world.network.get(&format!("{PLC}/{ALICE}/log"), 200, format!("[{}]", " ".repeat(1_100_000)));
    assert!(matches!(world.document(Purpose::Refresh), Err(BridgeError::Outbound(_))));
}
