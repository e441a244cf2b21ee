//! Validates data against lexicon documents, and carries the documents.
//!
//! A [`Catalog`] has documents by NSID; [`Catalog::builtin`] those of `com.atproto.*`, `app.bsky.*` and of this
//! project. Against it, records, parameters and bodies are held:
//!
//! ```
//! use murmuration_data::json;
//! use murmuration_lexicons::{Catalog, Validation, params, validate_record};
//! use murmuration_syntax::{Nsid, RecordKey};
//!
//! let catalog = Catalog::builtin();
//!
//! let (collection, rkey) = (Nsid::parse("app.bsky.feed.post")?, RecordKey::parse("3jzfcijpj2z2a")?);
//! let post = json::parse(br#"{"$type": "app.bsky.feed.post", "text": "hello"}"#)?;
//! let error = validate_record(catalog, &collection, &rkey, &post).unwrap_err();
//! assert_eq!(error.to_string(), "Record must have the property \"createdAt\"");
//!
//! let post = br#"{"$type": "app.bsky.feed.post", "text": "hello", "createdAt": "2026-11-23T04:00:00Z"}"#;
//! assert_eq!(validate_record(catalog, &collection, &rkey, &json::parse(post)?)?, Validation::Valid);
//!
//! // Parameters are read as the method declares them, and completed with their defaults.
//! let pairs = [("repo".to_owned(), "alice.test".to_owned()), ("collection".to_owned(), collection.to_string())];
//! let read = params(catalog, "com.atproto.repo.listRecords", &pairs)?;
//! assert_eq!(json::to_string(&read), r#"{"collection":"app.bsky.feed.post","limit":50,"repo":"alice.test"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Documents
//! Documents of others are in `generated/`, written by `cargo xtask lexicons` from a pinned npm package; this project's
//! own are in `agent/`. `build.rs` packs both. A document that was published elsewhere is read by [`Document::parse`].
//!
//! Specification: <https://atproto.com/specs/lexicon>.

mod catalog;
mod defaults;
mod document;
mod error;
mod format;
mod method;
mod parse;
mod path;
mod record;
mod schema;
mod validate;

pub use catalog::Catalog;
pub use document::{Document, Method, MethodKind};
pub use error::LexiconError;
pub use method::{input, message, object, output, params};
pub use record::{Validation, validate_record};
