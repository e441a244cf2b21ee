//! What is in memory while the object is awake, and how a turn goes.

use murmuration_envelope::{Envelope, Parts};
use murmuration_platform::{Param, StoreError, transaction};
use murmuration_syntax::{Did, Rev};

use crate::secret::Secret;
use crate::shelf::Shelf;
use crate::{Keeper, Memories, MemoryError, Space};

/// Reads 1 row.
const SELECT_KEY: &str = "SELECT own, text FROM memory_key WHERE id = 1";
/// Writes 1 row.
const INSERT_KEY: &str = "INSERT INTO memory_key (id, own_epoch, own, text) VALUES (1, ?1, ?2, ?3)";

/// What is in memory.
pub(crate) struct Loaded {
    pub(crate) secret: Secret,
    pub(crate) space: Space,
    /// The index, once somebody has wanted it.
    pub(crate) shelf: Option<Shelf>,
    /// Of the entry of the working state that was stored last, since the object woke.
    pub(crate) state_rev: Option<Rev>,
}

impl Memories {
    /// Runs `look` on what is in memory; answers `nothing` if nothing was ever kept.
    pub(crate) fn look<T>(
        &self,
        keeper: Keeper<'_>,
        nothing: T,
        look: impl FnOnce(&Loaded) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let mut slot = self.loaded.borrow_mut();
        if slot.is_none() {
            *slot = self.load(keeper)?;
        }
        slot.as_ref().map_or(Ok(nothing), look)
    }

    /// As [`Memories::look`], with the index.
    pub(crate) fn look_at_index<T>(
        &self,
        keeper: Keeper<'_>,
        nothing: T,
        look: impl FnOnce(&Secret, &mut Shelf) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let mut slot = self.loaded.borrow_mut();
        if slot.is_none() {
            *slot = self.load(keeper)?;
        }
        let Some(loaded) = slot.as_mut() else { return Ok(nothing) };
        let (secret, shelf) = self.shelf(loaded, keeper.ring.did())?;
        look(secret, shelf)
    }

    /// Runs `turn` in one transaction, and notes there what is to be embedded later. If it fails, nothing is stored, and unless it was refused memory is dropped.
    pub(crate) fn change<T>(
        &self,
        keeper: Keeper<'_>,
        turn: impl FnOnce(&mut Loaded) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let late = self.late.take();
        let (outcome, as_it_was) = {
            let mut slot = self.loaded.borrow_mut();
            let before = slot.as_ref().map(|loaded| loaded.space.operations);
            let outcome = transaction::<T, MemoryError>(&*self.store, || {
                if slot.is_none() {
                    *slot = self.load(keeper)?;
                }
                if slot.is_none() {
                    *slot = Some(self.begin(keeper)?);
                }
                let done = match slot.as_mut() {
                    Some(loaded) => turn(loaded),
                    None => Err(StoreError::Corrupt("what was just read is gone".into()).into()),
                }?;
                if late {
                    self.begin_pass(keeper.now)?;
                }
                Ok(done)
            });
            // A secret that was drawn for a call that is refused is stored nowhere.
            (outcome, before.is_some() && before == slot.as_ref().map(|loaded| loaded.space.operations))
        };
        if outcome.as_ref().is_err_and(|error| !(error.is_refusal() && as_it_was)) {
            self.forget();
        }
        outcome
    }

    fn load(&self, keeper: Keeper<'_>) -> Result<Option<Loaded>, MemoryError> {
        let Some(mut row) = self.store.query(SELECT_KEY, &[])?.pop() else { return Ok(None) };
        let parts = Parts { own: row.blob(0)?, readers: Vec::new(), text: row.blob(1)? };
        let did = keeper.ring.did();
        let opened = keeper.ring.open(&Secret::binding(did)?, &Envelope::from_parts(&parts)?)?;
        let secret = Secret::of(&opened)?;
        let space = Space::read(&*self.store, &secret, did)?;
        Ok(Some(Loaded { secret, space, shelf: None, state_rev: None }))
    }

    /// Draws the secret of a store that nothing was ever kept in. Writes 1 row.
    fn begin(&self, keeper: Keeper<'_>) -> Result<Loaded, MemoryError> {
        let bytes = Secret::draw(keeper.entropy);
        let binding = Secret::binding(keeper.ring.did())?;
        let envelope = keeper.ring.seal(&binding, &[], bytes.as_slice(), keeper.entropy)?;
        let parts = envelope.to_parts();
        let epoch = Param::Int(envelope.own_epoch().into());
        self.store.query(INSERT_KEY, &[epoch, Param::Blob(&parts.own), Param::Blob(&parts.text)])?;
        let secret = Secret::of(bytes.as_slice())?;
        Ok(Loaded { secret, space: Space::default(), shelf: None, state_rev: None })
    }

    /// The index, from memory or from storage.
    pub(crate) fn shelf<'a>(
        &self,
        loaded: &'a mut Loaded,
        did: &Did,
    ) -> Result<(&'a Secret, &'a mut Shelf), MemoryError> {
        let Loaded { secret, space, shelf, .. } = loaded;
        if shelf.is_none() {
            *shelf = Some(Shelf::load(&*self.store, secret, did, space.memories)?);
        }
        match shelf.as_mut() {
            Some(shelf) => Ok((secret, shelf)),
            None => Err(StoreError::Corrupt("what was just read is gone".into()).into()),
        }
    }
}
