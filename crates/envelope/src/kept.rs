//! The data key of an envelope that may not change, kept beside it by one who can open it.
//!
//! A message lies in a signed parcel, and a received one is not its reader's to change. So that the reader's old keys can go,
//! its data key is kept apart, under the symmetric key of the reader's latest epoch: 76 bytes in the row beside the envelope.

use murmuration_platform::Entropy;

use crate::binding::Label;
use crate::envelope::{Envelope, Opened, OwnCopy};
use crate::seal::draw_nonce;
use crate::wrap::{DataKey, NONCE_BYTES, WRAP_BYTES};
use crate::{Binding, DecryptionKey, EnvelopeError, EpochKey};

/// The data key of one envelope, under the epoch key of one who keeps it. It is of no use with another envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey(OwnCopy);

impl KeptKey {
    /// The epoch of its keeper that it is under.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// The same under the key of a new epoch, where the envelope is not at hand, but its place and its own epoch are known.
    ///
    /// # Errors
    /// When the kept key's epoch is not among the keys, or it is of another place.
    pub fn anew(
        &self,
        binding: &Binding,
        epoch: u32,
        keys: &[EpochKey],
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Result<Self, EnvelopeError> {
        let Self(kept) = self;
        let old = keys.iter().find(|key| key.epoch() == kept.epoch).ok_or(EnvelopeError::NotForUs)?;
        let key = DataKey::unwrap_own(old, Label::Kept, &kept.nonce, &kept.wrap, binding, epoch)?;
        Ok(Self::under(&key, binding, epoch, keeper, entropy))
    }

    pub(crate) fn under(
        key: &DataKey,
        binding: &Binding,
        epoch: u32,
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Self {
        let nonce = draw_nonce(entropy);
        let wrap = key.wrap_own(keeper, Label::Kept, &nonce, binding, epoch);
        Self(OwnCopy { epoch: keeper.epoch(), nonce, wrap })
    }

    /// Its bytes, to be stored: the epoch, big end first, a nonce, and the sealed key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.0.epoch.to_be_bytes().as_slice(), &self.0.nonce, &self.0.wrap].concat()
    }

    /// Reads what [`KeptKey::to_bytes`] gives.
    ///
    /// # Errors
    /// When there are more or fewer bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (epoch, rest) = bytes.split_first_chunk::<4>().ok_or(EnvelopeError::Form)?;
        let (nonce, wrap) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(EnvelopeError::Form)?;
        let wrap = <[u8; WRAP_BYTES]>::try_from(wrap).map_err(|_| EnvelopeError::Form)?;
        Ok(Self(OwnCopy { epoch: u32::from_be_bytes(*epoch), nonce: *nonce, wrap }))
    }
}

impl Envelope {
    /// Keeps the data key of an envelope that was sealed to one of these keys.
    ///
    /// # Errors
    /// As [`Envelope::open`].
    pub fn keep(
        &self,
        binding: &Binding,
        ring: &[DecryptionKey],
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        Ok(self.kept_under(&self.received_key(binding, ring)?, binding, keeper, entropy))
    }

    /// Keeps the data key of an envelope of one's own.
    ///
    /// # Errors
    /// As [`Envelope::open_own`].
    pub fn keep_own(
        &self,
        binding: &Binding,
        keys: &[EpochKey],
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        Ok(self.kept_under(&self.own_key(binding, keys)?, binding, keeper, entropy))
    }

    /// The kept key of this envelope under the key of a new epoch.
    ///
    /// # Errors
    /// As [`Envelope::open_kept`].
    pub fn keep_anew(
        &self,
        binding: &Binding,
        kept: &KeptKey,
        keys: &[EpochKey],
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        Ok(self.kept_under(&self.kept_key(binding, kept, keys)?, binding, keeper, entropy))
    }

    /// Opens an envelope with its kept key.
    ///
    /// # Errors
    /// When the kept key's epoch is not among the keys, or is of another envelope or place, or the envelope was changed.
    pub fn open_kept(
        &self,
        binding: &Binding,
        kept: &KeptKey,
        keys: &[EpochKey],
    ) -> Result<Opened, EnvelopeError> {
        self.open_with(&self.kept_key(binding, kept, keys)?, binding)
    }

    fn kept_under(
        &self,
        key: &DataKey,
        binding: &Binding,
        keeper: &EpochKey,
        entropy: &dyn Entropy,
    ) -> KeptKey {
        KeptKey::under(key, binding, self.epoch, keeper, entropy)
    }

    pub(crate) fn kept_key(
        &self,
        binding: &Binding,
        KeptKey(kept): &KeptKey,
        keys: &[EpochKey],
    ) -> Result<DataKey, EnvelopeError> {
        let keeper = keys.iter().find(|key| key.epoch() == kept.epoch).ok_or(EnvelopeError::NotForUs)?;
        let key = DataKey::unwrap_own(keeper, Label::Kept, &kept.nonce, &kept.wrap, binding, self.epoch)?;
        self.check_key(&key, binding)?;
        Ok(key)
    }
}
