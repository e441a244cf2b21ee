//! Sessions: one row for each refresh token that still works.
//!
//! A refresh gives out a new pair of tokens. The old refresh token goes on working for [`GRACE_MICROS`], and gives out
//! the *same* next id each time, so that a client whose answer was lost, or two tabs that refresh at once, end up in
//! one session. This is the reference server's rule.

use murmuration_platform::{Param, Store, StoreError};

use crate::AccountError;

/// Microseconds that a used refresh token goes on working (reference server: 2 hours).
const GRACE_MICROS: u64 = 2 * 60 * 60 * 1_000_000;
/// Sessions of an account at the most; the ones that end first give way.
const MAX_SESSIONS: i64 = 1000;

/// Writes 1 row; 0 if an earlier refresh has given this session out already: what is left of its life stays.
const INSERT: &str = "INSERT INTO session (id, scope, expires_at, app_password) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (id) DO NOTHING";
/// Reads 1 row.
const SELECT: &str = "SELECT scope, expires_at, next, app_password FROM session WHERE id = ?1";
/// Reads 1 row.
const EXISTS: &str = "SELECT 1 FROM session WHERE id = ?1";
/// Writes 1 row.
const ROTATE: &str = "UPDATE session SET next = ?2, expires_at = ?3 WHERE id = ?1";
/// Writes a row for each token of the session that still works. Reads all sessions once for each of those.
const DELETE: &str = "WITH RECURSIVE family (id) AS (SELECT ?1 UNION \
     SELECT iif(session.id = family.id, session.next, session.id) FROM session JOIN family \
     ON session.id = family.id OR session.next = family.id) \
     DELETE FROM session WHERE id IN (SELECT id FROM family)";
/// Writes a row for each session.
const DELETE_ALL: &str = "DELETE FROM session";
/// Writes a row for each session of the app password. Reads all: there are few.
const DELETE_OF: &str = "DELETE FROM session WHERE app_password = ?1";
/// Writes a row for each session that has ended. Reads all: there are few.
const PRUNE: &str = "DELETE FROM session WHERE expires_at <= ?1 OR id IN \
     (SELECT id FROM session ORDER BY expires_at DESC LIMIT -1 OFFSET ?2)";

/// A session as a token names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// The id of the refresh token: its `jti`.
    pub id: String,
    /// The scope of its access tokens, as the token spells it.
    pub scope: String,
    /// The name of the app password that it was begun with; `None` for the account's own password.
    pub app_password: Option<String>,
}

/// Begins a session. Times are microseconds.
pub(crate) fn begin(
    store: &dyn Store,
    session: &Session,
    expires_at: u64,
    now: u64,
) -> Result<(), StoreError> {
    // One place is for the session that begins.
    store.query(PRUNE, &[micros(now), Param::Int(MAX_SESSIONS - 1)])?;
    let app_password = session.app_password.as_deref().map_or(Param::Null, Param::Text);
    let params = [Param::Text(&session.id), Param::Text(&session.scope), micros(expires_at), app_password];
    store.query(INSERT, &params).map(drop)
}

/// Gives out the session that follows `id`: `fresh_id`, unless an earlier refresh has named another.
pub(crate) fn rotate(
    store: &dyn Store,
    id: &str,
    fresh_id: String,
    expires_at: u64,
    now: u64,
) -> Result<Session, AccountError> {
    let mut row = store.query(SELECT, &[Param::Text(id)])?.pop().ok_or(AccountError::SessionRevoked)?;
    let (scope, ends) = (row.text(0)?, u64::try_from(row.int(1)?).unwrap_or(0));
    let next = Session { id: row.opt_text(2)?.unwrap_or(fresh_id), scope, app_password: row.opt_text(3)? };
    if ends <= now {
        return Err(AccountError::SessionRevoked);
    }
    let grace = ends.min(now + GRACE_MICROS);
    store.query(ROTATE, &[Param::Text(id), Param::Text(&next.id), micros(grace)])?;
    begin(store, &next, expires_at, now)?;
    Ok(next)
}

/// Ends a session, if there is one, with the tokens before and after this one: none of them may bring it back.
pub(crate) fn end(store: &dyn Store, id: &str) -> Result<(), StoreError> {
    store.query(DELETE, &[Param::Text(id)]).map(drop)
}

/// Whether a session has not been ended. One that a refresh has followed is there as long as what it gave out.
pub(crate) fn lives(store: &dyn Store, id: &str) -> Result<bool, StoreError> {
    Ok(!store.query(EXISTS, &[Param::Text(id)])?.is_empty())
}

/// Ends every session.
pub(crate) fn end_all(store: &dyn Store) -> Result<(), StoreError> {
    store.query(DELETE_ALL, &[]).map(drop)
}

/// Ends the sessions that were begun with an app password.
pub(crate) fn end_of(store: &dyn Store, app_password: &str) -> Result<(), StoreError> {
    store.query(DELETE_OF, &[Param::Text(app_password)]).map(drop)
}

fn micros(time: u64) -> Param<'static> {
    // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
    Param::Int(i64::try_from(time).unwrap_or(i64::MAX))
}
