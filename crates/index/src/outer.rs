//! An index of vectors outside of the object, such as Vectorize: it is told of every document, and does later what it is told.
//!
//! ```text
//!   put, remove ─► outbox (a row) ─► outgoing ─► VectorIndex::upsert, delete ─► flight (a row a batch) ─► landed ─► gone
//!                  └─────────── overlay: these vectors are scanned here, exactly ───────────┘
//! ```
//!
//! The *overlay* is what the outer index does not know as it is now. So a document is found by its meaning as soon as it is stored,
//! and a stale vector outside counts for nothing: what is here comes first. Where there is no outer index, the overlay is everything.
//! A vector that has landed is dropped from memory, and stays in its row: to be told to another index it need not be made anew.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE32_NOPAD;
use murmuration_embedding::Vector;
use murmuration_platform::{Store, VectorEntry, VectorQuery, transaction};
use murmuration_recall::Slot;
use murmuration_syntax::Did;
use sha2::{Digest, Sha256};

use crate::index::Name;
use crate::label::{Kind, Wanted};
use crate::limits::{FLIGHT_MS, OUTER_BATCH, OUTER_TOP};
use crate::{IndexError, PublicIndex, store};

/// What the outer index does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Outer {
    pub(crate) waiting: BTreeSet<Name>,
    pub(crate) flights: Vec<Flight>,
}

/// A change that the outer index was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) mutation: String,
    pub(crate) sent_ms: u64,
    pub(crate) names: Vec<Name>,
}

/// What the outer index is to be told next: one of the two.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// These are to be there.
    Put(Vec<VectorEntry>),
    /// These are not.
    Delete(Vec<String>),
}

impl Outer {
    /// Whether the vector of a document is to be scanned here.
    pub(crate) fn overlays(&self, name: &Name) -> bool {
        self.waiting.contains(name) || self.flights.iter().any(|flight| flight.names.contains(name))
    }
}

impl PublicIndex {
    /// What the outer index is to be told next; `None` where it has been told everything.
    #[must_use]
    pub fn outgoing(&self) -> Option<Outgoing> {
        let waiting = &self.outer.as_ref()?.waiting;
        let first = *waiting.first()?;
        let put = self.entry_of(&first).is_some();
        let like = waiting.iter().filter(|name| self.entry_of(name).is_some() == put).take(OUTER_BATCH);
        Some(match put {
            true => Outgoing::Put(like.filter_map(|name| self.entry_of(name)).collect()),
            false => Outgoing::Delete(like.map(id_of).collect()),
        })
    }

    /// Notes that the outer index was told of it, under the name that it has given the change. Writes 1 row, and takes one away for each.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn sent(
        &mut self,
        store: &dyn Store,
        told: &Outgoing,
        mutation: String,
        now_ms: u64,
    ) -> Result<(), IndexError> {
        let names: Vec<Name> = match told {
            Outgoing::Put(entries) => entries.iter().filter_map(|entry| name_of(&entry.id)).collect(),
            Outgoing::Delete(ids) => ids.iter().filter_map(|id| name_of(id)).collect(),
        };
        // What has changed since it was told is to be told again.
        let same: Vec<Name> = names
            .into_iter()
            .filter(|name| match (told, self.entry_of(name)) {
                (Outgoing::Put(entries), Some(now)) => entries.contains(&now),
                (Outgoing::Delete(_), None) => true,
                _ => false,
            })
            .collect();
        let Some(outer) = self.outer.as_mut() else { return Ok(()) };
        let number = outer.flights.last().map_or(1, |last| last.number + 1);
        let flight = Flight { number, mutation, sent_ms: now_ms, names: same };
        transaction(store, || {
            store::add_flight(store, &flight)?;
            flight.names.iter().try_for_each(|name| store::pay(store, name))
        })?;
        outer.waiting.retain(|name| !flight.names.contains(name));
        outer.flights.push(flight);
        Ok(())
    }

    /// Notes how far the outer index has come: changes are done in their order. What it has not done in half an hour it is told again.
    /// Takes away a row for each change.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn landed(
        &mut self,
        store: &dyn Store,
        processed: Option<&str>,
        now_ms: u64,
    ) -> Result<(), IndexError> {
        let Some(outer) = self.outer.as_mut() else { return Ok(()) };
        let last = outer.flights.iter().rposition(|flight| Some(flight.mutation.as_str()) == processed);
        let landed: Vec<Flight> = outer.flights.drain(..last.map_or(0, |last| last + 1)).collect();
        let is_lost = |flight: &Flight| flight.sent_ms.saturating_add(FLIGHT_MS) <= now_ms;
        let count = outer.flights.iter().take_while(|flight| is_lost(flight)).count();
        let lost: Vec<Flight> = outer.flights.drain(..count).collect();
        transaction(store, || {
            for flight in landed.iter().chain(&lost) {
                store::end_flight(store, flight.number)?;
            }
            for name in lost.iter().flat_map(|flight| &flight.names) {
                if outer.waiting.insert(*name) {
                    store::owe(store, name)?;
                }
            }
            Ok::<_, IndexError>(())
        })?;
        for name in landed.iter().flat_map(|flight| &flight.names) {
            self.release(name)?;
        }
        Ok(())
    }

    /// Whether something is yet to be told, or to be done.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outer.as_ref().is_none_or(|outer| outer.waiting.is_empty() && outer.flights.is_empty())
    }

    /// Notes that the outer index does not know a document as it is now: 1 row.
    pub(crate) fn owe(&mut self, store: &dyn Store, name: &Name) -> Result<(), IndexError> {
        if let Some(outer) = self.outer.as_mut()
            && outer.waiting.insert(*name)
        {
            store::owe(store, name)?;
        }
        Ok(())
    }

    /// What was found outside, as slots and cosines.
    pub(crate) fn near(&self, matches: &[(String, f32)]) -> BTreeMap<Slot, f32> {
        let slot = |id: &str| self.names.get(&name_of(id)?).copied();
        matches.iter().filter_map(|(id, cosine)| Some((slot(id)?, *cosine))).collect()
    }

    /// The vector of a document as the outer index has it; `None` where there is no document, or it has none.
    fn entry_of(&self, name: &Name) -> Option<VectorEntry> {
        let slot = self.names.get(name)?;
        let label = self.labels.get(slot)?;
        let embedded = self.recall.entry(*slot)?.embedded?;
        let metadata = vec![(COLLECTION, label.path.collection.to_string()), (AGENT, agent_of(&label.did))];
        Some(VectorEntry { id: id_of(name), values: values(&embedded.vector), metadata })
    }

    /// Drops a vector from memory that the outer index has.
    fn release(&mut self, name: &Name) -> Result<(), IndexError> {
        if self.outer.as_ref().is_none_or(|outer| outer.overlays(name)) {
            return Ok(());
        }
        if let Some(mut entry) = self.names.get(name).and_then(|slot| self.recall.entry(*slot)) {
            entry.embedded = None;
            self.recall.put(entry)?;
        }
        Ok(())
    }
}

/// What the outer index is asked for a search, beside the vector: as much of it as it can filter.
#[must_use]
pub fn outer_query<'a>(values: &'a [f32], wanted: &Wanted<'_>) -> VectorQuery<'a> {
    let of_kind =
        |collection: &&str| (*collection == crate::document::PROFILE) == (wanted.kind == Kind::Agents);
    let asked = |collection: &&str| {
        wanted.collections.is_empty() || wanted.collections.iter().any(|one| one.as_str() == *collection)
    };
    let collections = murmuration_relay::INDEXED.iter().copied().filter(of_kind).filter(asked);
    let mut filter = vec![(COLLECTION, collections.map(str::to_owned).collect())];
    filter.extend(wanted.author.map(|author| (AGENT, vec![agent_of(author)])));
    VectorQuery { values, top: OUTER_TOP, filter }
}

/// The coordinates of a vector as they are told and asked: whole numbers, whose length means nothing to a cosine.
#[must_use]
pub fn values(vector: &Vector) -> Vec<f32> {
    vector.coordinates().iter().map(|coordinate| f32::from(*coordinate)).collect()
}

/// What stands outside for a document: of an address of any length, 52 letters that nobody else has.
fn id_of(name: &Name) -> String {
    BASE32_NOPAD.encode(name).to_ascii_lowercase()
}

fn name_of(id: &str) -> Option<Name> {
    BASE32_NOPAD.decode(id.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok()
}

/// What stands outside for an agent, made as the id of a document is.
fn agent_of(did: &Did) -> String {
    id_of(&Sha256::digest(did.as_str()).into())
}

/// The names by which vectors are filtered.
const COLLECTION: &str = "collection";
const AGENT: &str = "agent";
