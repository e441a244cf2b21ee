//! `cargo xtask dev`: a host on this machine.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;

use serde_json::json;

use super::{Arguments, signals};
use crate::child::Echo;
use crate::config::Settings;
use crate::plc::Plc;
use crate::state::State;
use crate::worker::{Build, Flavour};
use crate::workerd::Workerd;
use crate::{Error, Result, ports, root};

/// How a host is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    port: u16,
    state: PathBuf,
    hostname: String,
    plc_url: Option<String>,
    rate_limits: bool,
    appview: Option<(String, String)>,
    embedder: Option<(String, String)>,
    relays: Vec<String>,
    fresh: bool,
}

impl Options {
    pub(super) fn parse(mut arguments: Arguments) -> Result<Self> {
        let mut options = Self {
            port: DEFAULT_PORT,
            state: root().join(".state"),
            hostname: "localhost".to_owned(),
            plc_url: None,
            rate_limits: false,
            appview: None,
            embedder: None,
            relays: Vec::new(),
            fresh: false,
        };
        let (mut appview_url, mut appview_did) = (None, None);
        let (mut embedder_url, mut embedder_model) = (None, None);
        while let Some(option) = arguments.word() {
            match option.as_str() {
                "--port" => options.port = arguments.port("--port")?,
                "--state" => options.state = arguments.value("--state")?.into(),
                "--hostname" => options.hostname = hostname(&arguments.value("--hostname")?)?,
                "--plc-url" => options.plc_url = Some(origin(&arguments.value("--plc-url")?)?),
                "--rate-limits" => options.rate_limits = switch(&arguments.value("--rate-limits")?)?,
                "--appview-url" => appview_url = Some(origin(&arguments.value("--appview-url")?)?),
                "--appview-did" => appview_did = Some(did(arguments.value("--appview-did")?)?),
                "--embedder-url" => embedder_url = Some(origin(&arguments.value("--embedder-url")?)?),
                "--embedder-model" => embedder_model = Some(arguments.value("--embedder-model")?),
                "--relay" => options.relays.push(origin(&arguments.value("--relay")?)?),
                "--fresh" => options.fresh = true,
                _ => return Err(Error::Usage(format!("`{option}` is not understood"))),
            }
        }
        options.appview = both("--appview-url and --appview-did", appview_url, appview_did)?;
        options.embedder = both("--embedder-url and --embedder-model", embedder_url, embedder_model)?;
        Ok(options)
    }
}

/// Two options that say nothing without each other.
fn both(names: &str, one: Option<String>, other: Option<String>) -> Result<Option<(String, String)>> {
    match (one, other) {
        (None, None) => Ok(None),
        (one, other) => one.zip(other).map(Some).ok_or_else(|| Error::Usage(format!("{names} go together"))),
    }
}

/// Runs a host until it is told to end, or one of its processes ends.
pub(super) fn run(options: Options) -> Result<()> {
    let root = root();
    // Before the long part, so that a taken port is said at once.
    if options.port != 0 && !ports::is_free(options.port) {
        return Err(Error::PortBusy { port: options.port });
    }
    let build = Build::ensure(&root, Flavour::Plain)?;
    eprintln!("xtask: {}", build.size());
    let signals = signals::watch()?;

    if options.fresh {
        State::remove(&options.state)?;
    }
    let state = State::open(&options.state)?;
    eprintln!("xtask: state in {}", state.folder().display());
    eprintln!("xtask: letters go to {}", state.path("outbox").display());
    let port = if options.port == 0 { state.port("http")? } else { options.port };
    let mut plc = match options.plc_url {
        Some(_) => None,
        None => Some(Plc::start(&root, &state, Echo::Show)?),
    };
    let plc_url = options.plc_url.unwrap_or_else(|| plc.as_ref().map(Plc::url).unwrap_or_default());
    let mut settings = Settings::new(&options.hostname, port, &plc_url, Flavour::Plain);
    if options.rate_limits {
        settings.variables.insert("RATE_LIMITS".to_owned(), "on".to_owned());
    }
    settings.variables.insert("RELAYS".to_owned(), options.relays.join(","));
    if let Some((url, did)) = options.appview {
        settings.variables.insert("APPVIEW_URL".to_owned(), url);
        settings.variables.insert("APPVIEW_DID".to_owned(), did);
    }
    if let Some((url, model)) = options.embedder {
        for (name, value) in
            [("EMBEDDER", "openai".to_owned()), ("EMBEDDER_URL", url), ("EMBEDDER_MODEL", model)]
        {
            settings.variables.insert(name.to_owned(), value);
        }
    }
    let mut workerd = Workerd::start(&root, &state, &build, &settings, Echo::Show)?;

    // By hand, for the order of the members: people read it too.
    let ready = format!(
        r#"{{"ready":true,"url":{},"plc":{},"hostname":{},"adminPassword":{},"pid":{}}}"#,
        json!(format!("http://localhost:{port}")),
        json!(plc_url),
        json!(options.hostname),
        json!(state.secrets().admin_password),
        workerd.pid(),
    );
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}").and_then(|()| stdout.flush()).map_err(Error::at("standard output"))?;

    while let Err(RecvTimeoutError::Timeout) = signals.recv_timeout(signals::WATCH) {
        if let Some(status) = workerd.child().ended() {
            return Err(Error::Ended { name: "workerd", status: status.to_string() });
        }
        if let Some(status) = plc.as_mut().and_then(|plc| plc.child().ended()) {
            return Err(Error::Ended { name: "plc", status: status.to_string() });
        }
    }
    eprintln!("xtask: ending");
    workerd.stop();
    if let Some(plc) = plc {
        plc.stop();
    }
    Ok(())
}

fn hostname(text: &str) -> Result<String> {
    let labels_hold = text.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    if labels_hold && text.len() <= MAX_HOSTNAME {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Error::Usage(format!("`{text}` is not a host name")))
    }
}

fn did(text: String) -> Result<String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("did"), Some("plc" | "web"), Some(id)) if !id.is_empty() => Ok(text),
        _ => Err(Error::Usage(format!("`{text}` is not a DID"))),
    }
}

fn origin(text: &str) -> Result<String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(Error::Usage(format!("`{text}` is not a URL")))
    }
}

fn switch(text: &str) -> Result<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Error::Usage(format!("`{text}` is neither on nor off"))),
    }
}

/// The reference PDS's port in development.
const DEFAULT_PORT: u16 = 2583;

/// The longest host name, in bytes (RFC 1035, section 2.3.4, less the length octets).
const MAX_HOSTNAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(Arguments(words.iter().rev().map(|word| (*word).to_owned()).collect()))
    }

    #[test]
    fn reads_every_option() {
        let words = [
            "--port",
            "0",
            "--state",
            "/s",
            "--hostname",
            "PDS.example",
            "--plc-url",
            "http://p/",
            "--rate-limits",
            "on",
            "--appview-url",
            "https://appview.example/",
            "--appview-did",
            "did:web:appview.example",
            "--embedder-url",
            "http://localhost:11434/v1",
            "--embedder-model",
            "nomic-embed-text",
            "--relay",
            "https://relay.example",
            "--relay",
            "http://localhost:2470/",
            "--fresh",
        ];
        let expected = Options {
            port: 0,
            state: "/s".into(),
            hostname: "pds.example".to_owned(),
            plc_url: Some("http://p".to_owned()),
            rate_limits: true,
            appview: Some(("https://appview.example".to_owned(), "did:web:appview.example".to_owned())),
            embedder: Some(("http://localhost:11434/v1".to_owned(), "nomic-embed-text".to_owned())),
            relays: vec!["https://relay.example".to_owned(), "http://localhost:2470".to_owned()],
            fresh: true,
        };
        assert_eq!(parse(&words).unwrap(), expected);
        assert_eq!(parse(&[]).unwrap().port, 2583);
    }

    #[test]
    fn says_what_it_does_not_understand() {
        for words in [
            &["--port"][..],
            &["--port", "x"],
            &["--hostname", "a b"],
            &["--plc-url", "p"],
            &["--rate-limits", "x"],
            &["--appview-url", "https://a.example"],
            &["--appview-did", "did:web:a.example"],
            &["--appview-url", "https://a.example", "--appview-did", "a.example"],
            &["--embedder-url", "http://localhost:11434/v1"],
            &["--embedder-model", "nomic-embed-text"],
            &["--relay", "relay.example"],
            &["-x"],
        ] {
            assert!(matches!(parse(words), Err(Error::Usage(_))), "{words:?}");
        }
    }
}
