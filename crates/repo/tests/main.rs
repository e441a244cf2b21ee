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

mod common;
mod differential;
mod hostile;
mod interop_car;
mod interop_mst;
mod interop_mst_diff;
mod properties;
