//! The verbs of `cargo xtask`.

mod build;
mod dev;
mod plc;
mod program;
mod signals;
mod soak;
mod test;

use crate::{Error, Result};

/// What `cargo xtask` says about itself.
pub const USAGE: &str = "\
cargo xtask dev [--port N] [--state DIR] [--hostname H] [--plc-url URL] [--appview-url URL --appview-did DID]
                [--embedder-url URL --embedder-model NAME] [--relay URL] [--rate-limits on|off] [--fresh]
    Runs a host on this machine. Prints one line of JSON when it is ready; Ctrl-C ends it.
    --port N       its port on the loopback address (2583; 0 takes any free one)
    --state DIR    where everything is kept (.state)
    --hostname H   the host's public name (localhost), reached over https by a proxy before it
    --plc-url URL  a PLC server, instead of one of its own
    --rate-limits  `on` counts the calls of clients and accounts as a deployed host does (off)
    --appview-url URL, --appview-did DID
                   the AppView that answers what this host does not
    --embedder-url URL, --embedder-model NAME
                   what makes vectors of memories, by OpenAI's protocol; its key comes from EMBEDDER_KEY
    --relay URL    a relay that is asked to crawl; may be given again
    --fresh        forgets what the state folder holds
cargo xtask bench [--quick] [--only NAME]... [--against DIR]
    Measures this Worker and the reference PDS under the same load, and what agents do; prints a table of each.
    --quick        only whether everything runs
    --only NAME    one measure; a wrong name lists all
    --against DIR  another build of the Worker instead of the reference
cargo xtask bench memory [--quick] [--texts DIR] [--memories N] [--only NAME]...
    Measures how well memories are found, and how fast; prints tables.
    --texts DIR    the texts, as crates/embedding/model/README.md says (.tools/memory)
    --memories N   how many an agent is given at the most (10000; with 50000 it takes some minutes more)
    --only NAME    `quality`, `speed` or `kept`
cargo xtask build
    Builds the Worker into build/, prints its size, and makes .dev.vars for `npx wrangler dev`.
cargo xtask demo
    Two hosts on this machine and three agents on them, who write to each other, work for each other and survive a death;
    prints what happens and what was verified, and fails when anything does not hold.
cargo xtask lexicons [--check]
    Writes lexicons/generated from the locked npm package, or fails when it differs.
cargo xtask plc [--port N] [--state DIR]
    Runs a PLC server alone (2582), for `npx wrangler dev`.
cargo xtask test [--quick]
    Checks and tests everything; --quick keeps to what runs natively.
cargo xtask soak [--only NAME] [--rounds N] [--writes N] [--schedules N] [--events N] [--messages N]
    The programmes of faults at length: `kill` (500 kills in 100,000 writes), `imports` (500 kills over imports), `memories`
    (500 kills in 100,000 changes of memories), `schedules` and `standing` (250 each of records and of what an account is,
    each lived through four times with evictions in every gap), `replay` (100,000 events while writes go on), `deliveries`
    (10,000 messages between two hosts that are killed).";

/// Runs the verb that the arguments name.
///
/// # Errors
/// [`Error::Usage`], or whatever the verb says.
pub fn run(arguments: Vec<String>) -> Result<()> {
    let mut arguments = Arguments(arguments.into_iter().rev().collect());
    let verb = arguments.0.pop();
    match verb.as_deref() {
        Some("dev") => dev::run(dev::Options::parse(arguments)?),
        Some("bench") => program::run("bench", &["--config", OPTIMIZED], &arguments.rest()),
        Some("demo") => program::run("demo", &[], &arguments.rest()),
        Some("build") => arguments.end().and_then(|()| build::run()),
        Some("test") => test::run(arguments),
        Some("plc") => plc::run(arguments),
        Some("soak") => soak::run(arguments),
        Some("lexicons") => crate::lexicons::run(&arguments.rest()),
        Some("help" | "--help" | "-h") => {
            eprintln!("{USAGE}");
            Ok(())
        }
        Some(verb) => Err(Error::Usage(format!("there is no verb `{verb}`"))),
        None => Err(Error::Usage("a verb is missing".to_owned())),
    }
}

/// The load of a measurement must not weigh more than what it measures.
const OPTIMIZED: &str = "profile.dev.package.murmuration-tests.opt-level = 2";

/// The rest of the command line, the last word first.
struct Arguments(Vec<String>);

impl Arguments {
    /// The next word.
    fn word(&mut self) -> Option<String> {
        self.0.pop()
    }

    /// All further words.
    fn rest(self) -> Vec<String> {
        self.0.into_iter().rev().collect()
    }

    /// The value after an option.
    fn value(&mut self, option: &str) -> Result<String> {
        self.0.pop().ok_or_else(|| Error::Usage(format!("{option} needs a value")))
    }

    /// The port after an option.
    fn port(&mut self, option: &str) -> Result<u16> {
        let value = self.value(option)?;
        value.parse().map_err(|_| Error::Usage(format!("`{value}` is not a port")))
    }

    /// Nothing more is expected.
    fn end(mut self) -> Result<()> {
        match self.word() {
            Some(word) => Err(Error::Usage(format!("`{word}` is not understood"))),
            None => Ok(()),
        }
    }
}
