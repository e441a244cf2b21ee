//! What the program refuses. That there is such a test is also why a build of it with all features is the tests' own: see
//! `xtask/src/worker.rs`.

use std::process::Command;

#[test]
fn a_file_that_is_no_module_is_refused_and_nothing_is_written() {
    let folder = std::env::temp_dir().join(format!("murmuration-bindgen-{}", std::process::id()));
    let refused = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_murmuration-bindgen")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&[file!()]).contains("a module and a folder are wanted"));
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(refused(&[module, folder.to_str().unwrap()]).contains("Cargo.toml"));
    assert!(!folder.exists());
}
