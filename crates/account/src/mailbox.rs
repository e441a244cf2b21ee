//! Messages as the agent's keys see them: opened, and their data keys kept when an epoch ends.

use murmuration_comms::{Body, Parcel, binding, keep_some, left_to_keep};
use murmuration_envelope::{KeptKey, Opened, Recipient, SharedKey};
use murmuration_keyring::{KeyringError, Ring};
use murmuration_platform::{Entropy, Store, StoreError};

use crate::{Account, AccountError, SealedStore};

/// The messages of the agent, which lie in signed parcels and do not change: their data keys are kept beside them.
#[derive(Clone, Copy, Debug)]
pub struct Messages;

impl SealedStore for Messages {
    fn pending(&self, store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
        left_to_keep(store, epoch)
    }

    fn rewrap(
        &self,
        store: &dyn Store,
        ring: &Ring,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<u32, AccountError> {
        let epoch = ring.current().number();
        Ok(keep_some(store, epoch, limit, &mut |parcel, kept| keep(ring, parcel, kept, entropy))?)
    }
}

impl Account {
    /// Opens the body of a message, with its data key where that is kept; `None` if it is not sealed.
    ///
    /// # Errors
    /// [`AccountError::NoKeys`] if the keys are not kept here; [`AccountError::Keyring`] if none of them opens it.
    pub fn open_message(
        &self,
        parcel: &Parcel,
        kept: Option<&KeptKey>,
    ) -> Result<Option<Opened>, AccountError> {
        let Body::Sealed(envelope) = parcel.body() else { return Ok(None) };
        let (ring, binding) = (self.ring()?, binding(parcel.header()));
        let opened = match kept {
            Some(kept) => ring.open_kept(&binding, envelope, kept),
            None => ring.open(&binding, envelope),
        };
        Ok(Some(opened.map_err(KeyringError::from)?))
    }

    /// Shares the data key of a message with somebody else; `None` if it is not sealed.
    ///
    /// # Errors
    /// As [`Account::open_message`], and when nothing can be sealed to the reader's key.
    pub fn share_message(
        &self,
        parcel: &Parcel,
        kept: Option<&KeptKey>,
        to: &Recipient,
        entropy: &dyn Entropy,
    ) -> Result<Option<SharedKey>, AccountError> {
        let Body::Sealed(envelope) = parcel.body() else { return Ok(None) };
        let shared = self.ring()?.share_key(&binding(parcel.header()), envelope, kept, to, entropy);
        Ok(Some(shared.map_err(KeyringError::from)?))
    }

    /// The data key of a message that comes sealed to an epoch that has ended: stored with it, it lets the epoch's secrets go.
    /// `None` if the message needs none, or the keys are not kept here.
    ///
    /// # Errors
    /// [`AccountError::Key`] if the keys do not open.
    pub fn kept_on_arrival(
        &self,
        parcel: &Parcel,
        entropy: &dyn Entropy,
    ) -> Result<Option<KeptKey>, AccountError> {
        if matches!(parcel.body(), Body::Open(_)) || !self.keeps_keys()? {
            return Ok(None);
        }
        let ring = self.ring()?;
        // With one epoch, nothing else opens anything.
        Ok(if ring.epochs().len() > 1 { keep(&ring, parcel, None, entropy) } else { None })
    }
}

/// The data key of a message under the latest epoch; `None` if it is under that already, or no key opens it.
fn keep(ring: &Ring, parcel: &Parcel, kept: Option<&KeptKey>, entropy: &dyn Entropy) -> Option<KeptKey> {
    let Body::Sealed(envelope) = parcel.body() else { return None };
    let binding = binding(parcel.header());
    match kept {
        Some(kept) if kept.epoch() == ring.current().number() => None,
        Some(kept) => ring.keep_anew(&binding, envelope, kept, entropy).ok(),
        None if ring.is_current(&binding, envelope) => None,
        None => ring.keep(&binding, envelope, entropy).ok(),
    }
}
