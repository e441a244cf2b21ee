//! A new key-encryption key, brought to all that an older one has sealed: also to accounts that sleep.

use std::cell::Cell;

use murmuration_account::Account;
use murmuration_keys::seal::{Keks, kek_version};
use murmuration_platform::{Param, Store};
use murmuration_syntax::Did;
use murmuration_xrpc::host::reseal::Resealed;
use serde_json::{Value, json};

use crate::world::World;
use crate::world::ask::OPERATOR;

const RESEAL: &str = "agent.host.resealSecrets";

fn reseal(world: &World, input: &Value) -> Value {
    let (code, answer) = world.ask(RESEAL, Some(OPERATOR), &[], input);
    assert_eq!(code, 200, "{answer}");
    answer
}

/// A whole pass: its answers.
fn pass(world: &World) -> Vec<Value> {
    let (mut answers, mut input) = (Vec::new(), json!({ "limit": 3 }));
    loop {
        let answer = reseal(world, &input);
        let next = answer["cursor"].as_str().map(str::to_owned);
        answers.push(answer);
        match next {
            Some(next) => input["cursor"] = next.into(),
            None => return answers,
        }
    }
}

/// The versions that an account's secrets are sealed under.
fn versions(world: &World, did: &Did) -> Vec<u32> {
    let sql = "SELECT signing_key FROM account UNION ALL SELECT secrets FROM key_epoch";
    let rows = world.objects.store(did).query(sql, &[]).unwrap();
    rows.into_iter().map(|mut row| kek_version(&row.blob(0).unwrap()).unwrap()).collect()
}

/// A host with agents, whose secrets were sealed under an older key than the one that it has now.
fn world() -> (World, Vec<Did>) {
    let old = format!("1:{}", "11".repeat(32));
    let world = World::with(&[("KEK", &format!("{old},2:{}", "22".repeat(32)))]);
    let mut dids = Vec::new();
    for n in 0..7 {
        dids.push(world.agent(&format!("agent{n}")).did);
    }
    // As an older host would have sealed them.
    let (old, new) = (Keks::parse(&old).unwrap(), &world.config.kek);
    let drawn = Cell::new(0);
    for did in &dids {
        let store = world.objects.store(did);
        for (table, name) in [("account", format!("{did} signing")), ("key_epoch", format!("{did} epoch 1"))]
        {
            let column = if table == "account" { "signing_key" } else { "secrets" };
            let sealed =
                store.query(&format!("SELECT {column} FROM {table}"), &[]).unwrap().remove(0).blob(0);
            let secret = new.open(name.as_bytes(), &sealed.unwrap()).unwrap();
            drawn.set(drawn.get() + 1);
            let sealed = old.seal([drawn.get(); 24], name.as_bytes(), &secret);
            store.query(&format!("UPDATE {table} SET {column} = ?1"), &[Param::Blob(&sealed)]).unwrap();
        }
        world.objects.crash(did);
    }
    (world, dids)
}

#[test]
fn a_pass_of_the_operator_reaches_every_account_and_says_when_the_old_key_can_go() {
    let (world, mut dids) = world();
    for did in &dids {
        assert_eq!(versions(&world, did), [1, 1]);
    }
    *world.objects.webhooks.borrow_mut() = vec![
        Resealed { resealed: 5, failed: Vec::new(), done: true },
        Resealed { resealed: 100, failed: Vec::new(), done: false },
    ];
    let answers = pass(&world);
    let resealed: Vec<u64> = answers.iter().map(|answer| answer["resealed"].as_u64().unwrap()).collect();
    assert_eq!(resealed, [3, 3, 1, 0, 100, 5]);
    assert!(answers.iter().all(|answer| answer["version"] == 2 && answer["failed"] == json!([])));
    dids.sort();
    assert_eq!(answers[0]["cursor"], json!(dids[2]));
    for did in &dids {
        assert_eq!(versions(&world, did), [2, 2]);
        // Without the old key it wakes as ever.
        let keks = Keks::parse(&format!("2:{}", "22".repeat(32))).unwrap();
        let account = Account::new(world.objects.store(did), keks, true);
        account.ring().unwrap();
    }
    // A second pass finds nothing.
    *world.objects.webhooks.borrow_mut() = vec![Resealed { done: true, ..Resealed::default() }];
    assert!(pass(&world).iter().all(|answer| answer["resealed"] == 0));
}

#[test]
fn what_cannot_be_sealed_anew_is_named_and_left_as_it_is() {
    let (world, dids) = world();
    world.objects.broken.borrow_mut().insert(dids[3].clone());
    let store = world.objects.store(&dids[5]);
    let sealed = store.query("SELECT secrets FROM key_epoch", &[]).unwrap().remove(0).blob(0).unwrap();
    let mut wrong = sealed.clone();
    *wrong.last_mut().unwrap() ^= 1;
    store.query("UPDATE key_epoch SET secrets = ?1", &[Param::Blob(&wrong)]).unwrap();
    *world.objects.webhooks.borrow_mut() =
        vec![Resealed { resealed: 0, failed: vec!["af".into()], done: true }];
    let answers = pass(&world);
    let mut failed: Vec<&str> = answers
        .iter()
        .flat_map(|answer| answer["failed"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    failed.sort_unstable();
    let mut expected = vec!["af", dids[3].as_str(), dids[5].as_str()];
    expected.sort_unstable();
    assert_eq!(failed, expected);
    assert_eq!(versions(&world, &dids[3]), [1, 1]);
    assert_eq!(versions(&world, &dids[5]), [1, 1]);
    // When what kept them is over, the next pass does them.
    world.objects.broken.borrow_mut().clear();
    store.query("UPDATE key_epoch SET secrets = ?1", &[Param::Blob(&sealed)]).unwrap();
    *world.objects.webhooks.borrow_mut() = vec![Resealed { done: true, ..Resealed::default() }];
    assert_eq!(pass(&world).iter().map(|answer| answer["resealed"].as_u64().unwrap()).sum::<u64>(), 2);
    assert_eq!((versions(&world, &dids[3]), versions(&world, &dids[5])), (vec![2, 2], vec![2, 2]));
}

#[test]
fn keys_that_are_reserved_are_sealed_anew_and_are_still_those_that_were_promised() {
    let world = World::with(&[("KEK", &format!("1:{},2:{}", "11".repeat(32), "22".repeat(32)))]);
    let old = Keks::parse(&format!("1:{}", "11".repeat(32))).unwrap();
    let store = &world.shelf.store;
    for n in 0..5_u8 {
        let did = format!("did:plc:{}", char::from(b'a' + n).to_string().repeat(24));
        let (code, answer) =
            world.ask("com.atproto.server.reserveSigningKey", None, &[], &json!({ "did": did }));
        assert_eq!(code, 200, "{answer}");
        let public = answer["signingKey"].as_str().unwrap();
        let name = format!("{public} reserved");
        let select = "SELECT secret FROM reserved_key WHERE public_key = ?1";
        let sealed = store.query(select, &[public.into()]).unwrap().remove(0).blob(0).unwrap();
        let secret = world.config.kek.open(name.as_bytes(), &sealed).unwrap();
        let sealed = old.seal([n; 24], name.as_bytes(), &secret);
        let set = "UPDATE reserved_key SET secret = ?2 WHERE public_key = ?1";
        store.query(set, &[public.into(), Param::Blob(&sealed)]).unwrap();
    }
    *world.objects.webhooks.borrow_mut() = vec![Resealed { done: true, ..Resealed::default() }];
    let resealed: Vec<u64> = pass(&world).iter().map(|answer| answer["resealed"].as_u64().unwrap()).collect();
    assert_eq!(resealed, [0, 3, 2, 0]);
    let new = Keks::parse(&format!("2:{}", "22".repeat(32))).unwrap();
    for mut row in store.query("SELECT public_key, secret FROM reserved_key", &[]).unwrap() {
        let (public, sealed) = (row.text(0).unwrap(), row.blob(1).unwrap());
        new.open(format!("{public} reserved").as_bytes(), &sealed).unwrap();
    }
}

#[test]
fn nobody_but_the_operator_has_secrets_sealed_anew() {
    let world = World::new();
    let alice = world.agent("alice");
    for header in [None, Some(format!("Bearer {}", alice.token))] {
        let (code, _) = world.ask(RESEAL, header.as_deref(), &[], &json!({}));
        assert_eq!(code, 401);
    }
    let (code, answer) = world.ask(RESEAL, Some(OPERATOR), &[], &json!({ "cursor": "somewhere" }));
    assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")));
}
