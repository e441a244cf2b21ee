//! Names and documents: `com.atproto.identity.resolveHandle`, `resolveDid`, `resolveIdentity` and `refreshIdentity`.
//!
//! What this host decides itself (its own accounts, the handles under its domains) it answers from its directory, so that
//! none of it depends on anybody else; the rest it asks of DNS, HTTPS and the PLC directory, or for a handle that is only to be
//! shown of the AppView, where there is one.

use murmuration_bridge::resolver::Purpose;
use murmuration_bridge::{BridgeError, Document};
use murmuration_syntax::{AtIdentifier, Did, Handle};
use serde_json::{Value as Json, json};

use super::Host;
use super::directory::Status;
use crate::XrpcError;
use crate::agent::Args;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.identity.resolveHandle`
    pub(crate) async fn resolve_handle(&self, params: &Args) -> Result<Response, XrpcError> {
        let handle = Handle::parse(params.text("handle").unwrap_or_default())
            .map_err(|error| XrpcError::invalid(error.to_string()))?;
        Response::json(&json!({ "did": self.did_of(&handle, Purpose::Display).await? }))
    }

    /// `com.atproto.identity.resolveDid`
    pub(crate) async fn resolve_did(&self, params: &Args) -> Result<Response, XrpcError> {
        let document = self.document_of(&params.parsed("did")?, Purpose::Display).await?;
        Response::json(&json!({ "didDoc": document.json() }))
    }

    /// `com.atproto.identity.resolveIdentity` and `refreshIdentity`, by what the answer is for.
    pub(crate) async fn identity(&self, args: &Args, purpose: Purpose) -> Result<Response, XrpcError> {
        let asked: AtIdentifier = args.parsed("identifier")?;
        let did = match &asked {
            AtIdentifier::Did(did) => did.clone(),
            AtIdentifier::Handle(handle) => self.did_of(handle, purpose).await?,
        };
        let document = self.document_of(&did, purpose).await?;
        let handle = match (document.handle(), &asked) {
            (Some(claimed), AtIdentifier::Handle(asked)) if claimed == *asked => claimed,
            // A handle counts when it leads back to the document that claims it.
            (Some(claimed), _) if self.did_of(&claimed, purpose).await.is_ok_and(|found| found == did) => {
                claimed
            }
            _ => Handle::invalid(),
        };
        Response::json(&json!({ "did": did, "handle": handle, "didDoc": document.json() }))
    }

    /// The DID that a handle leads to.
    async fn did_of(&self, handle: &Handle, purpose: Purpose) -> Result<Did, XrpcError> {
        let own = self.own_did(handle).await?;
        let governed = self.user_domains().govern(handle);
        let own = match (own, governed, purpose) {
            (Some(did), true, _) | (Some(did), _, Purpose::Display) => return Ok(did),
            (None, true, _) => return Err(unresolved()),
            (None, false, Purpose::Display) if self.config.appview.is_some() => {
                return self.appview_did(handle).await;
            }
            // Somebody's own domain, which may point elsewhere by now.
            (own, false, _) => own,
        };
        match (self.resolver().handle(handle, purpose).await, own) {
            (Ok(did), _) => Ok(did),
            (Err(error), Some(did)) if error.is_transient() => Ok(did),
            (Err(BridgeError::HandleNotFound), _) => Err(unresolved()),
            // The name may exist: no answer, or a contradictory one, is not the lexicon's HandleNotFound.
            (Err(_), _) => Err(XrpcError::invalid("Unable to resolve handle")),
        }
    }

    /// The DID that the AppView has for a handle: it asks for handles all day, so that this host need not.
    async fn appview_did(&self, handle: &Handle) -> Result<Did, XrpcError> {
        let unknown = || XrpcError::invalid("Unable to resolve handle");
        let appview = self.config.appview.as_ref().ok_or_else(unknown)?;
        let params = [("handle", handle.to_string())];
        let asked = self.ask(appview, "com.atproto.identity.resolveHandle", &params, None).await;
        let answer = asked.ok().filter(|(status, _)| *status == 200).ok_or_else(unknown)?.1;
        answer.get("did").and_then(Json::as_str).and_then(|did| Did::parse(did).ok()).ok_or_else(unknown)
    }

    /// The document of a DID, or the lexicon's words for why there is none.
    async fn document_of(&self, did: &Did, purpose: Purpose) -> Result<Document, XrpcError> {
        self.document(did, purpose).await.map_err(|error| match error {
            BridgeError::DidDeactivated(_) => {
                XrpcError::named("DidDeactivated", format!("The DID has been deactivated: {did}"))
            }
            BridgeError::DidNotFound(_) => {
                XrpcError::named("DidNotFound", format!("There is no such DID: {did}"))
            }
            error if error.is_transient() => XrpcError::upstream(format!("Could not resolve DID: {error}")),
            error => XrpcError::invalid(format!("Could not resolve DID: {error}")),
        })
    }

    /// The DID of the account of this host that goes by a handle and may be found. One that is being made may: whoever
    /// learns of it from the firehose asks for its handle before the directory has heard that it is done.
    pub(super) async fn own_did(&self, handle: &Handle) -> Result<Option<Did>, XrpcError> {
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
