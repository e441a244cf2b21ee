//! Blobs: what was uploaded, and which records refer to it. The bytes lie elsewhere, under `key`.
//!
//! A blob is uploaded first and referenced by a record later; until then nobody can read it. When the last record that
//! refers to it is gone, or when no record ever did within [`UNREFERENCED_MICROS`], it is condemned: no record may
//! refer to it any more, and an alarm deletes the bytes and then the row; bytes that cannot be deleted are put off, so that
//! they are in nobody's way. If it is uploaded again meanwhile, the row names the new bytes, and the sweep, which goes by
//! `key`, leaves them alone; the old ones are then deleted as those of an upload of which nothing came.
//!
//! A blob that the operator has taken down is in *quarantine*: nobody but the operator and the owner can read it, no new
//! record may refer to it, and it cannot be uploaded again. Its row and its bytes stay until that is lifted, be there
//! records or not.
//!
//! A repository that moves in comes before its blobs. Its records refer to blobs that have no row yet, or a condemned one:
//! they are *missing*, and count as referenced from the moment that they are uploaded.

use murmuration_data::Cid;
use murmuration_data::Ipld;
use murmuration_data::blob::{self as data_blob, BlobRef};
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::{RepoPath, Rev};

use crate::AccountError;

/// Microseconds that a blob waits for a record. The reference server waits for ever (bluesky-social/atproto issue 2051).
pub const UNREFERENCED_MICROS: u64 = 24 * 60 * 60 * 1_000_000;
/// Microseconds until the bytes of a blob that could not be deleted are tried again: a row each time, and nobody waits for it.
const RETRY_MICROS: u64 = 60 * 60 * 1_000_000;
/// Blobs that one sweep deletes.
const SWEEP_BATCH: i64 = 50;

const UNREFERENCED: i64 = 0;
const REFERENCED: i64 = 1;
const CONDEMNED: i64 = 2;

/// Writes 1 row.
const UPSERT: &str = "INSERT INTO blob (cid, key, mime, size, state, since) VALUES (?1, ?2, ?3, ?4, \
     EXISTS (SELECT 1 FROM blob_use WHERE cid = ?1), ?5) \
     ON CONFLICT (cid) DO UPDATE SET since = excluded.since, key = iif(state = 2, excluded.key, key), \
     mime = iif(state = 1, mime, excluded.mime), state = excluded.state";
/// Reads 1 row.
const SELECT: &str = "SELECT key, mime, size, state, takedown FROM blob WHERE cid = ?1";
/// Writes 1 row; 0 when there is no such blob.
const TAKE_DOWN: &str = "UPDATE blob SET takedown = ?2 WHERE cid = ?1 RETURNING cid";
/// Writes 1 row; 0 when there is no such blob. An upload that no record came for waits anew, and what was condemned is
/// due: its bytes may be gone already.
const LIFT: &str = "UPDATE blob SET since = iif(takedown IS NULL, since, ?2), takedown = NULL WHERE cid = ?1 \
     RETURNING cid";
/// Writes 1 row.
const SET_STATE: &str = "UPDATE blob SET state = ?2, since = ?3 WHERE cid = ?1";
/// Writes 1 row.
const USE: &str = "INSERT INTO blob_use (cid, path, rev) VALUES (?1, ?2, ?3) \
     ON CONFLICT (cid, path) DO UPDATE SET rev = excluded.rev";
/// Writes 1 row.
const UNUSE: &str = "DELETE FROM blob_use WHERE cid = ?1 AND path = ?2";
/// Reads 1 row.
const IS_USED: &str = "SELECT 1 FROM blob_use WHERE cid = ?1 LIMIT 1";
/// Reads the uses that it passes over; there is no index on `rev`, for nothing but this would pay for it.
const LIST: &str = "SELECT DISTINCT cid FROM blob_use WHERE cid > ?1 AND rev > ?2 ORDER BY cid LIMIT ?3";
/// Reads the uses that it passes over, and a row for each.
const MISSING: &str = "SELECT cid, min(path) FROM blob_use WHERE cid > ?1 AND NOT EXISTS \
     (SELECT 1 FROM blob WHERE blob.cid = blob_use.cid AND (state <> 2 OR takedown IS NOT NULL)) GROUP BY cid ORDER BY cid LIMIT ?2";
/// Reads 1 row.
const IS_USED_BY: &str = "SELECT 1 FROM blob_use WHERE cid = ?1 AND path = ?2";
/// Reads the whole table, and writes a row for each upload that no record came for; runs by alarm only.
const CONDEMN: &str = "UPDATE blob SET state = 2 WHERE state = 0 AND since <= ?1 AND takedown IS NULL";
/// Reads the whole table; runs by alarm only, in accounts that have blobs to collect.
const DUE: &str = "SELECT cid, key FROM blob WHERE state = 2 AND since <= ?1 AND takedown IS NULL LIMIT ?2";
/// Reads the whole table; runs by alarm only.
const NEXT_DUE: &str =
    "SELECT min(iif(state = 2, since, since + ?1)) FROM blob WHERE state <> 1 AND takedown IS NULL";
/// Writes 1 row.
const PUT_OFF: &str =
    "UPDATE blob SET since = ?3 WHERE cid = ?1 AND key = ?2 AND state = 2 AND takedown IS NULL";
/// Reads as many rows as it answers.
const ANY: &str = "SELECT cid, key FROM blob WHERE cid > ?1 ORDER BY cid LIMIT ?2";
/// Writes 1 row.
const REMOVE: &str = "DELETE FROM blob WHERE cid = ?1";
/// Writes 1 row.
const FORGET: &str = "DELETE FROM blob WHERE cid = ?1 AND key = ?2 AND state = 2 AND takedown IS NULL";

/// A blob whose bytes are stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blob {
    /// The hash of the bytes.
    pub cid: Cid,
    /// Where the bytes lie.
    pub key: String,
    /// What the bytes are: a MIME type.
    pub mime_type: String,
    /// How many bytes.
    pub size: u64,
}

/// A blob that records refer to and that is not here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingBlob {
    /// The hash of the bytes.
    pub cid: Cid,
    /// One of the records.
    pub path: RepoPath,
}

/// What became of an upload.
pub(crate) struct Registered {
    /// The key of the bytes that count: another than the upload's if the blob was there already.
    pub(crate) key: String,
    /// The key of the bytes that counted until then and do not any more.
    pub(crate) replaced: Option<String>,
}

/// Notes an upload.
pub(crate) fn register(store: &dyn Store, blob: &Blob, now: u64) -> Result<Registered, AccountError> {
    let before = find(store, &blob.cid)?;
    if before.as_ref().is_some_and(|row| row.takedown.is_some()) {
        return Err(AccountError::BlobTakendown);
    }
    let cid = blob.cid.to_bytes();
    let size =
        i64::try_from(blob.size).map_err(|_| StoreError::Corrupt("a blob's size is out of range".into()))?;
    let texts = (Param::Text(&blob.key), Param::Text(&blob.mime_type));
    store.query(UPSERT, &[Param::Blob(&cid), texts.0, texts.1, Param::Int(size), micros(now)])?;
    let mut row = store
        .query(SELECT, &[Param::Blob(&cid)])?
        .pop()
        .ok_or_else(|| StoreError::Corrupt("a blob's row is gone".into()))?;
    let key = row.text(0)?;
    let replaced = before.map(|row| row.blob.key).filter(|old| *old != key);
    Ok(Registered { key, replaced })
}

/// A blob that a record refers to. One in quarantine only if `quarantined`, and then whether there is a record or not.
pub(crate) fn locate(store: &dyn Store, cid: &Cid, quarantined: bool) -> Result<Option<Blob>, StoreError> {
    let shown = |row: &Found| match row.takedown {
        Some(_) => quarantined,
        None => row.state == REFERENCED,
    };
    Ok(find(store, cid)?.filter(shown).map(|row| row.blob))
}

/// Under which reference a blob is taken down; the outer `None` when there is no such blob.
pub(crate) fn takedown(store: &dyn Store, cid: &Cid) -> Result<Option<Option<String>>, StoreError> {
    Ok(find(store, cid)?.map(|row| row.takedown))
}

/// Takes a blob down under a reference, or lifts that. `false` when there is no such blob.
pub(crate) fn set_takedown(
    store: &dyn Store,
    cid: &Cid,
    reference: Option<&str>,
    now: u64,
) -> Result<bool, StoreError> {
    let cid = cid.to_bytes();
    let rows = match reference {
        Some(reference) => store.query(TAKE_DOWN, &[Param::Blob(&cid), Param::Text(reference)])?,
        None => store.query(LIFT, &[Param::Blob(&cid), micros(now)])?,
    };
    Ok(!rows.is_empty())
}

/// The blobs that a record refers to, in the form of before 2023 too: old records move in with them.
pub(crate) fn of_record(record: &Ipld) -> Vec<Cid> {
    let legacy = data_blob::legacy_refs(record).into_iter().map(|reference| reference.cid);
    data_blob::refs(record).into_iter().map(|reference| reference.cid).chain(legacy).collect()
}

/// Checks that the record at `path` may refer to a blob as it does. One that moved in may describe it otherwise than this
/// host would, and goes on to.
pub(crate) fn check(store: &dyn Store, reference: &BlobRef, path: &str) -> Result<(), AccountError> {
    let Found { blob, .. } = find(store, &reference.cid)?
        .filter(|row| row.state != CONDEMNED && row.takedown.is_none())
        .ok_or(AccountError::NoSuchBlob(reference.cid))?;
    if blob.mime_type == reference.mime_type && blob.size == reference.size {
        return Ok(());
    }
    if !store.query(IS_USED_BY, &[Param::Blob(&blob.cid.to_bytes()), Param::Text(path)])?.is_empty() {
        return Ok(());
    }
    if blob.mime_type != reference.mime_type {
        return Err(AccountError::BlobType {
            stored: blob.mime_type,
            referenced: reference.mime_type.clone(),
        });
    }
    Err(AccountError::BlobSize { stored: blob.size, referenced: reference.size })
}

/// Notes that the record at `path` refers to the blob, which may be missing.
pub(crate) fn reference(
    store: &dyn Store,
    cid: &Cid,
    path: &str,
    rev: Rev,
    now: u64,
) -> Result<(), StoreError> {
    let cid = cid.to_bytes();
    store.query(USE, &[Param::Blob(&cid), Param::Text(path), Param::Text(&rev.to_string())])?;
    let state = store.query(SELECT, &[Param::Blob(&cid)])?.pop().map(|mut row| row.int(3)).transpose()?;
    // The bytes of a condemned one may be gone any moment.
    if state == Some(UNREFERENCED) { set_state(store, &cid, REFERENCED, now) } else { Ok(()) }
}

/// Notes that the record at `path` refers to the blob no longer.
pub(crate) fn dereference(store: &dyn Store, cid: &Cid, path: &str) -> Result<(), StoreError> {
    store.query(UNUSE, &[Param::Blob(&cid.to_bytes()), Param::Text(path)]).map(drop)
}

/// Condemns a blob that no record refers to. Answers whether it is one.
pub(crate) fn condemn_unused(store: &dyn Store, cid: &Cid, now: u64) -> Result<bool, StoreError> {
    let cid = cid.to_bytes();
    let used = !store.query(IS_USED, &[Param::Blob(&cid)])?.is_empty();
    if !used {
        set_state(store, &cid, CONDEMNED, now)?;
    }
    Ok(!used)
}

/// Blobs that records refer to and that are not here, by CID, behind `after`.
pub(crate) fn missing(
    store: &dyn Store,
    after: Option<&Cid>,
    limit: u32,
) -> Result<Vec<MissingBlob>, StoreError> {
    let after = after.map(Cid::to_bytes).unwrap_or_default();
    let rows = store.query(MISSING, &[Param::Blob(&after), Param::Int(i64::from(limit))])?;
    let path = |text: String| RepoPath::parse(&text).map_err(|error| StoreError::Corrupt(error.to_string()));
    rows.into_iter()
        .map(|mut row| Ok(MissingBlob { cid: cid(&mut row, 0)?, path: path(row.text(1)?)? }))
        .collect()
}

/// Blobs that records refer to, by CID, behind `after`, from commits after `since`.
pub(crate) fn list(
    store: &dyn Store,
    since: Option<Rev>,
    after: Option<&Cid>,
    limit: u32,
) -> Result<Vec<Cid>, StoreError> {
    let after = after.map(Cid::to_bytes).unwrap_or_default();
    let since = since.map(|rev| rev.to_string()).unwrap_or_default();
    let params = [Param::Blob(&after), Param::Text(&since), Param::Int(i64::from(limit))];
    store.query(LIST, &params)?.into_iter().map(|mut row| cid(&mut row, 0)).collect()
}

/// Blobs whose bytes are to be deleted now. [`forget`] follows for each whose bytes are gone.
pub(crate) fn due(store: &dyn Store, now: u64, patience: u64) -> Result<Vec<(Cid, String)>, StoreError> {
    store.query(CONDEMN, &[micros(now.saturating_sub(patience))])?;
    let rows = store.query(DUE, &[micros(now), Param::Int(SWEEP_BATCH)])?;
    rows.into_iter().map(|mut row| Ok((cid(&mut row, 0)?, row.text(1)?))).collect()
}

/// When [`due`] must run again, if ever.
pub(crate) fn next_sweep(store: &dyn Store, patience: u64) -> Result<Option<u64>, StoreError> {
    let row = store.query(NEXT_DUE, &[micros(patience)])?.pop();
    let next = row.map(|mut row| row.opt_int(0)).transpose()?.flatten();
    Ok(next.and_then(|next| u64::try_from(next).ok()))
}

/// Forgets a blob whose bytes under `key` are gone; not one that was uploaded again meanwhile, under another key.
pub(crate) fn forget(store: &dyn Store, cid: &Cid, key: &str) -> Result<(), StoreError> {
    store.query(FORGET, &[Param::Blob(&cid.to_bytes()), Param::Text(key)]).map(drop)
}

/// Puts off a blob whose bytes under `key` could not be deleted; not one that was uploaded again meanwhile.
pub(crate) fn put_off(store: &dyn Store, cid: &Cid, key: &str, now: u64) -> Result<(), StoreError> {
    let until = micros(now.saturating_add(RETRY_MICROS));
    store.query(PUT_OFF, &[Param::Blob(&cid.to_bytes()), Param::Text(key), until]).map(drop)
}

/// Some of the blobs behind `after`, whatever their state: for an account that was deleted.
pub(crate) fn some(store: &dyn Store, after: Option<&Cid>) -> Result<Vec<(Cid, String)>, StoreError> {
    let after = after.map(Cid::to_bytes).unwrap_or_default();
    let rows = store.query(ANY, &[Param::Blob(&after), Param::Int(SWEEP_BATCH)])?;
    rows.into_iter().map(|mut row| Ok((cid(&mut row, 0)?, row.text(1)?))).collect()
}

/// Forgets a blob whatever its state.
pub(crate) fn remove(store: &dyn Store, cid: &Cid) -> Result<(), StoreError> {
    store.query(REMOVE, &[Param::Blob(&cid.to_bytes())]).map(drop)
}

/// A row.
struct Found {
    blob: Blob,
    state: i64,
    takedown: Option<String>,
}

fn find(store: &dyn Store, cid: &Cid) -> Result<Option<Found>, StoreError> {
    let Some(mut row) = store.query(SELECT, &[Param::Blob(&cid.to_bytes())])?.pop() else { return Ok(None) };
    let (key, mime_type) = (row.text(0)?, row.text(1)?);
    let size =
        u64::try_from(row.int(2)?).map_err(|_| StoreError::Corrupt("a blob's size is negative".into()))?;
    let blob = Blob { cid: *cid, key, mime_type, size };
    Ok(Some(Found { blob, state: row.int(3)?, takedown: row.opt_text(4)? }))
}

fn set_state(store: &dyn Store, cid: &[u8], state: i64, now: u64) -> Result<(), StoreError> {
    store.query(SET_STATE, &[Param::Blob(cid), Param::Int(state), micros(now)]).map(drop)
}

fn cid(row: &mut Row, index: usize) -> Result<Cid, StoreError> {
    Cid::try_from(row.blob(index)?).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn micros(time: u64) -> Param<'static> {
    // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
    Param::Int(i64::try_from(time).unwrap_or(i64::MAX))
}
