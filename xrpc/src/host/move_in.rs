//! `createAccount` with a DID that there is already: an account that moves in from another host.
//!
//! Who has the DID shows it by a service token for this very method, which the host that they leave makes for them. The
//! account begins deactivated, and no event tells of it: it is active elsewhere. Its repository is imported next, then its
//! DID document is changed, and `activateAccount` looks at that.
//!
//! Nothing here touches the DID. The directory's row is made deactivated, not reserved, so that nobody who clears it away
//! takes the DID for one that this host has made.

use murmuration_bridge::resolver::Purpose;
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json};

use super::create_account::already_exists;
use super::directory::Status;
use super::signup::Signup;
use super::{Host, agents};
use crate::XrpcError;
use crate::auth::Caller;
use crate::http::Response;

impl Host<'_> {
    /// Makes the account of a DID that its owner brings.
    pub(super) async fn move_in(
        &self,
        caller: &Caller,
        did: &Did,
        signup: &Signup,
    ) -> Result<Response, XrpcError> {
        if *caller != Caller::Service(did.clone()) {
            return Err(XrpcError::auth_required(format!("Missing auth to create account with did: {did}")));
        }
        if !self.gives_out(&signup.handle)? {
            self.check_domain(did, &signup.handle).await?;
        }
        // The directory may have lost it, and the object must not be emptied when the account cannot be made.
        if agents::describe(self.agents, did, false).await?.is_some() {
            return Err(already_exists(did));
        }
        let document = self.resolver().document(did, Purpose::Refresh).await.ok();
        let published = document.as_ref().and_then(|document| document.signing_key().ok());
        let published = published.map(|key| key.did_key());
        let reserved = self.reserved_key(did, published.as_deref()).await?;
        let signing_key = match &reserved {
            Some(key) => key.clone(),
            None => SigningKey::generate(Curve::K256, |bytes| self.entropy.fill(bytes))
                .map_err(XrpcError::internal)?,
        };
        self.reserve(did, signup, Status::Deactivated).await?;
        let seed = self.seed(did, signup, &signing_key, true);
        let session = match agents::create(self.agents, seed).await {
            Ok(session) => session,
            Err(error) => {
                // If its object cannot be emptied, the names stay, for it may be alive.
                if agents::destroy(self.agents, did).await.is_ok() {
                    let _ = self.release(did).await;
                }
                return Err(XrpcError::internal(error));
            }
        };
        if reserved.is_some() {
            // If this fails, it goes when it has waited too long.
            let _ = self.release_key(&signing_key).await;
        }
        let mut answer = Map::new();
        answer.insert("handle".into(), signup.handle.as_str().into());
        answer.insert("did".into(), did.as_str().into());
        if let Some(document) = document {
            answer.insert("didDoc".into(), document.json().clone());
        }
        answer.insert("accessJwt".into(), session.access_jwt.into());
        answer.insert("refreshJwt".into(), session.refresh_jwt.into());
        Response::json(&Json::Object(answer))
    }
}
