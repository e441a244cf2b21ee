//! What the operator does: takedowns of accounts, records and blobs, accounts looked up and found.

use murmuration_data::cid_of_raw;
use murmuration_firehose::{AccountStatus, Event};
use murmuration_xrpc::host::Directory;
use murmuration_xrpc::host::directory::Status;
use murmuration_xrpc::method::Auth;
use murmuration_xrpc::table;
use murmuration_xrpc::token::Scope;
use serde_json::{Value, json};

use crate::world::ask::OPERATOR;
use crate::world::operator::{NOBODY, NS, account, act, alice, events, read};
use crate::world::{Fault, World, block_on};

const NOTE: &str = "com.example.note";

fn record(uri: &str, cid: &Value) -> Value {
    json!({ "$type": "com.atproto.repo.strongRef", "uri": uri, "cid": cid })
}

fn blob(did: &str, bytes: &[u8]) -> Value {
    let cid = cid_of_raw(bytes).to_string();
    json!({ "$type": "com.atproto.admin.defs#repoBlobRef", "did": did, "cid": cid })
}

fn take_down(world: &World, subject: &Value) {
    let input = json!({ "subject": subject, "takedown": { "applied": true, "ref": "case 1" } });
    assert_eq!(act(world, &input), (200, input));
}

fn lift(world: &World, subject: &Value) {
    let input = json!({ "subject": subject, "takedown": { "applied": false } });
    assert_eq!(act(world, &input), (200, input));
}

/// Writes a note, with a blob of those bytes if there are any.
fn write(world: &World, did: &str, bytes: &[u8]) -> (u16, Value) {
    let mut note = json!({ "text": "hello" });
    if !bytes.is_empty() {
        let link = cid_of_raw(bytes).to_string();
        note["image"] = json!({
            "$type": "blob", "ref": { "$link": link }, "mimeType": "image/png", "size": bytes.len()
        });
    }
    let input = json!({ "repo": did, "collection": NOTE, "record": note });
    let owner = world.bearer(did, Scope::Access);
    world.ask("com.atproto.repo.createRecord", Some(&owner), &[], &input)
}

fn status(world: &World, did: &str) -> Status {
    block_on(Directory::new(&world.shelf.store).by_did(&did.parse().unwrap())).unwrap().unwrap().status
}

/// Whether the account is active by its events, one a line.
fn said(world: &World, did: &str) -> Vec<&'static str> {
    let events = events(world, did);
    let name = |event: &Event| match event {
        Event::Account(event) => match event.inactive {
            None => "active",
            Some(AccountStatus::Takendown) => "takendown",
            Some(AccountStatus::Deactivated) => "deactivated",
            _ => "another status",
        },
        other => other.tag(),
    };
    events.iter().map(name).collect()
}

/// What each caller gets in each state of an account, in the columns' order: nobody, another account, the owner by a token
/// from before, the owner by the token that an account that is taken down is given, the operator.
#[test]
fn every_state_lets_every_caller_read_and_write_what_the_reference_server_does() {
    let open = |nobody| [nobody, nobody, "200", "InvalidToken", "200"];
    let leave = |nobody| [nobody, nobody, "200", "200", "200"];
    let same = |all| [all; 5];
    let own = |owner| ["AuthMissing", "", owner, "InvalidToken", "InvalidToken"];
    type Row = (&'static str, [[&'static str; 5]; 3]);
    let sync = |active, deactivated, takendown| [active, deactivated, takendown];
    let opened = sync(open("200"), open("RepoDeactivated"), open("RepoTakendown"));
    let leaving = sync(leave("200"), leave("RepoDeactivated"), leave("RepoTakendown"));
    let rows: [Row; 17] = [
        ("com.atproto.sync.getBlocks", opened),
        ("com.atproto.sync.getCheckout", opened),
        ("com.atproto.sync.getHead", opened),
        ("com.atproto.sync.getLatestCommit", opened),
        ("com.atproto.sync.getRecord", opened),
        ("com.atproto.sync.getRepo", leaving),
        ("com.atproto.sync.getBlob", leaving),
        ("com.atproto.sync.listBlobs", leaving),
        ("com.atproto.sync.getRepoStatus", [same("200"); 3]),
        ("com.atproto.repo.describeRepo", sync(same("200"), same("RepoDeactivated"), same("RepoTakendown"))),
        ("com.atproto.repo.getRecord", sync(same("200"), same("InvalidRequest"), same("InvalidRequest"))),
        ("com.atproto.repo.listRecords", sync(same("200"), same("InvalidRequest"), same("InvalidRequest"))),
        (
            "com.atproto.repo.createRecord",
            sync(own("200"), own("AccountDeactivated"), own("AccountTakedown")),
        ),
        ("com.atproto.repo.uploadBlob", sync(own("200"), own("200"), own("AccountTakedown"))),
        ("com.atproto.temp.checkSignupQueue", [own("200"); 3]),
        (
            "com.atproto.admin.getAccountInfo",
            [["AuthenticationRequired", "BadJwtType", "BadJwtType", "BadJwtType", "200"]; 3],
        ),
        ("com.atproto.sync.listRepos", [same("200"); 3]),
    ];
    let (world, did) = alice();
    let bob = world.create("bob").1["did"].as_str().unwrap().to_owned();
    let owner = world.bearer(&did, Scope::Access);
    world.upload(&did, Some(&owner), b"bytes");
    let note = write(&world, &did, b"bytes").1;
    let rkey = note["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let callers = [
        None,
        Some(world.bearer(&bob, Scope::Access)),
        Some(owner),
        Some(world.bearer(&did, Scope::Takendown)),
        Some(OPERATOR.to_owned()),
    ];
    let outcome = |nsid: &str, header: Option<&str>| {
        let input = json!({ "repo": did, "collection": NOTE, "record": {} });
        let cid = match nsid {
            "com.atproto.sync.getBlob" => cid_of_raw(b"bytes").to_string(),
            _ => note["cid"].as_str().unwrap().to_owned(),
        };
        let mut query = vec![("did", did.as_str()), ("repo", &did), ("collection", NOTE), ("rkey", &rkey)];
        query.push((if nsid.ends_with("Blocks") { "cids" } else { "cid" }, &cid));
        let (code, answer) = match nsid {
            "com.atproto.repo.uploadBlob" => world.upload(&did, header, b"other bytes"),
            "com.atproto.repo.createRecord" => world.ask(nsid, header, &[], &input),
            _ => world.ask(nsid, header, &query, &Value::Null),
        };
        if code == 200 { "200".to_owned() } else { answer["error"].as_str().unwrap().to_owned() }
    };
    let rest = |applied: bool| json!({ "subject": account(&did), "deactivated": { "applied": applied } });
    for (state, name) in ["active", "deactivated", "takendown"].iter().enumerate() {
        match *name {
            "deactivated" => assert_eq!(act(&world, &rest(true)).0, 200),
            "takendown" => {
                assert_eq!(act(&world, &rest(false)).0, 200);
                take_down(&world, &account(&did));
            }
            _ => {}
        }
        for (nsid, wanted) in &rows {
            for (caller, header) in callers.iter().enumerate() {
                let wanted = wanted[state][caller];
                if !wanted.is_empty() {
                    assert_eq!(outcome(nsid, header.as_deref()), wanted, "{name}: {nsid} by caller {caller}");
                }
            }
        }
        let query = [("did", did.as_str())];
        let (_, stands) = world.ask("com.atproto.sync.getRepoStatus", None, &query, &Value::Null);
        let (_, listed) = world.ask("com.atproto.sync.listRepos", None, &[], &Value::Null);
        let row = listed["repos"].as_array().unwrap().iter().find(|row| row["did"] == did.as_str()).unwrap();
        for view in [&stands, row] {
            assert_eq!(view["active"], state == 0, "{name}");
            assert_eq!(view.get("status").cloned(), (state != 0).then(|| json!(name)));
        }
        assert_eq!((stands.get("rev").is_some(), row["rev"].is_string()), (state == 0, true));
    }
}

#[test]
fn an_account_is_taken_down_and_comes_back() {
    let (world, did) = alice();
    let (_, session) = world.login("alice.test", "alice's password");
    let refresh = format!("Bearer {}", session["refreshJwt"].as_str().unwrap());
    let renew = || world.ask("com.atproto.server.refreshSession", Some(&refresh), &[], &Value::Null);
    take_down(&world, &account(&did));
    assert_eq!((said(&world, &did), status(&world, &did)), (vec!["takendown"], Status::Takendown));
    let (code, stands) = read(&world, "getSubjectStatus", &[("did", &did)]);
    let expected = json!({
        "subject": account(&did),
        "takedown": { "applied": true, "ref": "case 1" },
        "deactivated": { "applied": false },
    });
    assert_eq!((code, stands), (200, expected));
    let resolve = [("handle", "alice.test")];
    let resolve = || world.ask("com.atproto.identity.resolveHandle", None, &resolve, &Value::Null);
    assert_eq!(resolve().0, 400);
    assert_ne!(renew().0, 200, "its sessions have ended");
    lift(&world, &account(&did));
    assert_eq!((said(&world, &did), status(&world, &did)), (vec!["active"], Status::Active));
    assert_ne!(renew().0, 200, "and stay so");
    assert_eq!((resolve().0, world.login("alice.test", "alice's password").0), (200, 200));
    let (_, stands) = read(&world, "getSubjectStatus", &[("did", &did)]);
    assert_eq!(stands["takedown"], json!({ "applied": false }));
}

#[test]
fn a_takedown_outranks_a_deactivation_and_leaves_it_as_it_was() {
    let (world, did) = alice();
    let rest = |applied: bool| json!({ "subject": account(&did), "deactivated": { "applied": applied } });
    assert_eq!(act(&world, &rest(true)).0, 200);
    assert_eq!(status(&world, &did), Status::Deactivated);
    take_down(&world, &account(&did));
    assert_eq!(status(&world, &did), Status::Takendown);
    let (code, answer) = act(&world, &rest(false));
    assert_eq!((code, &answer["error"]), (400, &json!("AccountTakedown")));
    assert_eq!(act(&world, &rest(true)).0, 200);
    lift(&world, &account(&did));
    assert_eq!(status(&world, &did), Status::Deactivated);
    assert_eq!(act(&world, &rest(false)).0, 200);
    assert_eq!(status(&world, &did), Status::Active);
    let wanted = ["deactivated", "takendown", "takendown", "deactivated", "active", "#identity", "#sync"];
    assert_eq!(said(&world, &did), wanted);
}

#[test]
fn a_subject_without_a_change_is_announced_again() {
    let (world, did) = alice();
    let input = json!({ "subject": account(&did) });
    assert_eq!(act(&world, &input), (200, input));
    assert_eq!(said(&world, &did), ["active"]);
}

#[test]
fn a_takedown_without_a_reference_is_known_by_its_time() {
    let (world, did) = alice();
    let input = json!({ "subject": account(&did), "takedown": { "applied": true } });
    assert_eq!(act(&world, &input).0, 200);
    let (_, stands) = read(&world, "getSubjectStatus", &[("did", &did)]);
    assert!(stands["takedown"]["ref"].as_str().unwrap().starts_with("2026-"), "{stands}");
}

#[test]
fn a_record_that_is_taken_down_is_hidden_where_records_are_read_and_stays_in_the_repository() {
    let (world, did) = alice();
    let note = write(&world, &did, b"").1;
    let uri = note["uri"].as_str().unwrap();
    let rkey = uri.rsplit('/').next().unwrap();
    let subject = record(uri, &note["cid"]);
    events(&world, &did);
    take_down(&world, &subject);
    let at = [("repo", did.as_str()), ("did", &did), ("collection", NOTE), ("rkey", rkey)];
    let get = |method: &str| world.ask(&format!("com.atproto.{method}"), None, &at, &Value::Null);
    let (code, answer) = get("repo.getRecord");
    assert_eq!((code, &answer["error"]), (400, &json!("RecordNotFound")));
    assert_eq!(answer["message"], format!("Could not locate record: {uri}"));
    assert_eq!(get("repo.listRecords"), (200, json!({ "records": [] })));
    assert_eq!((get("sync.getRecord").0, get("sync.getRepo").0), (200, 200));
    assert_eq!(get("repo.describeRepo").1["collections"], json!([NOTE]));
    let (code, stands) = read(&world, "getSubjectStatus", &[("uri", uri)]);
    assert_eq!(
        (code, stands),
        (200, json!({ "subject": subject, "takedown": { "applied": true, "ref": "case 1" } }))
    );
    let by_handle = uri.replace(&did, "alice.test");
    assert_eq!(read(&world, "getSubjectStatus", &[("uri", &by_handle)]).1["takedown"]["applied"], true);
    lift(&world, &subject);
    assert_eq!(get("repo.getRecord").0, 200);
    assert!(events(&world, &did).is_empty(), "no event tells of it");
}

#[test]
fn a_blob_in_quarantine_is_shown_to_owner_and_operator_alone() {
    let (world, did) = alice();
    let owner = world.bearer(&did, Scope::Access);
    assert_eq!(world.upload(&did, Some(&owner), b"bytes").0, 200);
    assert_eq!(write(&world, &did, b"bytes").0, 200);
    let subject = blob(&did, b"bytes");
    take_down(&world, &subject);
    let cid = subject["cid"].as_str().unwrap();
    let query = [("did", did.as_str()), ("cid", cid)];
    let get = |header: Option<&str>| world.ask("com.atproto.sync.getBlob", header, &query, &Value::Null);
    let bob = world.create("bob").1["did"].as_str().unwrap().to_owned();
    let bob = world.bearer(&bob, Scope::Access);
    for caller in [None, Some(bob.as_str())] {
        assert_eq!((get(caller).0, &get(caller).1["error"]), (400, &json!("BlobNotFound")));
    }
    assert_eq!((get(Some(&owner)).0, get(Some(OPERATOR)).0), (200, 200));
    let (code, again) = world.upload(&did, Some(&owner), b"bytes");
    assert_eq!((code, &again["error"]), (400, &json!("InvalidRequest")));
    assert_eq!(again["message"], "Blob has been takendown, cannot re-upload");
    assert_eq!(write(&world, &did, b"bytes").1["error"], "BlobNotFound");
    let (code, stands) = read(&world, "getSubjectStatus", &[("did", &did), ("blob", cid)]);
    assert_eq!(
        (code, stands),
        (200, json!({ "subject": subject, "takedown": { "applied": true, "ref": "case 1" } }))
    );
    lift(&world, &subject);
    assert_eq!((get(None).0, write(&world, &did, b"bytes").0), (200, 200));
}

#[test]
fn what_is_not_there_is_not_taken_down_and_nothing_is_said_of_it() {
    let (world, did) = alice();
    let missing = format!("at://{did}/{NOTE}/nothing");
    let cid = json!(cid_of_raw(b"other").to_string());
    let nobodys = format!("at://nobody.test/{NOTE}/a");
    for subject in [
        account(NOBODY),
        record(&missing, &cid),
        record(&nobodys, &cid),
        blob(&did, b"other"),
        blob(NOBODY, b"other"),
    ] {
        let input = json!({ "subject": subject, "takedown": { "applied": true } });
        let (code, answer) = act(&world, &input);
        assert_eq!((code, &answer["error"]), (400, &json!("NotFound")), "{subject}");
    }
    assert_eq!(
        act(&world, &json!({ "subject": record(&missing, &cid), "takedown": { "applied": false } })).0,
        200
    );
    for query in [
        vec![("did", NOBODY)],
        vec![("uri", missing.as_str())],
        vec![("did", did.as_str()), ("blob", cid.as_str().unwrap())],
    ] {
        let (code, answer) = read(&world, "getSubjectStatus", &query);
        assert_eq!((code, &answer["error"]), (400, &json!("NotFound")), "{query:?}");
    }
    assert!(events(&world, &did).is_empty());
    assert!(!world.objects.has(&NOBODY.parse().unwrap()));
}

#[test]
fn subjects_that_make_no_sense_are_refused_and_change_nothing() {
    let (world, did) = alice();
    let uri = format!("at://{did}/{NOTE}/a");
    let cid = json!(cid_of_raw(b"other").to_string());
    for input in [
        json!({}),
        json!({ "subject": {} }),
        json!({ "subject": { "$type": "com.example.other", "did": did } }),
        json!({ "subject": { "$type": "com.atproto.admin.defs#repoRef" } }),
        json!({ "subject": account("alice") }),
        json!({ "subject": account(&did), "takedown": {} }),
        json!({ "subject": account(&did), "takedown": { "applied": "yes" } }),
        json!({ "subject": account(&did), "takedown": { "applied": true }, "deactivated": { "applied": false } }),
        json!({ "subject": record(&format!("at://{did}"), &cid), "takedown": { "applied": true } }),
        json!({ "subject": record(&uri, &cid), "deactivated": { "applied": true } }),
    ] {
        let (code, answer) = act(&world, &input);
        assert_eq!((code, &answer["error"]), (400, &json!("InvalidRequest")), "{input}");
    }
    for query in
        [vec![], vec![("blob", cid.as_str().unwrap())], vec![("did", "alice")], vec![("uri", "at://x")]]
    {
        assert_eq!(read(&world, "getSubjectStatus", &query).1["error"], "InvalidRequest", "{query:?}");
    }
    assert!(events(&world, &did).is_empty());
    assert_eq!(status(&world, &did), Status::Active);
}

#[test]
fn a_takedown_that_the_directory_did_not_hear_of_is_a_fault_and_repeating_it_repairs_it() {
    let (world, did) = alice();
    let before = world.faults.calls.get();
    // The object is the first call, the directory the second.
    world.faults.planned.set(Some(Fault::Refused(before + 1)));
    let input = json!({ "subject": account(&did), "takedown": { "applied": true } });
    assert_eq!(act(&world, &input).0, 500);
    assert_eq!(status(&world, &did), Status::Active);
    world.faults.planned.set(None);
    let query = [("did", did.as_str())];
    let head = world.ask("com.atproto.sync.getHead", None, &query, &Value::Null);
    assert_eq!(head.1["error"], "RepoTakendown", "the object is what counts");
    assert_eq!(act(&world, &input).0, 200);
    assert_eq!(status(&world, &did), Status::Takendown);
}

#[test]
fn nobody_but_the_operator_gets_in() {
    let (world, did) = alice();
    let owner = world.bearer(&did, Scope::Access);
    for method in table::methods().filter(|method| method.nsid.starts_with(NS)) {
        assert!(matches!(method.auth, Auth::Admin | Auth::Moderator), "{}", method.nsid);
        for header in
            [None, Some(owner.as_str()), Some("Basic YWRtaW46d3Jvbmc="), Some("Basic !"), Some("Basic")]
        {
            let (code, answer) = world.ask(method.nsid, header, &[], &Value::Null);
            assert_eq!(code, 401, "{} {header:?}: {answer}", method.nsid);
        }
    }
}
