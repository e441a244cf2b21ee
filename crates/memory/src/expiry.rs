//! The end of what ends by itself: memories and entries of the working state with an `expiresAt`.
//!
//! From that moment on they are not found any more; the object's alarm then destroys their keys and deletes them.

use murmuration_platform::{Param, StoreError};

use crate::list::path_of;
use crate::operation::int;
use crate::row::uint;
use crate::space::{SKEY, SPACE_TYPE};
use crate::{Keeper, Memories, MemoryError};

/// Reads 2 entries of indexes.
const NEXT: &str = "SELECT min(at) FROM (SELECT min(expires_at) AS at FROM memory WHERE expires_at IS NOT NULL \
     UNION ALL SELECT min(expires_at) FROM memory_state WHERE expires_at IS NOT NULL)";
/// Reads the rows that it answers with.
const OVER: &str = "SELECT collection, rkey FROM memory \
     WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND space_type = ?2 AND skey = ?3 ORDER BY expires_at LIMIT ?4 + 0";

impl Memories {
    /// When the next of them ends, in microseconds since the Unix epoch. Writes nothing, and reads once.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_expiry(&self) -> Result<Option<u64>, MemoryError> {
        if let Some(known) = self.next_expiry.get() {
            return Ok(known);
        }
        let row = self.store.query(NEXT, &[])?.pop();
        let next = row.map(|mut row| row.opt_int(0)).transpose()?.flatten().map(uint);
        self.next_expiry.set(Some(next));
        Ok(next)
    }

    /// Deletes at most `limit` of each kind whose time is over. Writes 4 rows for each memory, 1 for each page of the index that changes, and 1
    /// for the space; for each entry of the working state what its deletion writes.
    ///
    /// # Errors
    /// When one of them does not open. Nothing of the run holds then.
    pub fn drop_expired(&self, keeper: Keeper<'_>, limit: u32) -> Result<(), MemoryError> {
        self.change(keeper, |loaded| {
            let params =
                [int(keeper.now), Param::Text(SPACE_TYPE), Param::Text(SKEY), Param::Int(limit.into())];
            for mut row in self.store.query(OVER, &params)? {
                let path = path_of(&row.text(0)?, &row.text(1)?)?;
                let columns = self.row(&path)?.ok_or_else(|| StoreError::Corrupt("a row is gone".into()))?;
                self.take_away(loaded, keeper, &path, columns)?;
            }
            self.settle(loaded, keeper)?;
            self.drop_states(keeper.now, limit)?;
            self.next_expiry.set(None);
            Ok(())
        })
    }

    /// Notes that something is stored that ends at `at`.
    pub(crate) fn expects(&self, at: Option<u64>) {
        if let (Some(known), Some(at)) = (self.next_expiry.get(), at) {
            self.next_expiry.set(Some(Some(known.map_or(at, |known| known.min(at)))));
        }
    }
}
