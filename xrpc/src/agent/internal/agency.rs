//! What the Worker asks of an account that is an agent, or is to be one.

use murmuration_account::{Account, AccountError, Value, Write, WriteRequest};
use murmuration_bridge::AgentKeys;
use murmuration_data::json;
use murmuration_lexicons::Catalog;
use murmuration_syntax::RepoPath;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::XrpcError;
use crate::agent::keys::SEALED_STORES;
use crate::agent::record::{Validate, prepare};
use crate::agent::{Context, check_standing, custody, index, server};
use crate::http::Response;
use crate::method::Standing;
use crate::token::Scope;

/// A call about an agent.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AgencyCall {
    /// Have a profile, if one is given and there is none, and keys, unless the profile says that the agent keeps them to itself.
    Begin {
        /// The record `agent.identity.profile/self`, as JSON of the data model.
        profile: Option<Json>,
    },
    /// Say which keys others know the agent by, if any.
    Keys,
    /// Begin the next epoch of the agent's keys, or its first.
    Rotate {
        /// What is published as the reason.
        reason: Option<String>,
        /// Whether the DID document is to follow: the account is an agent.
        follow: bool,
    },
    /// Say which keys the DID document is to name, if it does not name the latest.
    Unnamed,
    /// Note that the DID document names the keys of an epoch, or never will.
    Named {
        /// The epoch.
        epoch: u32,
    },
    /// Begin a session for whoever has asked for the agent, and asks again.
    Session,
}

/// An epoch that was begun.
#[derive(Deserialize, Serialize)]
pub struct Rotated {
    /// Its number.
    pub epoch: u32,
    /// What is to be wrapped anew.
    pub pending: u64,
}

/// An epoch that the DID document does not name yet.
#[derive(Deserialize, Serialize)]
pub struct Unnamed {
    /// Its number.
    pub epoch: u32,
    /// The agent, with its keys of that epoch.
    pub begun: Begun,
}

/// An agent that has what an agent has.
#[derive(Deserialize, Serialize)]
pub struct Begun {
    /// The keys that others know it by; none while an agent that keeps them to itself has published none.
    pub keys: Option<AgentKeys>,
    /// What it says of itself.
    pub profile: index::Profile,
}

pub(super) fn answer(context: &Context<'_>, call: AgencyCall) -> Result<Response, XrpcError> {
    let account = context.account;
    match call {
        AgencyCall::Begin { profile } => {
            let path = index::path()?;
            if let Some(profile) = profile
                && account.record(&path)?.is_none()
            {
                let write = Write::Create { path, value: value(context.catalog, &profile)?, replaces: false };
                let request =
                    WriteRequest { writes: vec![write], unlimited: true, ..WriteRequest::default() };
                let written = account.write(&[request], context.clock.now_micros()).pop();
                written.ok_or_else(|| XrpcError::internal("a write without an answer"))??;
            }
            if let Err(AccountError::NoKeys) = account.published_keys()
                && !custody::is_clients(account)?
            {
                account.start_epoch(context.entropy, context.clock.now_micros())?;
            }
            Response::json(&Begun { keys: keys(account)?, profile: index::profile(account)? })
        }
        AgencyCall::Keys => Response::json(&keys(account)?),
        AgencyCall::Rotate { reason, follow } => {
            if custody::is_clients(account)? {
                return Err(custody::refused("publish the next epoch of them"));
            }
            let now = context.clock.now_micros();
            let rotation =
                account.rotate_keys(SEALED_STORES, reason.as_deref(), !follow, context.entropy, now)?;
            Response::json(&Rotated { epoch: rotation.epoch, pending: rotation.pending })
        }
        AgencyCall::Unnamed => {
            let unnamed = match account.unnamed_since()? {
                Some(_) => Some(Unnamed {
                    epoch: account.published_keys()?.current().number(),
                    begun: Begun { keys: keys(account)?, profile: index::profile(account)? },
                }),
                None => None,
            };
            Response::json(&unnamed)
        }
        AgencyCall::Named { epoch } => {
            account.keys_named(epoch)?;
            Ok(Response::empty())
        }
        AgencyCall::Session => {
            check_standing(Standing::NotTakendown, &*account.profile()?)?;
            Response::json(&server::begin(context, Scope::Access, None)?)
        }
    }
}

/// A profile as a record that can be stored.
///
/// # Errors
/// `InvalidRequest` when it is not what the lexicon says.
pub fn value(catalog: &Catalog, profile: &Json) -> Result<Value, XrpcError> {
    let record = json::from_value(profile).map_err(|error| XrpcError::invalid(error.to_string()))?;
    let RepoPath { collection, rkey } = index::path()?;
    Ok(prepare(catalog, Validate::Required, collection, rkey, record)?.value)
}

fn keys(account: &Account) -> Result<Option<AgentKeys>, AccountError> {
    let published = match account.published_keys() {
        Err(AccountError::NoKeys) => return Ok(None),
        other => other?,
    };
    let epoch = published.current();
    let (signing, agreement) = (epoch.signing_key().multibase(), epoch.agreement_key().to_owned());
    Ok(Some(AgentKeys { signing, agreement }))
}
