//! Taking over a repository: whole or not at all, whatever was there, and as good as if it had been written here.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use murmuration_account::{Account, AccountError, Blob, NewAccount, Remembered, Write};
use murmuration_data::{Cid, Ipld, cid_of_raw};
use murmuration_firehose::{Event, Frame, Seq, frame};
use murmuration_keyring::EpochSecrets;
use murmuration_keys::{Curve, SigningKey};
use murmuration_memory::{Draft, OnDuplicate};
use murmuration_platform::Entropy;
use murmuration_platform::Store as _;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_repo::car::Limits;
use murmuration_repo::{Import, Whole};
use murmuration_syntax::Did;

use crate::common::{DID, Dice, Fixed, NOW, World, contents, delete, kek, path, put, record, seed, value};

const COLLECTIONS: [&str; 3] = ["com.example.note", "com.example.note.more", "com.example.other"];
const DAY: u64 = 86_400_000_000;

fn old_key() -> SigningKey {
    SigningKey::from_bytes(Curve::P256, &[7; 32]).unwrap()
}

fn world(deactivated: bool, signing_key: Option<SigningKey>) -> World {
    let store = Rc::new(SqliteStore::open().unwrap());
    let account = Account::new(store.clone(), kek(), true);
    let seed = seed();
    let signing_key = signing_key.unwrap_or(seed.signing_key);
    account.create(NewAccount { deactivated, signing_key, ..seed }, &Fixed, NOW).unwrap();
    World { store, account, now: NOW, model: BTreeMap::new() }
}

/// The account at the host that it leaves.
fn elsewhere() -> World {
    world(false, Some(SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap()))
}

fn verified<'h>(car: &'h Vec<u8>, from: &World) -> Whole<'h> {
    let key = murmuration_keys::VerifyingKey::from_did_key(&from.account.signing_key().unwrap()).unwrap();
    let mut import = Import::new(Limits::IMPORT);
    car.chunks(1000).for_each(|piece| import.push(piece).unwrap());
    import.finish(car, &Did::parse(DID).unwrap(), &[old_key().verifying_key(), key]).unwrap()
}

/// Moves what `from` holds to `to`.
fn take_over(to: &mut World, from: &World) -> Result<(), AccountError> {
    to.now += 1000;
    let car = from.export();
    to.account.import(&verified(&car, from), to.now)?;
    to.model.clone_from(&from.model);
    Ok(())
}

/// Writes this and that, for which an account that rests is woken: nobody writes into one.
fn scribble(dice: &Dice, world: &mut World, turns: u64) {
    let rests = world.account.profile().unwrap().deactivated;
    let rest = |world: &World, on: bool| {
        world.account.edit(&[], world.now, |profile| profile.deactivated = on).unwrap();
    };
    rest(world, false);
    for _ in 0..turns {
        let writes = (0..=dice.roll(6))
            .map(|_| {
                let at = format!("{}/k{}", COLLECTIONS[dice.roll(3) as usize], dice.roll(400));
                match (dice.roll(4), world.model.contains_key(&at)) {
                    (0, true) => delete(&at),
                    _ => put(&at, &format!("text {}", dice.roll(5))),
                }
            })
            .collect();
        world.write(writes).unwrap();
    }
    rest(world, rests);
}

#[test]
fn a_repository_that_moves_in_is_signed_anew_and_nobody_is_told() {
    let dice = Dice::new(1);
    let mut from = elsewhere();
    scribble(&dice, &mut from, 60);
    let mut to = world(true, None);
    let before = to.account.head().unwrap();
    take_over(&mut to, &from).unwrap();
    let (head, theirs) = (to.account.head().unwrap(), from.account.head().unwrap());
    assert_eq!(head.data, theirs.data);
    assert!(head.rev > before.rev && head.rev > theirs.rev && head.cid != theirs.cid);
    to.assert_holds_the_model();
    assert_eq!(to.account.next_push().unwrap(), None);
    assert!(!to.account.has_unsent().unwrap());
    to.wake(false);
    assert_eq!(to.account.head().unwrap(), head);
    assert_eq!(to.account.next_push().unwrap(), None);
    to.assert_holds_the_model();
    assert_eq!(to.account.collections().unwrap().len(), 3);
    // The same once more is no commit.
    take_over(&mut to, &from).unwrap();
    assert_eq!(to.account.head().unwrap(), head);
}

#[test]
fn an_active_account_says_where_its_repository_stands_now() {
    let mut from = elsewhere();
    scribble(&Dice::new(2), &mut from, 5);
    let mut to = world(false, None);
    to.drain();
    take_over(&mut to, &from).unwrap();
    let drafts = to.drain();
    let Frame::Event { event: Event::Sync(event), .. } =
        Frame::decode(&frame(&drafts[0], Seq::FIRST).unwrap()).unwrap()
    else {
        panic!("no sync event")
    };
    assert_eq!((event.rev, drafts.len()), (to.account.head().unwrap().rev, 1));
    // What is written next follows on it.
    to.write(vec![put("com.example.note/next", "x")]).unwrap();
    assert_eq!(to.drain().len(), 1);
}

#[test]
fn sim_imports_over_anything_and_goes_on_as_if_it_had_been_written() {
    for round in 0..40 {
        let dice = Dice::new(round);
        let (mut from, mut to) = (elsewhere(), world(round % 2 == 0, None));
        let (there, here) = (dice.roll(80), dice.roll(80));
        scribble(&dice, &mut from, there);
        scribble(&dice, &mut to, here);
        for _ in 0..3 {
            take_over(&mut to, &from).unwrap();
            let stored = to.store.query("SELECT count(*) FROM page", &[]).unwrap()[0].int(0).unwrap();
            assert_eq!(stored as usize, pages(&to), "round {round}");
            if dice.roll(2) == 0 {
                to.wake(dice.roll(2) == 0);
            }
            to.assert_holds_the_model();
            let more = dice.roll(15);
            scribble(&dice, &mut to, more);
            let more = dice.roll(15);
            scribble(&dice, &mut from, more);
        }
        to.wake(true);
        to.assert_holds_the_model();
    }
}

/// Pages that the tree of the account has.
fn pages(world: &World) -> usize {
    let car = world.export();
    let whole = verified(&car, world).collect().unwrap();
    let root = whole.commit.data;
    whole.nodes.iter().filter(|(cid, node)| node.layer() % 3 == 2 || **cid == root).count()
}

#[test]
fn what_is_exported_since_an_older_revision_has_everything_that_the_import_brought() {
    let dice = Dice::new(5);
    let (mut from, mut to) = (elsewhere(), world(false, None));
    scribble(&dice, &mut from, 20);
    take_over(&mut to, &from).unwrap();
    scribble(&dice, &mut to, 20);
    let since = to.account.head().unwrap().rev;
    // Back to where it was: the nodes and records of then are new again.
    take_over(&mut to, &from).unwrap();
    let mut export = to.account.export(Some(since)).unwrap();
    let mut car = Vec::new();
    while let Some(chunk) = export.next_chunk().unwrap() {
        car.extend(chunk);
    }
    let part = murmuration_repo::car::Car::read(&car, Limits::IMPORT).unwrap();
    assert!(part.blocks.contains_key(&to.account.head().unwrap().data));
    assert!(part.blocks.len() > 20, "{}", part.blocks.len());
}

#[test]
fn an_export_that_goes_on_is_of_the_repository_before() {
    let dice = Dice::new(6);
    let (mut from, mut to) = (elsewhere(), world(false, None));
    scribble(&dice, &mut from, 30);
    scribble(&dice, &mut to, 40);
    let before = to.model.clone();
    let mut export = to.account.export(None).unwrap();
    take_over(&mut to, &from).unwrap();
    let mut car = Vec::new();
    while let Some(chunk) = export.next_chunk().unwrap() {
        car.extend(chunk);
    }
    assert_eq!(contents(&car), before);
    to.assert_holds_the_model();
}

#[test]
fn sim_a_failed_statement_leaves_the_repository_as_it_was() {
    let dice = Dice::new(7);
    let (mut from, mut to) = (elsewhere(), world(true, None));
    scribble(&dice, &mut from, 4);
    scribble(&dice, &mut to, 4);
    let before = to.account.head().unwrap();
    let mut statement = 0;
    loop {
        to.store.fail_after(Some(statement));
        let outcome = take_over(&mut to, &from);
        to.store.fail_after(None);
        if outcome.is_ok() {
            break;
        }
        assert_eq!(to.account.head().unwrap(), before, "statement {statement}");
        to.assert_holds_the_model();
        statement += 1;
    }
    assert!(statement > 30, "{statement}");
    to.assert_holds_the_model();
    to.wake(true);
    to.assert_holds_the_model();
}

fn with_blob(cid: Cid, mime: &str, size: i128) -> Ipld {
    let blob = Ipld::Map(BTreeMap::from([
        ("$type".to_owned(), Ipld::String("blob".into())),
        ("ref".to_owned(), Ipld::Link(cid)),
        ("mimeType".to_owned(), Ipld::String(mime.into())),
        ("size".to_owned(), Ipld::Integer(size)),
    ]));
    let Ipld::Map(mut fields) = record("x") else { panic!() };
    fields.insert("image".to_owned(), blob);
    Ipld::Map(fields)
}

fn upload(world: &World, bytes: &[u8], key: &str) -> Cid {
    let cid = cid_of_raw(bytes);
    let size = u64::try_from(bytes.len()).unwrap();
    let blob = Blob { cid, key: key.into(), mime_type: "image/png".into(), size };
    world.account.expect_blob(key, world.now, DAY).unwrap();
    world.account.add_blob(&blob, world.now).unwrap();
    cid
}

fn refer(world: &mut World, at: &str, cid: Cid, mime: &str) {
    let value = value(&with_blob(cid, mime, 5));
    world.write(vec![Write::Put { path: path(at), value, swap: None }]).unwrap();
}

#[test]
fn blobs_that_are_not_here_are_missing_until_they_are_uploaded() {
    let mut from = elsewhere();
    let cids: Vec<Cid> = (b'a'..=b'e').map(|n| upload(&from, &[n; 5], &format!("old {n}"))).collect();
    for (n, cid) in cids.iter().enumerate() {
        refer(&mut from, &format!("com.example.note/{n}"), *cid, "image/png");
        refer(&mut from, &format!("com.example.note/{n}-too"), *cid, "image/png");
    }
    let mut to = world(true, None);
    // One is here before its record.
    let early = upload(&to, b"aaaaa", "early");
    take_over(&mut to, &from).unwrap();
    assert_eq!(to.account.blob(&early, false).unwrap().unwrap().key, "early");
    let missing = to.account.missing_blobs(None, 10).unwrap();
    assert_eq!(missing.len(), 4);
    assert!(missing.iter().all(|blob| blob.path.to_string().starts_with("com.example.note/")));
    assert!(missing.windows(2).all(|pair| pair[0].cid.to_bytes() < pair[1].cid.to_bytes()));
    let pages = [
        to.account.missing_blobs(None, 3).unwrap(),
        to.account.missing_blobs(Some(&missing[2].cid), 3).unwrap(),
    ];
    assert_eq!(pages.concat(), missing);
    for n in b'b'..=b'e' {
        let cid = upload(&to, &[n; 5], &format!("new {n}"));
        assert_eq!(to.account.blob(&cid, false).unwrap().unwrap().key, format!("new {n}"));
    }
    assert!(to.account.missing_blobs(None, 10).unwrap().is_empty());
    // Nothing waits for a record, so nothing is collected.
    assert!(to.account.condemned_blobs(to.now + 2 * DAY, DAY).unwrap().is_empty());
}

#[test]
fn blobs_that_the_new_repository_does_not_know_are_let_go() {
    let mut from = elsewhere();
    let kept = upload(&from, b"kept!", "there");
    refer(&mut from, "com.example.note/b", kept, "image/png");
    let mut to = world(false, None);
    upload(&to, b"kept!", "kept");
    refer(&mut to, "com.example.note/a", kept, "image/png");
    let gone = upload(&to, b"gone!", "gone");
    refer(&mut to, "com.example.note/c", gone, "image/png");
    take_over(&mut to, &from).unwrap();
    // The record that had it is gone before the one that has it comes.
    assert_eq!(to.account.blob(&kept, false).unwrap().unwrap().key, "kept");
    assert!(to.account.missing_blobs(None, 10).unwrap().is_empty());
    assert_eq!(to.account.condemned_blobs(to.now, DAY).unwrap(), [(gone, "gone".into())]);
}

#[test]
fn a_blob_whose_bytes_are_being_deleted_is_missing() {
    let mut from = elsewhere();
    let cid = upload(&from, b"again", "there");
    refer(&mut from, "com.example.note/b", cid, "image/png");
    let mut to = world(false, None);
    upload(&to, b"again", "first");
    refer(&mut to, "com.example.note/a", cid, "image/png");
    to.write(vec![delete("com.example.note/a")]).unwrap();
    let condemned = to.account.condemned_blobs(to.now, DAY).unwrap();
    take_over(&mut to, &from).unwrap();
    assert_eq!(to.account.missing_blobs(None, 10).unwrap().len(), 1);
    upload(&to, b"again", "second");
    to.account.forget_blob(&condemned[0].0, &condemned[0].1).unwrap();
    assert_eq!(to.account.blob(&cid, false).unwrap().unwrap().key, "second");
}

#[test]
fn a_record_that_describes_its_blob_otherwise_than_this_host_can_still_be_edited() {
    let mut from = elsewhere();
    let cid = upload(&from, b"asset", "there");
    refer(&mut from, "com.example.note/b", cid, "image/png");
    let mut to = world(false, None);
    take_over(&mut to, &from).unwrap();
    let blob = Blob { cid, key: "here".into(), mime_type: "image/x-png".into(), size: 5 };
    to.account.expect_blob(&blob.key, to.now, DAY).unwrap();
    to.account.add_blob(&blob, to.now).unwrap();
    let Ipld::Map(mut fields) = with_blob(cid, "image/png", 5) else { panic!() };
    fields.insert("text".into(), Ipld::String("edited".into()));
    let value = value(&Ipld::Map(fields));
    let edit = |at: &str| Write::Put { path: path(at), value: value.clone(), swap: None };
    to.write(vec![edit("com.example.note/b")]).unwrap();
    assert!(matches!(to.write(vec![edit("com.example.note/c")]), Err(AccountError::BlobType { .. })));
}

#[test]
fn likes_that_move_in_replace_each_other_as_ever() {
    let like = |subject: &str| {
        let subject = Ipld::Map(BTreeMap::from([("uri".to_owned(), Ipld::String(subject.into()))]));
        let record = Ipld::Map(BTreeMap::from([("subject".to_owned(), subject)]));
        let bytes = murmuration_data::cbor::encode(&record).unwrap();
        murmuration_account::Value::new(bytes, Vec::new(), Some("at://a/b/c".into()))
    };
    let create = |rkey: &str| Write::Create {
        path: path(&format!("app.bsky.feed.like/{rkey}")),
        value: like("at://a/b/c"),
        replaces: true,
    };
    let mut from = elsewhere();
    from.write(vec![create("one")]).unwrap();
    let mut to = world(false, None);
    take_over(&mut to, &from).unwrap();
    to.write(vec![create("two")]).unwrap();
    assert!(to.account.record(&path("app.bsky.feed.like/one")).unwrap().is_none());
}

#[test]
fn an_import_writes_a_row_a_record_and_its_pages() {
    const RECORDS: u64 = 10_000;
    let mut from = elsewhere();
    for turn in 0..RECORDS / 200 {
        let writes = (0..200)
            .map(|n| put(&format!("com.example.note/3k{:08}", turn * 200 + n), "a text of some length"));
        let writes = writes.collect();
        from.write(writes).unwrap();
    }
    let mut to = world(true, None);
    let car = from.export();
    let started = Instant::now();
    let whole = verified(&car, &from);
    let checked = started.elapsed();
    let before = to.store.counts();
    to.account.import(&whole, NOW + 1_000_000).unwrap();
    let written = to.store.counts().written - before.written;
    let statements = to.store.counts().statements - before.statements;
    println!(
        "{RECORDS} records, {} bytes: verified in {checked:?}, written in {:?}: {written} rows, {statements} statements",
        car.len(),
        started.elapsed() - checked
    );
    // One a page of some 64 entries, and the turn.
    assert!(written <= RECORDS + RECORDS / 30, "{written} rows");
    to.model.clone_from(&from.model);
    to.wake(true);
    to.assert_holds_the_model();
}

/// What an agent has sealed on the host that it leaves opens on the one that it moves to, with the keys that it takes along.
#[test]
fn an_agents_keys_move_with_it_and_open_what_it_remembers() {
    let from = elsewhere();
    from.account.start_epoch(&Counter(Cell::new(1)), NOW).unwrap();
    let (name, text) = (path("com.example.note/memory"), value(&record("remembered")));
    let mind = from.account.mind(&Fixed, NOW).unwrap();
    let draft = Draft {
        path: &name,
        record: text.bytes(),
        pinned: false,
        expires_at: None,
        meaning: None,
        on_duplicate: OnDuplicate::Keep,
        near: None,
    };
    mind.memories.create(mind.keeper(), draft, None).unwrap();
    from.account.rotate_keys(&[&Remembered], None, true, &Counter(Cell::new(50)), NOW + 1).unwrap();
    let mut export = mind.memories.export(NOW);
    let sealed = export.next_part().unwrap().unwrap().memories.remove(0);

    let mut to = world(true, None);
    let keys = from.account.ring().unwrap().epochs().to_vec();
    assert_eq!(keys.len(), 2);
    let import = |to: &World, keys: &[EpochSecrets]| to.account.import_keys(keys.to_vec(), &Fixed, to.now);
    assert!(matches!(import(&to, &keys), Err(AccountError::NoKeys)), "nothing is published yet");
    take_over(&mut to, &from).unwrap();
    assert!(matches!(to.account.ring(), Err(AccountError::NoKeys)));
    let others = [EpochSecrets::generate(1, &Fixed), EpochSecrets::generate(2, &Fixed)];
    for wrong in [&keys[..1], &others, &[]] {
        assert!(matches!(import(&to, wrong), Err(AccountError::ForeignKeys)));
    }
    assert!(matches!(to.account.ring(), Err(AccountError::NoKeys)));
    let before = to.store.counts().written;
    assert_eq!(import(&to, &keys).unwrap(), 2);
    assert_eq!(to.store.counts().written - before, 2, "a row for each epoch");
    assert!(matches!(import(&to, &keys), Err(AccountError::KeysHere)));
    let woken = Account::new(to.store.clone(), kek(), true);
    let (opened, cid) = sealed.open(&woken.ring().unwrap(), None).unwrap();
    assert_eq!((opened.as_slice(), cid), (text.bytes(), text.cid()));
    // It goes on from there.
    let next = woken.rotate_keys(&[&Remembered], None, true, &Counter(Cell::new(90)), NOW + 2).unwrap();
    assert_eq!(next.epoch, 3);
}

struct Counter(Cell<u8>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        buffer.fill(self.0.get());
    }
}
