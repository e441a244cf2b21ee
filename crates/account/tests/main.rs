//! All tests in one program: one for each file takes longer to link than to run.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod account;
mod blobs;
mod code;
mod common;
mod deletion;
mod document;
mod hostile;
mod import;
mod incidents;
mod keyring;
mod large;
mod limits;
mod outbox;
mod recent;
mod reseal;
mod rotated_messages;
mod rotation;
mod sessions;
mod takedowns;
