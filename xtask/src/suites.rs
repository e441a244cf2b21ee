//! The tests of a crate are one program, whose `tests/main.rs` names their files. One that it does not name is never run.

use std::fs;
use std::path::Path;

use crate::{Error, Result, layers};

/// Checks that every file of tests is a module of its crate's program, or a program of its own.
///
/// # Errors
/// [`Error::Unrun`] with a line for each file that is neither.
pub fn check(root: &Path) -> Result<()> {
    let mut unrun = Vec::new();
    for folder in layers::members(root)?.into_values() {
        let tests = folder.join("tests");
        let Ok(main) = fs::read_to_string(tests.join("main.rs")) else { continue };
        let manifest = folder.join("Cargo.toml");
        let manifest = fs::read_to_string(&manifest).map_err(Error::at(&manifest))?;
        for entry in fs::read_dir(&tests).map_err(Error::at(&tests))? {
            let path = entry.map_err(Error::at(&tests))?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let is_source = path.extension().is_some_and(|extension| extension == "rs") && name != "main";
            if is_source && !is_run(&name, &main, &manifest) {
                unrun.push(path.strip_prefix(root).unwrap_or(&path).display().to_string());
            }
        }
    }
    unrun.sort();
    if unrun.is_empty() { Ok(()) } else { Err(Error::Unrun(unrun.join("\n"))) }
}

fn is_run(name: &str, main: &str, manifest: &str) -> bool {
    let module = format!("mod {name};");
    let program = format!("name = \"{name}\"");
    main.lines().any(|line| line == module) || manifest.lines().any(|line| line == program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tests_is_a_module_or_a_program_or_missed() {
        let (main, manifest) = ("mod inbox;\n// mod line;\n", "[[test]]\nname = \"memory\"\n");
        assert!(is_run("inbox", main, manifest));
        assert!(is_run("memory", main, manifest));
        assert!(!is_run("line", main, manifest));
        assert!(!is_run("box", main, manifest));
    }
}
