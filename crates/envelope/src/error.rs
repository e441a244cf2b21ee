//! Why an envelope is refused.

/// Why something is not sealed or not opened. Nothing secret is part of it, and a failure to open never says which part
/// failed: one who tries forged envelopes learns nothing but that they are forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Data that are no envelope of this version.
    #[error("not an envelope")]
    Form,
    /// An envelope of a version that is not known here.
    #[error("an envelope of an unknown version")]
    Version,
    /// A suite that is not known here.
    #[error("an unknown suite")]
    Suite,
    /// A text that names no encryption key: not a DID, `#`, and a fragment.
    #[error("not the name of an encryption key")]
    KeyId,
    /// Bytes that are no public key of the suite, or one that nothing can be sealed to.
    #[error("not a public key of the suite")]
    PublicKey,
    /// A recipient that publishes no encryption key.
    #[error("the recipient publishes no encryption key")]
    NoRecipientKey,
    /// Keys of several DIDs, where those of one recipient must be.
    #[error("encryption keys of more than one recipient")]
    MixedRecipients,
    /// A recipient who is named twice.
    #[error("a recipient named twice")]
    RecipientTwice,
    /// More recipients than [`crate::MAX_RECIPIENTS`].
    #[error("more than {} recipients", crate::MAX_RECIPIENTS)]
    TooManyRecipients,
    /// A message of more than [`crate::MAX_MESSAGE_BYTES`], or an encoded envelope of more than its own limit.
    #[error("too large for an envelope")]
    TooLarge,
    /// An envelope that names none of the keys at hand.
    #[error("not sealed to any key at hand")]
    NotForUs,
    /// An envelope sealed with the weaker suite to a recipient that had published the stronger one.
    #[error("sealed with a weaker suite than the recipient publishes")]
    Downgrade,
    /// An envelope that does not open: another key, another place, or changed bytes.
    #[error("the envelope does not open")]
    Sealed,
}
