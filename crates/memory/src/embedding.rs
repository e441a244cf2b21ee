//! Embedding behind the calls: memories that were written while the embedder did not answer, and all of them when it is another one.
//!
//! A pass goes through the places of the index, some a run of the object's alarm, and takes up those whose vector is missing or of
//! another model. How far it has come is one row, which goes with the pass. In between memories are found by their words.

use std::collections::BTreeSet;

use murmuration_data::cbor;
use murmuration_embedding::Vector;
use murmuration_platform::{Param, StoreError};
use murmuration_recall::{Embedded, Slot};
use murmuration_syntax::{RepoPath, Rev};

use crate::limits::{EMBED_BACKOFF_SECONDS, EMBED_BATCH};
use crate::operation::int;
use crate::row::uint;
use crate::{Essence, Keeper, Memories, MemoryError};

/// Reads 1 row.
const SELECT: &str = "SELECT after, due, tries FROM memory_embedding WHERE id = 1";
/// Writes 1 row.
const STORE: &str = "INSERT INTO memory_embedding (id, after, due, tries) VALUES (1, ?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET after = excluded.after, due = excluded.due, tries = excluded.tries";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM memory_embedding WHERE id = 1";

/// How far a pass has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pass {
    after: i64,
    due: u64,
    tries: u32,
}

/// A memory that is to be embedded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unembedded {
    slot: Slot,
    path: RepoPath,
    rev: Rev,
    /// All that it says.
    pub text: String,
}

impl Memories {
    /// Says that the embedder does not answer: the change that follows notes that what it writes is yet to be embedded.
    pub fn embed_later(&self) {
        self.late.set(true);
    }

    /// When memories are to be embedded, in microseconds since the Unix epoch; `None` if none are. Writes nothing, and reads once.
    ///
    /// # Errors
    /// The storage's.
    pub fn embedding_due(&self) -> Result<Option<u64>, MemoryError> {
        Ok(self.pass()?.map(|pass| pass.due))
    }

    /// Sees that vectors of other models than this one are made anew. Writes 1 row if there are any and nobody does it yet.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn follow(&self, keeper: Keeper<'_>, model: &str) -> Result<(), MemoryError> {
        if self.followed.borrow().as_deref() == Some(model) {
            return Ok(());
        }
        let others = self.look_at_index(keeper, false, |_, shelf| Ok(shelf.has_vectors_of_others(model)))?;
        if others && self.pass()?.is_none() {
            self.store_pass(Some(Pass { after: -1, due: keeper.now, tries: 0 }))?;
        }
        self.followed.replace(Some(model.to_owned()));
        Ok(())
    }

    /// The next memories that a model has not embedded, [`EMBED_BATCH`] at most. Writes nothing.
    ///
    /// # Errors
    /// When one of them does not open.
    pub fn unembedded(&self, keeper: Keeper<'_>, model: &str) -> Result<Vec<Unembedded>, MemoryError> {
        let Some(pass) = self.pass()? else { return Ok(Vec::new()) };
        let places = self.look_at_index(keeper, Vec::new(), |_, shelf| {
            let slots = shelf.without_vector_of(model, pass.after, EMBED_BATCH);
            Ok(slots
                .into_iter()
                .filter_map(|slot| Some((slot, shelf.labels.get(&slot)?.path.clone())))
                .collect())
        })?;
        let mut found = Vec::new();
        for (slot, path) in places {
            let row = self.row(&path)?.ok_or_else(|| StoreError::Corrupt("an indexed row is gone".into()))?;
            let memory = row.open(keeper, &path)?;
            let record = cbor::decode(&memory.record);
            let record = record.map_err(|_| StoreError::Corrupt("a record is none".into()))?;
            found.push(Unembedded { slot, path, rev: memory.rev, text: Essence::of(&record).text });
        }
        Ok(found)
    }

    /// Keeps vectors that a model has made, of memories that are still what they were, and goes on behind them; `None` where it makes
    /// none of a text. Without any, the pass is over. Writes 1 row for each page of the index that has changed, and 1.
    ///
    /// # Errors
    /// When what is kept does not open. Nothing was written then.
    pub fn keep_vectors(
        &self,
        keeper: Keeper<'_>,
        model: &str,
        vectors: &[(Unembedded, Option<Vector>)],
    ) -> Result<(), MemoryError> {
        let last = vectors.iter().map(|(memory, _)| i64::from(memory.slot)).max();
        self.change(keeper, |loaded| {
            let did = keeper.ring.did();
            let mut current = BTreeSet::new();
            for (memory, _) in vectors {
                if self.row(&memory.path)?.is_some_and(|row| row.rev == memory.rev) {
                    current.insert(memory.slot);
                }
            }
            let (secret, shelf) = self.shelf(loaded, did)?;
            let by = shelf.number_of(model);
            let made = vectors.iter().filter(|(memory, _)| current.contains(&memory.slot));
            let made = made
                .filter_map(|(memory, vector)| Some((memory.slot, Embedded { by, vector: vector.clone()? })));
            shelf.set_vectors(&*self.store, (secret, did, keeper.entropy), made)?;
            // What was written meanwhile in a place that was passed has begun the pass anew.
            let pass = self.pass()?.filter(|_| last.is_some()).map(|pass| Pass {
                after: last.filter(|last| *last > pass.after).unwrap_or(pass.after),
                due: keeper.now,
                tries: 0,
            });
            let left = |pass: &Pass| !shelf.without_vector_of(model, pass.after, 1).is_empty();
            Ok(self.store_pass(pass.filter(left))?)
        })
    }

    /// Puts off what the embedder does not answer to. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_embedding_off(&self, now: u64) -> Result<(), MemoryError> {
        let Some(pass) = self.pass()? else { return Ok(()) };
        let pause = usize::try_from(pass.tries).ok().and_then(|tries| EMBED_BACKOFF_SECONDS.get(tries));
        let seconds = pause.or(EMBED_BACKOFF_SECONDS.last()).copied().unwrap_or_default();
        let tries = pass.tries.saturating_add(1);
        Ok(self.store_pass(Some(Pass { due: now + seconds * 1_000_000, tries, ..pass }))?)
    }

    /// Begins a pass, or has the one that is under way begin anew: something was written without its vector.
    pub(crate) fn begin_pass(&self, now: u64) -> Result<(), StoreError> {
        match self.pass()? {
            Some(pass) if pass.after == -1 => Ok(()),
            Some(pass) => self.store_pass(Some(Pass { after: -1, ..pass })),
            None => {
                let due = now + EMBED_BACKOFF_SECONDS.first().copied().unwrap_or_default() * 1_000_000;
                self.store_pass(Some(Pass { after: -1, due, tries: 0 }))
            }
        }
    }

    fn pass(&self) -> Result<Option<Pass>, StoreError> {
        if let Some(known) = self.pass.get() {
            return Ok(known);
        }
        let read = |mut row: murmuration_platform::Row| {
            let tries = u32::try_from(row.int(2)?).unwrap_or(u32::MAX);
            Ok::<_, StoreError>(Pass { after: row.int(0)?, due: uint(row.int(1)?), tries })
        };
        let pass = self.store.query(SELECT, &[])?.pop().map(read).transpose()?;
        self.pass.set(Some(pass));
        Ok(pass)
    }

    fn store_pass(&self, pass: Option<Pass>) -> Result<(), StoreError> {
        if self.pass()? == pass {
            return Ok(());
        }
        match pass {
            Some(Pass { after, due, tries }) => {
                self.store.query(STORE, &[Param::Int(after), int(due), Param::Int(tries.into())])?
            }
            None => self.store.query(DELETE, &[])?,
        };
        self.pass.set(Some(pass));
        Ok(())
    }
}
