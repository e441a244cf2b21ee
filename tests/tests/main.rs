//! All tests in one program: one for each file takes longer to link than to run.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod access;
mod agents;
mod bench;
mod blobs;
mod canary;
mod clients;
mod custody;
mod dead_letters;
mod deliveries;
mod demo;
mod dev;
mod embedders;
mod events;
mod firehose;
mod identity;
mod import;
mod inbox;
mod incidents;
mod kill;
mod lifecycle;
mod limits;
mod mail;
mod malformed;
mod memories;
mod memories_move;
mod memory_faults;
mod messages;
mod migration;
mod panics;
mod peers;
mod proxy;
mod public;
mod reference;
mod rows;
mod schedules;
mod standing;
mod stream;
mod upkeep;
mod vectorize;
mod webhooks;
mod wrangler;
