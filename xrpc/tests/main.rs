//! All tests in one program: one for each file takes longer to link than to run.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod agent;
mod alias;
mod comms;
mod comms_hosts;
mod comms_queue;
mod create_account;
mod create_agent;
mod custody;
mod deletion;
mod embedders;
mod events;
mod groups;
mod handle;
mod handoffs;
mod host;
mod identity;
mod import;
mod inbox;
mod invites;
mod keys;
mod limits;
mod listing;
mod mail;
mod memory;
mod memory_ingest;
mod memory_large;
mod memory_public;
mod memory_search;
mod memory_share_with;
mod memory_shares;
mod memory_transfer;
mod memory_upkeep;
mod moved;
mod moving;
mod operator;
mod operator_accounts;
mod peer_keys;
mod peers;
mod plc;
mod preferences;
mod proxy;
mod push;
mod reseal;
mod rotation;
mod service_auth;
mod sessions;
mod table;
mod world;
