//! `agent.comms`: the agent's own messages, threads and tasks. What crosses to other agents runs in the host
//! (`crate::host`), and comes back here as an internal call.

pub mod view;

use murmuration_comms::{
    Acquaintance, Claim, CommsError, Contact, Declaration, Filter, Outcome, Role, State,
};
use murmuration_comms::{TaskFilter, TaskState, Verdict};
use murmuration_data::{Ipld, cbor};
use murmuration_syntax::{AtIdentifier, AtUri, Did, Nsid, RecordKey, RepoPath, Tid};
use serde_json::json as object;

use super::internal::arrival::let_in;
use super::{Args, Call, Context, Reply};
use crate::XrpcError;
use crate::http::Response;

/// The collection of requests, which are tasks.
const REQUEST: &str = murmuration_comms::REQUEST;
/// What an agent says of everybody who writes to it, and of one of them.
const DECLARATION: &str = "agent.comms.declaration";
const CONTACT: &str = "agent.comms.contact";

/// `agent.comms.listInbox`
pub fn list_inbox(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let (kind, sender): (Option<Nsid>, Option<Did>) = (params.optional("type")?, params.optional("sender")?);
    let state = match params.text("state") {
        None => None,
        Some(name) => {
            Some(State::parse(name).ok_or_else(|| XrpcError::invalid("state is none of a message"))?)
        }
    };
    let filter =
        Filter { state, kind: kind.as_ref(), sender: sender.as_ref(), thread: params.text("thread") };
    let before = params.text("cursor").map(str::parse).transpose().map_err(|_| bad_cursor())?;
    let now = context.clock.now_micros();
    let items = context.account.comms()?.list(&filter, before, limit(params), now)?;
    let cursor = items.last().map(|last| last.ord.to_string());
    let items = view::items(context, &items, params)?;
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "items": items }), cursor))?))
}

/// `agent.comms.claimMessages`
pub fn claim_messages(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let input = &call.input;
    let kinds = input.texts("types").into_iter().map(Nsid::parse).collect::<Result<Vec<_>, _>>();
    let kinds = kinds.map_err(|error| XrpcError::invalid(error.to_string()))?;
    let claim = Claim {
        max: usize::try_from(input.number("max").unwrap_or(DEFAULT_CLAIM)).unwrap_or(1),
        micros: u64::from(input.number("leaseSeconds").unwrap_or(DEFAULT_LEASE_SECONDS)) * SECOND,
        kinds: &kinds,
    };
    let judge = |sender: &Did| {
        let contact = contact(context, sender).map_err(stored)?;
        if contact == Some(Contact::Blocked) {
            return Ok(None);
        }
        let declaration = declaration(context).map_err(stored)?;
        let verdict = declaration.judge_sender(Acquaintance { contact, ..Acquaintance::default() });
        Ok(Some(verdict.unwrap_or(Verdict::Quarantine)))
    };
    let (comms, now) = (context.account.comms()?, context.clock.now_micros());
    let items = context.account.together(|| {
        for released in comms.release(&judge, now)? {
            let_in(context, &released, now)?;
        }
        Ok::<_, XrpcError>(comms.claim(&claim, now)?)
    })?;
    let items = view::items(context, &items, input)?;
    Ok(Reply::Now(Response::json(&object!({ "items": items }))?))
}

/// `agent.comms.ackMessages`
pub fn ack_messages(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let Some(Ipld::List(given)) = call.input.take("results") else {
        return Err(XrpcError::invalid("no results"));
    };
    let results: Vec<(String, Outcome)> = given
        .into_iter()
        .map(|result| {
            let result = Args::new(result);
            let reason = result.text("error").map(str::to_owned);
            let delay_micros = result.number("delaySeconds").map(|seconds| u64::from(seconds) * SECOND);
            let outcome = match result.text("outcome") {
                Some("retry") => Outcome::Retry { delay_micros, reason },
                Some("dead") => Outcome::Dead { reason },
                _ => Outcome::Done,
            };
            (result.text("leaseId").unwrap_or_default().to_owned(), outcome)
        })
        .collect();
    let missing = context.account.comms()?.acknowledge(&results, context.clock.now_micros())?;
    let acked = results.len() - missing.len();
    Ok(Reply::Now(Response::json(&object!({ "acked": acked, "missing": missing }))?))
}

/// `agent.comms.getThread`
pub fn thread(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let name = params.text("thread").unwrap_or_default();
    let (after, now) = (params.text("cursor"), context.clock.now_micros());
    let page = context.account.comms()?.thread(name, after, limit(params), now)?;
    let items = view::items(context, &page.items, params)?;
    let gaps: Vec<_> = page.gaps.iter().map(view::gap).collect();
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "items": items, "gaps": gaps }), page.next))?))
}

/// `agent.comms.listThreads`
pub fn list_threads(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let limit = usize::try_from(limit(&call.params)).unwrap_or(1);
    let threads = context.account.comms()?.threads(call.params.text("cursor").unwrap_or_default(), limit)?;
    let cursor = threads.last().map(|last| last.name.clone());
    let threads: Vec<_> = threads.iter().map(view::thread).collect();
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "threads": threads }), cursor))?))
}

/// `agent.comms.getDeliveryStatus`
pub fn delivery_status(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let id: Tid = call.params.parsed("id")?;
    let sent = context.account.comms()?.sent(id)?.ok_or(CommsError::NoSuchMessage)?;
    let receipts: Vec<_> = sent.receipts.iter().map(|receipt| view::receipt(id, receipt)).collect();
    Ok(Reply::Now(Response::json(&object!({ "receipts": receipts }))?))
}

/// `agent.comms.getTask`
pub fn task(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let (requester, id) = request(call.params.text("request").unwrap_or_default())?;
    let own = &context.account.profile()?.did;
    let task = context.account.comms()?.task(own, &requester, id)?;
    Ok(Reply::Now(Response::json(&view::task(&task))?))
}

/// `agent.comms.listTasks`
pub fn list_tasks(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let role = match params.text("role") {
        Some("requester") => Some(Role::Requester),
        Some("assignee") => Some(Role::Assignee),
        _ => None,
    };
    let state = match params.text("state") {
        None => None,
        Some(name) => {
            Some(TaskState::of_status(name).ok_or_else(|| XrpcError::invalid("state is none of a task"))?)
        }
    };
    let before = match params.text("cursor") {
        None => None,
        Some(cursor) => Some(cursor.split_once(' ').ok_or_else(bad_cursor)?),
    };
    let own = &context.account.profile()?.did;
    let filter = TaskFilter { role, state };
    let tasks = context.account.comms()?.tasks(own, filter, before, limit(params))?;
    let cursor = tasks.last().map(|last| format!("{} {}", last.id, last.requester));
    let tasks: Vec<_> = tasks.iter().map(view::task).collect();
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "tasks": tasks }), cursor))?))
}

/// What the agent says of everybody who writes to it.
pub(super) fn declaration(context: &Context<'_>) -> Result<Declaration, XrpcError> {
    let said = record(context, DECLARATION, RecordKey::only())?;
    Ok(said.as_ref().map(Declaration::of).unwrap_or_default())
}

/// What the agent says of one who writes to it. Nothing, of a DID that names no record.
pub(super) fn contact(context: &Context<'_>, did: &Did) -> Result<Option<Contact>, XrpcError> {
    let Ok(rkey) = RecordKey::parse(did.as_str()) else { return Ok(None) };
    Ok(record(context, CONTACT, rkey)?.as_ref().and_then(Contact::of))
}

fn record(context: &Context<'_>, collection: &str, rkey: RecordKey) -> Result<Option<Ipld>, XrpcError> {
    let collection = Nsid::parse(collection).map_err(XrpcError::internal)?;
    let found = context.account.record(&RepoPath::new(collection, rkey))?;
    found.map(|record| cbor::decode(&record.value).map_err(XrpcError::internal)).transpose()
}

/// Who has made a request, and its id, from its address.
pub(super) fn request(uri: &str) -> Result<(Did, Tid), XrpcError> {
    let none = || XrpcError::from(CommsError::NoSuchTask);
    let uri = AtUri::parse(uri).map_err(|error| XrpcError::invalid(error.to_string()))?;
    let AtIdentifier::Did(did) = uri.authority() else { return Err(none()) };
    if uri.collection().map(Nsid::as_str) != Some(REQUEST) {
        return Err(none());
    }
    let id = uri.rkey().and_then(|rkey| Tid::parse(rkey.as_str()).ok()).ok_or_else(none)?;
    Ok((did.clone(), id))
}

fn limit(params: &Args) -> u32 {
    params.number("limit").unwrap_or(DEFAULT_PAGE)
}

fn with_cursor(mut page: serde_json::Value, cursor: Option<String>) -> serde_json::Value {
    if let (Some(fields), Some(cursor)) = (page.as_object_mut(), cursor) {
        fields.insert("cursor".into(), cursor.into());
    }
    page
}

fn bad_cursor() -> XrpcError {
    XrpcError::invalid("cursor is none that a page has given")
}

/// A fault of the account, as `murmuration_comms` carries it.
fn stored(error: XrpcError) -> CommsError {
    CommsError::Store(murmuration_platform::StoreError::Corrupt(error.to_string()))
}

impl From<CommsError> for XrpcError {
    fn from(error: CommsError) -> Self {
        let text = error.to_string();
        match error {
            CommsError::Form(_) | CommsError::Future => Self::named("InvalidParcel", text),
            CommsError::TooLarge(_) => Self::named("TooLarge", text),
            CommsError::Proof { .. } => Self::named("InvalidProof", text),
            CommsError::Expired => Self::named("Expired", text),
            CommsError::Conflict => Self::named("DuplicateConflict", text),
            CommsError::NotAllowed(_) => Self::new(403, "NotAllowed", text),
            CommsError::SealRequired => Self::named("SealRequired", text),
            CommsError::Replayed => Self::new(401, "BadJwt", "jwt was used before"),
            CommsError::Busy { seconds, .. } => {
                Self::new(429, "RateLimitExceeded", text).with("retry-after", seconds.to_string())
            }
            CommsError::NoSuchMessage => Self::named("MessageNotFound", text),
            CommsError::NoSuchThread => Self::named("ThreadNotFound", text),
            CommsError::NoSuchTask => Self::named("TaskNotFound", text),
            CommsError::TaskState { .. } => Self::named("TaskStateConflict", text),
            CommsError::Envelope(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

const SECOND: u64 = 1_000_000;
/// Items of a page, messages of a claim and seconds of a lease where the caller says nothing: the lexicons' defaults.
const DEFAULT_PAGE: u32 = 50;
const DEFAULT_CLAIM: u32 = 10;
const DEFAULT_LEASE_SECONDS: u32 = 60;
