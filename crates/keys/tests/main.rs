//! All tests in one program: one for each file takes longer to link than to run.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod agents;
mod interop;
mod interop_wycheproof;
