//! The suites that a data key can be sealed to a recipient with.

use crate::EnvelopeError;

/// How a data key is sealed to a recipient: HPKE (RFC 9180) in base mode, with HKDF-SHA256 and ChaCha20-Poly1305, over one
/// of two key encapsulations. They are ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// DHKEM(X25519, HKDF-SHA256), 0x0020.
    X25519,
    /// X-Wing, that is MLKEM768-X25519, 0x647a: safe as long as one of its two halves is.
    XWing,
}

impl Suite {
    /// The suite of a name.
    ///
    /// # Errors
    /// When no suite has it.
    pub fn parse(name: &str) -> Result<Self, EnvelopeError> {
        let known = [Self::X25519, Self::XWing];
        known.into_iter().find(|suite| suite.name() == name).ok_or(EnvelopeError::Suite)
    }

    /// Its name in envelopes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "hpke-x25519-hkdf-sha256-chacha20poly1305",
            Self::XWing => "hpke-xwing-hkdf-sha256-chacha20poly1305",
        }
    }

    /// Bytes of a public key.
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1216,
        }
    }

    /// Bytes of an encapsulated key.
    #[must_use]
    pub const fn encapsulated_bytes(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1120,
        }
    }
}
