//! `cargo xtask build`.

use crate::worker::{Build, Flavour};
use crate::{Result, root};

pub(super) fn run() -> Result<()> {
    let build = Build::ensure(&root(), Flavour::Plain)?;
    eprintln!("{}", build.size());
    Ok(())
}
