//! `com.atproto.server.confirmEmail`

use murmuration_account::Purpose;

use super::{Call, Context, Reply};
use crate::XrpcError;
use crate::http::Response;

/// `com.atproto.server.confirmEmail`
pub fn confirm_email(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let profile = context.account.profile()?;
    let email = call.input.text("email").unwrap_or_default().to_lowercase();
    if profile.email.as_deref() != Some(&email) {
        return Err(XrpcError::named("InvalidEmail", "invalid email"));
    }
    let code = (Purpose::ConfirmEmail, call.input.text("token").unwrap_or_default());
    let now = context.clock.now_micros();
    context.account.edit_by_code(code, now, |profile| profile.email_confirmed = true)?;
    Ok(Reply::Now(Response::empty()))
}
