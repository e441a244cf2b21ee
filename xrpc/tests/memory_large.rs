//! Memories that are too large for a row, as a client sees them, whatever the blob storage does.

use murmuration_platform::Clock;
use murmuration_syntax::Did;
use murmuration_xrpc::http::Body;
use serde_json::{Value, json};

use crate::world::agents::Agent;
use crate::world::memories::{ask, call_later};
use crate::world::{World, request};

fn look(world: &World, agent: &Agent, method: &str, query: &[(&str, &str)]) -> Value {
    let (code, answer) = ask(world, agent, method, query, &Value::Null);
    assert_eq!(code, 200, "{method}: {answer}");
    answer
}

/// What is refused, and by which status.
fn refused(world: &World, agent: &Agent, method: &str, input: &Value) -> (u16, String) {
    let (code, answer) = ask(world, agent, method, &[], input);
    (code, answer["error"].as_str().unwrap_or_default().to_owned())
}

fn large(summary: &str) -> Value {
    let text = format!("{} the end of {summary}", "nothing ".repeat(40_000));
    json!({ "$type": "agent.memory.note", "summary": summary, "text": text, "tags": ["large"] })
}

fn remember(world: &World, agent: &Agent, summary: &str) -> String {
    let made = call_later(world, agent, "createMemory", &json!({ "record": large(summary) }));
    made["uri"].as_str().unwrap().to_owned()
}

fn text(world: &World, agent: &Agent, uri: &str) -> Value {
    look(world, agent, "getMemory", &[("uri", uri)])["record"]["text"].clone()
}

fn sweep(world: &World, did: &Did) {
    let accounts = world.objects.accounts.borrow();
    world.objects.sweep(&accounts[did]);
}

fn export(world: &World, agent: &Agent, format: &str) -> Vec<Value> {
    let header = format!("Bearer {}", agent.token);
    let request = request("agent.memory.exportMemories", Some(&header), &[("format", format)], &Value::Null);
    let Body::Stream(_, chunks) = world.send(&request).unwrap().body else { panic!("no stream") };
    let text = String::from_utf8(world.objects.bucket.read(chunks)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_large_memory_is_kept_found_changed_and_published() {
    let world = World::new();
    let alice = world.agent("alice");
    let uri = remember(&world, &alice, "one");
    assert_eq!(text(&world, &alice, &uri), large("one")["text"]);
    let view = look(&world, &alice, "getMemory", &[("uri", &uri)]);
    assert!(view.get("partial").is_none());
    let listed = look(&world, &alice, "listMemories", &[("tag", "large")])["memories"][0].clone();
    assert_eq!((&listed["partial"], &listed["cid"]), (&json!(true), &view["cid"]));
    assert!(listed["record"]["text"].as_str().unwrap().len() < 10_000);
    let found = look(&world, &alice, "searchMemories", &[("q", "end")])["hits"][0]["memory"].clone();
    assert_eq!((&found["uri"], &found["partial"]), (&json!(uri), &json!(true)));
    let block = look(&world, &alice, "getContext", &[("q", "one"), ("maxTokens", "4000")]);
    assert_eq!(block["sources"].as_array().unwrap().len(), 1);
    assert!(look(&world, &alice, "getStats", &[])["bytes"].as_u64().unwrap() > 320_000);

    let update = json!({ "uri": uri, "record": large("two"), "swapRecord": view["cid"] });
    call_later(&world, &alice, "updateMemory", &update);
    assert_eq!(refused(&world, &alice, "updateMemory", &update), (400, "InvalidSwap".into()));
    assert_eq!(text(&world, &alice, &uri), large("two")["text"]);
    let once = json!({ "record": large("once"), "idempotencyKey": "k" });
    let made = call_later(&world, &alice, "createMemory", &once);
    let again = call_later(&world, &alice, "createMemory", &once);
    assert_eq!((&again["uri"], &again["outcome"]), (&made["uri"], &json!("repeated")));
    sweep(&world, &alice.did);
    assert_eq!(world.objects.bucket.len(), 2);

    let mut record = large("too large");
    record["more"] = json!("x".repeat(700_000));
    let refusal = refused(&world, &alice, "createMemory", &json!({ "record": record }));
    assert_eq!(refusal, (400, "RecordTooLarge".into()));
    let published = call_later(&world, &alice, "publishMemory", &json!({ "uri": uri, "confirm": true }));
    sweep(&world, &alice.did);
    assert_eq!(world.objects.bucket.len(), 1);
    let rkey = uri.rsplit('/').next().unwrap();
    let query = [("repo", alice.did.as_str()), ("collection", "agent.memory.note"), ("rkey", rkey)];
    let (_, record) = world.ask("com.atproto.repo.getRecord", None, &query, &Value::Null);
    assert_eq!((&record["cid"], &record["value"]["text"]), (&published["cid"], &large("two")["text"]));
}

#[test]
fn no_method_of_blobs_reaches_what_a_memory_has_in_the_blob_storage() {
    let world = World::new();
    let alice = world.agent("alice");
    remember(&world, &alice, "one");
    let header = format!("Bearer {}", alice.token);
    let did = [("did", alice.did.as_str())];
    let (code, list) = world.ask("com.atproto.sync.listBlobs", Some(&header), &did, &Value::Null);
    assert_eq!((code, &list["cids"]), (200, &json!([])));
    let (code, list) = world.ask("com.atproto.repo.listMissingBlobs", Some(&header), &[], &Value::Null);
    assert_eq!((code, &list["blobs"]), (200, &json!([])));
    let (_, status) = world.ask("com.atproto.server.checkAccountStatus", Some(&header), &[], &Value::Null);
    assert_eq!((&status["importedBlobs"], &status["expectedBlobs"]), (&json!(0), &json!(0)));
    let (name, bytes) = world.objects.bucket.bytes.borrow().clone().pop_first().unwrap();
    for cid in [murmuration_data::cid_of_raw(&bytes).to_string(), name] {
        let query = [("did", alice.did.as_str()), ("cid", cid.as_str())];
        let (code, _) = world.ask("com.atproto.sync.getBlob", Some(&header), &query, &Value::Null);
        assert_eq!(code, 400, "{cid}");
    }
}

#[test]
fn a_blob_storage_that_fails_changes_nothing() {
    let world = World::new();
    let alice = world.agent("alice");
    let uri = remember(&world, &alice, "one");
    let space = || look(&world, &alice, "getStats", &[])["space"].clone();
    let before = space();
    let bucket = &world.objects.bucket;
    let create = json!({ "record": large("two") });
    let update = json!({ "uri": uri, "record": large("two") });
    for fault in [&bucket.is_away, &bucket.is_mute] {
        fault.set(true);
        for (method, input) in [("createMemory", &create), ("updateMemory", &update)] {
            assert_eq!(refused(&world, &alice, method, input), (502, "UpstreamFailure".into()));
        }
        if bucket.is_away.get() {
            let (code, answer) = ask(&world, &alice, "getMemory", &[("uri", &uri)], &Value::Null);
            assert_eq!((code, &answer["error"]), (502, &json!("UpstreamFailure")));
            assert!(!answer.to_string().contains(bucket.bytes.borrow().keys().next().unwrap()));
        }
        fault.set(false);
        assert_eq!(space(), before);
    }
    // What was stored all the same goes, once no call can come back for it.
    assert_eq!(bucket.len(), 3);
    sweep(&world, &alice.did);
    assert_eq!(bucket.len(), 3);
    world.pass_minutes(10);
    bucket.is_away.set(true);
    sweep(&world, &alice.did);
    bucket.is_away.set(false);
    world.pass_minutes(60);
    sweep(&world, &alice.did);
    assert_eq!(bucket.len(), 1);
    assert_eq!(text(&world, &alice, &uri), large("one")["text"]);
    let due = || world.inside(&alice.did, |context| context.account.memory_blob_due().unwrap());
    assert_eq!(due(), None);

    // An object that dies with what is stored and not named.
    bucket.is_mute.set(true);
    refused(&world, &alice, "createMemory", &create);
    bucket.is_mute.set(false);
    world.objects.crash(&alice.did);
    assert_eq!(due(), Some(world.clock.now_micros() + 10 * 60 * 1_000_000));
    assert_eq!(call_later(&world, &alice, "createMemory", &create)["outcome"], "created");
    world.pass_minutes(10);
    sweep(&world, &alice.did);
    assert_eq!(bucket.len(), 2);

    // Bytes that are gone are a fault of ours, and no other memory's.
    let names: Vec<String> = bucket.bytes.borrow().keys().cloned().collect();
    let kept = bucket.bytes.borrow_mut().remove(&names[0]).unwrap();
    let reads = |uri: &str| ask(&world, &alice, "getMemory", &[("uri", uri)], &Value::Null).0;
    let all = look(&world, &alice, "listMemories", &[]);
    let uris = all["memories"].as_array().unwrap().iter().map(|memory| memory["uri"].as_str().unwrap());
    let mut codes: Vec<u16> = uris.map(reads).collect();
    codes.sort_unstable();
    assert_eq!(codes, [200, 500]);
    bucket.bytes.borrow_mut().insert(names[0].clone(), kept);
}

#[test]
fn a_large_memory_is_read_by_whom_it_is_shared_with() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.agent(name));
    let uri = remember(&world, &alice, "one");
    call_later(&world, &alice, "shareMemory", &json!({ "uri": uri, "subjects": [bob.did] }));
    assert_eq!(text(&world, &bob, &uri), large("one")["text"]);
    call_later(&world, &alice, "updateMemory", &json!({ "uri": uri, "record": large("two") }));
    assert_eq!(text(&world, &bob, &uri), large("two")["text"]);
    world.objects.bucket.is_away.set(true);
    // Who may not read it learns nothing of where it lies.
    for (reader, code, error) in [(&bob, 502, "UpstreamFailure"), (&carol, 400, "MemoryNotFound")] {
        let answer = ask(&world, reader, "getMemory", &[("uri", &uri)], &Value::Null);
        assert_eq!((answer.0, &answer.1["error"]), (code, &json!(error)));
    }
    world.objects.bucket.is_away.set(false);
    call_later(&world, &alice, "revokeShare", &json!({ "uri": uri, "subjects": [bob.did] }));
    let answer = ask(&world, &bob, "getMemory", &[("uri", &uri)], &Value::Null);
    assert_eq!((answer.0, &answer.1["error"]), (400, &json!("MemoryNotFound")));
    assert_eq!(text(&world, &alice, &uri), large("two")["text"]);
}

#[test]
fn large_memories_are_taken_along_sealed_and_opened() {
    let world = World::new();
    let alice = world.agent("alice");
    let uris = ["one", "two"].map(|text| remember(&world, &alice, text));
    call_later(
        &world,
        &alice,
        "createMemory",
        &json!({ "record": { "$type": "agent.memory.note", "summary": "s" } }),
    );
    let hash = || look(&world, &alice, "getStats", &[])["space"]["hash"].clone();
    let before = hash();
    for format in ["sealed", "opened"] {
        let parts = export(&world, &alice, format);
        let sizes: Vec<_> = parts.iter().map(|part| part["memories"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [1, 1, 1, 0]);
        assert_eq!(json!(parts).to_string().contains("the end of"), format == "opened");
        let listed = look(&world, &alice, "listMemories", &[])["memories"].clone();
        for memory in listed.as_array().unwrap() {
            call_later(&world, &alice, "deleteMemory", &json!({ "uri": memory["uri"] }));
        }
        sweep(&world, &alice.did);
        assert_eq!(world.objects.bucket.len(), 0);
        for part in parts.iter().chain(&parts) {
            call_later(&world, &alice, "importMemories", &json!({ "part": part }));
        }
        assert_eq!((hash(), world.objects.bucket.len()), (before.clone(), 2));
        for (uri, name) in uris.iter().zip(["one", "two"]) {
            assert_eq!(text(&world, &alice, uri), large(name)["text"]);
        }
    }
    // What lies apart was damaged, or another's.
    let parts = export(&world, &alice, "sealed");
    let other = parts[1]["memories"][0]["apart"].clone();
    let with = |apart: Value| {
        let mut part = parts[0].clone();
        part["memories"][0]["apart"] = apart;
        let fields = part.as_object_mut().unwrap();
        fields.remove("sum");
        let bytes =
            murmuration_data::cbor::encode(&murmuration_data::json::from_value(&part).unwrap()).unwrap();
        part["sum"] = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(&bytes)).into();
        refused(&world, &alice, "importMemories", &json!({ "part": part }))
    };
    assert_eq!(with(other), (400, "ForeignExport".into()));
    assert_eq!(with(json!("text")), (400, "InvalidExport".into()));
    // A memory that goes while the export is read is in it or not.
    let header = format!("Bearer {}", alice.token);
    let request = request("agent.memory.exportMemories", Some(&header), &[], &Value::Null);
    let Body::Stream(_, chunks) = world.send(&request).unwrap().body else { panic!("no stream") };
    call_later(&world, &alice, "deleteMemory", &json!({ "uri": uris[0] }));
    sweep(&world, &alice.did);
    let text = String::from_utf8(world.objects.bucket.read(chunks)).unwrap();
    assert_eq!(text.matches("the end of").count(), 1);
}

#[test]
fn nothing_is_left_in_the_blob_storage_of_an_account_that_is_deleted() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.agent(name));
    for text in ["one", "two"] {
        remember(&world, &alice, text);
    }
    let uri = remember(&world, &alice, "three");
    call_later(&world, &alice, "deleteMemory", &json!({ "uri": uri }));
    remember(&world, &bob, "of bob");
    assert_eq!(world.objects.bucket.len(), 4);
    let (code, answer) =
        world.post_as(Some(&alice.token), "com.atproto.server.requestAccountDelete", &Value::Null);
    assert_eq!(code, 200, "{answer}");
    let code = world.postbox.code("delete_account");
    let input = json!({ "did": alice.did, "password": "alice's password", "token": code });
    let (code, answer) = world.post("com.atproto.server.deleteAccount", &input);
    assert_eq!(code, 200, "{answer}");
    world.objects.end(&alice.did).unwrap();
    assert_eq!(world.objects.bucket.len(), 1);
}
