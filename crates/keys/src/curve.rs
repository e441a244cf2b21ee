//! The two curves.

use std::fmt;

/// A curve that accounts may sign on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// secp256k1: the default, and the faster one in Wasm.
    K256,
    /// NIST P-256, secp256r1: what hardware and WebCrypto have.
    P256,
}

impl Curve {
    /// The name of its signatures in tokens (RFC 7518, RFC 8812).
    #[must_use]
    pub fn token_algorithm(self) -> &'static str {
        match self {
            Self::K256 => "ES256K",
            Self::P256 => "ES256",
        }
    }

    /// The varint that stands before a public key, as the multicodec table has it: 0xe7 and 0x1200.
    pub(crate) fn multicodec(self) -> [u8; 2] {
        match self {
            Self::K256 => [0xe7, 0x01],
            Self::P256 => [0x80, 0x24],
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K256 => "K-256",
            Self::P256 => "P-256",
        })
    }
}
