//! An agent's did:cf beside its canonical DID: given, given out, and proven.
//!
//! ```text
//!  object: keys ──> DID document: names the did:cf, and the key to seal to ──> directory: agent ──> object: event
//! ```
//!
//! Each step may be repeated, and a caller who was told of a failure calls again. The directory keeps the id of a did:cf: it is not
//! computed anew, and it stays when the agent is deleted. `docs/did-cf.md` says what is promised.

use murmuration_bridge::plc::{Operation, State};
use murmuration_bridge::resolver::Purpose;
use murmuration_bridge::{AgentKeys, BridgeError, CfDid, Document, cf};
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json};

use super::directory::agents::AgentRow;
use super::handle::{Unpublished, unreadable};
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::index::Profile;
use crate::agent::internal::{AgencyCall, Begun, Description, IdentityCall, InternalCall};
use crate::http::Response;

impl Host<'_> {
    /// `agent.identity.createAlias`
    pub(crate) async fn create_alias(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let account =
            call.account.as_ref().ok_or_else(|| XrpcError::internal("the standing was not checked"))?;
        let did = &account.did;
        let begin = InternalCall::Agency(AgencyCall::Begin { profile: None });
        let begun: Begun = agents::ask(self.agents, did, begin).await?;
        // From here on the row keeps other changes away.
        let change = self.begin_change(did, &account.handle).await?;
        match self.enrol(did, &begun).await {
            Ok(alias) => {
                self.end_change(did, &change).await;
                Response::json(&json!({ "did": did, "alias": alias.did() }))
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

    /// `agent.identity.resolveAlias`
    pub(crate) async fn resolve_alias(&self, params: &Args) -> Result<Response, XrpcError> {
        let asked: Did = params.parsed("did")?;
        let wanted = match asked.method() {
            "plc" | "web" => None,
            "cf" => Some(CfDid::of(&asked).map_err(|error| XrpcError::invalid(error.to_string()))?),
            _ => {
                let message = format!("{asked} is no did:plc, did:web or did:cf");
                return Err(XrpcError::named("UnsupportedDidMethod", message));
            }
        };
        let did = match &wanted {
            None => asked.clone(),
            Some(alias) => self.canonical_of(alias).await?,
        };
        let (document, stated) = self.found(&did, Purpose::Authentication).await.map_err(unresolved)?;
        let alias = self.alias_of(&document).await?;
        if let Some(wanted) = &wanted
            && alias.as_ref().is_none_or(|found| found.did() != wanted.did())
        {
            return Err(not_verified(&BridgeError::AliasNotVerified(asked)));
        }
        let mut verified = Vec::new();
        if did.method() == "plc" && !stated {
            verified.push("log");
        }
        let mut answer = Map::new();
        answer.insert("did".into(), did.as_str().into());
        answer.insert("didDoc".into(), document.json().clone());
        if let Some(alias) = alias {
            verified.push("alias");
            answer.insert("alias".into(), alias.did().as_str().into());
            answer.insert("aliasDoc".into(), alias.json().clone());
        }
        answer.insert("verified".into(), verified.into());
        Response::json(&Json::Object(answer))
    }

    /// The DID of the agent of this network that has a did:cf.
    ///
    /// # Errors
    /// `DidNotFound` for another network's, `DidDeactivated` for that of an agent that was deleted.
    pub(super) async fn canonical_of(&self, alias: &CfDid) -> Result<Did, XrpcError> {
        match self.directory.agent_of(alias).await? {
            Some(AgentRow { ended: false, did, .. }) => Ok(did),
            Some(_) => Err(XrpcError::named("DidDeactivated", ended(alias))),
            None => {
                let message =
                    "is of another network, if of any: ask by the did:plc or did:web that it stands for";
                Err(XrpcError::named("DidNotFound", format!("{} {message}", alias.did())))
            }
        }
    }

    /// The document of the did:cf that a canonical document names, after both were found to name each other.
    async fn alias_of(&self, canonical: &Document) -> Result<Option<Document>, XrpcError> {
        let Some(named) = cf::named_by(canonical) else { return Ok(None) };
        let found = if canonical.pds().is_ok_and(|network| network == self.config.public_url) {
            let document = match self.directory.agent_of(&named).await? {
                Some(row) if row.did == *canonical.did() => {
                    let document = self.alias_document(&row).await?;
                    document.ok_or_else(|| BridgeError::DidDeactivated(named.did().clone()))
                }
                _ => Err(BridgeError::AliasNotVerified(named.did().clone())),
            };
            document.and_then(|document| cf::verify(canonical, &document).map(|()| Some(document)))
        } else {
            let found = self.resolver().alias(canonical, Purpose::Authentication).await;
            found.map(|document| document.map(|document| Document::clone(&document)))
        };
        found.map_err(|error| not_verified(&error))
    }

    /// `/.well-known/did-cf/<id>/did.json`: `None` for what this network never had.
    ///
    /// # Errors
    /// 410 `DidDeactivated` when the agent was deleted.
    pub(super) async fn well_known_alias(&self, alias: &CfDid) -> Result<Option<Document>, XrpcError> {
        let Some(row) = self.directory.agent_of(alias).await? else { return Ok(None) };
        let document = self.alias_document(&row).await?;
        document.map(Some).ok_or_else(|| XrpcError::new(410, "DidDeactivated", ended(alias)))
    }

    /// The document of an agent's did:cf; `None` when it has ended.
    async fn alias_document(&self, row: &AgentRow) -> Result<Option<Document>, XrpcError> {
        if row.ended {
            return Ok(None);
        }
        match self.agent_keys(&row.did).await {
            Ok(keys) => Ok(Some(cf::document(&row.alias, &row.did, keys.as_ref(), &self.config.public_url))),
            Err(error) if error.error() == "RepoNotFound" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The keys of an agent; none while one that keeps them to itself has published none.
    ///
    /// # Errors
    /// `RepoNotFound` when its object holds no account.
    async fn agent_keys(&self, did: &Did) -> Result<Option<AgentKeys>, XrpcError> {
        agents::ask(self.agents, did, InternalCall::Agency(AgencyCall::Keys)).await
    }

    /// The document that this host has an account of its own say, with what an agent has in it.
    pub(super) async fn stated_document(&self, account: &Description) -> Result<Document, XrpcError> {
        let Description { did, handle, signing_key, .. } = account;
        let state = State::atproto(handle, signing_key, &self.config.public_url, Vec::new());
        let row = self.directory.agent(did).await?.filter(|row| !row.ended);
        let state = match row {
            Some(row) => match self.agent_keys(did).await {
                Ok(keys) => cf::enrolled(state, &row.alias, keys.as_ref()),
                Err(error) if error.error() == "RepoNotFound" => state,
                Err(error) => return Err(error),
            },
            None => state,
        };
        Ok(Document::of_state(did, &state))
    }

    /// Gives an account its did:cf, or makes right what there is of it.
    pub(super) async fn enrol(&self, did: &Did, begun: &Begun) -> Result<CfDid, Unpublished> {
        let alias = match self.directory.agent(did).await.map_err(|e| Unpublished::certainly(e.into()))? {
            Some(row) if row.ended => {
                let message = ended(&row.alias);
                return Err(Unpublished::certainly(XrpcError::named("DidDeactivated", message)));
            }
            Some(row) => row.alias,
            None => self.agents.alias(did).map_err(Unpublished::certainly)?,
        };
        self.publish_alias(did, &alias, begun.keys.as_ref()).await?;
        // From here on it is not known what has come of it, and each step does no harm the second time.
        let failed = |error| Unpublished { error, certain: false };
        let Profile { json, words } = &begun.profile;
        let noted = async {
            self.directory.enrol(did, &alias, self.now_millis()).await?;
            self.directory.note_profile(did, json.as_deref(), words).await
        };
        noted.await.map_err(|error| failed(error.into()))?;
        self.resolver().forget(did);
        self.tell(did, || IdentityCall::DocumentChanged).await.map_err(failed)?;
        Ok(alias)
    }

    /// Has the account's document name the did:cf, or sees that it does.
    async fn publish_alias(
        &self,
        did: &Did,
        alias: &CfDid,
        keys: Option<&AgentKeys>,
    ) -> Result<(), Unpublished> {
        if self.states_document_of(did) {
            return Ok(());
        }
        if did.method() != "plc" {
            return self.web_names(did, alias).await.map_err(Unpublished::certainly);
        }
        let verified = self.resolver().plc().audited(did).await;
        let verified = verified.map_err(|error| Unpublished::certainly(unreadable(&error)))?;
        let deactivated = || Unpublished::certainly(XrpcError::invalid("The DID has been deactivated"));
        let state = verified.state.ok_or_else(deactivated)?;
        let rotation_keys = state.rotation_keys.clone();
        let wanted = cf::enrolled(state.clone(), alias, keys);
        let named = cf::named(state.clone(), alias);
        if state == wanted {
            return Ok(());
        }
        let sign = |state| {
            let operation = Operation::update(&verified.tip, state, &self.config.plc_rotation_key);
            let operation = operation.map_err(|error| XrpcError::invalid(error.to_string()))?;
            match operation.signer(&rotation_keys) {
                Some(_) => Ok(operation),
                None => Err(XrpcError::invalid(
                    "This host's key is not among the rotation keys of the DID: it cannot change the document",
                )),
            }
        };
        let operation = sign(wanted).map_err(Unpublished::certainly)?;
        // Whoever dies from here on leaves the account to say it.
        let noted = self.tell(did, || IdentityCall::DocumentChanging).await;
        noted.map_err(Unpublished::certainly)?;
        match self.publish(did, &operation).await {
            // A directory from before June 2025 takes no key of this kind. The did:cf's document and the repository have it, too.
            Err(Unpublished { error, certain: true }) if error.status() == 400 && named != state => {
                self.publish(did, &sign(named).map_err(Unpublished::certainly)?).await
            }
            Err(Unpublished { error, certain: true }) if error.status() == 400 => Ok(()),
            other => other,
        }
    }

    /// Sees that a document which this host cannot change names the did:cf.
    async fn web_names(&self, did: &Did, alias: &CfDid) -> Result<(), XrpcError> {
        match self.resolver().document(did, Purpose::Refresh).await {
            Ok(document) if cf::named_by(&document).as_ref() == Some(alias) => Ok(()),
            Ok(_) => {
                let message = format!("The document of {did} must name {} in alsoKnownAs first", alias.did());
                Err(XrpcError::named("AliasNotVerified", message))
            }
            Err(error) => Err(XrpcError::upstream(format!("Could not resolve DID: {error}"))),
        }
    }
}

fn ended(alias: &CfDid) -> String {
    format!("DID not available: {}", alias.did())
}

/// Why a canonical DID has no document.
fn unresolved(error: BridgeError) -> XrpcError {
    let text = error.to_string();
    match error {
        BridgeError::DidNotFound(_) => XrpcError::named("DidNotFound", text),
        BridgeError::DidDeactivated(_) => XrpcError::named("DidDeactivated", text),
        error if error.is_transient() => XrpcError::upstream(text),
        _ => XrpcError::invalid(text),
    }
}

/// Why an alias does not count.
fn not_verified(error: &BridgeError) -> XrpcError {
    match error {
        BridgeError::DidDeactivated(_) => XrpcError::named("DidDeactivated", error.to_string()),
        error if error.is_transient() => {
            XrpcError::upstream(format!("The alias could not be verified: {error}"))
        }
        error => XrpcError::named("AliasNotVerified", error.to_string()),
    }
}
