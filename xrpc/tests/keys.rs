//! The keys of agents over XRPC: those that the host keeps, and those that it never sees.

use murmuration_data::json as data;
use murmuration_firehose::Event;
use murmuration_keyring::PublishedKeys;
use murmuration_lexicons::{Catalog, Validation, output, validate_record};
use murmuration_platform::Store;
use serde_json::{Value, json};

use crate::world;
use crate::world::alice::Alice;

const KEYS: &str = "agent.identity.getKeys";
const ROTATE: &str = "agent.identity.rotateKeys";

fn bearer(alice: &Alice) -> String {
    format!("Bearer {}", alice.token)
}

fn keys(alice: &Alice) -> (u16, Value) {
    alice.world.ask(KEYS, None, &[("agent", alice.did.as_str())], &Value::Null)
}

fn rotate(alice: &Alice, input: &Value) -> (u16, Value) {
    alice.world.ask(ROTATE, Some(&bearer(alice)), &[], input)
}

fn record(alice: &Alice) -> Value {
    let query = [("repo", alice.did.as_str()), ("collection", "agent.identity.keys"), ("rkey", "self")];
    alice.world.ask("com.atproto.repo.getRecord", None, &query, &Value::Null).1["value"].take()
}

/// Parses an answer of getKeys as a reader does, who checks every proof.
fn published(alice: &Alice, answer: &Value) -> PublishedKeys {
    PublishedKeys::from_ipld(&alice.did, data::from_value(answer).unwrap()).unwrap()
}

#[test]
fn an_account_has_no_keys_until_it_rotates_them_and_then_everybody_reads_them() {
    let alice = Alice::new();
    let (code, answer) = keys(&alice);
    assert_eq!((code, &answer["error"]), (400, &json!("NoKeys")));
    let (code, answer) = rotate(&alice, &json!({}));
    assert_eq!((code, answer), (200, json!({ "epoch": 1, "pending": 0 })));
    alice.world.pass_minutes(1);
    let (code, answer) = rotate(&alice, &json!({ "reason": "scheduled" }));
    assert_eq!((code, answer), (200, json!({ "epoch": 2, "pending": 0 })));

    let (code, answer) = alice.world.ask(KEYS, None, &[("agent", "alice.test")], &Value::Null);
    assert_eq!(code, 200, "{answer}");
    output(Catalog::builtin(), KEYS, &data::from_value(&answer).unwrap()).unwrap();
    assert_eq!((&answer["did"], &answer["custody"]), (&json!(alice.did), &json!("hosted")));
    assert_eq!(answer["epochs"], record(&alice)["epochs"]);
    assert_eq!(answer["epochs"][1]["reason"], "scheduled");
    let published = published(&alice, &answer);
    assert_eq!(published.epochs().len(), 2);
    published.recipient(alice.world.now_millis() * 1_000).unwrap();
}

#[test]
fn the_record_of_keys_is_one_by_its_lexicon_and_goes_out_as_a_commit() {
    let alice = Alice::new();
    rotate(&alice, &json!({}));
    rotate(&alice, &json!({ "reason": "compromise" }));
    let value = data::from_value(&record(&alice)).unwrap();
    let (collection, rkey) = ("agent.identity.keys".parse().unwrap(), "self".parse().unwrap());
    let outcome = validate_record(Catalog::builtin(), &collection, &rkey, &value).unwrap();
    assert_eq!(outcome, Validation::Valid);
    let commits =
        alice.world.events(&alice.did).iter().filter(|event| matches!(event, Event::Commit(_))).count();
    assert_eq!(commits, 3, "the account's first, and one an epoch");
}

#[test]
fn only_the_account_itself_rotates_its_keys() {
    let alice = Alice::new();
    for (header, error) in [(None, "AuthMissing"), (Some(world::ask::OPERATOR), "InvalidToken")] {
        assert_eq!(alice.world.ask(ROTATE, header, &[], &json!({})).1["error"], error);
    }
    let (code, answer) = rotate(&alice, &json!({ "reason": 7 }));
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
    assert_eq!(keys(&alice).1["error"], "NoKeys");
}

#[test]
fn the_recommended_credentials_of_an_agent_name_the_key_of_its_latest_epoch() {
    let alice = Alice::new();
    let credentials = || {
        let header = bearer(&alice);
        let nsid = "com.atproto.identity.getRecommendedDidCredentials";
        alice.world.ask(nsid, Some(&header), &[], &Value::Null).1["verificationMethods"].take()
    };
    assert_eq!(credentials().as_object().unwrap().len(), 1);
    for _ in 0..2 {
        rotate(&alice, &json!({}));
        let key = published(&alice, &keys(&alice).1).current().agreement_key().to_owned();
        assert!(key.starts_with("z6LS"), "{key}");
        assert_eq!(credentials()["agent_enc"], format!("did:key:{key}"));
    }
}

#[test]
fn the_record_of_hosted_keys_is_not_to_be_written_or_deleted() {
    let alice = Alice::new();
    rotate(&alice, &json!({}));
    let value = record(&alice);
    let (collection, rkey) = ("agent.identity.keys", "self");
    let put = json!({ "repo": alice.did, "collection": collection, "rkey": rkey, "record": value.clone() });
    let delete = json!({ "repo": alice.did, "collection": collection, "rkey": rkey });
    for (nsid, input) in [("com.atproto.repo.putRecord", put), ("com.atproto.repo.deleteRecord", delete)] {
        let (code, answer) = alice.world.ask(nsid, Some(&bearer(&alice)), &[], &input);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{answer}");
    }
    assert_eq!(record(&alice), value);
}

/// A host that has the repository and not the keys, as after a move, is given them by their owner.
#[test]
fn hosted_keys_are_taken_out_by_the_owner_and_into_a_host_that_lacks_them() {
    let alice = Alice::new();
    let ask = |nsid: &str, input: &Value| {
        let (code, answer) = alice.world.ask(nsid, Some(&bearer(&alice)), &[], input);
        if code == 200 {
            output(Catalog::builtin(), nsid, &data::from_value(&answer).unwrap()).unwrap();
        }
        (code, answer)
    };
    let (export, import) = ("agent.identity.exportKeys", "agent.identity.importKeys");
    assert_eq!(ask(export, &Value::Null).1["error"], "NoKeys");
    let note = json!({ "record": { "$type": "agent.memory.note", "summary": "remembered" } });
    let (code, made) = ask("agent.memory.createMemory", &note);
    assert_eq!(code, 200, "{made}");
    rotate(&alice, &json!({}));
    let (code, exported) = ask(export, &Value::Null);
    assert_eq!((code, exported["epochs"].as_array().unwrap().len()), (200, 2), "{exported}");
    let keys = json!({ "epochs": exported["epochs"] });
    assert_eq!(ask(import, &keys).1["error"], "KeysHere");

    alice.world.objects.store(&alice.did).query("DELETE FROM key_epoch", &[]).unwrap();
    alice.world.objects.crash(&alice.did);
    let read = || {
        let query = [("uri", made["uri"].as_str().unwrap())];
        alice.world.ask("agent.memory.getMemory", Some(&bearer(&alice)), &query, &Value::Null).1
    };
    assert_eq!(read()["error"], "ClientCustody");
    let mut wrong = keys.clone();
    wrong["epochs"][1]["secrets"] = keys["epochs"][0]["secrets"].clone();
    let mut short = keys.clone();
    short["epochs"].as_array_mut().unwrap().pop();
    for wrong in [wrong, short] {
        assert_eq!(ask(import, &wrong).1["error"], "ForeignKeys");
    }
    assert_eq!(read()["error"], "ClientCustody");
    assert_eq!(ask(import, &keys), (200, json!({ "epoch": 2 })));
    assert_eq!(read()["record"]["summary"], "remembered");
}
