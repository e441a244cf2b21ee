//! `cargo xtask soak`: the black-box programmes of faults, at length.
//!
//! The same tests as in `cargo xtask test`, with larger numbers: each reads its own from the environment. Bounded by its
//! arguments, and it prints what it did.

use std::process::{Command, Stdio};

use super::Arguments;
use crate::worker::{Build, Flavour};
use crate::{Error, Result, child, root};

/// A programme: its name, and the test.
struct Programme {
    name: &'static str,
    test: &'static str,
}

/// A number that says how long programmes are: its option, the variable that carries it, and what it is unless it is given.
struct Number {
    option: &'static str,
    variable: &'static str,
    default: u64,
}

const ROUNDS: Number = Number { option: "--rounds", variable: "SOAK_ROUNDS", default: 500 };
const WRITES: Number = Number { option: "--writes", variable: "SOAK_WRITES", default: 100_000 };
const SCHEDULES: Number = Number { option: "--schedules", variable: "SOAK_SCHEDULES", default: 250 };
const EVENTS: Number = Number { option: "--events", variable: "SOAK_EVENTS", default: 100_000 };
const MESSAGES: Number = Number { option: "--messages", variable: "SOAK_MESSAGES", default: 10_000 };

/// All numbers there are.
const NUMBERS: [Number; 5] = [ROUNDS, WRITES, SCHEDULES, EVENTS, MESSAGES];

const PROGRAMMES: [Programme; 7] = [
    Programme { name: "kill", test: "kill::nothing_acknowledged_is_lost_and_nothing_is_half_done" },
    Programme { name: "imports", test: "import::an_import_in_which_the_host_is_killed_has_happened_or_not" },
    Programme {
        name: "memories",
        test: "memory_faults::nothing_that_was_remembered_is_lost_when_the_host_is_killed",
    },
    Programme { name: "schedules", test: "schedules::sim_nothing_depends_on_staying_awake" },
    Programme { name: "standing", test: "standing::sim_what_an_account_is_does_not_depend_on_staying_awake" },
    Programme { name: "replay", test: "stream::a_long_replay_has_no_gap_and_no_repeat_while_writes_go_on" },
    Programme {
        name: "deliveries",
        test: "deliveries::messages_between_two_hosts_under_kills_and_faults_come_once_and_in_order",
    },
];

pub(super) fn run(mut arguments: Arguments) -> Result<()> {
    let mut only = None;
    let mut environment: Vec<(&str, String)> =
        NUMBERS.iter().map(|n| (n.variable, n.default.to_string())).collect();
    while let Some(option) = arguments.word() {
        if option == "--only" {
            only = Some(arguments.value("--only")?);
            continue;
        }
        let number = NUMBERS
            .iter()
            .find(|number| number.option == option)
            .ok_or_else(|| Error::Usage(format!("`{option}` is not understood")))?;
        let value = arguments.value(number.option)?;
        let value: u64 = value.parse().map_err(|_| Error::Usage(format!("`{value}` is not a number")))?;
        environment.retain(|(variable, _)| *variable != number.variable);
        environment.push((number.variable, value.to_string()));
    }
    let names = PROGRAMMES.each_ref().map(|programme| programme.name);
    if only.as_deref().is_some_and(|only| !names.contains(&only)) {
        return Err(Error::Usage(format!("--only wants one of {}", names.join(", "))));
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
