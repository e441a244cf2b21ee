//! Codes that show that mail to the account's address arrives, and that its reader wants what they are for.
//!
//! A code has ten letters of base32 (50 bits), is for one purpose, good for [`LIFETIME_MICROS`], and works once; a new one
//! replaces the old. Somebody who guesses has [`MAX_WRONG`] tries, then the code is void. Storage keeps a hash, so what is
//! read from it opens nothing; hashes are what is compared, so the time tells nothing of the code.

use murmuration_platform::{Entropy, Param, Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Account, AccountError};

/// Microseconds that a code is good for (reference server: 15 minutes).
const LIFETIME_MICROS: u64 = 15 * 60 * 1_000_000;
/// Wrong codes after which the right one is void. One in 2^46 guesses well, and who mistypes asks for a new one.
const MAX_WRONG: i64 = 10;
/// Letters of a code, in two halves (reference server: `XXXXX-XXXXX`).
const LETTERS: usize = 10;
/// The letters: base32 of RFC 4648, one for each of 32 values.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Writes 1 row.
const UPSERT: &str = "INSERT INTO email_token (purpose, hash, requested_at, wrong) VALUES (?1, ?2, ?3, 0) \
     ON CONFLICT (purpose) DO UPDATE SET hash = excluded.hash, requested_at = excluded.requested_at, wrong = 0";
/// Reads 1 row.
const SELECT: &str = "SELECT hash, requested_at, wrong FROM email_token WHERE purpose = ?1";
/// Writes 1 row.
const MISS: &str = "UPDATE email_token SET wrong = wrong + 1 WHERE purpose = ?1";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM email_token WHERE purpose = ?1";
/// Writes a row for each code: five at the most.
const DELETE_ALL: &str = "DELETE FROM email_token";

/// What a code is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To show that the account's address is its owner's.
    ConfirmEmail,
    /// To give the account another address; sent to the one that it has.
    UpdateEmail,
    /// To set a new password without the old.
    ResetPassword,
    /// To delete the account.
    DeleteAccount,
    /// To have the host sign an operation on the account's DID.
    PlcOperation,
}

impl Purpose {
    /// The purpose as the storage and letters spell it: the reference server's names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm_email",
            Self::UpdateEmail => "update_email",
            Self::ResetPassword => "reset_password",
            Self::DeleteAccount => "delete_account",
            Self::PlcOperation => "plc_operation",
        }
    }

    /// The purpose of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::ConfirmEmail, Self::UpdateEmail, Self::ResetPassword, Self::DeleteAccount, Self::PlcOperation]
            .into_iter()
            .find(|purpose| purpose.name() == name)
    }

    fn hash(self, code: &str) -> [u8; 32] {
        let code = code.trim().to_ascii_uppercase();
        Sha256::new().chain_update(self.name()).chain_update(" ").chain_update(code).finalize().into()
    }
}

impl Account {
    /// Makes a code, `XXXXX-XXXXX`, in place of the one there was for that purpose.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn issue_code(
        &self,
        purpose: Purpose,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<String, AccountError> {
        let code = fresh_code(entropy);
        let hash = purpose.hash(&code);
        let params = [Param::Text(purpose.name()), Param::Blob(&hash), micros(now)];
        self.change(|_| Ok(self.store.query(UPSERT, &params)?))?;
        Ok(code)
    }

    /// Uses a code up. Small letters do as well. A wrong one is counted.
    ///
    /// # Errors
    /// [`AccountError::CodeInvalid`] for every code but the last one of that purpose, and for that one after its use;
    /// [`AccountError::CodeExpired`] when it is right but too old; [`AccountError::Vacant`] if there is no account.
    pub fn check_code(&self, purpose: Purpose, code: &str, now: u64) -> Result<(), AccountError> {
        // A refusal is stored as well, so it is no failure of the transaction.
        self.change(|_| Ok(spend(&*self.store, purpose, code, now)?))?
    }

    /// As [`Account::check_code`], but a code that is right goes on working.
    ///
    /// # Errors
    /// As [`Account::check_code`].
    pub fn weigh_code(&self, purpose: Purpose, code: &str, now: u64) -> Result<(), AccountError> {
        self.change(|_| Ok(weigh(&*self.store, purpose, code, now)?))?
    }

    /// Makes every code void: somebody who shall have none may have asked for them.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn drop_codes(&self) -> Result<(), AccountError> {
        self.change(|_| Ok(drop_all(&*self.store)?))
    }
}

/// Uses a code up if it is right. The inner result is the verdict: a refusal is stored, too.
pub(crate) fn spend(
    store: &dyn Store,
    purpose: Purpose,
    code: &str,
    now: u64,
) -> Result<Result<(), AccountError>, StoreError> {
    let verdict = weigh(store, purpose, code, now)?;
    if verdict.is_ok() {
        store.query(DELETE, &[Param::Text(purpose.name())])?;
    }
    Ok(verdict)
}

/// Makes every code void.
pub(crate) fn drop_all(store: &dyn Store) -> Result<(), StoreError> {
    store.query(DELETE_ALL, &[]).map(drop)
}

fn weigh(
    store: &dyn Store,
    purpose: Purpose,
    code: &str,
    now: u64,
) -> Result<Result<(), AccountError>, StoreError> {
    let name = [Param::Text(purpose.name())];
    let Some(mut row) = store.query(SELECT, &name)?.pop() else { return Ok(Err(AccountError::CodeInvalid)) };
    let (hash, wrong) = (row.blob(0)?, row.int(2)?);
    let requested_at = u64::try_from(row.int(1)?).unwrap_or(0);
    if hash != purpose.hash(code) {
        store.query(if wrong + 1 < MAX_WRONG { MISS } else { DELETE }, &name)?;
        return Ok(Err(AccountError::CodeInvalid));
    }
    let fresh = now.saturating_sub(requested_at) < LIFETIME_MICROS;
    Ok(if fresh { Ok(()) } else { Err(AccountError::CodeExpired) })
}

/// Ten random letters in two halves: `XXXXX-XXXXX`.
#[must_use]
pub fn fresh_code(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; LETTERS];
    entropy.fill(&mut bytes);
    let mut code = String::with_capacity(LETTERS + 1);
    for (index, byte) in bytes.iter().enumerate() {
        if index == LETTERS / 2 {
            code.push('-');
        }
        // 256 is a multiple of 32: every letter is as likely.
        let letter = ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'A');
        code.push(char::from(letter));
    }
    code
}

fn micros(time: u64) -> Param<'static> {
    // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
    Param::Int(i64::try_from(time).unwrap_or(i64::MAX))
}
