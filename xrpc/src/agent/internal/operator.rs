//! What the Worker asks of an object for the operator.

use murmuration_account::{Notice, Profile};
use murmuration_data::Cid;
use murmuration_firehose::Timestamp;
use murmuration_syntax::{Did, Handle, RepoPath};
use serde::{Deserialize, Serialize};

use crate::XrpcError;
use crate::agent::Context;
use crate::http::Response;

/// A call of the Worker.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OperatorCall {
    /// Show the account as nobody else sees it.
    View,
    /// Say under which reference a subject is taken down.
    Status(Subject),
    /// Take a subject down, or lift that.
    TakeDown {
        /// What.
        subject: Subject,
        /// Under which reference; `None` lifts.
        reference: Option<String>,
    },
    /// Give the account another password, and end its sessions.
    SetPassword {
        /// The password.
        password: String,
    },
    /// Give the account another address, in lower case.
    SetEmail {
        /// The address.
        email: String,
        /// Whether it is known to be its owner's.
        confirmed: bool,
    },
    /// Say to the stream once more how the account stands.
    Announce,
    /// Seal everything under the newest key-encryption key, and say whether anything was under another.
    Reseal,
}

/// What the operator judges.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// The account.
    Account,
    /// A record: `collection/rkey`.
    Record(String),
    /// A blob: its CID.
    Blob(String),
}

/// How a subject stands.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SubjectStatus {
    /// Under which reference it is taken down.
    pub takedown: Option<String>,
    /// Whether its owner has put it to rest; accounts only.
    pub deactivated: Option<bool>,
    /// Its CID; records only.
    pub cid: Option<String>,
    /// Why the account is not served, as the directory spells it.
    pub inactive: Option<String>,
}

/// An account as the operator sees it: `com.atproto.admin.defs#accountView`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// Its DID.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Its e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When it was made.
    pub indexed_at: String,
    /// When its address was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_confirmed_at: Option<String>,
    /// Since when it is deactivated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deactivated_at: Option<String>,
}

pub(super) fn answer(context: &Context<'_>, call: OperatorCall) -> Result<Response, XrpcError> {
    match call {
        OperatorCall::View => Response::json(&view(&*context.account.profile()?)),
        OperatorCall::Status(subject) => Response::json(&status(context, &subject)?),
        OperatorCall::TakeDown { subject, reference } => take_down(context, &subject, reference),
        OperatorCall::SetPassword { password } => {
            // Whoever has asked for one to set a password of their own is out, too.
            context.account.drop_codes()?;
            context.account.set_password(&password, context.entropy)?;
            Response::json(&view(&*context.account.profile()?))
        }
        OperatorCall::SetEmail { email, confirmed } => {
            context.account.edit(&[], context.clock.now_micros(), |profile| {
                profile.email_confirmed = confirmed;
                profile.email = Some(email);
            })?;
            Ok(Response::empty())
        }
        OperatorCall::Announce => tell(context, |_| {}),
        OperatorCall::Reseal => Response::json(&context.account.reseal_all(context.entropy)?),
    }
}

fn view(profile: &Profile) -> AccountView {
    let time = |micros| Timestamp::from_micros(micros).to_string();
    AccountView {
        did: profile.did.clone(),
        handle: profile.handle.clone(),
        email: profile.email.clone(),
        indexed_at: time(profile.since().created),
        email_confirmed_at: profile.since().email_confirmed.map(time),
        deactivated_at: profile.since().deactivated.map(time),
    }
}

fn status(context: &Context<'_>, subject: &Subject) -> Result<SubjectStatus, XrpcError> {
    Ok(match subject {
        Subject::Account => {
            let profile = context.account.profile()?;
            SubjectStatus {
                takedown: profile.takedown.clone(),
                deactivated: Some(profile.deactivated),
                cid: None,
                inactive: profile.inactive().as_ref().and_then(|status| status.name()).map(str::to_owned),
            }
        }
        Subject::Record(path) => {
            let found = context.account.record_takedown(&parse_path(path)?)?;
            let (cid, takedown) = found.ok_or_else(not_found)?;
            SubjectStatus { takedown, cid: Some(cid.to_string()), ..SubjectStatus::default() }
        }
        Subject::Blob(cid) => {
            let takedown = context.account.blob_takedown(&parse_cid(cid)?)?.ok_or_else(not_found)?;
            SubjectStatus { takedown, ..SubjectStatus::default() }
        }
    })
}

/// Changes how the account stands, says so to the stream, and answers it.
fn tell(context: &Context<'_>, change: impl FnOnce(&mut Profile)) -> Result<Response, XrpcError> {
    context.account.edit(&[Notice::Status], context.clock.now_micros(), change)?;
    Response::json(&status(context, &Subject::Account)?)
}

/// Takes a subject down, or lifts that. What is not there cannot be taken down; lifting it is nothing to do.
fn take_down(
    context: &Context<'_>,
    subject: &Subject,
    reference: Option<String>,
) -> Result<Response, XrpcError> {
    let lifts = reference.is_none();
    let found = match subject {
        Subject::Account => {
            // Also when it is lifted, as on the reference server: who is the reason for all this may hold one of them.
            context.account.end_all_sessions()?;
            return tell(context, |profile| profile.takedown = reference);
        }
        Subject::Record(path) => {
            context.account.take_record_down(&parse_path(path)?, reference.as_deref())?
        }
        Subject::Blob(cid) => {
            let now = context.clock.now_micros();
            context.account.take_blob_down(&parse_cid(cid)?, reference.as_deref(), now)?
        }
    };
    if found || lifts { Response::json(&SubjectStatus::default()) } else { Err(not_found()) }
}

fn parse_path(text: &str) -> Result<RepoPath, XrpcError> {
    RepoPath::parse(text).map_err(|_| XrpcError::invalid("uri must name a record"))
}

fn parse_cid(text: &str) -> Result<Cid, XrpcError> {
    Cid::try_from(text).map_err(|_| XrpcError::invalid("blob must be a valid cid"))
}

/// The answer for a subject that this account does not have.
fn not_found() -> XrpcError {
    XrpcError::named("NotFound", "Subject not found")
}
