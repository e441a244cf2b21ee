//! What the Worker asks of an object for the methods that hang on mail.

use murmuration_account::{AccountError, Profile, Purpose};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::XrpcError;
use crate::agent::{Context, check_standing};
use crate::http::Response;
use crate::method::Standing;

/// A call of the Worker.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MailCall {
    /// Make a code, for a letter to the account's address.
    IssueCode {
        /// What for.
        purpose: Purpose,
        /// Whether an account that is taken down may have one, too.
        even_takendown: bool,
    },
    /// Say whether its owner may give the account another address.
    WeighUpdate {
        /// The code that its owner shows, if any. It goes on working.
        code: Option<String>,
    },
    /// Give the account another address, in lower case, for its owner: as [`MailCall::WeighUpdate`] judges it.
    SetEmail {
        /// The address.
        email: String,
        /// The code that its owner shows, if any. It is used up.
        code: Option<String>,
    },
    /// Set a new password, for a code; end every session.
    ResetPassword {
        /// The code.
        code: String,
        /// The password.
        password: String,
    },
    /// Delete the account. What is left of it goes afterwards; see [`crate::agent::ending`].
    Delete {
        /// What its owner shows; the operator needs nothing.
        proof: Option<DeletionProof>,
    },
}

/// What shows that an account's owner wants it deleted.
#[derive(Deserialize, Serialize)]
pub struct DeletionProof {
    /// The password.
    pub password: String,
    /// The code that was sent for it.
    pub code: String,
}

/// A code, and where it goes.
#[derive(Deserialize, Serialize)]
pub struct IssuedCode {
    /// The code: for the letter alone.
    pub code: String,
    /// The account's handle.
    pub handle: String,
    /// The account's address.
    pub email: String,
}

pub(super) fn answer(context: &Context<'_>, call: MailCall) -> Result<Response, XrpcError> {
    match call {
        MailCall::IssueCode { purpose, even_takendown } => issue_code(context, purpose, even_takendown),
        MailCall::WeighUpdate { code } => weigh_update(context, code.as_deref()),
        MailCall::SetEmail { email, code } => set_email(context, email, code.as_deref()),
        MailCall::ResetPassword { code, password } => reset_password(context, &code, &password),
        MailCall::Delete { proof } => delete(context, proof.as_ref()),
    }
}

fn issue_code(context: &Context<'_>, purpose: Purpose, even_takendown: bool) -> Result<Response, XrpcError> {
    let profile = context.account.profile()?;
    check_standing(if even_takendown { Standing::Any } else { Standing::NotTakendown }, &profile)?;
    let email = profile
        .email
        .as_deref()
        .ok_or_else(|| XrpcError::invalid("account does not have an email address"))?;
    let code = context.account.issue_code(purpose, context.entropy, context.clock.now_micros())?;
    Response::json(&json!({ "code": code, "handle": profile.handle, "email": email }))
}

fn weigh_update(context: &Context<'_>, code: Option<&str>) -> Result<Response, XrpcError> {
    let profile = context.account.profile()?;
    check_standing(Standing::NotTakendown, &profile)?;
    match code {
        Some(code) => {
            context.account.weigh_code(Purpose::UpdateEmail, code, context.clock.now_micros())?;
        }
        None if profile.email_confirmed => {
            return Err(XrpcError::named("TokenRequired", "confirmation token required"));
        }
        None => {}
    }
    Ok(Response::empty())
}

/// Judges once more: since the owner was told that it may, a code may have been used, or an address confirmed.
fn set_email(context: &Context<'_>, email: String, code: Option<&str>) -> Result<Response, XrpcError> {
    weigh_update(context, code)?;
    let now = context.clock.now_micros();
    let edit = |profile: &mut Profile| {
        profile.email_confirmed = false;
        profile.email = Some(email);
    };
    match code {
        Some(code) => context.account.edit_by_code((Purpose::UpdateEmail, code), now, edit)?,
        None => context.account.edit(&[], now, edit)?,
    };
    Ok(Response::empty())
}

fn reset_password(context: &Context<'_>, code: &str, password: &str) -> Result<Response, XrpcError> {
    context.account.reset_password(code, password, context.entropy, context.clock.now_micros())?;
    Ok(Response::empty())
}

fn delete(context: &Context<'_>, proof: Option<&DeletionProof>) -> Result<Response, XrpcError> {
    let now = context.clock.now_micros();
    if let Some(DeletionProof { password, code }) = proof {
        let right = match context.account.password_is(password) {
            Err(AccountError::Vacant) => false,
            other => other?,
        };
        if !right {
            return Err(XrpcError::auth_required("Invalid did or password"));
        }
        context.account.check_code(Purpose::DeleteAccount, code, now)?;
    }
    context.account.delete(now)?;
    Response::json(&json!({}))
}
