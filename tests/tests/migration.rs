//! An account moves from the reference PDS to this host and back, and nothing of it is lost.
//!
//! `MIGRATION_RECORDS` and `MIGRATION_BLOBS` make it smaller or larger.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use murmuration_tests::Setup;
use serde_json::Value;
use xtask::child::Echo;
use xtask::reference::{Mode, Reference};
use xtask::state::State;
use xtask::tools::Tools;

/// Within this time all of it is done: it takes half a minute on two quiet cores.
const LIMIT: Duration = Duration::from_secs(240);
/// Within this time a server has mailed a code.
const MAIL_LIMIT: Duration = Duration::from_secs(20);

/// A process that does not outlive the test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_account_moves_here_from_the_reference_server_and_back() {
    let root = xtask::root();
    let folder = root.join("tests/clients");
    Tools::to_run(&root).unwrap().npm(&folder).unwrap();
    let world = Setup::new().plain().start();
    let elsewhere = std::env::temp_dir().join(format!("murmuration-migration-{}", std::process::id()));
    let state = State::open(&elsewhere).unwrap();
    let data = state.path("reference");
    // It resolves no identity at an address of numbers.
    let plc = world.plc_url().replace("127.0.0.1", "localhost");
    let started = Reference::start(&root, &data, &plc, state.secrets(), Mode::Development, Echo::Keep);
    let mut reference = started.unwrap();

    let size = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut command = Command::new("node");
    command
        .arg("migration/migration.mjs")
        .args(["--reference", &reference.url(), "--host", &world.url(), "--plc", world.plc_url()])
        .args(["--admin-password", &state.secrets().admin_password])
        .args(["--records", &size("MIGRATION_RECORDS", "10000"), "--blobs", &size("MIGRATION_BLOBS", "100")])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let began = Instant::now();
    let mut client = Client(command.spawn().unwrap());
    let mut codes = client.0.stdin.take().unwrap();
    for line in BufReader::new(client.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let asked: Option<Value> = serde_json::from_str(&line).ok();
        let code = match asked.as_ref().and_then(|event| event["at"].as_str()) {
            Some("reference") => mailed_by(&mut reference),
            Some(_) => mailed_into(&world.folder().join("outbox")),
            None => {
                println!("{line}");
                continue;
            }
        };
        writeln!(codes, "{code}").unwrap();
    }
    let status = client.0.wait().unwrap();
    let log = if status.success() { String::new() } else { reference.child().log().tail(40) };
    reference.stop();
    drop(state);
    State::remove(&elsewhere).unwrap();
    assert!(status.success(), "{status}\n{log}");
    assert!(began.elapsed() < LIMIT, "it took {:?}", began.elapsed());
}

/// The code in the reference server's next letter.
fn mailed_by(reference: &mut Reference) -> String {
    let letter = reference.child().event(MAIL_LIMIT).unwrap();
    letter["token"].as_str().unwrap().to_owned()
}

/// The code in the newest letter of this host's outbox: two groups of five, alone on their line.
fn mailed_into(outbox: &Path) -> String {
    let made =
        |path: &Path| fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let letters = fs::read_dir(outbox).unwrap().map(|entry| entry.unwrap().path());
    let newest = letters.max_by_key(|path| made(path)).unwrap();
    let letter: Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
    let text = letter["text"].as_str().unwrap();
    let is_code = |line: &&str| line.len() == 11 && line.as_bytes()[5] == b'-';
    text.lines().map(str::trim).find(is_code).unwrap().to_owned()
}
