//! The layers: what stands below the Worker knows nothing of Workers, JavaScript, clocks or entropy.
//!
//! Two looks, because each sees what the other cannot: the tree of dependencies, as resolved for wasm32 and for one crate
//! alone (features that another crate of the workspace turns on do not count), and the sources, for what the standard
//! library would give without any dependency.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::tools::WASM_TARGET;
use crate::{Error, Result, child};

/// Checks every crate of the workspace that stands below the Worker.
///
/// # Errors
/// [`Error::Layers`] with a line for each fault.
pub fn check(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    let crates = lower_crates(root)?;
    for (name, folder) in &crates {
        let tree = tree(root, &["--package", name, "--prefix", "depth", "--format", "{p}|{f}"])?;
        faults.extend(faults_of_tree(name, &tree));
        scan(&folder.join("src"), &mut |path, text| {
            let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
            faults.extend(faults_of_source(&path, text));
        })?;
    }
    if crates.is_empty() {
        faults.push("no crate was found to check".to_owned());
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Layers(faults.join("\n"))) }
}

/// The crates below the Worker that are not in the one that is tested, so that its build does not show that they compile for
/// wasm32.
///
/// # Errors
/// Whatever cargo says.
pub fn apart(root: &Path) -> Result<Vec<String>> {
    let tested = tree(root, &["--features", "test-routes", "--prefix", "none", "--format", "{p}"])?;
    Ok(lower_crates(root)?.into_keys().filter(|name| !reaches(&tested, name)).collect())
}

/// `cargo tree`, as the Worker is built.
fn tree(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "--edges", "normal", "--target", WASM_TARGET]);
    child::output(command.args(arguments).current_dir(root))
}

/// Whether a tree without prefixes holds a crate.
fn reaches(tree: &str, krate: &str) -> bool {
    tree.lines().any(|line| line.split(' ').next() == Some(krate))
}

/// The crates below the Worker: their names and folders.
fn lower_crates(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut crates = members(root)?;
    crates.retain(|name, _| below(name));
    Ok(crates)
}

fn below(name: &str) -> bool {
    !ABOVE.contains(&name)
}

/// All crates of the workspace: their names and folders.
///
/// # Errors
/// Whatever `cargo metadata` says.
pub fn members(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let arguments = ["metadata", "--locked", "--no-deps", "--format-version", "1"];
    let text = child::output(Command::new("cargo").args(arguments).current_dir(root))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| Error::Project(format!("cargo metadata: {error}")))?;
    Ok(packages(&metadata))
}

fn packages(metadata: &Value) -> BTreeMap<String, PathBuf> {
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let named = packages.filter_map(|package| {
        let name = package.get("name")?.as_str()?;
        let manifest = Path::new(package.get("manifest_path")?.as_str()?);
        Some((name.to_owned(), manifest.parent()?.to_path_buf()))
    });
    named.collect()
}

/// What a crate reaches in `cargo tree --prefix depth --format "{p}|{f}"`, with the way there.
fn faults_of_tree(krate: &str, tree: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut way: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let digits = line.find(|character: char| !character.is_ascii_digit()).unwrap_or(line.len());
        let (depth, rest) = line.split_at(digits);
        let Ok(depth) = depth.parse::<usize>() else { continue };
        let (package, features) = rest.split_once('|').unwrap_or((rest, ""));
        let name = package.split(' ').next().unwrap_or(package);
        way.truncate(depth);
        way.push(name);
        let features = features.trim_end_matches("(*)").trim();
        let feature = CLOCKS
            .iter()
            .find(|(clock, _)| *clock == name)
            .and_then(|(_, forbidden)| features.split(',').find(|feature| forbidden.contains(feature)));
        if FOREIGN.contains(&name) {
            faults.push(format!("{krate}: depends on {name} ({})", way.join(" > ")));
        } else if let Some(feature) = feature {
            faults
                .push(format!("{krate}: {name} with its feature {feature} is a clock ({})", way.join(" > ")));
        }
    }
    faults
}

/// What a source file uses of the standard library, or of a crate, that only the Worker may.
fn faults_of_source(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // Tests stand last in a file, and may measure.
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or(line);
        let words = code.split(|character: char| !character.is_alphanumeric() && character != '_');
        let word = words.into_iter().find(|word| WORDS.contains(word));
        let word = word.or_else(|| PATHS.into_iter().find(|path| code.contains(path)));
        if let Some(word) = word {
            faults.push(format!("{path}:{}: uses {word}", number + 1));
        }
    }
    faults
}

fn scan(folder: &Path, each: &mut impl FnMut(&Path, &str)) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::at(folder))? {
        let path = entry.map_err(Error::at(folder))?.path();
        if path.is_dir() {
            scan(&path, each)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&path, &fs::read_to_string(&path).map_err(Error::at(&path))?);
        }
    }
    Ok(())
}

/// The packages that are not below the Worker.
const ABOVE: [&str; 5] =
    ["murmuration", "murmuration-bindgen", "murmuration-fuzz", "murmuration-tests", "xtask"];

/// Crates that bring Workers, JavaScript, a clock or entropy.
const FOREIGN: [&str; 14] = [
    "worker",
    "worker-sys",
    "worker-macros",
    "wasm-bindgen",
    "wasm-bindgen-futures",
    "js-sys",
    "web-sys",
    "serde-wasm-bindgen",
    "wasm-streams",
    "web-time",
    "instant",
    "getrandom",
    "rand",
    "tokio",
];

/// Crates of dates that become clocks by a feature.
const CLOCKS: [(&str, &[&str]); 3] = [
    ("chrono", &["now", "clock", "wasmbind"]),
    ("time", &["std", "local-offset", "wasm-bindgen"]),
    ("jiff", &["std", "js"]),
];

/// Words of clocks and entropy.
const WORDS: [&str; 8] =
    ["SystemTime", "Instant", "UNIX_EPOCH", "getrandom", "OsRng", "SysRng", "ThreadRng", "RandomState"];

/// Paths of clocks, entropy and I/O.
const PATHS: [&str; 7] =
    ["rand::", "std::env::", "std::fs", "std::net::Tcp", "std::net::Udp", "std::process::", "std::thread"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_keeps_its_layers() {
        check(&crate::root()).unwrap();
    }

    #[test]
    fn names_the_way_to_a_foreign_crate() {
        let tree = "0murmuration-repo v0.1.0 (/x)|\n1sha2 v0.11.1|\n1nice v1.0.0|default\n2js-sys v0.3.107|std (*)\n";
        let faults = faults_of_tree("murmuration-repo", tree);
        assert_eq!(faults, ["murmuration-repo: depends on js-sys (murmuration-repo > nice > js-sys)"]);
    }

    #[test]
    fn refuses_each_foreign_crate() {
        for name in FOREIGN {
            assert_eq!(faults_of_tree("a", &format!("0a v1|\n1{name} v1.0.0|\n")).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_library_of_dates_is_no_clock_without_the_feature() {
        assert!(faults_of_tree("a", "0a v1|\n1chrono v0.4.45|alloc,serde\n").is_empty());
        assert_eq!(faults_of_tree("a", "0a v1|\n1chrono v0.4.45|alloc,now\n").len(), 1);
        assert_eq!(faults_of_tree("a", "0a v1|\n1time v0.3.55|std (*)\n").len(), 1);
    }

    #[test]
    fn finds_clocks_and_entropy_in_sources() {
        for line in [
            "use std::time::{Duration, SystemTime};",
            "let start = Instant::now();",
            "getrandom::fill(&mut nonce)?;",
            "let n: u8 = rand::random();",
            "let text = std::fs::read(path)?;",
        ] {
            let faults = faults_of_source("crates/x/src/lib.rs", &format!("//! x\n{line}\n"));
            assert_eq!(faults.len(), 1, "{line}");
            assert!(
                faults.iter().all(|fault| fault.starts_with("crates/x/src/lib.rs:2: uses ")),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn leaves_comments_tests_and_longer_names_alone() {
        let text = "// SystemTime panics here\nfn instant_noodles() {}\n#[cfg(test)]\nmod t { use std::time::Instant; }\n";
        assert!(faults_of_source("a.rs", text).is_empty());
    }

    #[test]
    fn a_crate_is_in_a_tree_by_its_whole_name() {
        let tree = "murmuration v0.1.0 (/w)\nmurmuration-client v0.1.0 (/w/crates/client)\n";
        assert!(reaches(tree, "murmuration-client"));
        assert!(!reaches(tree, "murmuration-cli"));
    }

    #[test]
    fn the_worker_and_the_tools_are_not_below() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "murmuration", "manifest_path": "/w/Cargo.toml" },
            { "name": "xtask", "manifest_path": "/w/xtask/Cargo.toml" },
            { "name": "murmuration-repo", "manifest_path": "/w/crates/repo/Cargo.toml" },
        ]});
        let mut lower = packages(&metadata);
        lower.retain(|name, _| below(name));
        assert_eq!(lower, BTreeMap::from([("murmuration-repo".to_owned(), PathBuf::from("/w/crates/repo"))]));
    }
}
