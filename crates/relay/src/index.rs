//! Who wants an event: found from the event, not by asking every reader.
//!
//! A reader that wants certain accounts is found by them, and its collections are looked at then. One that wants certain
//! collections of any account is found by these. One that wants everything is always found.

use std::collections::{BTreeMap, BTreeSet};

use crate::feed::SubscriberId;
use crate::filter::{Filter, Sight};

/// The readers of events, by what they want.
#[derive(Debug, Default)]
pub(crate) struct Index {
    filters: BTreeMap<SubscriberId, Filter>,
    /// Those that want certain accounts, under each of them.
    by_did: BTreeSet<(u64, SubscriberId)>,
    /// Those that want certain collections, of any account.
    by_collection: BTreeSet<(u64, SubscriberId)>,
    /// Those that want everything.
    all: BTreeSet<SubscriberId>,
    /// Names in all filters.
    names: usize,
}

impl Index {
    /// How many readers there are.
    pub(crate) fn len(&self) -> usize {
        self.filters.len()
    }

    /// Names in all filters.
    pub(crate) const fn names(&self) -> usize {
        self.names
    }

    /// What a reader wants; `None` if it is none.
    pub(crate) fn filter(&self, id: SubscriberId) -> Option<&Filter> {
        self.filters.get(&id)
    }

    /// Adds a reader, or gives one another filter.
    pub(crate) fn set(&mut self, id: SubscriberId, filter: Filter) {
        self.remove(id);
        self.names += filter.names();
        match (filter.dids(), filter.collections()) {
            ([], []) => drop(self.all.insert(id)),
            ([], collections) => self.by_collection.extend(collections.iter().map(|key| (*key, id))),
            (dids, _) => self.by_did.extend(dids.iter().map(|key| (*key, id))),
        }
        self.filters.insert(id, filter);
    }

    /// Forgets a reader.
    pub(crate) fn remove(&mut self, id: SubscriberId) {
        let Some(filter) = self.filters.remove(&id) else { return };
        self.names -= filter.names();
        self.all.remove(&id);
        for key in filter.dids() {
            self.by_did.remove(&(*key, id));
        }
        for key in filter.collections() {
            self.by_collection.remove(&(*key, id));
        }
    }

    /// The readers that want an event, each once.
    pub(crate) fn takers(&self, sight: &Sight) -> Vec<SubscriberId> {
        let wants = |id: &SubscriberId| self.filter(*id).is_some_and(|filter| filter.wants_of(sight));
        let mut takers: Vec<SubscriberId> = self.all.iter().copied().collect();
        takers.extend(under(&self.by_did, sight.did).filter(wants));
        match &sight.collections {
            Some(collections) => {
                takers.extend(collections.iter().flat_map(|key| under(&self.by_collection, *key)));
            }
            None => takers.extend(self.by_collection.iter().map(|(_, id)| *id)),
        }
        takers.sort_unstable();
        takers.dedup();
        takers
    }
}

/// The readers under a key.
fn under(index: &BTreeSet<(u64, SubscriberId)>, key: u64) -> impl Iterator<Item = SubscriberId> {
    index.range((key, SubscriberId::MIN)..=(key, SubscriberId::MAX)).map(|(_, id)| *id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use murmuration_firehose::Glance;

    use super::*;

    const DIDS: [&str; 4] = ["did:web:a.test", "did:web:b.test", "did:web:c.test", "did:web:d.test"];
    const COLLECTIONS: [&str; 5] = ["a.b.c", "a.b.d", "a.bb.c", "x.y.z", "x.y.deep.er"];
    const PATTERNS: [&str; 8] = ["a.b.c", "a.b.*", "a.*", "a.bb.*", "x.y.z", "x.*", "x.y.deep.*", "q.r.s"];

    /// Small, seeded, good enough for worlds.
    struct Dice(u64);

    impl Dice {
        fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let roll = self.0 >> 20;
            // A third of the lists are empty.
            if roll.is_multiple_of(3) {
                return Vec::new();
            }
            of.iter()
                .enumerate()
                .filter(|(bit, _)| (roll >> bit).is_multiple_of(4))
                .map(|(_, name)| *name)
                .collect()
        }
    }

    #[test]
    fn sim_the_index_finds_exactly_those_whose_filter_wants_the_event() {
        let mut dice = Dice(7);
        let mut index = Index::default();
        let mut filters = BTreeMap::new();
        let mut found = 0;
        for round in 0..6_000_u64 {
            let id = round % 37;
            match round % 5 {
                0 => {
                    index.remove(id);
                    filters.remove(&id);
                }
                _ => {
                    let filter = Filter::parse(&dice.some(&PATTERNS), &dice.some(&DIDS)).unwrap();
                    index.set(id, filter.clone());
                    filters.insert(id, filter);
                }
            }
            let collections = (round % 7 > 0).then(|| dice.some(&COLLECTIONS).into_iter().collect());
            for did in DIDS {
                let sight = Sight::of(&Glance { did, collections: collections.clone() });
                let wanted: Vec<u64> =
                    filters.iter().filter(|(_, filter)| filter.wants(&sight)).map(|(id, _)| *id).collect();
                assert_eq!(index.takers(&sight), wanted, "round {round}");
                found += wanted.len();
            }
        }
        assert!(found > 10_000, "{found}");
        assert_eq!(index.names, filters.values().map(Filter::names).sum::<usize>());
        filters.keys().for_each(|id| index.remove(*id));
        let empty =
            (index.len(), index.names, index.by_did.len(), index.by_collection.len(), index.all.len());
        assert_eq!(empty, (0, 0, 0, 0, 0), "nothing is left of those that are gone");
    }
}
