//! Identifiers of the AT Protocol, parsed once: DID, handle, NSID, record key, TID, AT URI.
//!
//! A value of one of these types is proof that its text is well formed, so nothing further in has to check again. Each
//! type has a private field, `parse`, `as_str` (but [`Tid`], which is a number), `Display`, `FromStr`, and reads and
//! writes itself as a JSON or CBOR string.
//!
//! ```
//! use murmuration_syntax::{AtUri, RepoPath, Tid};
//!
//! let uri = AtUri::parse("at://did:plc:7iza6de2dwap2sbkpav7c6c6/app.bsky.feed.post/3jzfcijpj2z2a")?;
//! let path: RepoPath = uri.path().ok_or("no record")?;
//! assert_eq!(path.to_string(), "app.bsky.feed.post/3jzfcijpj2z2a");
//!
//! // A rev is a TID; the next one is later than the last even when the clock is not.
//! let last = Tid::parse("3jzfcijpj2z2a")?;
//! assert!(Tid::next(0, 7, Some(last)) > last);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Formats that appear inside records and need no type of their own are checked by functions: [`datetime`],
//! [`language`], [`uri`], [`cid`].
//!
//! The parsers are written by hand over bytes: a regular expression engine would weigh more than this whole crate in
//! the Worker. They hold to <https://atproto.com/specs/did>, `/handle`, `/nsid`, `/record-key`, `/tid`,
//! `/at-uri-scheme` and `/lexicon`, and to the published interop files, which are tests here.

mod at_uri;
pub mod cid;
pub mod datetime;
mod did;
mod error;
mod handle;
mod identifier;
pub mod language;
mod newtype;
mod nsid;
mod path;
mod record_key;
mod tid;
pub mod uri;

pub use at_uri::{AtUri, MAX_AT_URI_BYTES};
pub use did::{Did, MAX_DID_BYTES};
pub use error::{Kind, SyntaxError};
pub use handle::{Handle, MAX_HANDLE_BYTES};
pub use identifier::AtIdentifier;
pub use nsid::{MAX_NSID_BYTES, Nsid};
pub use path::RepoPath;
pub use record_key::{MAX_RECORD_KEY_BYTES, RecordKey};
pub use tid::Tid;

/// The revision of a repository: a [`Tid`] that only ever grows.
pub type Rev = Tid;
