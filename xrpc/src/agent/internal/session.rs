//! What the Worker asks of an account's sessions, and of whether it is served.

use murmuration_account::{AccountError, Notice};
use serde::{Deserialize, Serialize};

use crate::XrpcError;
use crate::agent::{Context, server};
use crate::http::Response;
use crate::token::Scope;

/// A call about whether an account is served.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionCall {
    /// Say how much of everything the account holds.
    Census,
    /// Serve the account from now on, and say so even if it was served before.
    Activate,
    /// Serve it no longer.
    Deactivate {
        /// When its owner wants it deleted, in microseconds since the Unix epoch.
        #[serde(rename = "deleteAfter")]
        delete_after: Option<u64>,
    },
}

/// What an account holds, as `checkAccountStatus` says it, and what its DID document is to be compared with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdings {
    /// Whether it is served.
    pub activated: bool,
    /// The last commit.
    pub repo_commit: String,
    /// Its revision.
    pub repo_rev: String,
    /// Blocks of the repository.
    pub repo_blocks: u64,
    /// Records.
    pub indexed_records: u64,
    /// Preferences.
    pub private_state_values: u64,
    /// Blobs that records refer to.
    pub expected_blobs: u64,
    /// Blobs whose bytes are here.
    pub imported_blobs: u64,
    /// The public half of the key that signs its commits, as `did:key`.
    pub signing_key: String,
}

/// Answers a call.
///
/// # Errors
/// What the Worker is to tell its caller.
pub(super) fn answer(context: &Context<'_>, call: SessionCall) -> Result<Response, XrpcError> {
    let (account, now) = (context.account, context.clock.now_micros());
    match call {
        SessionCall::Census => {
            let (profile, head, census) = (account.profile()?, account.head()?, account.census()?);
            return Response::json(&Holdings {
                activated: !profile.deactivated,
                repo_commit: head.cid.to_string(),
                repo_rev: head.rev.to_string(),
                repo_blocks: census.blocks,
                indexed_records: census.records,
                private_state_values: census.preferences,
                expected_blobs: census.expected_blobs,
                imported_blobs: census.present_blobs,
                signing_key: account.signing_key()?,
            });
        }
        SessionCall::Activate => {
            if account.profile()?.takedown.is_some() {
                return Err(XrpcError::takendown());
            }
            account.edit(&Notice::ACTIVATION, now, |profile| {
                profile.deactivated = false;
                profile.delete_after = None;
            })?;
        }
        SessionCall::Deactivate { delete_after } => {
            let earliest = now.saturating_add(context.config.deletion_patience_micros());
            account.edit(&[Notice::Status], now, |profile| {
                profile.deactivated = true;
                profile.delete_after = delete_after.map(|asked| asked.max(earliest));
            })?;
        }
    }
    Ok(Response::empty())
}

/// Begins a session if the password is right: an app password, or the account's own.
///
/// An app password is looked for first, because that is quick. A password that is none of them costs the time of the
/// account's own, whoever is asked for.
pub(super) fn begin(
    context: &Context<'_>,
    password: &str,
    allow_takendown: bool,
) -> Result<Response, XrpcError> {
    let account = context.account;
    let app_password = match account.app_password(password) {
        Err(AccountError::Vacant) => None,
        other => other?,
    };
    let right = app_password.is_some()
        || match account.password_is(password) {
            Err(AccountError::Vacant) => false,
            other => other?,
        };
    let wrong = || XrpcError::auth_required("Invalid identifier or password");
    if !right {
        return Err(wrong());
    }
    let takendown = account.profile()?.takedown.is_some();
    let scope = match &app_password {
        // Whoever is taken down comes in by the front door only.
        Some(_) if takendown => return Err(wrong()),
        None if takendown && !allow_takendown => return Err(XrpcError::takendown()),
        None if takendown => Scope::Takendown,
        None => Scope::Access,
        Some(found) if found.privileged => Scope::PrivilegedAppPassword,
        Some(_) => Scope::AppPassword,
    };
    Response::json(&server::begin(context, scope, app_password.map(|found| found.name))?)
}
