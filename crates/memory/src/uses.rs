//! How often memories are found, and when they were last.
//!
//! A use is noted in memory and costs nothing. It is written with its page: when that is written for a change, and otherwise when so
//! many uses wait that a row for all of them is little. What waits when the object goes to sleep is lost, so a count is at least what
//! it says.

use murmuration_recall::Slot;

use crate::limits::USES_A_ROW;
use crate::{Keeper, Memories, MemoryError};

/// How a memory was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// How often searches and contexts have brought it.
    pub count: u32,
    /// When one did last, in microseconds since the Unix epoch.
    pub last: Option<u64>,
}

impl Memories {
    /// Notes that memories were found and given out. Writes 1 row for each [`USES_A_ROW`] uses, and none otherwise.
    ///
    /// # Errors
    /// The storage's.
    pub fn note_uses(
        &self,
        keeper: Keeper<'_>,
        slots: impl IntoIterator<Item = Slot>,
    ) -> Result<(), MemoryError> {
        self.look_at_index(keeper, (), |secret, shelf| {
            for slot in slots {
                shelf.note_use(slot, keeper.now);
            }
            if shelf.waiting_uses() >= USES_A_ROW {
                shelf.store_most_used(&*self.store, (secret, keeper.ring.did(), keeper.entropy))?;
            }
            Ok(())
        })
    }
}
