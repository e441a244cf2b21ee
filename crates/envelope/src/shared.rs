//! The data key of an envelope that may not change, sealed to somebody else by one who can open it.
//!
//! Whoever hands over a thread does not copy what was said in it: the messages lie in signed parcels and stay as they are. It
//! gives their keys, each sealed to the one who takes over, who then opens the very envelopes that the giver has.

use murmuration_data::Ipld;
use murmuration_platform::Entropy;

use crate::binding::Label;
use crate::envelope::{Envelope, Opened, WrappedKey};
use crate::form;
use crate::recipient::is_downgrade;
use crate::wrap::DataKey;
use crate::{Binding, DecryptionKey, EnvelopeError, EpochKey, KeptKey, KeyId, Recipient};

/// The data key of one envelope, sealed to one reader that it was not sealed to. It is of no use with another envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedKey(WrappedKey);

impl SharedKey {
    /// Whose it is, and which of their keys opens it.
    #[must_use]
    pub fn recipient(&self) -> &KeyId {
        &self.0.id
    }

    /// The value of the data model (`agent.crypto.defs#recipient`).
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        form::write_recipient(&self.0)
    }

    /// Reads what [`SharedKey::to_ipld`] gives.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_ipld(value: Ipld) -> Result<Self, EnvelopeError> {
        form::read_recipient(value).map(Self)
    }
}

impl SharedKey {
    /// Keeps the key of an envelope that is not at hand, but whose place and epoch are known: with it the keys are not needed that it
    /// was shared to. Whether it is the key of that envelope shows when it is opened.
    ///
    /// # Errors
    /// When it was shared to none of these keys, or to one when the reader had published a stronger one, or is of another place.
    pub fn keep(
        &self,
        binding: &Binding,
        epoch: u32,
        ring: &[DecryptionKey],
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        Ok(KeptKey::under(&self.data_key(binding, epoch, ring)?, binding, epoch, keeper, entropy))
    }

    fn data_key(
        &self,
        binding: &Binding,
        epoch: u32,
        ring: &[DecryptionKey],
    ) -> Result<DataKey, EnvelopeError> {
        let Self(shared) = self;
        let ours = |key: &&DecryptionKey| shared.id == key.id && shared.suite == key.key.suite();
        let key = ring.iter().find(ours).ok_or(EnvelopeError::NotForUs)?;
        if is_downgrade(key, ring) {
            return Err(EnvelopeError::Downgrade);
        }
        let (id, encapsulated, wrap) = (shared.id.as_str(), &shared.encapsulated, &shared.wrap);
        DataKey::unwrap_for(&key.key, Label::Shared, id, encapsulated, wrap, binding, epoch)
    }
}

impl Envelope {
    /// Shares the data key of an envelope of one's own.
    ///
    /// # Errors
    /// As [`Envelope::open_own`], and when nothing can be sealed to the reader's key.
    pub fn share_own_key(
        &self,
        binding: &Binding,
        keys: &[EpochKey],
        to: &Recipient,
        entropy: &dyn Entropy,
    ) -> Result<SharedKey, EnvelopeError> {
        self.shared_to(&self.own_key(binding, keys)?, binding, to, entropy)
    }

    /// Shares the data key of an envelope that was sealed to one of these keys.
    ///
    /// # Errors
    /// As [`Envelope::open`], and when nothing can be sealed to the reader's key.
    pub fn share_received_key(
        &self,
        binding: &Binding,
        ring: &[DecryptionKey],
        to: &Recipient,
        entropy: &dyn Entropy,
    ) -> Result<SharedKey, EnvelopeError> {
        self.shared_to(&self.received_key(binding, ring)?, binding, to, entropy)
    }

    /// Shares a data key that was kept.
    ///
    /// # Errors
    /// As [`Envelope::open_kept`], and when nothing can be sealed to the reader's key.
    pub fn share_kept_key(
        &self,
        binding: &Binding,
        kept: &KeptKey,
        keys: &[EpochKey],
        to: &Recipient,
        entropy: &dyn Entropy,
    ) -> Result<SharedKey, EnvelopeError> {
        self.shared_to(&self.kept_key(binding, kept, keys)?, binding, to, entropy)
    }

    /// Opens an envelope with its data key that was shared to one of these keys.
    ///
    /// # Errors
    /// When it was shared to none of them, or to one when the reader had published a stronger one, or is the key of another
    /// envelope or place.
    pub fn open_shared(
        &self,
        binding: &Binding,
        shared: &SharedKey,
        ring: &[DecryptionKey],
    ) -> Result<Opened, EnvelopeError> {
        let key = shared.data_key(binding, self.epoch, ring)?;
        self.check_key(&key, binding)?;
        self.open_with(&key, binding)
    }

    fn shared_to(
        &self,
        key: &DataKey,
        binding: &Binding,
        to: &Recipient,
        entropy: &dyn Entropy,
    ) -> Result<SharedKey, EnvelopeError> {
        let to = to.key();
        let (encapsulated, wrap) = key.wrap_for(to, Label::Shared, binding, self.epoch, entropy)?;
        Ok(SharedKey(WrappedKey { id: to.id.clone(), suite: to.key.suite(), encapsulated, wrap }))
    }
}
