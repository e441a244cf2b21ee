//! Sealing, opening, and the two changes that leave the text as it is: a new epoch, and a new reader.

use murmuration_platform::Entropy;

use crate::binding::Label;
use crate::envelope::{Envelope, MAX_RECIPIENTS, Opened, OwnCopy, WrappedKey};
use crate::recipient::is_downgrade;
use crate::wrap::{COMMIT_BYTES, DataKey, NONCE_BYTES};
use crate::{Binding, DecryptionKey, EnvelopeError, EpochKey, Recipient, form, padding};

impl Envelope {
    /// Seals a message to its author and to recipients, under a data key of its own.
    ///
    /// The randomness is drawn in this order: 32 bytes of the data key, 24 of the nonce, 24 of the own copy's nonce, and
    /// for each recipient, by their DIDs, 32 (X25519) or 64 (X-Wing).
    ///
    /// # Errors
    /// When the message is longer than [`crate::MAX_MESSAGE_BYTES`], there are more recipients than
    /// [`MAX_RECIPIENTS`] or one twice, or nothing can be sealed to the key of one.
    pub fn seal(
        binding: &Binding,
        own: &EpochKey,
        recipients: &[Recipient],
        message: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Self, EnvelopeError> {
        let padded = padding::pad(message, padding::MAX_MESSAGE_BYTES)?;
        let key = DataKey::fresh(entropy);
        let epoch = own.epoch();
        let nonce = draw_nonce(entropy);
        let mut envelope = Self {
            epoch,
            nonce,
            commit: [0; COMMIT_BYTES],
            own: own_copy(&key, own, binding, epoch, entropy),
            recipients: Vec::new(),
            ciphertext: key.derive().seal(&nonce, binding, epoch, &padded),
        };
        envelope.wrap_for(&key, binding, recipients, entropy)?;
        envelope.commit_to(&key, binding);
        Ok(envelope)
    }

    /// Opens an envelope of one's own, with the epoch key that its own copy is under.
    ///
    /// # Errors
    /// When that epoch's key is not among the keys, or the envelope does not open with it in this place.
    pub fn open_own(&self, binding: &Binding, keys: &[EpochKey]) -> Result<Opened, EnvelopeError> {
        self.open_with(&self.own_key(binding, keys)?, binding)
    }

    /// Opens an envelope that was sealed to one of these keys: all that the reader has, also those of past epochs.
    ///
    /// # Errors
    /// When it is sealed to none of them, or to one when the reader had published a stronger one, or does not open with
    /// it in this place.
    pub fn open(&self, binding: &Binding, ring: &[DecryptionKey]) -> Result<Opened, EnvelopeError> {
        self.open_with(&self.received_key(binding, ring)?, binding)
    }

    /// The data key from the copy for one of these keys, checked against the commitment.
    pub(crate) fn received_key(
        &self,
        binding: &Binding,
        ring: &[DecryptionKey],
    ) -> Result<DataKey, EnvelopeError> {
        let pairs = self.recipients.iter().flat_map(|wrapped| ring.iter().map(move |key| (wrapped, key)));
        let ours = |(wrapped, key): &(&WrappedKey, &DecryptionKey)| {
            wrapped.id == key.id && wrapped.suite == key.key.suite()
        };
        let (wrapped, key) = pairs.into_iter().find(ours).ok_or(EnvelopeError::NotForUs)?;
        if is_downgrade(key, ring) {
            return Err(EnvelopeError::Downgrade);
        }
        let id = wrapped.id.as_str();
        let (encapsulated, wrap) = (&wrapped.encapsulated, &wrapped.wrap);
        let key =
            DataKey::unwrap_for(&key.key, Label::Recipient, id, encapsulated, wrap, binding, self.epoch)?;
        self.check_key(&key, binding)?;
        Ok(key)
    }

    /// The same envelope with the own copy under the key of a new epoch. The text and the recipients stay as they are.
    ///
    /// # Errors
    /// When the envelope is not the author's, or was changed.
    pub fn rewrap(
        &self,
        binding: &Binding,
        keys: &[EpochKey],
        new: &EpochKey,
        entropy: &dyn Entropy,
    ) -> Result<Self, EnvelopeError> {
        let key = self.own_key(binding, keys)?;
        let mut envelope = self.clone();
        envelope.own = own_copy(&key, new, binding, self.epoch, entropy);
        envelope.commit_to(&key, binding);
        Ok(envelope)
    }

    /// The same envelope for more recipients. To have fewer, seal anew: one who could read keeps what they have read.
    ///
    /// # Errors
    /// When the envelope is not the author's or was changed, or as [`Envelope::seal`] for the recipients.
    pub fn share(
        &self,
        binding: &Binding,
        keys: &[EpochKey],
        more: &[Recipient],
        entropy: &dyn Entropy,
    ) -> Result<Self, EnvelopeError> {
        let key = self.own_key(binding, keys)?;
        let mut envelope = self.clone();
        envelope.wrap_for(&key, binding, more, entropy)?;
        envelope.commit_to(&key, binding);
        Ok(envelope)
    }

    /// The data key from the own copy, checked against the commitment: what a stranger has put there is never passed on.
    pub(crate) fn own_key(&self, binding: &Binding, keys: &[EpochKey]) -> Result<DataKey, EnvelopeError> {
        let own = &self.own;
        let epoch_key = keys.iter().find(|key| key.epoch() == own.epoch).ok_or(EnvelopeError::NotForUs)?;
        let key = DataKey::unwrap_own(epoch_key, Label::Own, &own.nonce, &own.wrap, binding, self.epoch)?;
        self.check_key(&key, binding)?;
        Ok(key)
    }

    /// Checks a data key against the commitment.
    pub(crate) fn check_key(&self, key: &DataKey, binding: &Binding) -> Result<(), EnvelopeError> {
        key.derive().check(binding, self.epoch, &form::encode_head(self), &self.commit)
    }

    /// Opens the text with a data key that was checked.
    pub(crate) fn open_with(&self, key: &DataKey, binding: &Binding) -> Result<Opened, EnvelopeError> {
        let derived = key.derive();
        padding::unpad(derived.open(&self.nonce, binding, self.epoch, &self.ciphertext)?)
    }

    fn wrap_for(
        &mut self,
        key: &DataKey,
        binding: &Binding,
        recipients: &[Recipient],
        entropy: &dyn Entropy,
    ) -> Result<(), EnvelopeError> {
        if self.recipients.len() + recipients.len() > MAX_RECIPIENTS {
            return Err(EnvelopeError::TooManyRecipients);
        }
        let mut ordered: Vec<&Recipient> = recipients.iter().collect();
        ordered.sort_by(|left, right| left.did().as_str().cmp(right.did().as_str()));
        for recipient in ordered {
            let to = recipient.key();
            let at =
                self.recipients.binary_search_by(|held| held.id.did().as_str().cmp(to.id.did().as_str()));
            let Err(at) = at else { return Err(EnvelopeError::RecipientTwice) };
            let (encapsulated, wrap) = key.wrap_for(to, Label::Recipient, binding, self.epoch, entropy)?;
            let wrapped = WrappedKey { id: to.id.clone(), suite: to.key.suite(), encapsulated, wrap };
            self.recipients.insert(at, wrapped);
        }
        Ok(())
    }

    fn commit_to(&mut self, key: &DataKey, binding: &Binding) {
        self.commit = key.derive().commit(binding, self.epoch, &form::encode_head(self));
    }
}

fn own_copy(key: &DataKey, own: &EpochKey, binding: &Binding, epoch: u32, entropy: &dyn Entropy) -> OwnCopy {
    let nonce = draw_nonce(entropy);
    OwnCopy { epoch: own.epoch(), nonce, wrap: key.wrap_own(own, Label::Own, &nonce, binding, epoch) }
}

pub(crate) fn draw_nonce(entropy: &dyn Entropy) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    nonce
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use zeroize::Zeroizing;

    use super::*;
    use crate::{KeyId, SecretKey, Suite};

    struct Counter(Cell<u8>);

    impl Entropy for Counter {
        fn fill(&self, buffer: &mut [u8]) {
            self.0.set(self.0.get() + 1);
            buffer.fill(self.0.get());
        }
    }

    /// A sender who gives two readers different data keys, and commits to one of them, as a ciphertext needs that is made to
    /// open under both. Only the reader of the key that is committed to gets as far as the ciphertext.
    #[test]
    fn a_sender_cannot_give_two_readers_different_keys() {
        let entropy = Counter(Cell::new(0));
        let binding = Binding {
            author: "did:plc:mallory".parse().unwrap(),
            collection: "agent.comms.message".parse().unwrap(),
            rkey: "3lznm6spegk2z".parse().unwrap(),
            schema: "agent.comms.message".parse().unwrap(),
        };
        let reader = |name: &str| DecryptionKey {
            id: KeyId::parse(&format!("did:plc:{name}#agent-enc-1")).unwrap(),
            epoch: 1,
            key: SecretKey::generate(Suite::X25519, &entropy),
        };
        let readers = [reader("bob"), reader("carol")];
        let to = |key: &DecryptionKey| Recipient::of(&[key.published()]).unwrap();
        let own = EpochKey::from_bytes(1, Zeroizing::new([9; 32]));
        let (one, two) = (DataKey::fresh(&entropy), DataKey::fresh(&entropy));

        let mut envelope = Envelope::seal(&binding, &own, &[], b"", &entropy).unwrap();
        let text = padding::pad(b"what both are meant to read", padding::MAX_MESSAGE_BYTES).unwrap();
        envelope.wrap_for(&one, &binding, &[to(&readers[0])], &entropy).unwrap();
        envelope.wrap_for(&two, &binding, &[to(&readers[1])], &entropy).unwrap();
        let mut outcomes = Vec::new();
        for key in [&one, &two] {
            envelope.ciphertext = key.derive().seal(&envelope.nonce, &binding, 1, &text);
            for committed in [&one, &two] {
                envelope.commit_to(committed, &binding);
                outcomes.push(
                    readers
                        .each_ref()
                        .map(|reader| envelope.open(&binding, std::slice::from_ref(reader)).is_ok()),
                );
            }
        }
        assert_eq!(outcomes, [[true, false], [false, false], [false, false], [false, true]]);
        // It is the commitment that refuses the other key, whatever the ciphertext is.
        let head = form::encode_head(&envelope);
        assert!(two.derive().check(&binding, 1, &head, &envelope.commit).is_ok());
        assert_eq!(one.derive().check(&binding, 1, &head, &envelope.commit), Err(EnvelopeError::Sealed));
    }
}
