//! Who an account is, whether it is served, and what it says when that changes.
//!
//! The profile is one row. [`Account::edit`] changes it and stores the events that tell of it in one transaction, so that
//! no reader of the stream learns of a change that was undone, or misses one that was kept.

use std::rc::Rc;

use murmuration_firehose::{AccountEvent, AccountStatus, Event, IdentityEvent, SyncEvent, Timestamp};
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_repo::Commit;
use murmuration_syntax::{Did, Handle, datetime};

use crate::account::{Account, Open};
use crate::{AccountError, Purpose, code, schema};

/// Reads 1 row. The first column is the version of the tables.
pub(crate) const SELECT: &str = "SELECT schema, did, handle, email, password, status, signing_key, \
     email_confirmed_at, takedown, delete_after, deactivated_at, created_at, document_changing_since \
     FROM account WHERE id = 1";
/// Writes 1 row.
const INSERT: &str = "INSERT INTO account (id, schema, did, handle, email, password, status, signing_key, \
     created_at, email_confirmed_at, takedown, delete_after, deactivated_at) \
     VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
/// Writes 1 row.
const SET_KEY: &str = "UPDATE account SET signing_key = ?1 WHERE id = 1";
/// Writes 1 row.
const UPDATE: &str = "UPDATE account SET handle = ?1, email = ?2, password = ?3, status = ?4, \
     email_confirmed_at = ?5, takedown = ?6, delete_after = ?7, deactivated_at = ?8, \
     document_changing_since = ?9 WHERE id = 1";

/// Who an account is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Profile {
    /// Its DID.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Its e-mail address, in lower case.
    pub email: Option<String>,
    /// Whether its owner has shown that mail to the address arrives.
    pub email_confirmed: bool,
    /// Whether its owner has put it to rest.
    pub deactivated: bool,
    /// When its owner wants it deleted, in microseconds since the Unix epoch. Only while it is deactivated.
    pub delete_after: Option<u64>,
    /// Under which reference the operator has taken it down, if so.
    pub takedown: Option<String>,
    /// Whether it was deleted, and only its remains are here.
    pub(crate) deleted: bool,
    /// Since when its DID document may have changed without an event that tells of it, in microseconds since the Unix epoch.
    pub(crate) document_changing_since: Option<u64>,
    /// The Argon2id hash of its password.
    pub(crate) password: String,
    /// When what the fields above say began to be so.
    pub(crate) since: Since,
}

/// When an account came to be as it is, in microseconds since the Unix epoch. [`Account::edit`] keeps the times.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Since {
    /// It was made.
    pub created: u64,
    /// Its address was confirmed.
    pub email_confirmed: Option<u64>,
    /// Its owner put it to rest.
    pub deactivated: Option<u64>,
}

impl Profile {
    /// Why the account is not served; `None` while it is active.
    #[must_use]
    pub const fn inactive(&self) -> Option<AccountStatus> {
        match (self.deleted, &self.takedown, self.deactivated) {
            (true, _, _) => Some(AccountStatus::Deleted),
            (false, Some(_), _) => Some(AccountStatus::Takendown),
            (false, None, true) => Some(AccountStatus::Deactivated),
            (false, None, false) => None,
        }
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> &Since {
        &self.since
    }

    /// Notes the time of what is not as it was `before`.
    fn keep_time(&mut self, before: &Self, now: u64) {
        if self.email_confirmed != before.email_confirmed {
            self.since.email_confirmed = self.email_confirmed.then_some(now);
        }
        if self.deactivated != before.deactivated {
            self.since.deactivated = self.deactivated.then_some(now);
        }
    }

    /// Stores the profile of a new account.
    pub(crate) fn insert(&self, store: &dyn Store, sealed_key: &[u8]) -> Result<(), StoreError> {
        let (status, delete_after) = (self.status(), self.delete_after_text());
        store
            .query(
                INSERT,
                &[
                    Param::Int(schema::VERSION),
                    Param::Text(self.did.as_str()),
                    Param::Text(self.handle.as_str()),
                    optional(self.email.as_deref()),
                    Param::Text(&self.password),
                    Param::Text(status),
                    Param::Blob(sealed_key),
                    micros(Some(self.since.created)),
                    micros(self.since.email_confirmed),
                    optional(self.takedown.as_deref()),
                    optional(delete_after.as_deref()),
                    micros(self.since.deactivated),
                ],
            )
            .map(drop)
    }

    pub(crate) fn update(&self, store: &dyn Store) -> Result<(), StoreError> {
        let delete_after = self.delete_after_text();
        let params = [
            Param::Text(self.handle.as_str()),
            optional(self.email.as_deref()),
            Param::Text(&self.password),
            Param::Text(self.status()),
            micros(self.since.email_confirmed),
            optional(self.takedown.as_deref()),
            optional(delete_after.as_deref()),
            micros(self.since.deactivated),
            micros(self.document_changing_since),
        ];
        store.query(UPDATE, &params).map(drop)
    }

    fn delete_after_text(&self) -> Option<String> {
        self.delete_after.map(|micros| Timestamp::from_micros(micros).to_string())
    }

    const fn status(&self) -> &'static str {
        match (self.deleted, self.deactivated) {
            (true, _) => "deleted",
            (false, true) => "deactivated",
            (false, false) => "active",
        }
    }

    /// Reads the row of [`SELECT`]: the profile, and the sealed signing key.
    pub(crate) fn read(row: &mut Row) -> Result<(Self, Vec<u8>), AccountError> {
        let corrupt =
            |what: &dyn std::fmt::Display| StoreError::Corrupt(format!("the account's row: {what}"));
        let time = |micros: Option<i64>| micros.and_then(|micros| u64::try_from(micros).ok());
        let since = Since {
            created: time(Some(row.int(11)?)).unwrap_or_default(),
            email_confirmed: time(row.opt_int(7)?),
            deactivated: time(row.opt_int(10)?),
        };
        let (deactivated, deleted) = match row.text(5)?.as_str() {
            "active" => (false, false),
            "deactivated" => (true, false),
            "deleted" => (false, true),
            other => return Err(corrupt(&format!("the status is {other}")).into()),
        };
        let moment = |text: String| {
            let micros = datetime::micros(&text).map_err(|error| corrupt(&error))?;
            // INVARIANT: what is stored is a time in the future of 1970.
            Ok::<_, StoreError>(u64::try_from(micros).unwrap_or_default())
        };
        let delete_after = row.opt_text(9)?.map(moment).transpose()?;
        let profile = Self {
            did: Did::parse(&row.text(1)?).map_err(|error| corrupt(&error))?,
            handle: Handle::parse(&row.text(2)?).map_err(|error| corrupt(&error))?,
            email: row.opt_text(3)?,
            password: row.text(4)?,
            deactivated,
            deleted,
            email_confirmed: since.email_confirmed.is_some(),
            takedown: row.opt_text(8)?,
            delete_after,
            document_changing_since: time(row.opt_int(12)?),
            since,
        };
        Ok((profile, row.blob(6)?))
    }
}

/// Stores the signing key, sealed anew.
pub(crate) fn store_key(store: &dyn Store, sealed: &[u8]) -> Result<(), StoreError> {
    store.query(SET_KEY, &[Param::Blob(sealed)]).map(drop)
}

/// An event that tells of a change to the profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// `#account`, with the status that the account has after the change.
    Status,
    /// `#identity`, with the handle.
    Handle,
    /// `#identity`, without the handle: the DID document has changed.
    Document,
    /// `#sync`, with the last commit.
    Head,
}

impl Notice {
    /// What an account says when it is activated, in the reference server's order.
    pub const ACTIVATION: [Self; 3] = [Self::Status, Self::Handle, Self::Head];
}

impl Account {
    /// Changes the profile, and says so: one transaction, one row for the profile if it changed, one for the events if
    /// there are any. With the address go the codes that were sent to it, a row each.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn edit(
        &self,
        notices: &[Notice],
        now: u64,
        edit: impl FnOnce(&mut Profile),
    ) -> Result<Rc<Profile>, AccountError> {
        self.change(|open| open.edit(&*self.store, notices, now, edit))
    }

    /// Uses a code up, and changes the profile: both or neither.
    ///
    /// # Errors
    /// As [`Account::check_code`]; nothing is changed then.
    pub fn edit_by_code(
        &self,
        (purpose, code): (Purpose, &str),
        now: u64,
        edit: impl FnOnce(&mut Profile),
    ) -> Result<Rc<Profile>, AccountError> {
        // A refusal is stored as well, so it is no failure of the transaction.
        self.change(|open| match code::spend(&*self.store, purpose, code, now)? {
            Ok(()) => open.edit(&*self.store, &[], now, edit).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        })?
    }
}

impl Open {
    fn edit(
        &mut self,
        store: &dyn Store,
        notices: &[Notice],
        now: u64,
        edit: impl FnOnce(&mut Profile),
    ) -> Result<Rc<Profile>, AccountError> {
        let mut profile = Profile::clone(&self.profile);
        edit(&mut profile);
        profile.keep_time(&self.profile, now);
        if profile.email != self.profile.email {
            code::drop_all(store)?;
        }
        if profile != *self.profile {
            profile.update(store)?;
            self.profile = Rc::new(profile);
        }
        let drafts: Result<Vec<_>, AccountError> =
            notices.iter().map(|notice| Ok(self.notice(*notice, now)?.draft()?)).collect();
        self.end_turn(&drafts?, now)?;
        Ok(Rc::clone(&self.profile))
    }

    pub(crate) fn notice(&self, notice: Notice, now: u64) -> Result<Event, AccountError> {
        let (did, time) = (self.profile.did.clone(), Timestamp::from_micros(now));
        let identity =
            |handle| Event::Identity(IdentityEvent { did: did.clone(), handle, time: time.clone() });
        Ok(match notice {
            Notice::Status => Event::Account(AccountEvent { did, inactive: self.profile.inactive(), time }),
            Notice::Handle => identity(Some(self.profile.handle.clone())),
            Notice::Document => identity(None),
            Notice::Head => {
                let commit = Commit::decode(&self.head.block)?;
                Event::Sync(SyncEvent::build(&commit, self.head.cid, &self.head.block, &time))
            }
        })
    }
}

// INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
fn micros(time: Option<u64>) -> Param<'static> {
    time.map_or(Param::Null, |time| Param::Int(i64::try_from(time).unwrap_or(i64::MAX)))
}

fn optional(text: Option<&str>) -> Param<'_> {
    text.map_or(Param::Null, Param::Text)
}
