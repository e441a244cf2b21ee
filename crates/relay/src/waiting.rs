//! Answers that wait for an event. Each is let go by the first that it wants, or gives up by itself.

use std::collections::BTreeMap;

use crate::feed::SubscriberId;
use crate::filter::{Filter, Sight};
use crate::index::Index;
use crate::limits::{MAX_WAITING, MAX_WANTED_NAMES};

/// The answers that wait, by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    index: Index,
    /// When each gives up, milliseconds.
    until: BTreeMap<SubscriberId, u64>,
}

impl Waiting {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Has an answer wait, if there is room. Forgets those that have given up and not said so: whoever asked has gone, and
    /// the platform with it what was waiting.
    pub(crate) fn add(&mut self, id: SubscriberId, filter: Filter, until_ms: u64, now_ms: u64) -> bool {
        let over = |(id, until): (&SubscriberId, &u64)| (*until < now_ms).then_some(*id);
        let over: Vec<_> = self.until.iter().filter_map(over).collect();
        over.into_iter().for_each(|id| self.remove(id));
        let room = self.index.len() < MAX_WAITING && self.index.names() + filter.names() <= MAX_WANTED_NAMES;
        if room {
            self.index.set(id, filter);
            self.until.insert(id, until_ms);
        }
        room
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, id: SubscriberId) {
        self.index.remove(id);
        self.until.remove(&id);
    }

    /// Takes those that have waited for this.
    pub(crate) fn take(&mut self, sight: &Sight) -> Vec<SubscriberId> {
        let taken = self.index.takers(sight);
        taken.iter().for_each(|id| self.remove(*id));
        taken
    }
}
