//! `updateHandle`: the old handle or the new one, in all four places, whatever fails.

use murmuration_account::Profile;
use murmuration_bridge::plc::Operation;
use murmuration_keys::{Curve, SigningKey};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::host::directory::{Change, Claim, Status};
use serde_json::{Value, json};

use crate::world::alice::Alice;
use crate::world::ask::OPERATOR;
use crate::world::{Fault, World, block_on, did};

const UPDATE: &str = "com.atproto.identity.updateHandle";
const RESOLVE: &str = "com.atproto.identity.resolveHandle";

impl Alice {
    fn update(&self, handle: &str) -> (u16, String) {
        let (code, answer) = self.world.post_as(Some(&self.token), UPDATE, &json!({ "handle": handle }));
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    }

    /// The handle in the directory, the document, the object and the last event; and what still leads to the account.
    fn names(&self) -> [Option<String>; 4] {
        let entry = block_on(Directory::new(&self.world.shelf.store).by_did(&self.did)).unwrap().unwrap();
        assert_eq!(entry.change, None, "a change is under way");
        let state = self.world.network.state(&self.did).unwrap();
        [
            Some(entry.handle.to_string()),
            state.handle().map(|handle| handle.to_string()),
            Some(self.object_handle()),
            self.told().last().cloned().flatten(),
        ]
    }

    fn object_handle(&self) -> String {
        self.world.objects.accounts.borrow()[&self.did].profile().unwrap().handle.to_string()
    }

    fn resolve(&self, handle: &str) -> Option<String> {
        let (code, answer) = self.world.get(RESOLVE, &[("handle", handle)]);
        (code == 200).then(|| answer["did"].as_str().unwrap().to_owned())
    }

    /// Asserts that all places agree on a handle, and that only this one leads here.
    fn assert_whole(&self, handle: &str, what: &str) {
        assert_eq!(self.names(), [0; 4].map(|_| Some(handle.to_owned())), "{what}");
        for name in ["alice.test", "alicia.test"] {
            let wanted = (name == handle).then(|| self.did.to_string());
            assert_eq!(self.resolve(name), wanted, "{what}: {name}");
        }
    }
}

fn page(world: &World, url: &str, status: u16, body: &str) {
    world.network.pages.borrow_mut().insert(url.into(), (status, body.into()));
}

fn dns(world: &World, handle: &str, dids: &[&str]) {
    let url = format!("https://cloudflare-dns.com/dns-query?name=_atproto.{handle}&type=TXT");
    let records: Vec<_> =
        dids.iter().map(|did| json!({ "type": 16, "data": format!("\"did={did}\"") })).collect();
    page(world, &url, 200, &json!({ "Status": 0, "Answer": records }).to_string());
    page(world, &format!("https://{handle}/.well-known/atproto-did"), 404, "");
}

#[test]
fn a_handle_changes_in_all_four_places_and_the_old_one_is_free() {
    let alice = Alice::new();
    assert_eq!(alice.update("Alicia.test").0, 200);
    alice.assert_whole("alicia.test", "after the change");
    assert_eq!(alice.told().len(), 2);
    assert_eq!(alice.world.login("alicia.test", "alice's password").0, 200);
    assert_eq!(alice.world.login("alice.test", "alice's password").0, 401);
    let (code, answer) = alice.world.create_with("alice", json!({ "email": "other@example.com" }));
    assert_eq!(code, 200, "{answer}");
}

#[test]
fn the_same_handle_again_is_told_again_and_makes_the_document_right() {
    let alice = Alice::new();
    assert_eq!(alice.update("alice.test").0, 200);
    assert_eq!(alice.told(), [Some("alice.test".to_owned()), Some("alice.test".to_owned())]);
    assert_eq!(alice.world.network.log.borrow()[&alice.did].len(), 1, "no operation says nothing");
    let state = alice.world.network.state(&alice.did).unwrap();
    alice.put_state(state.with_handle(&"elsewhere.example.com".parse().unwrap()));
    assert_eq!(alice.update("alice.test").0, 200);
    alice.assert_whole("alice.test", "after a change elsewhere");
}

impl Alice {
    fn edit(&self, edit: impl FnOnce(&mut Profile)) {
        self.world.objects.accounts.borrow()[&self.did].edit(&[], 1, edit).unwrap();
    }

    /// Gives the DID another state.
    fn put_state(&self, state: murmuration_bridge::plc::State) {
        let mut log = self.world.network.log.borrow()[&self.did].clone();
        let key = &self.world.config.plc_rotation_key;
        log.push(Operation::update(&log.last().unwrap().cid(), state, key).unwrap());
        self.world.network.log.borrow_mut().insert(self.did.clone(), log);
    }
}

#[test]
fn only_the_bearer_of_an_access_token_changes_a_handle() {
    let alice = Alice::new();
    let input = json!({ "handle": "alicia.test" });
    assert_eq!(alice.world.post(UPDATE, &input).0, 401);
    alice.assert_whole("alice.test", "nobody asked");
    alice.edit(|profile| profile.takedown = Some("1".into()));
    assert_eq!(alice.update("alicia.test"), (401, "AccountTakedown".into()));
    alice.edit(|profile| (profile.takedown, profile.deactivated) = (None, true));
    assert_eq!(alice.update("alicia.test").0, 200, "somebody who moves in or out may");
}

#[test]
fn refuses_a_handle_that_is_not_right_and_changes_nothing() {
    let alice = Alice::new();
    assert_eq!(alice.world.create("bob").0, 200);
    for (handle, error) in [
        ("ab.test", "InvalidHandle"),
        ("a234567890123456789.test", "InvalidHandle"),
        ("some.one.test", "InvalidHandle"),
        ("alice.local", "InvalidHandle"),
        ("handle.invalid", "InvalidHandle"),
        ("admin.test", "HandleNotAvailable"),
        ("bob.test", "HandleNotAvailable"),
        ("no handle", "InvalidRequest"),
        ("alice", "InvalidRequest"),
        ("", "InvalidRequest"),
    ] {
        assert_eq!(alice.update(handle), (400, error.into()), "{handle}");
    }
    alice.assert_whole("alice.test", "after refusals");
    assert_eq!(alice.told().len(), 1);
}

#[test]
fn the_operator_may_give_out_a_reserved_handle_but_no_ill_formed_one() {
    let alice = Alice::new();
    let change = |handle: &str| {
        let handle = handle.parse().unwrap();
        block_on(alice.world.host().change_handle(&alice.did, &handle))
            .map_err(|e: XrpcError| e.error().to_owned())
    };
    assert_eq!(change("ab.test"), Err("InvalidHandle".into()));
    assert_eq!(change("admin.test"), Ok(()));
    assert_eq!(alice.names(), [0; 4].map(|_| Some("admin.test".to_owned())));
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    let refused = block_on(alice.world.host().change_handle(&nobody, &"carol.test".parse().unwrap()));
    assert_eq!(refused.unwrap_err().error(), "RepoNotFound");
}

#[test]
fn no_account_goes_by_the_name_of_the_host() {
    let world = World::with(&[("PDS_HOSTNAME", "Nest.test"), ("PUBLIC_URL", "https://nest.test")]);
    let (_, answer) = world.create("alice");
    let input = json!({ "did": answer["did"], "handle": "nest.test" });
    let refused = |answer: (u16, Value)| {
        assert_eq!((answer.0, &answer.1["error"]), (400, &json!("HandleNotAvailable")))
    };
    refused(world.create("nest"));
    refused(world.post_as(answer["accessJwt"].as_str(), UPDATE, &json!({ "handle": "nest.test" })));
    refused(world.ask("com.atproto.admin.updateAccountHandle", Some(OPERATOR), &[], &input));
    assert_eq!(world.page(Some("nest.test"), "/.well-known/atproto-did").0, 404);
}

#[test]
fn ones_own_domain_must_point_at_the_account() {
    let alice = Alice::new();
    let own = "alice.example.com";
    assert_eq!(alice.update(own), (502, "UpstreamFailure".into()), "nobody answers");
    dns(&alice.world, own, &[]);
    assert_eq!(alice.update(own), (400, "InvalidRequest".into()));
    dns(&alice.world, own, &["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"]);
    assert_eq!(alice.update(own), (400, "InvalidRequest".into()));
    dns(&alice.world, own, &[alice.did.as_str(), "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"]);
    assert_eq!(alice.update(own), (400, "InvalidRequest".into()), "two records");
    alice.assert_whole("alice.test", "before the domain points here");
    dns(&alice.world, own, &[alice.did.as_str()]);
    assert_eq!(alice.update(own).0, 200);
    assert_eq!(alice.names(), [0; 4].map(|_| Some(own.to_owned())));
    // The file says the same as the record.
    dns(&alice.world, "alice.example.org", &[]);
    page(&alice.world, "https://alice.example.org/.well-known/atproto-did", 200, alice.did.as_str());
    assert_eq!(alice.update("alice.example.org").0, 200);
    assert_eq!(alice.update("alice.test").0, 200);
    alice.assert_whole("alice.test", "after the way back");
}

#[test]
fn a_recovery_key_stays_in_front() {
    let world = World::new();
    let own = SigningKey::from_bytes(Curve::P256, &[5; 32]).unwrap().did_key();
    let (_, answer) = world.create_with("alice", json!({ "recoveryKey": own }));
    let host = world.config.plc_rotation_key.did_key();
    let token = answer["accessJwt"].as_str();
    assert_eq!(world.post_as(token, UPDATE, &json!({ "handle": "alicia.test" })).0, 200);
    assert_eq!(world.network.state(&did(&answer["did"])).unwrap().rotation_keys, [own, host]);
}

#[test]
fn a_did_that_this_host_may_not_change_keeps_its_handle_until_it_claims_the_new_one() {
    let alice = Alice::new();
    let stranger = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
    let mut state = alice.world.network.state(&alice.did).unwrap();
    state.rotation_keys = vec![stranger.did_key()];
    alice.put_state(state.clone());
    assert_eq!(alice.update("alicia.test"), (400, "InvalidRequest".into()));
    alice.assert_whole("alice.test", "without a key");
    let mut log = alice.world.network.log.borrow()[&alice.did].clone();
    let state = state.with_handle(&"alicia.test".parse().unwrap());
    log.push(Operation::update(&log.last().unwrap().cid(), state, &stranger).unwrap());
    alice.world.network.log.borrow_mut().insert(alice.did.clone(), log);
    assert_eq!(alice.update("alicia.test").0, 200);
    alice.assert_whole("alicia.test", "after its owner changed the document");
}

#[test]
fn a_handle_on_its_way_is_nobody_elses() {
    let alice = Alice::new();
    let directory = Directory::new(&alice.world.shelf.store);
    let next = Change { handle: "alicia.test".parse().unwrap(), since_millis: alice.world.now_millis() };
    block_on(directory.begin_change(&alice.did, &next)).unwrap();
    // Both lead to the account, and neither is to be had.
    for name in ["alice", "alicia"] {
        assert_eq!(alice.resolve(&format!("{name}.test")), Some(alice.did.to_string()));
        let (code, answer) = alice.world.create_with(name, json!({ "email": "other@example.com" }));
        assert_eq!((code, &answer["error"]), (400, &json!("HandleNotAvailable")), "{answer}");
    }
    let bob = alice.world.create("bob").1;
    let taken = alice.world.post_as(bob["accessJwt"].as_str(), UPDATE, &json!({ "handle": "alicia.test" }));
    assert_eq!((taken.0, &taken.1["error"]), (400, &json!("HandleNotAvailable")));
    assert_eq!(alice.update("alyx.test"), (400, "InvalidRequest".into()), "one change at a time");
    // It died: the next who asks settles it.
    alice.world.pass_minutes(6);
    assert_eq!(alice.update("alyx.test").0, 200);
    assert_eq!(alice.names(), [0; 4].map(|_| Some("alyx.test".to_owned())));
    let taken = alice.world.post_as(bob["accessJwt"].as_str(), UPDATE, &json!({ "handle": "alicia.test" }));
    assert_eq!(taken.0, 200);
}

#[test]
fn who_settles_a_dead_change_late_leaves_a_new_one_to_the_same_handle_alone() {
    let alice = Alice::new();
    let directory = Directory::new(&alice.world.shelf.store);
    let dead = Change { handle: "alicia.test".parse().unwrap(), since_millis: alice.world.now_millis() };
    assert_eq!(block_on(directory.begin_change(&alice.did, &dead)).unwrap(), Claim::Made);
    // Two isolates find it dead. One has dropped it, and its owner tries again, before the other is done.
    block_on(directory.drop_change(&alice.did, &dead)).unwrap();
    let new = Change { since_millis: dead.since_millis + 400_000, ..dead.clone() };
    assert_eq!(block_on(directory.begin_change(&alice.did, &new)).unwrap(), Claim::Made);
    block_on(directory.drop_change(&alice.did, &dead)).unwrap();
    assert!(!block_on(directory.finish_change(&alice.did, &dead)).unwrap());
    let entry = block_on(directory.by_did(&alice.did)).unwrap().unwrap();
    assert_eq!(entry.change.as_ref(), Some(&new));
    assert!(block_on(directory.finish_change(&alice.did, &new)).unwrap());
}

#[test]
fn an_abandoned_reservation_gives_its_handle_up() {
    let alice = Alice::new();
    alice.world.faults.planned.set(Some(Fault::Dead(alice.world.faults.calls.get() + 1)));
    assert_eq!(alice.world.create("bob").0, 502);
    alice.world.faults.planned.set(None);
    assert_eq!(alice.update("bob.test"), (400, "HandleNotAvailable".into()));
    alice.world.pass_minutes(6);
    assert_eq!(alice.update("bob.test").0, 200);
}

/// How many calls of the outside a change makes.
fn calls_of_a_change() -> usize {
    let alice = Alice::new();
    let before = alice.world.faults.calls.get();
    assert_eq!(alice.update("alicia.test").0, 200);
    alice.world.faults.calls.get() - before
}

#[test]
fn sim_one_call_that_fails_leaves_the_old_handle_or_the_new_one() {
    let (mut kept, mut changed) = (0, 0);
    for number in 0..calls_of_a_change() {
        for fault in [Fault::Refused, Fault::Lost] {
            let alice = Alice::new();
            let fault = fault(alice.world.faults.calls.get() + number);
            alice.world.faults.planned.set(Some(fault));
            let (code, error) = alice.update("alicia.test");
            alice.world.faults.planned.set(None);
            let what = format!("{fault:?}: {code} {error}");
            assert!(code == 200 || code >= 500, "{what}");
            alice.assert_whole(if code == 200 { "alicia.test" } else { "alice.test" }, &what);
            *(if code == 200 { &mut changed } else { &mut kept }) += 1;
            // Whoever asks again gets it.
            assert_eq!(alice.update("alicia.test").0, 200, "{what}");
            alice.assert_whole("alicia.test", &what);
        }
    }
    assert!(kept > 0 && changed > 0, "{kept} {changed}");
}

#[test]
fn sim_a_worker_that_dies_leaves_a_change_that_is_settled_by_the_next_look() {
    let (mut kept, mut changed, mut settled) = (0, 0, 0);
    for number in 0..calls_of_a_change() {
        let alice = Alice::new();
        alice.world.faults.planned.set(Some(Fault::Dead(alice.world.faults.calls.get() + number)));
        let (code, _) = alice.update("alicia.test");
        alice.world.faults.planned.set(None);
        let what = format!("dead at {number}: {code}");
        // Until then the handle that the document claims leads here, so nobody sees one that is not verified.
        let claimed = alice.world.network.state(&alice.did).unwrap().handle().unwrap();
        assert_eq!(alice.resolve(claimed.as_str()), Some(alice.did.to_string()), "{what}");
        let entry = block_on(Directory::new(&alice.world.shelf.store).by_did(&alice.did)).unwrap().unwrap();
        assert_eq!(entry.status, Status::Active);
        settled += usize::from(entry.change.is_some());
        alice.world.pass_minutes(6);
        alice.resolve("alice.test");
        alice.resolve("alicia.test");
        let now = alice.object_handle();
        alice.assert_whole(&now, &what);
        assert!(code != 200 || now == "alicia.test", "{what}");
        *(if now == "alicia.test" { &mut changed } else { &mut kept }) += 1;
    }
    assert!(kept > 0 && changed > 0 && settled > 0, "{kept} {changed} {settled}");
}

#[test]
fn an_object_that_does_not_do_its_part_leaves_the_old_handle() {
    let alice = Alice::new();
    alice.world.objects.deaf.set(true);
    assert_eq!(alice.update("alicia.test").0, 500);
    alice.world.objects.deaf.set(false);
    alice.assert_whole("alice.test", "the object refused");
    assert_eq!(alice.world.network.log.borrow()[&alice.did].len(), 3, "there and back");
    assert_eq!(alice.update("alicia.test").0, 200);
}

#[test]
fn a_plc_directory_that_is_away_or_refuses_leaves_the_old_handle() {
    let alice = Alice::new();
    alice.world.network.plc_refuses.set(true);
    assert_eq!(alice.update("alicia.test"), (400, "InvalidRequest".into()));
    alice.world.network.plc_refuses.set(false);
    alice.assert_whole("alice.test", "refused");
    alice.world.network.plc_is_away.set(true);
    assert_eq!(alice.update("alicia.test"), (502, "UpstreamFailure".into()));
    alice.world.network.plc_is_away.set(false);
    alice.assert_whole("alice.test", "away");
}

#[test]
fn a_log_that_does_not_verify_is_not_built_upon() {
    let alice = Alice::new();
    let stranger = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
    let mut log = alice.world.network.log.borrow()[&alice.did].clone();
    let honest = log.clone();
    let state = alice.world.network.state(&alice.did).unwrap();
    log.push(Operation::update(&log[0].cid(), state.with_pds("https://evil.example"), &stranger).unwrap());
    alice.world.network.log.borrow_mut().insert(alice.did.clone(), log);
    assert_eq!(alice.update("alicia.test"), (502, "UpstreamFailure".into()));
    alice.world.network.log.borrow_mut().insert(alice.did.clone(), honest);
    alice.assert_whole("alice.test", "a forged log");
}
