//! What the project is built and run with, installed where it is missing.
//!
//! Everything lands inside the workspace: npm packages in `node_modules`, Rust programs in `.tools`. Versions are those
//! of the lock files, so an installed tool is right or it is replaced. Once all is there, nothing here needs a network.

use std::env::consts::{ARCH, OS};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    /// As [`Tools::to_run`], or whatever `cargo install` and `rustup` say.
    pub fn to_build(root: &Path) -> Result<Self> {
        let tools = Self::to_run(root)?;
        let _lock = tools.lock()?;
        tools.wasm_target()?;
        let bindgen = locked_version(root, "wasm-bindgen")?;
        tools.program("wasm-bindgen-cli", "wasm-bindgen", &bindgen)?;
        tools.program("worker-build", "worker-build", WORKER_BUILD_VERSION)?;
        Ok(tools)
    }

    /// A Rust program in `.tools/bin`.
    #[must_use]
    pub fn bin(&self, name: &str) -> PathBuf {
        self.root.join(".tools/bin").join(name)
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

    /// Keeps two processes from installing at once.
    pub(crate) fn lock(&self) -> Result<File> {
        let folder = self.root.join(".tools");
        fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
        let path = folder.join("lock");
        let file = File::create(&path).map_err(Error::at(&path))?;
        file.lock().map_err(Error::at(&path))?;
        Ok(file)
    }

    /// Installs the npm packages that a folder's lock file names.
    ///
    /// # Errors
    /// As [`Tools::to_run`].
    pub fn npm(&self, folder: &Path) -> Result<()> {
        let _lock = self.lock()?;
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

    fn program(&self, package: &str, name: &str, version: &str) -> Result<()> {
        let bin = self.bin(name);
        if bin.is_file()
            && child::output(Command::new(&bin).arg("--version"))?.split_whitespace().any(|w| w == version)
        {
            return Ok(());
        }
        eprintln!("xtask: installing {package} {version} (some minutes, once)");
        let install = |locked: bool| {
            let mut command = Command::new("cargo");
            command.args(["install", "--quiet", "--force", "--root"]).arg(self.root.join(".tools"));
            command.args(["--version", version, package]);
            if locked {
                // What it says is of no use to anybody: the second attempt speaks for itself.
                command.arg("--locked").stderr(Stdio::null());
            }
            // Outside the workspace: its toolchain file names targets that these programs do not need, and outside
            // its target folder, so that the two programs share what they have in common.
            command.env("CARGO_TARGET_DIR", self.root.join(".tools/target"));
            // They run for seconds, and are compiled for minutes.
            command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
            child::run(&mut command)
        };
        // A published lock file may name a version that was withdrawn since; the package still builds without it.
        install(true).or_else(|_| install(false))
    }
}

/// The version of a package in `Cargo.lock`.
///
/// # Errors
/// [`Error::Project`] when it is not there.
pub fn locked_version(root: &Path, package: &str) -> Result<String> {
    let path = root.join("Cargo.lock");
    let lock = fs::read_to_string(&path).map_err(Error::at(&path))?;
    version_in(&lock, package).ok_or_else(|| {
        Error::Project(format!("Cargo.lock has no package `{package}`: does the Worker depend on it?"))
    })
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
    Some(version.to_owned())
}

/// The target the Worker is compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// `worker-build` has the version of the crate `worker`.
const WORKER_BUILD_VERSION: &str = "0.8.7";

/// The oldest Node that the npm packages accept.
const NODE_MAJOR: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_locked_version() {
        let lock =
            "[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n\n[[package]]\nname = \"z\"\n";
        assert_eq!(version_in(lock, "wasm-bindgen").as_deref(), Some("0.2.130"));
        assert_eq!(version_in(lock, "wasm"), None);
    }
}
