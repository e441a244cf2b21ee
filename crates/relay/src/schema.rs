//! The tables that every relay has, and their versions.
//!
//! A version is a file of `migrations/relay/`. The partitions of the log are made as they are needed
//! ([`crate::partition`]).

use murmuration_platform::{Param, Store, StoreError, run_script, transaction};

/// Every version, oldest first.
const MIGRATIONS: [&str; 6] = [
    include_str!("../../../migrations/relay/0001_log.sql"),
    include_str!("../../../migrations/relay/0002_collection.sql"),
    include_str!("../../../migrations/relay/0003_webhook.sql"),
    include_str!("../../../migrations/relay/0004_resting.sql"),
    include_str!("../../../migrations/relay/0005_peer.sql"),
    include_str!("../../../migrations/relay/0006_forget.sql"),
];

/// Reads 1 row.
const SELECT_VERSION: &str = "SELECT version FROM schema WHERE id = 1";
/// Writes 1 row.
const UPSERT_VERSION: &str = "INSERT INTO schema (id, version) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET version = excluded.version";

/// Brings the tables up to date: one row read when they are.
pub(crate) fn migrate(store: &dyn Store) -> Result<(), StoreError> {
    let version = match store.query(SELECT_VERSION, &[]) {
        Ok(mut rows) => rows.pop().map_or(Ok(0), |mut row| row.int(0))?,
        Err(StoreError::Engine(text)) if text.contains("no such table") => 0,
        Err(error) => return Err(error),
    };
    let done = usize::try_from(version).ok().filter(|done| *done <= MIGRATIONS.len()).ok_or_else(|| {
        StoreError::Corrupt(format!("the tables are of version {version}, newer than this code"))
    })?;
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    transaction(store, || {
        MIGRATIONS.iter().skip(done).try_for_each(|script| run_script(store, script))?;
        let newest = i64::try_from(MIGRATIONS.len()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        store.query(UPSERT_VERSION, &[Param::Int(newest)]).map(drop)
    })
}
