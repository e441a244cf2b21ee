//! Methods that run in an agent's object, over its account.
//!
//! [`answer`] takes a request through the steps that all methods share, and hands the method a [`Call`] in which
//! everything is verified: the caller by its token, parameters and body by the lexicon. A method answers at once, or
//! names the writes that it wants and what to make of their receipt: the object gathers the writes of requests that
//! arrive together and does them in one turn.

pub mod actor;
mod args;
pub mod comms;
pub mod credential;
pub mod custody;
pub mod ending;
pub mod identity;
pub mod import;
pub mod index;
pub mod internal;
pub mod keys;
pub mod mail;
pub mod memory;
mod record;
pub mod repo;
pub mod server;
pub mod sync;

use std::rc::Rc;

use murmuration_account::{Account, AccountError, Profile, Receipt, WriteRequest};
use murmuration_data::{Ipld, json};
use murmuration_firehose::AccountStatus;
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_platform::{Clock, Embedder, Entropy};

use crate::auth::{self, Caller};
use crate::http::{Request, Response, Verb};
use crate::method::{Auth, Kind, Method, Standing};
use crate::token::Claims;
use crate::{Config, XrpcError};

pub use args::Args;
use internal::comms::{Made, Reader};

/// What a method of an agent is.
pub type AgentHandler = fn(&Context<'_>, Call) -> Result<Reply, XrpcError>;

/// What a method works with.
pub struct Context<'a> {
    /// The account of this object.
    pub account: &'a Account,
    /// What the operator decided.
    pub config: &'a Config,
    /// The lexicons.
    pub catalog: &'a Catalog,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
    /// What makes vectors of texts, if the host has it. It is asked for when there is a text, so that it is read when it is wanted.
    pub embedder: &'a dyn Fn() -> Option<Rc<dyn Embedder>>,
    /// Those with whom the call shares what it keeps, by what they publish of their keys ([`memory::share_with`]).
    pub readers: &'a [Reader],
}

/// That of a host that has none.
#[must_use]
pub fn no_embedder() -> Option<Rc<dyn Embedder>> {
    None
}

impl Context<'_> {
    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn now_seconds(&self) -> u64 {
        self.clock.now_micros() / 1_000_000
    }
}

/// A request that passed everything that all methods share.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// The parameters, by the lexicon, defaults included.
    pub params: Args,
    /// The body, by the lexicon; empty if the method has none.
    pub input: Args,
}

/// What a method answers.
pub enum Reply {
    /// An answer.
    Now(Response),
    /// An answer to what has changed the account already: its events and its alarm are to be seen to.
    Changed(Response),
    /// The same, with messages that it has made, to be brought to their readers.
    Sent(Response, Vec<Made>),
    /// Writes, and what becomes of their receipt.
    AfterWrite(WriteRequest, Finish),
}

/// Makes the answer of a receipt.
pub type Finish = Box<dyn FnOnce(Receipt) -> Result<Response, XrpcError>>;

/// Answers a request, or says what must be written first.
///
/// # Errors
/// What the caller is to see.
pub fn answer(
    context: &Context<'_>,
    method: &Method,
    run: AgentHandler,
    request: &Request,
) -> Result<Reply, XrpcError> {
    let call = read(context, method, request)?;
    run(context, call)
}

/// Takes a request through the steps that all methods share.
fn read(context: &Context<'_>, method: &Method, request: &Request) -> Result<Call, XrpcError> {
    check_verb(method, request.verb)?;
    let caller = auth::authenticate(
        context.config,
        method.auth,
        request.authorization.as_deref(),
        context.now_seconds(),
    )?;
    admit(context, method, &caller)?;
    let params = lexicons::params(context.catalog, method.nsid, &request.query)
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    let input = input(context.catalog, method, request)?;
    Ok(Call { caller, params: Args::new(params), input: Args::new(input) })
}

/// Answers a call on a socket, by a caller whose token was verified when the socket was opened. The input is not checked yet.
///
/// # Errors
/// What the caller is to see.
pub fn answer_call(
    context: &Context<'_>,
    method: &Method,
    run: AgentHandler,
    claims: Claims,
    input: Ipld,
) -> Result<Reply, XrpcError> {
    auth::check(method.auth, &claims, context.now_seconds())?;
    let caller = Caller::Account(claims);
    admit(context, method, &caller)?;
    let input = checked(context.catalog, method, input)?;
    run(context, Call { caller, params: Args::default(), input: Args::new(input) })
}

/// Refuses a caller who is not of this account, or whose account is not of the standing that the method wants.
fn admit(context: &Context<'_>, method: &Method, caller: &Caller) -> Result<(), XrpcError> {
    let Caller::Account(claims) = caller else { return Ok(()) };
    let profile = context.account.profile().map_err(vacant_as_revoked)?;
    // Where a token is optional, it may be another account's, asking about this one.
    if claims.sub == profile.did {
        check_standing(method.standing, &profile)
    } else if matches!(method.auth, Auth::Optional | Auth::OptionalEvenTakendown) {
        Ok(())
    } else {
        Err(XrpcError::invalid_token("Token could not be verified"))
    }
}

/// Refuses an account that is not of the standing that a method wants.
///
/// # Errors
/// `AccountTakedown` and `AccountDeactivated`.
pub fn check_standing(wanted: Standing, profile: &Profile) -> Result<(), XrpcError> {
    if wanted != Standing::Any && profile.takedown.is_some() {
        return Err(XrpcError::takendown());
    }
    if wanted == Standing::Active && profile.deactivated {
        return Err(XrpcError::deactivated());
    }
    Ok(())
}

/// Refuses a verb that does not fit the kind of the method.
///
/// # Errors
/// `InvalidRequest`, in the reference server's words.
pub fn check_verb(method: &Method, verb: Verb) -> Result<(), XrpcError> {
    let got = match verb {
        Verb::Get => "GET",
        Verb::Head => "HEAD",
        Verb::Post => "POST",
        Verb::Other => return Err(XrpcError::invalid("XRPC requests only supports GET and POST")),
    };
    let (fits, wanted) = match method.kind {
        Kind::Query | Kind::Subscription => (verb != Verb::Post, "GET"),
        Kind::Procedure => (verb == Verb::Post, "POST"),
    };
    if fits {
        Ok(())
    } else {
        Err(XrpcError::invalid(format!("Incorrect HTTP method ({got}) expected {wanted}")))
    }
}

/// The body of a procedure, by its lexicon.
///
/// # Errors
/// `InvalidRequest` for a body that is missing, superfluous, of another type, or not what the lexicon says.
pub fn input(catalog: &Catalog, method: &Method, request: &Request) -> Result<Ipld, XrpcError> {
    let empty = || Ipld::Map(std::collections::BTreeMap::new());
    if method.kind != Kind::Procedure {
        return Ok(empty());
    }
    let declared = catalog.method(method.nsid).map_err(XrpcError::internal)?;
    let Some(encoding) = declared.input_encoding() else {
        return match request.body.is_empty() {
            true => Ok(empty()),
            false => Err(XrpcError::invalid("A request body was provided when none was expected")),
        };
    };
    let given = request.content_type.as_deref().unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.is_empty() {
        return Err(XrpcError::invalid("Request encoding (Content-Type) required but not provided"));
    }
    if !media_type.eq_ignore_ascii_case(encoding) {
        return Err(XrpcError::invalid(format!("Wrong request encoding (Content-Type): {media_type}")));
    }
    if request.body.len() > method.max_json {
        return Err(XrpcError::too_large(method.max_json));
    }
    let value =
        json::parse(&request.body).map_err(|error| XrpcError::invalid(format!("Invalid JSON: {error}")))?;
    checked(catalog, method, value)
}

/// An input, by its lexicon.
///
/// # Errors
/// `InvalidRequest` for one that is not what the lexicon says.
pub(crate) fn checked(catalog: &Catalog, method: &Method, input: Ipld) -> Result<Ipld, XrpcError> {
    lexicons::input(catalog, method.nsid, input).map_err(|error| XrpcError::invalid(error.to_string()))
}

fn vacant_as_revoked(error: AccountError) -> XrpcError {
    match error {
        AccountError::Vacant => XrpcError::invalid_token("Token could not be verified"),
        other => other.into(),
    }
}

/// What an object tells the host of a message that cannot be sealed because another host is away: for the caller that is 502.
pub(crate) const KEYS_UNKNOWN: &str = "KeysUnknown";

impl From<AccountError> for XrpcError {
    fn from(error: AccountError) -> Self {
        let text = error.to_string();
        match error {
            AccountError::Vacant => Self::named("RepoNotFound", "Could not find repo"),
            AccountError::Occupied => Self::named("AlreadyExists", text),
            AccountError::Inactive(AccountStatus::Deactivated) => Self::deactivated(),
            AccountError::Inactive(_) => Self::takendown(),
            AccountError::CommitSwap { .. } | AccountError::RecordSwap { .. } => {
                Self::named("InvalidSwap", text)
            }
            AccountError::RecordExists(_) | AccountError::NoSuchRecord(_) | AccountError::InvalidWrite(_) => {
                Self::invalid(text)
            }
            AccountError::CommitTooLarge | AccountError::BlocksTooLarge | AccountError::BlobTakendown => {
                Self::invalid(text)
            }
            AccountError::UploadLate => Self::upload_late(),
            AccountError::NoSuchBlob(_) => Self::named("BlobNotFound", text),
            AccountError::BlobType { .. } => Self::named("InvalidMimeType", text),
            AccountError::BlobSize { .. } => Self::named("InvalidSize", text),
            AccountError::SessionRevoked | AccountError::CodeExpired => Self::named("ExpiredToken", text),
            AccountError::CodeInvalid => Self::named("InvalidToken", text),
            AccountError::NoKeys => Self::named("NoKeys", text),
            AccountError::PeerChanged(..) => Self::named("KeyContinuityBroken", text),
            AccountError::PeerHasNoKeys(_) => Self::named("NoRecipientKey", text),
            AccountError::PeerUnknown(_) => Self::named(KEYS_UNKNOWN, text),
            AccountError::RotationInProgress => Self::named("RotationInProgress", text),
            AccountError::KeysHere => Self::named("KeysHere", text),
            AccountError::ForeignKeys => Self::invalid(text),
            AccountError::Memory(error) => error.into(),
            AccountError::WriteLimit { status, seconds } => Self::rate_limited(&status, seconds),
            AccountError::AppPasswordExists | AccountError::TooManyAppPasswords => Self::invalid(text),
            other => Self::internal(other),
        }
    }
}
