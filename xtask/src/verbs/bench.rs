//! `cargo xtask bench`: the load is a program of the black-box tests.

use std::process::{Command, Stdio};

use crate::{Error, Result, root};

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let command = "cargo run --package murmuration-tests --bin bench";
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--locked", "--config", OPTIMIZED])
        .args(["--package", "murmuration-tests", "--bin", "bench", "--"])
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir(root())
        .status()
        .map_err(|source| Error::Spawn { command: command.to_owned(), source })?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Command { command: command.to_owned(), status: status.to_string() }),
    }
}

/// The load must not weigh more than what it measures.
const OPTIMIZED: &str = "profile.dev.package.murmuration-tests.opt-level = 2";
