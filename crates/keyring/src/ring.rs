//! The secret side: what an agent seals and opens with.

use murmuration_envelope::{
    Binding, DecryptionKey, Envelope, EnvelopeError, EpochKey, KeptKey, Opened, Recipient, SharedKey,
};
use murmuration_keys::SIGNATURE_BYTES;
use murmuration_platform::Entropy;
use murmuration_syntax::Did;

use crate::epoch::{check_did, encryption_id, signing_id};
use crate::{EpochSecrets, KeyringError, PublishedEpoch, PublishedKeys};

/// An agent's secrets of all epochs that something is still sealed to, at least one.
///
/// It seals under the latest epoch, and opens what was sealed under any. What a message was sealed to stays readable
/// while its epoch is in the ring.
#[derive(Clone, Debug)]
pub struct Ring {
    did: Did,
    /// Oldest first, never empty.
    epochs: Vec<EpochSecrets>,
    own: Vec<EpochKey>,
    decryption: Vec<DecryptionKey>,
}

impl Ring {
    /// Makes the first epoch of an agent, and what it publishes.
    ///
    /// # Errors
    /// [`KeyringError::Did`] when the DID is too long.
    pub fn begin(did: &Did, entropy: &dyn Entropy, now: u64) -> Result<(Self, PublishedKeys), KeyringError> {
        check_did(did)?;
        let secrets = EpochSecrets::generate(FIRST_EPOCH, entropy);
        let epoch = PublishedEpoch::sign(did, &secrets, None, None, now);
        let published = PublishedKeys::first(did.clone(), epoch, now);
        Ok((Self::of(did.clone(), vec![secrets]), published))
    }

    /// The ring of secrets that were stored, in any order.
    ///
    /// # Errors
    /// When there are none, or two of one epoch, or the DID is too long.
    pub fn new(did: Did, mut epochs: Vec<EpochSecrets>) -> Result<Self, KeyringError> {
        check_did(&did)?;
        epochs.sort_by_key(EpochSecrets::number);
        let distinct = epochs.is_sorted_by(|left, right| left.number() < right.number());
        if epochs.is_empty() || !distinct { Err(KeyringError::Epochs) } else { Ok(Self::of(did, epochs)) }
    }

    fn of(did: Did, epochs: Vec<EpochSecrets>) -> Self {
        let own = epochs.iter().map(|epoch| epoch.own.clone()).collect();
        let decryption = epochs
            .iter()
            .flat_map(|epoch| [&epoch.agreement, &epoch.hybrid].map(|key| (epoch.number(), key.clone())))
            .map(|(epoch, key)| DecryptionKey { id: encryption_id(&did, key.suite(), epoch), epoch, key })
            .collect();
        Self { did, epochs, own, decryption }
    }

    /// Begins the next epoch: the ring with it, and what is published then, with the reason if one is given.
    ///
    /// # Errors
    /// [`KeyringError::Foreign`] when what is published now is not of this ring.
    pub fn advance(
        &self,
        published: &PublishedKeys,
        reason: Option<&str>,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<(Self, PublishedKeys), KeyringError> {
        self.check(published)?;
        let last = self.current();
        let number = last.number().checked_add(1).ok_or(KeyringError::Epochs)?;
        let secrets = EpochSecrets::generate(number, entropy);
        // A clock that steps back does not make an epoch begin before the last.
        let now = now.max(published.current().not_before());
        let epoch = PublishedEpoch::sign(&self.did, &secrets, Some(last), reason, now);
        let published = published.followed_by(epoch, now);
        let epochs = self.epochs.iter().cloned().chain([secrets]).collect();
        Ok((Self::of(self.did.clone(), epochs), published))
    }

    /// Checks that what is published is of this ring's latest epoch.
    ///
    /// # Errors
    /// [`KeyringError::Foreign`] when it is not.
    pub fn check(&self, published: &PublishedKeys) -> Result<(), KeyringError> {
        let (last, shown) = (self.current(), published.current());
        let same = *published.did() == self.did
            && shown.number() == last.number()
            && *shown.signing_key() == last.signing.verifying_key()
            && shown.encryption_keys().iter().all(|key| {
                self.decryption.iter().any(|own| own.id == key.id && own.key.public_key() == key.key)
            });
        if same { Ok(()) } else { Err(KeyringError::Foreign) }
    }

    /// The ring without an epoch that nothing is sealed to any more. The latest stays.
    #[must_use]
    pub fn without(&self, epoch: u32) -> Self {
        let last = self.current().number();
        let kept = self.epochs.iter().filter(|held| held.number() != epoch || epoch == last);
        Self::of(self.did.clone(), kept.cloned().collect())
    }

    /// Whose ring it is.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The secrets of the latest epoch.
    #[must_use]
    pub fn current(&self) -> &EpochSecrets {
        #[expect(clippy::expect_used, reason = "the invariant beside it")]
        // INVARIANT: no ring is made without an epoch.
        self.epochs.last().expect("an epoch")
    }

    /// The secrets of all epochs, oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[EpochSecrets] {
        &self.epochs
    }

    /// Signs a message with the Ed25519 key of the latest epoch.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.current().signing.sign(message)
    }

    /// The name of that key: the DID, and a fragment with the epoch's number.
    #[must_use]
    pub fn signing_id(&self) -> String {
        signing_id(&self.did, self.current().number())
    }

    /// Seals a message of the agent's own, for itself and for recipients.
    ///
    /// # Errors
    /// As [`Envelope::seal`].
    pub fn seal(
        &self,
        binding: &Binding,
        recipients: &[Recipient],
        message: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Envelope, EnvelopeError> {
        Envelope::seal(binding, &self.current().own, recipients, message, entropy)
    }

    /// Opens an envelope: the agent's own copy where it is the author, and else what was sealed to it.
    ///
    /// # Errors
    /// As [`Envelope::open_own`] and [`Envelope::open`].
    pub fn open(&self, binding: &Binding, envelope: &Envelope) -> Result<Opened, EnvelopeError> {
        match binding.author == self.did {
            true => envelope.open_own(binding, &self.own),
            false => envelope.open(binding, &self.decryption),
        }
    }

    /// The same envelope with the agent's own copy under the key of the latest epoch.
    ///
    /// # Errors
    /// As [`Envelope::rewrap`].
    pub fn rewrap(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        entropy: &dyn Entropy,
    ) -> Result<Envelope, EnvelopeError> {
        envelope.rewrap(binding, &self.own, &self.current().own, entropy)
    }

    /// Whether an envelope opens with the keys of the latest epoch alone, if it is the agent's own or sealed to it.
    #[must_use]
    pub fn is_current(&self, binding: &Binding, envelope: &Envelope) -> bool {
        let last = self.current().number();
        match binding.author == self.did {
            true => envelope.own_epoch() == last,
            false => envelope
                .recipients()
                .any(|(id, _)| self.decryption.iter().any(|key| key.epoch == last && key.id == *id)),
        }
    }

    /// Keeps the data key of an envelope that may not change, be it the agent's own or one that was sealed to it, under
    /// the key of the latest epoch. With it the secrets that the envelope was sealed to are no longer needed.
    ///
    /// # Errors
    /// As [`Ring::open`].
    pub fn keep(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        let keeper = &self.current().own;
        match binding.author == self.did {
            true => envelope.keep_own(binding, &self.own, keeper, entropy),
            false => envelope.keep(binding, &self.decryption, keeper, entropy),
        }
    }

    /// A kept key under the key of the latest epoch.
    ///
    /// # Errors
    /// As [`Envelope::open_kept`].
    pub fn keep_anew(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        kept: &KeptKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        envelope.keep_anew(binding, kept, &self.own, &self.current().own, entropy)
    }

    /// Opens an envelope with its kept key.
    ///
    /// # Errors
    /// As [`Envelope::open_kept`].
    pub fn open_kept(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        kept: &KeptKey,
    ) -> Result<Opened, EnvelopeError> {
        envelope.open_kept(binding, kept, &self.own)
    }

    /// Shares the data key of an envelope that may not change with somebody else, be it the agent's own, one that was sealed to it,
    /// or one whose data key is kept.
    ///
    /// # Errors
    /// As [`Ring::open`] and [`Ring::open_kept`], and when nothing can be sealed to the reader's key.
    pub fn share_key(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        kept: Option<&KeptKey>,
        to: &Recipient,
        entropy: &dyn Entropy,
    ) -> Result<SharedKey, EnvelopeError> {
        match kept {
            Some(kept) => envelope.share_kept_key(binding, kept, &self.own, to, entropy),
            None if binding.author == self.did => envelope.share_own_key(binding, &self.own, to, entropy),
            None => envelope.share_received_key(binding, &self.decryption, to, entropy),
        }
    }

    /// Opens an envelope with its data key that somebody has shared.
    ///
    /// # Errors
    /// As [`Envelope::open_shared`].
    pub fn open_shared(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        shared: &SharedKey,
    ) -> Result<Opened, EnvelopeError> {
        envelope.open_shared(binding, shared, &self.decryption)
    }

    /// Keeps a data key that somebody has shared, of an envelope that is not at hand, under the key of the latest epoch. `epoch` is the
    /// envelope's.
    ///
    /// # Errors
    /// As [`SharedKey::keep`].
    pub fn keep_shared(
        &self,
        binding: &Binding,
        epoch: u32,
        shared: &SharedKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        shared.keep(binding, epoch, &self.decryption, &self.current().own, entropy)
    }

    /// A kept key of an envelope that is not at hand under the key of the latest epoch. `epoch` is the envelope's.
    ///
    /// # Errors
    /// As [`KeptKey::anew`].
    pub fn keep_shared_anew(
        &self,
        binding: &Binding,
        epoch: u32,
        kept: &KeptKey,
        entropy: &dyn Entropy,
    ) -> Result<KeptKey, EnvelopeError> {
        kept.anew(binding, epoch, &self.own, &self.current().own, entropy)
    }

    /// The same envelope for more recipients.
    ///
    /// # Errors
    /// As [`Envelope::share`].
    pub fn share(
        &self,
        binding: &Binding,
        envelope: &Envelope,
        more: &[Recipient],
        entropy: &dyn Entropy,
    ) -> Result<Envelope, EnvelopeError> {
        envelope.share(binding, &self.own, more, entropy)
    }
}

/// The number of an agent's first epoch.
const FIRST_EPOCH: u32 = 1;
