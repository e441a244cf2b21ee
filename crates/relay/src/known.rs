//! What the relay remembers of each account: the last `ord` in the log.
//!
//! Deduplication needs no row of its own. The memory is complete for the events from `complete_from` on; it is empty
//! when the object wakes, and grows backwards through the log only as far as a repeated push asks. A first attempt by
//! an agent that is still running cannot be in the log, so it is believed without a search.

use std::collections::BTreeMap;

use murmuration_platform::{Store, StoreError};

use crate::partition::Partition;

/// Last `ord` by DID, for a tail of the log.
#[derive(Debug)]
pub(crate) struct Known {
    ords: BTreeMap<String, u64>,
    /// Every account with events at or after this number is in `ords`.
    complete_from: u64,
    capacity: usize,
}

impl Known {
    /// An empty memory of a log whose next event will be `next`.
    pub(crate) fn new(next: u64, capacity: usize) -> Self {
        Self { ords: BTreeMap::new(), complete_from: next, capacity }
    }

    /// The last `ord` of an account as far as memory goes.
    pub(crate) fn recall(&self, did: &str) -> Option<u64> {
        self.ords.get(did).copied()
    }

    /// The last `ord` of an account among the events from `lower` on. Reads those rows of the log that memory does not
    /// cover yet, once for all accounts.
    pub(crate) fn search(
        &mut self,
        store: &dyn Store,
        partitions: &[Partition],
        did: &str,
        lower: u64,
    ) -> Result<Option<u64>, StoreError> {
        if let Some(ord) = self.recall(did) {
            return Ok(Some(ord));
        }
        if lower >= self.complete_from {
            return Ok(None);
        }
        let mut found = BTreeMap::new();
        for partition in stretch(partitions, lower, self.complete_from) {
            let room = self.capacity.saturating_sub(self.ords.len() + found.len());
            let ords = partition.ords(store, lower, self.complete_from, room + 1)?;
            if ords.len() > room {
                return self.search_one(store, partitions, did, lower);
            }
            for (account, ord) in ords {
                let last = found.entry(account).or_insert(ord);
                *last = ord.max(*last);
            }
        }
        for (account, ord) in found {
            self.ords.entry(account).or_insert(ord);
        }
        self.complete_from = lower;
        Ok(self.recall(did))
    }

    /// Too many accounts to remember: looks for one alone.
    fn search_one(
        &self,
        store: &dyn Store,
        partitions: &[Partition],
        did: &str,
        lower: u64,
    ) -> Result<Option<u64>, StoreError> {
        let mut last = None;
        for partition in stretch(partitions, lower, self.complete_from) {
            last = last.max(partition.ord_of(store, did, lower, self.complete_from)?);
        }
        Ok(last)
    }

    /// Remembers what has just been stored; `next` is the number after it.
    pub(crate) fn learn(&mut self, did: &str, ord: u64, next: u64) {
        if let Some(last) = self.ords.get_mut(did) {
            *last = ord;
            return;
        }
        if self.ords.len() >= self.capacity {
            self.ords.clear();
            self.complete_from = next;
        }
        self.ords.insert(did.to_owned(), ord);
    }
}

/// The partitions that may hold numbers from `lower` to before `end`.
fn stretch(partitions: &[Partition], lower: u64, end: u64) -> impl Iterator<Item = &Partition> {
    let skip = partitions.iter().rposition(|partition| partition.first_seq <= lower).unwrap_or(0);
    partitions.iter().skip(skip).take_while(move |partition| partition.first_seq < end)
}
