//! Operations on an account's did:plc that its owner asks for.

use murmuration_bridge::plc::{Operation, State};
use murmuration_keys::{Curve, SigningKey};
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::token::{self, Claims, Scope};
use serde_json::{Value, json};

use crate::world::alice::Alice;
use crate::world::{Fault, World, block_on};

const RECOMMENDED: &str = "com.atproto.identity.getRecommendedDidCredentials";
const REQUEST: &str = "com.atproto.identity.requestPlcOperationSignature";
const SIGN: &str = "com.atproto.identity.signPlcOperation";
const SUBMIT: &str = "com.atproto.identity.submitPlcOperation";
const UPDATE: &str = "com.atproto.identity.updateHandle";

impl Alice {
    fn post(&self, nsid: &str, input: &Value) -> (u16, Value) {
        self.world.post_as(Some(&self.token), nsid, input)
    }

    /// Asks for a code and takes it out of the letter.
    fn code(&self) -> String {
        let (code, answer) = self.world.ask_as(Some(&self.token), REQUEST);
        assert_eq!(code, 200, "{answer}");
        self.world.postbox.code("plc_operation")
    }

    /// Has the host sign an operation.
    fn sign(&self, mut changes: Value) -> Value {
        changes["token"] = self.code().into();
        let (code, answer) = self.post(SIGN, &changes);
        assert_eq!(code, 200, "{answer}");
        answer["operation"].clone()
    }

    fn submit(&self, operation: &Value) -> (u16, String) {
        let (code, answer) = self.post(SUBMIT, &json!({ "operation": operation }));
        (code, answer["message"].as_str().unwrap_or_default().to_owned())
    }

    fn state(&self) -> State {
        self.world.network.state(&self.did).unwrap()
    }

    fn operations(&self) -> usize {
        self.world.network.log.borrow()[&self.did].len()
    }

    /// What was told after the first time.
    fn retold(&self) -> Vec<Option<String>> {
        self.told().split_off(1)
    }

    /// A token of another scope.
    fn scoped(&self, scope: Scope) -> String {
        let iat = self.world.now_millis() / 1000;
        let aud = self.world.config.service_did();
        let claims = Claims { scope, sub: self.did.clone(), aud, iat, exp: iat + 60, jti: None, sid: None };
        token::sign(&self.world.config.jwt_secret, &claims).unwrap()
    }
}

fn recovery_key() -> SigningKey {
    SigningKey::from_bytes(Curve::P256, &[5; 32]).unwrap()
}

#[test]
fn recommends_what_a_document_is_to_say_while_the_account_is_here() {
    let alice = Alice::new();
    let (code, answer) = alice.world.get_as(Some(&alice.token), RECOMMENDED, &[]);
    assert_eq!(code, 200);
    let state = alice.state();
    assert_eq!(answer["alsoKnownAs"], json!(state.also_known_as));
    assert_eq!(answer["verificationMethods"], json!(state.verification_methods));
    assert_eq!(answer["rotationKeys"], json!(state.rotation_keys));
    assert_eq!(answer["services"], json!(state.services));
    assert_eq!(alice.world.get_as(Some(&alice.scoped(Scope::AppPassword)), RECOMMENDED, &[]).0, 200);
    let (_, token) = alice.world.create_web("carol.test", "carol.test");
    let (code, answer) = alice.world.get_as(Some(&token), RECOMMENDED, &[]);
    assert_eq!(
        (code, answer.get("rotationKeys"), &answer["alsoKnownAs"]),
        (200, None, &json!(["at://carol.test"]))
    );
}

#[test]
fn signs_what_the_owner_has_a_code_for_and_nothing_else_changes() {
    let alice = Alice::new();
    let before = alice.state();
    let operation = alice.sign(json!({ "alsoKnownAs": ["at://alice.test", "https://alice.example"] }));
    assert_eq!((alice.state(), alice.operations()), (before.clone(), 1), "signed, not submitted");
    let signed: Operation = serde_json::from_value(operation).unwrap();
    let mut wanted = before;
    wanted.also_known_as.push("https://alice.example".into());
    assert_eq!(signed.state(), Some(wanted));
    assert_eq!(signed.signer(&[alice.world.config.plc_rotation_key.did_key()]), Some(0));
    // Every field may be given: this one takes the account away.
    let key = recovery_key().did_key();
    let services =
        json!({ "atproto_pds": { "type": "AtprotoPersonalDataServer", "endpoint": "https://b.example" } });
    let all = json!({
        "rotationKeys": [key], "alsoKnownAs": ["at://a.example"], "verificationMethods": { "atproto": key },
        "services": services,
    });
    let signed: Operation = serde_json::from_value(alice.sign(all.clone())).unwrap();
    let state = signed.state().unwrap();
    assert_eq!(json!(state.rotation_keys), all["rotationKeys"]);
    assert_eq!(json!(state.verification_methods), all["verificationMethods"]);
    assert_eq!(json!(state.services), services);
}

#[test]
fn a_code_works_once_and_only_the_right_one() {
    let alice = Alice::new();
    let sign = |token: &str| {
        let (code, answer) = alice.post(SIGN, &json!({ "token": token }));
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(alice.post(SIGN, &json!({})).1["error"], "InvalidRequest");
    assert_eq!(sign(""), (400, "InvalidRequest".into()));
    assert_eq!(sign("AAAAA-AAAAA"), (400, "InvalidToken".into()), "none was asked for");
    let code = alice.code();
    assert_eq!(sign("AAAAA-AAAAA"), (400, "InvalidToken".into()));
    // What cannot be signed does not use it up.
    for bad in [
        json!({ "rotationKeys": [] }),
        json!({ "rotationKeys": ["did:key:nonsense"] }),
        json!({ "services": { "atproto_pds": "https://b.example" } }),
        json!({ "services": [] }),
        json!({ "verificationMethods": { "atproto": "zQ3sh" } }),
        json!({ "verificationMethods": 5 }),
        json!({ "alsoKnownAs": ["x".repeat(8_000)] }),
    ] {
        let mut input = bad.clone();
        input["token"] = code.clone().into();
        let (status, answer) = alice.post(SIGN, &input);
        assert_eq!((status, &answer["error"]), (400, &json!("InvalidRequest")), "{bad}: {answer}");
    }
    alice.world.network.plc_is_away.set(true);
    assert_eq!(sign(&code).0, 502);
    alice.world.network.plc_is_away.set(false);
    assert_eq!(sign(&code).0, 200);
    assert_eq!(sign(&code), (400, "InvalidToken".into()));
    let code = alice.code();
    alice.world.pass_minutes(16);
    assert_eq!(sign(&code), (400, "ExpiredToken".into()));
}

#[test]
fn an_account_that_is_taken_down_may_leave_and_an_app_password_may_not() {
    let alice = Alice::new();
    let app = alice.scoped(Scope::AppPassword);
    assert_eq!(alice.world.ask_as(Some(&app), REQUEST).1["error"], "InvalidToken");
    assert_eq!(alice.world.post_as(Some(&app), SIGN, &json!({ "token": "x" })).1["error"], "InvalidToken");
    assert_eq!(alice.world.ask_as(None, REQUEST).0, 401);
    let edit = |takedown: Option<String>| {
        let accounts = alice.world.objects.accounts.borrow();
        accounts[&alice.did].edit(&[], 1, |profile| profile.takedown = takedown).unwrap();
    };
    edit(Some("1".into()));
    let token = alice.scoped(Scope::Takendown);
    assert_eq!(alice.world.ask_as(Some(&token), REQUEST).0, 200);
    let input = json!({ "token": alice.world.postbox.code("plc_operation") });
    assert_eq!(alice.world.post_as(Some(&token), SIGN, &input).0, 200);
    let submit = alice.world.post_as(Some(&token), SUBMIT, &json!({ "operation": {} }));
    assert_eq!(submit.1["error"], "InvalidToken", "nor does it work here again by itself");
}

#[test]
fn submits_an_operation_tells_the_world_and_may_be_repeated() {
    let alice = Alice::new();
    let operation = alice.sign(json!({ "alsoKnownAs": ["at://alice.test", "https://alice.example"] }));
    assert_eq!(alice.submit(&operation).0, 200);
    assert_eq!(alice.state().also_known_as, ["at://alice.test", "https://alice.example"]);
    assert_eq!(alice.retold(), [None]);
    let known = alice.world.get("com.atproto.identity.resolveDid", &[("did", alice.did.as_str())]).1;
    assert_eq!(known["didDoc"]["alsoKnownAs"][1], "https://alice.example", "nobody is told of the old one");
    assert_eq!(alice.submit(&operation).0, 200);
    assert_eq!((alice.operations(), alice.retold().len()), (2, 2));
}

#[test]
fn a_recovery_key_stays_in_front_and_what_it_signs_is_submitted_too() {
    let key = recovery_key();
    let alice = Alice::with(json!({ "recoveryKey": key.did_key() }));
    let keys = [key.did_key(), alice.world.config.plc_rotation_key.did_key()];
    let operation = alice.sign(json!({ "alsoKnownAs": ["at://alice.test", "https://alice.example"] }));
    assert_eq!(alice.submit(&operation).0, 200);
    assert_eq!(alice.state().rotation_keys, keys);
    assert_eq!(alice.post(UPDATE, &json!({ "handle": "alicia.test" })).0, 200);
    assert_eq!(alice.state().rotation_keys, keys);
    let tip = alice.world.network.log.borrow()[&alice.did].last().unwrap().cid();
    let own = Operation::update(&tip, alice.state().with_alias("https://b.example"), &key).unwrap();
    assert_eq!(alice.submit(&serde_json::to_value(&own).unwrap()).0, 200);
    assert_eq!(
        alice.state().also_known_as,
        ["at://alicia.test", "https://alice.example", "https://b.example"]
    );
}

#[test]
fn refuses_an_operation_that_would_break_the_account_or_is_not_valid() {
    let alice = Alice::new();
    let (host, genesis) =
        (&alice.world.config.plc_rotation_key, alice.world.network.log.borrow()[&alice.did][0].cid());
    let key = recovery_key();
    let state = alice.state();
    let by = |signer: &SigningKey, state: State| Operation::update(&genesis, state, signer).unwrap();
    let changed = |change: &dyn Fn(&mut State)| {
        let mut state = state.clone();
        change(&mut state);
        serde_json::to_value(by(host, state)).unwrap()
    };
    let no_sig = {
        let mut operation = changed(&|_| {});
        operation["sig"] = "".into();
        operation
    };
    let malleable = {
        // The same signature in other letters, which a lax directory would take under another CID.
        let mut operation = changed(&|state| state.also_known_as.push("https://a.example".into()));
        operation["sig"] = format!("{}=", operation["sig"].as_str().unwrap()).into();
        operation
    };
    let stray = Operation::update(&by(host, state.clone()).cid(), state.clone(), host).unwrap();
    let cases = [
        (
            changed(&|state| state.rotation_keys = vec![key.did_key()]),
            "Rotation keys do not include server's rotation key",
        ),
        (changed(&|state| state.services.clear()), "Incorrect type on atproto_pds service"),
        (
            changed(&|state| state.services.get_mut("atproto_pds").unwrap().kind = "X".into()),
            "Incorrect type on atproto_pds service",
        ),
        (
            changed(&|state| {
                state.services.get_mut("atproto_pds").unwrap().endpoint = "https://b.example".into()
            }),
            "Incorrect endpoint on atproto_pds service",
        ),
        (changed(&|state| state.verification_methods.clear()), "Incorrect signing key"),
        (changed(&|state| *state = state.clone().with_signing_key(&key.did_key())), "Incorrect signing key"),
        (changed(&|state| state.also_known_as.clear()), "Incorrect handle in alsoKnownAs"),
        (
            changed(&|state| state.also_known_as.insert(0, "at://b.test".into())),
            "Incorrect handle in alsoKnownAs",
        ),
        (serde_json::to_value(Operation::tombstone(&genesis, host).unwrap()).unwrap(), "Invalid operation"),
        (serde_json::to_value(by(&key, state.clone())).unwrap(), "Invalid operation"),
        (serde_json::to_value(stray).unwrap(), "Invalid operation"),
        (no_sig, "Invalid operation"),
        (malleable, "Invalid operation"),
        (json!({}), "operation is not in the form of a PLC operation"),
        (json!({ "type": "plc_operation" }), "operation is not in the form of a PLC operation"),
    ];
    for (operation, message) in cases {
        let (code, said) = alice.submit(&operation);
        assert!(code == 400 && said.starts_with(message), "{operation}: {code} {said}");
    }
    assert_eq!(alice.post(SUBMIT, &json!({ "operation": 5 })).0, 400);
    assert_eq!(alice.world.post(SUBMIT, &json!({ "operation": {} })).0, 401);
    assert_eq!((alice.state(), alice.operations(), alice.retold().len()), (state, 1, 0));
}

#[test]
fn a_did_web_has_no_operations() {
    let world = World::new();
    let (_, token) = world.create_web("carol.test", "carol.test");
    assert_eq!(world.ask_as(Some(&token), REQUEST).1["error"], "InvalidRequest");
    assert_eq!(world.post_as(Some(&token), SIGN, &json!({ "token": "x" })).1["error"], "InvalidRequest");
    assert_eq!(world.post_as(Some(&token), SUBMIT, &json!({ "operation": {} })).1["error"], "InvalidRequest");
}

/// An account with an operation to submit, and the number of the next call.
fn prepared() -> (Alice, Value, usize) {
    let alice = Alice::new();
    let operation = alice.sign(json!({ "alsoKnownAs": ["at://alice.test", "https://alice.example"] }));
    let next = alice.world.faults.calls.get();
    (alice, operation, next)
}

fn calls_of_a_submission() -> usize {
    let (alice, operation, first) = prepared();
    assert_eq!(alice.submit(&operation).0, 200);
    alice.world.faults.calls.get() - first
}

/// Whether the operation is in force and told; nothing else may be.
fn is_whole(alice: &Alice, what: &str) -> bool {
    let entry = block_on(Directory::new(&alice.world.shelf.store).by_did(&alice.did)).unwrap().unwrap();
    assert_eq!((entry.change, entry.handle.as_str()), (None, "alice.test"), "{what}");
    let (operations, told) = (alice.operations(), alice.retold().len());
    assert!(operations == 1 || told > 0, "{what}: in force and not told");
    operations == 2
}

#[test]
fn sim_one_call_that_fails_leaves_an_operation_in_force_and_told_or_nothing() {
    let (mut kept, mut changed) = (0, 0);
    for number in 0..calls_of_a_submission() {
        for fault in [Fault::Refused, Fault::Lost] {
            let (alice, operation, next) = prepared();
            let fault = fault(next + number);
            alice.world.faults.planned.set(Some(fault));
            let (code, said) = alice.submit(&operation);
            alice.world.faults.planned.set(None);
            let what = format!("{fault:?}: {code} {said}");
            assert!(code == 200 || code >= 500, "{what}");
            assert_eq!(is_whole(&alice, &what), code == 200, "{what}");
            *(if code == 200 { &mut changed } else { &mut kept }) += 1;
            assert_eq!(alice.submit(&operation).0, 200, "{what}");
            assert!(is_whole(&alice, &what));
        }
    }
    assert!(kept > 0 && changed > 0, "{kept} {changed}");
}

#[test]
fn sim_a_worker_that_dies_leaves_a_submission_that_is_settled_by_the_next_look() {
    let (mut kept, mut changed) = (0, 0);
    for number in 0..calls_of_a_submission() {
        let (alice, operation, next) = prepared();
        alice.world.faults.planned.set(Some(Fault::Dead(next + number)));
        let (code, _) = alice.submit(&operation);
        alice.world.faults.planned.set(None);
        alice.world.pass_minutes(6);
        let handle = [("handle", "alice.test")];
        assert_eq!(alice.world.get("com.atproto.identity.resolveHandle", &handle).0, 200);
        let done = is_whole(&alice, &format!("dead at {number}: {code}"));
        assert!(done || code != 200);
        *(if done { &mut changed } else { &mut kept }) += 1;
    }
    assert!(kept > 0 && changed > 0, "{kept} {changed}");
}

#[test]
fn sim_a_worker_that_dies_leaves_an_account_that_tells_of_its_operation_by_itself() {
    let mut rescued = 0;
    for number in 0..calls_of_a_submission() {
        let (alice, operation, next) = prepared();
        alice.world.faults.planned.set(Some(Fault::Dead(next + number)));
        let (code, _) = alice.submit(&operation);
        alice.world.faults.planned.set(None);
        // Nobody looks. The object has forgotten what it knew, and its alarm fires.
        alice.world.objects.crash(&alice.did);
        alice.world.pass_minutes(2);
        {
            let accounts = alice.world.objects.accounts.borrow();
            let account = &accounts[&alice.did];
            let waits = account.document_due().unwrap().is_some();
            rescued += u32::from(waits && alice.operations() == 2);
            account.say_document_if_due(alice.world.now_millis() * 1_000).unwrap();
        }
        assert!(
            alice.operations() == 1 || alice.retold() == [None],
            "dead at {number}: {code}: in force and told {:?}",
            alice.retold()
        );
    }
    assert!(rescued > 0);
}

#[test]
fn sim_a_signature_that_fails_changes_nothing() {
    let calls = {
        let (alice, ..) = prepared();
        let (code, first) = (alice.code(), alice.world.faults.calls.get());
        assert_eq!(alice.post(SIGN, &json!({ "token": code })).0, 200);
        alice.world.faults.calls.get() - first
    };
    for number in 0..calls {
        for fault in [Fault::Refused, Fault::Lost, Fault::Dead] {
            let alice = Alice::new();
            let code = alice.code();
            alice.world.faults.planned.set(Some(fault(alice.world.faults.calls.get() + number)));
            assert!(alice.post(SIGN, &json!({ "token": code })).0 >= 500);
            alice.world.faults.planned.set(None);
            assert_eq!((alice.operations(), alice.retold().len()), (1, 0));
            alice.sign(json!({}));
        }
    }
}
