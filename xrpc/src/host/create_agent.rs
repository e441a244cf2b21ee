//! `agent.identity.createAgent`: an agent in five places, or in none.
//!
//! ```text
//!  directory: key, names ──> PLC: genesis ──> object: account, keys, profile ──> PLC: did:cf ──> directory: agent, activate
//!       │ release               │ tombstone      │ delete
//!       └───────────────────────┴────────────────┴─── undone from the right when a later step fails
//! ```
//!
//! The did:cf comes in an operation of its own: its id follows from the DID, and the DID is the hash of the genesis. The account
//! has been announced by then, so undoing it is a deletion, which says so, and not a wiping.
//!
//! When the Worker itself dies in between, the names stay behind, as those of [`super::create_account`] do. Whoever asks again
//! under the same key when nobody can still be working on it has what there is completed, or begins anew.

use murmuration_bridge::CfDid;
use murmuration_bridge::handle::Refusal;
use murmuration_data::json as data;
use murmuration_firehose::Timestamp;
use murmuration_keys::SigningKey;
use murmuration_syntax::Did;
use serde_json::{Value as Json, json};

use super::agents::{self, FirstSession};
use super::directory::requests::Request;
use super::directory::{RESERVATION_MILLIS, Status};
use super::signup::{Signup, handle_refused};
use super::{Host, HostCall, private};
use crate::XrpcError;
use crate::agent::internal::{AgencyCall, Begun, InternalCall, profile_value};
use crate::auth::Caller;
use crate::http::Response;

/// An agent that is there.
struct Made {
    did: Did,
    alias: CfDid,
    session: FirstSession,
}

impl Host<'_> {
    /// `agent.identity.createAgent`
    pub(crate) async fn create_agent(&self, call: HostCall) -> Result<Response, XrpcError> {
        private(self.answer_agent(call).await)
    }

    async fn answer_agent(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let operator = call.caller == Caller::Admin;
        let signup = Signup::of_agent(self.config, &call.input, operator)?;
        if !self.gives_out(&signup.handle)? {
            return Err(handle_refused(Refusal::UnsupportedDomain));
        }
        let request = call.input.text("idempotencyKey").map(|key| {
            let asker = signup.invite.as_deref().filter(|_| !operator).unwrap_or_default();
            Request::new(&self.config.jwt_secret, asker, key, &call.input.clone().into_json().to_string())
        });
        let request = request.transpose()?;
        let custody = call.input.text("custody").map(str::to_owned);
        let profile = call.input.take("profile").map(|given| data::to_value(&given));
        let profile = self.profile_of(profile, custody.as_deref())?;
        let before = match &request {
            Some(request) => self.made_before(request, &profile).await?,
            None => None,
        };
        let Made { did, alias, session } = match before {
            Some(made) => made,
            None => self.make_agent(&signup, request.as_ref(), profile).await?,
        };
        Response::json(&json!({
            "did": did,
            "handle": signup.handle,
            "alias": alias.did(),
            "accessJwt": session.access_jwt,
            "refreshJwt": session.refresh_jwt,
        }))
    }

    async fn make_agent(
        &self,
        signup: &Signup,
        request: Option<&Request>,
        profile: Json,
    ) -> Result<Made, XrpcError> {
        if let Some(did) = &signup.did {
            self.check_vacant(did).await?;
        }
        let (signing_key, did, genesis) = self.draw(signup)?;
        if let Some(request) = request
            && !self.directory.note_request(request, &did, self.now_millis()).await?
        {
            return Err(in_progress());
        }
        let made = match self.register(&did, signup, genesis.as_ref()).await {
            Ok(()) => self.install_agent(&did, signup, &signing_key, profile).await,
            Err(error) => Err(error),
        };
        // What is left behind is completed or cleared away under the key; a clean failure frees it at once.
        if let (Err(_), Some(request)) = (&made, request)
            && matches!(self.directory.by_did(&did).await, Ok(None))
        {
            let _ = self.directory.forget_request(request).await;
        }
        made
    }

    /// Makes the account in its object, and the agent of it; or undoes all.
    async fn install_agent(
        &self,
        did: &Did,
        signup: &Signup,
        signing_key: &SigningKey,
        profile: Json,
    ) -> Result<Made, XrpcError> {
        let seed = self.seed(did, signup, signing_key, false);
        let made = async {
            let session = agents::create(self.agents, seed).await.map_err(XrpcError::internal)?;
            let alias = self.complete(did, profile).await?;
            Ok(Made { did: did.clone(), alias, session })
        };
        let made = made.await;
        if made.is_err() {
            // If its object does not do it, its names and its DID stay, for it may be alive.
            match self.delete_account(did).await {
                Err(error) if error.error() != "RepoNotFound" => {}
                _ => self.undo_registration(did).await,
            }
        }
        made
    }

    /// Makes an account an agent, and enters both in the directory.
    async fn complete(&self, did: &Did, profile: Json) -> Result<CfDid, XrpcError> {
        let begin = AgencyCall::Begin { profile: Some(profile) };
        let begun: Begun = agents::ask(self.agents, did, InternalCall::Agency(begin)).await?;
        let alias = self.enrol(did, &begun).await.map_err(|unpublished| unpublished.error)?;
        self.activate_reserved(did).await?;
        Ok(alias)
    }

    /// What was made under a key, with another session; `None` if nothing was, or what was is gone.
    async fn made_before(&self, request: &Request, profile: &Json) -> Result<Option<Made>, XrpcError> {
        let now = self.now_millis();
        let Some(earlier) = self.directory.request(request, now).await? else { return Ok(None) };
        if earlier.asked != request.asked {
            let message = "Something else was asked for under this idempotencyKey";
            return Err(XrpcError::named("IdempotencyMismatch", message));
        }
        let did = earlier.did;
        let is_young = now.saturating_sub(earlier.at_millis) <= RESERVATION_MILLIS;
        match self.directory.by_did(&did).await? {
            None if is_young => return Err(in_progress()),
            None => {}
            Some(entry) if entry.status == Status::Reserved && !entry.is_settled(now) => {
                return Err(in_progress());
            }
            Some(entry) => match agents::describe(self.agents, &did, false).await? {
                Some(_) => {
                    let alias = match self.directory.agent(&did).await? {
                        Some(row) if entry.status != Status::Reserved => row.alias,
                        _ => self.complete(&did, profile.clone()).await?,
                    };
                    let session = InternalCall::Agency(AgencyCall::Session);
                    let session = agents::ask(self.agents, &did, session).await?;
                    return Ok(Some(Made { did, alias, session }));
                }
                None if self.reclaim(&entry).await => {}
                None => return Err(in_progress()),
            },
        }
        self.directory.forget_request(request).await?;
        Ok(None)
    }

    /// The profile of a new agent, which may have been given, as the lexicon wants it.
    fn profile_of(&self, given: Option<Json>, custody: Option<&str>) -> Result<Json, XrpcError> {
        if custody.is_some_and(|custody| !["hosted", "client"].contains(&custody)) {
            return Err(XrpcError::invalid("custody is neither hosted nor client"));
        }
        let mut profile = given.unwrap_or_else(|| json!({}));
        if let Some(fields) = profile.as_object_mut() {
            let now = Timestamp::from_micros(self.clock.now_micros()).to_string();
            fields.entry("createdAt").or_insert_with(|| now.into());
            let said = fields.entry("custody").or_insert_with(|| custody.unwrap_or("hosted").into());
            if custody.is_some_and(|custody| said != custody) {
                return Err(XrpcError::invalid("custody is not what the profile says"));
            }
        }
        profile_value(self.catalog, &profile)?;
        Ok(profile)
    }
}

fn in_progress() -> XrpcError {
    let message = "This agent is being made, or its making died: ask again in five minutes";
    XrpcError::named("CreationInProgress", message)
}
