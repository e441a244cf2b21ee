//! What the Worker tells an account of its identity, after the outside has agreed.

use murmuration_account::{Notice, Purpose};
use murmuration_syntax::Handle;
use serde::{Deserialize, Serialize};

use crate::XrpcError;
use crate::agent::Context;
use crate::http::Response;

/// A change of who the account is.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentityCall {
    /// Go by this handle, and say so even if it is the old one.
    SetHandle {
        /// The handle.
        handle: Handle,
    },
    /// Note that the DID document is about to change: unless [`IdentityCall::DocumentChanged`] follows, the account says so by
    /// itself.
    DocumentChanging,
    /// Say that the DID document has changed.
    DocumentChanged,
    /// Use up the code that was mailed to have an operation signed.
    UsePlcCode {
        /// The code.
        code: String,
    },
}

/// Answers a call.
///
/// # Errors
/// What the Worker is to tell its caller.
pub(super) fn answer(context: &Context<'_>, call: IdentityCall) -> Result<Response, XrpcError> {
    let now = context.clock.now_micros();
    match call {
        IdentityCall::SetHandle { handle } => {
            context.account.edit(&[Notice::Handle], now, |profile| profile.handle = handle)?;
        }
        IdentityCall::DocumentChanging => context.account.document_changing(now)?,
        IdentityCall::DocumentChanged => {
            context.account.document_changed(now)?;
        }
        IdentityCall::UsePlcCode { code } => {
            context.account.check_code(Purpose::PlcOperation, &code, now)?;
        }
    }
    Ok(Response::empty())
}
