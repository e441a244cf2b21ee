//! Sessions: one row for each refresh token that still works.
//!
//! A refresh gives out a new pair of tokens. The old refresh token goes on working for [`GRACE_MICROS`], and gives out
//! the *same* next id each time, so that a client whose answer was lost, or two tabs that refresh at once, end up in
//! one session. This is the reference server's rule.
//!
//! A token that is shown after that has a copy: its owner has one, and perhaps somebody who stole it. Nobody can tell who of the two has what
//! came after it, so all of its *family* ends (RFC 9700, 4.14.2). Ids say which family they are of, so that rows of used tokens
//! need not be kept: an id that is signed, and not here any more, was used or ended.

use murmuration_platform::{Param, Store, StoreError};

/// Microseconds that a used refresh token goes on working (reference server: 2 hours).
const GRACE_MICROS: u64 = 2 * 60 * 60 * 1_000_000;
/// Sessions of an account at the most; the ones that end first give way.
const MAX_SESSIONS: i64 = 1000;
/// Stands between the family and what tells its members apart. Ids as they are begun with have none.
const MEMBER: char = '.';

/// Writes 1 row; 0 if an earlier refresh has given this session out already: what is left of its life stays.
const INSERT: &str = "INSERT INTO session (id, scope, expires_at, app_password) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (id) DO NOTHING";
/// Reads 1 row.
const SELECT: &str = "SELECT scope, expires_at, next, app_password FROM session WHERE id = ?1";
/// Reads 1 row.
const EXISTS: &str = "SELECT 1 FROM session WHERE id = ?1";
/// Writes 1 row.
const ROTATE: &str = "UPDATE session SET next = ?2, expires_at = ?3 WHERE id = ?1";
/// Writes a row for each token of the family that still works. Reads those.
const DELETE: &str = "DELETE FROM session WHERE id = ?1 OR (id > ?1 || '.' AND id < ?1 || '/')";
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

/// Gives out the session that follows `id`, in its family: `fresh`, unless an earlier refresh has named another. `None` when the
/// token does not work any more; then none of its family does.
pub(crate) fn rotate(
    store: &dyn Store,
    id: &str,
    fresh: &str,
    expires_at: u64,
    now: u64,
) -> Result<Option<Session>, StoreError> {
    let row = store.query(SELECT, &[Param::Text(id)])?.pop();
    let Some(mut row) = row else { return end(store, id).map(|()| None) };
    let (scope, ends) = (row.text(0)?, u64::try_from(row.int(1)?).unwrap_or(0));
    if ends <= now {
        return end(store, id).map(|()| None);
    }
    let next = row.opt_text(2)?.unwrap_or_else(|| format!("{}{MEMBER}{fresh}", family(id)));
    let next = Session { id: next, scope, app_password: row.opt_text(3)? };
    let grace = ends.min(now + GRACE_MICROS);
    store.query(ROTATE, &[Param::Text(id), Param::Text(&next.id), micros(grace)])?;
    begin(store, &next, expires_at, now)?;
    Ok(Some(next))
}

/// The id of the first token of a family, with which the ids of all others begin.
fn family(id: &str) -> &str {
    id.split(MEMBER).next().unwrap_or(id)
}

/// Ends a session, if there is one, with the tokens before and after this one: none of them may bring it back.
pub(crate) fn end(store: &dyn Store, id: &str) -> Result<(), StoreError> {
    store.query(DELETE, &[Param::Text(family(id))]).map(drop)
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
