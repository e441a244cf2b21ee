//! Which accounts hold records of which collections, for `com.atproto.sync.listReposByCollection`.
//!
//! A pair is a row, written once: with the first event that creates a record there. It stays when the last record of the
//! collection goes, for the relay counts no records (see `docs/decisions/0008`), and goes with its account. An account
//! whose repository has become another one, with a `#sync` event, tells of all its collections itself.

use std::collections::BTreeSet;

use murmuration_firehose::{Touched, touched};
use murmuration_platform::{Param, Store, StoreError};

use crate::wire::Push;

/// Reads 1 row.
const SELECT: &str = "SELECT 1 FROM collection WHERE collection = ?1 AND did = ?2";
/// Writes 1 row.
const INSERT: &str = "INSERT INTO collection (collection, did) VALUES (?1, ?2)";
/// Reads as many rows as it answers.
const LIST: &str = "SELECT did FROM collection WHERE collection = ?1 AND did > ?2 ORDER BY did LIMIT ?3";
/// Reads a row for each of the collections, at most.
const HOLDS: &str =
    "SELECT 1 FROM collection WHERE did = ?1 AND collection IN (SELECT value FROM json_each(?2)) LIMIT 1";
/// Reads the whole table, and writes a row for each collection of the account; only when an account is deleted.
const DELETE: &str = "DELETE FROM collection WHERE did = ?1";

/// The pairs that are known to be stored, as `collection did`.
#[derive(Debug)]
pub(crate) struct Holdings {
    known: BTreeSet<String>,
    capacity: usize,
}

impl Holdings {
    /// Nothing is known yet, and never more than `capacity` pairs.
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { known: BTreeSet::new(), capacity }
    }

    /// Notes what a push says of what was written. To be called before it is stored: a pair without an event does no harm,
    /// and an event without its pair would be missed for ever.
    pub(crate) fn learn(&mut self, store: &dyn Store, push: &Push<'_>) -> Result<(), StoreError> {
        for item in &push.items {
            // A draft that cannot be read is its readers' to judge.
            if let Ok(Touched::Some(collections)) = touched(item.draft) {
                self.add(store, push.did.as_str(), collections)?;
            }
        }
        Ok(())
    }

    /// Notes that an account holds records of these collections.
    pub(crate) fn add<'c>(
        &mut self,
        store: &dyn Store,
        did: &str,
        collections: impl IntoIterator<Item = &'c str>,
    ) -> Result<(), StoreError> {
        for collection in collections {
            let pair = format!("{collection} {did}");
            if self.known.contains(&pair) {
                continue;
            }
            let params = [Param::Text(collection), Param::Text(did)];
            if store.query(SELECT, &params)?.is_empty() {
                store.query(INSERT, &params)?;
            }
            if self.known.len() >= self.capacity {
                self.known.clear();
            }
            self.known.insert(pair);
        }
        Ok(())
    }

    /// Forgets an account that was deleted.
    pub(crate) fn remove(&mut self, store: &dyn Store, did: &str) -> Result<(), StoreError> {
        store.query(DELETE, &[Param::Text(did)])?;
        self.known.retain(|pair| pair.split_once(' ').is_none_or(|(_, known)| known != did));
        Ok(())
    }
}

/// Whether an account holds, or has held, records of one of these collections.
pub(crate) fn holds_any(store: &dyn Store, did: &str, collections: &[&str]) -> Result<bool, StoreError> {
    // NSIDs have nothing that JSON escapes.
    let list = format!("[\"{}\"]", collections.join("\",\""));
    Ok(!store.query(HOLDS, &[Param::Text(did), Param::Text(&list)])?.is_empty())
}

/// The accounts that hold records of a collection, by DID, behind `after`.
pub(crate) fn list(
    store: &dyn Store,
    collection: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let params = [Param::Text(collection), Param::Text(after), Param::Int(i64::from(limit))];
    store.query(LIST, &params)?.into_iter().map(|mut row| row.text(0)).collect()
}
