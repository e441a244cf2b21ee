//! The versions of tables: a version is a script, and the storage knows how many it has run.

use crate::{Param, Store, StoreError, run_script, transaction};

/// Reads 1 row.
const SELECT_VERSION: &str = "SELECT version FROM schema WHERE id = 1";
/// Writes 1 row.
const UPSERT_VERSION: &str = "INSERT INTO schema (id, version) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET version = excluded.version";

/// Brings tables up to date whose version stands in a table `schema`, which the first script makes: one row read when they are.
///
/// # Errors
/// As [`upgrade`].
pub fn migrate(store: &dyn Store, scripts: &[&str]) -> Result<(), StoreError> {
    let version = match store.query(SELECT_VERSION, &[]) {
        Ok(mut rows) => rows.pop().map_or(Ok(0), |mut row| row.int(0))?,
        Err(StoreError::Engine(text)) if text.contains("no such table") => 0,
        Err(error) => return Err(error),
    };
    upgrade(store, scripts, version, UPSERT_VERSION)
}

/// Runs the scripts that tables of `version` lack, and has the statement `note` write down as `?1` how many there are: all of it or
/// nothing, and nothing where none is missing.
///
/// # Errors
/// [`StoreError::Corrupt`] of a version that is newer than the scripts; otherwise the store's.
pub fn upgrade(store: &dyn Store, scripts: &[&str], version: i64, note: &str) -> Result<(), StoreError> {
    let missing = usize::try_from(version).ok().and_then(|done| scripts.get(done..)).ok_or_else(|| {
        StoreError::Corrupt(format!("the tables are of version {version}, newer than this code"))
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    transaction(store, || {
        missing.iter().try_for_each(|script| run_script(store, script))?;
        let newest = i64::try_from(scripts.len()).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        store.query(note, &[Param::Int(newest)]).map(drop)
    })
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteStore;

    const FIRST: &str = "CREATE TABLE schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT;";
    const SECOND: &str = "CREATE TABLE a (n INTEGER) STRICT; INSERT INTO a VALUES (1);";

    fn count(store: &dyn Store) -> i64 {
        store.query("SELECT count(*) FROM a", &[]).unwrap()[0].int(0).unwrap()
    }

    #[test]
    fn what_is_missing_is_run_once_and_whole() {
        let store = SqliteStore::open().unwrap();
        migrate(&store, &[FIRST]).unwrap();
        assert!(migrate(&store, &[FIRST, SECOND, "CREATE TABLE a (n INTEGER) STRICT;"]).is_err());
        migrate(&store, &[FIRST, SECOND]).unwrap();
        migrate(&store, &[FIRST, SECOND]).unwrap();
        assert_eq!(count(&store), 1);
        let before = store.counts();
        migrate(&store, &[FIRST, SECOND]).unwrap();
        assert_eq!((store.counts().written, store.counts().read - before.read), (before.written, 1));
    }

    #[test]
    fn tables_that_are_newer_than_the_code_are_left_alone() {
        let store = SqliteStore::open().unwrap();
        migrate(&store, &[FIRST, SECOND]).unwrap();
        assert!(matches!(migrate(&store, &[FIRST]), Err(StoreError::Corrupt(_))));
        assert_eq!(count(&store), 1);
    }
}
