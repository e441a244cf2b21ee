//! did:plc: a DID is the hash of its first operation, and a log of signed operations says what it means now.
//!
//! ```text
//! genesis ──prev── update ──prev── update ──prev── tombstone
//!    │                └ signed by one of the rotation keys of the operation before it
//!    └ DID = "did:plc:" + first 24 characters of base32(sha-256(signed genesis))
//! ```
//!
//! An operation is signed over its canonical DAG-CBOR without the `sig` field; its CID, which the next operation's `prev`
//! names, covers the field. So a log proves itself, and the directory that keeps it can withhold or misorder, never
//! forge. What the directory says is not believed here where it can be verified.
//!
//! Tricky bits:
//! - Signatures must be canonical: 64 bytes, low S, base64url without padding or stray bits. Anything else would give a
//!   third party a second valid form of somebody's operation, with another CID.
//! - The first accounts have a genesis of another shape (`create`), and their DIDs are hashes of it for ever.
//! - A rotation key that stands earlier in the list may undo, within 72 hours, what a later one signed: see
//!   [`verify_audit`].
//!
//! <https://web.plc.directory/spec/v0.1/did-plc>

mod client;
mod log;
mod operation;

pub use client::Client;
pub use log::{AuditEntry, Verified, verify, verify_audit, verify_next};
pub use operation::{Operation, Service, State};
