//! Packs the lexicon documents into one Rust file, `documents.rs`: a list of (NSID, JSON), sorted by NSID.
//!
//! What a validator never reads is left out: descriptions, and the values that a string is merely known to have. The
//! rest stays plain JSON: the Worker is shipped compressed as a whole, where 253 documents weigh 15 kB, so packing them
//! tighter here would save nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let mut documents = BTreeMap::new();
    for (folder, base) in FOLDERS {
        let folder = here.join(folder);
        write_line(&format!("cargo::rerun-if-changed={}", folder.display()))?;
        for file in files(&folder)? {
            let (id, text) =
                document(&file, &here.join(base)).map_err(|e| format!("{}: {e}", file.display()))?;
            if documents.insert(id, text).is_some() {
                return Err(format!("{}: there is another document of this name", file.display()).into());
            }
        }
    }
    let mut code = String::from("&[\n");
    for (id, text) in &documents {
        writeln!(code, "({id:?}, {text:?}),")?;
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("documents.rs"), code)?;
    Ok(())
}

/// The JSON files below `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(files)
}

/// A document's NSID, which must be what its path below `base` says, and its text as it is packed.
fn document(file: &Path, base: &Path) -> Result<(String, String), Box<dyn Error>> {
    let mut document: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let path = file.strip_prefix(base)?.with_extension("");
    let segments: Option<Vec<&str>> = path.iter().map(|segment| segment.to_str()).collect();
    let id = segments.ok_or("the path is not Unicode")?.join(".");
    if document.get("id").and_then(Value::as_str) != Some(&id) {
        return Err(format!("its id is not {id}").into());
    }
    strip(&mut document, false);
    Ok((id, serde_json::to_string(&document)?))
}

/// Removes the members in [`UNREAD`], but for those of a map whose members are `named` freely.
fn strip(value: &mut Value, named: bool) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, false)),
        Value::Object(members) => {
            if !named {
                members.retain(|name, _| !UNREAD.contains(&name.as_str()));
            }
            for (name, value) in members {
                strip(value, !named && matches!(name.as_str(), "defs" | "properties"));
            }
        }
        _ => {}
    }
}

/// How a build script speaks to cargo.
fn write_line(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")
}

/// Where documents are, and the folder from which their paths spell their NSIDs.
const FOLDERS: &[(&str, &str)] = &[("agent", ""), ("generated", "generated")];

/// Members of a definition that no validation reads.
const UNREAD: &[&str] = &["description", "knownValues"];
