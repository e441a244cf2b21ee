//! `agent.identity.rotateKeys`: the next epoch of an agent's keys, and the DID document that follows it.
//!
//! ```text
//!  object: epoch, record, note that the document is to follow ──> DID document: #agent_enc ──> object: the note goes
//! ```
//!
//! The epoch holds from the first step on. When a later one fails, the alarm of the object does it again until it is done
//! ([`Host::name_keys`]); until then the next rotation is refused.

use murmuration_syntax::Did;
use serde_json::json;

use super::handle::Unpublished;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::internal::{AgencyCall, InternalCall, Rotated, Unnamed};
use crate::http::Response;

impl Host<'_> {
    /// `agent.identity.rotateKeys`
    pub(crate) async fn rotate_keys(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let account =
            call.account.as_ref().ok_or_else(|| XrpcError::internal("the standing was not checked"))?;
        let did = &account.did;
        // An account that is no agent has nothing of its keys in its document.
        let follow = self.directory.agent(did).await?.is_some_and(|row| !row.ended);
        let rotate = || {
            let reason = call.input.text("reason").map(str::to_owned);
            InternalCall::Agency(AgencyCall::Rotate { reason, follow })
        };
        let rotated = match agents::ask(self.agents, did, rotate()).await {
            // What the last has left undone is done first, if it can be by now.
            Err(error) if error.error() == "RotationInProgress" && follow => {
                self.name_keys(did).await.map_err(|_| error)?;
                agents::ask(self.agents, did, rotate()).await
            }
            other => other,
        };
        let Rotated { epoch, pending } = rotated?;
        let mut answer = json!({ "epoch": epoch, "pending": pending });
        if follow && let Some(fields) = answer.as_object_mut() {
            // The alarm goes on with it.
            let failed = self.name_keys(did).await.is_err();
            fields.insert("documentPending".into(), failed.into());
        }
        Response::json(&answer)
    }

    /// Has the DID document of an agent name the keys of its latest epoch, if a rotation has left that to be done. May be repeated.
    ///
    /// # Errors
    /// Why it is left to be done. A document that this host cannot change is given up: its owner knows what to write.
    pub async fn name_keys(&self, did: &Did) -> Result<(), XrpcError> {
        let ask = InternalCall::Agency(AgencyCall::Unnamed);
        let unnamed: Option<Unnamed> = agents::ask(self.agents, did, ask).await?;
        let Some(Unnamed { epoch, begun }) = unnamed else { return Ok(()) };
        let account = agents::describe(self.agents, did, false).await?;
        let account = account.ok_or_else(|| XrpcError::repo_not_found(did))?;
        // From here on the row keeps other changes away.
        let change = self.begin_change(did, &account.handle).await?;
        match self.enrol(did, &begun).await {
            Ok(_) => self.end_change(did, &change).await,
            Err(Unpublished { error, certain }) => {
                if certain {
                    // If this fails, the next look settles it.
                    let _ = self.directory.drop_change(did, &change).await;
                }
                if !certain || error.status() >= 500 {
                    return Err(error);
                }
            }
        }
        agents::tell(self.agents, did, InternalCall::Agency(AgencyCall::Named { epoch })).await
    }
}
