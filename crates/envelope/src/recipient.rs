//! Which of a recipient's keys is sealed to, and which of our own opens.

use murmuration_syntax::Did;

use crate::{DecryptionKey, EncryptionKey, EnvelopeError, Suite};

/// Somebody to seal to, by the strongest of all the keys they publish.
///
/// There is no other way to name a recipient, so that nobody who publishes X-Wing is sealed to with less. The caller
/// passes all keys that the recipient's records hold and that are valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(EncryptionKey);

impl Recipient {
    /// The recipient of these keys: the strongest suite counts, and in it the latest epoch.
    ///
    /// # Errors
    /// When there is no key, or they are of several DIDs.
    pub fn of(published: &[EncryptionKey]) -> Result<Self, EnvelopeError> {
        let strongest = published.iter().max_by_key(|key| (key.key.suite(), key.epoch));
        let strongest = strongest.ok_or(EnvelopeError::NoRecipientKey)?;
        if published.iter().any(|key| key.id.did() != strongest.id.did()) {
            return Err(EnvelopeError::MixedRecipients);
        }
        Ok(Self(strongest.clone()))
    }

    /// Who it is.
    #[must_use]
    pub fn did(&self) -> &Did {
        self.0.id.did()
    }

    /// The key that is sealed to.
    #[must_use]
    pub fn key(&self) -> &EncryptionKey {
        &self.0
    }
}

/// Whether an envelope that was sealed to this key should have been sealed to a stronger one, which its owner had published
/// in the same epoch or before.
pub(crate) fn is_downgrade(used: &DecryptionKey, ring: &[DecryptionKey]) -> bool {
    let suite: Suite = used.key.suite();
    ring.iter().any(|key| key.id.did() == used.id.did() && key.key.suite() > suite && key.epoch <= used.epoch)
}
