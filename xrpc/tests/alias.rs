//! did:cf: given to an account that there is, proven from both sides, and ended for ever.

use murmuration_bridge::plc::{Operation, State};
use murmuration_bridge::{AgentKeys, CfDid, Document, cf};
use murmuration_firehose::Event;
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::Did;
use serde_json::{Value, json};

use crate::world::agency::NS;
use crate::world::alice::Alice;
use crate::world::{Fault, World, block_on, did};

const OBJECT: &str = "5ac35a3f62e5d2a21ba9f39d0ee6d8a1c1f2cbb0d7b46fbd5d3b6a7de3a1f009";

fn create_alias(world: &World, token: &str) -> (u16, Value) {
    world.post_as(Some(token), &format!("{NS}.createAlias"), &Value::Null)
}

/// An account that was made an agent, and its did:cf.
fn agent() -> (Alice, String) {
    let alice = Alice::new();
    let (code, answer) = create_alias(&alice.world, &alice.token);
    assert_eq!((code, &answer["did"]), (200, &json!(alice.did)), "{answer}");
    (alice, answer["alias"].as_str().unwrap().to_owned())
}

fn error(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"].as_str().unwrap_or_default())
}

#[test]
fn an_account_that_nobody_made_an_agent_is_as_the_reference_server_makes_it() {
    let Alice { world, did, .. } = Alice::new();
    let (code, found) = world.resolve_alias(did.as_str());
    assert_eq!((code, &found["alias"], &found["verified"]), (200, &Value::Null, &json!(["log"])), "{found}");
    let never = world.cf_of(&did);
    assert_eq!(error(&world.resolve_alias(&never)), (400, "DidNotFound"));
    assert_eq!(error(&world.alias_page(&never)), (404, "NotFound"));
    assert_eq!(world.network.log.borrow()[&did].len(), 1);
    assert_eq!(world.record(&did, "agent.identity.keys", "self").0, 400);
    assert_eq!(world.get(&format!("{NS}.listAgents"), &[]).1["agents"], json!([]));
}

#[test]
fn an_account_becomes_an_agent_by_one_signed_operation() {
    let alice = Alice::new();
    let (world, did) = (&alice.world, &alice.did);
    let events = world.events(did).len();
    let (code, answer) = create_alias(world, &alice.token);
    assert_eq!(code, 200, "{answer}");
    let alias = answer["alias"].as_str().unwrap();
    assert_eq!(alias, world.cf_of(did));
    for name in [did.as_str(), alias] {
        let (code, found) = world.resolve_alias(name);
        assert_eq!((code, &found["did"], &found["alias"]), (200, &json!(did), &json!(alias)), "{found}");
        assert_eq!(found["verified"], json!(["log", "alias"]));
        assert_eq!(found["aliasDoc"]["alsoKnownAs"], json!([did]));
    }
    assert_eq!(world.network.log.borrow()[did].len(), 2);
    let state = world.network.state(did).unwrap();
    assert_eq!(state.also_known_as, ["at://alice.test", alias]);
    assert!(state.verification_methods["agent_enc"].starts_with("did:key:z6LS"));
    let told = world.events(did).split_off(events);
    assert!(matches!(told.as_slice(), [Event::Commit(_), Event::Identity(_)]), "{told:?}");
    // Again: nothing is new, but that it is said once more.
    assert_eq!(create_alias(world, &alice.token).1["alias"], alias);
    assert_eq!(world.network.log.borrow()[did].len(), 2);
    // The handle changes, the alias stays.
    let input = json!({ "handle": "alicia.test" });
    assert_eq!(world.post_as(Some(&alice.token), "com.atproto.identity.updateHandle", &input).0, 200);
    assert_eq!(world.network.state(did).unwrap().also_known_as, ["at://alicia.test", alias]);
    assert_eq!(world.resolve_alias(alias).0, 200);
}

#[test]
fn only_its_owner_in_full_makes_an_account_an_agent() {
    let alice = Alice::new();
    let (code, _) = alice.world.post(&format!("{NS}.createAlias"), &Value::Null);
    assert_eq!(code, 401);
    assert_eq!(alice.world.network.log.borrow()[&alice.did].len(), 1);
}

#[test]
fn a_directory_that_takes_no_key_to_seal_to_gets_the_alias_alone() {
    let alice = Alice::new();
    alice.world.network.plc_is_old.set(true);
    let (code, answer) = create_alias(&alice.world, &alice.token);
    assert_eq!(code, 200, "{answer}");
    let state = alice.world.network.state(&alice.did).unwrap();
    assert_eq!(state.verification_methods.len(), 1);
    assert_eq!(alice.world.resolve_alias(answer["alias"].as_str().unwrap()).0, 200);
    assert_eq!(create_alias(&alice.world, &alice.token).0, 200);
    assert_eq!(alice.world.network.log.borrow()[&alice.did].len(), 2);
    // It learns, and hears of the key the next time.
    alice.world.network.plc_is_old.set(false);
    assert_eq!(create_alias(&alice.world, &alice.token).0, 200);
    assert_eq!(alice.world.network.state(&alice.did).unwrap().verification_methods.len(), 2);
}

#[test]
fn an_alias_that_the_document_does_not_name_any_more_is_not_verified() {
    let (Alice { world, did, token }, alias) = agent();
    let log = world.network.log.borrow()[&did].clone();
    let without = cf::plain(log[1].state().unwrap());
    let operation = Operation::update(&log[1].cid(), without, &world.config.plc_rotation_key).unwrap();
    world.network.log.borrow_mut().get_mut(&did).unwrap().push(operation);
    world.pass_minutes(11);
    assert_eq!(error(&world.resolve_alias(&alias)), (400, "AliasNotVerified"));
    assert_eq!(world.resolve_alias(did.as_str()).1["verified"], json!(["log"]));
    // Its owner has it made right.
    assert_eq!(create_alias(&world, &token).0, 200);
    assert_eq!(world.resolve_alias(&alias).0, 200);
}

#[test]
fn a_deleted_agent_resolves_as_deactivated_for_ever() {
    let (Alice { world, did, .. }, alias) = agent();
    block_on(world.host().delete_account(&did)).unwrap();
    assert_eq!(error(&world.alias_page(&alias)), (410, "DidDeactivated"));
    assert_eq!(error(&world.resolve_alias(&alias)), (400, "DidDeactivated"));
    world.pass_minutes(11);
    assert_eq!(error(&world.resolve_alias(did.as_str())), (400, "DidDeactivated"));
    assert_eq!(world.get(&format!("{NS}.getAgent"), &[("agent", &alias)]).1["error"], "AgentNotFound");
    assert_eq!(world.create("alice").0, 200, "the handle is free");
    assert_eq!(error(&world.alias_page(&alias)), (410, "DidDeactivated"));
}

#[test]
fn an_alias_that_has_ended_is_given_to_nobody_not_even_under_the_same_did() {
    let world = World::new();
    let (carol, token) = world.create_web("carol.test", "carol.test");
    let alias = create_alias(&world, &token).1["alias"].clone();
    block_on(world.host().delete_account(&carol)).unwrap();
    // As if it had come back from another host.
    let (_, token) = world.create_web("carol.test", "carol.test");
    assert_eq!(error(&create_alias(&world, &token)), (400, "DidDeactivated"));
    assert_eq!(error(&world.alias_page(alias.as_str().unwrap())), (410, "DidDeactivated"));
    assert_eq!(world.resolve_alias(carol.as_str()).1["alias"], Value::Null);
    assert_eq!(world.page(Some("carol.test"), "/.well-known/did.json").0, 200);
}

#[test]
fn a_did_cf_that_is_none_is_not_looked_for() {
    let world = World::new();
    for id in ["x", &OBJECT.to_uppercase(), "..%2f..", &OBJECT[1..]] {
        assert_eq!(error(&world.alias_page(id)), (404, "NotFound"), "{id}");
    }
    assert_eq!(error(&world.resolve_alias("did:cf:x")), (400, "InvalidRequest"));
    assert_eq!(error(&world.resolve_alias(&format!("did:cf:{OBJECT}"))), (400, "DidNotFound"));
    assert_eq!(error(&world.resolve_alias("did:key:z6Mk")), (400, "UnsupportedDidMethod"));
    assert_eq!(error(&world.resolve_alias("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")), (400, "DidNotFound"));
    assert!(world.objects.called.borrow().is_empty(), "no object is woken");
}

/// An agent of another network, whose documents name each other.
fn foreign(world: &World) -> (Did, CfDid) {
    let key = SigningKey::from_bytes(Curve::K256, &[9; 32]).unwrap();
    let alias = CfDid::of_object(OBJECT).unwrap();
    let handle = "bob.example.com".parse().unwrap();
    let state = State::atproto(&handle, &key.did_key(), "https://other.example", vec![key.did_key()]);
    let genesis = Operation::genesis(cf::named(state, &alias), &key).unwrap();
    let did = genesis.did().unwrap();
    world.network.log.borrow_mut().insert(did.clone(), vec![genesis]);
    answer_for(world, &alias, &did);
    (did, alias)
}

fn answer_for(world: &World, alias: &CfDid, stands_for: &Did) {
    let keys = AgentKeys { signing: "z6MkX".into(), agreement: "z6LSX".into() };
    let document = cf::document(alias, stands_for, Some(&keys), "https://other.example");
    world.serve(&format!("https://other.example{}", alias.path()), 200, document.json());
}

#[test]
fn an_agent_of_another_network_is_found_by_the_did_that_names_its_alias() {
    let world = World::new();
    let (bob, alias) = foreign(&world);
    let (code, found) = world.resolve_alias(bob.as_str());
    assert_eq!(
        (code, &found["alias"], &found["verified"]),
        (200, &json!(alias.did()), &json!(["log", "alias"])),
        "{found}"
    );
    // By the alias alone it is not to be found, whatever was seen before.
    assert_eq!(error(&world.resolve_alias(alias.did().as_str())), (400, "DidNotFound"));
    world.pass_minutes(11);
    answer_for(&world, &alias, &did(&json!("did:web:x.example")));
    assert_eq!(error(&world.resolve_alias(bob.as_str())), (400, "AliasNotVerified"));
    world.serve(&format!("https://other.example{}", alias.path()), 410, &json!({}));
    assert_eq!(error(&world.resolve_alias(bob.as_str())), (400, "DidDeactivated"));
    world.network.pages.borrow_mut().clear();
    assert_eq!(error(&world.resolve_alias(bob.as_str())), (502, "UpstreamFailure"), "fails closed");
}

#[test]
fn who_names_an_agents_alias_in_their_own_document_is_not_that_agent() {
    let (alice, alias) = agent();
    let world = &alice.world;
    let key = SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap();
    let handle = "mallory.example.com".parse().unwrap();
    let state = State::atproto(&handle, &key.did_key(), "https://pds.example", vec![key.did_key()]);
    let genesis = Operation::genesis(state.with_alias(&alias), &key).unwrap();
    let mallory = genesis.did().unwrap();
    world.network.log.borrow_mut().insert(mallory.clone(), vec![genesis]);
    assert_eq!(error(&world.resolve_alias(mallory.as_str())), (400, "AliasNotVerified"));
    assert_eq!(world.resolve_alias(&alias).1["did"], json!(alice.did));
}

#[test]
fn the_alias_of_a_did_web_stands_in_the_document_that_its_host_name_has() {
    let world = World::new();
    let (carol, token) = world.create_web("carol.test", "caroline.test");
    let (code, answer) = create_alias(&world, &token);
    assert_eq!(code, 200, "{answer}");
    let (_, _, document) = world.page(Some("carol.test"), "/.well-known/did.json");
    let document = Document::from_json(&carol, serde_json::from_str(&document).unwrap()).unwrap();
    assert_eq!(
        document.aliases().collect::<Vec<_>>(),
        ["at://caroline.test", answer["alias"].as_str().unwrap()]
    );
    assert_eq!(document.json()["verificationMethod"].as_array().unwrap().len(), 2);
    let (_, found) = world.resolve_alias(answer["alias"].as_str().unwrap());
    assert_eq!((&found["did"], &found["verified"]), (&json!(carol), &json!(["alias"])));
}

#[test]
fn the_owner_of_a_did_web_elsewhere_names_the_alias_first() {
    let world = World::new();
    let (dave, token) = world.create_web("dave.example.com", "dave.test");
    let url = "https://dave.example.com/.well-known/did.json";
    let says = |names: Value| {
        let mut json = json!({ "id": dave, "alsoKnownAs": names, "service": [] });
        json["service"] = json!([{ "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example" }]);
        world.serve(url, 200, &json);
    };
    assert_eq!(error(&create_alias(&world, &token)), (502, "UpstreamFailure"));
    says(json!(["at://dave.test"]));
    let refused = create_alias(&world, &token);
    let alias = world.cf_of(&dave);
    assert_eq!(error(&refused), (400, "AliasNotVerified"));
    assert!(refused.1["message"].as_str().unwrap().contains(&alias), "says what to name: {}", refused.1);
    assert_eq!(error(&world.alias_page(&alias)), (404, "NotFound"));
    says(json!(["at://dave.test", alias]));
    assert_eq!(create_alias(&world, &token).1["alias"], json!(alias));
    assert_eq!(world.resolve_alias(&alias).1["did"], json!(dave));
}

/// T11, for agents: the PLC directory is down for an hour, and for a day.
#[test]
fn a_hosted_agent_keeps_its_names_while_the_plc_directory_is_down() {
    let (Alice { world, did, .. }, alias) = agent();
    assert_eq!(world.resolve_alias(&alias).0, 200);
    world.network.plc_is_away.set(true);
    for minutes in [0, 11, 60, 24 * 60] {
        world.pass_minutes(minutes);
        for name in [did.as_str(), &alias] {
            let (code, found) = world.resolve_alias(name);
            assert_eq!((code, &found["did"], &found["alias"]), (200, &json!(did), &json!(alias)), "{found}");
            let proof = if minutes == 0 { json!(["log", "alias"]) } else { json!(["alias"]) };
            assert_eq!(found["verified"], proof, "after {minutes} minutes");
            assert!(found["didDoc"]["verificationMethod"].as_array().unwrap().len() == 2);
        }
        assert_eq!(world.alias_page(&alias).0, 200);
        assert_eq!(world.get(&format!("{NS}.getAgent"), &[("agent", &alias)]).0, 200);
    }
    // What changes the document cannot be had.
    let (_, session) = world.login("alice.test", "alice's password");
    let (code, _) = create_alias(&world, session["accessJwt"].as_str().unwrap());
    assert_eq!(code, 502);
}

#[test]
fn sim_a_failure_on_the_way_is_mended_by_asking_again() {
    let calls = {
        let alice = Alice::new();
        let before = alice.world.faults.calls.get();
        assert_eq!(create_alias(&alice.world, &alice.token).0, 200);
        alice.world.faults.calls.get() - before
    };
    assert!(calls > 8, "{calls}");
    for number in 0..calls {
        for fault in [Fault::Refused, Fault::Lost, Fault::Dead] {
            let Alice { world, did, token } = Alice::new();
            let fault = fault(world.faults.calls.get() + number);
            world.faults.planned.set(Some(fault));
            let (code, _) = create_alias(&world, &token);
            world.faults.planned.set(None);
            let whole = |what: &str| {
                let alias = world.cf_of(&did);
                assert_eq!(world.resolve_alias(&alias).1["verified"], json!(["log", "alias"]), "{what}");
            };
            if code == 200 {
                whole(&format!("{fault:?}"));
            }
            // Until nobody can still be working on it, the change may be in the way.
            world.pass_minutes(6);
            let (code, answer) = create_alias(&world, &token);
            assert_eq!(code, 200, "{fault:?}: {answer}");
            whole(&format!("{fault:?}, then again"));
            assert_eq!(world.network.log.borrow()[&did].len(), 2, "{fault:?}");
        }
    }
}
