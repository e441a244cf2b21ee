//! The reference PLC server beside the Worker, over an append-only log in the state folder.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::{Child, Echo};
use crate::state::State;
use crate::tools::Tools;
use crate::{Error, Result, child};

/// A running PLC server.
#[derive(Debug)]
pub struct Plc {
    child: Child,
    port: u16,
}

impl Plc {
    /// Starts the server on the port it had before, and waits until it listens.
    ///
    /// # Errors
    /// [`Error::NotReady`] with the log's end.
    pub fn start(root: &Path, state: &State, echo: Echo) -> Result<Self> {
        let program = program(root, &Tools::to_run(root)?)?;
        let wanted = state.port("plc")?;
        let mut command = Command::new("node");
        command.arg(program).arg(wanted.to_string()).arg(state.path("plc.jsonl"));
        command.current_dir(root);
        let mut child = Child::start("plc", command, echo)?;
        let event = child.event(START_LIMIT)?;
        let port =
            event.get("port").and_then(serde_json::Value::as_u64).and_then(|port| u16::try_from(port).ok());
        match port {
            Some(port) => {
                state.remember_port("plc", port)?;
                Ok(Self { child, port })
            }
            None => Err(Error::Project(format!("the PLC server said {event}"))),
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process.
    #[must_use]
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Ends it.
    pub fn stop(self) {
        self.child.stop(STOP_GRACE);
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(self) {
        self.child.kill();
    }
}

/// The server with all its packages in one file, made when it is missing or old: read one by one they take a second of every start.
fn program(root: &Path, tools: &Tools) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    REQUIRE.hash(&mut hasher);
    for source in SOURCES {
        let path = root.join(source);
        fs::read(&path).map_err(Error::at(&path))?.hash(&mut hasher);
    }
    let wanted = hasher.finish().to_string();
    let _lock = tools.lock("plc")?;
    let (program, stamp) = (root.join(".tools/plc.mjs"), root.join(".tools/plc.stamp"));
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(program);
    }
    let mut bundle = Command::new(tools.esbuild());
    bundle.args(["xtask/plc/server.mjs", "--bundle", "--platform=node", "--format=esm", "--log-level=error"]);
    // Some packages load parts of Node by a name that a module has not, and one a driver that is not installed.
    bundle.args([REQUIRE, "--external:pg-native"]).arg(format!("--outfile={}", program.display()));
    child::run(bundle.current_dir(root))?;
    fs::write(&stamp, wanted).map_err(Error::at(&stamp))?;
    Ok(program)
}

const REQUIRE: &str = "--banner:js=import { createRequire } from 'node:module'; \
     const require = createRequire(import.meta.url);";

/// What the program is made of; the packages are those of the lock file.
const SOURCES: [&str; 3] = ["package-lock.json", "xtask/plc/server.mjs", "xtask/plc/database.mjs"];

const START_LIMIT: Duration = Duration::from_secs(60);

const STOP_GRACE: Duration = Duration::from_secs(2);
