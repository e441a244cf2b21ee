//! The deletion of an account: `com.atproto.server.requestAccountDelete` and `deleteAccount`.
//!
//! The object does it, because the object goes last and its alarm goes on where a crash has left off; see
//! [`crate::agent::ending`].

use murmuration_account::Purpose;
use murmuration_syntax::Did;

use super::server::MAX_PASSWORD_CHARS;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::InternalCall;
use crate::agent::internal::mail::{DeletionProof, MailCall};
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.server.requestAccountDelete`
    pub(crate) async fn request_account_delete(&self, call: &HostCall) -> Result<Response, XrpcError> {
        self.send_code(&call.caller.claims()?.sub, Purpose::DeleteAccount, false).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.server.deleteAccount`
    pub(crate) async fn delete_own_account(&self, input: &Args) -> Result<Response, XrpcError> {
        let did: Did = input.parsed("did")?;
        let text = |name| input.text(name).unwrap_or_default().to_owned();
        let (password, code) = (text("password"), text("token"));
        if password.chars().count() > MAX_PASSWORD_CHARS {
            return Err(XrpcError::auth_required("Password too long. Consider resetting your password."));
        }
        self.end_account(&did, Some(DeletionProof { password, code })).await?;
        Ok(Response::empty())
    }

    /// Deletes an account, whatever it is: for its operator. When this succeeds the account is gone for everybody; what
    /// cannot be cleared away at once goes as soon as it can.
    ///
    /// # Errors
    /// `RepoNotFound` when the object holds no account.
    pub async fn delete_account(&self, did: &Did) -> Result<(), XrpcError> {
        self.end_account(did, None).await
    }

    async fn end_account(&self, did: &Did, proof: Option<DeletionProof>) -> Result<(), XrpcError> {
        agents::tell(self.agents, did, InternalCall::Mail(MailCall::Delete { proof })).await
    }
}
