//! The tables, and their versions. A version is a file of `migrations/index/`.

use murmuration_data::parse_cid;
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_recall::{Entry, Slot};
use murmuration_syntax::{Did, RepoPath, Tid};

use crate::IndexError;
use crate::index::Name;
use crate::label::Label;
use crate::outer::Flight;

/// Every version, oldest first.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../../migrations/index/0001_document.sql"),
    include_str!("../../../migrations/index/0002_outer.sql"),
];

/// Reads 1 row.
const SELECT_PLACE: &str = "SELECT cursor FROM place WHERE id = 1";
/// Writes 1 row.
const UPSERT_PLACE: &str =
    "INSERT INTO place (id, cursor) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET cursor = excluded.cursor";
/// Reads as many rows as it answers.
const SELECT_DOCUMENTS: &str = "SELECT slot, did, path, rev, made, valid_from, valid_to, expires, tags, model, entry \
     FROM document WHERE slot > ?1 ORDER BY slot LIMIT ?2";
/// Reads 1 row.
const SELECT_RECORD: &str = "SELECT cid, record FROM document WHERE slot = ?1";
/// Writes 1 row.
const UPSERT_DOCUMENT: &str = "INSERT INTO document \
     (slot, did, path, cid, rev, made, valid_from, valid_to, expires, tags, model, entry, record) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (slot) DO UPDATE SET \
     cid = excluded.cid, rev = excluded.rev, made = excluded.made, valid_from = excluded.valid_from, \
     valid_to = excluded.valid_to, expires = excluded.expires, tags = excluded.tags, model = excluded.model, \
     entry = excluded.entry, record = excluded.record";
/// Writes 1 row.
const UPDATE_ENTRY: &str = "UPDATE document SET model = ?2, entry = ?3 WHERE slot = ?1";
/// Writes 1 row.
const DELETE_DOCUMENT: &str = "DELETE FROM document WHERE slot = ?1";
/// Reads as many rows as it answers.
const SELECT_ACCOUNTS: &str = "SELECT did, handle, inactive FROM account";
/// Writes 1 row.
const UPSERT_ACCOUNT: &str = "INSERT INTO account (did, handle, inactive) VALUES (?1, ?2, ?3) \
     ON CONFLICT (did) DO UPDATE SET handle = excluded.handle, inactive = excluded.inactive";
/// Writes 1 row.
const DELETE_ACCOUNT: &str = "DELETE FROM account WHERE did = ?1";
/// Reads as many rows as it answers.
const SELECT_MODELS: &str = "SELECT number, name FROM model ORDER BY number";
/// Writes 1 row.
const INSERT_MODEL: &str = "INSERT INTO model (number, name) VALUES (?1, ?2)";
/// Reads as many rows as it answers.
const SELECT_HIDDEN: &str = "SELECT uri FROM hidden";
/// Writes 1 row; 0 when it is there.
const INSERT_HIDDEN: &str = "INSERT INTO hidden (uri) VALUES (?1) ON CONFLICT DO NOTHING";
/// Writes 1 row; 0 when there is none.
const DELETE_HIDDEN: &str = "DELETE FROM hidden WHERE uri = ?1";

/// Reads 1 row.
const SELECT_OUTER: &str = "SELECT name FROM outer_index WHERE id = 1";
/// Writes 1 row.
const UPSERT_OUTER: &str =
    "INSERT INTO outer_index (id, name) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET name = excluded.name";
/// Writes 1 row.
const DELETE_OUTER: &str = "DELETE FROM outer_index";
/// Reads as many rows as it answers.
const SELECT_OUTBOX: &str = "SELECT name FROM outbox";
/// Writes 1 row; 0 when it is there.
const INSERT_OUTBOX: &str = "INSERT INTO outbox (name) VALUES (?1) ON CONFLICT DO NOTHING";
/// Writes 1 row.
const DELETE_OUTBOX: &str = "DELETE FROM outbox WHERE name = ?1";
/// Writes a row for each.
const CLEAR_OUTBOX: &str = "DELETE FROM outbox";
/// Reads as many rows as it answers.
const SELECT_FLIGHTS: &str = "SELECT number, mutation, sent_ms, names FROM flight ORDER BY number";
/// Writes 1 row.
const INSERT_FLIGHT: &str = "INSERT INTO flight (number, mutation, sent_ms, names) VALUES (?1, ?2, ?3, ?4)";
/// Writes 1 row.
const DELETE_FLIGHT: &str = "DELETE FROM flight WHERE number = ?1";
/// Writes a row for each.
const CLEAR_FLIGHTS: &str = "DELETE FROM flight";

/// Rows that are read at once when an object wakes.
const BATCH_ROWS: i64 = 1_000;

/// Brings the tables up to date: one row read when they are.
pub(crate) fn migrate(store: &dyn Store) -> Result<(), StoreError> {
    murmuration_platform::migrate(store, &MIGRATIONS)
}

/// How far the log was read.
pub(crate) fn place(store: &dyn Store) -> Result<u64, StoreError> {
    let row = store.query(SELECT_PLACE, &[])?.pop();
    row.map_or(Ok(0), |mut row| natural(&mut row, 0))
}

pub(crate) fn set_place(store: &dyn Store, cursor: u64) -> Result<(), StoreError> {
    store.query(UPSERT_PLACE, &[int(cursor)?]).map(drop)
}

/// Every document, a batch at a time.
pub(crate) fn each_document(
    store: &dyn Store,
    mut take: impl FnMut(Label, Entry) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut after = -1;
    loop {
        let rows = store.query(SELECT_DOCUMENTS, &[Param::Int(after), Param::Int(BATCH_ROWS)])?;
        if rows.is_empty() {
            return Ok(());
        }
        for mut row in rows {
            after = row.int(0)?;
            let mut moment = |index| row.opt_int(index).map(|at| at.and_then(|at| u64::try_from(at).ok()));
            let (valid, expires) = ((moment(5)?, moment(6)?), moment(7)?);
            let label = Label {
                did: parsed(&mut row, 1, Did::parse)?,
                path: parsed(&mut row, 2, RepoPath::parse)?,
                rev: parsed(&mut row, 3, Tid::parse)?,
                made: natural(&mut row, 4)?,
                valid,
                expires,
                tags: row.blob(8)?.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect(),
                model: u16::try_from(row.int(9)?).map_err(|_| corrupt("a model"))?,
            };
            take(label, Entry::from_bytes(&row.blob(10)?)?)?;
        }
    }
}

/// The CID and the JSON of a document's record.
pub(crate) fn record(
    store: &dyn Store,
    slot: Slot,
) -> Result<Option<(murmuration_data::Cid, String)>, StoreError> {
    let Some(mut row) = store.query(SELECT_RECORD, &[Param::Int(slot.into())])?.pop() else {
        return Ok(None);
    };
    Ok(Some((parsed(&mut row, 0, parse_cid)?, row.text(1)?)))
}

/// Writes a document: 1 row.
pub(crate) fn put_document(
    store: &dyn Store,
    label: &Label,
    entry: &Entry,
    (cid, record): (&murmuration_data::Cid, &str),
) -> Result<(), StoreError> {
    let tags: Vec<u8> = label.tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
    let optional = |moment: Option<u64>| moment.map_or(Ok(Param::Null), int);
    let params = [
        Param::Int(entry.slot.into()),
        Param::Text(label.did.as_str()),
        Param::Text(&label.path.to_string()),
        Param::Text(&cid.to_string()),
        Param::Text(&label.rev.to_string()),
        int(label.made)?,
        optional(label.valid.0)?,
        optional(label.valid.1)?,
        optional(label.expires)?,
        Param::Blob(&tags),
        Param::Int(label.model.into()),
        Param::Blob(&entry.to_bytes()),
        Param::Text(record),
    ];
    store.query(UPSERT_DOCUMENT, &params).map(drop)
}

/// Writes what is searched of a document: 1 row.
pub(crate) fn put_entry(store: &dyn Store, model: u16, entry: &Entry) -> Result<(), StoreError> {
    let params = [Param::Int(entry.slot.into()), Param::Int(model.into()), Param::Blob(&entry.to_bytes())];
    store.query(UPDATE_ENTRY, &params).map(drop)
}

pub(crate) fn delete_document(store: &dyn Store, slot: Slot) -> Result<(), StoreError> {
    store.query(DELETE_DOCUMENT, &[Param::Int(slot.into())]).map(drop)
}

/// The accounts of which something is noted: DID, handle, whether it is not served.
pub(crate) fn accounts(store: &dyn Store) -> Result<Vec<(String, Option<String>, bool)>, StoreError> {
    let read = |mut row: Row| Ok((row.text(0)?, row.opt_text(1)?, row.int(2)? != 0));
    store.query(SELECT_ACCOUNTS, &[])?.into_iter().map(read).collect()
}

/// Notes something of an account, or that there is nothing to note: 1 row.
pub(crate) fn put_account(
    store: &dyn Store,
    did: &str,
    handle: Option<&str>,
    inactive: bool,
) -> Result<(), StoreError> {
    if handle.is_none() && !inactive {
        return store.query(DELETE_ACCOUNT, &[Param::Text(did)]).map(drop);
    }
    let handle = handle.map_or(Param::Null, Param::Text);
    store.query(UPSERT_ACCOUNT, &[Param::Text(did), handle, Param::Int(inactive.into())]).map(drop)
}

/// The embedders' names, by their numbers from 1 on.
pub(crate) fn models(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    store.query(SELECT_MODELS, &[])?.into_iter().map(|mut row| row.text(1)).collect()
}

pub(crate) fn add_model(store: &dyn Store, number: u16, name: &str) -> Result<(), StoreError> {
    store.query(INSERT_MODEL, &[Param::Int(number.into()), Param::Text(name)]).map(drop)
}

pub(crate) fn hidden(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    store.query(SELECT_HIDDEN, &[])?.into_iter().map(|mut row| row.text(0)).collect()
}

/// Notes that a record is taken down, or is not any more: 1 row.
pub(crate) fn set_hidden(store: &dyn Store, uri: &str, hidden: bool) -> Result<(), StoreError> {
    store.query(if hidden { INSERT_HIDDEN } else { DELETE_HIDDEN }, &[Param::Text(uri)]).map(drop)
}

/// Which outer index is told of the documents.
pub(crate) fn outer_name(store: &dyn Store) -> Result<Option<String>, StoreError> {
    store.query(SELECT_OUTER, &[])?.pop().map(|mut row| row.text(0)).transpose()
}

/// Notes that another outer index, or none, is told from now on: what was owed to the one before is void.
pub(crate) fn set_outer(store: &dyn Store, name: Option<&str>) -> Result<(), StoreError> {
    store.query(CLEAR_OUTBOX, &[])?;
    store.query(CLEAR_FLIGHTS, &[])?;
    match name {
        Some(name) => store.query(UPSERT_OUTER, &[Param::Text(name)]).map(drop),
        None => store.query(DELETE_OUTER, &[]).map(drop),
    }
}

pub(crate) fn outbox(store: &dyn Store) -> Result<Vec<Name>, StoreError> {
    let read = |mut row: Row| row.blob(0)?.try_into().map_err(|_| corrupt("a hash"));
    store.query(SELECT_OUTBOX, &[])?.into_iter().map(read).collect()
}

pub(crate) fn owe(store: &dyn Store, name: &Name) -> Result<(), StoreError> {
    store.query(INSERT_OUTBOX, &[Param::Blob(name)]).map(drop)
}

pub(crate) fn pay(store: &dyn Store, name: &Name) -> Result<(), IndexError> {
    Ok(store.query(DELETE_OUTBOX, &[Param::Blob(name)]).map(drop)?)
}

pub(crate) fn flights(store: &dyn Store) -> Result<Vec<Flight>, StoreError> {
    let read = |mut row: Row| {
        let (number, mutation, sent_ms) = (natural(&mut row, 0)?, row.text(1)?, natural(&mut row, 2)?);
        Ok(Flight { number, mutation, sent_ms, names: row.blob(3)?.as_chunks().0.to_vec() })
    };
    store.query(SELECT_FLIGHTS, &[])?.into_iter().map(read).collect()
}

pub(crate) fn add_flight(store: &dyn Store, flight: &Flight) -> Result<(), StoreError> {
    let names = flight.names.concat();
    let params =
        [int(flight.number)?, Param::Text(&flight.mutation), int(flight.sent_ms)?, Param::Blob(&names)];
    store.query(INSERT_FLIGHT, &params).map(drop)
}

pub(crate) fn end_flight(store: &dyn Store, number: u64) -> Result<(), StoreError> {
    store.query(DELETE_FLIGHT, &[int(number)?]).map(drop)
}

fn parsed<T, E>(
    row: &mut Row,
    index: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, StoreError> {
    parse(&row.text(index)?).map_err(|_| corrupt("a name"))
}

fn natural(row: &mut Row, index: usize) -> Result<u64, StoreError> {
    u64::try_from(row.int(index)?).map_err(|_| corrupt("a number"))
}

fn int(number: u64) -> Result<Param<'static>, StoreError> {
    i64::try_from(number).map(Param::Int).map_err(|_| corrupt("a number"))
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} of the index is none"))
}
