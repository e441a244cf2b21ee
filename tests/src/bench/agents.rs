//! What agents do: sealing, messages, events. No other host does it, so the bars are of the figures themselves.

mod delivery;
mod events;
mod sealing;

use std::cell::OnceCell;
use std::fmt::Write as _;

use crate::agent::Agent;
use crate::world::{Setup, World};

use super::measures::Bar;
use super::{Plan, figure};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is a figure of.
    pub title: String,
    unit: &'static str,
    /// What was measured.
    pub figure: f64,
    bar: Option<Bar>,
}

impl Figure {
    pub(super) fn new(title: impl Into<String>, unit: &'static str, figure: f64) -> Self {
        Self { title: title.into(), unit, figure, bar: None }
    }

    /// Whether it keeps its bar, if it has one.
    #[must_use]
    pub fn is_met(&self) -> bool {
        !matches!(self.bar, Some(Bar::AtMost(most)) if self.figure > most)
    }

    pub(super) const fn at_most(mut self, most: f64) -> Self {
        self.bar = Some(Bar::AtMost(most));
        self
    }
}

/// Lines that are measured together, under the name that `--only` calls them.
type Group = (&'static str, fn(&mut Network, &Plan) -> Vec<Figure>);

const GROUPS: [Group; 6] = [
    ("seal", sealing::measure),
    ("near", delivery::near),
    ("far", delivery::far),
    ("rate", delivery::rates),
    ("rows", delivery::rows),
    ("filtered", events::filtered),
];

/// What `--only` may name.
pub const AGENT_NAMES: [&str; GROUPS.len()] = {
    let mut names = [""; GROUPS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = GROUPS[index].0;
        index += 1;
    }
    names
};

/// Measures what agents do; `only` some, if it names any.
///
/// # Panics
/// When a host fails or answers wrongly.
#[must_use]
pub fn run_agents(plan: &Plan, only: &[String]) -> Vec<Figure> {
    let mut network = Network::new();
    let mut figures = Vec::new();
    for (name, measure) in GROUPS {
        if only.is_empty() || only.iter().any(|chosen| chosen == name) {
            eprintln!("bench: {name}");
            figures.extend(measure(&mut network, plan));
        }
    }
    figures
}

/// The table, as `docs/benchmarks.md` has it.
#[must_use]
pub fn agent_table(figures: &[Figure]) -> String {
    let mut table = String::from("| measure | figure | bar | |\n|---|---|---|---|\n");
    for line in figures {
        let (bar, met) = match line.bar {
            Some(Bar::AtMost(most)) => {
                (format!("at most {most} {}", line.unit), if line.is_met() { "met" } else { "missed" })
            }
            _ => (String::new(), ""),
        };
        let _ = writeln!(table, "| {} | {} {} | {bar} | {met} |", line.title, figure(line.figure), line.unit);
    }
    table
}

/// Two hosts and a laboratory, each started when it is first asked for.
struct Network {
    here: OnceCell<World>,
    there: OnceCell<World>,
    laboratory: OnceCell<World>,
    /// Agents that were made, so that each has a name of its own.
    made: usize,
}

impl Network {
    const fn new() -> Self {
        Self { here: OnceCell::new(), there: OnceCell::new(), laboratory: OnceCell::new(), made: 0 }
    }

    /// The host that most is measured on.
    fn here(&self) -> &World {
        self.here.get_or_init(|| Setup::new().plain().start())
    }

    /// Another host of the same network.
    fn there(&self) -> &World {
        self.there.get_or_init(|| Setup::new().plain().plc_of(self.here()).start())
    }

    /// A host of the test build, which counts rows and seals on demand.
    fn laboratory(&self) -> &World {
        self.laboratory.get_or_init(World::start)
    }

    /// An agent that everybody may write to.
    fn agent(&mut self, place: Place) -> Resident {
        self.made += 1;
        let world = match place {
            Place::Here => self.here(),
            Place::There => self.there(),
            Place::Laboratory => self.laboratory(),
        };
        let agent = Agent::new(world, &format!("agent{}", self.made));
        agent.welcome_all();
        Resident { agent, address: world.address() }
    }
}

/// Where an agent lives.
#[derive(Clone, Copy)]
enum Place {
    Here,
    There,
    Laboratory,
}

/// An agent, and its host's address.
struct Resident {
    agent: Agent,
    address: String,
}
