//! `cargo xtask <verb>`: see [`xtask::verbs`].

use std::process::ExitCode;

fn main() -> ExitCode {
    match xtask::verbs::run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
