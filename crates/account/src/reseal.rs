//! What is sealed here under an older key-encryption key is sealed anew under the newest, in the background.
//!
//! The account's signing key goes last, and what is sealed from now on is sealed under the newest anyway. So the signing key
//! alone, which an object reads when it wakes, says whether anything is left: nothing else is kept, and no row is read for it.

use murmuration_keys::seal;
use murmuration_platform::{Entropy, Param, StoreError};

use crate::account::{Account, Open, secret_name};
use crate::keyring::secrets_name;
use crate::{AccountError, profile};

/// Reads all: there are few.
const SELECT: &str =
    "SELECT epoch, secrets FROM key_epoch WHERE substr(secrets, 1, ?1) <> ?2 ORDER BY epoch LIMIT ?3";
/// Writes 1 row.
const UPDATE: &str = "UPDATE key_epoch SET secrets = ?2 WHERE epoch = ?1";

impl Account {
    /// Whether something in storage is sealed under an older key-encryption key than the newest, if the account has been woken.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.peek(|open| open.behind)
    }

    /// Seals everything anew that is sealed under an older key-encryption key than the newest, in as many runs as it takes: a row
    /// for each secret, of which an account has a signing key and at most [`crate::MAX_LIVE_EPOCHS`] more. Answers whether there was
    /// anything.
    ///
    /// # Errors
    /// [`AccountError::Key`] if a secret does not open: it stays as it is.
    pub fn reseal_all(&self, entropy: &dyn Entropy) -> Result<bool, AccountError> {
        // Also what is left of an account that was deleted: whoever tells of it must be able to read it.
        let behind = self.read_remains(|open| Ok(open.behind))?;
        while self.is_behind() {
            self.change_remains(|open| self.reseal(open, entropy))?;
        }
        Ok(behind)
    }

    /// One run: seals at most [`RESEAL_ROWS`] secrets anew, a row each. [`Account::is_behind`] says whether any are left.
    pub(crate) fn reseal(&self, open: &mut Open, entropy: &dyn Entropy) -> Result<(), AccountError> {
        if !open.behind {
            return Ok(());
        }
        let did = open.profile.did.clone();
        let head = self.keks.header();
        let params = [
            // INVARIANT: a header of a few bytes.
            Param::Int(i64::try_from(head.len()).unwrap_or(i64::MAX)),
            Param::Blob(&head),
            Param::Int(RESEAL_ROWS),
        ];
        let rows = self.store.query(SELECT, &params)?;
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == RESEAL_ROWS);
        for mut row in rows {
            let number = u32::try_from(row.int(0)?)
                .map_err(|_| StoreError::Corrupt("an epoch of keys has no number".into()))?;
            let name = secrets_name(&did, number);
            let sealed = self.seal(&name, &self.keks.open(&name, &row.blob(1)?)?, entropy);
            self.store.query(UPDATE, &[Param::Int(number.into()), Param::Blob(&sealed)])?;
        }
        if !full {
            let sealed = self.seal(&secret_name(&did), &*open.key.to_bytes(), entropy);
            profile::store_key(&*self.store, &sealed)?;
            open.behind = false;
        }
        Ok(())
    }

    /// Seals a secret under the newest key-encryption key.
    pub(crate) fn seal(&self, name: &[u8], secret: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; seal::NONCE_BYTES];
        entropy.fill(&mut nonce);
        self.keks.seal(nonce, name, secret)
    }
}

/// Secrets that a run seals anew at the most: more than an account has epochs, as a rule.
const RESEAL_ROWS: i64 = 8;
