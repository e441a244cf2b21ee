//! The agents of this network as anybody may see them: `agent.identity.getAgent`, `listAgents`, `searchAgents`.
//!
//! All three are answered from the directory, so that none of them wakes an object.

use murmuration_bridge::CfDid;
use murmuration_firehose::Timestamp;
use murmuration_syntax::{AtIdentifier, Did};
use serde_json::{Map, Value as Json, json};

use super::Host;
use super::directory::Status;
use super::directory::agents::{AgentEntry, Sought};
use crate::XrpcError;
use crate::agent::Args;
use crate::http::Response;

impl Host<'_> {
    /// `agent.identity.getAgent`
    pub(crate) async fn agent(&self, params: &Args) -> Result<Response, XrpcError> {
        let missing = || XrpcError::named("AgentNotFound", "There is no such agent on this network");
        let did = match params.parsed("agent")? {
            AtIdentifier::Did(did) => match CfDid::of(&did) {
                Ok(alias) => match self.canonical_of(&alias).await {
                    Ok(did) => Some(did),
                    Err(error) if error.status() == 400 => None,
                    Err(error) => return Err(error),
                },
                Err(_) => Some(did),
            },
            AtIdentifier::Handle(handle) => self.own_did(&handle).await?,
        };
        let entry = match did {
            Some(did) => self.directory.agent_entry(&did).await?,
            None => None,
        };
        Response::json(&view(entry.filter(|entry| entry.status != Status::Reserved).ok_or_else(missing)?))
    }

    /// `agent.identity.listAgents` and `searchAgents`, which has more parameters.
    pub(crate) async fn agents(&self, params: &Args) -> Result<Response, XrpcError> {
        let cursor = params.text("cursor").filter(|cursor| !cursor.is_empty());
        if cursor.is_some_and(|cursor| Did::parse(cursor).is_err()) {
            return Err(XrpcError::invalid("Malformed cursor"));
        }
        let words = params.text("q").unwrap_or_default().to_lowercase();
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let sought = Sought { words: &words, skill: params.text("skill"), tag: params.text("tag") };
        let limit = params.number("limit").unwrap_or(DEFAULT_PAGE);
        let found = self.directory.agents(&sought, cursor, limit).await?;
        let mut answer = Map::new();
        if let Some(last) = found.last()
            && usize::try_from(limit).is_ok_and(|limit| found.len() >= limit)
        {
            answer.insert("cursor".into(), last.did.as_str().into());
        }
        answer.insert("agents".into(), found.into_iter().map(view).collect());
        Response::json(&Json::Object(answer))
    }
}

/// An agent as `agent.identity.defs#agentView`. One that is not served shows that it is, and no more.
fn view(entry: AgentEntry) -> Json {
    let since = Timestamp::from_micros(entry.since_millis.saturating_mul(1000)).to_string();
    let mut view = Map::new();
    view.insert("did".into(), entry.did.as_str().into());
    view.insert("handle".into(), entry.handle.as_str().into());
    view.insert("aliases".into(), json!([entry.alias.did()]));
    if entry.status == Status::Active {
        view.extend(entry.profile.map(|profile| ("profile".to_owned(), profile)));
    }
    view.insert("status".into(), entry.status.as_str().into());
    view.insert("indexedAt".into(), since.into());
    view.into()
}

/// Agents of a page where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 50;
