//! What opens an account, and for how long: passwords, app passwords, sessions.

use murmuration_account::{Account, AccountError, AppPassword, MAX_APP_PASSWORDS, Session};
use murmuration_platform::Entropy;

use crate::common::{Fixed, NOW, World};

const DAY: u64 = 86_400_000_000;
const HOUR: u64 = DAY / 24;
const LIFE: u64 = 90 * DAY;

struct Numbered(u64);

impl Entropy for Numbered {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.iter_mut().zip(self.0.to_be_bytes().iter().cycle()).for_each(|(byte, value)| *byte = *value);
    }
}

fn begin(account: &Account, id: &str, app_password: Option<&str>) {
    let app_password = app_password.map(str::to_owned);
    let session = Session { id: id.into(), scope: "com.atproto.access".into(), app_password };
    account.begin_session(&session, NOW + LIFE, NOW).unwrap();
}

fn rotate(account: &Account, id: &str, fresh: &str, now: u64) -> Option<Session> {
    match account.rotate_session(id, fresh, now + LIFE, now) {
        Ok(session) => Some(session),
        Err(AccountError::SessionRevoked) => None,
        Err(error) => panic!("{error}"),
    }
}

fn next(account: &Account, id: &str, fresh: &str, now: u64) -> Option<String> {
    rotate(account, id, fresh, now).map(|session| session.id)
}

fn app_password(name: &str, privileged: bool) -> AppPassword {
    AppPassword { name: name.into(), privileged, created_at: NOW }
}

#[test]
fn a_session_rotates_into_the_same_next_one_within_its_grace_and_into_none_after_it() {
    let World { account, .. } = World::new();
    begin(&account, "one", None);
    assert_eq!(next(&account, "one", "two", NOW).as_deref(), Some("one.two"));
    // Two tabs at once, or an answer that was lost: one session.
    assert_eq!(next(&account, "one", "three", NOW + 1).as_deref(), Some("one.two"));
    assert_eq!(next(&account, "one", "four", NOW + 2 * HOUR - 1).as_deref(), Some("one.two"));
    assert_eq!(next(&account, "one.two", "six", NOW + 2 * HOUR - 1).as_deref(), Some("one.six"));
    assert_eq!(next(&account, "one", "five", NOW + 2 * HOUR), None);
    assert_eq!(next(&account, "never", "seven", NOW), None);
}

/// T12: whoever shows a used token after its grace has a copy of it, and so has perhaps somebody else of what came of it.
#[test]
fn a_token_that_is_used_again_too_late_ends_its_family_and_no_other() {
    for cleared in [false, true] {
        let World { account, .. } = World::new();
        // Names that lie around those of the family.
        for other in ["on", "one-", "one/", "onf"] {
            begin(&account, other, None);
        }
        begin(&account, "one", None);
        next(&account, "one", "two", NOW).unwrap();
        next(&account, "one.two", "three", NOW + HOUR).unwrap();
        let late = NOW + 3 * HOUR;
        if cleared {
            // The row of the used token has gone when another session began.
            let session =
                Session { id: "new".into(), scope: "com.atproto.access".into(), app_password: None };
            account.begin_session(&session, late + LIFE, late).unwrap();
        }
        assert!(account.session_lives("one.three").unwrap());
        assert_eq!(next(&account, "one", "x", late), None);
        assert!(account.sessions_ended(), "sockets are told");
        for id in ["one", "one.two", "one.three"] {
            assert!(!account.session_lives(id).unwrap());
            assert_eq!(next(&account, id, "x", late), None, "{id}");
        }
        for other in ["on", "one-", "one/", "onf"] {
            assert!(next(&account, other, "x", late).is_some(), "{other}");
        }
    }
}

/// The reuse must not give the next session a new life after that was used itself.
#[test]
fn regress_a_reuse_within_the_grace_does_not_prolong_what_came_after_it() {
    let World { account, .. } = World::new();
    begin(&account, "one", None);
    next(&account, "one", "two", NOW).unwrap();
    assert_eq!(next(&account, "one.two", "three", NOW + 10).as_deref(), Some("one.three"));
    assert_eq!(next(&account, "one", "x", NOW + HOUR).as_deref(), Some("one.two"));
    assert_eq!(next(&account, "one.three", "four", NOW + 2 * HOUR + 10).as_deref(), Some("one.four"));
    assert_eq!(next(&account, "one.two", "x", NOW + 2 * HOUR + 10), None);
}

#[test]
fn a_session_ends_with_the_tokens_before_and_after_it() {
    for ended in ["one", "one.two", "one.three"] {
        let World { account, .. } = World::new();
        begin(&account, "one", None);
        begin(&account, "other", None);
        next(&account, "one", "two", NOW).unwrap();
        next(&account, "one.two", "three", NOW + 1).unwrap();
        account.end_session(ended).unwrap();
        for id in ["one", "one.two", "one.three"] {
            assert_eq!(next(&account, id, "x", NOW + 2), None, "{id} after {ended} was ended");
        }
        assert!(next(&account, "other", "y", NOW + 2).is_some());
    }
}

#[test]
fn a_session_stays_that_of_its_app_password_through_every_refresh() {
    let World { account, .. } = World::new();
    account.add_app_password(&app_password("phone", true), &Numbered(1)).unwrap();
    begin(&account, "one", Some("phone"));
    begin(&account, "other", None);
    let two = rotate(&account, "one", "two", NOW).unwrap();
    assert_eq!(two.app_password.as_deref(), Some("phone"));
    account.revoke_app_password("phone").unwrap();
    account.revoke_app_password("never").unwrap();
    assert_eq!((next(&account, "one", "x", NOW), next(&account, "one.two", "x", NOW)), (None, None));
    assert!(next(&account, "other", "three", NOW).is_some());
}

#[test]
fn another_password_ends_every_session_and_leaves_the_app_passwords() {
    let mut world = World::new();
    let text = world.account.add_app_password(&app_password("phone", false), &Numbered(1)).unwrap();
    begin(&world.account, "one", None);
    begin(&world.account, "two", Some("phone"));
    world.account.set_password("another", &Fixed).unwrap();
    assert_eq!((next(&world.account, "one", "x", NOW), next(&world.account, "two", "x", NOW)), (None, None));
    for _ in 0..2 {
        assert!(!world.account.password_is("a password").unwrap());
        assert!(world.account.password_is("another").unwrap());
        assert_eq!(world.account.app_password(&text).unwrap().unwrap().name, "phone");
        world.wake(true);
    }
    begin(&world.account, "three", None);
    world.account.end_all_sessions().unwrap();
    assert_eq!(next(&world.account, "three", "x", NOW), None);
}

#[test]
fn an_app_password_has_its_form_its_name_and_its_limit() {
    let World { account, .. } = World::new();
    let text = account.add_app_password(&app_password("phone", true), &Numbered(1)).unwrap();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    assert_eq!(groups, [4, 4, 4, 4], "{text}");
    assert!(
        text.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte))
    );
    let again = account.add_app_password(&app_password("phone", false), &Numbered(2));
    assert!(matches!(again, Err(AccountError::AppPasswordExists)));
    assert_eq!(account.app_passwords().unwrap(), [app_password("phone", true)]);
    assert_eq!(account.app_password(&text).unwrap(), Some(app_password("phone", true)));
    for wrong in
        ["", "aaaa-aaaa-aaaa-aaaa", &text.to_uppercase(), &text[1..], &format!("{text}-aaaa"), "a password"]
    {
        assert_eq!(account.app_password(wrong).unwrap(), None, "{wrong}");
    }
    for number in 1..MAX_APP_PASSWORDS {
        let entropy = Numbered(9 + u64::try_from(number).unwrap());
        account.add_app_password(&app_password(&number.to_string(), false), &entropy).unwrap();
    }
    let one_more = account.add_app_password(&app_password("more", false), &Numbered(3));
    assert!(matches!(one_more, Err(AccountError::TooManyAppPasswords)));
    account.revoke_app_password("phone").unwrap();
    assert_eq!(account.app_password(&text).unwrap(), None);
    account.add_app_password(&app_password("more", false), &Numbered(3)).unwrap();
}

#[test]
fn the_text_of_an_app_password_is_not_stored() {
    use murmuration_platform::Store as _;
    let world = World::new();
    let text = world.account.add_app_password(&app_password("phone", true), &Numbered(1)).unwrap();
    let mut row = world.store.query("SELECT hash FROM app_password", &[]).unwrap().remove(0);
    let stored = row.text(0).unwrap();
    assert!(!stored.contains(&text) && stored.len() == 64);
}
