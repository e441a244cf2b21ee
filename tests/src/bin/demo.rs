//! What `cargo xtask demo` runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    if murmuration_tests::demo::run() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
