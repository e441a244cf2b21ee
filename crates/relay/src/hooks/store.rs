//! The table of webhooks.

use std::collections::BTreeSet;

use murmuration_platform::{Param, Row, Store, StoreError};

use super::{Debt, Hook};
use crate::filter::Filter;
use crate::partition::int;

/// Reads a row a webhook.
const SELECT_ALL: &str =
    "SELECT id, did, url, after, through, failures, due_at, created_at, secret, filter FROM webhook";
/// Reads 1 row.
const SELECT_WANTED: &str = "SELECT wanted FROM webhook WHERE id = ?1";
/// Writes 1 row.
const INSERT: &str = "INSERT INTO webhook \
     (id, did, url, created_at, after, through, failures, due_at, secret, filter, wanted) \
     VALUES (?1, ?2, ?3, ?4, NULL, NULL, 0, 0, ?5, ?6, ?7)";
/// Writes 1 row.
const UPDATE: &str = "UPDATE webhook SET after = ?2, through = ?3, failures = ?4, due_at = ?5 WHERE id = ?1";
/// Reads a row an account that rests.
const SELECT_RESTING: &str = "SELECT did FROM resting";
/// Writes 1 row.
const INSERT_RESTING: &str = "INSERT OR IGNORE INTO resting (did) VALUES (?1)";
/// Writes 1 row.
const DELETE_RESTING: &str = "DELETE FROM resting WHERE did = ?1";
/// Writes 1 row.
const SET_SECRET: &str = "UPDATE webhook SET secret = ?2 WHERE id = ?1";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM webhook WHERE id = ?1";

/// All webhooks.
pub(super) fn all(store: &dyn Store) -> Result<Vec<(u64, Hook)>, StoreError> {
    let read = |mut row: Row| {
        let id = natural(row.int(0)?)?;
        let hook = Hook {
            did: row.text(1)?,
            url: row.text(2)?,
            debt: Debt {
                after: row.opt_int(3)?.map(natural).transpose()?,
                through: row.opt_int(4)?.map(natural).transpose()?,
                failures: u32::try_from(row.int(5)?).map_err(|e| StoreError::Corrupt(e.to_string()))?,
                due_at: natural(row.int(6)?)?,
            },
            created_at: natural(row.int(7)?)?,
            secret: row.blob(8)?,
            filter: Filter::decode(&row.text(9)?)
                .ok_or_else(|| StoreError::Corrupt(format!("the filter of the webhook {id}")))?,
        };
        Ok((id, hook))
    };
    store.query(SELECT_ALL, &[])?.into_iter().map(read).collect()
}

/// What a webhook's owner has said that it wants, as JSON.
pub(super) fn wanted(store: &dyn Store, id: u64) -> Result<String, StoreError> {
    let row = store.query(SELECT_WANTED, &[Param::Int(int(id)?)])?.pop();
    row.ok_or_else(|| StoreError::Corrupt(format!("the webhook {id}")))?.text(0)
}

pub(super) fn insert(store: &dyn Store, id: u64, hook: &Hook, wanted: &str) -> Result<(), StoreError> {
    let params = [
        Param::Int(int(id)?),
        Param::Text(&hook.did),
        Param::Text(&hook.url),
        Param::Int(int(hook.created_at)?),
        Param::Blob(&hook.secret),
        Param::Text(&hook.filter.encode()),
        Param::Text(wanted),
    ];
    store.query(INSERT, &params).map(drop)
}

/// Keeps what a webhook is owed.
pub(super) fn save(store: &dyn Store, id: u64, debt: &Debt) -> Result<(), StoreError> {
    let number = |number: Option<u64>| Ok(number.map(int).transpose()?.map_or(Param::Null, Param::Int));
    let params = [
        Param::Int(int(id)?),
        number(debt.after)?,
        number(debt.through)?,
        Param::Int(i64::from(debt.failures)),
        Param::Int(int(debt.due_at)?),
    ];
    store.query(UPDATE, &params).map(drop)
}

/// Keeps a secret that was sealed anew.
pub(super) fn set_secret(store: &dyn Store, id: u64, sealed: &[u8]) -> Result<(), StoreError> {
    store.query(SET_SECRET, &[Param::Int(int(id)?), Param::Blob(sealed)]).map(drop)
}

pub(super) fn delete(store: &dyn Store, id: u64) -> Result<(), StoreError> {
    store.query(DELETE, &[Param::Int(int(id)?)]).map(drop)
}

/// The accounts for which nothing is sent.
pub(super) fn resting(store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
    store.query(SELECT_RESTING, &[])?.into_iter().map(|mut row| row.text(0)).collect()
}

/// Keeps whether anything is sent for an account.
pub(super) fn save_rest(store: &dyn Store, did: &str, rests: bool) -> Result<(), StoreError> {
    let statement = if rests { INSERT_RESTING } else { DELETE_RESTING };
    store.query(statement, &[Param::Text(did)]).map(drop)
}

fn natural(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number} in a webhook")))
}
