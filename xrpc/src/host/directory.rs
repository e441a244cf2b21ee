//! The host's directory: which account goes by which DID, handle and e-mail address.
//!
//! The statements stand here and nowhere else. A host gives a [`Database`] (D1 in a Worker, any
//! [`Store`] in a test) that runs one statement; [`Directory`] does the rest. No step needs more than one statement to
//! be atomic, because D1 has no transaction across awaits.
//!
//! A row begins as *reserved*: its handle and address are taken while the account is being made; or, when the account
//! moves in from another host, as *deactivated*, which it is until its owner activates it. A reservation becomes *active*
//! when the account's object holds the account. The objects are the truth and the directory only points to them: a row
//! whose object is empty (the Worker died in between) is taken over after [`RESERVATION_MILLIS`].
//!
//! Rows written are what D1 bills: one for the row and one for each index entry that changes.

pub mod agents;
pub mod invites;
pub mod requests;
mod resets;
mod search;

use std::future::Future;
use std::pin::Pin;

use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::{Did, Handle};

/// What an asynchronous step of a host gives. Not `Send`: a Worker has one thread.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The migrations of the directory, in order: file name and statements.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_account.sql", include_str!("../../../migrations/directory/0001_account.sql")),
    ("0002_mail_and_invites.sql", include_str!("../../../migrations/directory/0002_mail_and_invites.sql")),
    ("0005_handle_change.sql", include_str!("../../../migrations/directory/0005_handle_change.sql")),
    ("0006_session.sql", include_str!("../../../migrations/directory/0006_session.sql")),
    ("0007_agent.sql", include_str!("../../../migrations/directory/0007_agent.sql")),
    ("0008_agent_text.sql", include_str!("../../../migrations/directory/0008_agent_text.sql")),
];

/// Milliseconds after which nobody can still be making the account of a row. Several times what the slowest creation
/// takes: its outbound requests give up after ten seconds each.
pub const RESERVATION_MILLIS: u64 = 5 * 60 * 1000;

/// A database that runs one statement at a time. The only thing a host has to write.
pub trait Database {
    /// Runs one statement and collects its rows.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine refuses it or cannot be reached.
    fn query<'a>(
        &'a self,
        sql: &'static str,
        params: &'a [Param<'a>],
    ) -> Task<'a, Result<Vec<Row>, StoreError>>;
}

impl<S: Store + ?Sized> Database for S {
    fn query<'a>(
        &'a self,
        sql: &'static str,
        params: &'a [Param<'a>],
    ) -> Task<'a, Result<Vec<Row>, StoreError>> {
        let rows = Store::query(self, sql, params);
        Box::pin(std::future::ready(rows))
    }
}

/// Whether an account is served, and if not, why. The words are those of `com.atproto.sync.listRepos#repo`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Being made: its handle and address are taken, but the account may not be there.
    Reserved,
    /// Served.
    Active,
    /// Hidden by its owner.
    Deactivated,
    /// Hidden by the operator.
    Takendown,
}

impl Status {
    /// The word in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Takendown => "takendown",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Reserved, Self::Active, Self::Deactivated, Self::Takendown]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A row of the directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The account's canonical DID.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Its e-mail address, in lower case.
    pub email: Option<String>,
    /// Whether it is served.
    pub status: Status,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_millis: u64,
    /// A change of its identity that is under way, or died.
    pub change: Option<Change>,
}

/// A change of an account's identity: while it is under way, both handles are the account's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The handle that the account will have; its present one when only its document changes.
    pub handle: Handle,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_millis: u64,
}

impl Change {
    /// Whether it is so old that nobody can still be working on it.
    #[must_use]
    pub const fn is_dead(&self, now_millis: u64) -> bool {
        now_millis.saturating_sub(self.since_millis) > RESERVATION_MILLIS
    }

    /// What tells it from every other change: whose it is, to what, and since when.
    fn params<'a>(&'a self, did: &'a Did) -> Result<[Param<'a>; 3], StoreError> {
        Ok([did.as_str().into(), self.handle.as_str().into(), millis(self.since_millis)?])
    }
}

/// What came of [`Directory::begin_change`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Claim {
    /// The handle is the account's, beside its present one.
    Made,
    /// The row that has the handle already, or will have it.
    Taken(Entry),
    /// The account's own row: another change is under way, or died.
    Busy(Entry),
    /// There is no such account.
    NoAccount,
}

impl Entry {
    /// Whether the row is so old that its account is made, or will never be.
    #[must_use]
    pub const fn is_settled(&self, now_millis: u64) -> bool {
        now_millis.saturating_sub(self.created_at_millis) > RESERVATION_MILLIS
    }
}

/// What came of [`Directory::reserve`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reservation {
    /// The names are the caller's, until they are activated or released.
    Made,
    /// The row that has the handle already.
    HandleTaken(Entry),
    /// The row that has the e-mail address already.
    EmailTaken(Entry),
    /// The row that has the DID already.
    DidTaken(Entry),
}

/// What came of [`Directory::set_email`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// The address is the account's.
    Set,
    /// The row that has the address already.
    Taken(Entry),
    /// There is no such account.
    NoAccount,
}

/// The directory, over a database.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    database: &'a dyn Database,
}

impl<'a> Directory<'a> {
    /// The directory in a database that has run [`MIGRATIONS`].
    #[must_use]
    pub fn new(database: &'a dyn Database) -> Self {
        Self { database }
    }

    /// The database, for what else the host keeps in it.
    pub(super) const fn database(&self) -> &'a dyn Database {
        self.database
    }

    /// Takes the names of an account that is about to be made: as a reservation, or as one that begins deactivated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn reserve(&self, entry: &Entry) -> Result<Reservation, StoreError> {
        let created_at = millis(entry.created_at_millis)?;
        let email = entry.email.as_deref().map_or(Param::Null, Param::Text);
        let (did, status) = (entry.did.as_str().into(), entry.status.as_str().into());
        let params = [did, entry.handle.as_str().into(), email, status, created_at];
        if !self.database.query(RESERVE, &params).await?.is_empty() {
            return Ok(Reservation::Made);
        }
        if let Some(taken) = self.by_handle(&entry.handle).await? {
            return Ok(Reservation::HandleTaken(taken));
        }
        if let Some(email) = &entry.email
            && let Some(taken) = self.by_email(email).await?
        {
            return Ok(Reservation::EmailTaken(taken));
        }
        match self.by_did(&entry.did).await? {
            Some(taken) => Ok(Reservation::DidTaken(taken)),
            None => Err(StoreError::Engine("a row that stood in the way has gone: try again".into())),
        }
    }

    /// Makes a reservation an account. `false` when there is neither: it was taken over meanwhile.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn activate(&self, did: &Did) -> Result<bool, StoreError> {
        Ok(!self.database.query(ACTIVATE, &[did.as_str().into()]).await?.is_empty())
    }

    /// Gives the names of a row back, be it a reservation or an account. May be repeated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn remove(&self, did: &Did) -> Result<(), StoreError> {
        self.database.query(REMOVE, &[did.as_str().into()]).await.map(drop)
    }

    /// Takes a handle for an account, beside the one that it has, and keeps other changes of its identity away.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn begin_change(&self, did: &Did, change: &Change) -> Result<Claim, StoreError> {
        if !self.database.query(BEGIN_CHANGE, &change.params(did)?).await?.is_empty() {
            return Ok(Claim::Made);
        }
        match self.by_handle(&change.handle).await? {
            Some(taken) if taken.did != *did => return Ok(Claim::Taken(taken)),
            _ => {}
        }
        Ok(match self.by_did(did).await? {
            Some(entry) if entry.change.is_some() => Claim::Busy(entry),
            Some(entry) if entry.status != Status::Reserved => {
                return Err(StoreError::Engine("a row that stood in the way has gone: try again".into()));
            }
            _ => Claim::NoAccount,
        })
    }

    /// Gives an account the handle that was taken for it, and frees its old one. `false` when there is no such change.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn finish_change(&self, did: &Did, change: &Change) -> Result<bool, StoreError> {
        Ok(!self.database.query(FINISH_CHANGE, &change.params(did)?).await?.is_empty())
    }

    /// Frees the handle that was taken for an account by that change, and no other to the same handle. May be repeated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn drop_change(&self, did: &Did, change: &Change) -> Result<(), StoreError> {
        self.database.query(DROP_CHANGE, &change.params(did)?).await.map(drop)
    }

    /// Gives an account another status. `false` when there is no such account.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn set_status(&self, did: &Did, status: Status) -> Result<bool, StoreError> {
        let params = [did.as_str().into(), status.as_str().into()];
        Ok(!self.database.query(SET_STATUS, &params).await?.is_empty())
    }

    /// Gives an account another e-mail address, in lower case, or none.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn set_email(&self, did: &Did, email: Option<&str>) -> Result<Address, StoreError> {
        let params = [did.as_str().into(), email.map_or(Param::Null, Param::Text)];
        if !self.database.query(SET_EMAIL, &params).await?.is_empty() {
            return Ok(Address::Set);
        }
        let taken = match email {
            Some(email) => self.by_email(email).await?,
            None => None,
        };
        Ok(taken.filter(|taken| taken.did != *did).map_or(Address::NoAccount, Address::Taken))
    }

    /// Notes what the owner of an account has decided: it is active, or deactivated. What the operator has decided stays.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn set_own_status(&self, did: &Did, status: Status) -> Result<(), StoreError> {
        let params = [did.as_str().into(), status.as_str().into()];
        self.database.query(SET_OWN_STATUS, &params).await.map(drop)
    }

    /// The row of a DID, reservations included.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn by_did(&self, did: &Did) -> Result<Option<Entry>, StoreError> {
        self.one(BY_DID, did.as_str()).await
    }

    /// The row that has a handle, or will have it when a change is done; reservations included.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn by_handle(&self, handle: &Handle) -> Result<Option<Entry>, StoreError> {
        self.one(BY_HANDLE, handle.as_str()).await
    }

    /// The row of an e-mail address, in any case, reservations included.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn by_email(&self, email: &str) -> Result<Option<Entry>, StoreError> {
        self.one(BY_EMAIL, &email.to_lowercase()).await
    }

    /// The DIDs of accounts, in order, after `cursor`: at most `limit`. Reservations are left out.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn page(&self, cursor: Option<&str>, limit: u32) -> Result<Vec<Did>, StoreError> {
        let params = [cursor.unwrap_or_default().into(), i64::from(limit).into()];
        let rows = self.database.query(PAGE, &params).await?;
        rows.into_iter().map(|mut row| did_column(&mut row)).collect()
    }

    async fn one(&self, sql: &'static str, key: &str) -> Result<Option<Entry>, StoreError> {
        let rows = self.database.query(sql, &[key.into()]).await?;
        rows.into_iter().next().map(entry).transpose()
    }
}

fn millis(time: u64) -> Result<Param<'static>, StoreError> {
    let time = i64::try_from(time).map_err(|_| StoreError::Engine("the time is beyond 64 bits".into()))?;
    Ok(Param::Int(time))
}

fn did_column(row: &mut Row) -> Result<Did, StoreError> {
    Did::parse(&row.text(0)?).map_err(|error| StoreError::Corrupt(format!("account.did: {error}")))
}

fn entry(mut row: Row) -> Result<Entry, StoreError> {
    let did = did_column(&mut row)?;
    let handle = Handle::parse(&row.text(1)?)
        .map_err(|error| StoreError::Corrupt(format!("account.handle of {did}: {error}")))?;
    let email = row.opt_text(2)?;
    let status = Status::parse(&row.text(3)?)
        .ok_or_else(|| StoreError::Corrupt(format!("account.status of {did} is not a status")))?;
    let created_at_millis = u64::try_from(row.int(4)?)
        .map_err(|_| StoreError::Corrupt(format!("account.created_at of {did} is negative")))?;
    let change = match (row.opt_text(5)?, row.opt_int(6)?) {
        (Some(handle), since) => Some(Change {
            handle: Handle::parse(&handle)
                .map_err(|error| StoreError::Corrupt(format!("account.next_handle of {did}: {error}")))?,
            since_millis: since.and_then(|since| u64::try_from(since).ok()).unwrap_or(0),
        }),
        (None, _) => None,
    };
    Ok(Entry { did, handle, email, status, created_at_millis, change })
}

/// Writes 3 rows: the row and its two index entries; 0 when a name is taken.
const RESERVE: &str = "INSERT INTO account (did, handle, email, status, created_at) \
     SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM account WHERE next_handle = ?2) \
     ON CONFLICT DO NOTHING RETURNING did";
/// Writes 2 rows: the row and an index entry; 0 when the handle is another's, or a change is under way.
const BEGIN_CHANGE: &str = "UPDATE account SET next_handle = ?2, next_since = ?3 \
     WHERE did = ?1 AND status <> 'reserved' AND next_handle IS NULL AND NOT EXISTS \
     (SELECT 1 FROM account WHERE (handle = ?2 OR next_handle = ?2) AND did <> ?1) RETURNING did";
/// Writes 3 rows: the row and two index entries; 0 when there is no such change.
const FINISH_CHANGE: &str = "UPDATE account SET handle = next_handle, next_handle = NULL, next_since = NULL \
     WHERE did = ?1 AND next_handle = ?2 AND next_since = ?3 RETURNING did";
/// Writes 2 rows: the row and an index entry; 0 when there is no such change.
const DROP_CHANGE: &str = "UPDATE account SET next_handle = NULL, next_since = NULL \
     WHERE did = ?1 AND next_handle = ?2 AND next_since = ?3";
/// Writes 1 row; 0 when there is no such row. May be repeated.
const ACTIVATE: &str =
    "UPDATE account SET status = 'active' WHERE did = ?1 AND status IN ('reserved', 'active') RETURNING did";
/// Writes 3 rows: the row and its two index entries; 0 when there is no such row.
const REMOVE: &str = "DELETE FROM account WHERE did = ?1";
/// Writes 1 row; 0 when there is no such account.
const SET_STATUS: &str =
    "UPDATE account SET status = ?2 WHERE did = ?1 AND status <> 'reserved' RETURNING did";
/// Writes 2 or 3 rows: the row and its index entries; 0 when there is no such account, or the address is another's.
const SET_EMAIL: &str = "UPDATE account SET email = ?2 WHERE did = ?1 AND status <> 'reserved' \
     AND NOT EXISTS (SELECT 1 FROM account WHERE email = ?2 AND did <> ?1) RETURNING did";
/// Writes 1 row; 0 when there is no such account, or the operator has hidden it.
const SET_OWN_STATUS: &str =
    "UPDATE account SET status = ?2 WHERE did = ?1 AND status IN ('active', 'deactivated')";
/// Reads 1 row.
const BY_DID: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since \
     FROM account WHERE did = ?1";
/// Reads 1 row and 2 index entries.
const BY_HANDLE: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since \
     FROM account WHERE handle = ?1 OR next_handle = ?1";
/// Reads 1 row and 1 index entry.
const BY_EMAIL: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since \
     FROM account WHERE email = ?1";
/// Reads as many rows as it answers, and the reservations between them.
const PAGE: &str = "SELECT did FROM account WHERE did > ?1 AND status <> 'reserved' ORDER BY did LIMIT ?2";
