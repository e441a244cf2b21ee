//! Invite codes, and which accounts were made with them.
//!
//! How often a code was used is counted from its uses, so that to use one is a single statement: of two accounts that come
//! for the last use, one gets it.

use std::collections::BTreeMap;

use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::Did;

use super::{Directory, Entry, entry};

/// The creator, and the owner, of codes that the operator makes.
pub const OPERATOR: &str = "admin";

/// An invite code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invite {
    /// The code.
    pub code: String,
    /// How many accounts it is good for.
    pub uses: u32,
    /// Whether it was made invalid.
    pub disabled: bool,
    /// Who may give it away: a DID, or [`OPERATOR`].
    pub for_account: String,
    /// Who made it: a DID, or [`OPERATOR`].
    pub created_by: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_at_millis: u64,
    /// The accounts that were made with it, and when, the last first.
    pub used: Vec<(String, u64)>,
}

impl Invite {
    /// Whether another account may be made with it, as far as the code goes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.disabled && usize::try_from(self.uses).is_ok_and(|uses| self.used.len() < uses)
    }
}

/// Accounts that get no more codes, by DID, with the operator's note.
pub type StopNotes = BTreeMap<String, Option<String>>;

/// The order of a page of codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InviteOrder {
    /// The newest first.
    Recent,
    /// The most used first.
    Usage,
}

impl Directory<'_> {
    /// Stores codes that the operator makes, each with whose it is: all or none.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn add_invites(
        &self,
        codes: &[(&str, String)],
        uses: u32,
        now_millis: u64,
    ) -> Result<(), StoreError> {
        let list = json(codes)?;
        let params = [Param::Text(&list), Param::Int(uses.into()), millis(now_millis)];
        self.database.query(ADD, &params).await.map(drop)
    }

    /// Stores codes that an account has earned, of one use each and perhaps invalid from the beginning, if it has made `made`
    /// of its own so far. `false` if it has made more meanwhile: then nothing is stored.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn earn_invites(
        &self,
        codes: &[String],
        did: &Did,
        disabled: bool,
        made: usize,
        now_millis: u64,
    ) -> Result<bool, StoreError> {
        let list = json(codes)?;
        let made = Param::Int(i64::try_from(made).unwrap_or(i64::MAX));
        let disabled = Param::Int(disabled.into());
        let params = [Param::Text(&list), disabled, did.as_str().into(), millis(now_millis), made];
        Ok(!self.database.query(EARN, &params).await?.is_empty())
    }

    /// Uses a code for a new account. `false` if it is not to be had.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn use_invite(&self, code: &str, did: &Did, now_millis: u64) -> Result<bool, StoreError> {
        let params = [code.into(), did.as_str().into(), millis(now_millis)];
        Ok(!self.database.query(USE, &params).await?.is_empty())
    }

    /// Gives back the use of a code for an account that never came to be. May be repeated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn give_invite_back(&self, did: &Did) -> Result<(), StoreError> {
        self.database.query(GIVE_BACK, &[did.as_str().into()]).await.map(drop)
    }

    /// Reservations that hold a use of a code, the oldest first: [`MAX_HOLDERS`] at the most.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn invite_holders(&self, code: &str) -> Result<Vec<Entry>, StoreError> {
        self.database
            .query(HOLDERS, &[code.into(), Param::Int(MAX_HOLDERS)])
            .await?
            .into_iter()
            .map(entry)
            .collect()
    }

    /// The codes of some accounts, the oldest first.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn invites_of(&self, accounts: &[&str]) -> Result<Vec<Invite>, StoreError> {
        let rows = self.database.query(OF_ACCOUNTS, &[json(accounts)?.as_str().into()]).await?;
        self.with_uses(rows.into_iter().map(invite).collect::<Result<_, _>>()?).await
    }

    /// A page of all codes behind `after`: the time or the number of uses, and the code, of the last one before it. With it
    /// comes the place of the next page.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn invites(
        &self,
        order: InviteOrder,
        after: Option<(u64, &str)>,
        limit: u32,
    ) -> Result<(Vec<Invite>, Option<(u64, String)>), StoreError> {
        let (key, code) = after.unwrap_or((MAX_KEY, ""));
        let params = [millis(key), code.into(), Param::Int(limit.into())];
        let sql = match order {
            InviteOrder::Recent => RECENT,
            InviteOrder::Usage => USAGE,
        };
        let rows = self.database.query(sql, &params).await?;
        let full = usize::try_from(limit).is_ok_and(|limit| rows.len() == limit);
        let found = self.with_uses(rows.into_iter().map(invite).collect::<Result<_, _>>()?).await?;
        let place = |last: &Invite| {
            let key = match order {
                InviteOrder::Recent => last.created_at_millis,
                InviteOrder::Usage => u64::try_from(last.used.len()).unwrap_or(MAX_KEY),
            };
            (key, last.code.clone())
        };
        let next = found.last().filter(|_| full).map(place);
        Ok((found, next))
    }

    /// Makes codes invalid: these, and all of these accounts.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn disable_invites(&self, codes: &[&str], accounts: &[&str]) -> Result<(), StoreError> {
        let (codes, accounts) = (json(codes)?, json(accounts)?);
        self.database.query(DISABLE, &[Param::Text(&codes), Param::Text(&accounts)]).await.map(drop)
    }

    /// Forgets what a deleted account has of codes. Those that somebody was invited with stay, invalid: they say by whom; and
    /// that the account itself has used one stays, or else the code could be used again. May be repeated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn forget_invites(&self, did: &Did) -> Result<(), StoreError> {
        self.resume_invites(did).await?;
        self.database.query(DROP_UNUSED, &[did.as_str().into()]).await?;
        self.disable_invites(&[], &[did.as_str()]).await
    }

    /// Gives an account no more codes, for a reason if there is one.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn stop_invites(&self, did: &Did, note: Option<&str>) -> Result<(), StoreError> {
        let params = [did.as_str().into(), note.map_or(Param::Null, Param::Text)];
        self.database.query(STOP, &params).await.map(drop)
    }

    /// Gives an account codes again.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn resume_invites(&self, did: &Did) -> Result<(), StoreError> {
        self.database.query(RESUME, &[did.as_str().into()]).await.map(drop)
    }

    /// Those of some accounts that get no more codes, and for which reason.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn stopped_invites(&self, accounts: &[&str]) -> Result<StopNotes, StoreError> {
        let rows = self.database.query(STOPPED, &[json(accounts)?.as_str().into()]).await?;
        rows.into_iter().map(|mut row| Ok((row.text(0)?, row.opt_text(1)?))).collect()
    }

    /// The codes that some accounts were made with: each is used by those of them that were made with it.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn invites_used_by(&self, accounts: &[&str]) -> Result<Vec<Invite>, StoreError> {
        let rows = self.database.query(USED_BY, &[json(accounts)?.as_str().into()]).await?;
        self.with_uses(rows.into_iter().map(invite).collect::<Result<_, _>>()?).await
    }

    async fn with_uses(&self, mut invites: Vec<Invite>) -> Result<Vec<Invite>, StoreError> {
        if invites.is_empty() {
            return Ok(invites);
        }
        let codes: Vec<&str> = invites.iter().map(|invite| invite.code.as_str()).collect();
        let list = json(&codes)?;
        for mut row in self.database.query(USES, &[Param::Text(&list)]).await? {
            let (code, by, at) = (row.text(0)?, row.text(1)?, natural(row.int(2)?)?);
            if let Some(invite) = invites.iter_mut().find(|invite| invite.code == code) {
                invite.used.push((by, at));
            }
        }
        Ok(invites)
    }
}

fn invite(mut row: Row) -> Result<Invite, StoreError> {
    Ok(Invite {
        code: row.text(0)?,
        uses: u32::try_from(row.int(1)?).unwrap_or(u32::MAX),
        disabled: row.int(2)? != 0,
        for_account: row.text(3)?,
        created_by: row.text(4)?,
        created_at_millis: natural(row.int(5)?)?,
        used: Vec::new(),
    })
}

fn json(list: &[impl serde::Serialize]) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| StoreError::Engine(error.to_string()))
}

fn natural(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt("invites: a number is negative".into()))
}

fn millis(time: u64) -> Param<'static> {
    Param::Int(i64::try_from(time.min(MAX_KEY)).unwrap_or(i64::MAX))
}

/// Accounts that never came to be that are cleared away for the next one's sake: one is enough.
const MAX_HOLDERS: i64 = 10;
/// Beyond every time and every count: 2^53 - 1, what survives the trip through a JavaScript number.
const MAX_KEY: u64 = (1 << 53) - 1;

/// Writes 2 rows a code: the row and its index entry.
const ADD: &str = "INSERT INTO invite_code (code, uses, disabled, for_account, created_by, created_at) \
     SELECT json_extract(value, '$[1]'), ?2, 0, json_extract(value, '$[0]'), 'admin', ?3 FROM json_each(?1)";
/// Writes 2 rows a code; 0 when another request was faster.
const EARN: &str = "INSERT INTO invite_code (code, uses, disabled, for_account, created_by, created_at) \
     SELECT value, 1, ?2, ?3, ?3, ?4 FROM json_each(?1) WHERE ?5 = \
     (SELECT count(*) FROM invite_code WHERE for_account = ?3 AND created_by <> 'admin') RETURNING code";
/// Writes 1 row; 0 when the code is not to be had. Reads the code's uses.
const USE: &str = "INSERT INTO invite_use (code, used_by, used_at) SELECT code, ?2, ?3 FROM invite_code \
     WHERE code = ?1 AND disabled = 0 \
     AND uses > (SELECT count(*) FROM invite_use AS used WHERE used.code = invite_code.code) \
     AND NOT EXISTS (SELECT 1 FROM account WHERE did = for_account AND status = 'takendown') RETURNING code";
/// Writes 1 row at the most. Reads all uses; only when the making of an account has failed.
const GIVE_BACK: &str = "DELETE FROM invite_use WHERE used_by = ?1";
/// Reads the code's uses and their accounts; only when a code is used up.
const HOLDERS: &str = "SELECT did, handle, email, status, account.created_at, next_handle, next_since \
     FROM invite_use JOIN account ON did = used_by WHERE code = ?1 AND status = 'reserved' \
     ORDER BY account.created_at LIMIT ?2";
/// Reads the accounts' codes and index entries.
const OF_ACCOUNTS: &str = "SELECT code, uses, disabled, for_account, created_by, created_at FROM invite_code \
     WHERE for_account IN (SELECT value FROM json_each(?1)) ORDER BY created_at, code";
/// Reads every code; the operator's.
const RECENT: &str = "SELECT code, uses, disabled, for_account, created_by, created_at FROM invite_code \
     WHERE created_at < ?1 OR (created_at = ?1 AND code < ?2) ORDER BY created_at DESC, code DESC LIMIT ?3";
/// Reads every code and every use; the operator's.
const USAGE: &str = "SELECT code, uses, disabled, for_account, created_by, created_at FROM \
     (SELECT *, (SELECT count(*) FROM invite_use AS used WHERE used.code = invite_code.code) AS often FROM invite_code) \
     WHERE often < ?1 OR (often = ?1 AND code < ?2) ORDER BY often DESC, code DESC LIMIT ?3";
/// Reads the uses of those codes.
const USES: &str = "SELECT code, used_by, used_at FROM invite_use \
     WHERE code IN (SELECT value FROM json_each(?1)) ORDER BY used_at DESC, used_by";
/// Reads every use; the operator's.
const USED_BY: &str = "SELECT code, uses, disabled, for_account, created_by, created_at FROM invite_code \
     WHERE code IN (SELECT code FROM invite_use WHERE used_by IN (SELECT value FROM json_each(?1)))";
/// Writes 1 row a code.
const DISABLE: &str = "UPDATE invite_code SET disabled = 1 WHERE disabled = 0 \
     AND (code IN (SELECT value FROM json_each(?1)) OR for_account IN (SELECT value FROM json_each(?2)))";
/// Writes 2 rows a code: the row and its index entry.
const DROP_UNUSED: &str = "DELETE FROM invite_code WHERE for_account = ?1 \
     AND NOT EXISTS (SELECT 1 FROM invite_use AS used WHERE used.code = invite_code.code)";
/// Writes 1 row.
const STOP: &str = "INSERT INTO invite_stop (did, note) VALUES (?1, ?2) \
     ON CONFLICT (did) DO UPDATE SET note = excluded.note";
/// Writes 1 row.
const RESUME: &str = "DELETE FROM invite_stop WHERE did = ?1";
/// Reads 1 row for each that has one.
const STOPPED: &str = "SELECT did, note FROM invite_stop WHERE did IN (SELECT value FROM json_each(?1))";
