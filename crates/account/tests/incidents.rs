//! What has gone wrong elsewhere, and must not here. `docs/incidents.md` lists them all.

use murmuration_account::{
    Account, AccountError, AppPassword, Blob, Notice, Purpose, Session, Write, WriteRequest, fresh_code,
};
use murmuration_data::{Cid, cid_of_cbor};
use murmuration_firehose::{CommitEvent, Event, Frame, Seq, frame};
use murmuration_memory::{Draft, OnDuplicate};
use murmuration_platform::Store;
use murmuration_repo::car;

use crate::common::{Fixed, World, create, delete, kek, path, record, value};

/// Microseconds in an hour and in a year.
const HOUR: u64 = 3_600_000_000;
const YEAR: u64 = 365 * 24 * HOUR;

fn commits(drafts: &[Vec<u8>]) -> Vec<CommitEvent> {
    drafts
        .iter()
        .filter_map(|draft| match Frame::decode(&frame(draft, Seq::FIRST).unwrap()).unwrap() {
            Frame::Event { event: Event::Commit(commit), .. } => Some(commit),
            _ => None,
        })
        .collect()
}

/// Every row of every table.
fn storage(world: &World) -> String {
    let tables = world.store.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", &[]);
    let dump = |name: String| {
        format!("{name}: {:?}\n", world.store.query(&format!("SELECT * FROM {name}"), &[]).unwrap())
    };
    tables.unwrap().into_iter().map(|mut row| dump(row.text(0).unwrap())).collect()
}

/// Cirrus, issue 162: a write failed in storage, the repository in memory had advanced, and every later commit was one that
/// no relay could follow.
#[test]
fn regress_cirrus_162_memory_does_not_run_ahead_of_a_failed_write() {
    let mut world = World::new();
    for n in 0..5 {
        world.write(vec![create(&format!("com.example.note/a{n}"), "x")]).unwrap();
    }
    let mut fired = 0;
    for statement in 0..20 {
        world.drain();
        let before = world.account.head().unwrap();
        world.store.fail_after(Some(statement));
        let failed = world.write(vec![create(&format!("com.example.note/b{statement:02}"), "x")]).is_err();
        world.store.fail_after(None);
        if failed {
            fired += 1;
            assert_eq!(world.account.head().unwrap(), before);
        }
        world.drain();
        let known = world.account.head().unwrap();
        world.write(vec![create(&format!("com.example.note/c{statement:02}"), "x")]).unwrap();
        let next = commits(&world.drain()).pop().unwrap();
        assert_eq!((next.prev_data, next.since), (Some(known.data), Some(known.rev)), "the chain is broken");
    }
    assert!(
        fired >= 2,
        "a create writes its record and its turn, and only {fired} statements were made to fail"
    );
}

/// A call of an account, by name.
type Named = (&'static str, fn(&Account, u64) -> Result<(), AccountError>);

fn session(id: &str) -> Session {
    Session { id: id.into(), scope: "com.atproto.access".into(), app_password: None }
}

fn blob(name: &[u8]) -> Blob {
    Blob { cid: cid_of_cbor(name), key: "key".into(), mime_type: "text/plain".into(), size: 9 }
}

fn remember(world: &World) {
    world.account.start_epoch(&Fixed, world.now).unwrap();
    let mind = world.account.mind(&Fixed, world.now).unwrap();
    let (path, value) = (path("com.example.note/memory"), value(&record("remembered")));
    let draft = Draft {
        path: &path,
        record: value.bytes(),
        pinned: false,
        expires_at: None,
        meaning: None,
        on_duplicate: OnDuplicate::Keep,
        near: None,
    };
    mind.memories.create(mind.keeper(), draft, None).unwrap();
}

const CALLS: &[Named] = &[
    ("edit", |account, now| {
        account.edit(&Notice::ACTIVATION, now, |profile| profile.takedown = Some("ref".into())).map(drop)
    }),
    ("deactivate", |account, now| {
        account.edit(&[Notice::Status], now, |profile| profile.deactivated = true).map(drop)
    }),
    ("rename", |account, now| {
        account.edit(&[Notice::Handle], now, |profile| profile.handle = "bob.test".parse().unwrap()).map(drop)
    }),
    ("begin a session", |account, now| account.begin_session(&session("new"), now + HOUR, now)),
    ("rotate a session", |account, now| account.rotate_session("old", "next", now + HOUR, now).map(drop)),
    // Refusals that write.
    ("rotate a session that was used long ago", |account, now| {
        match account.rotate_session("old", "next", now + YEAR, now + YEAR) {
            Err(AccountError::SessionRevoked) => Ok(()),
            other => other.map(drop),
        }
    }),
    ("guess a code", |account, now| match account.check_code(Purpose::UpdateEmail, "AAAAA-AAAAA", now) {
        Err(AccountError::CodeInvalid) => Ok(()),
        other => other,
    }),
    ("weigh a code", |account, now| match account.weigh_code(Purpose::UpdateEmail, "AAAAA-AAAAA", now) {
        Err(AccountError::CodeInvalid) => Ok(()),
        other => other,
    }),
    ("drop the codes", |account, _| account.drop_codes()),
    ("forget a blob", |account, _| account.forget_blob(&cid_of_cbor(b"old"), "key")),
    ("remove a blob", |account, _| account.remove_blob(&cid_of_cbor(b"old"))),
    ("end a session", |account, _| account.end_session("old")),
    ("expect a blob", |account, now| account.expect_blob("unheard", now, HOUR)),
    ("upload", |account, now| account.add_blob(&blob(b"new"), now).map(drop)),
    ("condemn", |account, now| account.condemned_blobs(now + YEAR, 1).map(drop)),
    ("put a blob off", |account, now| account.put_blob_off(&cid_of_cbor(b"old"), "key", now)),
    ("note that the document changes", |account, now| account.document_changing(now)),
    ("say that the document has changed", |account, now| account.document_changed(now)),
    ("set the password", |account, _| account.set_password("another", &Fixed)),
    ("set the password by code", |account, now| {
        account.reset_password(&fresh_code(&Fixed), "another", &Fixed, now)
    }),
    ("add an app password", |account, now| {
        let new = AppPassword { name: "new".into(), privileged: false, created_at: now };
        account.add_app_password(&new, &Fixed).map(drop)
    }),
    ("revoke an app password", |account, _| account.revoke_app_password("old")),
    ("end all sessions", |account, _| account.end_all_sessions()),
    ("issue a code", |account, now| account.issue_code(Purpose::DeleteAccount, &Fixed, now).map(drop)),
    ("use a code up", |account, now| account.check_code(Purpose::UpdateEmail, &fresh_code(&Fixed), now)),
    ("change the address by code", |account, now| {
        let by = (Purpose::UpdateEmail, &*fresh_code(&Fixed));
        account.edit_by_code(by, now, |profile| profile.email = Some("new@example.com".into())).map(drop)
    }),
    ("set preferences", |account, _| account.set_preferences("app.bsky", "[]")),
    ("take a record down", |account, _| {
        account.take_record_down(&path("com.example.note/a"), Some("ref")).map(drop)
    }),
    ("take a blob down", |account, now| {
        account.take_blob_down(&cid_of_cbor(b"old"), Some("ref"), now).map(drop)
    }),
    ("publish a memory", |account, now| {
        let value = value(&record("remembered"));
        account.publish_memory(&path("com.example.note/memory"), value, &Fixed, now).map(drop)
    }),
    ("delete", |account, now| account.delete(now)),
    ("take events", |account, now| account.events_taken(now + YEAR)),
];

/// The repository as the account exports it, and when it looks at blobs again.
fn told(account: &Account) -> (Cid, Option<u64>) {
    let mut export = account.export(None).unwrap();
    let car: Vec<u8> = std::iter::from_fn(|| export.next_chunk().unwrap()).flatten().collect();
    (cid_of_cbor(&car), account.next_sweep(1).unwrap())
}

/// Each statement of each call fails once: the call fails, nothing is stored, and memory says what storage says.
#[test]
fn sim_every_statement_of_every_call_fails_once() {
    for (name, call) in CALLS {
        let mut statement = 0;
        loop {
            let mut world = World::new();
            world.write(vec![create("com.example.note/a", "x")]).unwrap();
            world.account.begin_session(&session("old"), world.now + HOUR, world.now).unwrap();
            world.account.expect_blob("key", world.now, HOUR).unwrap();
            world.account.add_blob(&blob(b"old"), world.now).unwrap();
            world.account.expect_blob("key", world.now, HOUR).unwrap();
            world.account.issue_code(Purpose::UpdateEmail, &Fixed, world.now).unwrap();
            world.account.issue_code(Purpose::ResetPassword, &Fixed, world.now).unwrap();
            remember(&world);
            let before = (storage(&world), world.account.profile().unwrap(), world.account.head().unwrap());
            world.store.fail_after(Some(statement));
            let outcome = call(&world.account, world.now + 1000);
            let fired = !world.store.fault_armed();
            world.store.fail_after(None);
            if !fired {
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(statement > 0 || *name == "take events", "{name} runs no statement");
                break;
            }
            assert!(outcome.is_err(), "{name}: statement {statement} failed unnoticed");
            let woken = Account::new(world.store.clone(), kek(), false);
            let after = (storage(&world), world.account.profile().unwrap(), world.account.head().unwrap());
            assert!(after == before, "{name}: statement {statement} left something behind");
            assert_eq!((woken.profile().unwrap(), woken.head().unwrap()), (before.1, before.2), "{name}");
            assert_eq!(told(&woken), told(&world.account), "{name}: memory is not what storage is");
            statement += 1;
        }
    }
}

/// Cocoon, issues 152 to 154: each commit carried the whole tree, and grew until relays took no more of them.
#[test]
fn regress_cocoon_152_a_commit_carries_its_proof_and_not_the_tree() {
    let mut world = World::new();
    for batch in 0..25 {
        let writes = (0..200).map(|n| create(&format!("com.example.note/r{batch:02}{n:03}"), "x")).collect();
        world.write(writes).unwrap();
    }
    world.drain();
    let mut largest = 0;
    for n in 0..40 {
        world
            .write(vec![create(&format!("com.example.note/r{:02}{:03}x", n % 25, n * 37 % 200), "x")])
            .unwrap();
        let commit = commits(&world.drain()).pop().unwrap();
        let mut blocks = 0;
        let mut reader = car::Reader::new(car::Limits::IMPORT);
        reader
            .push(&commit.blocks, &mut |_, _| {
                blocks += 1;
                Ok(())
            })
            .unwrap();
        largest = largest.max(blocks);
    }
    // Commit, record, and a path of about log4(5000) = 6 nodes with their neighbours; the whole tree has over a thousand.
    assert!(largest <= 24, "a commit of one record carries {largest} blocks");
}

/// Cocoon, sweep of June 2026: creating and deleting one key in one batch was a 500.
#[test]
fn regress_cocoon_create_and_delete_of_one_key_in_one_batch() {
    let mut world = World::new();
    let head = world.account.head().unwrap();
    let path = "com.example.note/a";
    let receipt = world.write(vec![create(path, "x"), delete(path)]).unwrap();
    assert_eq!((receipt.commit, receipt.records.len()), (None, 2));
    assert_eq!(world.account.head().unwrap(), head);
    world.write(vec![create(path, "x")]).unwrap();
    let receipt = world.write(vec![delete(path), create(path, "y")]).unwrap();
    assert!(receipt.commit.is_some());
    world.assert_holds_the_model();
}

/// Cocoon, the same sweep: revs that were not valid, or did not rise, and had to be made anew. A clock that stands still, that
/// is an hour back, and that has been a year ahead.
#[test]
fn regress_cocoon_revs_rise_whatever_the_clock_does() {
    let mut world = World::new();
    let start = world.now;
    let mut last = world.account.head().unwrap().rev;
    for (n, now) in
        [start, start, start - HOUR, start + YEAR, start + YEAR, start + HOUR, start - YEAR, start]
            .into_iter()
            .enumerate()
    {
        for again in 0..50 {
            world.now = now - 1000;
            if again % 7 == 3 {
                world.wake(true);
            }
            let write = create(&format!("com.example.note/n{n}x{again}"), "x");
            let rev = world.write(vec![write]).unwrap().commit.unwrap().rev;
            assert!(rev > last);
            last = rev;
            let tid = world.account.fresh_tid(now).unwrap();
            assert!(tid.to_string() > rev.to_string(), "a record key made after the commit sorts after it");
        }
    }
    world.assert_holds_the_model();
}

/// Cirrus, measured in November 2026: `swapCommit` and `swapRecord` were taken and not looked at.
#[test]
fn regress_cirrus_a_swap_that_does_not_hold_is_refused() {
    let mut world = World::new();
    let old = world.write(vec![create("com.example.note/a", "x")]).unwrap().records[0].unwrap();
    let bogus = cid_of_cbor(b"nothing");
    let before = storage(&world);
    let swap = |record| Write::Put {
        path: path("com.example.note/a"),
        value: value(&record),
        swap: Some(Some(bogus)),
    };
    let delete = Write::Delete { path: path("com.example.note/a"), swap: Some(bogus), must_exist: false };
    let commit = WriteRequest {
        swap_commit: Some(bogus),
        writes: vec![create("com.example.note/b", "x")],
        ..WriteRequest::default()
    };
    let answers = [
        world.write(vec![swap(record("y"))]),
        world.write(vec![delete]),
        world.account.write(&[commit], world.now).remove(0),
    ];
    assert!(matches!(answers[0], Err(AccountError::RecordSwap { current }) if current == Some(old)));
    assert!(matches!(answers[1], Err(AccountError::RecordSwap { .. })));
    assert!(matches!(answers[2], Err(AccountError::CommitSwap { .. })));
    assert_eq!(storage(&world), before);
}
