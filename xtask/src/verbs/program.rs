//! Programs of the black-box tests.

use std::process::{Command, Stdio};

use crate::{Error, Result, root};

/// Builds and runs a program, with options for cargo and arguments of its own.
pub(super) fn run(name: &str, options: &[&str], arguments: &[String]) -> Result<()> {
    let command = format!("cargo run --package murmuration-tests --bin {name}");
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--locked"])
        .args(options)
        .args(["--package", "murmuration-tests", "--bin", name, "--"])
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir(root())
        .status()
        .map_err(|source| Error::Spawn { command: command.clone(), source })?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Command { command, status: status.to_string() }),
    }
}
