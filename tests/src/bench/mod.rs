//! `cargo xtask bench`: this Worker and the reference PDS under the same load.
//!
//! Both run on this machine, each with one account of the same records, made the same way. Every round takes one sample of
//! each measure of both, one after the other, so that what else the machine does falls on both; the table shows medians
//! over the rounds. No time is asserted by any test: times are for people to read. What agents do has a table of its own.

mod agents;
mod firehose;
mod host;
mod http;
mod measures;
mod memory;

use std::fmt::Write as _;
use std::path::Path;

use xtask::child::Echo;
use xtask::reference::{Mode, Reference};
use xtask::worker::{Build, Flavour};

use crate::world::{Setup, World};

pub use agents::{AGENT_NAMES, Figure, agent_table, run_agents};
use host::{BATCH, Host};
pub use measures::NAMES;
use measures::{BATCH_WRITES, Bar, MEASURES, Measure};
pub use memory::{MEMORY_NAMES, MemoryPlan, memory};

/// How much is asked of the hosts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Samples of each measure.
    pub rounds: usize,
    /// Records before the first.
    pub records: usize,
    /// Calls of createRecord in a sample, one client.
    pub creates: usize,
    /// Calls of createRecord in a sample, 32 clients.
    pub parallel_creates: usize,
    /// Calls of applyWrites in a sample.
    pub batches: usize,
    /// Calls of getRecord in a sample.
    pub gets: usize,
    /// Calls of listRecords in a sample.
    pub lists: usize,
    /// Calls of getRepo in a sample.
    pub exports: usize,
    /// Subscribers that listen while records are created.
    pub subscribers: usize,
    /// Messages of a sender in a sample.
    pub messages: usize,
    /// Subscribers that want some of the events.
    pub filtered: usize,
    /// Events that are written for them in a sample.
    pub events: usize,
    /// Milliseconds for which is sealed and opened in a sample, at the least once around.
    pub seal_ms: u32,
}

impl Plan {
    /// What the documented figures were taken with.
    pub const FULL: Self = Self {
        rounds: 5,
        records: 10_000,
        creates: 40,
        parallel_creates: 320,
        batches: 3,
        gets: 1600,
        lists: 320,
        exports: 8,
        subscribers: 100,
        messages: 60,
        filtered: 300,
        events: 400,
        seal_ms: 1_000,
    };

    /// Only whether everything runs.
    pub const QUICK: Self = Self {
        rounds: 1,
        records: 400,
        creates: 5,
        parallel_creates: 32,
        batches: 1,
        gets: 32,
        lists: 16,
        exports: 2,
        subscribers: 10,
        messages: 2,
        filtered: 8,
        events: 8,
        seal_ms: 0,
    };
}

/// One measure's medians.
#[derive(Clone, Debug)]
pub struct Line {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it measures.
    pub title: &'static str,
    unit: &'static str,
    /// Of this Worker.
    pub this: f64,
    /// Of the other host.
    pub other: f64,
    /// By what factor this Worker is better, the median over the rounds.
    pub times: f64,
    /// By what factor its process took less processor time for the same load; the machine's other work does not count.
    pub thrift: f64,
    bar: Bar,
}

/// What this Worker is measured against.
#[derive(Clone, Debug)]
pub enum Against<'a> {
    /// The reference PDS.
    Reference,
    /// Another build of the Worker: the folder with its `index_bg.wasm`.
    Build(&'a Path),
}

/// Measures; `only` some, if it names any.
///
/// # Panics
/// When a host fails or answers wrongly.
#[must_use]
pub fn run(plan: &Plan, only: &[String], against: &Against<'_>) -> Vec<Line> {
    let chosen: Vec<&Measure> =
        MEASURES.iter().filter(|measure| only.is_empty() || only.iter().any(|o| o == measure.name)).collect();
    let world = Setup::new().plain().start();
    let other = Other::start(&world, against);
    let mut hosts = [Host::new(world.port(), world.pid()), other.host()];
    fill(&mut hosts, plan.records);

    let mut samples: Vec<[Vec<Sample>; 2]> = chosen.iter().map(|_| Default::default()).collect();
    for round in 0..plan.rounds {
        eprintln!("bench: round {} of {}", round + 1, plan.rounds);
        for (measure, samples) in chosen.iter().zip(&mut samples) {
            // Who comes first, comes second the next time.
            for turn in 0..2 {
                let place = (turn + round) % 2;
                let before = hosts[place].processor_seconds();
                let figure = (measure.sample)(&mut hosts[place], plan, round);
                let seconds = hosts[place].processor_seconds() - before;
                samples[place].push(Sample { figure, seconds });
            }
        }
    }
    chosen.iter().zip(&samples).map(|(measure, samples)| Line::of(measure, samples)).collect()
}

/// The table, as `docs/benchmarks.md` has it.
#[must_use]
pub fn table(lines: &[Line], other: &str) -> String {
    let mut table = format!(
        "| measure | this Worker | {other} | better by | bar | | processor time |\n|---|---|---|---|---|---|---|\n"
    );
    for line in lines {
        let bar = match line.bar {
            Bar::Times(times) => format!("{times} times"),
            Bar::AtMost(most) => format!("at most {most} {}", line.unit),
        };
        // What takes no time, such as a look at the memory, has no ratio.
        let thrift = match line.thrift.is_finite() {
            true => format!("{:.1} times less", line.thrift),
            false => String::new(),
        };
        let _ = writeln!(
            table,
            "| {} | {} {unit} | {} {unit} | {:.1} times | {bar} | {} | {thrift} |",
            line.title,
            figure(line.this),
            figure(line.other),
            line.times,
            if line.is_met() { "met" } else { "missed" },
            unit = line.unit,
        );
    }
    table
}

/// One sample.
struct Sample {
    figure: f64,
    /// Processor time of the host.
    seconds: f64,
}

impl Line {
    /// Whether this Worker keeps the bar.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match self.bar {
            Bar::Times(times) => self.times >= times,
            Bar::AtMost(most) => self.this <= most,
        }
    }

    fn of(measure: &Measure, [this, other]: &[Vec<Sample>; 2]) -> Self {
        let pairs = || this.iter().zip(other);
        let times = pairs().map(|(this, other)| match measure.less {
            true => other.figure / this.figure,
            false => this.figure / other.figure,
        });
        let figures = |samples: &[Sample]| median(samples.iter().map(|sample| sample.figure));
        Self {
            name: measure.name,
            title: measure.title,
            unit: measure.unit,
            this: figures(this),
            other: figures(other),
            times: median(times),
            thrift: median(pairs().map(|(this, other)| other.seconds / this.seconds)),
            bar: measure.bar,
        }
    }
}

/// The other host, running.
enum Other {
    Reference(Reference),
    World(Box<World>),
}

impl Other {
    fn start(world: &World, against: &Against<'_>) -> Self {
        match against {
            Against::Reference => {
                let folder = world.folder().join("reference");
                let (root, plc, secrets) = (xtask::root(), world.plc_url(), world.secrets());
                Self::Reference(
                    Reference::start(&root, &folder, plc, secrets, Mode::Production, Echo::Keep).unwrap(),
                )
            }
            Against::Build(folder) => {
                let (folder, flavour) = (folder.to_path_buf(), Flavour::Plain);
                let build = Build { folder, flavour, raw: 0, gzipped: 0 };
                Self::World(Box::new(Setup::new().build(build).start()))
            }
        }
    }

    fn host(&self) -> Host {
        match self {
            Self::Reference(reference) => Host::new(reference.port(), reference.pid()),
            Self::World(world) => Host::new(world.port(), world.pid()),
        }
    }
}

/// Makes the records, a batch here and a batch there.
fn fill(hosts: &mut [Host; 2], records: usize) {
    eprintln!("bench: {records} records");
    let mut connections = [hosts[0].connect(), hosts[1].connect()];
    while hosts[0].records() < records {
        for (host, connection) in hosts.iter_mut().zip(&mut connections) {
            let body = host.batch(BATCH_WRITES);
            host.wrote(connection.post(BATCH, &body));
        }
    }
}

fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = samples.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// What a share of the samples is not above.
fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(sorted.len()).unwrap());
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = (count * share) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// Three digits that count.
fn figure(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
