//! Changes of an account's e-mail address: in the directory, where no two accounts may have the same, and in its object.
//!
//! The directory comes first, because it is what can refuse. When the object does not do its part, the directory is put
//! back; when it cannot be known what the object has done, what it says afterwards decides. Whoever repeats the call repairs
//! what is left, and so does the account's next session.

use murmuration_syntax::Did;

use super::directory::{Address, Entry};
use super::{Host, agents};
use crate::XrpcError;
use crate::agent::internal::InternalCall;
use crate::agent::internal::operator::{AccountView, OperatorCall};

impl Host<'_> {
    /// Gives an account another address. `set` makes the call that has its object do so, which is asked last.
    ///
    /// # Errors
    /// `InvalidRequest` for another account's address, `NotFound` when there is no such account; what the object answers.
    pub(super) async fn change_address(
        &self,
        did: &Did,
        typed: &str,
        set: impl FnOnce(String) -> InternalCall,
    ) -> Result<(), XrpcError> {
        let email = typed.to_lowercase();
        self.claim_address(did, &email).await?;
        let Err(error) = agents::tell(self.agents, did, set(email.clone())).await else { return Ok(()) };
        let before = match self.operate::<AccountView>(did, OperatorCall::View).await {
            Ok(view) if view.email.as_deref() == Some(&email) => return Ok(()),
            Ok(view) => view.email,
            Err(_) => return Err(error),
        };
        // If this fails too, the directory knows an address that the account does not have, until its next session.
        let _ = self.directory.set_email(did, before.as_deref()).await;
        Err(error)
    }

    /// Has the directory know the address that the account has, `email`, where a change has died between the two. The object
    /// is right: letters go where it says, and nobody has shown a code for anything else. A change that is alive may meet
    /// this, so what the object says afterwards is entered, too. Another account that has taken the address keeps it.
    pub(super) async fn mend_address(&self, entry: &Entry, email: Option<&str>) {
        if entry.email.as_deref() == email {
            return;
        }
        // If this fails, the next session does it.
        let _ = self.directory.set_email(&entry.did, email).await;
        if let Ok(view) = self.operate::<AccountView>(&entry.did, OperatorCall::View).await
            && view.email.as_deref() != email
        {
            let _ = self.directory.set_email(&entry.did, view.email.as_deref()).await;
        }
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
