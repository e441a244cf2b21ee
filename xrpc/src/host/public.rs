//! What is public on the network, found: `agent.memory.searchMemories` beyond what is the caller's own, and
//! `agent.identity.searchAgents` by meaning.
//!
//! What is found is strangers' word, whoever they are. Each hit says whose it is, and that the relay has verified that they have said it;
//! nothing of it comes into a context by itself.

use murmuration_bridge::CfDid;
use murmuration_firehose::Timestamp;
use murmuration_index::skill_tag;
use murmuration_syntax::{AtIdentifier, Did, Nsid};
use serde_json::{Map, Value as Json, json};

use super::directory::Status;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::InternalCall;
use crate::agent::internal::memory::MemoryCall;
use crate::agent::memory::moment;
use crate::http::Response;
use crate::public::{Answered, Asked, IndexCall, PublicHit};

/// Whether a search is of the caller's own memories alone, which their object answers.
#[must_use]
pub fn is_own(query: &[(String, String)], shows_credential: bool) -> bool {
    let scope = query.iter().find(|(name, _)| name == "scope").map(|(_, value)| value.as_str());
    scope.map_or(shows_credential, |scope| scope == "own")
}

impl Host<'_> {
    /// `agent.memory.searchMemories`, of what is public, or of that and the caller's own.
    pub(crate) async fn search_public(&self, call: HostCall) -> Result<Response, XrpcError> {
        let own = match call.params.text("scope") {
            None | Some("public") => None,
            Some("all") => Some(call.caller.claims()?.sub.clone()),
            Some(_) => return Err(XrpcError::invalid("scope must be own, public or all")),
        };
        let author = match call.params.optional("agent")? {
            Some(name) => match self.named(&name).await? {
                Some(did) => Some(did),
                None => return page(Vec::new(), false),
            },
            None => None,
        };
        let asked = Asked { author, gives_vector: own.is_some(), ..asked(&call.params)? };
        let limit = asked.limit;
        let Answered { hits, whole, vector } = self.ask_index(IndexCall::Search(asked)).await?;
        let mut hits: Vec<Json> = self
            .served(hits)
            .await?
            .into_iter()
            .map(|(hit, handle)| view(hit, handle.as_deref(), own.as_ref()))
            .collect::<Result<_, _>>()?;
        let mut degraded = !whole;
        if let Some(did) = own.filter(|did| self.is_wanted(&call.params, did)) {
            let params = call.params.into_json();
            let search = InternalCall::Memory(MemoryCall::Search { params, vector });
            let mut found: Json = agents::ask(self.agents, &did, search).await?;
            let channels = found.get("degraded").and_then(Json::as_array);
            degraded |= channels.is_some_and(|channels| !channels.is_empty());
            if let Some(Json::Array(own)) = found.get_mut("hits").map(Json::take) {
                hits.extend(own);
            }
            hits.sort_by_key(|hit| std::cmp::Reverse(hit.get("score").and_then(Json::as_u64)));
            hits.truncate(limit);
        }
        page(hits, degraded)
    }

    /// `agent.identity.searchAgents` by meaning: agents of this host and of its peers, the best first, on one page.
    pub(super) async fn agents_by_meaning(&self, params: &Args) -> Result<Response, XrpcError> {
        let text = params.text("q").filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| XrpcError::invalid("q must say what is looked for"))?;
        let skill = params.text("skill").map(skill_tag);
        let tags = skill.into_iter().chain(params.text("tag").map(str::to_owned)).collect();
        let asked =
            Asked { agents: true, text: text.to_owned(), tags, limit: limit(params), ..Asked::default() };
        let Answered { hits, .. } = self.ask_index(IndexCall::Search(asked)).await?;
        let found = self.served(hits).await?.into_iter();
        let agents = found.map(|(hit, handle)| agent(hit, handle)).collect::<Result<Vec<_>, _>>()?;
        Response::json(&json!({ "agents": agents }))
    }

    /// Asks the public index.
    pub(super) async fn ask_index<T: serde::de::DeserializeOwned>(
        &self,
        call: IndexCall,
    ) -> Result<T, XrpcError> {
        agents::read(&self.agents.ask_index(&call).await?)
    }

    /// What was found, but for accounts of this host that are not served, which the directory knows before the index; and the handles.
    pub(super) async fn served(
        &self,
        hits: Vec<PublicHit>,
    ) -> Result<Vec<(PublicHit, Option<String>)>, XrpcError> {
        let mut dids: Vec<&str> = hits.iter().map(|hit| hit.did.as_str()).collect();
        dids.sort_unstable();
        dids.dedup();
        let entries = if dids.is_empty() { Vec::new() } else { self.directory.entries(&dids).await? };
        let served = |mut hit: PublicHit| match entries.iter().find(|entry| entry.did == hit.did) {
            Some(entry) if entry.status != Status::Active => None,
            Some(entry) => Some((hit, Some(entry.handle.to_string()))),
            None => {
                let handle = hit.handle.take();
                Some((hit, handle))
            }
        };
        Ok(hits.into_iter().filter_map(served).collect())
    }

    /// The DID that a name leads to; `None` where it leads nowhere.
    pub(super) async fn named(&self, name: &AtIdentifier) -> Result<Option<Did>, XrpcError> {
        let found = match name {
            AtIdentifier::Did(did) => match CfDid::of(did) {
                Ok(alias) => self.canonical_of(&alias).await,
                Err(_) => Ok(did.clone()),
            },
            AtIdentifier::Handle(handle) => return self.own_did(handle).await,
        };
        match found {
            Ok(did) => Ok(Some(did)),
            Err(error) if error.status() == 400 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a search wants what is of this account.
    fn is_wanted(&self, params: &Args, did: &Did) -> bool {
        params.text("agent").is_none_or(|agent| agent == did.as_str())
    }
}

fn asked(params: &Args) -> Result<Asked, XrpcError> {
    let collections = params.texts("collections").into_iter().map(Nsid::parse).collect::<Result<Vec<_>, _>>();
    Ok(Asked {
        agents: false,
        text: params.text("q").unwrap_or_default().to_owned(),
        collections: collections.map_err(|error| XrpcError::invalid(error.to_string()))?,
        tags: params.texts("tags").into_iter().map(str::to_owned).collect(),
        author: None,
        made: (moment(params, "since")?, moment(params, "until")?),
        as_of: moment(params, "asOf")?,
        superseded: params.flag("includeSuperseded").unwrap_or(false),
        least: u16::try_from(params.number("minScore").unwrap_or(0)).unwrap_or(u16::MAX),
        limit: limit(params),
        gives_vector: false,
    })
}

fn limit(params: &Args) -> usize {
    params.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_HITS)
}

/// An agent as `agent.identity.defs#agentView`.
fn agent(hit: PublicHit, handle: Option<String>) -> Result<Json, XrpcError> {
    let profile: Json = serde_json::from_str(hit.record.get()).map_err(XrpcError::internal)?;
    let mut view = Map::new();
    view.insert("did".into(), hit.did.as_str().into());
    view.extend(handle.map(|handle| ("handle".to_owned(), handle.into())));
    view.insert("profile".into(), profile);
    view.insert("status".into(), Status::Active.as_str().into());
    view.insert("score".into(), hit.score.into());
    view.insert("channels".into(), channels(&hit).into());
    Ok(view.into())
}

fn page(hits: Vec<Json>, degraded: bool) -> Result<Response, XrpcError> {
    let degraded: &[&str] = if degraded { &["vector"] } else { &[] };
    Response::json(&json!({ "hits": hits, "degraded": degraded }))
}

/// A hit as `agent.memory.defs#hit`.
fn view(hit: PublicHit, handle: Option<&str>, own: Option<&Did>) -> Result<Json, XrpcError> {
    let record: Json = serde_json::from_str(hit.record.get()).map_err(XrpcError::internal)?;
    let uri = format!("at://{}/{}", hit.did, hit.path);
    let provenance = if own == Some(&hit.did) {
        record.get("provenance").cloned().unwrap_or_else(|| json!({ "kind": "self" }))
    } else {
        let source = json!({ "uri": uri, "cid": hit.cid });
        json!({ "kind": "agent", "agent": hit.did, "source": source, "verified": true })
    };
    let mut memory = Map::new();
    memory.insert("uri".into(), uri.into());
    memory.insert("cid".into(), hit.cid.as_str().into());
    memory.insert("rev".into(), hit.rev.as_str().into());
    memory.insert("collection".into(), hit.path.split('/').next().unwrap_or_default().into());
    memory.insert("privacy".into(), "public".into());
    memory.insert("author".into(), hit.did.as_str().into());
    memory.extend(handle.map(|handle| ("handle".to_owned(), handle.into())));
    memory.insert("record".into(), record);
    memory.insert("createdAt".into(), Timestamp::from_micros(hit.made).to_string().into());
    Ok(json!({
        "memory": memory, "score": hit.score, "channels": channels(&hit), "provenance": provenance,
    }))
}

/// By what a document was found.
fn channels(hit: &PublicHit) -> Vec<Json> {
    let named = [("vector", hit.vector), ("keyword", hit.keyword), ("recency", Some(hit.recency))];
    named.iter().filter_map(|(name, score)| Some(json!({ "name": name, "score": (*score)? }))).collect()
}

/// Hits where the caller says nothing: the lexicon's default.
const DEFAULT_HITS: usize = 10;
