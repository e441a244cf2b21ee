//! Letters with codes, and the methods that ask for one.

use murmuration_account::Purpose;
use murmuration_platform::Letter;
use murmuration_syntax::Did;

use super::{Host, agents};
use crate::XrpcError;
use crate::agent::internal::InternalCall;
use crate::agent::internal::mail::{IssuedCode, MailCall};

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
        let mailer = self.mailer.ok_or_else(no_mail)?;
        let call = InternalCall::Mail(MailCall::IssueCode { purpose, even_takendown });
        let issued: IssuedCode = agents::read(&self.agents.call(did, call).await?)?;
        let letter = letter(&self.config.hostname, purpose, issued);
        let sent = mailer.send(letter).await;
        sent.map_err(|error| XrpcError::upstream("The letter could not be sent").because(error))
    }
}

/// The answer where a letter would be sent and this host sends none.
pub(super) fn no_mail() -> XrpcError {
    XrpcError::invalid("This server sends no mail. Its operator can help.")
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
