//! The account against a model: whatever is done to it and whenever it is woken, it holds what it was given.

use murmuration_account::{AccountError, Listing, Write, WriteRequest};
use murmuration_platform::Store as _;
use murmuration_syntax::Nsid;

use crate::common;
use crate::common::{Dice, World, contents, create, delete, path, put, record, value};

const COLLECTIONS: [&str; 3] = ["com.example.note", "com.example.note.more", "com.example.other"];

fn random_writes(dice: &Dice, world: &World) -> Vec<Write> {
    (0..=dice.roll(4))
        .map(|_| {
            let at = format!("{}/k{}", COLLECTIONS[dice.roll(3) as usize], dice.roll(300));
            match (dice.roll(4), world.model.contains_key(&at)) {
                (0, true) => delete(&at),
                _ => put(&at, &format!("text {}", dice.roll(5))),
            }
        })
        .collect()
}

#[test]
fn sim_holds_what_it_was_given_however_often_it_is_woken() {
    for seed in 0..12 {
        let dice = Dice::new(seed);
        let mut world = World::new();
        for _ in 0..120 {
            let writes = random_writes(&dice, &world);
            let before = world.account.head().unwrap();
            let receipt = world.write(writes).unwrap();
            let after = world.account.head().unwrap();
            assert_eq!(receipt.commit.is_some(), before != after);
            assert!(receipt.commit.is_none() || after.rev > before.rev);
            if dice.roll(5) == 0 {
                world.wake(dice.roll(2) == 0);
                assert_eq!(world.account.head().unwrap(), after, "seed {seed}");
            }
        }
        world.assert_holds_the_model();
    }
}

#[test]
fn sim_a_failed_statement_changes_nothing_and_the_next_write_succeeds() {
    let mut fired = 0;
    for statement in 0..96 {
        let dice = Dice::new(statement / 12);
        let mut world = World::new();
        for _ in 0..15 {
            let writes = random_writes(&dice, &world);
            world.write(writes).unwrap();
        }
        let before = world.account.head().unwrap();
        world.store.fail_after(Some(statement % 12));
        let writes = random_writes(&dice, &world);
        let outcome = world.write(writes.clone());
        if world.store.fault_armed() {
            world.store.fail_after(None);
            assert!(outcome.is_ok());
        } else {
            fired += 1;
            assert!(outcome.is_err(), "statement {statement} failed unnoticed");
            assert_eq!(world.account.head().unwrap(), before);
            world.write(writes).unwrap();
        }
        world.assert_holds_the_model();
        world.wake(true);
        world.assert_holds_the_model();
    }
    assert!(fired > 30, "only {fired} faults fired");
}

#[test]
fn an_export_is_of_one_commit_while_writes_go_on() {
    let mut world = World::new();
    for batch in 0..10 {
        let writes = (0..150)
            .map(|n| create(&format!("com.example.note/r{batch}-{n:04}"), &"x".repeat(200)))
            .collect();
        world.write(writes).unwrap();
    }
    let model = world.model.clone();
    let mut export = world.account.export(None).unwrap();
    let dice = Dice::new(7);
    let (mut car, mut chunks) = (Vec::new(), 0);
    while let Some(chunk) = export.next_chunk().unwrap() {
        car.extend(chunk);
        chunks += 1;
        for _ in 0..20 {
            let at = format!("com.example.note/r{}-{:04}", dice.roll(12), dice.roll(150));
            let write = if dice.roll(3) == 0 { delete(&at) } else { put(&at, "changed meanwhile") };
            world.write(vec![write]).unwrap();
        }
    }
    assert!(chunks > 3);
    assert_eq!(contents(&car), model);
    world.assert_holds_the_model();
}

#[test]
fn since_leaves_out_what_was_there() {
    let mut world = World::new();
    let writes = (0..200).map(|n| create(&format!("com.example.note/a{n:04}"), "old")).collect();
    world.write(writes).unwrap();
    let since = world.account.head().unwrap().rev;
    world.write(vec![create("com.example.note/a0100x", "new"), delete("com.example.note/a0001")]).unwrap();
    let mut export = world.account.export(Some(since)).unwrap();
    let mut blocks = 0;
    let mut reader = murmuration_repo::car::Reader::new(murmuration_repo::car::Limits::IMPORT);
    while let Some(chunk) = export.next_chunk().unwrap() {
        reader
            .push(&chunk, &mut |_, _| {
                blocks += 1;
                Ok(())
            })
            .unwrap();
    }
    // The commit, the record, and the nodes from the root down to the two places.
    assert!((3..25).contains(&blocks), "{blocks} blocks");
}

#[test]
fn refuses_what_the_caller_did_not_expect() {
    let mut world = World::new();
    let first = world.write(vec![create("com.example.note/a", "one")]).unwrap().commit.unwrap();
    world.write(vec![put("com.example.note/a", "two")]).unwrap();
    let head = world.account.head().unwrap();
    let stale = WriteRequest {
        swap_commit: Some(first.cid),
        writes: vec![put("com.example.note/a", "three")],
        ..WriteRequest::default()
    };
    assert!(
        matches!(world.account.write(&[stale], world.now)[0], Err(AccountError::CommitSwap { current }) if current == head.cid)
    );
    let exists = world.write(vec![create("com.example.note/a", "again")]);
    assert!(matches!(exists, Err(AccountError::RecordExists(_))));
    let value = value(&record("four"));
    let none = Write::Put { path: path("com.example.note/a"), value: value.clone(), swap: Some(None) };
    assert!(matches!(world.write(vec![none]), Err(AccountError::RecordSwap { current: Some(_) })));
    let missing = Write::Update { path: path("com.example.note/nothing"), value };
    assert!(matches!(world.write(vec![missing]), Err(AccountError::NoSuchRecord(_))));
    assert_eq!(world.account.head().unwrap(), head);
}

#[test]
fn a_write_that_changes_nothing_makes_no_commit_and_no_row() {
    let mut world = World::new();
    world.write(vec![create("com.example.note/a", "one")]).unwrap();
    let before = murmuration_platform::Store::counts(&*world.store).written;
    let receipt = world.write(vec![put("com.example.note/a", "one"), delete("com.example.note/b")]).unwrap();
    assert_eq!(receipt.commit, None);
    assert_eq!(murmuration_platform::Store::counts(&*world.store).written, before);
}

#[test]
fn calls_of_one_turn_do_not_disturb_each_other() {
    let mut world = World::new();
    let request = |write| WriteRequest { swap_commit: None, writes: vec![write], ..WriteRequest::default() };
    let requests = [
        request(create("com.example.note/a", "1")),
        request(create("com.example.note/a", "2")),
        request(create("com.example.note/b", "3")),
    ];
    let turns = || {
        let mut rows = world.store.query("SELECT count(*) FROM log", &[]).unwrap();
        rows[0].int(0).unwrap()
    };
    let before = turns();
    let answers = world.account.write(&requests, world.now + 1);
    assert_eq!(turns(), before + 1, "two commits are one row of the log");
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(AccountError::RecordExists(_))));
    let revs: Vec<_> = [0, 2].map(|n: usize| answers[n].as_ref().unwrap().commit.unwrap().rev).into();
    assert!(revs[0] < revs[1]);
    world.wake(true);
    assert_eq!(world.account.head().unwrap().rev, revs[1]);
}

#[test]
fn revs_rise_when_the_clock_stands_still_or_steps_back() {
    let mut world = World::new();
    let mut last = world.account.head().unwrap().rev;
    for (n, step) in [0_i64, 0, -3_600_000_000, 0, -1, 5].iter().enumerate() {
        world.now = world.now.saturating_add_signed(*step).saturating_sub(1000);
        let rev =
            world.write(vec![create(&format!("com.example.note/c{n}"), "x")]).unwrap().commit.unwrap().rev;
        assert!(rev > last);
        last = rev;
    }
}

#[test]
fn lists_a_collection_without_its_longer_namesakes() {
    let mut world = World::new();
    let at = [
        "com.example.note/a",
        "com.example.note/b",
        "com.example.note/c",
        "com.example.note.more/a",
        "com.example.note0/a",
    ];
    let _ = at.map(|at| world.write(vec![create(at, at)]).map(drop).ok());
    let collection = Nsid::parse("com.example.note").unwrap();
    let page = |after: Option<&str>, ascending, limit| {
        let after = after.map(|key| murmuration_syntax::RecordKey::parse(key).unwrap());
        let listing = Listing { collection: &collection, limit, after: after.as_ref(), ascending };
        world.list(&listing).into_iter().map(|(rkey, _)| rkey.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, false, 2), ["c", "b"]);
    assert_eq!(page(Some("b"), false, 2), ["a"]);
    assert_eq!(page(None, true, 10), ["a", "b", "c"]);
    assert_eq!(page(Some("a"), true, 1), ["b"]);
}

#[test]
fn a_page_of_large_records_is_shorter_and_the_next_goes_on() {
    let mut world = World::new();
    let big = "x".repeat(700_000);
    let keys: Vec<String> = (0..7).map(|n| format!("com.example.note/{n}")).collect();
    for key in &keys {
        world.write(vec![create(key, &big)]).unwrap();
    }
    let collection = Nsid::parse("com.example.note").unwrap();
    for ascending in [true, false] {
        let mut found: Vec<String> = Vec::new();
        let mut after = None;
        while found.len() < keys.len() {
            let listing = Listing { collection: &collection, limit: 100, after: after.as_ref(), ascending };
            let page = world.list(&listing);
            assert!((1..=2).contains(&page.len()), "{}", page.len());
            assert!(page.iter().all(|(_, found)| found == value(&record(&big)).bytes()));
            after = page.last().map(|(rkey, _)| rkey.clone());
            found.extend(page.iter().map(|(rkey, _)| format!("com.example.note/{rkey}")));
        }
        found.sort();
        assert_eq!(found, keys);
    }
    assert!(world.export().len() > 7 * 700_000);
}

#[test]
fn a_second_like_of_a_subject_replaces_the_first() {
    let mut world = World::new();
    let like = |at: &str, subject: &str, replaces| {
        let value = murmuration_account::Value::new(
            value(&record(at)).bytes().to_vec(),
            vec![],
            Some(subject.into()),
        );
        Write::Create { path: path(&format!("app.bsky.feed.like/{at}")), value, replaces }
    };
    world.write(vec![like("one", "at://x", true)]).unwrap();
    world.write(vec![like("two", "at://x", true)]).unwrap();
    world.write(vec![like("three", "at://y", true)]).unwrap();
    assert!(world.account.record(&path("app.bsky.feed.like/one")).unwrap().is_none());
    assert!(world.account.record(&path("app.bsky.feed.like/two")).unwrap().is_some());
}

#[test]
fn an_object_without_an_account_says_so_and_stores_nothing() {
    let store = std::rc::Rc::new(murmuration_platform::sqlite::SqliteStore::open().unwrap());
    let account = murmuration_account::Account::new(store.clone(), common::kek(), true);
    assert!(matches!(account.head(), Err(AccountError::Vacant)));
    let request = WriteRequest {
        swap_commit: None,
        writes: vec![create("com.example.note/a", "x")],
        ..WriteRequest::default()
    };
    assert!(matches!(account.write(&[request], common::NOW)[0], Err(AccountError::Vacant)));
    let tables = murmuration_platform::Store::query(&*store, "SELECT name FROM sqlite_master", &[]).unwrap();
    assert!(tables.is_empty());
}

#[test]
fn a_wrong_key_encryption_key_is_an_error_and_never_a_new_key() {
    let world = World::new();
    let wrong = murmuration_keys::seal::Kek { version: 1, key: [4; 32] };
    let account = murmuration_account::Account::new(world.store.clone(), wrong, true);
    assert!(matches!(account.head(), Err(AccountError::Key(_))));
}
