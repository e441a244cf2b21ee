//! The Worker in workerd.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::{self, Child, Echo, Log};
use crate::config::{self, Settings};
use crate::state::State;
use crate::tools::Tools;
use crate::worker::{Build, MODEL};
use crate::{Error, Result};

/// A running workerd that answers.
#[derive(Debug)]
pub struct Workerd {
    child: Child,
}

impl Workerd {
    /// Writes the configuration into the state folder, starts workerd on it, and waits until the Worker answers.
    ///
    /// # Errors
    /// [`Error::NotReady`] with the log's end.
    pub fn start(root: &Path, state: &State, build: &Build, settings: &Settings, echo: Echo) -> Result<Self> {
        let tools = Tools::to_run(root)?;
        let folder = state.path("worker");
        // A copy: the sources may be built anew while this one runs.
        for module in ["entry.js", "entry.test.js"] {
            copy(&root.join("src").join(module), &folder.join(module))?;
        }
        for module in ["index.js", "index_bg.wasm"] {
            copy(&build.folder.join(module), &folder.join(module))?;
        }
        let model = root.join(MODEL);
        copy(&model, &state.path("assets").join(model.file_name().unwrap_or_default()))?;
        let file = folder.join("config.capnp");
        let date = config::compatibility_date(root)?;
        let text = settings.capnp(&date, state.folder());
        fs::write(&file, text).map_err(Error::at(&file))?;
        // In a process of its own: what the parser takes for modules of megabytes, it does not give back.
        let encoded = folder.join("config.bin");
        let parsed = File::create(&encoded).map_err(Error::at(&encoded))?;
        child::write(Command::new(tools.workerd()).args(["compile", "--config-only"]).arg(&file), parsed)?;

        let mut command = Command::new(tools.workerd());
        // Events come on standard output, the one descriptor that needs no unsafe code to hand over.
        command.args(["serve", "--experimental", "--control-fd=1", "--binary"]).arg(&encoded);
        command.envs(config::environment(state.secrets())).env(config::ALLOCATOR.0, config::ALLOCATOR.1);
        let echo = if echo == Echo::Show { Echo::ShowBut(OWN_SCRIPTS) } else { echo };
        let mut child = Child::start("workerd", command, echo)?;
        child.event(START_LIMIT)?;
        match health(settings.port) {
            Ok(200) => Ok(Self { child }),
            Ok(status) => Err(child.not_ready(format!("{HEALTH} answered {status}"))),
            Err(error) => Err(child.not_ready(format!("{HEALTH}: {error}"))),
        }
    }

    /// Its process.
    #[must_use]
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it wrote lately.
    #[must_use]
    pub fn log(&self) -> Log {
        self.child.log()
    }

    /// Ends it: it may finish what it answers, but idle sockets do not hold it up.
    pub fn stop(self) {
        self.child.stop(STOP_GRACE);
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(self) {
        self.child.kill();
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Error::at(from))
}

/// The status of a first request, which compiles the Wasm and applies migrations.
fn health(port: u16) -> std::io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, START_LIMIT)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    write!(stream, "GET {HEALTH} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("no HTTP answer"))
}

/// What workerd warns of whenever V8 has a flag: it compiles a few scripts of its own, and has them compiled without flags only.
const OWN_SCRIPTS: &str = "per-isolate bootstrap compile cache";

const HEALTH: &str = "/xrpc/_health";

/// workerd is ready in a fifth of a second; a busy machine may need many times that.
const START_LIMIT: Duration = Duration::from_secs(60);

/// workerd drains for ten seconds where sockets are idle. Killing it loses nothing: what it answered is on disk.
const STOP_GRACE: Duration = Duration::from_secs(2);
