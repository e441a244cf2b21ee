//! Building the Worker's Wasm, and measuring it.
//!
//! ```text
//! cargo ─► murmuration.wasm ─► bindgen ─► index_bg.wasm ─► wasm-opt (plain) ─► without names
//!                                    └──► index.js, snippets ─► esbuild ─► index.js
//! ```
//!
//! Two flavours come from the same sources: the plain one, and one with test routes (a Cargo feature) that panics, and
//! counts rows, on demand. Each has a folder of its own with a stamp of the sources it was made from, so that an
//! unchanged tree is not built again.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::tools::{Tools, WASM_TARGET};
use crate::{Error, Result, child, names};

/// A built Worker.
#[derive(Clone, Debug)]
pub struct Build {
    /// The folder with `index.js` and `index_bg.wasm`.
    pub folder: PathBuf,
    /// Which one it is.
    pub flavour: Flavour,
    /// The Wasm's bytes.
    pub raw: u64,
    /// The Wasm's bytes, gzipped as for an upload.
    pub gzipped: u64,
}

/// Which Worker to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The one that is run and deployed.
    Plain,
    /// The one with `/test/` routes.
    Test,
}

impl Flavour {
    /// Where its build lies.
    #[must_use]
    pub fn folder(self, root: &Path) -> PathBuf {
        root.join(self.relative())
    }

    fn relative(self) -> &'static str {
        match self {
            Self::Plain => "build",
            Self::Test => ".tools/build-test",
        }
    }
}

impl Build {
    /// The build of the sources as they are now: made if it is missing or old.
    ///
    /// # Errors
    /// Whatever a tool or the compiler says; [`Error::TooLarge`].
    pub fn ensure(root: &Path, flavour: Flavour) -> Result<Self> {
        let folder = flavour.folder(root);
        fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
        // Tests run in several processes: the first builds, the others wait and find it done. One at a time, because cargo
        // gives both flavours the same name.
        let path = root.join(".tools/build.lock");
        fs::create_dir_all(root.join(".tools")).map_err(Error::at(&path))?;
        let lock = File::create(&path).map_err(Error::at(&path))?;
        lock.lock().map_err(Error::at(&path))?;

        let sources = fingerprint(root)?;
        let stamp = folder.join(".stamp");
        if let Some(build) = Self::stamped(&folder, flavour, &stamp, sources) {
            return Ok(build);
        }
        let tools = Tools::to_build(root)?;
        eprintln!("xtask: building the Worker into {}", flavour.relative());
        let _ = fs::remove_file(&stamp);
        make(root, &tools, flavour, &folder)?;
        let build = Self::measure(folder, flavour)?;
        let value = json!({ "sources": sources.to_string(), "raw": build.raw, "gzipped": build.gzipped });
        fs::write(&stamp, value.to_string()).map_err(Error::at(&stamp))?;
        Ok(build)
    }

    /// Its size, for people.
    #[must_use]
    pub fn size(&self) -> String {
        format!(
            "index_bg.wasm: {} KB, {} KB gzipped (limit {} KB)",
            self.raw / 1000,
            self.gzipped / 1000,
            GZIPPED_LIMIT / 1000
        )
    }

    fn stamped(folder: &Path, flavour: Flavour, stamp: &Path, sources: u64) -> Option<Self> {
        let value: Value = serde_json::from_str(&fs::read_to_string(stamp).ok()?).ok()?;
        if value.get("sources")?.as_str()? != sources.to_string() || !folder.join("index_bg.wasm").is_file() {
            return None;
        }
        let number = |name: &str| value.get(name)?.as_u64();
        Some(Self { folder: folder.to_path_buf(), flavour, raw: number("raw")?, gzipped: number("gzipped")? })
    }

    fn measure(folder: PathBuf, flavour: Flavour) -> Result<Self> {
        let path = folder.join("index_bg.wasm");
        let wasm = fs::read(&path).map_err(Error::at(&path))?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
        let packed = encoder.write_all(&wasm).and_then(|()| encoder.finish()).map_err(Error::at(&path))?;
        let gzipped = u64::try_from(packed.len()).unwrap_or(u64::MAX);
        if flavour == Flavour::Plain && gzipped > GZIPPED_LIMIT {
            return Err(Error::TooLarge { gzipped, limit: GZIPPED_LIMIT });
        }
        Ok(Self { folder, flavour, raw: u64::try_from(wasm.len()).unwrap_or(u64::MAX), gzipped })
    }
}

/// Makes `index_bg.wasm` and `index.js` in `folder`.
fn make(root: &Path, tools: &Tools, flavour: Flavour, folder: &Path) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(root);
        command
    };
    let mut compile = cargo(&["build", "--locked", "--quiet", "--release", "--lib", "--target", WASM_TARGET]);
    if flavour == Flavour::Test {
        compile.args(["--features", "test-routes"]);
    }
    child::run(&mut compile)?;
    let target = cargo_target(root);
    let module = target.join(WASM_TARGET).join("release/murmuration.wasm");
    let parts = folder.join("parts");
    // With the features that the tests of the whole workspace ask for, which cargo only gives where a test is built, too: so what
    // it stands on is compiled once.
    let workspace = ["build", "--locked", "--quiet", "--workspace"];
    child::run(cargo(&workspace).args(["--bin", "murmuration-bindgen", "--test", "refusals"]))?;
    let bindgen = target.join("debug/murmuration-bindgen");
    child::run(Command::new(bindgen).arg(&module).arg(&parts))?;

    let (wasm, script) = (folder.join("index_bg.wasm"), folder.join("index.js"));
    let bound = parts.join("index_bg.wasm");
    match flavour {
        Flavour::Plain => {
            let mut optimize = Command::new(tools.wasm_opt());
            // By name, so that nothing is written that a runtime does not read yet. These are what rustc and wasm-bindgen
            // use.
            optimize.args(WASM_FEATURES.map(|feature| format!("--enable-{feature}"))).arg("-O");
            child::run(optimize.arg(&bound).arg("-o").arg(&wasm))?;
        }
        // A third of the time that a change takes to be tested, and nobody asks how large this one is.
        Flavour::Test => fs::rename(&bound, &wasm).map_err(Error::at(&bound))?,
    }
    names::strip(&wasm)?;

    let mut bundle = Command::new(tools.esbuild());
    bundle.args([
        "index.js",
        "--bundle",
        "--minify",
        "--format=esm",
        "--log-level=warning",
        "--allow-overwrite",
    ]);
    bundle.args(["--external:./index_bg.wasm", "--external:cloudflare:*", "--outfile=index.js"]);
    child::run(bundle.current_dir(&parts))?;
    // The runtime has no import of sources, and gives the module's source for a plain one.
    let bundled = parts.join("index.js");
    let text =
        fs::read_to_string(&bundled).map_err(Error::at(&bundled))?.replace("import source ", "import ");
    fs::write(&script, text).map_err(Error::at(&script))?;
    fs::remove_dir_all(&parts).map_err(Error::at(&parts))
}

/// Where cargo puts what it makes.
fn cargo_target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// A number that changes when anything changes that the Wasm is made of.
fn fingerprint(root: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        hash(&root.join(source), root, &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn hash(path: &Path, root: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(Error::at(path))?;
        let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort();
        return paths.iter().try_for_each(|path| hash(path, root, hasher));
    }
    // Tests beside the sources do not reach the Wasm, and the entry stands beside it.
    let relative = path.strip_prefix(root).unwrap_or(path);
    let is_apart = relative
        .components()
        .any(|part| ["tests", "fuzz", "entry.js"].iter().any(|apart| part.as_os_str() == *apart));
    if is_apart || !path.is_file() {
        return Ok(());
    }
    relative.hash(hasher);
    fs::read(path).map_err(Error::at(path))?.hash(hasher);
    Ok(())
}

/// The embedding model, an asset of the Worker.
pub const MODEL: &str = "crates/embedding/model/minilm-static-256.bin";

/// The limit of the Worker's Wasm, gzipped: the project's own (docs/decisions/0010). Cloudflare's is 64 MiB uncompressed.
pub const GZIPPED_LIMIT: u64 = 2_000_000;

/// The level that uploads and web servers use.
const GZIP_LEVEL: u32 = 9;

/// What WebAssembly has beyond its first version and the module uses.
const WASM_FEATURES: [&str; 8] = [
    "mutable-globals",
    "sign-ext",
    "nontrapping-float-to-int",
    "bulk-memory",
    "multivalue",
    "reference-types",
    "exception-handling",
    "simd",
];

/// What the Wasm is made of.
const SOURCES: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo/config.toml",
    "package-lock.json",
    "src",
    "xrpc",
    "lexicons",
    "bridge",
    "crates",
    "migrations",
    "xtask/bindgen",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_follows_sources_and_not_tests() {
        let root = std::env::temp_dir().join(format!("murmuration-fingerprint-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "1");
        let first = fingerprint(&root).unwrap();
        write("crates/repo/tests/interop.rs", "2");
        assert_eq!(fingerprint(&root).unwrap(), first);
        write("src/lib.rs", "3");
        assert_ne!(fingerprint(&root).unwrap(), first);
        fs::remove_dir_all(&root).unwrap();
    }
}
