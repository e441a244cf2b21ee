//! The accounts' objects, as the Worker sees them.

use murmuration_bridge::CfDid;
use murmuration_syntax::Did;
use serde::de::DeserializeOwned;

use super::Task;
use crate::XrpcError;
use crate::agent::internal::{AccountSeed, Description, InternalCall};
use crate::http::{Body, Response};
use crate::public::IndexCall;

/// Calls accounts' objects. A host implements it over their stubs: a POST of the call's JSON to `https://internal/`.
pub trait Agents {
    /// Calls the object of a DID, whether it holds an account or not.
    ///
    /// # Errors
    /// When the object did not answer at all. What it did in that case is not known.
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>>;

    /// Has the relay seal some secrets of webhooks under the newest key-encryption key. Its answer is a [`super::reseal::Resealed`].
    ///
    /// # Errors
    /// When it did not answer.
    fn reseal_webhooks(&self) -> Task<'_, Result<AgentAnswer, XrpcError>>;

    /// Asks the public index.
    ///
    /// # Errors
    /// When it did not answer.
    fn ask_index<'a>(&'a self, call: &'a IndexCall) -> Task<'a, Result<AgentAnswer, XrpcError>>;

    /// The did:cf of the object of a DID, without waking it.
    ///
    /// # Errors
    /// A fault of the platform.
    fn alias(&self, did: &Did) -> Result<CfDid, XrpcError>;
}

/// What an object answers to an internal call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body: JSON, in success and in failure.
    pub body: Vec<u8>,
}

/// The tokens of an account's first session.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FirstSession {
    pub(super) access_jwt: String,
    pub(super) refresh_jwt: String,
}

/// Has an object make its account, announce it, and begin a session.
pub(super) async fn create(agents: &dyn Agents, seed: AccountSeed) -> Result<FirstSession, XrpcError> {
    let did = seed.did.clone();
    read(&agents.call(&did, InternalCall::CreateAccount(seed)).await?)
}

/// Has an object forget everything.
pub(super) async fn destroy(agents: &dyn Agents, did: &Did) -> Result<(), XrpcError> {
    tell(agents, did, InternalCall::Destroy).await
}

/// Has an object answer a call of the Worker.
pub(super) async fn ask<T: DeserializeOwned>(
    agents: &dyn Agents,
    did: &Did,
    call: InternalCall,
) -> Result<T, XrpcError> {
    read(&agents.call(did, call).await?)
}

/// Has an object do something that it answers with nothing but success.
pub(super) async fn tell(agents: &dyn Agents, did: &Did, call: InternalCall) -> Result<(), XrpcError> {
    let answer = agents.call(did, call).await?;
    if answer.status == 200 { Ok(()) } else { Err(refusal(&answer)) }
}

/// Who an object's account is, with its collections if they are asked for; `None` when it holds none.
pub(super) async fn describe(
    agents: &dyn Agents,
    did: &Did,
    collections: bool,
) -> Result<Option<Description>, XrpcError> {
    let answer = agents.call(did, InternalCall::Describe { collections }).await?;
    match read(&answer) {
        Ok(description) => Ok(Some(description)),
        Err(error) if error.error() == "RepoNotFound" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses an account that is not served, which a token of it does not know.
///
/// # Errors
/// `AccountDeactivated`, `AccountTakedown`; `InvalidToken` where there is no such account.
pub async fn check_active(agents: &dyn Agents, did: &Did) -> Result<(), XrpcError> {
    match describe(agents, did, false).await? {
        Some(account) if account.active => Ok(()),
        Some(account) if account.status.as_deref() == Some("deactivated") => Err(XrpcError::deactivated()),
        Some(_) => Err(XrpcError::takendown()),
        None => Err(XrpcError::invalid_token("Token could not be verified")),
    }
}

/// Has an object begin a session if the password is right. Its answer is the method's.
pub(super) async fn begin_session(
    agents: &dyn Agents,
    did: &Did,
    password: String,
    allow_takendown: bool,
) -> Result<Response, XrpcError> {
    pass(agents, did, InternalCall::CreateSession { password, allow_takendown }).await
}

/// Has an object answer for a method: what it answers is the method's answer.
pub(super) async fn pass(agents: &dyn Agents, did: &Did, call: InternalCall) -> Result<Response, XrpcError> {
    let answer = agents.call(did, call).await?;
    if answer.status != 200 {
        return Err(refusal(&answer));
    }
    String::from_utf8(answer.body).map(|json| Response::ok(Body::Json(json))).map_err(XrpcError::internal)
}

/// Reads what an object answered.
pub(super) fn read<T: DeserializeOwned>(answer: &AgentAnswer) -> Result<T, XrpcError> {
    if answer.status != 200 {
        return Err(refusal(answer));
    }
    serde_json::from_slice(&answer.body).map_err(XrpcError::internal)
}

/// Whether a status says that something else was away, or that too much waits: neither is a fault of the object's.
const fn is_busy(status: u16) -> bool {
    matches!(status, 502 | 503)
}

/// The error that an object answered with. A fault stays a fault; its cause was logged over there.
fn refusal(answer: &AgentAnswer) -> XrpcError {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
        message: String,
    }
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(Refusal { error, message }) if (400..500).contains(&answer.status) || is_busy(answer.status) => {
            XrpcError::new(answer.status, error, message)
        }
        _ => XrpcError::internal(format!("an agent's object answered with status {}", answer.status)),
    }
}
