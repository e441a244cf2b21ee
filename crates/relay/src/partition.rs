//! One table of the log, and the catalogue of them.
//!
//! A partition covers a stretch of sequence numbers and is dropped whole when its last event is old enough. Its columns
//! stand in `migrations/relay/0001_log.sql`. A row of a peer's events has in the place of the DID the peer's name, such that no
//! DID is like it, and in the place of the account's count the peer's own number. The body comes last, so that a scan of the other columns does not touch the
//! pages that large bodies overflow into.

use murmuration_platform::{Param, Row, Store, StoreError};

use crate::log::Scope;

/// Reads a row a partition.
const SELECT_PARTITIONS: &str = "SELECT id, first_seq, first_at FROM partition ORDER BY id";
/// Writes 1 row.
const INSERT_PARTITION: &str = "INSERT INTO partition (id, first_seq, first_at) VALUES (?1, ?2, ?3)";
/// Writes 1 row.
const DELETE_PARTITION: &str = "DELETE FROM partition WHERE id = ?1";

/// An entry of the catalogue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Partition {
    /// Rises by one.
    pub(crate) id: u64,
    /// The first sequence number that it may hold.
    pub(crate) first_seq: u64,
    /// When it was made, milliseconds.
    pub(crate) first_at: u64,
}

/// The columns of a row but its DID and body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    /// Of the first event.
    pub(crate) seq: u64,
    /// Of the last event.
    pub(crate) last: u64,
    /// When it was appended, milliseconds.
    pub(crate) at: u64,
    /// Bytes of all bodies of the partition, this one included.
    pub(crate) size: u64,
}

/// Lists the catalogue, oldest first.
pub(crate) fn list(store: &dyn Store) -> Result<Vec<Partition>, StoreError> {
    let read = |mut row: Row| {
        Ok(Partition {
            id: natural(&mut row, 0)?,
            first_seq: natural(&mut row, 1)?,
            first_at: natural(&mut row, 2)?,
        })
    };
    store.query(SELECT_PARTITIONS, &[])?.into_iter().map(read).collect()
}

impl Partition {
    /// Makes the table and its entry. Writes 1 row, and what the engine counts for a table.
    pub(crate) fn create(&self, store: &dyn Store) -> Result<(), StoreError> {
        let table = format!(
            "CREATE TABLE log_{} (seq INTEGER PRIMARY KEY, last INTEGER NOT NULL, at INTEGER NOT NULL, \
             size INTEGER NOT NULL, did TEXT NOT NULL, ord INTEGER NOT NULL, body BLOB NOT NULL) STRICT",
            self.id
        );
        store.query(&table, &[])?;
        let entry =
            [Param::Int(int(self.id)?), Param::Int(int(self.first_seq)?), Param::Int(int(self.first_at)?)];
        store.query(INSERT_PARTITION, &entry).map(drop)
    }

    /// Drops the table and its entry. Writes 1 row, however many the table has.
    pub(crate) fn drop(&self, store: &dyn Store) -> Result<(), StoreError> {
        store.query(&format!("DROP TABLE log_{}", self.id), &[])?;
        store.query(DELETE_PARTITION, &[Param::Int(int(self.id)?)]).map(drop)
    }

    /// Adds a row. Writes 1 row.
    pub(crate) fn insert(
        &self,
        store: &dyn Store,
        head: Head,
        did: &str,
        ord: u64,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO log_{} (seq, last, at, size, did, ord, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            self.id
        );
        let params = [
            Param::Int(int(head.seq)?),
            Param::Int(int(head.last)?),
            Param::Int(int(head.at)?),
            Param::Int(int(head.size)?),
            Param::Text(did),
            Param::Int(int(ord)?),
            Param::Blob(body),
        ];
        store.query(&sql, &params).map(drop)
    }

    /// The last row. Reads 1 row.
    pub(crate) fn last(&self, store: &dyn Store) -> Result<Option<Head>, StoreError> {
        let sql = format!("SELECT seq, last, at, size FROM log_{} ORDER BY seq DESC LIMIT 1", self.id);
        heads(store, &sql, &[]).map(|mut heads| heads.pop())
    }

    /// The first row at or after `seq`. Reads 1 row.
    pub(crate) fn at_or_after(&self, store: &dyn Store, seq: u64) -> Result<Option<Head>, StoreError> {
        let sql =
            format!("SELECT seq, last, at, size FROM log_{} WHERE seq >= ?1 ORDER BY seq LIMIT 1", self.id);
        heads(store, &sql, &[Param::Int(int(seq)?)]).map(|mut heads| heads.pop())
    }

    /// At most `limit` rows that hold events from `seq` on; the first may begin before it. Reads a row more, and those of
    /// peers that lie between.
    pub(crate) fn from(
        &self,
        store: &dyn Store,
        seq: u64,
        limit: u32,
        scope: Scope,
    ) -> Result<Vec<Head>, StoreError> {
        let (table, own) = (self.id, only(scope));
        let sql = format!(
            "SELECT seq, last, at, size FROM log_{table} \
             WHERE seq >= COALESCE((SELECT seq FROM log_{table} WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1), 0) \
             {own} ORDER BY seq LIMIT ?2"
        );
        let mut heads = heads(store, &sql, &[Param::Int(int(seq)?), Param::Int(limit.into())])?;
        heads.retain(|head| head.last >= seq);
        Ok(heads)
    }

    /// The bodies of the rows from `first` to `last`, both their own first numbers, and whether each is of the host's own. Reads those
    /// rows.
    pub(crate) fn bodies(
        &self,
        store: &dyn Store,
        first: u64,
        last: u64,
        scope: Scope,
    ) -> Result<Vec<(u64, bool, Vec<u8>)>, StoreError> {
        let (table, own) = (self.id, only(scope));
        let sql = format!(
            "SELECT seq, did LIKE '{PEER}%', body FROM log_{table} WHERE seq BETWEEN ?1 AND ?2 {own} ORDER BY seq"
        );
        let rows = store.query(&sql, &[Param::Int(int(first)?), Param::Int(int(last)?)])?;
        rows.into_iter().map(|mut row| Ok((natural(&mut row, 0)?, row.int(1)? == 0, row.blob(2)?))).collect()
    }

    /// The highest `ord` of each account with rows from `first` to before `end`, at most `limit` accounts. Reads those
    /// rows.
    pub(crate) fn ords(
        &self,
        store: &dyn Store,
        first: u64,
        end: u64,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = format!(
            "SELECT did, MAX(ord) FROM log_{} WHERE seq >= ?1 AND seq < ?2 GROUP BY did LIMIT ?3",
            self.id
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = store.query(&sql, &[Param::Int(int(first)?), Param::Int(int(end)?), Param::Int(limit)])?;
        rows.into_iter().map(|mut row| Ok((row.text(0)?, natural(&mut row, 1)?))).collect()
    }

    /// The highest `ord` of one account in rows from `first` to before `end`. Reads those rows.
    pub(crate) fn ord_of(
        &self,
        store: &dyn Store,
        did: &str,
        first: u64,
        end: u64,
    ) -> Result<Option<u64>, StoreError> {
        let sql = format!("SELECT MAX(ord) FROM log_{} WHERE seq >= ?1 AND seq < ?2 AND did = ?3", self.id);
        let rows = store.query(&sql, &[Param::Int(int(first)?), Param::Int(int(end)?), Param::Text(did)])?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        row.opt_int(0)?.map(unsigned).transpose()
    }

    /// Deletes an account's rows that end before its event `ord` and before the row at `seq`. Writes a row a row.
    pub(crate) fn purge(&self, store: &dyn Store, did: &str, ord: u64, seq: u64) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM log_{} WHERE did = ?1 AND ord < ?2 AND seq < ?3", self.id);
        store.query(&sql, &[Param::Text(did), Param::Int(int(ord)?), Param::Int(int(seq)?)]).map(drop)
    }
}

/// What a peer's rows have in the place of a DID.
pub(crate) fn of_peer(host: &str) -> String {
    format!("{PEER}{host}")
}

/// How that begins.
const PEER: &str = "peer:";

/// What a statement asks of a row beside its place.
const fn only(scope: Scope) -> &'static str {
    match scope {
        Scope::Own => "AND did >= 'did:' AND did < 'did;'",
        Scope::All => "",
    }
}

fn heads(store: &dyn Store, sql: &str, params: &[Param<'_>]) -> Result<Vec<Head>, StoreError> {
    let read = |mut row: Row| {
        Ok(Head {
            seq: natural(&mut row, 0)?,
            last: natural(&mut row, 1)?,
            at: natural(&mut row, 2)?,
            size: natural(&mut row, 3)?,
        })
    };
    store.query(sql, params)?.into_iter().map(read).collect()
}

fn natural(row: &mut Row, index: usize) -> Result<u64, StoreError> {
    row.int(index).and_then(unsigned)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number} in the log")))
}

/// A number as the store takes it.
pub(crate) fn int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number} for the log")))
}
