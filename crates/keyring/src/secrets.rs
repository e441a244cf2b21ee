//! The secrets of one epoch.

use std::fmt;

use murmuration_envelope::{EpochKey, SecretKey, Suite, Zeroizing};
use murmuration_keys::{ED25519_BYTES, Ed25519SigningKey};
use murmuration_platform::Entropy;

use crate::KeyringError;

/// The four secrets of one epoch. They are wiped from memory when they go out of use.
#[derive(Clone)]
pub struct EpochSecrets {
    pub(crate) signing: Ed25519SigningKey,
    pub(crate) agreement: SecretKey,
    pub(crate) hybrid: SecretKey,
    pub(crate) own: EpochKey,
}

impl EpochSecrets {
    /// New secrets for an epoch.
    #[must_use]
    pub fn generate(number: u32, entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; ED25519_BYTES]);
        entropy.fill(seed.as_mut_slice());
        Self {
            signing: Ed25519SigningKey::from_bytes(&seed),
            agreement: SecretKey::generate(Suite::X25519, entropy),
            hybrid: SecretKey::generate(Suite::XWing, entropy),
            own: EpochKey::generate(number, entropy),
        }
    }

    /// Reads the bytes that [`EpochSecrets::to_bytes`] gives.
    ///
    /// # Errors
    /// When they are not [`SECRETS_BYTES`].
    pub fn from_bytes(number: u32, bytes: &[u8]) -> Result<Self, KeyringError> {
        let part = |index: usize| {
            let mut part = Zeroizing::new([0; PART_BYTES]);
            let given = bytes.get(index * PART_BYTES..(index + 1) * PART_BYTES);
            part.copy_from_slice(given.ok_or(KeyringError::Secrets)?);
            Ok::<_, KeyringError>(part)
        };
        if bytes.len() != SECRETS_BYTES || number == 0 {
            return Err(KeyringError::Secrets);
        }
        let signing = part(0)?;
        Ok(Self {
            signing: Ed25519SigningKey::from_bytes(&signing),
            agreement: SecretKey::from_bytes(Suite::X25519, part(1)?),
            hybrid: SecretKey::from_bytes(Suite::XWing, part(2)?),
            own: EpochKey::from_bytes(number, part(3)?),
        })
    }

    /// The secrets, to be sealed and stored: Ed25519, X25519, X-Wing, the own copies' key, 32 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Reserved whole, so that no copy is left behind by a vector that grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRETS_BYTES));
        bytes.extend_from_slice(self.signing.to_bytes().as_slice());
        for part in [self.agreement.expose(), self.hybrid.expose(), self.own.expose()] {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// The number of the epoch; the first is 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.own.epoch()
    }
}

impl fmt::Debug for EpochSecrets {
    /// Shows the number only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochSecrets").field("number", &self.number()).finish_non_exhaustive()
    }
}

/// Bytes of each of the four.
const PART_BYTES: usize = 32;

/// Bytes of the secrets of an epoch.
pub const SECRETS_BYTES: usize = 4 * PART_BYTES;
