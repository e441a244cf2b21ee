//! A rotation of the agent's keys: the next epoch at once, and in the background what follows from it.
//!
//! What is sealed under the keys of earlier epochs is wrapped anew, some rows a run, and nothing else changes: texts and
//! recipients stay. What is stored says how far that is. Nobody seals to an epoch that has ended, but what was sealed to it may be
//! on its way for a while. When that time is over and nothing is left, the secrets of the epoch go.

use murmuration_keyring::Ring;
use murmuration_platform::{Entropy, Param, Store, StoreError};

use crate::{Account, AccountError};

/// Reads a row for each epoch whose secrets are kept.
const SELECT: &str = "SELECT epoch, started_at FROM key_epoch ORDER BY epoch";
/// Reads a row for each epoch whose secrets are kept.
const UNNAMED: &str = "SELECT max(started_at) FROM key_epoch WHERE named = 0";
/// Writes 1 row; 0 when there is no such epoch.
const NAME: &str = "UPDATE key_epoch SET named = 1 WHERE named = 0 AND epoch <= ?1";
/// Writes a row for each epoch that goes.
const DELETE: &str = "DELETE FROM key_epoch WHERE epoch <= ?1";

/// Something in the agent's storage whose rows are sealed under the agent's keys.
pub trait SealedStore {
    /// How many rows are to be looked through until none needs the secrets of an epoch before this one. Writes nothing.
    ///
    /// # Errors
    /// When the storage fails.
    fn pending(&self, store: &dyn Store, epoch: u32) -> Result<u64, StoreError>;

    /// Looks through at most `limit` of those rows, and says how many. Puts them under the latest epoch of the ring, by
    /// [`Ring::rewrap`], or by [`Ring::keep`] beside an envelope that may not change: 1 row each. Runs in a transaction. A row that
    /// no key opens is of no epoch any more, and not to be counted again.
    ///
    /// # Errors
    /// When the storage fails. Nothing of the run is stored then.
    fn rewrap(
        &self,
        store: &dyn Store,
        ring: &Ring,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<u32, AccountError>;
}

/// What a rotation has begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// The epoch that began.
    pub epoch: u32,
    /// Rows that are to be wrapped anew.
    pub pending: u64,
}

impl Account {
    /// Begins the next epoch of keys, as [`Account::start_epoch`], and says what is left to do in `stores`: all that hold
    /// something sealed under the keys. `named` says that the DID document need not follow; else [`Account::unnamed_since`] says so
    /// until [`Account::keys_named`].
    ///
    /// # Errors
    /// [`AccountError::RotationInProgress`] while the last rotation has more rows left than a run deals with, or the DID document has
    /// not followed it, or [`MAX_LIVE_EPOCHS`] are still needed.
    pub fn rotate_keys(
        &self,
        stores: &[&dyn SealedStore],
        reason: Option<&str>,
        named: bool,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<Rotation, AccountError> {
        self.change(|open| {
            if self.oldest_unnamed()?.is_some() {
                return Err(AccountError::RotationInProgress);
            }
            if let Some(ring) = self.held(open)? {
                let live = ring.epochs().len();
                // While there is but one, nothing is sealed under another.
                let left = if live > 1 { self.pending(stores, ring.current().number())? } else { 0 };
                if left > REWRAP_ROWS.into() || live >= MAX_LIVE_EPOCHS {
                    return Err(AccountError::RotationInProgress);
                }
                if left > 0 && !self.wrap_some(stores, &ring, entropy)? {
                    return Err(AccountError::RotationInProgress);
                }
            }
            let epoch = self.begin_epoch(open, reason, named, entropy, now)?.current().number();
            Ok(Rotation { epoch, pending: self.pending(stores, epoch)? })
        })
    }

    /// Since when the DID document has to follow a rotation, in microseconds since the Unix epoch; `None` if it has.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn unnamed_since(&self) -> Result<Option<u64>, AccountError> {
        self.read(|_| self.oldest_unnamed())
    }

    /// Notes that the DID document names the keys of an epoch, or never will: 1 row, 0 when that is known.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn keys_named(&self, epoch: u32) -> Result<(), AccountError> {
        self.read(|_| Ok(self.store.query(NAME, &[Param::Int(epoch.into())]).map(drop)?))
    }

    fn oldest_unnamed(&self) -> Result<Option<u64>, AccountError> {
        let at = self.store.query(UNNAMED, &[])?.pop().map(|mut row| row.opt_int(0)).transpose()?.flatten();
        Ok(at.and_then(|at| u64::try_from(at).ok()))
    }

    /// Whether an epoch was begun since this was last asked, or the host has a newer key-encryption key: then
    /// [`Account::keys_due`] has moved.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn keys_touched(&self) -> Result<bool, AccountError> {
        self.read_remains(|open| Ok(std::mem::take(&mut open.keys_touched) || open.behind))
    }

    /// When [`Account::tend_keys`] has something to do, in microseconds since the Unix epoch: at once, when an epoch can go, or
    /// never, as far as can be seen.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn keys_due(&self, stores: &[&dyn SealedStore]) -> Result<Option<u64>, AccountError> {
        if self.read(|open| Ok(open.behind))? {
            return Ok(Some(0));
        }
        let epochs = self.epochs()?;
        let (Some((latest, _)), Some((_, ended))) = (epochs.last(), epochs.get(1)) else { return Ok(None) };
        match self.pending(stores, *latest)? {
            0 => Ok(Some(ended.saturating_add(IN_FLIGHT_MICROS))),
            _ => Ok(Some(0)),
        }
    }

    /// One run of what follows a rotation, of the agent's keys or of the host's key-encryption keys: seals a few secrets anew,
    /// and wraps at most [`REWRAP_ROWS`] rows anew, and lets go of the secrets of epochs that
    /// nothing needs. A row for each.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account; [`AccountError::Key`] if the keys do not open. Nothing is changed
    /// then.
    pub fn tend_keys(
        &self,
        stores: &[&dyn SealedStore],
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<(), AccountError> {
        self.change(|open| {
            self.reseal(open, entropy)?;
            let epochs = self.epochs()?;
            if epochs.len() < 2 {
                return Ok(());
            }
            let ring = self.held(open)?.ok_or(AccountError::NoKeys)?;
            if !self.wrap_some(stores, &ring, entropy)? {
                return Ok(());
            }
            let mut over = None;
            for ((number, _), (_, ended)) in epochs.iter().zip(epochs.iter().skip(1)) {
                if ended.saturating_add(IN_FLIGHT_MICROS) > now {
                    break;
                }
                over = Some(*number);
            }
            if let Some(last) = over {
                self.store.query(DELETE, &[Param::Int(last.into())])?;
                open.ring = None;
            }
            Ok(())
        })
    }

    /// Wraps at most [`REWRAP_ROWS`] rows anew, and says whether none is left.
    fn wrap_some(
        &self,
        stores: &[&dyn SealedStore],
        ring: &Ring,
        entropy: &dyn Entropy,
    ) -> Result<bool, AccountError> {
        let epoch = ring.current().number();
        let mut room = REWRAP_ROWS;
        for sealed in stores {
            if room > 0 && sealed.pending(&*self.store, epoch)? > 0 {
                room = room.saturating_sub(sealed.rewrap(&*self.store, ring, room, entropy)?);
            }
        }
        Ok(self.pending(stores, epoch)? == 0)
    }

    fn pending(&self, stores: &[&dyn SealedStore], epoch: u32) -> Result<u64, AccountError> {
        stores.iter().try_fold(0, |sum: u64, sealed| Ok(sum + sealed.pending(&*self.store, epoch)?))
    }

    /// The numbers of the epochs whose secrets are kept, and when each began, oldest first.
    fn epochs(&self) -> Result<Vec<(u32, u64)>, AccountError> {
        let rows = self.store.query(SELECT, &[])?;
        let read = rows.into_iter().map(|mut row| {
            let pair = (u32::try_from(row.int(0)?).ok(), u64::try_from(row.int(1)?).ok());
            match pair {
                (Some(number), Some(started)) => Ok((number, started)),
                _ => Err(StoreError::Corrupt("an epoch of keys has no number or no time".into())),
            }
        });
        Ok(read.collect::<Result<_, _>>()?)
    }
}

/// Epochs whose secrets are kept at the most, each a row to wake with: more than can be begun in the days that something may be on
/// its way, at four a day (`agent.identity.rotateKeys`).
pub const MAX_LIVE_EPOCHS: usize = 64;

/// Rows that a run wraps anew at the most: with X-Wing half a millisecond each in Wasm, and others wait meanwhile.
pub(crate) const REWRAP_ROWS: u32 = 100;

/// Microseconds that something sealed to an epoch may be on its way after the epoch has ended: what Cloudflare's queues keep
/// a message for at the most (<https://developers.cloudflare.com/queues/platform/limits/>).
pub(crate) const IN_FLIGHT_MICROS: u64 = 14 * 24 * 60 * 60 * 1_000_000;
