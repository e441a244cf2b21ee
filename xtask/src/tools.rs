//! What the project is built and run with, installed where it is missing.
//!
//! Everything lands inside the workspace: npm packages in `node_modules`. Versions are those of the lock files, so an
//! installed tool is right or it is replaced. Once all is there, nothing here needs a network.

use std::env::consts::{ARCH, OS};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result, child};

/// The installed tools' places.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Installs what is missing to run a built Worker: the npm packages.
    ///
    /// # Errors
    /// [`Error::Project`] without Node 20, or whatever `npm ci` says.
    pub fn to_run(root: &Path) -> Result<Self> {
        let tools = Self { root: root.to_path_buf() };
        tools.npm(root)?;
        Ok(tools)
    }

    /// Installs what is missing to build the Worker as well.
    ///
    /// # Errors
    /// As [`Tools::to_run`], or whatever `rustup` says.
    pub fn to_build(root: &Path) -> Result<Self> {
        let tools = Self::to_run(root)?;
        let _lock = tools.lock("rust")?;
        tools.wasm_target()?;
        Ok(tools)
    }

    /// The workerd binary: the one of the npm package for this machine.
    #[must_use]
    pub fn workerd(&self) -> PathBuf {
        let os = if OS == "macos" { "darwin" } else { OS };
        let arch = if ARCH == "aarch64" { "arm64" } else { "64" };
        self.root.join(format!("node_modules/@cloudflare/workerd-{os}-{arch}/bin/workerd"))
    }

    /// The esbuild binary: the one of the npm package for this machine.
    #[must_use]
    pub fn esbuild(&self) -> PathBuf {
        let os = if OS == "macos" { "darwin" } else { OS };
        let arch = if ARCH == "aarch64" { "arm64" } else { "x64" };
        self.root.join(format!("node_modules/@esbuild/{os}-{arch}/bin/esbuild"))
    }

    /// Binaryen's optimizer.
    #[must_use]
    pub fn wasm_opt(&self) -> PathBuf {
        self.root.join("node_modules/binaryen/bin/wasm-opt")
    }

    /// Keeps two from making the same thing at once. What some wait for is nobody else's to wait for.
    pub(crate) fn lock(&self, what: &str) -> Result<File> {
        let folder = self.root.join(".tools");
        fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
        let path = folder.join(format!("{what}.lock"));
        let file = File::create(&path).map_err(Error::at(&path))?;
        file.lock().map_err(Error::at(&path))?;
        Ok(file)
    }

    /// Installs the npm packages that a folder's lock file names.
    ///
    /// # Errors
    /// As [`Tools::to_run`].
    pub fn npm(&self, folder: &Path) -> Result<()> {
        let _lock = self.lock(&folder.file_name().unwrap_or_default().to_string_lossy())?;
        let stamp = folder.join("node_modules/.locked");
        let lock = folder.join("package-lock.json");
        let wanted = fs::read_to_string(&lock).map_err(Error::at(&lock))?;
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        let node = child::output(Command::new("node").arg("--version")).map_err(|error| {
            Error::Project(format!("Node {NODE_MAJOR} or later is needed and was not found: {error}"))
        })?;
        let major =
            node.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < NODE_MAJOR) {
            return Err(Error::Project(format!(
                "Node {NODE_MAJOR} or later is needed, found {}",
                node.trim()
            )));
        }
        eprintln!("xtask: installing npm packages");
        // No install script is run: the binaries are used where the packages have them.
        let flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        child::run(Command::new("npm").args(flags).current_dir(folder))?;
        fs::write(&stamp, wanted).map_err(Error::at(&stamp))
    }

    fn wasm_target(&self) -> Result<()> {
        let folder = child::output(
            Command::new("rustc")
                .args(["--print", "target-libdir", "--target", WASM_TARGET])
                .current_dir(&self.root),
        )?;
        if Path::new(folder.trim()).is_dir() {
            return Ok(());
        }
        child::run(Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(&self.root))
    }
}

/// The target the Worker is compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The oldest Node that the npm packages accept.
const NODE_MAJOR: u32 = 20;
