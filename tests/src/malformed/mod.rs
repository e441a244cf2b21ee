//! Requests that a host must refuse, and one that it must not fall over, made from the method table and the lexicons.
//!
//! A case begins as a request that fits its method's lexicon, and is then broken in one way. Everything is the same in
//! every run with the same seed. What is known to have crashed some server stands in [`crashers`].

mod crashers;
mod schema;
mod values;

use murmuration_xrpc::method::{Auth, Kind, Method, Place};
use murmuration_xrpc::table;
use serde_json::{Value, json};

use crate::{Dice, Sent};
use schema::Lexicons;
pub use schema::unbounded_arrays;
use values::{BAD_BODIES, BAD_TOKENS, hostile_member, hostile_text};

pub use crashers::crashers;

/// Whom the cases are about.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Its DID.
    pub did: String,
    /// Its handle.
    pub handle: String,
    /// Its access token.
    pub access: String,
    /// Its refresh token.
    pub refresh: String,
    /// The operator's password.
    pub admin: String,
    /// The CID of its last commit.
    pub commit: String,
}

/// A request and what may come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is wrong with it.
    pub name: String,
    /// The request.
    pub sent: Sent,
    /// Whether it must be refused. Otherwise it is a read that may find something.
    pub refused: bool,
    /// The names of errors that its lexicon declares.
    pub errors: Vec<String>,
    /// Whether it is written out, and not made from its method's lexicon.
    pub written_out: bool,
    /// Whether the runtime itself may refuse it, in its own words.
    pub by_runtime: bool,
}

/// Makes cases.
#[derive(Debug)]
pub struct Generator {
    lexicons: Lexicons,
    dice: Dice,
    victim: Victim,
}

impl Generator {
    /// A generator of cases about a victim.
    #[must_use]
    pub fn new(seed: u64, victim: Victim) -> Self {
        Self { lexicons: Lexicons::read(), dice: Dice::new(seed), victim }
    }

    /// `count` cases, as many of each method of the table.
    pub fn cases(&mut self, count: usize) -> Vec<Case> {
        let methods: Vec<&'static Method> = table::methods().collect();
        (0..count).map(|n| self.case(methods[n % methods.len()])).collect()
    }

    fn case(&mut self, method: &Method) -> Case {
        loop {
            let mut case = self.fitting(method);
            if self.spoil(method, &mut case).is_some() {
                return case;
            }
        }
    }

    /// A request that fits.
    fn fitting(&mut self, method: &Method) -> Case {
        let lexicon = self.lexicons.method(method.nsid);
        let errors = lexicon["errors"].as_array().into_iter().flatten();
        let errors = errors.map(|error| error["name"].as_str().unwrap().to_owned()).collect();
        let mut headers = Vec::new();
        if let Some(credential) = credential(method.auth, &self.victim) {
            headers.push(("authorization".to_owned(), credential));
        }
        let parameters = self.lexicons.fitting_parameters(method.nsid, &self.victim);
        let body = lexicon.get("input").map(|input| match input["encoding"].as_str() {
            Some("application/json") => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                self.lexicons.fitting_body(method.nsid, &self.victim).to_string().into_bytes()
            }
            encoding => {
                let encoding = encoding.filter(|encoding| *encoding != "*/*").unwrap_or("text/plain");
                headers.push(("content-type".to_owned(), encoding.to_owned()));
                b"bytes".to_vec()
            }
        });
        let verb = if method.kind == Kind::Procedure { "POST" } else { "GET" };
        let sent = Sent { verb: verb.to_owned(), path: path(method.nsid, &parameters), headers, body };
        Case {
            name: method.nsid.to_owned(),
            sent,
            refused: true,
            errors,
            written_out: false,
            by_runtime: false,
        }
    }

    /// Breaks a request in one way; `None` if that way is not open.
    fn spoil(&mut self, method: &Method, case: &mut Case) -> Option<()> {
        let way = match self.dice.roll(10) {
            0 => self.spoil_verb(method, case),
            1 | 2 => self.spoil_token(method, case),
            3 | 4 => self.spoil_parameters(method, case),
            5 => self.spoil_encoding(method, case),
            6 => self.spoil_whole_body(method, case),
            _ => self.spoil_body(method, case),
        }?;
        case.name = format!("{}: {way}", case.name);
        Some(())
    }

    fn spoil_verb(&mut self, method: &Method, case: &mut Case) -> Option<String> {
        let wrong: &[&str] = match method.kind {
            Kind::Procedure => &["GET", "HEAD", "PUT", "PATCH", "DELETE"],
            Kind::Query | Kind::Subscription => &["POST", "PUT", "PATCH", "DELETE"],
        };
        wrong[pick(&mut self.dice, wrong.len())].clone_into(&mut case.sent.verb);
        Some(format!("by {}", case.sent.verb))
    }

    fn spoil_token(&mut self, method: &Method, case: &mut Case) -> Option<String> {
        if matches!(method.auth, Auth::Open) {
            return None;
        }
        let index = pick(&mut self.dice, BAD_TOKENS.len());
        let (name, token) = BAD_TOKENS[index];
        let token = token(&self.victim)?;
        // Where a token is optional, only one that is shown can be wrong.
        case.sent.headers.retain(|(name, _)| name != "authorization");
        case.sent.headers.push(("authorization".to_owned(), token));
        Some(format!("with {name}"))
    }

    fn spoil_parameters(&mut self, method: &Method, case: &mut Case) -> Option<String> {
        let mut parameters = self.lexicons.fitting_parameters(method.nsid, &self.victim);
        if self.dice.roll(8) == 0 {
            parameters.push(("__proto__".to_owned(), "1".to_owned()));
            case.sent.path = path(method.nsid, &parameters);
            return Some("with __proto__".to_owned());
        }
        let schema = self.lexicons.parameters(method.nsid);
        if self.dice.roll(3) == 0 {
            // Text that nothing promises to refuse, in a read.
            if method.kind != Kind::Query || parameters.is_empty() {
                return None;
            }
            let index = pick(&mut self.dice, parameters.len());
            let text = hostile_text(&mut self.dice);
            parameters[index].1.clone_from(&text);
            case.sent.path = path(method.nsid, &parameters);
            case.refused = false;
            return Some(format!("with {} = {:.40}", parameters[index].0, text.escape_debug()));
        }
        let (name, change) = self.lexicons.wrong_parameter(&schema, &parameters, &mut self.dice)?;
        case.sent.path = path(method.nsid, &change);
        Some(name)
    }

    fn spoil_encoding(&mut self, method: &Method, case: &mut Case) -> Option<String> {
        let body = case.sent.body.as_ref().filter(|_| method.kind == Kind::Procedure)?;
        let (name, value) = match self.dice.roll(6) {
            0 => ("content-encoding", "br"),
            1 => ("content-encoding", "zstd"),
            2 => ("content-encoding", "gzip"),
            3 => ("content-encoding", "deflate"),
            4 => ("content-encoding", "gzip, gzip"),
            _ => ("content-type", ""),
        };
        assert!(!body.is_empty());
        case.sent.headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            case.sent.headers.push((name.to_owned(), value.to_owned()));
        } else if matches!(method.place, Place::BlobUpload) {
            return None;
        }
        Some(format!("with {name}: {value}"))
    }

    fn spoil_whole_body(&mut self, method: &Method, case: &mut Case) -> Option<String> {
        if method.kind != Kind::Procedure {
            return None;
        }
        let lexicon = self.lexicons.method(method.nsid);
        let Some(input) = lexicon.get("input") else {
            case.sent.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            case.sent.body = Some(b"{}".to_vec());
            return Some("with a body".to_owned());
        };
        match (input["encoding"].as_str(), self.dice.roll(6)) {
            (_, 0) => {
                case.sent.body = Some(Vec::new());
                Some("without a body".to_owned())
            }
            (Some("application/json"), 1) => {
                case.sent.headers.retain(|(name, _)| name != "content-type");
                case.sent.headers.push(("content-type".to_owned(), "text/html".to_owned()));
                Some("as text/html".to_owned())
            }
            (Some("application/json"), _) => {
                let index = pick(&mut self.dice, BAD_BODIES.len());
                let (name, body) = BAD_BODIES[index];
                case.sent.body = Some(body());
                Some(format!("with {name}"))
            }
            _ => None,
        }
    }

    fn spoil_body(&mut self, method: &Method, case: &mut Case) -> Option<String> {
        let lexicon = self.lexicons.method(method.nsid);
        if method.kind != Kind::Procedure || lexicon["input"]["encoding"] != "application/json" {
            return None;
        }
        let body = self.lexicons.fitting_body(method.nsid, &self.victim);
        if self.dice.roll(3) == 0 {
            let (name, member) = hostile_member(&mut self.dice);
            let text = body.to_string();
            let comma = if text == "{}" { "" } else { "," };
            let text = format!("{}{comma}{member}}}", text.strip_suffix('}')?);
            case.sent.body = Some(text.into_bytes());
            return Some(format!("with {name}"));
        }
        let (name, body) = self.lexicons.wrong_body(method.nsid, body, &mut self.dice)?;
        case.sent.body = Some(body.to_string().into_bytes());
        Some(name)
    }
}

/// What a method's caller shows.
fn credential(auth: Auth, victim: &Victim) -> Option<String> {
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    match format!("{auth:?}").as_str() {
        "Open" | "OptionalService" => None,
        name if name.starts_with("Optional") => None,
        name if name.starts_with("Refresh") => bearer(&victim.refresh),
        "Admin" | "Moderator" => {
            let pair = format!("admin:{}", victim.admin);
            Some(format!("Basic {}", values::base64(pair.as_bytes())))
        }
        _ => bearer(&victim.access),
    }
}

/// The path of a query.
fn path(nsid: &str, parameters: &[(String, String)]) -> String {
    let pairs: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    format!("/xrpc/{nsid}{query}")
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// An index below `length`, or 0 where there is none.
fn pick(dice: &mut Dice, length: usize) -> usize {
    let length = length.max(1);
    usize::try_from(dice.roll(u64::try_from(length).unwrap())).unwrap()
}

/// Error names that no lexicon declares: the XRPC specification's and the reference server's.
pub const GENERAL_ERRORS: [&str; 22] = [
    "AuthMissing",
    "AuthenticationRequired",
    "BadJwt",
    "BadJwtAudience",
    "BadJwtIss",
    "BadJwtLexiconMethod",
    "BadJwtSignature",
    "BadJwtType",
    "ExpiredToken",
    "InvalidRequest",
    "InvalidToken",
    "JwtExpired",
    "MethodNotImplemented",
    "NotFound",
    "PayloadTooLarge",
    "RateLimitExceeded",
    "RepoDeactivated",
    "RepoNotFound",
    "RepoTakendown",
    "UnsupportedMediaType",
    "UntrustedIss",
    "UpgradeRequired",
];

/// A case that is written out.
fn case(name: &str, verb: &str, path: &str) -> Case {
    let sent = Sent { verb: verb.into(), path: path.into(), ..Sent::default() };
    Case { name: name.into(), sent, refused: true, errors: Vec::new(), written_out: true, by_runtime: false }
}

/// A JSON body.
fn with_json(mut case: Case, token: &str, body: impl Into<Vec<u8>>) -> Case {
    case.sent.headers.push(("content-type".into(), "application/json".into()));
    if !token.is_empty() {
        case.sent.headers.push(("authorization".into(), format!("Bearer {token}")));
    }
    case.sent.body = Some(body.into());
    case
}

/// The body of a createRecord.
fn create_body(victim: &Victim, changes: &Value) -> String {
    let mut body = json!({
        "repo": victim.did,
        "collection": "com.example.note",
        "record": { "$type": "com.example.note", "text": "x" },
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name.as_str()] = value.clone();
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_method_is_broken_in_many_ways() {
        let text = |text: &str| text.to_owned();
        let victim = Victim {
            did: text("did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
            handle: text("victim.test"),
            access: text("a.b.c"),
            refresh: text("a.b.c"),
            admin: text("admin"),
            commit: text("bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uwsjd2bdzlbwbphckqe"),
        };
        assert!(crashers(&victim).len() >= 85, "{}", crashers(&victim).len());
        let mut ways = BTreeMap::<&str, std::collections::BTreeSet<String>>::new();
        let cases = Generator::new(1, victim).cases(10_000);
        let methods: Vec<_> = table::methods().collect();
        for (case, method) in cases.iter().zip(methods.iter().cycle()) {
            ways.entry(method.nsid).or_default().insert(case.name.clone());
        }
        for (nsid, ways) in ways {
            assert!(ways.len() >= 4, "{nsid}: {ways:?}");
        }
    }

    #[test]
    fn regress_one_caller_sent_batches_of_20_000_uris() {
        // Every array that a lexicon leaves open has a bound of ours; one that is added is seen here.
        const BOUNDED: [&str; 8] = [
            "com.atproto.admin.disableInviteCodes accounts", // MAX_OWNERS
            "com.atproto.admin.disableInviteCodes codes",    // MAX_MADE
            "com.atproto.admin.getAccountInfos dids",        // MAX_INFOS
            "com.atproto.identity.signPlcOperation alsoKnownAs", // MAX_OPERATION_BYTES
            "com.atproto.identity.signPlcOperation rotationKeys", // MAX_ROTATION_KEYS
            "com.atproto.repo.applyWrites writes",           // MAX_WRITES
            "com.atproto.server.createInviteCodes forAccounts", // MAX_OWNERS
            "com.atproto.sync.getBlocks cids",               // MAX_BLOCKS
        ];
        // Preferences are one text a namespace, within MAX_JSON_BYTES.
        let open: Vec<_> = unbounded_arrays()
            .into_iter()
            .filter(|name| !name.contains("putPreferences preferences"))
            .collect();
        assert_eq!(open, BOUNDED);
    }
}
