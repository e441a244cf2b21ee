//! Who keeps the secrets of an agent's keys.

use std::rc::Rc;

use murmuration_account::{Account, AccountError};
use murmuration_data::{Ipld, cbor};
use murmuration_keyring::Ring;

use super::{Context, index};
use crate::XrpcError;

/// Whether the host has no part in the agent's keys: its repository publishes some that are not kept here, or its profile says so
/// before it publishes any.
///
/// # Errors
/// [`AccountError::Vacant`] if there is no account.
pub fn is_clients(account: &Account) -> Result<bool, XrpcError> {
    if account.keeps_keys()? {
        return Ok(false);
    }
    match account.published_keys() {
        Err(AccountError::NoKeys) => {}
        // Also one that is not what it must be: it is not the host's to mend.
        Err(AccountError::Keyring(_)) | Ok(_) => return Ok(true),
        Err(other) => return Err(other.into()),
    }
    says_clients(account)
}

/// Whether the profile says that the host has no part in the agent's keys.
///
/// # Errors
/// [`AccountError::Vacant`] if there is no account.
pub fn says_clients(account: &Account) -> Result<bool, XrpcError> {
    let Some(profile) = account.record(&index::path()?)? else { return Ok(false) };
    let Ipld::Map(fields) = cbor::decode(&profile.value).map_err(XrpcError::internal)? else {
        return Ok(false);
    };
    Ok(matches!(fields.get("custody"), Some(Ipld::String(custody)) if custody == CLIENT))
}

/// The agent's keys, to seal with; its first, if it has none.
///
/// # Errors
/// `ClientCustody` where they are not the host's to make or to use.
pub fn ring(context: &Context<'_>, now: u64) -> Result<Rc<Ring>, XrpcError> {
    match context.account.ring() {
        Err(AccountError::NoKeys) if is_clients(context.account)? => {
            Err(refused("seal the message and send it as a parcel"))
        }
        Err(AccountError::NoKeys) => Ok(context.account.start_epoch(context.entropy, now)?),
        other => Ok(other?),
    }
}

/// What an agent that keeps its keys to itself is told, and what it does instead.
#[must_use]
pub fn refused(instead: &str) -> XrpcError {
    XrpcError::named("ClientCustody", format!("This agent keeps its keys to itself: {instead}"))
}

/// What a profile says of an agent that keeps its keys to itself.
const CLIENT: &str = "client";
