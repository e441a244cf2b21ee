//! Every target over the small fixed corpus, and every target with its program.

use murmuration_fuzz::{TARGETS, corpus};

/// `FUZZ_CASES` asks for more.
fn cases() -> usize {
    std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

#[test]
fn every_target_holds_over_the_fixed_corpus() {
    for target in TARGETS {
        println!("{}", target.name);
        corpus::run(target, cases());
    }
}

#[test]
fn every_target_has_a_program_and_every_program_a_target() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut programs: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder of programs")
        .map(|entry| {
            entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    programs.sort();
    let mut names: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    names.sort();
    assert_eq!(programs, names);
    let manifest = include_str!("../Cargo.toml");
    for name in names {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not in Cargo.toml");
    }
}
