//! What the project is built, run and tested with.
//!
//! `cargo xtask <verb>` is the front door ([`verbs`]); the black-box tests use the same parts as a library, so that a
//! world in a test is started by the very code that starts one on a laptop:
//!
//! ```text
//! tools      installs what is missing: npm packages, the wasm32 target
//! worker     builds the Worker's Wasm, once for each state of the sources, and measures it
//! state      a folder with one world's secrets, ports, databases and blobs
//! plc        the reference PLC server over an append-only log
//! workerd    a generated configuration, a process, and the moment it is ready
//! reference  the reference PDS, for comparisons
//! ```
//!
//! Everything that is started here ends with the process that started it, even when that one is killed: see [`child`].

pub mod child;
pub mod config;
pub mod error;
pub mod layers;
pub mod lexicons;
mod names;
pub mod plc;
pub mod ports;
pub mod reference;
pub mod state;
pub mod suites;
pub mod tools;
pub mod verbs;
pub mod worker;
pub mod workerd;

use std::path::{Path, PathBuf};

pub use error::{Error, Result};

/// The folder of the workspace: every path the verbs use hangs from it.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
