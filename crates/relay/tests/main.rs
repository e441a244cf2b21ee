//! All tests in one program: one for each file takes longer to link than to run.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;
mod crawl;
mod events;
mod feed;
mod forget;
mod holdings;
mod hooks;
mod log;
mod peers;
mod sim;
mod topics;
mod visits;
