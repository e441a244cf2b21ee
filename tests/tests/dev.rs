//! `cargo xtask dev`, as a newcomer and as a supervisor see it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::{Account, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `cargo xtask dev`.
struct Dev {
    process: Child,
    stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Dev {
    fn start(state: &Path, options: &[&str]) -> Self {
        let mut process =
            command(state, options).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a line of JSON: {line:?}"));
        Self { process, stdout, ready }
    }

    fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ready))
    }

    fn client(&self) -> Client {
        Client::new(self.text("url"))
    }

    fn plc(&self) -> Client {
        Client::new(self.text("plc"))
    }

    fn signal(&self, signal: Signal) {
        send(u64::from(self.process.id()), signal);
    }

    /// How it ended, and what else it had printed.
    fn end(mut self) -> (bool, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().success(), rest)
    }

    /// Waits until neither the host nor the PLC server answers.
    fn wait_for_silence(url: &str, plc: &str) {
        let end = Instant::now() + PATIENCE;
        for (url, path) in [(url, "/xrpc/_health"), (plc, "/_health")] {
            while Client::new(url).try_path(path).is_ok() {
                assert!(Instant::now() < end, "{url} lives on");
                thread::yield_now();
            }
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(state: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["xtask", "dev", "--state"]).arg(state).args(options).current_dir(xtask::root());
    command.stdin(Stdio::null());
    command
}

fn send(pid: u64, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("murmuration-dev-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn create_account(client: &Client, handle: &str) -> Account {
    let body =
        json!({ "handle": handle, "email": format!("{handle}@example.com"), "password": Account::PASSWORD });
    Account::of(&client.post("com.atproto.server.createAccount", &body).ok().json())
}

/// The account is there: its session, its record, and its DID at the PLC server.
#[track_caller]
fn is_there(dev: &Dev, account: &Account) {
    let body = json!({ "identifier": account.handle, "password": Account::PASSWORD });
    let session = Account::of(&dev.client().post("com.atproto.server.createSession", &body).ok().json());
    assert_eq!(session.did, account.did);
    let parameters = [("repo", account.did.as_str()), ("collection", "app.bsky.feed.post")];
    let records = dev.client().get("com.atproto.repo.listRecords", &parameters).ok().json();
    assert_eq!(records["records"].as_array().unwrap().len(), 1, "{records}");
    let document = dev.plc().path(&format!("/{}", account.did)).ok().json();
    assert_eq!(document["alsoKnownAs"][0], format!("at://{}", account.handle));
    assert_eq!(document["service"][0]["serviceEndpoint"], dev.ready["url"]);
}

#[test]
fn everything_is_there_after_each_kind_of_end() {
    let state = folder("ends");
    let dev = Dev::start(&state, &["--port", "0"]);
    assert_eq!(dev.ready["ready"], true);
    assert_eq!(dev.text("hostname"), "localhost");
    assert_eq!(fs::metadata(state.join("secrets.json")).unwrap().permissions().mode() & 0o777, 0o600);
    let (url, plc) = (dev.text("url").to_owned(), dev.text("plc").to_owned());
    let password = dev.text("adminPassword").to_owned();

    let alice = create_account(&dev.client(), "alice.test");
    let post =
        json!({ "$type": "app.bsky.feed.post", "text": "hello", "createdAt": "2026-11-23T00:00:00.000Z" });
    let body = json!({ "repo": alice.did, "collection": "app.bsky.feed.post", "record": post });
    let _ = dev.client().with_token(&alice.access).post("com.atproto.repo.createRecord", &body).ok();
    is_there(&dev, &alice);

    // workerd is killed: dev ends, and says that it failed.
    send(dev.ready["pid"].as_u64().unwrap(), Signal::KILL);
    let (success, rest) = dev.end();
    assert!(!success);
    assert_eq!(rest, "", "standard output holds one line");
    Dev::wait_for_silence(&url, &plc);

    // dev itself is killed: its children do not survive it.
    let dev = Dev::start(&state, &["--port", "0"]);
    assert_eq!((dev.text("url"), dev.text("plc")), (&*url, &*plc), "addresses in identities' documents stay");
    assert_eq!(dev.text("adminPassword"), password);
    is_there(&dev, &alice);
    dev.signal(Signal::KILL);
    assert!(!dev.end().0);
    Dev::wait_for_silence(&url, &plc);

    // The power goes while the PLC server writes a line.
    let log = state.join("plc.jsonl");
    OpenOptions::new().append(true).open(&log).unwrap().write_all(br#"{"did":"did:plc:half"#).unwrap();
    let dev = Dev::start(&state, &["--port", "0"]);
    is_there(&dev, &alice);
    let bob = create_account(&dev.client(), "bob.test");

    // It is told to end.
    dev.signal(Signal::TERM);
    assert!(dev.end().0);
    Dev::wait_for_silence(&url, &plc);
    let dev = Dev::start(&state, &["--port", "0"]);
    is_there(&dev, &alice);
    assert_eq!(dev.plc().path(&format!("/{}", bob.did)).status, 200);

    // And told to forget.
    dev.signal(Signal::INT);
    assert!(dev.end().0);
    let dev = Dev::start(&state, &["--port", "0", "--fresh"]);
    assert_ne!(dev.text("adminPassword"), password);
    assert_eq!(dev.plc().path(&format!("/{}", alice.did)).status, 404);
    dev.signal(Signal::TERM);
    assert!(dev.end().0);
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_plc_server_of_ones_own_and_a_name_are_taken() {
    let (state, other) = (folder("one"), folder("two"));
    let first = Dev::start(&state, &["--port", "0"]);
    let plc = first.text("plc").to_owned();
    let second = Dev::start(&other, &["--port", "0", "--plc-url", &plc, "--hostname", "pds.example.com"]);
    assert_eq!((second.text("plc"), second.text("hostname")), (&*plc, "pds.example.com"));
    let alice = create_account(&second.client(), "alice.test");
    let document = first.plc().path(&format!("/{}", alice.did)).ok().json();
    assert_eq!(document["service"][0]["serviceEndpoint"], "https://pds.example.com");
    for (dev, state) in [(first, state), (second, other)] {
        dev.signal(Signal::TERM);
        assert!(dev.end().0);
        fs::remove_dir_all(&state).unwrap();
    }
}

#[test]
fn a_taken_port_is_said_clearly() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&folder("taken"), &["--port", &port]).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&format!("port {port} is in use")), "{text}");
}
