//! `com.atproto.server`: whether an account is served. `checkAccountStatus`, `activateAccount`, `deactivateAccount`.
//!
//! The directory and the object both know it. On the way up the directory goes first, so that a handle resolves when the
//! events tell of it; on the way down the object does. Each step may be repeated: a caller who was told of a failure calls
//! again.

use murmuration_bridge::BridgeError;
use murmuration_bridge::resolver::Purpose;
use murmuration_syntax::{Did, datetime};
use serde_json::json;

use super::directory::Status;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::internal::{Description, Holdings, InternalCall, SessionCall};
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.server.checkAccountStatus`
    pub(crate) async fn check_account_status(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let did = &call.caller.claims()?.sub;
        let held = self.holdings(did).await?;
        Response::json(&json!({
            "activated": held.activated,
            "validDid": self.check_document(did, &held.signing_key).await.is_ok(),
            "repoCommit": held.repo_commit,
            "repoRev": held.repo_rev,
            "repoBlocks": held.repo_blocks,
            "indexedRecords": held.indexed_records,
            "privateStateValues": held.private_state_values,
            "expectedBlobs": held.expected_blobs,
            "importedBlobs": held.imported_blobs,
        }))
    }

    /// `com.atproto.server.activateAccount`
    pub(crate) async fn activate_account(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let account =
            call.account.as_ref().ok_or_else(|| XrpcError::internal("the standing was not checked"))?;
        self.activate_described(account).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.server.deactivateAccount`
    pub(crate) async fn deactivate_account(&self, call: &HostCall) -> Result<Response, XrpcError> {
        // The lexicon wants a datetime. What lies before 1970 is in the past, as 1970 is.
        let moment = |text| datetime::micros(text).map(|micros| u64::try_from(micros).unwrap_or_default());
        let delete_after = call.input.text("deleteAfter").map(moment).transpose();
        let delete_after = delete_after.map_err(|error| XrpcError::invalid(error.to_string()))?;
        self.deactivate(&call.caller.claims()?.sub, delete_after).await?;
        Ok(Response::empty())
    }

    /// Serves an account from now on, if its DID document points here.
    pub(super) async fn activate(&self, did: &Did) -> Result<(), XrpcError> {
        let account = agents::describe(self.agents, did, false)
            .await?
            .ok_or_else(|| XrpcError::named("AccountNotFound", "user not found"))?;
        self.activate_described(&account).await
    }

    async fn activate_described(&self, account: &Description) -> Result<(), XrpcError> {
        let did = &account.did;
        self.check_document(did, &account.signing_key).await?;
        self.directory.set_own_status(did, Status::Active).await?;
        let call = InternalCall::Session(SessionCall::Activate);
        if let Err(error) = agents::tell(self.agents, did, call).await {
            if !account.active {
                // Best effort: the object decides, and its owner calls again.
                let _ = self.directory.set_own_status(did, Status::Deactivated).await;
            }
            return Err(error);
        }
        Ok(())
    }

    /// Serves an account no longer.
    pub(super) async fn deactivate(&self, did: &Did, delete_after: Option<u64>) -> Result<(), XrpcError> {
        let call = InternalCall::Session(SessionCall::Deactivate { delete_after });
        agents::tell(self.agents, did, call).await?;
        Ok(self.directory.set_own_status(did, Status::Deactivated).await?)
    }

    async fn holdings(&self, did: &Did) -> Result<Holdings, XrpcError> {
        agents::ask(self.agents, did, InternalCall::Session(SessionCall::Census)).await
    }

    /// Checks that a DID's document, as its authority has it now, names this host and the account's signing key, and that
    /// this host may change a did:plc.
    ///
    /// # Errors
    /// `InvalidRequest` for what is not so, in the reference server's words; 502 when the authority does not answer.
    async fn check_document(&self, did: &Did, signing_key: &str) -> Result<(), XrpcError> {
        let (pds, key) = if did.method() == "plc" {
            let verified = self.resolver().plc().verified(did).await.map_err(unresolved)?;
            let ended = || unresolved(BridgeError::DidDeactivated(did.clone()));
            let state = verified.state.ok_or_else(ended)?;
            if !state.rotation_keys.contains(&self.config.plc_rotation_key.did_key()) {
                return Err(XrpcError::invalid("Server rotation key not included in PLC DID data"));
            }
            let pds = state.services.get("atproto_pds").map(|service| service.endpoint.clone());
            (pds, state.verification_methods.get("atproto").cloned())
        } else {
            let document = self.resolver().document(did, Purpose::Refresh).await.map_err(unresolved)?;
            let pds = document.pds().ok().map(str::to_owned);
            (pds, document.signing_key().ok().map(|key| key.did_key()))
        };
        if pds.is_none_or(|pds| pds.trim_end_matches('/') != self.config.public_url) {
            return Err(XrpcError::invalid(
                "DID document atproto_pds service endpoint does not match PDS public url",
            ));
        }
        if key.as_deref() != Some(signing_key) {
            return Err(XrpcError::invalid(
                "DID document verification method does not match expected signing key",
            ));
        }
        // Whoever asks next is to see what was seen here.
        self.resolver().forget(did);
        Ok(())
    }
}

fn unresolved(error: BridgeError) -> XrpcError {
    match error.is_transient() {
        true => XrpcError::upstream("The DID could not be resolved"),
        false => XrpcError::invalid("Could not resolve DID"),
    }
}
