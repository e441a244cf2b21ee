//! The AT Protocol data model: strict DAG-CBOR, its JSON form, CIDs and blob references.
//!
//! A value of the data model is an [`Ipld`] without floats. It has one binary form, which is hashed and signed, and a
//! JSON form for people and HTTP:
//!
//! - [`cbor`]: DAG-CBOR, where a value has exactly one encoding and anything else is refused.
//! - [`json`]: links as `{"$link": …}`, bytes as `{"$bytes": …}`.
//! - [`record`]: what a record must be on top of that.
//! - [`blob`]: references to blobs inside a record.
//!
//! Everything here reads what strangers send. The readers work on slices, never recurse deeper than
//! [`limits::MAX_DEPTH`], and never reserve more memory than the input can fill.
//!
//! ```
//! use murmuration_data::{cbor, cid_of_cbor, json};
//!
//! let post = json::parse(br#"{"$type": "app.bsky.feed.post", "text": "hello"}"#)?;
//! let block = cbor::encode(&post)?;
//! assert_eq!(cbor::decode(&block)?, post);
//! assert!(cid_of_cbor(&block).to_string().starts_with("bafyrei"));
//! # Ok::<(), murmuration_data::DataError>(())
//! ```
//!
//! Specification: <https://atproto.com/specs/data-model>; limits: <https://atproto.com/guides/data-validation>.

pub mod blob;
pub mod cbor;
mod error;
pub mod json;
pub mod limits;
mod link;
pub mod record;

pub use ::cid::Cid;
pub use error::{DataError, Kind};
pub use ipld_core::ipld::Ipld;
pub use link::{
    CID_BYTES, DAG_CBOR, RAW, cid_from_bytes, cid_of_cbor, cid_of_digest, cid_of_raw, cid_to_bytes,
    cid_to_text, is_blessed, parse_cid, write_cid,
};
