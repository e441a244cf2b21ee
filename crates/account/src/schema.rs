//! The tables, and their versions.
//!
//! A version is a file of `migrations/agent/`. The version that an object's storage has stands in its account row, so
//! that waking costs no row for it. An object without an account has no tables at all.

use murmuration_platform::{Row, Store, StoreError, run_script, upgrade};

/// The version that this code reads and writes: the last there is.
// INVARIANT: there are fewer files than an i64 counts.
#[allow(clippy::as_conversions)]
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Every version, oldest first.
const MIGRATIONS: [&str; 20] = [
    include_str!("../../../migrations/agent/0001_account.sql"),
    include_str!("../../../migrations/agent/0002_whole_account.sql"),
    include_str!("../../../migrations/agent/0003_document.sql"),
    include_str!("../../../migrations/agent/0004_digest.sql"),
    include_str!("../../../migrations/agent/0005_key_epoch.sql"),
    include_str!("../../../migrations/agent/0006_comms.sql"),
    include_str!("../../../migrations/agent/0007_kept_key.sql"),
    include_str!("../../../migrations/agent/0008_peer.sql"),
    include_str!("../../../migrations/agent/0009_named_epoch.sql"),
    include_str!("../../../migrations/agent/0010_dropped.sql"),
    include_str!("../../../migrations/agent/0011_late_receipt.sql"),
    include_str!("../../../migrations/agent/0012_handed_key.sql"),
    include_str!("../../../migrations/agent/0013_memory.sql"),
    include_str!("../../../migrations/agent/0014_share.sql"),
    include_str!("../../../migrations/agent/0015_upkeep.sql"),
    include_str!("../../../migrations/agent/0016_thread.sql"),
    include_str!("../../../migrations/agent/0017_held_thread.sql"),
    include_str!("../../../migrations/agent/0018_embedding.sql"),
    include_str!("../../../migrations/agent/0019_apart.sql"),
    include_str!("../../../migrations/agent/0022_behind_floor.sql"),
];

/// Reads 1 row.
const SELECT_VERSION: &str = "SELECT schema FROM account WHERE id = 1";
/// Writes 1 row.
const SET_VERSION: &str = "UPDATE account SET schema = ?1 WHERE id = 1";

/// Makes the tables of a new account, at the newest version.
pub(crate) fn create(store: &dyn Store) -> Result<(), StoreError> {
    MIGRATIONS.iter().try_for_each(|script| run_script(store, script))
}

/// Reads the account's row by `select`, whose first column is the version, after bringing the tables up to date.
/// `None` if the object holds no account.
pub(crate) fn open(store: &dyn Store, select: &str) -> Result<Option<Row>, StoreError> {
    let read = |sql| match store.query(sql, &[]) {
        Ok(mut rows) => Ok(rows.pop()),
        Err(StoreError::Engine(text)) if text.contains("no such table") => Ok(None),
        Err(error) => Err(error),
    };
    let row = match read(select) {
        // Older tables do not have all that is asked for, but they have a version.
        Err(StoreError::Engine(text)) if text.contains("no such column") => read(SELECT_VERSION)?,
        other => other?,
    };
    let Some(mut row) = row else { return Ok(None) };
    let version = row.int(0)?;
    if version == VERSION {
        return Ok(Some(row));
    }
    upgrade(store, &MIGRATIONS, version, SET_VERSION)?;
    read(select)
}
