//! `docs/incidents.md` against the tests that it names.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_incident_has_the_test_that_it_names() {
    let root = xtask::root();
    let text = fs::read_to_string(root.join("docs/incidents.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20);
    let named = |row: &str| -> Vec<String> {
        row.split('`').filter(|part| part.starts_with("regress_")).map(str::to_owned).collect()
    };
    for row in &rows {
        assert!(!named(row).is_empty(), "no test: {row}");
    }
    let wanted: BTreeSet<String> = rows.iter().flat_map(|row| named(row)).collect();
    let mut found = BTreeSet::new();
    for folder in ["src", "xrpc", "bridge", "lexicons", "crates", "tests", "xtask"] {
        collect(&root.join(folder), &mut found);
    }
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}

/// The names of the tests in a folder's sources.
fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                match line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) {
                    Some(name) if is_test => drop(found.insert(name.to_owned())),
                    _ => {}
                }
                // Other attributes may stand between.
                is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            }
        }
    }
}
