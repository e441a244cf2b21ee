//! What the Worker asks of an object for the methods that hang on mail.

use murmuration_account::Purpose;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::XrpcError;
use crate::agent::{Context, check_standing};
use crate::http::Response;
use crate::method::Standing;

/// A call of the Worker.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MailCall {
    /// Make a code, for a letter to the account's address.
    IssueCode {
        /// What for.
        purpose: Purpose,
        /// Whether an account that is taken down may have one, too.
        even_takendown: bool,
    },
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
