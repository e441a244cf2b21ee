//! Why a key, a signature or a sealed secret is refused.

/// Why a key, a signature or a sealed secret is refused. Nothing secret is ever part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Bytes that are no secret key of the curve: zero, not below the order, or not 32.
    #[error("not a secret key of the curve")]
    Secret,
    /// Bytes that are no public key of the curve.
    #[error("not a public key of the curve")]
    Public,
    /// Text that is no `did:key` of a curve we know.
    #[error("not a did:key")]
    DidKey,
    /// Text that is not in multibase, base 58.
    #[error("not a key in multibase, base 58")]
    Multibase,
    /// A key of a type that is not known, or not the one that is wanted here.
    #[error("a key of another type")]
    KeyType,
    /// A signature that is not 64 bytes, or has a zero or oversized half.
    #[error("a signature of the wrong form")]
    SignatureForm,
    /// A signature with `s` in the upper half, which would give a message a second signature.
    #[error("a signature with a high s")]
    SignatureHighS,
    /// A signature that is not of this message by this key.
    #[error("a signature that does not verify")]
    Signature,
    /// Text that is no key-encryption key: not 64 hexadecimal digits, or all zero.
    #[error("not a key-encryption key")]
    KekForm,
    /// A secret sealed under a key-encryption key that the host does not have.
    #[error("sealed under key-encryption key {0}, which is missing")]
    KekMissing(u32),
    /// Bytes that are no sealed secret, or one of a form we do not know.
    #[error("not a sealed secret of a known form")]
    SealForm,
    /// A sealed secret that does not open: the key-encryption key of that version is another one, the secret belongs
    /// elsewhere, or its bytes have changed.
    #[error("a sealed secret that does not open: wrong key-encryption key or wrong place")]
    SealBroken,
}
