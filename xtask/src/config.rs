//! The workerd configuration of one world.
//!
//! ```text
//! socket http ──> main ──> AgentObject, RelayObject, IndexObject, LimiterObject (storage/), DIRECTORY ──> d1 (storage/),
//!                  ▲       ASSETS ──> assets/, BLOBS ──> blobs/, OUTBOX ──> outbox/, DELIVERIES ─┐
//!                  └─────────────────────────────── queues (storage/) ◄──────────────────────────┘
//! ```
//!
//! Secrets come from the process's environment, never from the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::state::Secrets;
use crate::worker::Flavour;
use crate::{Error, Result};

/// What a world is told, apart from where its files are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port of its HTTP socket on the loopback address.
    pub port: u16,
    /// The host's name: what its DID, its invitations and its handles' documents say.
    pub hostname: String,
    /// Its address as identities' documents name it.
    pub public_url: String,
    /// The PLC server.
    pub plc_url: String,
    /// The endings of handles it gives out.
    pub user_domains: Vec<String>,
    /// Which build it runs.
    pub flavour: Flavour,
    /// Where deliveries go that have failed.
    pub queue: Queue,
    /// Somebody at an address who speaks the protocol of Workers AI.
    pub ai: Option<String>,
    /// Somebody at an address who speaks the protocol of Vectorize.
    pub vectorize: Option<String>,
    /// Somebody at an address who takes the letters of the platform's `send_email`, each as a POST of JSON.
    pub email: Option<String>,
    /// More variables, or other values of those that are set here.
    pub variables: BTreeMap<String, String>,
}

/// The queue of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// workerd's own, whose messages lie in the state folder.
    Bundled {
        /// How often it brings a message again before that is a dead letter.
        retries: u32,
    },
    /// Somebody at an address who speaks its protocol.
    At(String),
    /// There is none.
    Absent,
}

impl Settings {
    /// The settings of a host at `port` that answers to `hostname`.
    #[must_use]
    pub fn new(hostname: &str, port: u16, plc_url: &str, flavour: Flavour) -> Self {
        let local = hostname == "localhost";
        let public_url =
            if local { format!("http://localhost:{port}") } else { format!("https://{hostname}") };
        // Handles end in `.test` in development; a host with a name of its own gives out names below it, too.
        let mut user_domains = vec![".test".to_owned()];
        if hostname.contains('.') && !hostname.ends_with(".test") {
            user_domains.push(format!(".{hostname}"));
        }
        Self {
            port,
            hostname: hostname.to_owned(),
            public_url,
            plc_url: plc_url.to_owned(),
            user_domains,
            flavour,
            queue: Queue::Bundled { retries: RETRIES },
            ai: None,
            vectorize: None,
            email: None,
            variables: BTreeMap::new(),
        }
    }

    /// The Worker's variables that are no secret.
    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> = [
            ("PDS_HOSTNAME", self.hostname.clone()),
            ("PUBLIC_URL", self.public_url.clone()),
            ("PLC_URL", self.plc_url.clone()),
            ("USER_DOMAINS", self.user_domains.join(",")),
            ("BLOB_BACKEND", "disk".to_owned()),
            ("MAIL", "outbox".to_owned()),
            ("ALLOW_PRIVATE_NETWORK", "true".to_owned()),
            ("RATE_LIMITS", "off".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if self.flavour == Flavour::Test {
            variables.insert("TEST_ROUTES".to_owned(), "true".to_owned());
        }
        variables.extend(self.variables.clone());
        variables
    }

    /// The configuration file's text, for the state folder. Modules are named relative to the file.
    #[must_use]
    pub fn capnp(&self, compatibility_date: &str, state: &Path) -> String {
        let folder = |name: &str| quote(&state.join(name).display().to_string());
        let mut bindings = String::new();
        for (name, value) in self.variables() {
            let _ = writeln!(bindings, "    (name = {}, text = {}),", quote(&name), quote(&value));
        }
        for (name, _) in environment_names() {
            let _ = writeln!(bindings, "    (name = {0}, fromEnvironment = {0}),", quote(name));
        }
        if std::env::var_os(EMBEDDER_KEY).is_some() {
            let _ = writeln!(bindings, "    (name = {0}, fromEnvironment = {0}),", quote(EMBEDDER_KEY));
        }
        // Where the Worker's own guard is on, the runtime's is, too: it judges the address behind a name.
        let private = self.variables().get("ALLOW_PRIVATE_NETWORK").is_some_and(|allowed| allowed == "true");
        let networks = if private { r#""public", "private""# } else { r#""public""# };
        let (modules, flags) = match self.flavour {
            Flavour::Plain => ("", FLAGS),
            Flavour::Test => (TEST_ENTRY, TEST_FLAGS),
        };
        let (queues, bindings) = match &self.queue {
            Queue::Bundled { retries } => {
                let rules = quote(&consumers(*retries));
                (BUNDLED_QUEUES.replace("RULES", &rules), bindings + QUEUE_BINDING)
            }
            Queue::At(address) => {
                let service = EXTERNAL_QUEUES.replace("ADDRESS", &quote(address));
                (service, bindings + EXTERNAL_BINDING)
            }
            Queue::Absent => (String::new(), bindings),
        };
        let (ai, bindings) = match &self.ai {
            Some(address) => (EXTERNAL_AI.replace("ADDRESS", &quote(address)), bindings + AI_BINDING),
            None => (String::new(), bindings),
        };
        let (vectorize, bindings) = match &self.vectorize {
            Some(address) => {
                (EXTERNAL_VECTORIZE.replace("ADDRESS", &quote(address)), bindings + VECTORIZE_BINDING)
            }
            None => (String::new(), bindings),
        };
        let (email, bindings) = match &self.email {
            Some(address) => (EXTERNAL_EMAIL.replace("ADDRESS", &quote(address)), bindings + EMAIL_BINDING),
            None => (String::new(), bindings),
        };
        TEMPLATE
            .replace("V8_FLAGS", &V8_FLAGS.map(quote).join(", "))
            .replace("QUEUES", &(queues + &ai + &vectorize + &email))
            .replace("PORT", &self.port.to_string())
            .replace("NETWORKS", networks)
            .replace("STORAGE", &folder("storage"))
            .replace("ASSETS_PATH", &folder("assets"))
            .replace("BLOBS_PATH", &folder("blobs"))
            .replace("OUTBOX_PATH", &folder("outbox"))
            .replace("DATE", &quote(compatibility_date))
            .replace("TEST_ENTRY", modules)
            .replace("FLAGS", &flags.iter().copied().map(quote).collect::<Vec<_>>().join(", "))
            .replace("VARIABLES", &bindings)
    }
}

/// The names of the secrets in the process's environment, with their values.
#[must_use]
pub fn environment(secrets: &Secrets) -> Vec<(&'static str, String)> {
    environment_names().into_iter().map(|(name, value)| (name, value(secrets).clone())).collect()
}

/// A secret's name, and where its value is.
type Named = (&'static str, fn(&Secrets) -> &String);

fn environment_names() -> [Named; 4] {
    [
        ("JWT_SECRET", |secrets| &secrets.jwt_secret),
        ("ADMIN_PASSWORD", |secrets| &secrets.admin_password),
        ("KEK", |secrets| &secrets.kek),
        ("PLC_ROTATION_KEY", |secrets| &secrets.plc_rotation_key),
    ]
}

/// The compatibility date of `wrangler.toml`: one for every way to run the Worker.
///
/// # Errors
/// [`Error::Project`] when the file has none.
pub fn compatibility_date(root: &Path) -> Result<String> {
    let path = root.join("wrangler.toml");
    let text = fs::read_to_string(&path).map_err(Error::at(&path))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("compatibility_date = \""));
    let date = lines.next().and_then(|rest| rest.split('"').next());
    date.map(str::to_owned)
        .ok_or_else(|| Error::Project("wrangler.toml has no line `compatibility_date = \"...\"`".to_owned()))
}

/// A Cap'n Proto string literal.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Each request leaves objects of the runtime's behind that take several times as much outside of V8's heap, and memory that is
/// freed late is not given back to the system. So V8 looks for garbage each two megabytes, and everywhere: its heap is small, for
/// what lives long is in the Wasm's memory. `docs/benchmarks.md` has what this saves.
const V8_FLAGS: [&str; 2] = ["--max-semi-space-size=2", "--gc-global"];

/// workerd's allocator, tcmalloc, keeps its free lists by processor where glibc leaves that to it, which takes less memory than lists
/// by thread. A variable of the process's environment.
pub const ALLOCATOR: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// The secret of an embedder, which is nobody's but the operator's: it comes as it is in the environment.
const EMBEDDER_KEY: &str = "EMBEDDER_KEY";

const TEMPLATE: &str = r#"# Generated by `cargo xtask`: changes here are lost.
@0xd2b58a7f3ce19046;
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  v8Flags = [V8_FLAGS],
  services = [
    (name = "main", worker = .main),
    (name = "storage", disk = (path = STORAGE, writable = true)),
    (name = "assets", disk = (path = ASSETS_PATH)),
    (name = "blobs", disk = (path = BLOBS_PATH, writable = true)),
    (name = "outbox", disk = (path = OUTBOX_PATH, writable = true)),
    (name = "internet", network = (allow = [NETWORKS], tlsOptions = (trustBrowserCas = true))),
    (name = "d1", worker = .d1),QUEUES
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:PORT", http = (), service = "main"),
  ],
);

const main :Workerd.Worker = (
  modules = [TEST_ENTRY
    (name = "src/entry.js", esModule = embed "entry.js"),
    (name = "build/index.js", esModule = embed "index.js"),
    (name = "build/index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = DATE,
  compatibilityFlags = [FLAGS],
  durableObjectNamespaces = [
    (className = "AgentObject", uniqueKey = "agent", enableSql = true),
    (className = "RelayObject", uniqueKey = "relay", enableSql = true),
    (className = "IndexObject", uniqueKey = "index", enableSql = true),
    (className = "LimiterObject", uniqueKey = "limiter", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "storage"),
  bindings = [
    (name = "AGENT", durableObjectNamespace = "AgentObject"),
    (name = "RELAY", durableObjectNamespace = "RelayObject"),
    (name = "INDEX", durableObjectNamespace = "IndexObject"),
    (name = "LIMITER", durableObjectNamespace = "LimiterObject"),
    (name = "DIRECTORY", wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [
      (name = "fetcher", service = (name = "d1", props = (json = "{\"database\":\"directory\"}"))),
    ])),
    (name = "ASSETS", service = "assets"),
    (name = "BLOBS", service = "blobs"),
    (name = "OUTBOX", service = "outbox"),
VARIABLES  ],
);

const d1 :Workerd.Worker = (
  modules = [(name = "d1.js", bundled = "/workerd/d1.js")],
  compatibilityDate = DATE,
  durableObjectNamespaces = [(className = "D1Database", uniqueKey = "d1", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),
  bindings = [(name = "DATABASE", durableObjectNamespace = "D1Database")],
);"#;

const BUNDLED_QUEUES: &str = r#"
    (name = "queues", worker = (
      modules = [(name = "queues.js", bundled = "/workerd/queues.js")],
      compatibilityDate = DATE,
      compatibilityFlags = ["service_binding_extra_handlers"],
      durableObjectNamespaces = [(className = "QueueShard", uniqueKey = "queues", enableSql = true)],
      durableObjectStorage = (localDisk = "storage"),
      bindings = [
        (name = "SHARD", durableObjectNamespace = "QueueShard"),
        (name = "main", service = "main"),
        (name = "CONSUMERS", json = RULES),
      ],
    )),"#;

const EXTERNAL_QUEUES: &str = r#"
    (name = "queues", external = (address = ADDRESS, http = ())),"#;

/// What is no Worker takes no properties.
const EXTERNAL_BINDING: &str = r#"    (name = "DELIVERIES", queue = "queues"),
"#;

const EXTERNAL_AI: &str = r#"
    (name = "ai", external = (address = ADDRESS, http = ())),"#;

/// The class of the platform's own binding.
const AI_BINDING: &str = r#"    (name = "AI", wrapped = (moduleName = "cloudflare-internal:ai-api", innerBindings = [
      (name = "fetcher", service = "ai"),
    ])),
"#;

const EXTERNAL_VECTORIZE: &str = r#"
    (name = "vectorize", external = (address = ADDRESS, http = ())),"#;

/// The class of the platform's own binding.
const VECTORIZE_BINDING: &str = r#"    (name = "VECTORS", wrapped = (moduleName = "cloudflare-internal:vectorize-api", innerBindings = [
      (name = "fetcher", service = "vectorize"),
      (name = "indexId", text = "murmuration-public"),
      (name = "indexVersion", text = "v2"),
      (name = "useNdJson", json = "true"),
    ])),
"#;

/// workerd has no class of this binding: what it calls has the same method, and fails with what it is told.
const EXTERNAL_EMAIL: &str = r#"
    (name = "letters", external = (address = ADDRESS, http = ())),
    (name = "email", worker = (
      modules = [(name = "email.js", esModule = "import { WorkerEntrypoint } from 'cloudflare:workers';\nexport default class extends WorkerEntrypoint {\n  async send(letter) {\n    const answer = await this.env.LETTERS.fetch('http://letters/', { method: 'POST', body: JSON.stringify(letter) });\n    if (!answer.ok) throw new Error(await answer.text());\n  }\n}")],
      compatibilityDate = DATE,
      bindings = [(name = "LETTERS", service = "letters")],
    )),"#;

const EMAIL_BINDING: &str = r#"    (name = "EMAIL", service = "email"),
"#;

const QUEUE_BINDING: &str = r#"    (name = "DELIVERIES", queue = (name = "queues", props = (json = "{\"queue\":\"murmuration-deliveries\"}"))),
"#;

/// The queues and who takes what they carry, as `wrangler.toml` has it.
fn consumers(retries: u32) -> String {
    let consumer = |dead: &str| {
        json!({
            "consumer": "main", "maxBatchSize": 10, "maxBatchTimeout": 1, "maxRetries": retries,
            "deadLetterQueue": dead,
        })
    };
    json!({ DELIVERIES: consumer(UNDELIVERED), UNDELIVERED: consumer("") }).to_string()
}

/// How often a message is brought again, as `wrangler.toml` has it.
const RETRIES: u32 = 100;

/// The queue of deliveries that have failed, and that of those that are given up: what `wrangler.toml` calls them.
const DELIVERIES: &str = "murmuration-deliveries";
const UNDELIVERED: &str = "murmuration-undelivered";

/// The first module is the Worker's: in a test world one that can put objects out of memory.
const TEST_ENTRY: &str = r#"
    (name = "src/entry.test.js", esModule = embed "entry.test.js"),"#;

/// As in `wrangler.toml`.
const FLAGS: &[&str] = &["no_web_socket_compression"];

/// The same, and with what it takes to put objects out of memory.
const TEST_FLAGS: &[&str] = &["no_web_socket_compression", "experimental", "unsafe_module"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_the_file() {
        let settings = Settings::new("localhost", 2583, "http://127.0.0.1:2582", Flavour::Plain);
        let text = settings.capnp("2026-04-01", Path::new("/s"));
        assert!(text.contains(r#"(name = "KEK", fromEnvironment = "KEK")"#), "{text}");
        assert!(text.contains(r#"(name = "PUBLIC_URL", text = "http://localhost:2583")"#), "{text}");
        assert!(!text.contains("TEST_ROUTES") && !text.contains("unsafe"), "{text}");
    }

    #[test]
    fn the_flags_and_the_queues_are_those_of_wrangler() {
        let text = fs::read_to_string(crate::root().join("wrangler.toml")).unwrap();
        assert!(text.contains(&format!("compatibility_flags = {FLAGS:?}")));
        assert!(TEST_FLAGS.starts_with(FLAGS));
        let consumers: serde_json::Value = serde_json::from_str(&consumers(RETRIES)).unwrap();
        for part in text.split("[[queues.consumers]]").skip(1) {
            let part = part.split("[[").next().unwrap();
            let said = |name: &str| {
                let line = part.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
                line.unwrap_or("\"\"").trim_matches('"').to_owned()
            };
            let own = &consumers[said("queue")];
            for (name, key) in [
                ("max_batch_size", "maxBatchSize"),
                ("max_batch_timeout", "maxBatchTimeout"),
                ("max_retries", "maxRetries"),
            ] {
                assert_eq!(own[key].to_string(), said(name), "{name}");
            }
            assert_eq!(own["deadLetterQueue"], said("dead_letter_queue"));
        }
        assert!(text.contains(&format!("binding = \"DELIVERIES\"\nqueue = \"{DELIVERIES}\"")));
    }

    #[test]
    fn a_world_has_its_own_queue_or_anothers_or_none() {
        let mut settings = Settings::new("localhost", 2583, "http://127.0.0.1:2582", Flavour::Plain);
        let mut has = |queue: Queue| {
            settings.queue = queue;
            let text = settings.capnp("2026-04-01", Path::new("/s"));
            ["queues.js", "external", "DELIVERIES"].map(|word| text.contains(word))
        };
        assert_eq!(has(Queue::Bundled { retries: 1 }), [true, false, true]);
        assert_eq!(has(Queue::At("127.0.0.1:1".to_owned())), [false, true, true]);
        assert_eq!(has(Queue::Absent), [false; 3]);
    }

    #[test]
    fn a_world_has_workers_ai_only_where_somebody_plays_it() {
        let mut settings = Settings::new("localhost", 2583, "http://127.0.0.1:2582", Flavour::Plain);
        let text = |settings: &Settings| settings.capnp("2026-04-01", Path::new("/s"));
        assert!(!text(&settings).contains("ai-api"));
        settings.ai = Some("127.0.0.1:1".to_owned());
        assert!(text(&settings).contains("ai-api") && text(&settings).contains(r#"address = "127.0.0.1:1""#));
    }

    #[test]
    fn a_world_has_vectorize_only_where_somebody_plays_it() {
        let mut settings = Settings::new("localhost", 2583, "http://127.0.0.1:2582", Flavour::Plain);
        let text = |settings: &Settings| settings.capnp("2026-04-01", Path::new("/s"));
        assert!(!text(&settings).contains("vectorize"));
        settings.vectorize = Some("127.0.0.1:1".to_owned());
        assert!(text(&settings).contains("vectorize-api"));
        assert!(text(&settings).contains(r#"name = "vectorize", external = (address = "127.0.0.1:1""#));
    }

    #[test]
    fn the_network_is_public_where_development_does_not_say_otherwise() {
        let mut settings = Settings::new("localhost", 2583, "http://127.0.0.1:2582", Flavour::Plain);
        let networks = |settings: &Settings| {
            let text = settings.capnp("2026-04-01", Path::new("/s"));
            text.split("network = (allow = [").nth(1).unwrap().split(']').next().unwrap().to_owned()
        };
        assert_eq!(networks(&settings), r#""public", "private""#);
        settings.variables.insert("ALLOW_PRIVATE_NETWORK".to_owned(), "false".to_owned());
        assert_eq!(networks(&settings), r#""public""#);
    }

    #[test]
    fn a_named_host_is_reached_over_https() {
        let settings = Settings::new("pds.example.com", 2583, "https://plc.directory", Flavour::Plain);
        assert_eq!(settings.public_url, "https://pds.example.com");
        assert_eq!(settings.user_domains, [".test", ".pds.example.com"]);
    }

    #[test]
    fn strings_cannot_leave_their_quotes() {
        assert_eq!(quote("a\"b\\c\n"), r#""a\"b\\c\n""#);
    }
}
