//! `cargo xtask build`.

use crate::state::{Secrets, write_private};
use crate::worker::{Build, Flavour};
use crate::{Result, config, root};

pub(super) fn run() -> Result<()> {
    let root = root();
    let build = Build::ensure(&root, Flavour::Plain)?;
    eprintln!("{}", build.size());
    let path = root.join(".dev.vars");
    if path.exists() {
        return Ok(());
    }
    let mut text =
        String::from("# For `npx wrangler dev` only. Made once by `cargo xtask build`; not for git.\n");
    text.push_str("PLC_URL=http://127.0.0.1:2582\nALLOW_PRIVATE_NETWORK=true\n");
    for (name, value) in config::environment(&Secrets::make()?) {
        text.push_str(&format!("{name}={value}\n"));
    }
    write_private(&path, &text)
}
