//! All tests in one program: one for each file takes longer to link than to run.

#![allow(missing_docs, unreachable_pub, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod common;
mod frames;
mod index;
mod outer;
