//! The lexicon documents of others: taken from the npm package that publishes them, and kept in `lexicons/generated`.
//!
//! ```text
//! cargo xtask lexicons            writes the documents anew
//! cargo xtask lexicons --check    fails when what is committed is not what the locked package gives
//! ```
//!
//! The package's generated code holds the documents as one JavaScript object in which every reference is absolute and
//! has the prefix `lex:`. Here they get back the form in which they are published, one file a document, so that a new
//! version of the package shows as a difference that can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::tools::Tools;
use crate::{Error, Result, child};

/// Runs the verb with what follows it on the command line.
///
/// # Errors
/// [`Error::Usage`] for an unknown argument; [`Error::Project`] when `--check` finds a difference, or when the package
/// is not as it was.
pub fn run(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err(Error::Usage("lexicons takes nothing but --check".to_owned())),
    };
    let root = crate::root();
    Tools::to_run(&root)?;
    let folder = root.join("lexicons/generated");
    let wanted = files(&root)?;
    let found = read(&folder)?;
    let differences = differences(&wanted, &found);
    if check {
        return report(&differences);
    }
    for path in differences {
        let file = folder.join(path);
        match wanted.get(path) {
            Some(text) => write(&file, text)?,
            None => fs::remove_file(&file).map_err(Error::at(&file))?,
        }
    }
    eprintln!("xtask: {} files in lexicons/generated", wanted.len());
    Ok(())
}

/// The files that `lexicons/generated` must hold, by their paths in it.
fn files(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let package = root.join("node_modules").join(PACKAGE);
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(Error::at(&path));
    let manifest = json(&read(package.join("package.json"))?)?;
    let version = manifest.get("version").and_then(Value::as_str).unwrap_or("?");

    let documents = select(published(&package.join(MODULE))?)?;
    let mut files = BTreeMap::from([
        (PathBuf::from("LICENSE.txt"), read(package.join("LICENSE.txt"))?),
        (PathBuf::from("README.md"), readme(version, documents.len())),
    ]);
    for (id, document) in documents {
        let mut text = serde_json::to_string_pretty(&document).map_err(malformed)?;
        text.push('\n');
        files.insert(PathBuf::from(id.replace('.', "/") + ".json"), text);
    }
    Ok(files)
}

/// Every document of the package, by its NSID, in the form in which it is published.
fn published(module: &Path) -> Result<BTreeMap<String, Value>> {
    let script = "import { pathToFileURL } from 'node:url';
        const { schemaDict } = await import(pathToFileURL(process.argv[1]));
        process.stdout.write(JSON.stringify(Object.values(schemaDict)))";
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", script]).arg(module);
    let Value::Array(documents) = json(&child::output(&mut node)?)? else {
        return Err(Error::Project(format!("{PACKAGE} gives no list of documents")));
    };
    let mut published = BTreeMap::new();
    for mut document in documents {
        let id = document.get("id").and_then(Value::as_str).map(str::to_owned);
        let id = id.ok_or_else(|| Error::Project(format!("a document of {PACKAGE} has no id")))?;
        relative(&mut document, &format!("{id}#"));
        published.insert(id, document);
    }
    Ok(published)
}

/// Takes the prefix `lex:` from every reference, and the document's own name as well.
fn relative(value: &mut Value, own: &str) {
    match value {
        Value::String(text) => {
            if let Some(reference) = text.strip_prefix("lex:") {
                *text = match reference.strip_prefix(own) {
                    Some(name) => format!("#{name}"),
                    None => reference.to_owned(),
                };
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| relative(value, own)),
        Value::Object(fields) => fields.values_mut().for_each(|value| relative(value, own)),
        _ => {}
    }
}

/// The documents of [`NAMESPACES`] and [`RECORDS`], and those that they refer to.
fn select(mut published: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>> {
    let named =
        |id: &&String| NAMESPACES.iter().any(|space| id.starts_with(space)) || RECORDS.contains(&id.as_str());
    let mut wanted: BTreeSet<String> = published.keys().filter(named).cloned().collect();
    let mut selected = BTreeMap::new();
    while let Some(id) = wanted.pop_first() {
        if selected.contains_key(&id) {
            continue;
        }
        let document = published.remove(&id);
        let document = document.ok_or_else(|| Error::Project(format!("{PACKAGE} has no document {id}")))?;
        references(&document, &mut wanted);
        selected.insert(id, document);
    }
    for record in RECORDS {
        if !selected.contains_key(*record) {
            return Err(Error::Project(format!("{PACKAGE} has no document {record}")));
        }
    }
    Ok(selected)
}

/// Adds the NSIDs of the documents that `value` refers to.
fn references(value: &Value, to: &mut BTreeSet<String>) {
    let mut add = |reference: &Value| {
        let document = reference.as_str().and_then(|text| text.split('#').next());
        to.extend(document.filter(|id| !id.is_empty()).map(str::to_owned));
    };
    match value {
        Value::Array(values) => values.iter().for_each(|value| references(value, to)),
        Value::Object(fields) => {
            match fields.get("type").and_then(Value::as_str) {
                Some("ref") => fields.get("ref").into_iter().for_each(add),
                Some("union") => {
                    fields.get("refs").and_then(Value::as_array).into_iter().flatten().for_each(&mut add)
                }
                _ => {}
            }
            fields.values().for_each(|value| references(value, to));
        }
        _ => {}
    }
}

/// The files below `folder`, by their paths in it.
fn read(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        if !next.exists() {
            continue;
        }
        for entry in fs::read_dir(&next).map_err(Error::at(&next))? {
            let path = entry.map_err(Error::at(&next))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).map_err(Error::at(&path))?;
                files.insert(path.strip_prefix(folder).unwrap_or(&path).to_path_buf(), text);
            }
        }
    }
    Ok(files)
}

/// The paths that are in one and not in the other, or differ.
fn differences<'a>(
    wanted: &'a BTreeMap<PathBuf, String>,
    found: &'a BTreeMap<PathBuf, String>,
) -> BTreeSet<&'a Path> {
    let changed = wanted.iter().filter(|(path, text)| found.get(*path) != Some(text));
    let stale = found.keys().filter(|path| !wanted.contains_key(*path));
    changed.map(|(path, _)| path).chain(stale).map(PathBuf::as_path).collect()
}

fn report(differences: &BTreeSet<&Path>) -> Result<()> {
    let Some(first) = differences.first() else {
        return Ok(());
    };
    Err(Error::Project(format!(
        "lexicons/generated is not what {PACKAGE} gives: {} of its files differ, {} among them; run `cargo xtask lexicons`",
        differences.len(),
        first.display(),
    )))
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(Error::at(folder))?;
    }
    fs::write(file, text).map_err(Error::at(file))
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(malformed)
}

fn malformed(error: serde_json::Error) -> Error {
    Error::Project(format!("{PACKAGE}: {error}"))
}

fn readme(version: &str, documents: usize) -> String {
    format!(
        "# Lexicon documents of others

{documents} documents of `com.atproto.*` and `app.bsky.*`, and the few others that a PDS validates records with. Taken from
the npm package `{PACKAGE}` {version} by `cargo xtask lexicons`; `cargo xtask lexicons --check` fails when they are not
what the version in `package-lock.json` gives. Not to be edited by hand.

Copyright (c) Bluesky Social PBC and contributors, under MIT or Apache-2.0 at the reader's choice: see `LICENSE.txt`,
which is the package's own.
"
    )
}

/// The npm package that publishes the documents.
const PACKAGE: &str = "@atproto/api";

/// The module of the package that holds them.
const MODULE: &str = "dist/client/lexicons.js";

/// Whose documents are taken whole.
const NAMESPACES: &[&str] = &["app.bsky.", "com.atproto."];

/// Documents from elsewhere, of records that the reference PDS validates too.
const RECORDS: &[&str] = &["chat.bsky.actor.declaration", "com.germnetwork.declaration"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_get_back_their_published_form() {
        let mut document =
            json(r##"{"a":"lex:x.y.z#b","refs":["lex:x.y.z2#b","lex:x.y.z"],"d":"lexical"}"##).unwrap();
        relative(&mut document, "x.y.z#");
        assert_eq!(document, json(r##"{"a":"#b","refs":["x.y.z2#b","x.y.z"],"d":"lexical"}"##).unwrap());
    }

    #[test]
    fn a_selection_is_closed_under_references() {
        let text = r##"{"app.bsky.a":{"type":"ref","ref":"chat.bsky.b#c"},"chat.bsky.b":{"type":"union","refs":["#c"]},
            "chat.bsky.actor.declaration":{},"com.germnetwork.declaration":{},"tools.ozone.x":{}}"##;
        let published = serde_json::from_str(text).unwrap();
        let ids: Vec<String> = select(published).unwrap().into_keys().collect();
        assert_eq!(
            ids,
            ["app.bsky.a", "chat.bsky.actor.declaration", "chat.bsky.b", "com.germnetwork.declaration"]
        );
    }

    #[test]
    fn a_missing_an_altered_and_a_stale_file_are_differences() {
        let files = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let wanted = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let found = files(&[("b", "2"), ("c", "4"), ("d", "5")]);
        let paths: Vec<_> = differences(&wanted, &found).into_iter().collect();
        assert_eq!(paths, [Path::new("a"), Path::new("c"), Path::new("d")]);
    }
}
