//! The reference PLC server beside the Worker, over an append-only log in the state folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::{Child, Echo};
use crate::state::State;
use crate::tools::Tools;
use crate::{Error, Result};

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
        Tools::to_run(root)?;
        let wanted = state.port("plc")?;
        let mut command = Command::new("node");
        command.arg(root.join("xtask/plc/server.mjs")).arg(wanted.to_string()).arg(state.path("plc.jsonl"));
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

const START_LIMIT: Duration = Duration::from_secs(60);

const STOP_GRACE: Duration = Duration::from_secs(2);
