//! Fuzz targets for everything that reads what strangers send.
//!
//! A target is a plain function of bytes that panics when a law is broken. It is used three ways: `cargo fuzz` feeds it
//! what its search finds; `cargo test` feeds it a small fixed corpus, so that every build runs every target; and
//! `cargo run --bin <target> -- <file>` feeds it one file, such as one that once broke.

pub mod corpus;
pub mod data;
pub mod envelope;
pub mod keys;
pub mod repo;
pub mod stream;
pub mod syntax;

/// A function to be fed, and examples of what it takes.
pub struct Target {
    /// Its name, which is also that of its program.
    pub name: &'static str,
    /// The function. It panics when a law is broken.
    pub run: fn(&[u8]),
    /// Inputs that are good, to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "car", run: repo::car, seeds: repo::car_seeds },
    Target { name: "cbor_decode", run: data::cbor_decode, seeds: data::cbor_seeds },
    Target { name: "cid", run: data::cid, seeds: data::cid_seeds },
    Target { name: "commit", run: repo::commit, seeds: repo::commit_seeds },
    Target { name: "did_key", run: keys::did_key, seeds: keys::did_key_seeds },
    Target { name: "envelope", run: envelope::envelope, seeds: envelope::envelope_seeds },
    Target { name: "frame", run: stream::frame, seeds: stream::frame_seeds },
    Target { name: "import", run: repo::import_car, seeds: repo::import_seeds },
    Target { name: "json_parse", run: data::json_parse, seeds: data::json_seeds },
    Target { name: "mst_node", run: repo::mst_node, seeds: repo::node_seeds },
    Target { name: "mst_tree", run: repo::mst_tree, seeds: repo::tree_seeds },
    Target { name: "push", run: stream::push, seeds: stream::push_seeds },
    Target { name: "seal_open", run: keys::seal_open, seeds: keys::seal_seeds },
    Target { name: "syntax", run: syntax::all, seeds: syntax::seeds },
];

/// The entry of a target's program: the fuzzer's under `cargo fuzz`, else one that reads files named as arguments.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $run(data));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($run);
        }
    };
}

/// Feeds a target the files named as arguments.
///
/// # Panics
/// When a file cannot be read, or breaks a law.
pub fn replay(run: fn(&[u8])) {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        run(&bytes);
        println!("{}: holds", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `FUZZ_CASES` asks for more.
    fn cases() -> usize {
        std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
    }

    #[test]
    fn every_target_holds_over_the_fixed_corpus() {
        for target in TARGETS {
            eprintln!("{}", target.name);
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
            assert!(
                manifest.contains(&format!("path = \"targets/{name}.rs\"")),
                "{name} is not in Cargo.toml"
            );
        }
    }
}
