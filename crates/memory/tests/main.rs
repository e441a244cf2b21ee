//! All tests in one program: one for each file takes longer to link than to run.

#![allow(missing_docs, unreachable_pub, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod apart;
mod common;
mod compact;
mod duplicates;
mod embedding;
mod facts;
mod ingest;
mod memories;
mod rewrap;
mod search;
mod sharing;
mod state;
mod transfer;
mod uses;
