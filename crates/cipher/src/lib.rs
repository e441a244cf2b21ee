//! XChaCha20-Poly1305, its keystream made four blocks at a time.
//!
//! What an agent keeps is sealed with this cipher, and much of it is opened at once when its object wakes. The library that has
//! the cipher (`chacha20poly1305`) makes a block of keystream after the other in Wasm, where that is most of what opening
//! takes. So the blocks are made here, four in the lanes of vector registers, and the rest stays the library's: how nonces
//! are extended, the counter, Poly1305, and how they go together. What is sealed by one is opened by the other.
//!
//! Nothing here branches on secrets or looks them up in tables.
//!
//! ```
//! use murmuration_cipher::Cipher;
//!
//! let cipher = Cipher::new(&[7; 32]);
//! let sealed = cipher.seal(&[1; 24], b"page 1", b"the deploy window is Friday");
//! assert!(cipher.open(&[1; 24], b"page 1", &sealed).is_some());
//! assert!(cipher.open(&[1; 24], b"page 2", &sealed).is_none());
//! ```

mod keystream;
mod lanes;

use std::fmt;

use chacha20::cipher::StreamCipherCoreWrapper;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::consts::U24;
use chacha20poly1305::{ChaChaPoly1305, KeyInit};
use zeroize::Zeroizing;

/// The cipher under a key. The key is wiped when it goes out of use.
pub struct Cipher(ChaChaPoly1305<StreamCipherCoreWrapper<keystream::Keystream>, U24>);

impl Cipher {
    /// Under a key.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(ChaChaPoly1305::new(key.into()))
    }

    /// Seals a text, and vouches for the associated data beside it: as many bytes as the text, and [`TAG_BYTES`]. Under one key no
    /// nonce may be used twice; of [`NONCE_BYTES`] they may be drawn at random for ever.
    #[must_use]
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text: &[u8]) -> Vec<u8> {
        // INVARIANT: the cipher takes all texts below 256 GiB, which is more than a Wasm has memory, or a test.
        #[expect(clippy::expect_used, reason = "the invariant above")]
        self.0.encrypt(nonce.into(), Payload { msg: text, aad }).expect("a text below 256 GiB")
    }

    /// Opens what was sealed under this key with this nonce and these associated data; nothing else opens.
    #[must_use]
    pub fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.0.decrypt(nonce.into(), Payload { msg: sealed, aad }).map(Zeroizing::new).ok()
    }
}

impl fmt::Debug for Cipher {
    /// Shows nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

/// Bytes that sealing adds to a text.
pub const TAG_BYTES: usize = 16;
