//! A rotation of an agent's keys: what is sealed is wrapped anew some rows a run, old mail stays readable, and old secrets go.

use std::cell::Cell;

use murmuration_account::{AccountError, MAX_LIVE_EPOCHS, Rotation, SealedStore};
use murmuration_envelope::{Binding, Envelope, KeptKey};
use murmuration_keyring::Ring;
use murmuration_platform::{Entropy, Param, Store, StoreError};

use crate::common::{DID, NOW, World};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

struct Counter(Cell<u32>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        let bytes = self.0.get().to_be_bytes();
        buffer.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

/// Notes that the agent has sealed for itself.
struct Notes;

fn binding(author: &str, n: i64) -> Binding {
    Binding {
        author: author.parse().unwrap(),
        collection: "agent.memory.note".parse().unwrap(),
        rkey: format!("note{n}").parse().unwrap(),
        schema: "agent.memory.note".parse().unwrap(),
    }
}

impl SealedStore for Notes {
    fn pending(&self, store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM note WHERE epoch < ?1";
        let count = store.query(sql, &[Param::Int(epoch.into())])?.remove(0).int(0)?;
        Ok(count.try_into().unwrap())
    }

    fn rewrap(
        &self,
        store: &dyn Store,
        ring: &Ring,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<u32, AccountError> {
        let latest = i64::from(ring.current().number());
        let sql = "SELECT n, envelope FROM note WHERE epoch < ?1 LIMIT ?2";
        let rows = store.query(sql, &[Param::Int(latest), Param::Int(limit.into())])?;
        let mut done = 0;
        for mut row in rows {
            let (n, envelope) = (row.int(0)?, Envelope::from_cbor(&row.blob(1)?).unwrap());
            let moved = ring.rewrap(&binding(DID, n), &envelope, entropy).unwrap().to_cbor();
            let sql = "UPDATE note SET epoch = ?1, envelope = ?2 WHERE n = ?3";
            store.query(sql, &[Param::Int(latest), Param::Blob(&moved), Param::Int(n)])?;
            done += 1;
        }
        Ok(done)
    }
}

/// Letters that others have sealed to the agent, which may not change.
struct Letters;

impl SealedStore for Letters {
    fn pending(&self, store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM letter WHERE epoch < ?1";
        let count = store.query(sql, &[Param::Int(epoch.into())])?.remove(0).int(0)?;
        Ok(count.try_into().unwrap())
    }

    fn rewrap(
        &self,
        store: &dyn Store,
        ring: &Ring,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<u32, AccountError> {
        let latest = i64::from(ring.current().number());
        let sql = "SELECT n, envelope, kept FROM letter WHERE epoch < ?1 LIMIT ?2";
        let rows = store.query(sql, &[Param::Int(latest), Param::Int(limit.into())])?;
        let mut done = 0;
        for mut row in rows {
            let (n, envelope) = (row.int(0)?, Envelope::from_cbor(&row.blob(1)?).unwrap());
            let (binding, kept) = (binding("did:plc:bob", n), row.opt_blob(2)?);
            let kept = match kept {
                None => ring.keep(&binding, &envelope, entropy),
                Some(kept) => {
                    ring.keep_anew(&binding, &envelope, &KeptKey::from_bytes(&kept).unwrap(), entropy)
                }
            };
            let sql = "UPDATE letter SET epoch = ?1, kept = ?2 WHERE n = ?3";
            let kept = kept.unwrap().to_bytes();
            store.query(sql, &[Param::Int(latest), Param::Blob(&kept), Param::Int(n)])?;
            done += 1;
        }
        Ok(done)
    }
}

const STORES: &[&dyn SealedStore] = &[&Notes, &Letters];

/// An agent with so many notes of its own, and so many letters from Bob.
fn world(notes: i64, letters: i64) -> (World, Counter) {
    let world = World::new();
    let entropy = Counter(Cell::new(1_000));
    world
        .store
        .query("CREATE TABLE note (n INTEGER PRIMARY KEY, epoch INTEGER, envelope BLOB)", &[])
        .unwrap();
    let sql = "CREATE TABLE letter (n INTEGER PRIMARY KEY, epoch INTEGER, envelope BLOB, kept BLOB)";
    world.store.query(sql, &[]).unwrap();
    let ring = world.account.start_epoch(&entropy, NOW).unwrap();
    let (bob, _) = Ring::begin(&"did:plc:bob".parse().unwrap(), &entropy, NOW).unwrap();
    for n in 0..notes {
        let envelope = ring.seal(&binding(DID, n), &[], format!("note {n}").as_bytes(), &entropy).unwrap();
        let params = [Param::Int(n), Param::Blob(&envelope.to_cbor())];
        world.store.query("INSERT INTO note VALUES (?1, 1, ?2)", &params).unwrap();
    }
    let to = world.account.published_keys().unwrap().recipient(NOW).unwrap();
    for n in 0..letters {
        let text = format!("letter {n}");
        let binding = binding("did:plc:bob", n);
        let envelope = bob.seal(&binding, std::slice::from_ref(&to), text.as_bytes(), &entropy).unwrap();
        let params = [Param::Int(n), Param::Blob(&envelope.to_cbor())];
        world.store.query("INSERT INTO letter VALUES (?1, 1, ?2, NULL)", &params).unwrap();
    }
    (world, entropy)
}

/// Opens everything.
fn assert_readable(world: &World) {
    let ring = world.account.ring().unwrap();
    for mut row in world.store.query("SELECT n, envelope FROM note", &[]).unwrap() {
        let (n, envelope) = (row.int(0).unwrap(), Envelope::from_cbor(&row.blob(1).unwrap()).unwrap());
        let text = ring.open(&binding(DID, n), &envelope).unwrap();
        assert_eq!(text.as_slice(), format!("note {n}").as_bytes());
    }
    for mut row in world.store.query("SELECT n, envelope, kept FROM letter", &[]).unwrap() {
        let (n, envelope) = (row.int(0).unwrap(), Envelope::from_cbor(&row.blob(1).unwrap()).unwrap());
        let binding = binding("did:plc:bob", n);
        let text = match row.opt_blob(2).unwrap() {
            None => ring.open(&binding, &envelope),
            Some(kept) => ring.open_kept(&binding, &envelope, &KeptKey::from_bytes(&kept).unwrap()),
        };
        assert_eq!(text.unwrap().as_slice(), format!("letter {n}").as_bytes());
    }
}

fn written(world: &World, act: impl FnOnce()) -> u64 {
    let before = world.store.counts().written;
    act();
    world.store.counts().written - before
}

#[test]
fn a_rotation_wraps_everything_anew_in_runs_and_then_lets_the_old_secrets_go() {
    let (mut world, entropy) = world(150, 70);
    let mut now = NOW + DAY;
    let rotation = world.account.rotate_keys(STORES, Some("scheduled"), true, &entropy, now).unwrap();
    assert_eq!(rotation, Rotation { epoch: 2, pending: 220 });
    assert!(world.account.keys_touched().unwrap());
    assert!(!world.account.keys_touched().unwrap());
    assert_readable(&world);

    // A hundred rows a run, a row written for each, however often the object is woken in between.
    let mut runs = Vec::new();
    while world.account.keys_due(STORES).unwrap().is_some_and(|due| due <= now) {
        world.wake(true);
        runs.push(written(&world, || world.account.tend_keys(STORES, &entropy, now).unwrap()));
        assert_readable(&world);
        now += 1_000;
    }
    assert_eq!(runs, [100, 100, 20]);

    // What was sealed to the old epoch may still be on its way. Then its secrets go: one row, and never again any.
    let due = world.account.keys_due(STORES).unwrap().unwrap();
    assert_eq!(due, NOW + DAY + 14 * DAY);
    assert_eq!(written(&world, || world.account.tend_keys(STORES, &entropy, due - 1).unwrap()), 0);
    assert_eq!(world.account.ring().unwrap().epochs().len(), 2);
    assert_eq!(written(&world, || world.account.tend_keys(STORES, &entropy, due).unwrap()), 1);
    assert_eq!(world.account.ring().unwrap().epochs().len(), 1);
    assert_eq!(world.account.keys_due(STORES).unwrap(), None);
    assert_readable(&world);
    world.wake(true);
    assert_readable(&world);
    assert_eq!(written(&world, || world.account.tend_keys(STORES, &entropy, due + DAY).unwrap()), 0);
}

#[test]
fn a_rotation_does_not_begin_before_the_last_has_wrapped_everything_anew() {
    let (world, entropy) = world(103, 3);
    world.account.rotate_keys(STORES, None, true, &entropy, NOW + 1).unwrap();
    // More than a run deals with.
    let rows = written(&world, || {
        let outcome = world.account.rotate_keys(STORES, None, true, &entropy, NOW + 2);
        assert!(matches!(outcome, Err(AccountError::RotationInProgress)), "{outcome:?}");
    });
    assert_eq!(rows, 0);
    world.account.tend_keys(STORES, &entropy, NOW + 3).unwrap();
    // What a run deals with is done on the way. Letters that are kept under the second epoch are kept under the third.
    let rotation = world.account.rotate_keys(STORES, None, true, &entropy, NOW + 4).unwrap();
    assert_eq!(rotation, Rotation { epoch: 3, pending: 106 });
    for n in 5..7 {
        world.account.tend_keys(STORES, &entropy, NOW + n).unwrap();
    }
    assert_readable(&world);
    world.account.tend_keys(STORES, &entropy, NOW + 30 * DAY).unwrap();
    assert_eq!(world.account.ring().unwrap().epochs().len(), 1);
    assert_readable(&world);
}

#[test]
fn an_account_without_keys_gets_its_first_and_no_more_live_ones_than_it_may_have() {
    let world = World::new();
    let entropy = Counter(Cell::new(1));
    for n in 1..=u32::try_from(MAX_LIVE_EPOCHS).unwrap() {
        let rotation = world.account.rotate_keys(&[], None, true, &entropy, NOW + u64::from(n)).unwrap();
        assert_eq!(rotation, Rotation { epoch: n, pending: 0 });
    }
    let outcome = world.account.rotate_keys(&[], None, true, &entropy, NOW + 100);
    assert!(matches!(outcome, Err(AccountError::RotationInProgress)));
    // One after the other they end; the latest stays.
    assert_eq!(written(&world, || world.account.tend_keys(&[], &entropy, NOW + 14 * DAY + 3).unwrap()), 2);
    world.account.tend_keys(&[], &entropy, NOW + 400 * DAY).unwrap();
    assert_eq!(world.account.ring().unwrap().epochs().len(), 1);
    let rotation = world.account.rotate_keys(&[], None, true, &entropy, NOW + 400 * DAY).unwrap();
    assert_eq!(rotation.epoch, 65);
}

#[test]
fn a_run_that_fails_stores_nothing_and_the_next_goes_on() {
    let (mut world, entropy) = world(5, 5);
    world.account.rotate_keys(STORES, None, true, &entropy, NOW + 1).unwrap();
    for statement in 0..12 {
        world.store.fail_after(Some(statement));
        let outcome = world.account.tend_keys(STORES, &entropy, NOW + 2);
        assert!(outcome.is_err() && !world.store.fault_armed(), "statement {statement}");
        world.store.fail_after(None);
        world.wake(true);
        assert_eq!(Notes.pending(&*world.store, 2).unwrap() + Letters.pending(&*world.store, 2).unwrap(), 10);
        assert_readable(&world);
    }
    world.account.tend_keys(STORES, &entropy, NOW + 2).unwrap();
    assert_readable(&world);
}
