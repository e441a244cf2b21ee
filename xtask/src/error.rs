//! What can go wrong while building, running or testing.

use std::io;
use std::path::{Path, PathBuf};

/// A verb's failure, said so that the reader knows what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line was not understood.
    #[error("{0}\n\n{usage}", usage = crate::verbs::USAGE)]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("could not run `{command}`: {source}")]
    Spawn {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed ({status})")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
    },
    /// A port that was asked for is taken.
    #[error(
        "port {port} is in use: stop what listens there, or give another with --port (0 takes any free one)"
    )]
    PortBusy {
        /// The port.
        port: u16,
    },
    /// Another process runs on the same state folder.
    #[error("{} is in use by another `cargo xtask dev`", path.display())]
    StateBusy {
        /// The state folder.
        path: PathBuf,
    },
    /// A started process ended, or did not say in time that it is ready.
    #[error("{name} did not start: {reason}\n{log}")]
    NotReady {
        /// The process.
        name: &'static str,
        /// What was seen instead.
        reason: String,
        /// The last lines of its output.
        log: String,
    },
    /// A process that must run for ever ended.
    #[error("{name} ended ({status})")]
    Ended {
        /// The process.
        name: &'static str,
        /// How it ended.
        status: String,
    },
    /// The Worker outgrew its limit.
    #[error("the Worker is {gzipped} bytes gzipped, over the limit of {limit}")]
    TooLarge {
        /// Its size, gzipped.
        gzipped: u64,
        /// [`crate::worker::GZIPPED_LIMIT`].
        limit: u64,
    },
    /// Lower layers reach for what they must not know.
    #[error("the layers are broken:\n{0}")]
    Layers(String),
    /// Files of tests that no program runs.
    #[error("no test program has these files: name them in the `main.rs` beside them\n{0}")]
    Unrun(String),
    /// A file of the project is not what the verbs expect.
    #[error("{0}")]
    Project(String),
    /// Stages of `cargo xtask test` failed.
    #[error("failed: {0}")]
    Stages(String),
}

/// The verbs' result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`: a failure at `path`.
    pub fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::File { path, source }
    }
}
