//! A new key-encryption key of the host: what is sealed under older ones is sealed anew, some rows a run, until none is left.

use std::cell::Cell;

use murmuration_account::{Account, AccountError};
use murmuration_keys::KeyError;
use murmuration_keys::seal::{Keks, kek_version};
use murmuration_platform::{Entropy, Store as _};

use crate::common::{NOW, World, create};

struct Counter(Cell<u32>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        let bytes = self.0.get().to_be_bytes();
        buffer.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

/// The key of the common world is version 1, thirty-two times 3.
fn keks(versions: &[u32]) -> Keks {
    let key = |version: &u32| format!("{version}:{}", format!("{:02x}", version + 2).repeat(32));
    Keks::parse(&versions.iter().map(key).collect::<Vec<_>>().join(",")).unwrap()
}

fn woken(world: &World, versions: &[u32]) -> Account {
    let account = Account::new(world.store.clone(), keks(versions), true);
    account.profile().unwrap();
    account
}

/// The versions that the signing key and the epochs are sealed under.
fn versions(world: &World) -> Vec<u32> {
    let sql = "SELECT signing_key FROM account UNION ALL SELECT * FROM (SELECT secrets FROM key_epoch ORDER BY epoch)";
    let rows = world.store.query(sql, &[]).unwrap();
    rows.into_iter().map(|mut row| kek_version(&row.blob(0).unwrap()).unwrap()).collect()
}

#[test]
fn everything_is_sealed_anew_in_runs_and_then_the_old_key_may_go() {
    let mut world = World::new();
    let entropy = Counter(Cell::new(1));
    for n in 0..11 {
        world.account.start_epoch(&entropy, NOW + n).unwrap();
    }
    assert!(!world.account.is_behind());
    let shown = (world.account.signing_key().unwrap(), world.account.published_keys().unwrap());

    let mut runs = Vec::new();
    loop {
        // Woken anew for each run: what is left stands in the rows.
        let account = woken(&world, &[1, 2]);
        if !account.is_behind() {
            assert_ne!(account.keys_due(&[]).unwrap(), Some(0));
            assert!(!account.keys_touched().unwrap());
            break;
        }
        assert!(account.keys_touched().unwrap());
        assert_eq!(account.keys_due(&[]).unwrap(), Some(0));
        account.ring().unwrap();
        let before = world.store.counts().written;
        account.tend_keys(&[], &entropy, NOW + 100).unwrap();
        runs.push(world.store.counts().written - before);
    }
    // Eleven epochs and the signing key, a row each.
    assert_eq!(runs, [8, 4]);
    assert_eq!(versions(&world), [2; 12]);

    world.account = woken(&world, &[2]);
    assert_eq!((world.account.signing_key().unwrap(), world.account.published_keys().unwrap()), shown);
    assert_eq!(world.account.ring().unwrap().epochs().len(), 11);
    world.write(vec![create("com.example.note/a", "text")]).unwrap();
}

#[test]
fn what_is_made_between_two_runs_is_sealed_under_the_newest() {
    let world = World::new();
    let entropy = Counter(Cell::new(1));
    world.account.start_epoch(&entropy, NOW).unwrap();
    let account = woken(&world, &[1, 2]);
    account.start_epoch(&entropy, NOW + 1).unwrap();
    assert_eq!(versions(&world), [1, 1, 2]);
    account.tend_keys(&[], &entropy, NOW + 2).unwrap();
    assert_eq!(versions(&world), [2, 2, 2]);
}

#[test]
fn a_key_that_went_too_early_is_an_error_and_nothing_is_changed() {
    let mut world = World::new();
    let entropy = Counter(Cell::new(1));
    world.account.start_epoch(&entropy, NOW).unwrap();
    let before = (world.store.counts().written, versions(&world));
    let account = Account::new(world.store.clone(), keks(&[2]), true);
    for outcome in [account.profile().map(drop), account.tend_keys(&[], &entropy, NOW + 1)] {
        assert!(matches!(outcome, Err(AccountError::Key(KeyError::KekMissing(1)))), "{outcome:?}");
    }
    // A run that finds one row that does not open undoes the others.
    world.account.start_epoch(&entropy, NOW + 2).unwrap();
    world.store.query("UPDATE key_epoch SET epoch = 9 WHERE epoch = 2", &[]).unwrap();
    let account = woken(&world, &[1, 2]);
    assert!(matches!(
        account.tend_keys(&[], &entropy, NOW + 3),
        Err(AccountError::Key(KeyError::SealBroken))
    ));
    assert_eq!(versions(&world), [1, 1, 1]);
    assert_eq!(before.1, [1, 1]);
    world.wake(true);
}
