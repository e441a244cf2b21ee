//! All tests in one program: one for each file takes longer to link than to run.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod common;
mod inbox;
mod line;
mod news;
mod outbox;
mod parcel;
mod prune;
mod quarantine;
mod quota;
mod sim;
mod sim_hosts;
