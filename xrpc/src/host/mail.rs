//! Letters with codes, and the methods that ask for one.

use murmuration_account::Purpose;
use murmuration_platform::{Letter, Mailer};
use murmuration_syntax::Did;
use serde_json::json;

use super::signup::{may_have_mail, unsupported_address};
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::InternalCall;
use crate::agent::internal::mail::{IssuedCode, MailCall};
use crate::http::Response;

impl Host<'_> {
    /// Sends a code for `purpose` to the address of an account. [`murmuration_account::Account::check_code`] takes it back.
    ///
    /// # Errors
    /// `InvalidRequest` when this host sends no mail or the account has no address, `AccountTakedown` unless
    /// `even_takendown`; `UpstreamFailure` when the letter was not taken.
    pub async fn send_code(
        &self,
        did: &Did,
        purpose: Purpose,
        even_takendown: bool,
    ) -> Result<(), XrpcError> {
        // Before a code is made that nobody would read.
        let mailer = self.mailer()?;
        let issued = self.issue(did, purpose, even_takendown).await?;
        self.mail(mailer, purpose, issued).await
    }

    /// The way to send letters.
    ///
    /// # Errors
    /// `InvalidRequest` when there is none.
    pub(super) fn mailer(&self) -> Result<&dyn Mailer, XrpcError> {
        self.mailer.ok_or_else(no_mail)
    }

    /// Has an account make a code.
    pub(super) async fn issue(
        &self,
        did: &Did,
        purpose: Purpose,
        even_takendown: bool,
    ) -> Result<IssuedCode, XrpcError> {
        let call = InternalCall::Mail(MailCall::IssueCode { purpose, even_takendown });
        agents::read(&self.agents.call(did, call).await?)
    }

    /// Mails a code.
    pub(super) async fn mail(
        &self,
        mailer: &dyn Mailer,
        purpose: Purpose,
        issued: IssuedCode,
    ) -> Result<(), XrpcError> {
        let sent = mailer.send(letter(&self.config.hostname, purpose, issued)).await;
        sent.map_err(|error| XrpcError::upstream("The letter could not be sent").because(error))
    }

    /// `agent.host.issueCode`: a code for the operator to hand over, where no letter does.
    pub(crate) async fn issue_by_hand(&self, input: &Args) -> Result<Response, XrpcError> {
        let did: Did = input.parsed("did")?;
        let purpose = input.text("purpose").and_then(Purpose::parse);
        let purpose = purpose.ok_or_else(|| XrpcError::invalid("purpose is not one that a code is for"))?;
        let issued = self.issue(&did, purpose, true).await?;
        if purpose == Purpose::ResetPassword {
            self.directory.note_reset(&did, &issued.code).await?;
        }
        Response::json(&json!({ "code": issued.code }))
    }

    /// `com.atproto.server.requestEmailConfirmation`
    pub(crate) async fn request_email_confirmation(&self, call: &HostCall) -> Result<Response, XrpcError> {
        self.send_code(&call.caller.claims()?.sub, Purpose::ConfirmEmail, false).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.server.requestEmailUpdate`: an address that is not confirmed may be changed without a code.
    pub(crate) async fn request_email_update(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let did = &call.caller.claims()?.sub;
        let required = match self.weigh_update(did, None).await {
            Ok(()) => false,
            Err(error) if error.error() == "TokenRequired" => {
                self.send_code(did, Purpose::UpdateEmail, false).await?;
                true
            }
            Err(error) => return Err(error),
        };
        Response::json(&json!({ "tokenRequired": required }))
    }

    /// `com.atproto.server.updateEmail`
    pub(crate) async fn update_email(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let did = &call.caller.claims()?.sub;
        let email = call.input.text("email").unwrap_or_default();
        if !may_have_mail(self.config, email) {
            return Err(unsupported_address());
        }
        let code = call.input.text("token").map(str::to_owned);
        // Before the directory enters an address that somebody without a code wants.
        self.weigh_update(did, code.clone()).await?;
        let set = |email| InternalCall::Mail(MailCall::SetEmail { email, code });
        self.change_address(did, email, set).await?;
        Ok(Response::empty())
    }

    async fn weigh_update(&self, did: &Did, code: Option<String>) -> Result<(), XrpcError> {
        agents::tell(self.agents, did, InternalCall::Mail(MailCall::WeighUpdate { code })).await
    }
}

/// The answer where a letter would be sent and this host sends none.
pub(super) fn no_mail() -> XrpcError {
    XrpcError::invalid("This server sends no mail. Ask its operator for a code.")
}

/// The letter that brings a code.
fn letter(host: &str, purpose: Purpose, issued: IssuedCode) -> Letter {
    let (subject, asks) = match purpose {
        Purpose::ConfirmEmail => ("Confirm your e-mail address", "to confirm that this address is yours"),
        Purpose::UpdateEmail => ("Change your e-mail address", "to change the address of your account"),
        Purpose::ResetPassword => ("Reset your password", "to set a new password"),
        Purpose::DeleteAccount => ("Delete your account", "to delete your account for good"),
        Purpose::PlcOperation => (
            "Sign a change of your identity",
            "to sign a change of your identity, such as a move to another host",
        ),
    };
    let IssuedCode { code, handle, email } = issued;
    let text = format!(
        "Hello @{handle},\n\nyou asked {host} {asks}. The code for it is\n\n    {code}\n\n\
         It works once, within 15 minutes. Never tell it to anybody who asks for it.\n\
         If it was not you who asked, do nothing: without the code nothing changes.\n"
    );
    Letter { to: email, subject: format!("{subject} ({host})"), text, purpose: purpose.name() }
}
