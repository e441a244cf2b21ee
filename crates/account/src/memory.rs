//! Memories as the agent's keys see them.

use std::rc::Rc;

use murmuration_keyring::Ring;
use murmuration_memory::{Keeper, Memories, left_to_wrap, wrap_some};
use murmuration_platform::{Entropy, Store, StoreError};

use crate::{Account, AccountError, SealedStore};

/// The memories of the agent, its working state, and the secret that names both.
#[derive(Clone, Copy, Debug)]
pub struct Remembered;

impl SealedStore for Remembered {
    fn pending(&self, store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
        left_to_wrap(store, epoch)
    }

    fn rewrap(
        &self,
        store: &dyn Store,
        ring: &Ring,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<u32, AccountError> {
        let epoch = ring.current().number();
        Ok(wrap_some(store, ring.did(), epoch, limit, &mut |binding, envelope| {
            ring.rewrap(binding, envelope, entropy).ok()
        })?)
    }
}

/// The memories of an agent, with the keys that they are kept with.
pub struct Mind<'a> {
    /// The memories.
    pub memories: &'a Memories,
    ring: Rc<Ring>,
    entropy: &'a dyn Entropy,
    now: u64,
}

impl Mind<'_> {
    /// What a call about memories wants.
    #[must_use]
    pub fn keeper(&self) -> Keeper<'_> {
        Keeper { ring: &self.ring, entropy: self.entropy, now: self.now }
    }
}

impl Account {
    /// The agent's memories and its keys.
    ///
    /// # Errors
    /// [`AccountError::NoKeys`] if the keys are not kept here; [`AccountError::Key`] if they do not open.
    pub fn mind<'a>(&'a self, entropy: &'a dyn Entropy, now: u64) -> Result<Mind<'a>, AccountError> {
        Ok(Mind { memories: &self.memories, ring: self.ring()?, entropy, now })
    }

    /// How many rows of a store are to be wrapped anew until none needs an epoch before this one.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn left_to_wrap(&self, sealed: &dyn SealedStore, epoch: u32) -> Result<u64, AccountError> {
        self.read(|_| Ok(sealed.pending(&*self.store, epoch)?))
    }

    /// When something is to be done with the memories that the host can do, in microseconds since the Unix epoch: one ends by itself, or
    /// upkeep is due.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn memory_due(&self) -> Result<Option<u64>, AccountError> {
        // The tables are brought up to date with the account's.
        self.read(|_| Ok(()))?;
        Ok([self.memories.next_expiry()?, self.memories.next_upkeep()?].into_iter().flatten().min())
    }

    /// When memories are to be embedded that have no vector of the host's embedder, in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn embedding_due(&self) -> Result<Option<u64>, AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.embedding_due()?)
    }

    /// Says that the embedder does not answer: the change of memories that follows notes it.
    pub fn embed_later(&self) {
        self.memories.embed_later();
    }

    /// Puts off what is to be embedded. Writes 1 row.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn put_embedding_off(&self, now: u64) -> Result<(), AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.put_embedding_off(now)?)
    }

    /// Deletes memories whose time is over, at most `limit` of them, and does a turn of the upkeep that is due.
    ///
    /// # Errors
    /// As [`Account::mind`].
    pub fn tend_memories(&self, entropy: &dyn Entropy, now: u64, limit: u32) -> Result<(), AccountError> {
        if self.memory_due()?.is_none_or(|at| at > now) {
            return Ok(());
        }
        let mind = self.mind(entropy, now)?;
        if self.memories.next_expiry()?.is_some_and(|at| at <= now) {
            mind.memories.drop_expired(mind.keeper(), limit)?;
        }
        if self.memories.next_upkeep()?.is_some_and(|at| at <= now) {
            mind.memories.tend(mind.keeper())?;
        }
        Ok(())
    }
}
