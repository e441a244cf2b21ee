//! The tables that every relay has, and their versions.
//!
//! A version is a file of `migrations/relay/`. The partitions of the log are made as they are needed
//! ([`crate::partition`]).

use murmuration_platform::{Store, StoreError};

/// Every version, oldest first.
const MIGRATIONS: [&str; 6] = [
    include_str!("../../../migrations/relay/0001_log.sql"),
    include_str!("../../../migrations/relay/0002_collection.sql"),
    include_str!("../../../migrations/relay/0003_webhook.sql"),
    include_str!("../../../migrations/relay/0004_resting.sql"),
    include_str!("../../../migrations/relay/0005_peer.sql"),
    include_str!("../../../migrations/relay/0006_forget.sql"),
];

/// Brings the tables up to date: one row read when they are.
pub(crate) fn migrate(store: &dyn Store) -> Result<(), StoreError> {
    murmuration_platform::migrate(store, &MIGRATIONS)
}
