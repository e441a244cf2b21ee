//! A rotation of an agent's keys, and the DID document that follows it, whatever fails on the way.

use murmuration_firehose::Event;
use murmuration_platform::Store;
use murmuration_syntax::Did;
use serde_json::{Value, json};

use crate::world::{Fault, World, block_on, did};

struct Rotating {
    world: World,
    did: Did,
    alias: String,
    header: String,
}

impl Rotating {
    fn new(changes: &Value) -> Self {
        let world = World::new();
        let (code, answer) = world.make_agent("alice", changes);
        assert_eq!(code, 200, "{answer}");
        let header = format!("Bearer {}", answer["accessJwt"].as_str().unwrap());
        let alias = answer["alias"].as_str().unwrap().to_owned();
        Self { did: did(&answer["did"]), world, alias, header }
    }

    fn rotate(&self) -> (u16, Value) {
        self.world.ask("agent.identity.rotateKeys", Some(&self.header), &[], &json!({}))
    }

    /// What the alarm does.
    fn alarm(&self) -> bool {
        block_on(self.world.host().name_keys(&self.did)).is_ok()
    }

    fn latest(&self) -> (u64, String) {
        let (code, record) = self.world.record(&self.did, "agent.identity.keys", "self");
        assert_eq!(code, 200, "{record}");
        let last = record["value"]["epochs"].as_array().unwrap().last().unwrap().clone();
        (last["epoch"].as_u64().unwrap(), last["agreementKey"].as_str().unwrap().to_owned())
    }

    fn named(&self) -> String {
        self.world.network.state(&self.did).unwrap().verification_methods["agent_enc"].clone()
    }

    fn operations(&self) -> usize {
        self.world.network.log.borrow()[&self.did].len()
    }

    fn unnamed(&self) -> usize {
        let sql = "SELECT epoch FROM key_epoch WHERE named = 0";
        self.world.objects.store(&self.did).query(sql, &[]).unwrap().len()
    }

    /// Whether all that says which key to seal to says the same.
    fn assert_named(&self, what: &str) {
        let (_, key) = self.latest();
        assert_eq!(self.named(), format!("did:key:{key}"), "{what}");
        let (code, page) = self.world.alias_page(&self.alias);
        assert_eq!(
            (code, &page["verificationMethod"][1]["publicKeyMultibase"]),
            (200, &json!(key)),
            "{what}"
        );
        assert_eq!(self.unnamed(), 0, "{what}");
    }
}

fn identities(rotating: &Rotating) -> usize {
    let events = rotating.world.events(&rotating.did);
    events.iter().filter(|event| matches!(event, Event::Identity(_))).count()
}

#[test]
fn a_rotation_takes_the_document_with_it_and_says_so() {
    let alice = Rotating::new(&json!({}));
    let (said, operations) = (identities(&alice), alice.operations());
    for epoch in 2..=4 {
        let (code, answer) = alice.rotate();
        assert_eq!((code, answer), (200, json!({ "epoch": epoch, "pending": 0, "documentPending": false })));
        alice.assert_named("at once");
    }
    assert_eq!((identities(&alice), alice.operations()), (said + 3, operations + 3));
    // There is nothing left to do, and nothing is done.
    assert!(alice.alarm());
    assert_eq!((identities(&alice), alice.operations()), (said + 3, operations + 3));
}

#[test]
fn while_the_plc_directory_is_away_the_keys_change_and_the_document_follows_later() {
    let alice = Rotating::new(&json!({}));
    let before = alice.named();
    alice.world.network.plc_is_away.set(true);
    let (code, answer) = alice.rotate();
    assert_eq!((code, answer), (200, json!({ "epoch": 2, "pending": 0, "documentPending": true })));
    assert_eq!((alice.latest().0, alice.unnamed()), (2, 1));
    // Not another before the document has followed.
    let (code, answer) = alice.rotate();
    assert_eq!((code, &answer["error"]), (400, &json!("RotationInProgress")), "{answer}");
    assert!(!alice.alarm());
    assert_eq!((alice.latest().0, alice.named()), (2, before));
    alice.world.objects.crash(&alice.did);

    alice.world.network.plc_is_away.set(false);
    assert!(alice.alarm());
    alice.assert_named("by the alarm");
    // Or by the next rotation, which does first what is left.
    alice.world.network.plc_is_away.set(true);
    assert_eq!(alice.rotate().1["documentPending"], true);
    alice.world.network.plc_is_away.set(false);
    assert_eq!(alice.rotate().1, json!({ "epoch": 4, "pending": 0, "documentPending": false }));
    alice.assert_named("by the next");
}

#[test]
fn a_directory_that_takes_no_such_key_keeps_no_rotation_up() {
    let alice = Rotating::new(&json!({}));
    alice.world.network.plc_is_old.set(true);
    let before = alice.named();
    for epoch in 2..=3 {
        assert_eq!(alice.rotate().1, json!({ "epoch": epoch, "pending": 0, "documentPending": false }));
    }
    assert_eq!((alice.named(), alice.unnamed()), (before, 0));
    // The did:cf and the repository have it.
    let (_, page) = alice.world.alias_page(&alice.alias);
    assert_eq!(page["verificationMethod"][1]["publicKeyMultibase"], json!(alice.latest().1));
    let credentials = "com.atproto.identity.getRecommendedDidCredentials";
    let wanted = alice.world.ask(credentials, Some(&alice.header), &[], &Value::Null).1;
    assert_eq!(wanted["verificationMethods"]["agent_enc"], format!("did:key:{}", alice.latest().1));
}

#[test]
fn the_document_of_a_did_web_is_made_of_what_the_repository_says() {
    let alice = Rotating::new(&json!({ "didMethod": "web" }));
    assert_eq!(alice.did.method(), "web");
    assert_eq!(alice.rotate().1["documentPending"], false);
    let (_, found) = alice.world.resolve_alias(alice.did.as_str());
    let methods = found["didDoc"]["verificationMethod"].as_array().unwrap();
    let named = methods.iter().find(|method| method["id"].as_str().unwrap().ends_with("#agent_enc")).unwrap();
    assert_eq!(named["publicKeyMultibase"], json!(alice.latest().1));
    assert_eq!(alice.unnamed(), 0);
}

#[test]
fn sim_a_rotation_that_fails_anywhere_is_carried_through() {
    type Plan = fn(usize) -> Fault;
    let plans: [Plan; 3] = [Fault::Refused, Fault::Lost, Fault::Dead];
    for plan in plans {
        for at in 0.. {
            let alice = Rotating::new(&json!({}));
            let before = alice.world.faults.calls.get();
            alice.world.faults.planned.set(Some(plan(before + at)));
            let (code, answer) = alice.rotate();
            let calls = alice.world.faults.calls.get() - before;
            alice.world.faults.planned.set(None);
            let what = format!("{:?} of {calls}: {answer}", plan(at));
            let (epoch, _) = alice.latest();
            // Who is told that it was done has it done, now or by the alarm.
            if code == 200 {
                assert_eq!(epoch, 2, "{what}");
            }
            // A change that died is settled in five minutes.
            alice.world.pass_minutes(6);
            alice.world.objects.crash(&alice.did);
            assert!(alice.alarm(), "{what}");
            if epoch == 2 {
                alice.assert_named(&what);
            }
            let header = alice.world.bearer(alice.did.as_str(), murmuration_xrpc::token::Scope::Access);
            let again = alice.world.ask("agent.identity.rotateKeys", Some(&header), &[], &json!({}));
            assert_eq!(
                again.1,
                json!({ "epoch": epoch + 1, "pending": 0, "documentPending": false }),
                "{what}"
            );
            alice.assert_named(&what);
            if at >= calls {
                break;
            }
        }
    }
}
