//! What `cargo xtask demo` runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    if murmuration_tests::demo::run().iter().all(|claim| claim.holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
