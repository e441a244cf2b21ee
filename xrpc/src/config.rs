//! What the operator decides: names, addresses, secrets and limits, read once from the Worker's variables.

use murmuration_account::UNREFERENCED_MICROS;
use murmuration_bridge::handle::DOH_URL;
use murmuration_keys::seal::Keks;
use murmuration_keys::{Curve, SigningKey};
use murmuration_repo::MAX_IMPORT_BYTES;
use murmuration_syntax::Did;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::embedder::{EmbedderConfig, OpenAiConfig};
use crate::words::RefusedWords;

/// Bytes of a blob where the operator says nothing; the reference server's default (`PDS_BLOB_UPLOAD_LIMIT`).
const DEFAULT_BLOB_LIMIT_BYTES: usize = 5 * 1024 * 1024;
/// Seconds that the firehose keeps an event where the operator says nothing; the reference server's default
/// (`PDS_REPO_BACKFILL_LIMIT_MS`).
const DEFAULT_RETENTION_SECONDS: u64 = 24 * 60 * 60;
/// Seconds from a deactivation to the account's deletion at the least, where the operator says nothing. Ours: `deleteAfter` is a
/// recommendation to the server, and an access token is all that deactivateAccount wants. Whoever lost one shall have three
/// days to find that out, and to activate the account.
const DEFAULT_DELETION_PATIENCE_SECONDS: u64 = 3 * 24 * 60 * 60;
/// The models that are asked where the operator names none.
const DEFAULT_WORKERS_AI_MODEL: &str = "@cf/baai/bge-m3";
/// The language model of Workers AI that reads messages unless another is named: one that answers in JSON where that is asked for.
const DEFAULT_WORKERS_AI_EXTRACTOR: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";
const DEFAULT_OPENAI_MODEL: &str = "text-embedding-3-small";
/// Bytes of a model's name: with what stands around it, it is kept with each vector ([`Embedder::id`](murmuration_platform::Embedder::id)).
const MAX_MODEL_BYTES: usize = 100;
/// Microseconds in a second.
const MICROS: u64 = 1_000_000;
/// Seconds in which an upload that has arrived is stored and noted, be the storage as slow as it likes.
const LEAST_UPLOAD_PATIENCE_SECONDS: u64 = 30;
/// Resolvers that are asked for one handle.
const MAX_RESOLVERS: usize = 8;
/// Bytes of the shortest secret that signs session tokens.
const MIN_JWT_SECRET_BYTES: usize = 16;

/// Another service that this host sends requests on to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// Who it is: for whom the tokens are that it is shown.
    pub did: Did,
    /// Its origin; no slash at the end.
    pub url: String,
}

/// The configuration of one Worker.
pub struct Config {
    /// The host's name in lower case, without a port: part of its DID.
    pub hostname: String,
    /// The origin that clients and other hosts use, such as `https://pds.example`; no slash at the end.
    pub public_url: String,
    /// The PLC directory's origin; no slash at the end.
    pub plc_url: String,
    /// Domains under which this host gives handles, each with its leading dot.
    pub user_domains: Vec<String>,
    /// Words that are refused in handles and in record keys.
    pub refused_words: RefusedWords,
    /// Resolvers of DNS over HTTPS, in its JSON form, in the order in which they are asked for handles.
    pub doh_urls: Vec<String>,
    /// Relays that are asked to crawl: origins, no slash at the end.
    pub relays: Vec<String>,
    /// Bytes of the largest blob.
    pub blob_limit_bytes: usize,
    /// Whether accounts may bring their repositories along.
    pub accepting_imports: bool,
    /// Bytes of the largest repository that is brought along.
    pub import_limit_bytes: u64,
    /// Seconds that the firehose keeps an event.
    pub retention_seconds: u64,
    /// Seconds that an uploaded blob waits for a record.
    pub blob_patience_seconds: u64,
    /// Seconds at the least from a deactivation to the deletion that its `deleteAfter` asks for.
    pub deletion_patience_seconds: u64,
    /// Whether outbound requests may go to plain http and private addresses. Only in development.
    pub allow_private_network: bool,
    /// How letters are sent.
    pub mail: MailConfig,
    /// Domains in which no account may have its address, with all below them: those of throw-away mail, as a rule.
    pub refused_mail_domains: Vec<String>,
    /// Whether an account is only made with an invite code.
    pub invite_required: bool,
    /// How accounts earn codes of their own; `None` where they do not.
    pub earned_invites: Option<EarnedInvites>,
    /// What makes vectors of texts.
    pub embedder: EmbedderConfig,
    /// The name of the index of Vectorize that the binding `VECTORS` leads to; `None`: vectors lie in the object of the public index.
    pub vector_index: Option<String>,
    /// Whether clients and accounts have rate limits.
    pub rate_limits: bool,
    /// Who shows this in `x-ratelimit-bypass` has none.
    pub rate_limit_bypass_key: Option<String>,
    /// The header in which the operator's proxy says where a request comes from; no other is believed.
    pub client_ip_header: Option<String>,
    /// The moderation service that may act as the operator does, by service tokens of its own.
    pub mod_service_did: Option<Did>,
    /// The AppView that answers what this host does not (`APPVIEW_URL`, `APPVIEW_DID`).
    pub appview: Option<Service>,
    /// How the AppView's pictures are addressed: a URL with `%s` for size, DID and CID (`APPVIEW_CDN_URL_PATTERN`).
    pub appview_cdn_pattern: Option<String>,
    /// The moderation service (`MOD_SERVICE_URL`, `MOD_SERVICE_DID`).
    pub moderation: Option<Service>,
    /// Who gets reports, if not the moderation service (`REPORT_SERVICE_URL`, `REPORT_SERVICE_DID`).
    pub reports: Option<Service>,
    /// What finds memories in messages (`EXTRACTOR`).
    pub extractor: ExtractorConfig,
    /// Signs session tokens (HS256).
    pub jwt_secret: Vec<u8>,
    /// The password of `Basic admin:...`.
    pub admin_password: String,
    /// Seal the secret keys of the accounts: the newest seals, all open. `KEK` is one key of 64 hexadecimal digits, or a
    /// list of `version:key`.
    pub kek: Keks,
    /// Signs the PLC operations of the accounts that this host makes.
    pub plc_rotation_key: SigningKey,
}

/// How accounts earn invite codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EarnedInvites {
    /// Milliseconds of an account's life that earn a code.
    pub interval_millis: u64,
    /// What lies before this time earns none; milliseconds since the Unix epoch.
    pub epoch_millis: u64,
}

/// How this host sends letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MailConfig {
    /// Not at all: the operator does what a letter would have done.
    Nothing,
    /// By an HTTP API that takes `{from, to, subject, text}`, as Cloudflare's and Resend's do.
    Http(HttpMail),
    /// By the platform's `send_email` binding, from this address.
    Binding(String),
    /// Into a folder, one file a letter. Only in development.
    Outbox,
}

/// What finds memories in messages.
#[derive(Clone, Eq, PartialEq)]
pub enum ExtractorConfig {
    /// Rules, which need no model.
    Rules,
    /// A language model of Workers AI, by its binding.
    WorkersAi {
        /// Its name there (`EXTRACTOR_MODEL`).
        model: String,
    },
    /// A language model behind an endpoint.
    OpenAi(ChatConfig),
}

/// A language model behind an endpoint that speaks the chat completions of OpenAI (`EXTRACTOR_URL`, `EXTRACTOR_MODEL`, `EXTRACTOR_KEY`).
///
/// It has a key in it, so it has no form for a log.
#[derive(Clone, Eq, PartialEq)]
pub struct ChatConfig {
    /// The address that `/chat/completions` is below; no slash at the end.
    pub url: String,
    /// Its name there.
    pub model: String,
    /// What it takes as bearer token, if anything.
    pub key: Option<String>,
}

/// An HTTP API that sends letters.
#[derive(Clone, Eq, PartialEq)]
pub struct HttpMail {
    /// Where letters are posted.
    pub url: String,
    /// The bearer token.
    pub token: String,
    /// The sender's address.
    pub from: String,
}

impl std::fmt::Debug for HttpMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpMail").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A variable that is missing or does not parse. Its value is never shown.
#[derive(Debug, Error)]
#[error("configuration: {name} {problem}")]
pub struct ConfigError {
    name: &'static str,
    problem: &'static str,
}

impl Config {
    /// Reads the configuration through `variable`, which answers the value of a name.
    ///
    /// # Errors
    /// [`ConfigError`] for the first variable that is missing or does not parse.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let given = Variables(variable);
        let default_blob_limit = u64::try_from(DEFAULT_BLOB_LIMIT_BYTES).unwrap_or(u64::MAX);
        Ok(Self {
            hostname: given.required("PDS_HOSTNAME")?.to_ascii_lowercase(),
            public_url: given.origin("PUBLIC_URL")?,
            plc_url: given.origin("PLC_URL")?,
            user_domains: given.list("USER_DOMAINS"),
            refused_words: RefusedWords::new(&given.list("REFUSED_WORDS")),
            doh_urls: given.doh_urls()?,
            relays: given.list("RELAYS"),
            blob_limit_bytes: usize::try_from(given.number("BLOB_LIMIT_BYTES", default_blob_limit)?)
                .map_err(|_| ConfigError { name: "BLOB_LIMIT_BYTES", problem: "is too large" })?,
            accepting_imports: given.flag("ACCEPTING_IMPORTS", true)?,
            import_limit_bytes: given.import_limit()?,
            retention_seconds: given.number("FIREHOSE_RETENTION_SECONDS", DEFAULT_RETENTION_SECONDS)?,
            deletion_patience_seconds: given
                .number("DELETION_PATIENCE_SECONDS", DEFAULT_DELETION_PATIENCE_SECONDS)?,
            blob_patience_seconds: given.number("BLOB_PATIENCE_SECONDS", UNREFERENCED_MICROS / MICROS)?,
            allow_private_network: given.flag("ALLOW_PRIVATE_NETWORK", false)?,
            mail: given.mail()?,
            refused_mail_domains: given
                .list("REFUSED_MAIL_DOMAINS")
                .iter()
                .map(|d| d.to_ascii_lowercase())
                .collect(),
            invite_required: given.flag("INVITE_REQUIRED", false)?,
            earned_invites: given.earned_invites()?,
            embedder: given.embedder()?,
            vector_index: given.optional("VECTOR_INDEX"),
            rate_limits: given.switch("RATE_LIMITS", ["on", "off"], true)?,
            rate_limit_bypass_key: given.optional("RATE_LIMIT_BYPASS_KEY"),
            client_ip_header: given.optional("CLIENT_IP_HEADER").map(|name| name.to_ascii_lowercase()),
            mod_service_did: given.did("MOD_SERVICE_DID")?,
            appview: given.service("APPVIEW_URL", "APPVIEW_DID")?,
            appview_cdn_pattern: given.optional("APPVIEW_CDN_URL_PATTERN"),
            moderation: given.service("MOD_SERVICE_URL", "MOD_SERVICE_DID")?,
            reports: given.service("REPORT_SERVICE_URL", "REPORT_SERVICE_DID")?,
            extractor: given.extractor()?,
            jwt_secret: given.jwt_secret()?,
            admin_password: given.required("ADMIN_PASSWORD")?,
            kek: Keks::parse(&given.required("KEK")?).map_err(|_| ConfigError {
                name: "KEK",
                problem: "is neither 64 hexadecimal digits nor a list of version:digits",
            })?,
            plc_rotation_key: SigningKey::from_bytes(Curve::K256, &given.secret("PLC_ROTATION_KEY")?)
                .map_err(|_| ConfigError {
                    name: "PLC_ROTATION_KEY",
                    problem: "is not a K-256 secret key",
                })?,
        })
    }

    /// Whether the value of `x-ratelimit-bypass` frees of the rate limits.
    #[must_use]
    pub fn bypasses_limits(&self, shown: Option<&str>) -> bool {
        // Hashes are compared, so that the time tells nothing of the key.
        let hash = |text: &str| Sha256::digest(text.as_bytes());
        match (&self.rate_limit_bypass_key, shown) {
            (Some(key), Some(shown)) => hash(key) == hash(shown),
            _ => false,
        }
    }

    /// Microseconds that an uploaded blob waits for a record.
    #[must_use]
    pub const fn blob_patience_micros(&self) -> u64 {
        self.blob_patience_seconds.saturating_mul(MICROS)
    }

    /// Microseconds that an upload which has arrived is expected for, until it is stored and noted: as long as it then waits for a
    /// record, and long enough for that in any case.
    #[must_use]
    pub fn upload_patience_micros(&self) -> u64 {
        self.blob_patience_micros().max(LEAST_UPLOAD_PATIENCE_SECONDS * MICROS)
    }

    /// Microseconds at the least from a deactivation to the deletion that it asks for.
    #[must_use]
    pub const fn deletion_patience_micros(&self) -> u64 {
        self.deletion_patience_seconds.saturating_mul(MICROS)
    }

    /// The host's own DID: `did:web` of its name.
    #[must_use]
    pub fn service_did(&self) -> String {
        format!("did:web:{}", self.hostname)
    }
}

/// The variables, as they are read. An empty one is none.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn optional(&self, name: &'static str) -> Option<String> {
        self.0(name).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        self.optional(name).ok_or(ConfigError { name, problem: "is missing" })
    }

    fn origin(&self, name: &'static str) -> Result<String, ConfigError> {
        Ok(self.required(name)?.trim_end_matches('/').to_owned())
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn doh_urls(&self) -> Result<Vec<String>, ConfigError> {
        let (name, urls) = ("DOH_URLS", self.list("DOH_URLS"));
        match urls.iter().all(|url| url.starts_with("https://") && !url.contains(['?', '#'])) {
            true if urls.is_empty() => Ok(vec![DOH_URL.to_owned()]),
            true if urls.len() <= MAX_RESOLVERS => Ok(urls),
            true => Err(ConfigError { name, problem: "has more than eight resolvers" }),
            false => Err(ConfigError { name, problem: "has what is no https URL without a query" }),
        }
    }

    fn number(&self, name: &'static str, default: u64) -> Result<u64, ConfigError> {
        self.optional(name).map_or(Ok(default), |text| {
            text.parse().map_err(|_| ConfigError { name, problem: "is not a whole number" })
        })
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, ConfigError> {
        self.switch(name, ["true", "false"], default)
    }

    /// One of two words, the first for yes. Another is refused, for whoever wrote it meant something.
    fn switch(&self, name: &'static str, [yes, no]: [&str; 2], default: bool) -> Result<bool, ConfigError> {
        match self.optional(name) {
            None => Ok(default),
            Some(word) if word == yes => Ok(true),
            Some(word) if word == no => Ok(false),
            Some(_) => Err(ConfigError { name, problem: "is neither of the two words that it may be" }),
        }
    }

    /// 32 bytes in hexadecimal.
    fn secret(&self, name: &'static str) -> Result<[u8; 32], ConfigError> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(self.required(name)?.as_bytes())
            .map_err(|_| ConfigError { name, problem: "is not hexadecimal" })?;
        bytes.try_into().map_err(|_| ConfigError { name, problem: "is not 32 bytes" })
    }

    fn did(&self, name: &'static str) -> Result<Option<Did>, ConfigError> {
        let parse =
            |text: String| Did::parse(&text).map_err(|_| ConfigError { name, problem: "is not a DID" });
        self.optional(name).map(parse).transpose()
    }

    fn service(&self, url: &'static str, did: &'static str) -> Result<Option<Service>, ConfigError> {
        let Some(origin) = self.optional(url) else { return Ok(None) };
        let did = self.did(did)?.ok_or(ConfigError { name: did, problem: "is missing" })?;
        Ok(Some(Service { did, url: origin.trim_end_matches('/').to_owned() }))
    }

    fn mail(&self) -> Result<MailConfig, ConfigError> {
        Ok(match self.optional("MAIL").as_deref() {
            None | Some("none") => MailConfig::Nothing,
            Some("http") => MailConfig::Http(HttpMail {
                url: self.required("MAIL_URL")?,
                token: self.required("MAIL_TOKEN")?,
                from: self.required("MAIL_FROM")?,
            }),
            Some("binding") => MailConfig::Binding(self.required("MAIL_FROM")?),
            Some("outbox") => MailConfig::Outbox,
            Some(_) => {
                return Err(ConfigError { name: "MAIL", problem: "is not http, binding, outbox or none" });
            }
        })
    }

    fn embedder(&self) -> Result<EmbedderConfig, ConfigError> {
        let model = |default: &str| {
            let model = self.optional("EMBEDDER_MODEL").unwrap_or_else(|| default.to_owned());
            let problem = "is too long";
            let fits = model.len() <= MAX_MODEL_BYTES;
            fits.then_some(model).ok_or(ConfigError { name: "EMBEDDER_MODEL", problem })
        };
        Ok(match self.optional("EMBEDDER").as_deref() {
            None | Some("embedded") => EmbedderConfig::Embedded,
            Some("workers-ai") => EmbedderConfig::WorkersAi { model: model(DEFAULT_WORKERS_AI_MODEL)? },
            Some("openai") => EmbedderConfig::OpenAi(OpenAiConfig {
                url: self.origin("EMBEDDER_URL")?,
                model: model(DEFAULT_OPENAI_MODEL)?,
                key: self.optional("EMBEDDER_KEY"),
                dimensions: u32::try_from(self.number("EMBEDDER_DIMENSIONS", 0)?)
                    .ok()
                    .filter(|dimensions| *dimensions > 0),
            }),
            Some(_) => {
                return Err(ConfigError {
                    name: "EMBEDDER",
                    problem: "is not embedded, workers-ai or openai",
                });
            }
        })
    }

    fn extractor(&self) -> Result<ExtractorConfig, ConfigError> {
        let fitting = |model: String| {
            let fits = model.len() <= MAX_MODEL_BYTES;
            fits.then_some(model).ok_or(ConfigError { name: "EXTRACTOR_MODEL", problem: "is too long" })
        };
        Ok(match self.optional("EXTRACTOR").as_deref() {
            None | Some("rules") => ExtractorConfig::Rules,
            Some("workers-ai") => {
                let model = self.optional("EXTRACTOR_MODEL");
                let model = fitting(model.unwrap_or_else(|| DEFAULT_WORKERS_AI_EXTRACTOR.to_owned()))?;
                ExtractorConfig::WorkersAi { model }
            }
            Some("openai") => ExtractorConfig::OpenAi(ChatConfig {
                url: self.origin("EXTRACTOR_URL")?,
                model: fitting(self.required("EXTRACTOR_MODEL")?)?,
                key: self.optional("EXTRACTOR_KEY"),
            }),
            Some(_) => {
                return Err(ConfigError { name: "EXTRACTOR", problem: "is not rules, workers-ai or openai" });
            }
        })
    }

    fn earned_invites(&self) -> Result<Option<EarnedInvites>, ConfigError> {
        let interval_millis = self.number("INVITE_INTERVAL_SECONDS", 0)?.saturating_mul(1000);
        let epoch_millis = self.number("INVITE_EPOCH_SECONDS", 0)?.saturating_mul(1000);
        Ok((interval_millis > 0).then_some(EarnedInvites { interval_millis, epoch_millis }))
    }

    fn import_limit(&self) -> Result<u64, ConfigError> {
        let name = "IMPORT_LIMIT_BYTES";
        match self.number(name, MAX_IMPORT_BYTES)? {
            limit if limit > MAX_IMPORT_BYTES => {
                Err(ConfigError { name, problem: "is more than fits into memory" })
            }
            limit => Ok(limit),
        }
    }

    fn jwt_secret(&self) -> Result<Vec<u8>, ConfigError> {
        let secret = self.required("JWT_SECRET")?.into_bytes();
        match secret.len() < MIN_JWT_SECRET_BYTES {
            true => Err(ConfigError { name: "JWT_SECRET", problem: "is too short" }),
            false => Ok(secret),
        }
    }
}
