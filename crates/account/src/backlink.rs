//! Likes, reposts, follows and blocks by subject.
//!
//! An account has one of each for a subject: a second replaces the first, because an AppView would count it twice.
//! Only records of these four collections cost a row here.

use murmuration_data::Ipld;
use murmuration_platform::{Param, Store, StoreError};
use murmuration_syntax::{Nsid, RepoPath};

/// Reads as many rows as there are.
const SELECT: &str = "SELECT path FROM backlink WHERE collection = ?1 AND subject = ?2";
/// Writes 1 row.
const INSERT: &str = "INSERT INTO backlink (collection, subject, path) VALUES (?1, ?2, ?3) \
     ON CONFLICT (collection, subject, path) DO NOTHING";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM backlink WHERE collection = ?1 AND subject = ?2 AND path = ?3";

/// The subject of a record, if the collection is one that holds a subject once.
#[must_use]
pub fn subject<'a>(collection: &Nsid, record: &'a Ipld) -> Option<&'a str> {
    let subject = field(record, "subject")?;
    let text = match collection.as_str() {
        "app.bsky.graph.follow" | "app.bsky.graph.block" => subject,
        "app.bsky.feed.like" | "app.bsky.feed.repost" => field(subject, "uri")?,
        _ => return None,
    };
    match text {
        Ipld::String(text) => Some(text),
        _ => None,
    }
}

/// The records of this subject.
pub(crate) fn of(store: &dyn Store, collection: &Nsid, subject: &str) -> Result<Vec<RepoPath>, StoreError> {
    let rows = store.query(SELECT, &[Param::Text(collection.as_str()), Param::Text(subject)])?;
    rows.into_iter()
        .map(|mut row| RepoPath::parse(&row.text(0)?).map_err(|error| StoreError::Corrupt(error.to_string())))
        .collect()
}

pub(crate) fn add(
    store: &dyn Store,
    collection: &Nsid,
    subject: Option<&str>,
    path: &str,
) -> Result<(), StoreError> {
    let Some(subject) = subject else { return Ok(()) };
    store
        .query(INSERT, &[Param::Text(collection.as_str()), Param::Text(subject), Param::Text(path)])
        .map(drop)
}

pub(crate) fn remove(
    store: &dyn Store,
    collection: &Nsid,
    record: &Ipld,
    path: &str,
) -> Result<(), StoreError> {
    let Some(subject) = subject(collection, record) else { return Ok(()) };
    store
        .query(DELETE, &[Param::Text(collection.as_str()), Param::Text(subject), Param::Text(path)])
        .map(drop)
}

fn field<'a>(record: &'a Ipld, name: &str) -> Option<&'a Ipld> {
    match record {
        Ipld::Map(fields) => fields.get(name),
        _ => None,
    }
}
