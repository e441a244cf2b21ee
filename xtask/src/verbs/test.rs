//! `cargo xtask test`: what must hold before a change lands.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Arguments;
use crate::tools::WASM_TARGET;
use crate::worker::{Build, Flavour};
use crate::{Error, Result, layers, lexicons, reference, root, suites};

/// Runs the stages in order, all of them even when one fails, and says how long each took.
pub(super) fn run(mut arguments: Arguments) -> Result<()> {
    let stages = match arguments.word().as_deref() {
        None => STAGES,
        Some("--quick") => QUICK,
        Some(word) => return Err(Error::Usage(format!("`{word}` is not understood"))),
    };
    arguments.end()?;
    let begun = Instant::now();
    let mut took: Vec<(&str, Duration, bool)> = Vec::new();
    thread::scope(|scope| {
        let mut beside: BTreeMap<&str, _> = stages
            .iter()
            .filter(|stage| stage.beside)
            .map(|stage| (stage.name, scope.spawn(|| timed(stage.run))))
            .collect();
        for stage in stages {
            eprintln!("\nxtask: {}", stage.name);
            let (time, outcome) = match beside.remove(stage.name) {
                // INVARIANT: stages do not panic, and when one does, this is no place to go on from.
                #[expect(clippy::expect_used)]
                Some(stage) => stage.join().expect("a stage panicked"),
                None => timed(stage.run),
            };
            if let Err(error) = &outcome {
                eprintln!("xtask: {error}");
            }
            took.push((stage.name, time, outcome.is_ok()));
        }
    });
    eprintln!();
    for (name, time, holds) in &took {
        eprintln!("xtask: {:>7.1} s  {}{name}", time.as_secs_f64(), if *holds { "" } else { "FAILED: " });
    }
    eprintln!("xtask: {:>7.1} s  in all", begun.elapsed().as_secs_f64());
    let failed: Vec<_> = took.iter().filter(|(_, _, holds)| !holds).map(|(name, _, _)| *name).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Stages(failed.join(", "))) }
}

/// Something that must hold.
struct Stage {
    name: &'static str,
    run: fn() -> Result<()>,
    /// Whether it begins with the first stage, and is waited for in its place. Its output stands where it comes.
    beside: bool,
}

impl Stage {
    const fn new(name: &'static str, run: fn() -> Result<()>) -> Self {
        Self { name, run, beside: false }
    }

    const fn beside(name: &'static str, run: fn() -> Result<()>) -> Self {
        Self { name, run, beside: true }
    }
}

fn timed(run: fn() -> Result<()>) -> (Duration, Result<()>) {
    let start = Instant::now();
    let outcome = run();
    (start.elapsed(), outcome)
}

/// Everything, the quick answers first. All share one target folder. The Wasm is built twice, with and without test routes,
/// which shows of most crates that they compile for wasm32. That takes one core, and most tests leave one.
const STAGES: &[Stage] = &[
    Stage::new("formatting", formatting),
    Stage::new("layers", layer_check),
    Stage::new("lexicons", lexicon_drift),
    Stage::new("clippy", clippy),
    Stage::new("native tests", native),
    Stage::beside("the Worker", worker),
    Stage::new("black-box tests", black_box),
];

/// What needs neither Node nor workerd: for the everyday loop.
const QUICK: &[Stage] = &[
    Stage::new("formatting", formatting),
    Stage::new("layers", layer_check),
    Stage::new("native tests", native),
];

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

/// All tests but those of the real Worker. They select the whole workspace, as clippy and those do, because cargo compiles a
/// dependency once for each set of features that a selection asks for.
fn native() -> Result<()> {
    let targets = ["--lib", "--bins", "--test", "[!b]*"];
    cargo(&[&["test", "--workspace", "--locked", "--quiet", "--no-fail-fast"], targets.as_slice()].concat())?;
    cargo(&["test", "--workspace", "--doc", "--locked", "--quiet", "--no-fail-fast"])
}

/// Builds the Worker in both flavours, checks for its target what neither needs, and installs what the black-box tests run
/// beside it.
fn worker() -> Result<()> {
    for flavour in [Flavour::Plain, Flavour::Test] {
        eprintln!("xtask: {}", Build::ensure(&root(), flavour)?.size());
    }
    let apart = layers::apart(&root())?;
    let check = ["check", "--locked", "--quiet", "--target", WASM_TARGET];
    apart.iter().try_for_each(|name| cargo(&[&check[..], &["--package", name]].concat()))?;
    reference::prepare(&root())
}

fn black_box() -> Result<()> {
    let targets = ["--test", "black_box", "--", "--test-threads", BLACK_BOX_THREADS];
    cargo(&[&["test", "--workspace", "--locked", "--no-fail-fast"], targets.as_slice()].concat())
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

/// Black-box tests that run at a time: twice the cores of the smallest machine that this is meant for, because each waits for
/// timers, evictions and restarts more than it works.
const BLACK_BOX_THREADS: &str = "4";
