//! All tests in one program: one for each file takes longer to link than to run.

#![allow(missing_docs, clippy::as_conversions, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod frames;
mod verify;
