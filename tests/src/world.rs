//! A host of a test's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};
use xtask::child::{Echo, Log};
use xtask::config::{Queue, Settings};
use xtask::plc::Plc;
use xtask::state::{Secrets, State};
use xtask::worker::{Build, Flavour};
use xtask::workerd::Workerd;

use crate::client::{Answer, Client};
use crate::stand_in::StandIn;
use crate::subscriber::Subscriber;

/// How a world is made. [`World::start`] takes the defaults.
#[derive(Clone, Debug)]
pub struct Setup {
    hostname: String,
    flavour: Flavour,
    build: Option<Build>,
    plc_url: Option<String>,
    queue: Option<Queue>,
    ai: Option<String>,
    vectorize: Option<String>,
    email: Option<String>,
    variables: BTreeMap<String, String>,
}

impl Setup {
    /// A host named localhost that runs the test build.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a setup is always started")]
    pub fn new() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            flavour: Flavour::Test,
            build: None,
            plc_url: None,
            queue: None,
            ai: None,
            vectorize: None,
            email: None,
            variables: BTreeMap::new(),
        }
    }

    /// The build that is deployed, without test routes.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.flavour = Flavour::Plain;
        self
    }

    /// A build that was made before.
    #[must_use]
    pub fn build(mut self, build: Build) -> Self {
        self.flavour = build.flavour;
        self.build = Some(build);
        self
    }

    /// Another host name.
    #[must_use]
    pub fn hostname(mut self, hostname: &str) -> Self {
        hostname.clone_into(&mut self.hostname);
        self
    }

    /// The PLC server of another world, which outlives this one, instead of one of its own.
    #[must_use]
    pub fn plc_of(mut self, other: &World) -> Self {
        self.plc_url = Some(other.plc_url().to_owned());
        self
    }

    /// Another queue than workerd's own.
    #[must_use]
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Who answers for Workers AI.
    #[must_use]
    pub fn ai(mut self, stand_in: &StandIn) -> Self {
        self.ai = Some(stand_in.address());
        self
    }

    /// Who answers for Vectorize.
    #[must_use]
    pub fn vectorize(mut self, stand_in: &StandIn) -> Self {
        self.vectorize = Some(stand_in.address());
        self
    }

    /// Who takes the letters of the platform's `send_email`.
    #[must_use]
    pub fn email(mut self, stand_in: &StandIn) -> Self {
        self.email = Some(stand_in.address());
        self
    }

    /// A variable of the Worker.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the world.
    #[must_use]
    pub fn start(self) -> World {
        let build = self.build.unwrap_or_else(|| build(self.flavour).clone());
        let state = State::open(&folder()).unwrap();
        let port = state.port("http").unwrap();
        let own_plc = self.plc_url.is_none();
        let plc = own_plc.then(|| Plc::start(&xtask::root(), &state, Echo::Keep).unwrap());
        let plc_url = self.plc_url.or_else(|| plc.as_ref().map(Plc::url)).unwrap();
        let mut settings = Settings::new(&self.hostname, port, &plc_url, self.flavour);
        settings.variables = self.variables;
        settings.ai = self.ai;
        settings.vectorize = self.vectorize;
        settings.email = self.email;
        settings.queue = self.queue.unwrap_or(settings.queue);
        let mut world = World { state, build, settings, plc, own_plc, workerd: None, logs: Vec::new() };
        world.restart();
        world
    }
}

/// A running host with a PLC server beside it. Both end, and their folder goes, when it is dropped.
#[derive(Debug)]
pub struct World {
    workerd: Option<Workerd>,
    plc: Option<Plc>,
    own_plc: bool,
    settings: Settings,
    build: Build,
    state: State,
    logs: Vec<Log>,
}

impl World {
    /// A world as most tests want it.
    #[must_use]
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// Its port on the loopback address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    /// The process id of its workerd.
    ///
    /// # Panics
    /// While it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.workerd.as_ref().unwrap().pid()
    }

    /// Its address, such as `127.0.0.1:2583`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.settings.port)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The PLC server's URL.
    #[must_use]
    pub fn plc_url(&self) -> &str {
        &self.settings.plc_url
    }

    /// The administrator's password.
    #[must_use]
    pub fn admin_password(&self) -> &str {
        &self.state.secrets().admin_password
    }

    /// Its secrets.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        self.state.secrets()
    }

    /// A client without a token.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// A reader of the firehose, from a cursor or from now on.
    #[must_use]
    pub fn subscribe(&self, cursor: Option<i128>) -> Subscriber {
        let query = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        Subscriber::connect(&self.address(), &format!("/xrpc/com.atproto.sync.subscribeRepos{query}"))
    }

    /// A reader of the events in JSON that a query wants.
    #[must_use]
    pub fn subscribe_events(&self, query: &str) -> Subscriber {
        Subscriber::connect(&self.address(), &format!("/xrpc/agent.relay.subscribeEvents?{query}"))
    }

    /// Makes an account. Its handle is `{name}.test`, its password [`Account::PASSWORD`].
    #[track_caller]
    pub fn account(&self, name: &str) -> Account {
        let body = json!({
            "handle": format!("{name}.test"),
            "email": format!("{name}@example.com"),
            "password": Account::PASSWORD,
        });
        Account::of(&self.client().post("com.atproto.server.createAccount", &body).ok().json())
    }

    /// A procedure, by the operator.
    pub fn operate(&self, nsid: &str, body: &Value) -> Answer {
        let pair = format!("admin:{}", self.admin_password());
        let header = format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()));
        let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
        self.client().send("POST", &format!("/xrpc/{nsid}"), &headers, body.to_string().into_bytes()).unwrap()
    }

    /// Rows that an object has written since it woke; `object` is `agent` or `relay`.
    #[must_use]
    #[track_caller]
    pub fn rows_written(&self, object: &str, name: &str) -> u64 {
        let counts = self.client().path(&format!("/test/rows?object={object}&name={name}")).ok().json();
        counts["written"].as_u64().unwrap()
    }

    /// Gives a variable of the Worker another value, for its next life.
    pub fn change(&mut self, name: &str, value: &str) {
        self.settings.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Kills workerd in the middle of whatever it does. The PLC server lives on.
    pub fn kill_9(&mut self) {
        if let Some(workerd) = self.workerd.take() {
            workerd.kill();
        }
    }

    /// Kills workerd and the PLC server.
    pub fn kill_9_all(&mut self) {
        self.kill_9();
        if let Some(plc) = self.plc.take() {
            plc.kill();
        }
    }

    /// Starts what does not run, after a gentle end of what does.
    pub fn restart(&mut self) {
        if let Some(workerd) = self.workerd.take() {
            workerd.stop();
        }
        let root = xtask::root();
        if self.own_plc && self.plc.is_none() {
            self.plc = Some(Plc::start(&root, &self.state, Echo::Keep).unwrap());
        }
        let workerd = Workerd::start(&root, &self.state, &self.build, &self.settings, Echo::Keep).unwrap();
        self.logs.push(workerd.log());
        self.workerd = Some(workerd);
    }

    /// Everything workerd has written, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        self.logs.iter().flat_map(Log::lines).collect::<Vec<_>>().join("\n")
    }

    /// Bytes of memory that workerd holds now (`VmRSS` of proc(5)).
    ///
    /// # Panics
    /// When it does not run, or the system does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let pid = self.workerd.as_ref().unwrap().pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// The folder with all its files.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.state.folder().to_path_buf()
    }

    /// Puts an object out of memory: `object` is `agent` or `relay`. Its sockets hibernate.
    #[track_caller]
    pub fn evict(&self, object: &str, name: &str) {
        let _ = self.client().path(&format!("/test/evict?object={object}&name={name}")).ok();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_9_all();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(LOG_SHOWN)..].join("\n");
            eprintln!("--- workerd's last lines\n{shown}\n---");
            if std::env::var_os("KEEP_WORLDS").is_some() {
                eprintln!("kept: {}", self.state.folder().display());
                return;
            }
        }
        let _ = std::fs::remove_dir_all(self.state.folder());
    }
}

/// An account, and a session of it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its DID.
    pub did: String,
    /// Its handle.
    pub handle: String,
    /// An access token.
    pub access: String,
    /// A refresh token.
    pub refresh: String,
}

impl Account {
    /// Every account's password.
    pub const PASSWORD: &'static str = "correct horse battery staple";

    /// The account in an answer of createAccount, createSession or refreshSession.
    #[must_use]
    #[track_caller]
    pub fn of(answer: &Value) -> Self {
        let text =
            |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
        Self {
            did: text("did"),
            handle: text("handle"),
            access: text("accessJwt"),
            refresh: text("refreshJwt"),
        }
    }
}

/// The build, tried once a process (and made once a state of the sources).
fn build(flavour: Flavour) -> &'static Build {
    static PLAIN: OnceLock<Result<Build, String>> = OnceLock::new();
    static TEST: OnceLock<Result<Build, String>> = OnceLock::new();
    let cell = match flavour {
        Flavour::Plain => &PLAIN,
        Flavour::Test => &TEST,
    };
    let tried =
        cell.get_or_init(|| Build::ensure(&xtask::root(), flavour).map_err(|error| error.to_string()));
    tried.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// A new folder on a real disk: objects in memory behave differently.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("murmuration-world-{}-{count}", std::process::id()))
}

/// Lines of the log that a failing test shows.
const LOG_SHOWN: usize = 60;
