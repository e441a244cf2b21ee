//! `cargo xtask test`: what must hold before a change lands.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Arguments;
use crate::tools::WASM_TARGET;
use crate::worker::{Build, Flavour};
use crate::{Error, Result, layers, lexicons, root, suites};

/// Runs the stages in order, all of them even when one fails, and says how long each took.
pub(super) fn run(mut arguments: Arguments) -> Result<()> {
    let stages = match arguments.word().as_deref() {
        None => STAGES,
        Some("--quick") => QUICK,
        Some(word) => return Err(Error::Usage(format!("`{word}` is not understood"))),
    };
    arguments.end()?;
    let mut took: Vec<(&str, Duration, bool)> = Vec::new();
    for (name, stage) in stages {
        eprintln!("\nxtask: {name}");
        let start = Instant::now();
        let outcome = stage();
        if let Err(error) = &outcome {
            eprintln!("xtask: {error}");
        }
        took.push((name, start.elapsed(), outcome.is_ok()));
    }
    eprintln!();
    for (name, time, holds) in &took {
        eprintln!("xtask: {:>7.1} s  {}{name}", time.as_secs_f64(), if *holds { "" } else { "FAILED: " });
    }
    let failed: Vec<_> = took.iter().filter(|(_, _, holds)| !holds).map(|(name, _, _)| *name).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Stages(failed.join(", "))) }
}

type Stage = (&'static str, fn() -> Result<()>);

/// Everything, the quick answers first. All share one target folder. The Wasm is built twice, with and without test routes,
/// which shows of most crates that they compile for wasm32.
const STAGES: &[Stage] = &[
    ("formatting", formatting),
    ("layers", layer_check),
    ("lexicons", lexicon_drift),
    ("clippy", clippy),
    ("native tests", native),
    ("the Worker", worker),
    ("black-box tests", black_box),
];

/// What needs neither Node nor workerd: for the everyday loop.
const QUICK: &[Stage] = &[("formatting", formatting), ("layers", layer_check), ("native tests", native)];

fn formatting() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])
}

fn layer_check() -> Result<()> {
    layers::check(&root())?;
    suites::check(&root())
}

fn lexicon_drift() -> Result<()> {
    lexicons::run(&["--check".to_owned()])
}

fn clippy() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"])
}

fn native() -> Result<()> {
    cargo(&["test", "--workspace", "--exclude", "murmuration-tests", "--locked", "--quiet", "--no-fail-fast"])
}

/// Builds the Worker in both flavours, and checks for its target what neither needs.
fn worker() -> Result<()> {
    for flavour in [Flavour::Plain, Flavour::Test] {
        eprintln!("xtask: {}", Build::ensure(&root(), flavour)?.size());
    }
    let apart = layers::apart(&root())?;
    let check = ["check", "--locked", "--quiet", "--target", WASM_TARGET];
    apart.iter().try_for_each(|name| cargo(&[&check[..], &["--package", name]].concat()))
}

fn black_box() -> Result<()> {
    cargo(&["test", "--package", "murmuration-tests", "--locked", "--no-fail-fast"])
}

/// Runs cargo with its output where it belongs: counts of tests are read from standard output.
fn cargo(arguments: &[&str]) -> Result<()> {
    let command = format!("cargo {}", arguments.join(" "));
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Spawn { command: command.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Command { command, status: status.to_string() }) }
}
