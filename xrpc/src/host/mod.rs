//! Methods that run in the Worker rather than in an agent's object.
//!
//! They make accounts, find them by any of their names, and list them. What they need of the outside stands in [`Host`]:
//! the [`Directory`] of names (D1), the [`Agents`] (the accounts' objects, through their stubs), and the network through
//! the guarded client. A host writes two small implementations, [`Database`] and [`Agents`]; everything else is here
//! and runs natively.

mod activation;
mod address;
mod agency;
mod agents;
mod alias;
mod comms;
mod create_account;
mod create_agent;
mod deletion;
pub mod directory;
mod extractor;
mod handle;
mod identity;
mod import;
mod ingest;
mod invites;
mod mail;
mod memory;
mod moderation;
mod move_in;
mod operator;
mod pages;
mod password;
mod plc;
pub mod proxy;
mod public;
mod repos;
pub mod reseal;
mod reserved_key;
mod rotation;
mod server;
mod signup;
mod spent;

use murmuration_bridge::Resolver;
use murmuration_bridge::handle::{Refusal, UserDomains};
use murmuration_bridge::resolver::{Cache, Sources};
use murmuration_data::Ipld;
use murmuration_keys::Zeroize;
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_platform::{Clock, Entropy, Mailer, Outbound};
use murmuration_syntax::{AtIdentifier, Did, Handle};

use crate::agent::internal::Description;
use crate::agent::{self, Args};
use crate::auth::{self, Caller};
use crate::http::{Request, Response};
use crate::limits::{self, Counter};
use crate::method::{Auth, HostHandler, Kind, Method, Standing};
use crate::service_auth::{self, Wanted};
use crate::token::Claims;
use crate::{Config, XrpcError};

pub use agents::{AgentAnswer, Agents, check_active};
pub use comms::{DeliveryQueue, Redeemed, Residents, Ticket};
pub use directory::{Database, Directory, Task};
pub use extractor::LanguageModels;
pub use pages::{PageRequest, paths};
pub use public::is_own;

/// A request of a host's method that passed everything that all methods share.
pub struct HostCall {
    /// Who calls.
    pub caller: Caller,
    /// The caller's account, where the method wants it to be of a standing.
    pub account: Option<Description>,
    /// The parameters, by the lexicon, defaults included.
    pub params: Args,
    /// The body, by the lexicon; empty if the method has none.
    pub input: Args,
}

/// What the methods of a host work with.
pub struct Host<'a> {
    /// What the operator decided.
    pub config: &'a Config,
    /// The lexicons.
    pub catalog: &'a Catalog,
    /// The names of the accounts.
    pub directory: Directory<'a>,
    /// The accounts' objects.
    pub agents: &'a dyn Agents,
    /// The guarded client.
    pub outbound: &'a dyn Outbound,
    /// The queue of deliveries that have failed; `None` where the alarms of the senders do all of it.
    pub queue: Option<&'a dyn DeliveryQueue>,
    /// The way to send letters; `None` on a host whose operator does what letters would.
    pub mailer: Option<&'a dyn Mailer>,
    /// The language models of the platform, where it has any.
    pub models: Option<&'a dyn LanguageModels>,
    /// Counts the client's calls; `None` where there are no rate limits.
    pub counter: Option<&'a dyn Counter>,
    /// What was resolved before; as long-lived as the isolate.
    pub cache: &'a Cache,
    /// Who was seen to live here; as long-lived.
    pub residents: &'a Residents,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
}

impl Host<'_> {
    /// Answers an XRPC request, after verb, credential, parameters and body were checked as the table and the method's
    /// lexicon say.
    ///
    /// # Errors
    /// What the caller is to see.
    pub async fn answer(
        &self,
        method: &Method,
        run: HostHandler,
        request: &Request,
    ) -> Result<Response, XrpcError> {
        agent::check_verb(method, request.verb)?;
        let caller = self.authenticate(method, request.authorization.as_deref()).await?;
        let params = lexicons::params(self.catalog, method.nsid, &request.query)
            .map_err(|error| XrpcError::invalid(error.to_string()))?;
        let input = agent::input(self.catalog, method, request)?;
        self.run(method, run, caller, Args::new(params), Args::new(input)).await
    }

    /// Answers a call on a socket, by a caller whose token was verified when the socket was opened. The input is not checked
    /// yet.
    ///
    /// # Errors
    /// What the caller is to see.
    pub async fn answer_call(
        &self,
        method: &Method,
        run: HostHandler,
        claims: Claims,
        input: Ipld,
    ) -> Result<Response, XrpcError> {
        auth::check(method.auth, &claims, self.clock.now_micros() / 1_000_000)?;
        let input = agent::checked(self.catalog, method, input)?;
        self.run(method, run, Caller::Account(claims), Args::default(), Args::new(input)).await
    }

    async fn run(
        &self,
        method: &Method,
        run: HostHandler,
        caller: Caller,
        params: Args,
        input: Args,
    ) -> Result<Response, XrpcError> {
        let account = self.check_standing(method, &caller).await?;
        let call = HostCall { caller, account, params, input };
        limits::charge_method(self.counter, method, &call.caller, &call.input).await?;
        run(self, call).await
    }

    /// Refuses an account that is not of the standing that the method wants, and then one that is gone, too.
    async fn check_standing(
        &self,
        method: &Method,
        caller: &Caller,
    ) -> Result<Option<Description>, XrpcError> {
        let Caller::Account(claims) = caller else { return Ok(None) };
        if method.standing == Standing::Any {
            return Ok(None);
        }
        let account = agents::describe(self.agents, &claims.sub, false).await?;
        let account = account.ok_or_else(|| XrpcError::invalid_token("Token could not be verified"))?;
        match account.status.as_deref() {
            Some("takendown") => Err(XrpcError::takendown()),
            Some(_) if method.standing == Standing::Active => Err(XrpcError::deactivated()),
            _ => Ok(Some(account)),
        }
    }

    /// Verifies a method's credential, service tokens included.
    ///
    /// # Errors
    /// What the caller is to see.
    pub async fn authenticate(&self, method: &Method, header: Option<&str>) -> Result<Caller, XrpcError> {
        let now = self.clock.now_micros() / 1_000_000;
        let token = match method.auth {
            Auth::AccessOrService => {
                auth::bearer(header).ok().filter(|token| service_auth::names_a_method(token))
            }
            Auth::OptionalService => header.map(|_| auth::bearer(header)).transpose()?,
            Auth::Delivery => return self.authenticate_delivery(method, auth::bearer(header)?, now).await,
            Auth::Moderator => auth::bearer(header).ok(),
            _ => None,
        };
        let Some(token) = token else { return auth::authenticate(self.config, method.auth, header, now) };
        let moderator = match (method.auth, &self.config.mod_service_did) {
            (Auth::Moderator, None) => return Err(XrpcError::new(401, "UntrustedIss", "Untrusted issuer")),
            (Auth::Moderator, did) => did.as_ref(),
            _ => None,
        };
        let audience = &self.config.service_did();
        let (roles, max_seconds) = (service_auth::HOST, service_auth::MAX_SECONDS);
        let no_issuer = |text: &str| XrpcError::auth_required(text);
        let wanted = Wanted { audience, roles, lxm: method.nsid, max_seconds, moderator, no_issuer };
        let token = service_auth::verify(self, token, &wanted, now).await?;
        if moderator.is_none() {
            return Ok(Caller::Service(token.issuer));
        }
        if method.kind == Kind::Procedure {
            self.spend(&token, now).await?;
        }
        Ok(Caller::ModerationService)
    }

    /// Verifies the token by which another host brings a message to an account that is here.
    async fn authenticate_delivery(
        &self,
        method: &Method,
        token: &str,
        now: u64,
    ) -> Result<Caller, XrpcError> {
        let audience = service_auth::unverified_audience(token)?;
        let did = audience.split('#').next().and_then(|did| Did::parse(did).ok());
        let to = did.ok_or_else(|| XrpcError::new(401, "BadJwtAudience", "jwt audience is no agent"))?;
        let (roles, max_seconds) = (service_auth::INBOX, service_auth::MAX_INBOX_SECONDS);
        // A sender tries again after a 401, for its key may be known for too long here. One that has none tries in vain.
        let no_issuer = match method.kind {
            Kind::Procedure => |text: &str| XrpcError::named("InvalidProof", text),
            _ => |text: &str| XrpcError::auth_required(text),
        };
        let (audience, lxm) = (to.as_str(), method.nsid);
        let wanted = Wanted { audience, roles, lxm, max_seconds, moderator: None, no_issuer };
        let token = service_auth::verify(self, token, &wanted, now).await?;
        let id = token.id.ok_or_else(|| XrpcError::new(401, "BadJwt", "jwt has no jti"))?;
        Ok(Caller::Delivery { from: token.issuer, to, token: (id, token.expires_at) })
    }

    /// The account that uploads a blob, by its session or by a service token: from then on its object is asked. Somebody
    /// else's service token is refused before a byte is taken.
    ///
    /// # Errors
    /// What the caller is to see.
    pub async fn uploader(&self, method: &Method, header: Option<&str>) -> Result<Did, XrpcError> {
        let caller = self.authenticate(method, header).await?;
        limits::charge_method(self.counter, method, &caller, &Args::default()).await?;
        match caller {
            Caller::Service(did) if self.directory.by_did(&did).await?.is_none() => {
                Err(XrpcError::repo_not_found(did))
            }
            Caller::Service(did) => Ok(did),
            caller => Ok(caller.claims()?.sub.clone()),
        }
    }

    /// The DID of an account of this host, by a DID (without a look at the directory) or a handle. `None` for a handle
    /// that no account of this host has.
    ///
    /// # Errors
    /// `InvalidRequest` when the text is neither; a fault of the directory.
    pub async fn locate(&self, name: &str) -> Result<Option<Did>, XrpcError> {
        match AtIdentifier::parse(name) {
            Ok(AtIdentifier::Did(did)) => Ok(Some(did)),
            Ok(AtIdentifier::Handle(handle)) => {
                Ok(self.directory.by_handle(&handle).await?.map(|entry| entry.did))
            }
            Err(_) => Err(XrpcError::invalid(format!("\"{name}\" is neither a DID nor a handle"))),
        }
    }

    /// The resolver of DIDs and handles that are not this host's own to decide.
    #[must_use]
    pub fn resolver(&self) -> Resolver<'_> {
        let sources = Sources {
            plc_url: &self.config.plc_url,
            doh_urls: &self.config.doh_urls,
            allow_localhost: self.config.allow_private_network,
        };
        Resolver::new(self.cache, sources, self.outbound, self.clock)
    }

    fn user_domains(&self) -> UserDomains<'_> {
        UserDomains::new(&self.config.user_domains)
    }

    /// Whether a handle is one that this host gives out; `false` for somebody's own domain.
    fn gives_out(&self, handle: &Handle) -> Result<bool, XrpcError> {
        match self.user_domains().check(handle) {
            Ok(()) => Ok(true),
            Err(Refusal::UnsupportedDomain) => Ok(false),
            Err(refusal) => Err(signup::handle_refused(refusal)),
        }
    }

    fn now_millis(&self) -> u64 {
        self.clock.now_micros() / 1_000
    }

    /// Fresh random text of 256 bits, in hexadecimal.
    fn random_hex(&self) -> String {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        let text = data_encoding::HEXLOWER.encode(&bytes);
        bytes.zeroize();
        text
    }
}

/// Keeps an answer, a refusal too, out of shared caches: what it says depends on who asks.
fn private(answer: Result<Response, XrpcError>) -> Result<Response, XrpcError> {
    let answer = match answer {
        Ok(response) => response,
        // A fault goes on as it is, so that its cause is logged.
        Err(error) if error.cause().is_some() => return Err(error),
        Err(error) => Response::from(error),
    };
    Ok(answer.with("cache-control", "private").with("vary", "Authorization"))
}
