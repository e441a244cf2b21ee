//! Why something is not data of the model.

use std::fmt;

/// A kind of item: what the next one is, or what a reader wanted to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A byte string.
    Bytes,
    /// A text.
    Text,
    /// A list.
    Array,
    /// A map.
    Map,
    /// A link.
    Link,
    /// True or false.
    Bool,
    /// Null.
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "an integer",
            Self::Bytes => "bytes",
            Self::Text => "a text",
            Self::Array => "a list",
            Self::Map => "a map",
            Self::Link => "a link",
            Self::Bool => "a boolean",
            Self::Null => "null",
        })
    }
}

/// Why something is not data of the model. The data itself is never repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The input ends inside a value.
    #[error("CBOR: ends inside a value")]
    Truncated,
    /// The input goes on after the value.
    #[error("CBOR: goes on after the value")]
    Trailing,
    /// A number or a length is not in its shortest form.
    #[error("CBOR: a number or length is not in its shortest form")]
    NotMinimal,
    /// A string, list or map of indefinite length.
    #[error("CBOR: indefinite length")]
    Indefinite,
    /// A reserved or unknown initial byte: `undefined`, other simple values, reserved lengths.
    #[error("CBOR: a value the data model does not have")]
    Unsupported,
    /// A tag other than 42.
    #[error("CBOR: tag {0}, where only 42 is allowed")]
    Tag(u64),
    /// A floating point number.
    #[error("a floating point number")]
    Float,
    /// An integer beyond ±(2^53 - 1).
    #[error("an integer beyond 2^53 - 1")]
    IntegerRange,
    /// A map whose keys are not sorted by length and then by bytes, or that has one twice.
    #[error("CBOR: map keys out of order or repeated")]
    KeyOrder,
    /// A map's key that is not a text.
    #[error("CBOR: a map key that is not a text")]
    KeyKind,
    /// A map's key of no bytes.
    #[error("an empty map key")]
    KeyEmpty,
    /// A map's key of more than [`crate::limits::MAX_KEY_BYTES`].
    #[error("a map key of more than {} bytes", crate::limits::MAX_KEY_BYTES)]
    KeyTooLong,
    /// An object that has a key twice.
    #[error("JSON: a repeated key")]
    KeyRepeated,
    /// The key `__proto__`, which changes what an object is where JavaScript reads it.
    #[error("the key __proto__")]
    KeyReserved,
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    Utf8,
    /// More containers inside one another than [`crate::limits::MAX_DEPTH`].
    #[error("nested deeper than {}", crate::limits::MAX_DEPTH)]
    Depth,
    /// A container of more than [`crate::limits::MAX_CONTAINER`].
    #[error("a list or map of more than {}", crate::limits::MAX_CONTAINER)]
    Container,
    /// A document of more than [`crate::limits::MAX_VALUES`].
    #[error("more than {} values", crate::limits::MAX_VALUES)]
    Values,
    /// Another kind of value than the reader wanted.
    #[error("not {0}, where it must be")]
    Expected(Kind),
    /// A CID that is not of version 1, of DAG-CBOR or raw bytes, by SHA-256, or is malformed.
    #[error("not a CIDv1 of DAG-CBOR or raw bytes by SHA-256")]
    Cid,
    /// Text that is not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// An object with `$link` that is not a link.
    #[error("$link is not a CID, or not alone")]
    LinkForm,
    /// An object with `$bytes` that is not bytes.
    #[error("$bytes is not base64, or not alone")]
    BytesForm,
    /// A `$type` that is not a text, or an empty one.
    #[error("$type is not a text, or empty")]
    TypeForm,
    /// An object of `$type` blob that is not a blob reference.
    #[error("a blob without exactly a ref of raw bytes, a mimeType and a size")]
    BlobForm,
    /// A record that is not an object.
    #[error("a record that is not an object")]
    RecordForm,
    /// A record of more bytes than it may have.
    #[error("a record of more than {0} bytes")]
    RecordTooLarge(usize),
}
