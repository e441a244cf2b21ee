//! The records' table: values by path.

use murmuration_data::{Cid, DAG_CBOR, cid_of_cbor, cid_of_digest};
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::{Nsid, RecordKey, RepoPath, Rev};

use crate::AccountError;
use crate::packed::{Packed, select_packed};

/// Reads 1 row.
const SELECT: &str = "SELECT rev, digest, value FROM record WHERE path = ?1";
/// Reads 1 row.
const SELECT_SHOWN: &str = "SELECT rev, digest, value FROM record WHERE path = ?1 AND takedown IS NULL";
/// Reads 1 row.
const SELECT_TAKEDOWN: &str = "SELECT rev, digest, value, takedown FROM record WHERE path = ?1";
/// Writes 1 row; 0 when there is no such record.
const SET_TAKEDOWN: &str = "UPDATE record SET takedown = ?2 WHERE path = ?1 RETURNING path";
/// Writes 1 row. A record that is taken down stays so when it is changed.
const UPSERT: &str = "INSERT INTO record (path, rev, digest, value) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (path) DO UPDATE SET rev = excluded.rev, digest = excluded.digest, value = excluded.value";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM record WHERE path = ?1";
/// Reads as many rows as it answers, one more, and those between them that are taken down.
const LIST_DOWN: &str =
    select_packed!("path > ?1 AND path < ?2 AND takedown IS NULL ORDER BY path DESC LIMIT ?3 + 0");
/// Reads as many rows as it answers, one more, and those between them that are taken down.
const LIST_UP: &str =
    select_packed!("path > ?1 AND path < ?2 AND takedown IS NULL ORDER BY path LIMIT ?3 + 0");
/// Reads 1 row: the first record behind a collection.
const NEXT_COLLECTION: &str = "SELECT path FROM record WHERE path > ?1 ORDER BY path LIMIT 1";
/// Reads as many rows as it answers.
const SCAN: &str = select_packed!("path >= ?1 ORDER BY path LIMIT ?2 + 0");

/// Collections that [`collections`] names at the most; one row read each.
pub const MAX_COLLECTIONS: usize = 1000;

/// A record as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Collection and record key.
    pub path: RepoPath,
    /// The hash of the value.
    pub cid: Cid,
    /// The value, in DAG-CBOR.
    pub value: Vec<u8>,
}

/// A record with the commit that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) rev: Rev,
    pub(crate) cid: Cid,
    pub(crate) value: Vec<u8>,
}

/// A page of a collection.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// The collection.
    pub collection: &'a Nsid,
    /// Records at the most.
    pub limit: u32,
    /// The record key that the last page ended with; this page begins behind it.
    pub after: Option<&'a RecordKey>,
    /// From the lowest key up; the default is from the highest down.
    pub ascending: bool,
}

pub(crate) fn one(store: &dyn Store, path: &str) -> Result<Option<Stored>, StoreError> {
    store.query(SELECT, &[Param::Text(path)])?.pop().map(|mut row| stored(&mut row, 0)).transpose()
}

/// The same, unless it is taken down.
pub(crate) fn shown(store: &dyn Store, path: &str) -> Result<Option<Stored>, StoreError> {
    store.query(SELECT_SHOWN, &[Param::Text(path)])?.pop().map(|mut row| stored(&mut row, 0)).transpose()
}

/// The CID of a record, and under which reference it is taken down.
pub(crate) fn takedown(store: &dyn Store, path: &str) -> Result<Option<(Cid, Option<String>)>, StoreError> {
    let row = store.query(SELECT_TAKEDOWN, &[Param::Text(path)])?.pop();
    row.map(|mut row| Ok((stored(&mut row, 0)?.cid, row.opt_text(3)?))).transpose()
}

/// Takes a record down under a reference, or lifts that. `false` when there is no such record.
pub(crate) fn set_takedown(
    store: &dyn Store,
    path: &str,
    reference: Option<&str>,
) -> Result<bool, StoreError> {
    let reference = reference.map_or(Param::Null, Param::Text);
    Ok(!store.query(SET_TAKEDOWN, &[Param::Text(path), reference])?.is_empty())
}

pub(crate) fn put(
    store: &dyn Store,
    path: &str,
    rev: Rev,
    cid: &Cid,
    value: &[u8],
) -> Result<(), StoreError> {
    let rev = rev.to_string();
    let digest = Param::Blob(cid.hash().digest());
    store.query(UPSERT, &[Param::Text(path), Param::Text(&rev), digest, Param::Blob(value)]).map(drop)
}

pub(crate) fn delete(store: &dyn Store, path: &str) -> Result<(), StoreError> {
    store.query(DELETE, &[Param::Text(path)]).map(drop)
}

/// The records of a page, to be taken one by one.
#[derive(Debug)]
pub struct Page {
    packed: Packed,
    /// What stands before the record key in a path.
    prefix: String,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct PageRecord<'a> {
    /// The record key.
    pub rkey: &'a str,
    /// The hash of the value.
    pub cid: Cid,
    /// The value, in DAG-CBOR.
    pub value: &'a [u8],
}

impl Page {
    /// Takes the next record; `None` at the end.
    ///
    /// # Errors
    /// When the storage holds what is none.
    pub fn take(&mut self) -> Result<Option<PageRecord<'_>>, AccountError> {
        let Some(record) = self.packed.take()? else { return Ok(None) };
        let rkey = record.path.strip_prefix(&self.prefix);
        let rkey = rkey.ok_or_else(|| StoreError::Corrupt("a path is none".to_owned()))?;
        Ok(Some(PageRecord { rkey, cid: record.cid(), value: record.value }))
    }

    /// About how many bytes its records have together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.packed.size()
    }
}

/// A page of a collection, in one statement unless its records are too much for one value: then it asks again, for a page that
/// is shorter than its limit.
pub(crate) fn list(store: &dyn Store, page: &Listing<'_>) -> Result<Page, StoreError> {
    // A path is `collection/rkey`, and '0' is the character behind '/'.
    let prefix = format!("{}/", page.collection);
    let end = format!("{}0", page.collection);
    let after = page.after.map(|rkey| format!("{prefix}{rkey}"));
    let (sql, low, high) = match (page.ascending, &after) {
        (true, after) => (LIST_UP, after.as_ref().unwrap_or(&prefix), &end),
        (false, after) => (LIST_DOWN, &prefix, after.as_ref().unwrap_or(&end)),
    };
    let packed = Packed::read(store, sql, &[low, high], page.limit)?;
    Ok(Page { packed, prefix })
}

/// The collections that hold at least one record, in order. Reads a row for each.
pub(crate) fn collections(store: &dyn Store) -> Result<Vec<Nsid>, StoreError> {
    let mut found = Vec::new();
    let mut behind = String::new();
    while found.len() < MAX_COLLECTIONS {
        let Some(mut row) = store.query(NEXT_COLLECTION, &[Param::Text(&behind)])?.pop() else { break };
        let collection = path(&mut row)?.collection;
        behind = format!("{collection}0");
        found.push(collection);
    }
    Ok(found)
}

/// Records from `from` on, in the order of the tree's keys: `limit` of them, or fewer where they are large.
pub(crate) fn scan(store: &dyn Store, from: &str, limit: u32) -> Result<Packed, StoreError> {
    Packed::read(store, SCAN, &[from], limit)
}

/// A record out of three columns of a row: `rev`, `digest` and `value`.
pub(crate) fn stored(row: &mut Row, first: usize) -> Result<Stored, StoreError> {
    let rev = Rev::parse(&row.text(first)?).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let (digest, value) = (row.opt_blob(first + 1)?.unwrap_or_default(), row.blob(first + 2)?);
    Ok(Stored { rev, cid: cid(&digest, &value), value })
}

/// The CID of a record: by its stored digest, or by its value, if it was stored before digests were.
pub(crate) fn cid(digest: &[u8], value: &[u8]) -> Cid {
    match digest.try_into() {
        Ok(digest) => cid_of_digest(DAG_CBOR, digest),
        Err(_) => cid_of_cbor(value),
    }
}

pub(crate) fn path(row: &mut Row) -> Result<RepoPath, StoreError> {
    RepoPath::parse(&row.text(0)?).map_err(|error| StoreError::Corrupt(error.to_string()))
}
