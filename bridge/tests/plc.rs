//! did:plc against the reference library: `vectors/plc.json`, which `vectors/plc.mjs` makes.

use murmuration_bridge::plc::{AuditEntry, Client, Operation, State, verify, verify_audit, verify_next};
use murmuration_bridge::{BridgeError, Document};
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::{Did, Handle};
use serde_json::Value;

use crate::fake::{Network, block_on};

const PDS: &str = "https://pds.example";

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/plc.json")).unwrap()
}

fn key(name: &str) -> SigningKey {
    let vectors = vectors();
    let entry = &vectors["keys"][name];
    let key = SigningKey::from_hex(Curve::K256, entry["secret"].as_str().unwrap()).unwrap();
    assert_eq!(key.did_key(), entry["did"].as_str().unwrap());
    key
}

fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

fn did(value: &Value) -> Did {
    Did::parse(value.as_str().unwrap()).unwrap()
}

fn new_account(rotation_keys: &[&str]) -> State {
    let keys = rotation_keys.iter().map(|name| key(name).did_key()).collect();
    State::atproto(&handle("alice.test"), &key("repo").did_key(), PDS, keys)
}

fn read(operation: &Value) -> Operation {
    serde_json::from_value(operation.clone()).unwrap()
}

/// Holds an operation against the reference's: JSON, signed bytes, CID and, for a genesis, the DID.
fn assert_same(made: &Operation, name: &str) {
    let wanted = &vectors()["operations"][name];
    assert_eq!(serde_json::to_value(made).unwrap(), wanted["op"], "{name}: JSON");
    let unsigned = data_encoding::HEXLOWER.encode(made.unsigned_cbor());
    assert_eq!(unsigned, wanted["unsigned_cbor"].as_str().unwrap(), "{name}: signed bytes");
    assert_eq!(made.cid().to_string(), wanted["cid"].as_str().unwrap(), "{name}: CID");
    if let Some(did) = wanted["did"].as_str() {
        assert_eq!(made.did().unwrap().as_str(), did, "{name}: DID");
    }
}

#[test]
fn interop_makes_every_operation_byte_for_byte_as_the_reference_does() {
    let server = key("server");
    let created = Operation::genesis(new_account(&["server"]), &server).unwrap();
    assert_same(&created, "created");
    let recoverable = Operation::genesis(new_account(&["recovery", "server"]), &server).unwrap();
    assert_same(&recoverable, "recoverable");

    let state = created.state().unwrap().with_handle(&handle("alice.example.com"));
    let renamed = Operation::update(&created.cid(), state, &server).unwrap();
    assert_same(&renamed, "handle");
    let state = renamed.state().unwrap().with_pds("https://other.example");
    let moved = Operation::update(&renamed.cid(), state, &server).unwrap();
    assert_same(&moved, "moved");
    let state = moved.state().unwrap().with_signing_key(&key("repo2").did_key());
    let rekeyed = Operation::update(&moved.cid(), state, &server).unwrap();
    assert_same(&rekeyed, "rekeyed");
    let state = State { rotation_keys: vec![key("recovery").did_key()], ..rekeyed.state().unwrap() };
    assert_same(&Operation::update(&rekeyed.cid(), state, &server).unwrap(), "rotated");
    assert_same(&Operation::tombstone(&created.cid(), &server).unwrap(), "dead");

    let legacy = read(&vectors()["operations"]["legacy"]["op"]);
    assert_same(&legacy, "legacy");
    let state = legacy.state().unwrap().with_handle(&handle("new.test"));
    assert_same(&Operation::update(&legacy.cid(), state, &key("recovery")).unwrap(), "legacyUpdate");
}

#[test]
fn interop_reads_back_every_operation() {
    for (name, entry) in vectors()["operations"].as_object().unwrap() {
        let operation = Operation::from_json(entry["op"].to_string().as_bytes()).unwrap();
        assert_same(&operation, name);
        assert_eq!(Operation::from_json(operation.to_json().unwrap().as_bytes()).unwrap(), operation);
    }
}

#[test]
fn interop_reads_the_document_of_an_older_server() {
    let vectors = vectors();
    let did = did(&vectors["operations"]["created"]["did"]);
    let document = Document::parse(&did, vectors["document"].to_string().as_bytes()).unwrap();
    assert_eq!(document.json()["verificationMethod"][0]["type"], "EcdsaSecp256k1VerificationKey2019");
    assert_eq!(document.signing_key().unwrap().did_key(), key("repo").did_key());
    assert_eq!(document.handle(), Some(handle("alice.test")));
    assert_eq!(document.pds().unwrap(), PDS);
    // A bare point under today's type, or today's form under the old one, is no key.
    for (old, new) in [("EcdsaSecp256k1VerificationKey2019", "Multikey"), ("Secp256k1", "Secp256r1")] {
        let confused = vectors["document"].to_string().replace(old, new);
        assert!(Document::parse(&did, confused.as_bytes()).unwrap().signing_key().is_err());
    }
}

#[test]
fn interop_judges_every_log_as_the_reference_does_or_stricter_where_it_says_so() {
    let vectors = vectors();
    let logs = vectors["logs"].as_array().unwrap();
    assert!(logs.len() > 20);
    for case in logs {
        let name = case["name"].as_str().unwrap();
        let log: Result<Vec<Operation>, _> = serde_json::from_value(case["log"].clone());
        let verdict = log
            .map_err(|_| BridgeError::Operation("unreadable"))
            .and_then(|log| verify(&did(&case["did"]), &log));
        let valid = case["valid"].as_bool().unwrap() && case.get("stricter").is_none();
        assert_eq!(verdict.is_ok(), valid, "{name}: {verdict:?}");
        let Ok(verified) = verdict else { continue };
        let state = verified.state;
        assert_eq!(state.is_none(), case["data"].is_null(), "{name}");
        if let Some(state) = state {
            assert_eq!(serde_json::json!(state.rotation_keys), case["data"]["rotationKeys"], "{name}");
            assert_eq!(
                serde_json::json!(state.verification_methods),
                case["data"]["verificationMethods"],
                "{name}"
            );
            assert_eq!(serde_json::json!(state.also_known_as), case["data"]["alsoKnownAs"], "{name}");
            assert_eq!(serde_json::json!(state.services), case["data"]["services"], "{name}");
        }
    }
}

#[test]
fn interop_judges_every_audit_log_as_the_reference_does() {
    let vectors = vectors();
    let audits = vectors["audits"].as_array().unwrap();
    assert!(audits.len() > 5);
    for case in audits {
        let name = case["name"].as_str().unwrap();
        let log: Vec<AuditEntry> = serde_json::from_value(case["entries"].clone()).unwrap();
        let verdict = verify_audit(&did(&case["did"]), &log);
        assert_eq!(verdict.is_ok(), case["valid"].as_bool().unwrap(), "{name}: {verdict:?}");
        // No mark may be turned around, no entry changed, none taken from the front or the middle.
        if verdict.is_ok() {
            for position in 0..log.len() {
                let mut turned = log.clone();
                turned[position].nullified = !turned[position].nullified;
                assert!(verify_audit(&did(&case["did"]), &turned).is_err(), "{name}: mark {position}");
                let mut other = log.clone();
                other[position].cid = log[0].operation.cid().to_string().replace('b', "c");
                assert!(verify_audit(&did(&case["did"]), &other).is_err(), "{name}: CID {position}");
            }
            assert!(verify_audit(&did(&case["did"]), &log[1..]).is_err(), "{name}: no genesis");
        }
    }
    assert!(verify_audit(&did(&audits[0]["did"]), &[]).is_err());
}

#[test]
fn interop_judges_the_next_operation_as_the_reference_judges_the_log_with_it() {
    let (mut forks, mut refused) = (0, 0);
    for case in vectors()["audits"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let did = did(&case["did"]);
        let entries: Vec<AuditEntry> = serde_json::from_value(case["entries"].clone()).unwrap();
        let mut log: Vec<AuditEntry> = Vec::new();
        for (number, entry) in entries.iter().enumerate().skip(1) {
            // The log as it was before this entry: what it undid was in force.
            log.push(entries[number - 1].clone());
            log.last_mut().unwrap().nullified = false;
            let next = &entry.operation;
            let parent = log.iter().position(|old| Some(old.cid.as_str()) == next.prev()).unwrap();
            let is_fork = log[parent + 1..].iter().any(|old| !old.nullified);
            let last = number + 1 == entries.len();
            // At once, and at the end of days, when nothing is undone any more.
            let at_once = verify_next(&did, &log, next, 0).is_ok();
            let late = verify_next(&did, &log, next, u64::MAX).is_ok();
            if case["valid"].as_bool().unwrap() || !last {
                assert!(at_once, "{name}: {number}");
                assert_eq!(late, !is_fork, "{name}: {number}");
                forks += usize::from(is_fork);
            } else {
                assert!(!late && (!at_once || name.ends_with("too late")), "{name}");
                refused += 1;
            }
            log[parent + 1..].iter_mut().for_each(|old| old.nullified = true);
        }
    }
    assert!(forks > 3 && refused > 3, "{forks} {refused}");
}

#[test]
fn refuses_every_single_changed_character_of_an_operation() {
    let vectors = vectors();
    let genesis = read(&vectors["operations"]["created"]["op"]);
    let did = genesis.did().unwrap();
    let json = vectors["operations"]["handle"]["op"].to_string();
    for position in 0..json.len() {
        let mut changed = json.clone().into_bytes();
        changed[position] = if changed[position] == b'a' { b'b' } else { b'a' };
        let Ok(operation) = Operation::from_json(&changed) else { continue };
        let log = [genesis.clone(), operation];
        assert!(verify(&did, &log).is_err(), "{}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn refuses_a_state_that_the_directory_would_refuse() {
    let server = key("server");
    let none = State { rotation_keys: Vec::new(), ..new_account(&["server"]) };
    let twice = new_account(&["server", "server"]);
    let many = new_account(&["server", "recovery", "repo", "repo2", "stranger"]);
    assert!(Operation::genesis(many.clone(), &server).is_ok());
    let mut too_many = many;
    too_many.rotation_keys.push(SigningKey::from_bytes(Curve::P256, &[6; 32]).unwrap().did_key());
    let unknown = State {
        rotation_keys: vec!["did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into()],
        ..none.clone()
    };
    for state in [none, twice, too_many, unknown] {
        assert!(Operation::genesis(state, &server).is_err());
    }
    let huge = new_account(&["server"]).with_alias(&"x".repeat(8_000));
    assert!(Operation::genesis(huge, &server).is_err());
}

#[test]
fn a_p256_rotation_key_signs_too() {
    let signer = SigningKey::from_bytes(Curve::P256, &[9; 32]).unwrap();
    let state = State { rotation_keys: vec![signer.did_key()], ..new_account(&["server"]) };
    let genesis = Operation::genesis(state, &signer).unwrap();
    assert!(verify(&genesis.did().unwrap(), &[genesis]).is_ok());
}

#[test]
fn an_alias_is_added_once_and_the_handle_keeps_its_place() {
    let state = new_account(&["server"]).with_alias("did:cf:abc").with_alias("did:cf:abc");
    assert_eq!(state.also_known_as, ["at://alice.test", "did:cf:abc"]);
    assert_eq!(state.with_handle(&handle("b.test")).also_known_as, ["at://b.test", "did:cf:abc"]);
}

struct Directory {
    network: Network,
    genesis: Operation,
    did: Did,
}

impl Directory {
    fn new() -> Self {
        let genesis = Operation::genesis(new_account(&["server"]), &key("server")).unwrap();
        Self { network: Network::default(), did: genesis.did().unwrap(), genesis }
    }

    fn url(&self, suffix: &str) -> String {
        format!("https://plc.example/{}{suffix}", self.did)
    }

    fn client(&self) -> Client<'_> {
        Client::new("https://plc.example", &self.network)
    }

    fn submit(&self) -> Result<(), BridgeError> {
        block_on(self.client().submit(&self.did, &self.genesis))
    }
}

#[test]
fn submits_an_operation() {
    let plc = Directory::new();
    plc.network.post(&plc.url(""), 200, "OK");
    plc.submit().unwrap();
    assert_eq!(plc.network.times_asked(), 1);
}

#[test]
fn a_submission_whose_answer_was_lost_is_a_success_when_the_directory_has_it() {
    let plc = Directory::new();
    plc.network.get(&plc.url("/log/last"), 200, plc.genesis.to_json().unwrap());
    plc.submit().unwrap();
    plc.network.post(&plc.url(""), 400, r#"{"message":"Operations not correctly ordered"}"#);
    plc.submit().unwrap();
    plc.network.post(&plc.url(""), 502, "");
    plc.submit().unwrap();
}

#[test]
fn a_refused_submission_says_why() {
    let plc = Directory::new();
    plc.network.post(&plc.url(""), 400, r#"{"message":"Invalid rotationKey"}"#);
    plc.network.get(&plc.url("/log/last"), 404, "");
    assert!(matches!(plc.submit(), Err(BridgeError::Refused(why)) if why == "Invalid rotationKey"));
    plc.network.post(&plc.url(""), 500, "");
    assert!(plc.submit().unwrap_err().is_transient());
    plc.network.post(&plc.url(""), 429, "");
    assert!(plc.submit().unwrap_err().is_transient());
    plc.network.cut(&plc.url(""));
    assert!(plc.submit().unwrap_err().is_transient());
}

#[test]
fn a_log_is_verified_and_not_believed() {
    let plc = Directory::new();
    let genesis = plc.genesis.to_json().unwrap();
    let state = plc.genesis.state().unwrap().with_handle(&handle("mallory.test"));
    let forged = Operation::update(&plc.genesis.cid(), state, &key("stranger")).unwrap().to_json().unwrap();
    plc.network.get(&plc.url("/log"), 200, format!("[{genesis}]"));
    let verified = block_on(plc.client().verified(&plc.did)).unwrap();
    assert_eq!((verified.tip, verified.state), (plc.genesis.cid(), plc.genesis.state()));
    plc.network.get(&plc.url("/log"), 200, format!("[{genesis},{forged}]"));
    assert!(matches!(block_on(plc.client().verified(&plc.did)), Err(BridgeError::Signature)));
    plc.network.get(&plc.url("/log"), 200, "{}");
    assert!(block_on(plc.client().verified(&plc.did)).is_err());
}

#[test]
fn a_did_that_the_directory_does_not_know_is_not_found() {
    let plc = Directory::new();
    for suffix in ["", "/log/last", "/log", "/log/audit"] {
        plc.network.get(&plc.url(suffix), 404, r#"{"message":"DID not registered"}"#);
    }
    let client = plc.client();
    assert!(matches!(block_on(client.document(&plc.did)), Err(BridgeError::DidNotFound(_))));
    assert!(matches!(block_on(client.verified(&plc.did)), Err(BridgeError::DidNotFound(_))));
    assert!(matches!(block_on(client.audited(&plc.did)), Err(BridgeError::DidNotFound(_))));
    assert_eq!(block_on(client.tip(&plc.did)).unwrap(), None);
}

#[test]
fn asks_the_directory_only_for_a_did_of_its_form() {
    let plc = Directory::new();
    for text in [
        "did:web:pds.example",
        "did:plc:short",
        "did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ",
        "did:plc:..%2F..%2Fadmin%2FremoveInva",
    ] {
        let did = Did::parse(text).unwrap();
        assert!(
            matches!(block_on(plc.client().document(&did)), Err(BridgeError::UnsupportedMethod(_))),
            "{text}"
        );
    }
    assert_eq!(plc.network.times_asked(), 0);
}

/// The logs among the published cases whose names hold one of `words`; each must be refused.
#[track_caller]
fn assert_refused(words: &[&str]) {
    let vectors = vectors();
    let cases = vectors["logs"].as_array().unwrap();
    for word in words {
        let case = cases.iter().find(|case| case["name"].as_str().unwrap().contains(word)).unwrap();
        let log: Result<Vec<Operation>, _> = serde_json::from_value(case["log"].clone());
        let verdict = log.ok().map(|log| verify(&did(&case["did"]), &log));
        assert!(!matches!(verdict, Some(Ok(_))), "{word}");
    }
}

/// June 2023: an operation had further valid forms, each with a CID of its own, and so anybody's could be replaced.
#[test]
fn regress_plc_2023_an_operation_has_one_valid_form() {
    assert_refused(&[
        "a high S in an update",
        "a high S in a genesis",
        "a signature in DER",
        "padding in a signature",
        "trailing bits in a signature",
        "a line break in a signature",
        "a field that does not belong",
    ]);
}

/// October 2025: operations that break the rules were found in the directory. What it says is verified here.
#[test]
fn regress_plc_2025_a_log_that_breaks_a_rule_is_not_believed() {
    assert_refused(&[
        "an update signed by a stranger",
        "an update signed by a rotation key that was removed",
        "updates out of order",
        "an update left out",
        "an update after a tombstone",
        "a genesis that follows something",
        "a changed field",
    ]);
}
