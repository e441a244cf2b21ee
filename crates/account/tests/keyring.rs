//! An agent's keys: made with what publishes them, sealed at rest, and never replaced.

use std::cell::Cell;

use murmuration_account::{Account, AccountError, Value, Write};
use murmuration_data::cbor;
use murmuration_envelope::Binding;
use murmuration_keyring::{PublishedKeys, Ring};
use murmuration_keys::KeyError;
use murmuration_keys::seal::Kek;
use murmuration_platform::{Entropy, Store as _};
use murmuration_syntax::RepoPath;

use crate::common::{DID, NOW, World, create, delete, put};

/// No two calls give the same bytes.
struct Counter(Cell<u8>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        buffer.fill(self.0.get());
    }
}

fn counter() -> Counter {
    Counter(Cell::new(100))
}

fn binding() -> Binding {
    Binding {
        author: DID.parse().unwrap(),
        collection: "agent.memory.note".parse().unwrap(),
        rkey: "3lznm6spegk2z".parse().unwrap(),
        schema: "agent.memory.note".parse().unwrap(),
    }
}

fn put_keys(published: &PublishedKeys) -> Write {
    let value = Value::new(cbor::encode(&published.to_ipld()).unwrap(), Vec::new(), None);
    Write::Put { path: RepoPath::parse("agent.identity.keys/self").unwrap(), value, swap: None }
}

fn record(world: &World) -> PublishedKeys {
    let path = RepoPath::parse("agent.identity.keys/self").unwrap();
    let value = world.account.record(&path).unwrap().unwrap().value;
    PublishedKeys::from_ipld(&DID.parse().unwrap(), cbor::decode(&value).unwrap()).unwrap()
}

/// Every blob of every row.
fn stored_bytes(world: &World) -> Vec<Vec<u8>> {
    let tables = world.store.query("SELECT name FROM sqlite_schema WHERE type = 'table'", &[]).unwrap();
    let names: Vec<String> = tables.into_iter().map(|mut row| row.text(0).unwrap()).collect();
    let mut found = Vec::new();
    for name in names {
        let columns = world.store.query(&format!("PRAGMA table_info({name})"), &[]).unwrap().len();
        for mut row in world.store.query(&format!("SELECT * FROM {name}"), &[]).unwrap() {
            for column in 0..columns {
                found.extend(row.opt_blob(column).ok().flatten());
            }
        }
    }
    found
}

#[test]
fn an_account_has_no_keys_until_they_are_asked_for() {
    let world = World::new();
    assert!(matches!(world.account.ring(), Err(AccountError::NoKeys)));
    assert!(matches!(world.account.published_keys(), Err(AccountError::NoKeys)));
    world.account.start_epoch(&counter(), NOW + 1).unwrap();
    assert_eq!(world.account.ring().unwrap().current().number(), 1);
}

#[test]
fn an_epoch_writes_its_secrets_its_record_and_its_turn_and_publishes_what_it_keeps() {
    let mut world = World::new();
    let entropy = counter();
    for number in 1..=3 {
        let before = (world.store.counts().written, world.account.head().unwrap());
        let ring = world.account.start_epoch(&entropy, NOW + u64::from(number) * 1_000).unwrap();
        assert_eq!(world.store.counts().written - before.0, 3, "epoch {number}");
        assert!(world.account.head().unwrap().rev > before.1.rev);
        assert_eq!(ring.current().number(), number);
        let published = record(&world);
        ring.check(&published).unwrap();
        assert_eq!(published, world.account.published_keys().unwrap());
        assert_eq!(published.epochs().len(), usize::try_from(number).unwrap());
    }
    let events = world.drain();
    assert_eq!(events.len(), 4 + 3, "the account's own, and one a rotation");
    world.wake(true);
    world.account.ring().unwrap().check(&record(&world)).unwrap();
}

#[test]
fn what_was_sealed_in_an_earlier_epoch_stays_readable_and_can_be_wrapped_anew() {
    let mut world = World::new();
    let entropy = counter();
    let first = world.account.start_epoch(&entropy, NOW + 1).unwrap();
    let note = first.seal(&binding(), &[], b"the deploy window is Friday", &entropy).unwrap();
    world.account.start_epoch(&entropy, NOW + 2).unwrap();
    world.wake(true);
    let ring = world.account.ring().unwrap();
    assert_eq!(ring.open(&binding(), &note).unwrap().as_slice(), b"the deploy window is Friday");
    let moved = ring.rewrap(&binding(), &note, &entropy).unwrap();
    assert_eq!((note.own_epoch(), moved.own_epoch(), moved.epoch()), (1, 2, 1));
    let later = ring.without(1);
    assert_eq!(later.open(&binding(), &moved).unwrap().as_slice(), b"the deploy window is Friday");
    assert!(later.open(&binding(), &note).is_err());
}

#[test]
fn a_wrong_or_missing_key_encryption_key_is_an_error_and_never_makes_new_keys() {
    let world = World::new();
    world.account.start_epoch(&counter(), NOW + 1).unwrap();
    let before = (world.store.counts().written, stored_bytes(&world));
    for (other, expected) in [
        (Kek { version: 1, key: [4; 32] }, KeyError::SealBroken),
        (Kek { version: 2, key: [3; 32] }, KeyError::KekMissing(1)),
    ] {
        let account = Account::new(world.store.clone(), other, true);
        for outcome in [account.ring().map(drop), account.start_epoch(&counter(), NOW + 2).map(drop)] {
            assert!(matches!(outcome, Err(AccountError::Key(error)) if error == expected), "{outcome:?}");
        }
    }
    assert_eq!((world.store.counts().written, stored_bytes(&world)), before);
}

#[test]
fn a_row_of_secrets_opens_only_as_the_epoch_of_the_account_that_it_is_of() {
    let mut world = World::new();
    let entropy = counter();
    world.account.start_epoch(&entropy, NOW + 1).unwrap();
    world.store.query("UPDATE key_epoch SET epoch = 7", &[]).unwrap();
    world.wake(true);
    assert!(matches!(world.account.ring(), Err(AccountError::Key(KeyError::SealBroken))));
    // The profile and the signing key are well: what needs no key goes on.
    world.write(vec![create("com.example.note/a", "text")]).unwrap();
    assert!(matches!(
        world.account.start_epoch(&entropy, NOW + 2),
        Err(AccountError::Key(KeyError::SealBroken))
    ));
}

#[test]
fn no_secret_is_stored_in_the_clear() {
    let world = World::new();
    let ring = world.account.start_epoch(&counter(), NOW + 1).unwrap();
    let secrets = ring.current().to_bytes();
    for part in secrets.chunks(32) {
        let clear = |bytes: &Vec<u8>| bytes.windows(32).any(|window| window == part);
        assert!(!stored_bytes(&world).iter().any(clear));
    }
}

#[test]
fn keys_that_somebody_else_has_published_are_not_followed_by_new_ones() {
    let mut world = World::new();
    let entropy = counter();
    // Another's record, under this DID: as from a client that keeps its keys.
    let (_, published) = Ring::begin(&DID.parse().unwrap(), &entropy, NOW).unwrap();
    world.write(vec![put_keys(&published)]).unwrap();
    assert_eq!(world.account.published_keys().unwrap(), published);
    let written = world.store.counts().written;
    assert!(matches!(world.account.start_epoch(&entropy, NOW + 5), Err(AccountError::ForeignKeys)));
    assert!(matches!(world.account.ring(), Err(AccountError::NoKeys)));
    assert_eq!(world.store.counts().written, written);
}

#[test]
fn an_owner_who_keeps_the_keys_may_write_only_what_readers_believe() {
    let mut world = World::new();
    let entropy = counter();
    let did: murmuration_syntax::Did = DID.parse().unwrap();
    let (ring, first) = Ring::begin(&did, &entropy, NOW).unwrap();
    let (ring, second) = ring.advance(&first, None, &entropy, NOW + 1_000).unwrap();
    let (_, third) = ring.advance(&second, None, &entropy, NOW + 2_000).unwrap();
    // Longer, whole in itself, and somebody else's.
    let (theirs, other) = Ring::begin(&did, &entropy, NOW).unwrap();
    let (theirs, other) = theirs.advance(&other, None, &entropy, NOW + 1_000).unwrap();
    let (_, other) = theirs.advance(&other, None, &entropy, NOW + 2_000).unwrap();
    assert!(world.write(vec![put("agent.identity.keys/self", "no keys")]).is_err());
    world.write(vec![put_keys(&second)]).unwrap();
    let written = world.store.counts().written;
    for worse in [&first, &other] {
        let outcome = world.write(vec![put_keys(worse)]);
        assert!(matches!(outcome, Err(AccountError::InvalidWrite(_))), "{outcome:?}");
    }
    assert_eq!(world.store.counts().written, written);
    world.write(vec![put_keys(&third)]).unwrap();
    assert_eq!(world.account.published_keys().unwrap(), third);
}

#[test]
fn the_record_of_keys_that_are_kept_here_is_not_its_owners_to_write() {
    let mut world = World::new();
    let entropy = counter();
    world.account.start_epoch(&entropy, NOW + 1).unwrap();
    let published = record(&world);
    for write in [put_keys(&published), delete("agent.identity.keys/self")] {
        let outcome = world.write(vec![write]);
        assert!(matches!(outcome, Err(AccountError::InvalidWrite(_))), "{outcome:?}");
    }
    assert_eq!(record(&world), published);
}

#[test]
fn a_statement_that_fails_leaves_no_epoch_behind() {
    for statement in 0..8 {
        let mut world = World::new();
        let entropy = counter();
        world.store.fail_after(Some(statement));
        let outcome = world.account.start_epoch(&entropy, NOW + 1);
        let fired = !world.store.fault_armed();
        world.store.fail_after(None);
        assert_eq!(outcome.is_err(), fired, "statement {statement}");
        world.wake(true);
        assert_eq!(world.account.ring().is_ok(), !fired);
        assert_eq!(world.account.published_keys().is_ok(), !fired);
    }
}
