//! Memories as the agent's keys see them.

use std::rc::Rc;

use murmuration_keyring::Ring;
use murmuration_memory::{Desk, Keeper, Memories, left_to_wrap, wrap_some};
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

    /// Runs a call that may find on its desk what it wants of the blob storage.
    pub fn with_desk<T>(&self, desk: &mut Desk, call: impl FnOnce() -> T) -> T {
        self.memories.with_desk(desk, call)
    }

    /// Notes blobs of memories before they are stored. Writes a row for each.
    ///
    /// # Errors
    /// As [`Memories::hold`], and [`AccountError::Vacant`] if there is no account.
    pub fn hold_blobs(&self, names: &[String], now: u64) -> Result<(), AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.hold(names, now)?)
    }

    /// Lets blobs go that a call has held.
    pub fn let_blobs_go(&self, names: &[String]) {
        self.memories.let_go(names);
    }

    /// When blobs of memories, and bytes of uploads of which nothing came, are to be deleted, in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn memory_blob_due(&self) -> Result<Option<u64>, AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.next_blob()?)
    }

    /// Blobs of memories, and bytes of uploads of which nothing came, to delete now, at most so many.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn memory_blobs_due(&self, now: u64, limit: u32) -> Result<Vec<String>, AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.blobs_due(now, limit)?)
    }

    /// Forgets a blob of a memory that was deleted. Writes 1 row.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn memory_blob_gone(&self, name: &str) -> Result<(), AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.blob_gone(name)?)
    }

    /// Puts off the deletion of a blob of a memory. Writes 1 row.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn put_memory_blob_off(&self, name: &str, now: u64) -> Result<(), AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.memories.put_blob_off(name, now)?)
    }

    /// Some blobs of memories behind `after`, of an account that was deleted.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if the object holds nothing at all.
    pub fn left_memory_blobs(&self, after: &str) -> Result<Vec<String>, AccountError> {
        self.read_remains(|_| Ok(self.memories.left_blobs(after, LEFT_BATCH)?))
    }

    /// Forgets a blob of a memory that was deleted, and the memory.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if the object holds nothing at all.
    pub fn remove_memory_blob(&self, name: &str) -> Result<(), AccountError> {
        self.change_remains(|_| Ok(self.memories.remove_blob(name)?))
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

/// Blobs that are deleted at once of an account that was deleted.
const LEFT_BATCH: u32 = 50;
