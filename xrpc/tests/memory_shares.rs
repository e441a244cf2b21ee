//! Memories that are shared, on one host and across two.

use murmuration_data::json as data;
use murmuration_lexicons::{Catalog, output};
use murmuration_platform::Store;
use murmuration_syntax::Did;
use serde_json::{Value, json};

use crate::world::World;
use crate::world::agents::Agent;
use crate::world::hosts::{Hosts, Weather};
use crate::world::memories::{ask, call, refused};

const TEXT: &str = "the vault opens at nine";

/// The address of a new note.
fn remember(world: &World, agent: &Agent, text: &str) -> String {
    world.pass_minutes(1);
    let record = json!({ "$type": "agent.memory.note", "summary": text });
    call(world, agent, "createMemory", &json!({ "record": record }))["uri"].as_str().unwrap().to_owned()
}

fn update(world: &World, agent: &Agent, uri: &str, text: &str) {
    world.pass_minutes(1);
    let record = json!({ "$type": "agent.memory.note", "summary": text });
    call(world, agent, "updateMemory", &json!({ "uri": uri, "record": record }));
}

fn share(world: &World, agent: &Agent, uri: &str, with: &[&Did]) -> Value {
    call(world, agent, "shareMemory", &json!({ "uri": uri, "subjects": with }))
}

fn revoke(world: &World, agent: &Agent, uri: &str, from: &[&Did]) -> Value {
    call(world, agent, "revokeShare", &json!({ "uri": uri, "subjects": from }))
}

/// What an agent reads at an address, or the error.
fn read(world: &World, agent: &Agent, uri: &str) -> Result<String, (u16, String)> {
    match ask(world, agent, "getMemory", &[("uri", uri)], &Value::Null) {
        (200, view) => Ok(view["record"]["summary"].as_str().unwrap().to_owned()),
        (code, error) => Err((code, error.to_string())),
    }
}

fn shares(world: &World, agent: &Agent, direction: &str) -> Vec<(String, String)> {
    let (code, answer) = ask(world, agent, "listShares", &[("direction", direction)], &Value::Null);
    assert_eq!(code, 200, "{answer}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    answer["shares"].as_array().unwrap().iter().map(|it| (text(&it["uri"]), text(&it["subject"]))).collect()
}

#[test]
fn a_reader_of_the_same_host_is_told_and_reads_until_the_share_ends() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    let uri = remember(&world, &alice, TEXT);
    let missing = format!("at://{}/agent.memory.note/3jzfcijpj2z2a", alice.did);
    let nothing = read(&world, &bob, &missing).unwrap_err();
    assert_eq!(
        nothing,
        (400, json!({ "error": "MemoryNotFound", "message": "Could not find memory" }).to_string())
    );
    assert_eq!(read(&world, &bob, &uri), Err(nothing.clone()), "whether or not it is there");

    let answer = share(&world, &alice, &uri, &[&bob.did]);
    assert_eq!(answer["shares"][0]["subject"], json!(bob.did));
    assert_eq!(answer["shares"][0]["kid"], format!("{}#agent-pq-1", bob.did));
    let items = world.claim(&bob);
    assert_eq!(items.len(), 1);
    assert_eq!(
        items[0]["record"]["content"],
        json!({ "kind": "ref", "uri": uri, "schema": "agent.memory.note" })
    );
    world.done(&bob, &items);
    let (_, view) = ask(&world, &bob, "getMemory", &[("uri", &uri)], &Value::Null);
    assert_eq!((&view["author"], &view["privacy"]), (&json!(alice.did), &json!("shared")));
    assert_eq!(view["record"]["summary"], TEXT);
    let (_, own) = ask(&world, &alice, "getMemory", &[("uri", &uri)], &Value::Null);
    assert_eq!(own["privacy"], "shared");
    for field in ["uri", "cid", "rev", "collection", "record", "createdAt", "updatedAt"] {
        assert_eq!(view[field], own[field], "{field}");
    }
    assert_eq!(read(&world, &carol, &uri), Err(nothing.clone()));
    // Twice is once, and nobody is told again.
    share(&world, &alice, &uri, &[&bob.did]);
    assert!(world.claim(&bob).is_empty());
    share(&world, &alice, &uri, &[&bob.did, &carol.did]);
    assert!(world.claim(&bob).is_empty());
    assert_eq!(world.claim(&carol).len(), 1);
    let pair = |agent: &Agent| (uri.clone(), agent.did.to_string());
    let mut both = vec![pair(&bob), pair(&carol)];
    both.sort();
    assert_eq!(shares(&world, &alice, "granted"), both);
    assert_eq!(shares(&world, &bob, "received"), [pair(&bob)]);
    assert_eq!(shares(&world, &bob, "granted"), []);

    update(&world, &alice, &uri, "at ten");
    assert_eq!(read(&world, &bob, &uri).as_deref(), Ok("at ten"));
    let left = revoke(&world, &alice, &uri, &[&bob.did]);
    assert_eq!(left["shares"].as_array().unwrap().len(), 1);
    assert_eq!(read(&world, &bob, &uri), Err(nothing.clone()));
    assert_eq!(shares(&world, &bob, "received"), [], "what is not to be read any more is not listed");
    update(&world, &alice, &uri, "at eleven");
    assert_eq!(read(&world, &bob, &uri), Err(nothing.clone()));
    assert_eq!(read(&world, &carol, &uri).as_deref(), Ok("at eleven"));
    call(&world, &alice, "deleteMemory", &json!({ "uri": uri }));
    assert_eq!(read(&world, &carol, &uri), Err(nothing.clone()));
    // Nor is an account that is not there, or says nothing to anybody.
    for did in ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".to_owned(), bob.did.to_string()] {
        assert_eq!(
            read(&world, &carol, &format!("at://{did}/agent.memory.note/3jzfcijpj2z2a")),
            Err(nothing.clone())
        );
    }
}

#[test]
fn what_cannot_be_shared_is_refused_and_nobody_is_told() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.agent(name));
    let uri = remember(&world, &alice, TEXT);
    let theirs = remember(&world, &bob, "bob's");
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    for (uri, subjects, error) in [
        (theirs.as_str(), json!([bob.did]), "InvalidRequest|MemoryNotFound"),
        ("at://did:plc:x/agent.memory.note/3jzfcijpj2z2a", json!([bob.did]), "MemoryNotFound"),
        (&uri, json!([alice.did]), "InvalidRequest"),
        (&uri, json!([nobody]), "RecipientNotFound"),
        (&uri, json!([bob.did, nobody]), "RecipientNotFound"),
        (&uri, json!([]), "InvalidRequest"),
    ] {
        let got = refused(&world, &alice, "shareMemory", &json!({ "uri": uri, "subjects": subjects }));
        assert!(error.split('|').any(|error| error == got), "{uri} {subjects}: {got}");
    }
    let input = json!({ "uri": theirs, "subjects": [bob.did] });
    assert_eq!(refused(&world, &alice, "revokeShare", &input), "MemoryNotFound");
    assert_eq!(shares(&world, &alice, "granted"), []);
    assert!(world.claim(&bob).is_empty());
    // Who says in a message of that thread that somebody else shares is not believed.
    let record = json!({ "$type": "agent.comms.message", "thread": "agent.memory.shares.x",
        "content": { "kind": "ref", "uri": uri } });
    let (code, answer) = world.call(&bob, "sendMessage", &json!({ "record": record, "to": [alice.did] }));
    assert_eq!(code, 200, "{answer}");
    assert_eq!(shares(&world, &alice, "received"), []);
}

#[test]
fn a_reader_of_another_host_reads_by_service_authentication() {
    let mut hosts = Hosts::new();
    hosts.bob_publishes_keys();
    hosts.there.say_of(&hosts.bob, &hosts.alice.did, "allowed");
    // Bob's host asks Alice's; and Alice's asks Bob's, as `Hosts` has it.
    let here = std::rc::Rc::new(std::mem::replace(&mut hosts.here, World::new()));
    let (there, bob) = (hosts.there.clone(), &hosts.bob);
    let beyond = here.clone();
    let tokens = std::rc::Rc::<std::cell::RefCell<Vec<String>>>::default();
    let (seen, weather) = (tokens.clone(), hosts.weather.clone());
    *there.network.peer.borrow_mut() = Some(Box::new(move |request| {
        let path = request.url.strip_prefix("https://pds.example/xrpc/")?;
        if weather.get() == Weather::Dead {
            return None;
        }
        let (nsid, query) = path.split_once('?').unwrap_or((path, ""));
        let decode =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let header =
            request.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
        seen.borrow_mut().extend(header.map(str::to_owned));
        let (status, body) = beyond.ask(nsid, header, &query, &Value::Null);
        Some((status, Vec::new(), body.to_string().into_bytes()))
    }));
    let alice = &hosts.alice;
    let zoe = here.agent("zoe");
    let pass = || [&here, &there].iter().for_each(|world| world.pass_minutes(11));
    let uri = remember(&here, alice, TEXT);
    there.pass_minutes(1);
    let nothing = read(&there, bob, &uri).unwrap_err();
    assert_eq!(
        nothing,
        (400, json!({ "error": "MemoryNotFound", "message": "Could not find memory" }).to_string())
    );

    share(&here, alice, &uri, &[&bob.did]);
    let items = there.claim(bob);
    assert_eq!(items[0]["record"]["content"]["uri"], json!(uri));
    assert_eq!(shares(&there, bob, "received"), [(uri.clone(), bob.did.to_string())]);
    assert_eq!(read(&there, bob, &uri).as_deref(), Ok(TEXT));
    // A token is Bob's, for this method, and used once; what it gets is sealed.
    let lxm = "agent.memory.getSharedMemory";
    let get = |header: &str| {
        let key = format!("{}#agent-pq-1", bob.did);
        here.ask(lxm, Some(header), &[("uri", &uri), ("key", &key)], &Value::Null)
    };
    let used = tokens.borrow().last().unwrap().clone();
    assert_eq!(get(&used).0, 401);
    let token = |of: &Agent, world: &World, lxm: &str| {
        let query = [("aud", format!("{}#agent_inbox", alice.did)), ("lxm", lxm.to_owned())];
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (code, answer) = world.get_as(Some(&of.token), "com.atproto.server.getServiceAuth", &query);
        assert_eq!(code, 200, "{answer}");
        format!("Bearer {}", answer["token"].as_str().unwrap())
    };
    let (code, given) = get(&token(bob, &there, lxm));
    assert_eq!(code, 200, "{given}");
    output(Catalog::builtin(), lxm, &data::from_value(&given).unwrap()).unwrap();
    assert!(!given.to_string().contains("vault"));
    assert_eq!(get(&token(bob, &there, "agent.comms.deliver")).0, 401);
    let (code, refused) = get(&token(&zoe, &here, lxm));
    assert_eq!((code, &refused["error"]), (400, &json!("MemoryNotFound")));

    // Rotations of either side, and of both.
    for (world, agent) in [(&*there, bob), (&*here, alice), (&*there, bob)] {
        let (code, answer) = world.post_as(Some(&agent.token), "agent.identity.rotateKeys", &json!({}));
        assert_eq!(code, 200, "{answer}");
        assert_eq!(read(&there, bob, &uri).as_deref(), Ok(TEXT));
        pass();
        assert_eq!(read(&there, bob, &uri).as_deref(), Ok(TEXT));
    }
    let (_, listed) = ask(&here, alice, "listShares", &[("uri", &uri)], &Value::Null);
    assert_eq!(listed["shares"][0]["kid"], format!("{}#agent-pq-3", bob.did), "it is sealed to the latest");
    update(&here, alice, &uri, "at ten");
    there.pass_minutes(1);
    assert_eq!(read(&there, bob, &uri).as_deref(), Ok("at ten"));
    // A version that is too large for a row, and one that is not.
    let text = "at ten ".repeat(40_000);
    let record = json!({ "$type": "agent.memory.note", "summary": "large", "text": text });
    call(&here, alice, "updateMemory", &json!({ "uri": uri, "record": record }));
    let (_, view) = ask(&there, bob, "getMemory", &[("uri", &uri)], &Value::Null);
    assert_eq!(view["record"]["text"], text);
    here.objects.bucket.is_away.set(true);
    assert_eq!(read(&there, bob, &uri).unwrap_err().0, 502, "the author's blob storage is away");
    here.objects.bucket.is_away.set(false);
    update(&here, alice, &uri, "at ten");
    there.pass_minutes(1);
    assert_eq!(read(&there, bob, &uri).as_deref(), Ok("at ten"));
    hosts.weather.set(Weather::Dead);
    assert_eq!(read(&there, bob, &uri).unwrap_err().0, 502, "the author's host is away");
    hosts.weather.set(Weather::Fine);
    // Nothing of it stays with the reader.
    for value in crate::world::everything_in(&there.objects.store(&bob.did)) {
        assert!(!value.windows(6).any(|window| window == b"at ten"));
    }

    revoke(&here, alice, &uri, &[&bob.did]);
    assert_eq!(read(&there, bob, &uri), Err(nothing.clone()));
    update(&here, alice, &uri, "at eleven");
    there.pass_minutes(1);
    assert_eq!(read(&there, bob, &uri), Err(nothing));
    assert_eq!(shares(&there, bob, "received"), []);
}

#[test]
fn what_a_stranger_shares_is_not_listed_before_it_is_allowed_however_often_it_comes() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let (bob, there) = (&hosts.bob, &hosts.there);
    let uri = remember(&hosts.here, &hosts.alice, TEXT);
    share(&hosts.here, &hosts.alice, &uri, &[&bob.did]);
    let (_, waiting) = there.look(bob, "listInbox", &[("state", "quarantined")]);
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1);
    let parcel = hosts.deliveries.borrow().last().unwrap().1.clone();
    let token = hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver");
    assert_eq!(hosts.deliver(&token, &parcel), (200, "duplicate".into()));
    assert_eq!(shares(there, bob, "received"), []);
    there.say_of(bob, &hosts.alice.did, "allowed");
    assert_eq!(there.claim(bob).len(), 1);
    assert_eq!(shares(there, bob, "received"), [(uri, bob.did.to_string())]);
}

#[test]
fn a_notice_whose_storage_fails_comes_whole_when_it_comes_again() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let (bob, there) = (&hosts.bob, &hosts.there);
    there.say_of(bob, &hosts.alice.did, "allowed");
    for number in 0.. {
        let uri = remember(&hosts.here, &hosts.alice, TEXT);
        hosts.there.pass_minutes(1);
        hosts.weather.set(Weather::Away);
        share(&hosts.here, &hosts.alice, &uri, &[&bob.did]);
        hosts.weather.set(Weather::Fine);
        let thread = hosts.here.look(&hosts.alice, "listThreads", &[]).1["threads"][0]["id"].clone();
        let (_, page) = hosts.here.look(&hosts.alice, "getThread", &[("thread", thread.as_str().unwrap())]);
        let parcel = page["items"].as_array().unwrap().last().unwrap()["parcel"].clone();
        let token = || hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver");
        let store = there.objects.store(&bob.did);
        store.fail_after(Some(number));
        let (code, error) = hosts.deliver(&token(), &parcel);
        store.fail_after(None);
        if code == 200 {
            assert!(number > 5, "{number}");
            break;
        }
        assert_eq!(code, 500, "statement {number}: {error}");
        assert_eq!(hosts.deliver(&token(), &parcel), (200, "delivered".into()), "statement {number}");
        assert!(
            shares(there, bob, "received").iter().any(|(listed, _)| *listed == uri),
            "statement {number}"
        );
    }
}

#[test]
fn a_memory_is_published_on_purpose_and_its_private_copy_is_gone() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.agent(name));
    let uri = remember(&world, &alice, TEXT);
    let other = remember(&world, &alice, "stays");
    share(&world, &alice, &uri, &[&bob.did]);
    assert_eq!(read(&world, &bob, &uri).as_deref(), Ok(TEXT));
    let (_, before) = ask(&world, &alice, "getMemory", &[("uri", &uri)], &Value::Null);
    for confirm in [json!({ "uri": uri, "confirm": false }), json!({ "uri": uri })] {
        let error = refused(&world, &alice, "publishMemory", &confirm);
        assert!(["NotConfirmed", "InvalidRequest"].contains(&error.as_str()), "{error}");
    }
    assert_eq!(
        refused(&world, &bob, "publishMemory", &json!({ "uri": uri, "confirm": true })),
        "MemoryNotFound"
    );
    let rkey = uri.rsplit('/').next().unwrap().to_owned();
    let collection = "agent.memory.note";
    let record = |rkey: &str| {
        let query = [("repo", alice.did.as_str()), ("collection", collection), ("rkey", rkey)];
        world.ask("com.atproto.repo.getRecord", None, &query, &Value::Null)
    };
    assert_eq!(record(&rkey).0, 400);
    let rows = |sql: &str| world.objects.store(&alice.did).query(sql, &[]).unwrap()[0].int(0).unwrap();
    assert_eq!(rows("SELECT count(*) FROM memory_share"), 1);

    world.pass_minutes(1);
    let written = || world.objects.store(&alice.did).counts().written;
    let rows_before = written();
    let answer = call(&world, &alice, "publishMemory", &json!({ "uri": uri, "confirm": true }));
    assert!((8..=9).contains(&(written() - rows_before)), "{}", written() - rows_before);
    assert_eq!((&answer["uri"], &answer["cid"]), (&json!(uri), &before["cid"]));
    let (code, public) = record(&rkey);
    assert_eq!((code, &public["cid"], &public["value"]), (200, &before["cid"], &before["record"]));
    assert_eq!((rows("SELECT count(*) FROM memory_share"), rows("SELECT count(*) FROM memory")), (0, 1));
    for agent in [&alice, &bob] {
        assert_eq!(read(&world, agent, &uri).unwrap_err().0, 400);
    }
    assert_eq!(read(&world, &alice, &other).as_deref(), Ok("stays"));
    let (_, log) = ask(&world, &alice, "listOperations", &[], &Value::Null);
    let last = log["operations"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["rkey"], &last["prev"], &last["cid"]), (&json!(rkey), &before["cid"], &Value::Null));
    assert_eq!(
        refused(&world, &alice, "publishMemory", &json!({ "uri": uri, "confirm": true })),
        "MemoryNotFound"
    );

    // What has a public namesake is not published, and stays as it is.
    let rkey = other.rsplit('/').next().unwrap();
    world.put(
        &alice,
        collection,
        rkey,
        &json!({ "$type": collection, "summary": "x", "createdAt": "2026-11-28T05:00:00.000Z" }),
    );
    assert_eq!(
        refused(&world, &alice, "publishMemory", &json!({ "uri": other, "confirm": true })),
        "AlreadyPublic"
    );
    assert_eq!(read(&world, &alice, &other).as_deref(), Ok("stays"));
}
