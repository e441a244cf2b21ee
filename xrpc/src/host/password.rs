//! A new password without the old: `com.atproto.server.requestPasswordReset` and `resetPassword`.
//!
//! Whoever has forgotten the password shows nothing but a code, so the directory notes whose it is. The object judges it.

use murmuration_account::Purpose;

use super::signup::check_new_password;
use super::{Host, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::InternalCall;
use crate::agent::internal::mail::MailCall;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.server.requestPasswordReset`. The answer is the same whether there is such an account or not.
    pub(crate) async fn request_password_reset(&self, input: &Args) -> Result<Response, XrpcError> {
        let mailer = self.mailer()?;
        let email = input.text("email").unwrap_or_default().trim().to_lowercase();
        let Some(entry) = self.directory.by_email(&email).await? else { return Ok(Response::empty()) };
        let issued = match self.issue(&entry.did, Purpose::ResetPassword, true).await {
            Ok(issued) => issued,
            // Its names are taken, and it is not made yet, or has just been deleted.
            Err(error) if error.error() == "RepoNotFound" => return Ok(Response::empty()),
            Err(error) => return Err(error),
        };
        // The object knows the address: what the directory says may be a change that died.
        if issued.email != email {
            return Ok(Response::empty());
        }
        self.directory.note_reset(&entry.did, &issued.code).await?;
        self.mail(mailer, Purpose::ResetPassword, issued).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.server.resetPassword`: every session ends with the old password.
    pub(crate) async fn reset_password(&self, input: &Args) -> Result<Response, XrpcError> {
        let text = |name| input.text(name).unwrap_or_default().to_owned();
        let (code, password) = (text("token"), text("password"));
        check_new_password(&password)?;
        let unknown = || XrpcError::named("InvalidToken", "Token is invalid");
        let did = self.directory.by_reset(&code).await?.ok_or_else(unknown)?;
        let call = InternalCall::Mail(MailCall::ResetPassword { code, password });
        let reset = agents::tell(self.agents, &did, call).await;
        reset.map_err(|error| if error.error() == "RepoNotFound" { unknown() } else { error })?;
        // It is used up in the object; if this fails, it points there in vain.
        let _ = self.directory.forget_reset(&did).await;
        Ok(Response::empty())
    }
}
