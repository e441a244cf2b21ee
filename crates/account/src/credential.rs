//! What opens an account: its own password, and its app passwords.
//!
//! An app password is made here, not chosen: 80 random bits. Nobody guesses those, so its hash need not be slow, and an agent
//! that logs in with one costs a SHA-256 instead of an Argon2id. The hash is bound to the DID, and a fast one is found by
//! itself: the number of app passwords says nothing in the time that a login takes.

use std::rc::Rc;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use murmuration_platform::{Entropy, Param, Store, StoreError};
use murmuration_syntax::Did;
use sha2::{Digest, Sha256};

use crate::account::{Account, Open};
use crate::{AccountError, Profile, Purpose, code, password, session};

/// App passwords of an account at the most. The reference server has no limit; a person names a few.
pub const MAX_APP_PASSWORDS: usize = 100;
/// Random bytes of an app password: 16 letters of base 32.
const SECRET_BYTES: usize = 10;
/// Letters between two hyphens.
const GROUP_CHARS: usize = 4;

/// Reads all: there are few.
const LIST: &str = "SELECT name, privileged, created_at FROM app_password ORDER BY created_at DESC, name";
/// Reads all: there are few.
const FIND: &str = "SELECT name, privileged, created_at FROM app_password WHERE hash = ?1";
/// Writes 1 row; 0 when the name is taken.
const INSERT: &str = "INSERT INTO app_password (name, hash, privileged, created_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (name) DO NOTHING RETURNING name";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM app_password WHERE name = ?1";

/// An app password, as its owner sees it afterwards.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppPassword {
    /// What its owner calls it.
    pub name: String,
    /// Whether it may read private messages, and the like.
    pub privileged: bool,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: u64,
}

impl Account {
    /// Gives the account another password, and ends every session: whoever knew the old one is out. App passwords stay.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn set_password(&self, password: &str, entropy: &dyn Entropy) -> Result<(), AccountError> {
        let hash = password::hash(password, entropy)?;
        self.change(|open| open.set_password(&*self.store, hash))?;
        self.sessions_ended.set(true);
        Ok(())
    }

    /// Uses a code up, and does as [`Account::set_password`]: both or neither.
    ///
    /// # Errors
    /// As [`Account::check_code`]; nothing is changed then.
    pub fn reset_password(
        &self,
        code: &str,
        password: &str,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<(), AccountError> {
        let hash = password::hash(password, entropy)?;
        // A refusal is stored as well, so it is no failure of the transaction.
        self.change(|open| match code::spend(&*self.store, Purpose::ResetPassword, code, now)? {
            Ok(()) => open.set_password(&*self.store, hash).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        })??;
        self.sessions_ended.set(true);
        Ok(())
    }

    /// Makes an app password. The answer is its text, which is not stored.
    ///
    /// # Errors
    /// [`AccountError::AppPasswordExists`] if the name is taken, [`AccountError::TooManyAppPasswords`] at the limit.
    pub fn add_app_password(&self, new: &AppPassword, entropy: &dyn Entropy) -> Result<String, AccountError> {
        let profile = self.profile()?;
        if self.app_passwords()?.len() >= MAX_APP_PASSWORDS {
            return Err(AccountError::TooManyAppPasswords);
        }
        let mut secret = [0; SECRET_BYTES];
        entropy.fill(&mut secret);
        let letters = BASE32_NOPAD.encode(&secret).to_ascii_lowercase();
        let text: String = letters
            .char_indices()
            .flat_map(|(at, letter)| {
                (at > 0 && at % GROUP_CHARS == 0).then_some('-').into_iter().chain([letter])
            })
            .collect();
        let hash = hash(&profile.did, &text);
        // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
        let created_at = Param::Int(i64::try_from(new.created_at).unwrap_or(i64::MAX));
        let privileged = Param::Int(i64::from(new.privileged));
        let params = [Param::Text(&new.name), Param::Text(&hash), privileged, created_at];
        match self.store.query(INSERT, &params)?.is_empty() {
            true => Err(AccountError::AppPasswordExists),
            false => Ok(text),
        }
    }

    /// The app passwords, the newest first.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn app_passwords(&self) -> Result<Vec<AppPassword>, AccountError> {
        self.profile()?;
        Ok(read(&*self.store, LIST, &[])?)
    }

    /// The app password that has this text, if one has.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn app_password(&self, text: &str) -> Result<Option<AppPassword>, AccountError> {
        let profile = self.profile()?;
        if !has_the_shape(text) {
            return Ok(None);
        }
        Ok(read(&*self.store, FIND, &[Param::Text(&hash(&profile.did, text))])?.pop())
    }

    /// Takes an app password away, and ends its sessions. Nothing happens if there is none of that name.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn revoke_app_password(&self, name: &str) -> Result<(), AccountError> {
        self.change(|_| {
            self.store.query(DELETE, &[Param::Text(name)])?;
            Ok(session::end_of(&*self.store, name)?)
        })?;
        self.sessions_ended.set(true);
        Ok(())
    }
}

impl Open {
    fn set_password(&mut self, store: &dyn Store, hash: String) -> Result<(), AccountError> {
        let profile = Profile { password: hash, ..Profile::clone(&self.profile) };
        profile.update(store)?;
        self.profile = Rc::new(profile);
        Ok(session::end_all(store)?)
    }
}

/// Whether a text is in the form of an app password: four groups of four letters of base 32.
fn has_the_shape(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let letters = |group: &&str| group.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    groups.len() == GROUP_CHARS && groups.iter().all(|group| group.len() == GROUP_CHARS && letters(group))
}

fn hash(did: &Did, text: &str) -> String {
    let digest = Sha256::new().chain_update(did.as_str()).chain_update(" app password ").chain_update(text);
    HEXLOWER.encode(&digest.finalize())
}

fn read(store: &dyn Store, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<AppPassword>, StoreError> {
    let rows = store.query(sql, params)?;
    rows.into_iter()
        .map(|mut row| {
            Ok(AppPassword {
                name: row.text(0)?,
                privileged: row.int(1)? != 0,
                created_at: u64::try_from(row.int(2)?)
                    .map_err(|_| StoreError::Corrupt("a time is negative".into()))?,
            })
        })
        .collect()
}
