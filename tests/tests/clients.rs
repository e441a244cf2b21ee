//! Real clients, unmodified, against the Worker that is deployed: `tests/clients` holds them.

use std::process::{Command, Stdio};

use murmuration_tests::Setup;
use xtask::tools::Tools;

#[test]
fn unmodified_clients_find_nothing_wanting() {
    let root = xtask::root();
    let folder = root.join("tests/clients");
    Tools::to_run(&root).unwrap().npm(&folder).unwrap();
    let world = Setup::new().plain().start();
    // Its output is not kept back: it says what each client did.
    let status = Command::new("node")
        .args(["run.mjs", "--url", &world.url(), "--plc", world.plc_url()])
        .args(["--admin-password", world.admin_password()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
