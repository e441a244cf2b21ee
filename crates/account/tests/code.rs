//! Codes sent by mail.

use std::cell::Cell;

use murmuration_account::{AccountError, Purpose};
use murmuration_platform::Entropy;

use crate::common::World;

const MINUTE: u64 = 60 * 1_000_000;
const EVERY: [Purpose; 5] = [
    Purpose::ConfirmEmail,
    Purpose::UpdateEmail,
    Purpose::ResetPassword,
    Purpose::DeleteAccount,
    Purpose::PlcOperation,
];

/// Other bytes at each call.
struct Counter(Cell<u8>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0.set(self.0.get().wrapping_mul(181).wrapping_add(97));
            *byte = self.0.get();
        }
    }
}

fn issue(world: &World, purpose: Purpose, seed: u8) -> String {
    world.account.issue_code(purpose, &Counter(Cell::new(seed)), world.now).unwrap()
}

fn is_invalid(outcome: Result<(), AccountError>) -> bool {
    matches!(outcome, Err(AccountError::CodeInvalid))
}

#[test]
fn regress_cocoon_a_code_works_once_and_for_its_purpose_only() {
    let world = World::new();
    for purpose in EVERY {
        let code = issue(&world, purpose, 1);
        for other in EVERY.into_iter().filter(|other| *other != purpose) {
            assert!(is_invalid(world.account.check_code(other, &code, world.now)), "{other:?}");
        }
        assert!(world.account.check_code(purpose, &code.to_lowercase(), world.now).is_ok());
        assert!(is_invalid(world.account.check_code(purpose, &code, world.now)));
    }
}

#[test]
fn a_code_is_two_times_five_letters_of_base32() {
    let world = World::new();
    for seed in 0..50 {
        let code = issue(&world, Purpose::ConfirmEmail, seed);
        let (left, right) = code.split_once('-').unwrap();
        assert_eq!((left.len(), right.len()), (5, 5), "{code}");
        assert!(code.bytes().all(|c| c == b'-' || c.is_ascii_uppercase() || (b'2'..=b'7').contains(&c)));
    }
}

#[test]
fn a_code_ends_after_fifteen_minutes() {
    let world = World::new();
    let code = issue(&world, Purpose::ResetPassword, 1);
    let late = world.now + 15 * MINUTE;
    let outcome = world.account.check_code(Purpose::ResetPassword, &code, late);
    assert!(matches!(outcome, Err(AccountError::CodeExpired)));
    let code = issue(&world, Purpose::ResetPassword, 2);
    assert!(world.account.check_code(Purpose::ResetPassword, &code, late - 1).is_ok());
}

#[test]
fn a_new_code_replaces_the_old() {
    let world = World::new();
    let old = issue(&world, Purpose::DeleteAccount, 1);
    let new = issue(&world, Purpose::DeleteAccount, 2);
    assert_ne!(old, new);
    assert!(is_invalid(world.account.check_code(Purpose::DeleteAccount, &old, world.now)));
    assert!(world.account.check_code(Purpose::DeleteAccount, &new, world.now).is_ok());
}

#[test]
fn guessing_makes_the_code_void_even_across_a_crash() {
    let mut world = World::new();
    for guesses in [9, 10] {
        let code = issue(&world, Purpose::PlcOperation, 1);
        for _ in 0..guesses {
            assert!(is_invalid(world.account.check_code(Purpose::PlcOperation, "AAAAA-AAAAA", world.now)));
            world.wake(true);
        }
        let outcome = world.account.check_code(Purpose::PlcOperation, &code, world.now);
        assert_eq!(outcome.is_ok(), guesses < 10);
    }
}

#[test]
fn codes_are_dropped_together() {
    let world = World::new();
    let codes = EVERY.map(|purpose| (purpose, issue(&world, purpose, 3)));
    world.account.drop_codes().unwrap();
    for (purpose, code) in codes {
        assert!(is_invalid(world.account.check_code(purpose, &code, world.now)));
    }
}

#[test]
fn a_change_by_code_takes_the_code_with_it_and_a_new_address_takes_all() {
    let world = World::new();
    let codes = EVERY.map(|purpose| (purpose, issue(&world, purpose, 3)));
    let update = &codes[1];
    let by = |code: &str, email: &str| {
        let edit = world
            .account
            .edit_by_code((update.0, code), world.now, |profile| profile.email = Some(email.to_owned()));
        edit.map(|profile| profile.email.clone())
    };
    let before = world.account.profile().unwrap();
    assert!(matches!(by("AAAAA-AAAAA", "wrong@example.com"), Err(AccountError::CodeInvalid)));
    assert_eq!(world.account.profile().unwrap(), before);
    assert_eq!(by(&update.1, "new@example.com").unwrap().as_deref(), Some("new@example.com"));
    assert!(matches!(by(&update.1, "again@example.com"), Err(AccountError::CodeInvalid)));
    assert_eq!(world.account.profile().unwrap().email.as_deref(), Some("new@example.com"));
    for (purpose, code) in &codes {
        assert!(is_invalid(world.account.check_code(*purpose, code, world.now)), "{purpose:?}");
    }
}
