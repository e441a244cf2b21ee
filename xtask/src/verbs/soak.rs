//! `cargo xtask soak`: the black-box programmes of faults, at length.
//!
//! The same tests as in `cargo xtask test`, with larger numbers: each reads its own from the environment. Bounded by its
//! arguments, and it prints what it did.

use std::process::{Command, Stdio};

use super::Arguments;
use crate::worker::{Build, Flavour};
use crate::{Error, Result, child, root};

/// A programme: its name, the test, and the number that says how long it is.
struct Programme {
    name: &'static str,
    test: &'static str,
    options: &'static [Number],
}

/// A number of a programme: its option, the variable that carries it, and what it is unless it is given.
struct Number {
    option: &'static str,
    variable: &'static str,
    default: u64,
}

const PROGRAMMES: &[Programme] = &[
    Programme {
        name: "kill",
        test: "kill::nothing_acknowledged_is_lost_and_nothing_is_half_done",
        options: &[
            Number { option: "--rounds", variable: "SOAK_ROUNDS", default: 500 },
            Number { option: "--writes", variable: "SOAK_WRITES", default: 100_000 },
        ],
    },
    Programme {
        name: "schedules",
        test: "schedules::sim_nothing_depends_on_staying_awake",
        options: &[Number { option: "--schedules", variable: "SOAK_SCHEDULES", default: 250 }],
    },
    Programme {
        name: "replay",
        test: "stream::a_long_replay_has_no_gap_and_no_repeat_while_writes_go_on",
        options: &[Number { option: "--events", variable: "SOAK_EVENTS", default: 100_000 }],
    },
    Programme {
        name: "deliveries",
        test: "deliveries::messages_between_two_hosts_under_kills_and_faults_come_once_and_in_order",
        options: &[Number { option: "--messages", variable: "SOAK_MESSAGES", default: 10_000 }],
    },
];

pub(super) fn run(mut arguments: Arguments) -> Result<()> {
    let mut only = None;
    let mut environment: Vec<(&str, String)> =
        numbers().map(|n| (n.variable, n.default.to_string())).collect();
    while let Some(option) = arguments.word() {
        if option == "--only" {
            only = Some(arguments.value("--only")?);
            continue;
        }
        let number = numbers()
            .find(|number| number.option == option)
            .ok_or_else(|| Error::Usage(format!("`{option}` is not understood")))?;
        let value = arguments.value(number.option)?;
        let value: u64 = value.parse().map_err(|_| Error::Usage(format!("`{value}` is not a number")))?;
        environment.retain(|(variable, _)| *variable != number.variable);
        environment.push((number.variable, value.to_string()));
    }
    if only.as_ref().is_some_and(|only| PROGRAMMES.iter().all(|programme| programme.name != only)) {
        return Err(Error::Usage("--only wants kill, schedules, replay or deliveries".to_owned()));
    }
    Build::ensure(&root(), Flavour::Plain)?;
    Build::ensure(&root(), Flavour::Test)?;
    for programme in
        PROGRAMMES.iter().filter(|programme| only.as_ref().is_none_or(|only| only == programme.name))
    {
        eprintln!("\nxtask: soak, {}", programme.name);
        let mut command = Command::new(env!("CARGO"));
        command.args(["test", "--locked", "--quiet", "--workspace", "--test", "black_box"]);
        command.args(["--", "--exact", programme.test, "--nocapture"]);
        command.envs(environment.iter().map(|(name, value)| (*name, value))).stdin(Stdio::null());
        child::run(command.current_dir(root()))?;
    }
    Ok(())
}

fn numbers() -> impl Iterator<Item = &'static Number> {
    PROGRAMMES.iter().flat_map(|programme| programme.options)
}
