//! Requests that this host sends on to another service, in the name of an account.
//!
//! ```text
//!  client ── token of its session ──> Worker: may it? whom to ask? ──> object: signs a service token
//!                                        │                                  │
//!  client <── body, as it streams ───────┴──── headers of the list, body ── service
//! ```
//!
//! Nothing of the client's credential leaves the host: the service gets a token that is good for one method and one
//! minute. Each request has its own, because a token's `jti` may be used once. Bodies do not come by here: the glue moves
//! them. Only the answers that [`View`] names are read, when the account has written something that they should show.
//! <https://atproto.com/specs/xrpc#service-proxying>

pub mod answer;
mod fresh;
pub mod munge;
mod push;
pub mod route;
pub mod view;

use murmuration_bridge::resolver::Purpose;
use murmuration_platform::{OutboundRequest, Verb};
use murmuration_syntax::{AtUri, Did, Nsid};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::{Host, agents};
use crate::agent::internal::{InternalCall, ProxyCall};
use crate::auth;
use crate::config::Service;
use crate::method::Auth;
use crate::protected::{is_privileged, is_protected};
use crate::token::Scope;
use crate::{Config, XrpcError};

pub use munge::View;
use route::Way;

/// What the proxy does with a method's requests and answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Treatment {
    /// It passes them on as they are.
    Plain,
    /// It brings the answer up to date.
    Fresh(View),
    /// It lets the AppView speak for the account to the feed's generator.
    Feed,
}

/// A request that wants to be sent on.
#[derive(Clone, Copy)]
pub struct Sending<'a> {
    /// The method.
    pub nsid: &'a Nsid,
    /// Who may call it.
    pub auth: Auth,
    /// What is done with it.
    pub treatment: Treatment,
    /// Its `atproto-proxy` header.
    pub proxy: Option<&'a str>,
    /// Its `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The decoded pairs of its query.
    pub query: &'a [(String, String)],
}

/// Leave to send a request on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Permit {
    /// The account in whose name.
    pub did: Did,
    /// The service's origin.
    pub origin: String,
    /// The token that the service is shown.
    pub token: String,
}

impl Host<'_> {
    /// Judges whether a request may be sent on, finds the service, and has the account sign for it.
    ///
    /// Nobody is asked before the caller has shown who it is.
    ///
    /// # Errors
    /// What the caller is to see.
    pub async fn permit(&self, sending: &Sending<'_>) -> Result<Permit, XrpcError> {
        let nsid = sending.nsid.as_str();
        let bad_method = || XrpcError::invalid_token("Bad token method");
        if is_protected(nsid) {
            return Err(bad_method());
        }
        let way = route::way(self.config, nsid, sending.proxy)?;
        let now = self.clock.now_micros() / 1_000_000;
        let caller = auth::authenticate(self.config, sending.auth, sending.authorization, now)?;
        let claims = caller.claims()?;
        if claims.scope == Scope::AppPassword && is_privileged(nsid) {
            return Err(bad_method());
        }
        let service = match way {
            Way::Configured(service) => service.clone(),
            Way::Named(named) => self.find_service(&named).await?,
        };
        // Whoever is taken down may appeal. What else a token of theirs is good for, it is good for here, and nowhere else.
        let even_takendown = sending.auth == Auth::AccessEvenTakendown && nsid == route::CREATE_REPORT;
        let token = match (sending.treatment, &self.config.appview) {
            (Treatment::Feed, Some(appview)) => {
                let generator = self.feed_generator(appview, sending.query).await?;
                self.service_token(&claims.sub, &generator, FEED_SKELETON, even_takendown).await?
            }
            _ => self.service_token(&claims.sub, &service.did, nsid, even_takendown).await?,
        };
        Ok(Permit { did: claims.sub.clone(), origin: service.url, token })
    }

    /// A service by what its owner's DID document says.
    async fn find_service(&self, named: &route::Named) -> Result<Service, XrpcError> {
        let document = match self.document(&named.did, Purpose::Display).await {
            Ok(document) => document,
            Err(error) if error.is_transient() => {
                return Err(XrpcError::upstream("could not resolve proxy did"));
            }
            Err(_) => return Err(XrpcError::invalid("could not resolve proxy did")),
        };
        match document.service(&named.fragment, None) {
            Ok(url) => Ok(Service { did: named.did.clone(), url: url.to_owned() }),
            Err(_) => Err(XrpcError::invalid("could not resolve proxy did service url")),
        }
    }

    /// The DID of the generator behind a feed, by its record as the AppView has it.
    async fn feed_generator(&self, appview: &Service, query: &[(String, String)]) -> Result<Did, XrpcError> {
        let feed = query.iter().find(|(name, _)| name == "feed").map(|(_, value)| value.as_str());
        let feed = feed.ok_or_else(|| XrpcError::invalid("Error: Params must have the property \"feed\""))?;
        let unknown = || XrpcError::named("UnknownFeed", "could not resolve feed did");
        let feed = AtUri::parse(feed).map_err(|_| XrpcError::invalid("feed must be a valid at-uri"))?;
        let path = feed.path().ok_or_else(unknown)?;
        let params = [
            ("repo", feed.authority().to_string()),
            ("collection", path.collection.to_string()),
            ("rkey", path.rkey.to_string()),
        ];
        let (status, record) = self.ask(appview, "com.atproto.repo.getRecord", &params, None).await?;
        let did = record.get("value").and_then(|value| value.get("did")).and_then(Json::as_str);
        match (status, did.and_then(|did| Did::parse(did).ok())) {
            (200, Some(did)) => Ok(did),
            (500.., _) => Err(XrpcError::upstream("The upstream service failed")),
            _ => Err(unknown()),
        }
    }

    /// A token of the account for one method of a service.
    async fn service_token(
        &self,
        did: &Did,
        service: &Did,
        lxm: &str,
        even_takendown: bool,
    ) -> Result<String, XrpcError> {
        let lxm = Nsid::parse(lxm).map_err(XrpcError::internal)?;
        let call = ProxyCall::Token { aud: service.as_str().to_owned(), lxm, even_takendown };
        agents::read(&self.agents.call(did, InternalCall::Proxy(call)).await?)
    }

    /// Asks a service a query on this host's own account, or with a token. Status and JSON, whatever they are.
    ///
    /// # Errors
    /// `UpstreamFailure` when there is no answer.
    pub(super) async fn ask(
        &self,
        service: &Service,
        nsid: &str,
        params: &[(&str, String)],
        token: Option<&str>,
    ) -> Result<(u16, Json), XrpcError> {
        let mut url = format!("{}/xrpc/{nsid}", service.url);
        for (index, (name, value)) in params.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, RESERVED));
        }
        let bearer = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}")));
        let request = OutboundRequest {
            verb: Verb::Get,
            url,
            headers: bearer.into_iter().collect(),
            body: Vec::new(),
            max_bytes: answer::MAX_FRESH_BYTES,
            timeout_ms: answer::HEADERS_TIMEOUT_MS,
        };
        let answer = self.outbound.send(request).await;
        let answer = answer.map_err(|_| XrpcError::upstream("Upstream service unreachable"))?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }
}

/// Whether a request is for another service although this host has the method: only those of an AppView's namespace are.
///
/// # Errors
/// `InvalidRequest` for a header that breaks a rule.
pub fn leads_away(config: &Config, nsid: &str, header: Option<&str>) -> Result<bool, XrpcError> {
    Ok(nsid.starts_with("app.bsky.") && route::leads_away(config, header)?)
}

/// The method that a generator lets an AppView call for an account.
const FEED_SKELETON: &str = "app.bsky.feed.getFeedSkeleton";
/// What a value of a query cannot hold as it is: all but the unreserved characters of RFC 3986, 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
