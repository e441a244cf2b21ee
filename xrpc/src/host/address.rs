//! Changes of an account's e-mail address: in the directory, where no two accounts may have the same, and in its object.
//!
//! The directory comes first, because it is what can refuse. When the object does not do its part, the directory is put
//! back; when it cannot be known what the object has done, what it says afterwards decides. Whoever repeats the call repairs
//! what is left.

use murmuration_syntax::Did;

use super::Host;
use super::directory::Address;
use super::signup::{is_email, unsupported_address};
use crate::XrpcError;
use crate::agent::internal::operator::{AccountView, OperatorCall};

impl Host<'_> {
    /// Gives an account another address, which is not confirmed by that unless the caller knows. Codes that were sent to the
    /// old one are void.
    ///
    /// # Errors
    /// `InvalidRequest` for an address that is none, or another account's; `NotFound` when there is no such account.
    pub(super) async fn change_address(
        &self,
        did: &Did,
        typed: &str,
        confirmed: bool,
    ) -> Result<(), XrpcError> {
        if !is_email(typed) {
            return Err(unsupported_address());
        }
        let email = typed.to_lowercase();
        self.claim_address(did, &email).await?;
        let call = OperatorCall::SetEmail { email: email.clone(), confirmed };
        let Err(error) = self.operate::<AccountView>(did, call).await else { return Ok(()) };
        let before = match self.operate::<AccountView>(did, OperatorCall::View).await {
            Ok(view) if view.email.as_deref() == Some(&email) => return Ok(()),
            Ok(view) => view.email,
            Err(_) => return Err(error),
        };
        // If this fails too, the directory knows an address that the account does not have, until the call is repeated.
        let _ = self.directory.set_email(did, before.as_deref()).await;
        Err(error)
    }

    /// Enters an address in the directory, from an abandoned reservation if need be.
    async fn claim_address(&self, did: &Did, email: &str) -> Result<(), XrpcError> {
        for _ in 0..CLAIM_ATTEMPTS {
            match self.directory.set_email(did, Some(email)).await? {
                Address::Set => return Ok(()),
                Address::NoAccount => return Err(XrpcError::named("NotFound", "Account not found")),
                Address::Taken(entry) if self.reclaim(&entry).await => {}
                Address::Taken(_) => {
                    let message = "This email address is already in use, please use a different email.";
                    return Err(XrpcError::invalid(message));
                }
            }
        }
        Err(XrpcError::internal("the address was taken again and again"))
    }
}

/// How often an address is asked for: once, and once more for a reservation that was in the way.
const CLAIM_ATTEMPTS: usize = 2;
