//! Messages as the agent's keys see them: opened, and their data keys kept when an epoch ends.

use murmuration_comms::{
    Body, HANDOFF, Handed, HandedKeys, Parcel, binding, handoffs_left, keep_handoffs, keep_some, left_to_keep,
};
use murmuration_data::cbor;
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

/// The keys that handoffs have brought, of messages that are not here.
#[derive(Clone, Copy, Debug)]
pub struct Handoffs;

impl SealedStore for Handoffs {
    fn pending(&self, store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
        handoffs_left(store, epoch)
    }

    fn rewrap(
        &self,
        store: &dyn Store,
        ring: &Ring,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<u32, AccountError> {
        let epoch = ring.current().number();
        Ok(keep_handoffs(store, epoch, limit, &mut |parcel, kept, keys| {
            let named = named(ring, parcel, kept);
            let anew = |(handed, key): (&Handed, Option<KeptKey>)| {
                ring.keep_shared_anew(&handed.binding(), handed.epoch?, &key?, entropy).ok()
            };
            named.iter().zip(keys).map(anew).collect()
        })?)
    }
}

/// The messages that a handoff names; none where it does not open.
fn named(ring: &Ring, parcel: &Parcel, kept: Option<&KeptKey>) -> Vec<Handed> {
    let Body::Sealed(envelope) = parcel.body() else { return Vec::new() };
    let binding = binding(parcel.header());
    let opened = match kept {
        Some(kept) => ring.open_kept(&binding, envelope, kept),
        None => ring.open(&binding, envelope),
    };
    let record = opened.ok().and_then(|text| cbor::decode(&text).ok());
    record.map(|record| Handed::all(&record)).unwrap_or_default()
}

impl Account {
    /// The keys that a handoff brings, kept under those of the epoch that it answers with: they are stored beside it, and let the secrets
    /// go that they were sealed to. `None` if it brings none, or the keys are not kept here.
    ///
    /// # Errors
    /// [`AccountError::Key`] if the keys do not open.
    pub fn handed_on_arrival(
        &self,
        parcel: &Parcel,
        entropy: &dyn Entropy,
    ) -> Result<Option<(u32, HandedKeys)>, AccountError> {
        if parcel.header().kind.as_str() != HANDOFF || !self.keeps_keys()? {
            return Ok(None);
        }
        let ring = self.ring()?;
        let keep = |handed: &Handed| {
            ring.keep_shared(&handed.binding(), handed.epoch?, handed.key.as_ref()?, entropy).ok()
        };
        let keys: HandedKeys = named(&ring, parcel, None).iter().map(keep).collect();
        Ok(keys.iter().any(Option::is_some).then(|| (ring.current().number(), keys)))
    }

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
