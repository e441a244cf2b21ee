//! Changes of an account's handle, and of its DID document: `com.atproto.identity.updateHandle`.
//!
//! ```text
//!  directory: take the handle ──> DID document ──> object: handle, event ──> directory: free the old handle
//!       │ drop                        │ put back        │
//!       └─────────────────────────────┴─────────────────┴─── undone from the right when a later step fails
//! ```
//!
//! The order has reasons. No event is sequenced before the document claims the handle, so that whoever resolves it at once
//! finds it. And from the first step to the last both handles lead to the account, so that none of those who look at it
//! meanwhile sees a handle that does not resolve.
//!
//! When the Worker itself dies in between, or it cannot be known what a step has done, the row of the directory keeps the
//! change. Whoever looks for either handle when nobody can still be working on it settles it: it is completed if the
//! document or the object has the new handle, and dropped otherwise.

use murmuration_bridge::BridgeError;
use murmuration_bridge::handle::Refusal;
use murmuration_bridge::plc::Operation;
use murmuration_bridge::resolver::Purpose;
use murmuration_syntax::{Did, Handle};

use super::directory::{Change, Claim, Entry};
use super::signup::handle_refused;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::internal::{Description, IdentityCall, InternalCall};
use crate::http::Response;

/// Why an identity was not changed.
pub(super) struct Unpublished {
    /// What the caller is told.
    pub(super) error: XrpcError,
    /// Whether it is certain that all is as it was.
    pub(super) certain: bool,
}

impl Host<'_> {
    /// `com.atproto.identity.updateHandle`
    pub(crate) async fn update_handle(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let did = call.caller.claims()?.sub.clone();
        let handle: Handle = call.input.parsed("handle")?;
        match self.user_domains().check(&handle) {
            // Somebody's own domain, where no word is reserved.
            Ok(()) | Err(Refusal::UnsupportedDomain) => {}
            Err(refusal) => return Err(handle_refused(refusal)),
        }
        self.config.refused_words.check_handle(handle.as_str())?;
        self.change_handle(&did, &handle).await?;
        Ok(Response::empty())
    }

    /// Gives an account another handle, everywhere or nowhere; the same handle again makes its document right and tells
    /// the world once more. Reserved and refused words are the caller's to judge.
    ///
    /// # Errors
    /// `InvalidHandle`, `HandleNotAvailable`, `RepoNotFound` and `InvalidRequest` when nothing was done, `UpstreamFailure`
    /// when another host did not do its part.
    pub async fn change_handle(&self, did: &Did, handle: &Handle) -> Result<(), XrpcError> {
        self.check_domain(did, handle).await?;
        let change = self.begin_change(did, handle).await?;
        match self.change_begun(did, handle).await {
            Ok(()) => {
                self.end_change(did, &change).await;
                Ok(())
            }
            Err(Unpublished { error, certain }) => {
                if certain {
                    // If this fails, the next look settles it.
                    let _ = self.directory.drop_change(did, &change).await;
                }
                Err(error)
            }
        }
    }

    /// The steps between the directory's two.
    async fn change_begun(&self, did: &Did, handle: &Handle) -> Result<(), Unpublished> {
        let account = match agents::describe(self.agents, did, false).await {
            Ok(Some(account)) => account,
            Ok(None) => return Err(Unpublished::certainly(XrpcError::repo_not_found(did))),
            Err(error) => return Err(Unpublished::certainly(error)),
        };
        self.publish_handle(&account, handle).await?;
        let Err(error) = self.tell_handle(did, handle).await else { return Ok(()) };
        match agents::describe(self.agents, did, false).await {
            // Its answers were lost, and the handle is set.
            Ok(Some(now)) if now.handle == *handle && account.handle != *handle => Ok(()),
            Ok(_) => {
                let certain = self.publish_handle(&account, &account.handle).await.is_ok();
                Err(Unpublished { error, certain })
            }
            Err(_) => Err(Unpublished { error, certain: false }),
        }
    }

    /// Checks that a handle is one of the host's to give, or one that its owner has pointed at the account.
    pub(super) async fn check_domain(&self, did: &Did, handle: &Handle) -> Result<(), XrpcError> {
        if handle.as_str() == self.config.hostname {
            return Err(handle_refused(Refusal::Reserved));
        }
        match self.user_domains().check_form(handle) {
            Ok(_) => return Ok(()),
            Err(Refusal::UnsupportedDomain) => {}
            Err(refusal) => return Err(handle_refused(refusal)),
        }
        match self.resolver().handle(handle, Purpose::Refresh).await {
            Ok(found) if found == *did => Ok(()),
            Err(error) if error.is_transient() => {
                Err(XrpcError::upstream(format!("{handle} could not be resolved: {error}")))
            }
            _ => Err(XrpcError::invalid("External handle did not resolve to DID")),
        }
    }

    /// Takes a handle for an account, from an abandoned reservation or a dead change if need be.
    pub(super) async fn begin_change(&self, did: &Did, handle: &Handle) -> Result<Change, XrpcError> {
        for _ in 0..CLAIM_ATTEMPTS {
            let change = Change { handle: handle.clone(), since_millis: self.now_millis() };
            let claim = match self.directory.begin_change(did, &change).await {
                Ok(claim) => claim,
                Err(error) => {
                    // It may have been made. If this fails too, the next look settles it.
                    let _ = self.directory.drop_change(did, &change).await;
                    return Err(error.into());
                }
            };
            let (entry, refusal) = match claim {
                Claim::Made => return Ok(change),
                Claim::NoAccount => return Err(XrpcError::repo_not_found(did)),
                Claim::Taken(entry) => {
                    (entry, XrpcError::named("HandleNotAvailable", format!("Handle already taken: {handle}")))
                }
                Claim::Busy(entry) => (
                    entry,
                    XrpcError::invalid("A change of this identity is under way: try again in five minutes"),
                ),
            };
            if !self.reclaim(&entry).await {
                return Err(refusal);
            }
        }
        Err(XrpcError::internal("the handle was taken again and again"))
    }

    /// Makes the handle that was taken the account's own. If the directory is away, the next look does it.
    pub(super) async fn end_change(&self, did: &Did, change: &Change) {
        if self.directory.finish_change(did, change).await.is_err() {
            let _ = self.directory.finish_change(did, change).await;
        }
        self.resolver().forget(did);
    }

    /// Completes or drops a change that died. One that may be alive is left alone.
    pub(super) async fn settle_change(&self, entry: &Entry) -> Result<(), XrpcError> {
        let did = &entry.did;
        let Some(change) = entry.change.as_ref().filter(|change| change.is_dead(self.now_millis())) else {
            return Ok(());
        };
        let begun = match agents::describe(self.agents, did, false).await? {
            Some(account) => {
                account.handle == change.handle || self.document_claims(did, &change.handle).await?
            }
            None => false,
        };
        if begun {
            self.tell_handle(did, &change.handle).await?;
            self.directory.finish_change(did, change).await?;
        } else {
            self.directory.drop_change(did, change).await?;
        }
        Ok(())
    }

    /// Whether this host has made the document claim the handle. It changes no document but those of did:plc.
    async fn document_claims(&self, did: &Did, handle: &Handle) -> Result<bool, XrpcError> {
        if did.method() != "plc" {
            return Ok(false);
        }
        let verified = self.resolver().plc().audited(did).await.map_err(|error| unreadable(&error))?;
        Ok(verified.state.and_then(|state| state.handle()).as_ref() == Some(handle))
    }

    /// Has the object go by the handle and say so.
    async fn tell_handle(&self, did: &Did, handle: &Handle) -> Result<(), XrpcError> {
        self.tell(did, || IdentityCall::SetHandle { handle: handle.clone() }).await
    }

    /// Tells an object of a change, and once more if there is no good answer: that does no harm, and a change lost to one
    /// lost packet would.
    pub(super) async fn tell(&self, did: &Did, call: impl Fn() -> IdentityCall) -> Result<(), XrpcError> {
        match agents::tell(self.agents, did, InternalCall::Identity(call())).await {
            Ok(()) => Ok(()),
            Err(_) => agents::tell(self.agents, did, InternalCall::Identity(call())).await,
        }
    }

    /// Makes the account's document claim the handle, or sees that it does.
    async fn publish_handle(&self, account: &Description, handle: &Handle) -> Result<(), Unpublished> {
        let did = &account.did;
        if did.method() != "plc" {
            return self.web_claims(account, handle).await.map_err(Unpublished::certainly);
        }
        let verified = self.resolver().plc().audited(did).await;
        let verified = verified.map_err(|error| Unpublished::certainly(unreadable(&error)))?;
        let ended = || Unpublished::certainly(XrpcError::invalid("The DID has been deactivated"));
        let state = verified.state.ok_or_else(ended)?;
        if state.handle().as_ref() == Some(handle) {
            return Ok(());
        }
        let (keys, signer) = (state.rotation_keys.clone(), &self.config.plc_rotation_key);
        let operation = Operation::update(&verified.tip, state.with_handle(handle), signer)
            .map_err(|error| Unpublished::certainly(XrpcError::invalid(error.to_string())))?;
        if operation.signer(&keys).is_none() {
            return Err(Unpublished::certainly(XrpcError::invalid(
                "This host's key is not among the rotation keys of the DID: it cannot change the document",
            )));
        }
        self.publish(did, &operation).await
    }

    /// Gives an operation that was judged to the PLC directory.
    pub(super) async fn publish(&self, did: &Did, operation: &Operation) -> Result<(), Unpublished> {
        let plc = self.resolver().plc();
        let error = match plc.submit(did, operation).await {
            Ok(()) => {
                self.resolver().forget(did);
                return Ok(());
            }
            Err(error) => error,
        };
        match (&error, plc.tip(did).await) {
            (_, Ok(Some(tip))) if tip == operation.cid() => {
                self.resolver().forget(did);
                Ok(())
            }
            (BridgeError::Refused(_), _) => {
                Err(Unpublished::certainly(XrpcError::invalid(error.to_string())))
            }
            (_, tip) => Err(Unpublished {
                error: XrpcError::upstream("The PLC directory could not be reached"),
                certain: tip.is_ok(),
            }),
        }
    }

    /// Sees that a document which this host cannot change claims the handle: one of a did:web. A document that is what
    /// this host says of the account is served here, and follows by itself.
    async fn web_claims(&self, account: &Description, handle: &Handle) -> Result<(), XrpcError> {
        if self.states_document_of(&account.did) {
            return Ok(());
        }
        match self.resolver().document(&account.did, Purpose::Refresh).await {
            Ok(document) if document.handle().as_ref() == Some(handle) => Ok(()),
            Ok(document) if *document == self.stated_document(account).await? => Ok(()),
            Ok(_) => Err(XrpcError::invalid("DID is not properly configured for handle")),
            Err(error) => Err(XrpcError::upstream(format!("Could not resolve DID: {error}"))),
        }
    }
}

impl Unpublished {
    pub(super) const fn certainly(error: XrpcError) -> Self {
        Self { error, certain: true }
    }
}

/// The error of a log that could not be had, or does not verify.
pub(super) fn unreadable(error: &BridgeError) -> XrpcError {
    match error {
        BridgeError::DidNotFound(_) => XrpcError::invalid("The PLC directory does not know the DID"),
        error if error.is_transient() => XrpcError::upstream("The PLC directory could not be reached"),
        error => XrpcError::upstream(format!("The PLC directory's log of the DID does not verify: {error}")),
    }
}

/// How often a handle is asked for: once, and once more for each of a row and a change that were in the way.
const CLAIM_ATTEMPTS: usize = 3;
