//! The agents of this network as anybody may see them: `agent.identity.getAgent`, `listAgents`, `searchAgents`.
//!
//! All three are answered from the directory, so that none of them wakes an object.

use murmuration_firehose::Timestamp;
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json};

use super::Host;
use super::directory::Status;
use super::directory::agents::AgentEntry;
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::index::{SKILL, TAG, term};
use crate::http::Response;

impl Host<'_> {
    /// `agent.identity.getAgent`
    pub(crate) async fn agent(&self, params: &Args) -> Result<Response, XrpcError> {
        let missing = || XrpcError::named("AgentNotFound", "There is no such agent on this network");
        let did = self.named(&params.parsed("agent")?).await?;
        let entry = match did {
            Some(did) => self.directory.agent_entry(&did).await?,
            None => None,
        };
        Response::json(&view(entry.filter(|entry| entry.status != Status::Reserved).ok_or_else(missing)?))
    }

    /// `agent.identity.listAgents`
    pub(crate) async fn agents(&self, params: &Args) -> Result<Response, XrpcError> {
        let cursor = params.text("cursor").filter(|cursor| !cursor.is_empty());
        if cursor.is_some_and(|cursor| Did::parse(cursor).is_err()) {
            return Err(malformed_cursor());
        }
        let limit = params.number("limit").unwrap_or(DEFAULT_PAGE);
        let found = self.directory.agents(cursor, limit).await?;
        let is_full = usize::try_from(limit).is_ok_and(|limit| found.len() >= limit);
        let next = found.last().filter(|_| is_full).map(|last| last.did.to_string());
        page(found, next)
    }

    /// `agent.identity.searchAgents`: as `listAgents` where nothing is asked for.
    pub(crate) async fn search_agents(&self, params: &Args) -> Result<Response, XrpcError> {
        if params.text("by") == Some("meaning") {
            return self.agents_by_meaning(params).await;
        }
        let Some(expression) = expression(params) else { return self.agents(params).await };
        let cursor = params.text("cursor").filter(|cursor| !cursor.is_empty()).unwrap_or("0");
        let after = cursor.parse().ok().filter(|after| *after <= MAX_ENTRY).ok_or_else(malformed_cursor)?;
        let limit = params.number("limit").unwrap_or(DEFAULT_PAGE);
        let found = self.directory.find_agents(&expression, after, limit).await?;
        page(found.agents, found.next.map(|next| next.to_string()))
    }
}

/// What is asked for, as FTS5 has it: each word as a string, so that none is an operator, and the last as what one may begin with.
/// `None` where nothing is.
fn expression(params: &Args) -> Option<String> {
    let text = params.text("q").unwrap_or_default();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut terms: Vec<String> = words.map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    if let Some(last) = terms.last_mut() {
        last.push('*');
    }
    let named = [(SKILL, params.text("skill")), (TAG, params.text("tag"))];
    terms.extend(named.iter().filter_map(|(kind, name)| Some(format!("words : {}", term(kind, (*name)?)))));
    (!terms.is_empty()).then(|| terms.join(" AND "))
}

/// A page of agents.
fn page(found: Vec<AgentEntry>, next: Option<String>) -> Result<Response, XrpcError> {
    let mut answer = Map::new();
    answer.extend(next.map(|next| ("cursor".to_owned(), Json::from(next))));
    answer.insert("agents".into(), found.into_iter().map(view).collect());
    Response::json(&Json::Object(answer))
}

fn malformed_cursor() -> XrpcError {
    XrpcError::invalid("Malformed cursor")
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
/// The last entry that there may be: what a JavaScript number holds.
const MAX_ENTRY: u64 = (1 << 53) - 1;
