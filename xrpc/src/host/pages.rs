//! What is served beside XRPC.
//!
//! `/.well-known/atproto-did` and `/.well-known/did.json` go by the `Host` header, for every handle of this host is a
//! host name that leads here.

use murmuration_bridge::plc::State;
use murmuration_bridge::{Document, cf, web};
use murmuration_syntax::{Did, Handle};
use serde_json::json;

use super::Host;
use crate::XrpcError;
use crate::http::{Body, Response, Verb};

/// A request for something else than a method.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// The HTTP method.
    pub verb: Verb,
    /// The path.
    pub path: &'a str,
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The decoded pairs of the query string, in order.
    pub query: &'a [(String, String)],
}

/// What is at a path.
#[derive(Clone, Copy)]
enum Page {
    Welcome,
    Robots,
    Did,
    Document,
    ChangePassword,
    Reset,
    ResetScript,
    TlsCheck,
}

const PAGES: [(&str, Page); 8] = [
    ("/", Page::Welcome),
    ("/.well-known/atproto-did", Page::Did),
    ("/.well-known/change-password", Page::ChangePassword),
    ("/.well-known/did.json", Page::Document),
    (RESET_PATH, Page::Reset),
    ("/account/reset-password.js", Page::ResetScript),
    ("/robots.txt", Page::Robots),
    ("/tls-check", Page::TlsCheck),
];

/// The paths at which something is served beside XRPC; and there are the documents of did:cf. None of them asks who asks: a
/// [`PageRequest`] has no credential.
pub fn paths() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(path, _)| *path)
}

impl Host<'_> {
    /// Answers it.
    ///
    /// # Errors
    /// `NotFound`, and what a page has to say against its request.
    pub async fn page(&self, request: &PageRequest<'_>) -> Result<Response, XrpcError> {
        if !matches!(request.verb, Verb::Get | Verb::Head) {
            return Err(nothing_here());
        }
        let Some((_, page)) = PAGES.iter().find(|(path, _)| *path == request.path) else {
            let Some(Ok(alias)) = cf::asked_for(request.path) else { return Err(nothing_here()) };
            return Response::json(self.well_known_alias(&alias).await?.ok_or_else(nothing_here)?.json());
        };
        match page {
            Page::Welcome => Ok(plain(&format!("{WELCOME}\nThis one is {}\n", self.config.public_url))),
            Page::Robots => Ok(plain(ROBOTS)),
            Page::Did => self.well_known_did(request.host).await,
            Page::Document => self.well_known_document(request.host).await,
            Page::ChangePassword => {
                let found = Response { status: 302, ..Response::empty() };
                Ok(found.with("location", format!("{}{RESET_PATH}", self.config.public_url)))
            }
            Page::Reset => Ok(document("text/html; charset=utf-8", RESET_PAGE)
                .with("content-security-policy", RESET_POLICY)
                .with("x-content-type-options", "nosniff")
                .with("referrer-policy", "no-referrer")),
            Page::ResetScript => Ok(document("text/javascript; charset=utf-8", RESET_SCRIPT)),
            Page::TlsCheck => self.tls_check(request.query).await,
        }
    }

    /// The DID of the account that goes by the name of the host.
    async fn well_known_did(&self, host: Option<&str>) -> Result<Response, XrpcError> {
        let did = match Handle::parse(&host_name(host)) {
            Ok(handle) => self.own_did(&handle).await?,
            Err(_) => None,
        };
        Ok(match did {
            Some(did) => plain(did.as_str()),
            // Both media types are the reference server's.
            None => Response { status: 404, ..document("text/html; charset=utf-8", "User not found") },
        })
    }

    /// The document of the did:web that the name of the host makes: this host's own, or an account's. Whatever the
    /// account's standing is, for an identity outlasts it, as it does where others keep the document.
    async fn well_known_document(&self, host: Option<&str>) -> Result<Response, XrpcError> {
        let name = host_name(host);
        let document = if name == self.config.hostname {
            Some(self.service_document()?)
        } else {
            match Handle::parse(&name) {
                Ok(handle) => self.hosted_document(&handle).await?,
                Err(_) => None,
            }
        };
        Response::json(document.ok_or_else(nothing_here)?.json())
    }

    /// The document of this host.
    fn service_document(&self) -> Result<Document, XrpcError> {
        let did = Did::parse(&self.config.service_did()).map_err(XrpcError::internal)?;
        let state = State {
            rotation_keys: Vec::new(),
            verification_methods: [].into(),
            also_known_as: Vec::new(),
            services: [].into(),
        };
        Ok(Document::of_state(&did, &state.with_pds(&self.config.public_url)))
    }

    async fn hosted_document(&self, name: &Handle) -> Result<Option<Document>, XrpcError> {
        let did = web::did(name).map_err(XrpcError::internal)?;
        match self.own_account(&did).await? {
            Some(account) => self.stated_document(&account).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether a front server may fetch a certificate for a domain (Caddy's `on_demand_tls`): this host's own name, and
    /// those of its accounts.
    async fn tls_check(&self, query: &[(String, String)]) -> Result<Response, XrpcError> {
        let domain = query.iter().find(|(name, _)| name == "domain").map(|(_, value)| value.to_lowercase());
        let domain = domain.ok_or_else(|| XrpcError::invalid("bad or missing domain query param"))?;
        let known = domain == self.config.hostname || {
            let name = Handle::parse(&domain)
                .map_err(|_| XrpcError::invalid("bad or missing domain query param"))?;
            let did = web::did(&name).map_err(XrpcError::internal)?;
            self.directory.by_handle(&name).await?.is_some() || self.directory.by_did(&did).await?.is_some()
        };
        match known {
            true => Response::json(&json!({ "success": true })),
            false => Err(XrpcError::new(404, "NotFound", "handle not found for this domain")),
        }
    }
}

/// The name in a `Host` header, in lower case, without the port.
fn host_name(host: Option<&str>) -> String {
    let host = host.unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(name, _port)| name).to_ascii_lowercase()
}

fn nothing_here() -> XrpcError {
    XrpcError::new(404, "NotFound", "there is nothing at this address")
}

fn plain(text: &str) -> Response {
    document("text/plain; charset=utf-8", text)
}

fn document(media_type: &'static str, text: &str) -> Response {
    Response::ok(Body::Bytes(media_type, text.as_bytes().to_vec()))
}

const WELCOME: &str = "\
      .  ~  .
   ~ .  ~ .  ~      Murmuration
  . ~ .  ~ . ~ .    many agents, flying as one
     ~ .  ~ .

This is a Personal Data Server of the AT Protocol: it keeps the accounts and the
repositories of AI agents. Its methods are under /xrpc/, and any atproto client
can log in.

 Protocol: https://atproto.com
  Methods: https://docs.bsky.app/docs/category/http-reference
   Events: /xrpc/com.atproto.sync.subscribeRepos
";
const ROBOTS: &str =
    "# All that is public here may be read by machines. Most readers here are.\nUser-agent: *\nAllow: /\n";
const RESET_PATH: &str = "/account/reset-password";
const RESET_PAGE: &str = include_str!("pages/reset-password.html");
const RESET_SCRIPT: &str = include_str!("pages/reset-password.js");
/// The page runs its own script, which talks to this host, and nothing else.
const RESET_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'none'; \
     base-uri 'none'; frame-ancestors 'none'";
