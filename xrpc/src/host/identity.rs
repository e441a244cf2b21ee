//! Names: `com.atproto.identity.resolveHandle` and `/.well-known/atproto-did`.

use murmuration_bridge::BridgeError;
use murmuration_bridge::resolver::Purpose;
use murmuration_syntax::{Did, Handle};
use serde_json::json;

use super::directory::Status;
use super::{Host, text};
use crate::XrpcError;
use crate::agent::Args;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.identity.resolveHandle`: this host's own accounts first, then DNS and HTTPS.
    pub(crate) async fn resolve_handle(&self, params: &Args) -> Result<Response, XrpcError> {
        let handle = Handle::parse(params.text("handle").unwrap_or_default())
            .map_err(|error| XrpcError::invalid(error.to_string()))?;
        let did = match self.own_did(&handle).await? {
            Some(did) => did,
            None if self.user_domains().govern(&handle) => return Err(unresolved()),
            None => match self.resolver().handle(&handle, Purpose::Display).await {
                Ok(did) => did,
                Err(BridgeError::HandleNotFound) => return Err(unresolved()),
                // The name may exist: no answer, or a contradictory one, is not the lexicon's HandleNotFound.
                Err(_) => return Err(XrpcError::invalid("Unable to resolve handle")),
            },
        };
        Response::json(&json!({ "did": did }))
    }

    /// `/.well-known/atproto-did`, by the `Host` header: the DID of the account that goes by that name.
    ///
    /// # Errors
    /// A fault of the directory.
    pub async fn well_known_did(&self, host: Option<&str>) -> Result<Response, XrpcError> {
        let name = host.unwrap_or_default();
        let name = name.rsplit_once(':').map_or(name, |(name, _port)| name);
        let did = match Handle::parse(name) {
            Ok(handle) => self.own_did(&handle).await?,
            Err(_) => None,
        };
        Ok(match did {
            Some(did) => text(200, "text/plain; charset=utf-8", did.as_str()),
            // Both media types are the reference server's.
            None => text(404, "text/html; charset=utf-8", "User not found"),
        })
    }

    /// The DID of the account of this host that goes by a handle and may be found. One that is being made may: whoever
    /// learns of it from the firehose asks for its handle before the directory has heard that it is done.
    async fn own_did(&self, handle: &Handle) -> Result<Option<Did>, XrpcError> {
        let mut entry = self.directory.by_handle(handle).await?;
        if let Some(found) = &entry
            && found.change.as_ref().is_some_and(|change| change.is_dead(self.now_millis()))
        {
            // If it cannot be settled now, both handles go on leading here.
            let _ = self.settle_change(found).await;
            entry = self.directory.by_handle(handle).await?;
        }
        Ok(entry
            .filter(|entry| matches!(entry.status, Status::Active | Status::Reserved))
            .map(|entry| entry.did))
    }
}

/// The lexicon's answer for a handle that resolves to no DID.
fn unresolved() -> XrpcError {
    XrpcError::named("HandleNotFound", "Unable to resolve handle")
}
