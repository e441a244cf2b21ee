//! What `cargo xtask bench` runs.

#![allow(clippy::print_stdout, reason = "the table is what is asked for")]

use std::path::PathBuf;
use std::process::ExitCode;

use murmuration_tests::bench::{
    AGENT_NAMES, Against, MEMORY_NAMES, MemoryPlan, NAMES, Plan, agent_table, memory, run, run_agents, table,
};

fn main() -> ExitCode {
    let mut plan = Plan::FULL;
    let mut only = Vec::new();
    let (mut build, mut quick) = (None::<PathBuf>, false);
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "memory").is_some() {
        return memories(words);
    }
    while let Some(word) = words.next() {
        match (word.as_str(), words.by_ref()) {
            ("--quick", _) => (plan, quick) = (Plan::QUICK, true),
            ("--only", words) => match words.next().filter(|name| names().any(|known| known == name)) {
                Some(name) => only.push(name),
                None => return usage("--only takes the name of a measure"),
            },
            ("--against", words) => match words.next().map(PathBuf::from) {
                Some(folder) if folder.join("index_bg.wasm").is_file() => build = Some(folder),
                _ => return usage("--against takes the folder of a build"),
            },
            _ => return usage(&format!("`{word}` is not understood")),
        }
    }
    let (against, name) = match &build {
        Some(folder) => (Against::Build(folder), "the other build"),
        None => (Against::Reference, "reference PDS"),
    };
    let wants =
        |names: &[&str]| only.is_empty() || only.iter().any(|chosen| names.contains(&chosen.as_str()));
    let mut missed = Vec::new();
    if wants(&NAMES) {
        let lines = run(&plan, &only, &against);
        println!("{}", table(&lines, name));
        missed.extend(lines.iter().filter(|line| !line.is_met()).map(|line| line.title.to_owned()));
    }
    if wants(&AGENT_NAMES) {
        let figures = run_agents(&plan, &only);
        println!("{}", agent_table(&figures));
        missed.extend(figures.iter().filter(|figure| !figure.is_met()).map(|figure| figure.title.clone()));
    }
    // A quick run measures nothing, and the bars are against the reference.
    if missed.is_empty() || quick || build.is_some() {
        return ExitCode::SUCCESS;
    }
    eprintln!("bench: missed: {}", missed.join("; "));
    ExitCode::FAILURE
}

/// The tables of memories: a part of its own, because its texts are not on every machine.
fn memories(mut words: impl Iterator<Item = String>) -> ExitCode {
    let texts = xtask::root().join(".tools/memory");
    let mut plan = MemoryPlan { texts, quick: false, most: MEMORIES, only: Vec::new() };
    while let Some(word) = words.next() {
        match (word.as_str(), words.by_ref()) {
            ("--quick", _) => plan.quick = true,
            ("--only", words) => match words.next().filter(|name| MEMORY_NAMES.contains(&name.as_str())) {
                Some(name) => plan.only.push(name),
                None => return usage(&format!("--only takes one of {}", MEMORY_NAMES.join(", "))),
            },
            ("--memories", words) => match words.next().and_then(|most| most.parse().ok()) {
                Some(most) => plan.most = most,
                None => return usage("--memories takes a number"),
            },
            ("--texts", words) => match words.next() {
                Some(chosen) => plan.texts = chosen.into(),
                None => return usage("--texts takes a folder"),
            },
            _ => return usage(&format!("`{word}` is not understood")),
        }
    }
    match memory(&plan, |table| println!("{table}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Memories that an agent is given at the most, unless it is said otherwise: what the bars are of.
const MEMORIES: usize = 10_000;

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(AGENT_NAMES)
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("bench: {problem}; measures: {}", names().collect::<Vec<_>>().join(", "));
    ExitCode::FAILURE
}
