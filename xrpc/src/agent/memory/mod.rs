//! `agent.memory`: the agent's own memories and working state.

mod compact;
mod create;
mod elsewhere;
mod embedding;
mod ingest;
mod publish;
mod quote;
mod record;
mod search;
pub(crate) mod share;
mod state;
mod transfer;
pub(in crate::agent) mod view;

use murmuration_account::{AccountError, Mind, Remembered};
use murmuration_data::{Cid, Ipld};
use murmuration_memory::{Change, Filter, MemoryError};
use murmuration_syntax::{AtIdentifier, AtUri, Nsid, RepoPath, Rev};
use serde_json::json as object;

use super::{Args, Call, Context, Reply, custody};
use crate::XrpcError;
use crate::http::Response;

pub use compact::compact_memories;
pub use create::create_memory;
pub use elsewhere::{sweep_blobs, with_blobs};
pub use embedding::{embed_due, may_embed, texts};
pub(in crate::agent) use ingest::{learn, unread};
pub use murmuration_memory::limits::MAX_BLOB_BYTES;
pub use publish::publish_memory;
pub(in crate::agent) use search::search_own;
pub use search::{context_block, search_memories};
pub use share::{list_shares, revoke_share, share_with};
pub use state::{delete_state, list_state, put_state, state};
pub use transfer::{export_memories, import_memories};

/// `agent.memory.updateMemory`
pub fn update_memory(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let path = own_path(context, &call.input)?;
    let swap: Option<Cid> = call.input.optional("swapRecord")?;
    let record = call.input.take("record").unwrap_or(Ipld::Null);
    let prepared = record::prepare(context, path.rkey.clone(), record)?;
    if prepared.path != path {
        return Err(record::invalid(format!(
            "a {} does not become a {}",
            path.collection, prepared.path.collection
        )));
    }
    let meaning = search::meaning(context, &prepared.text);
    let change = Change {
        record: &prepared.bytes,
        pinned: call.input.flag("pinned"),
        expires_at: prepared.expires_at,
        swap: swap.as_ref(),
        meaning: meaning.as_ref(),
    };
    search::follow(context, &mind)?;
    let (written, shared) = share::sharing(context, || {
        let written = mind.memories.update(mind.keeper(), &path, change)?;
        Ok((written, share::share(context, &mind, &path, context.readers)?))
    })?;
    shared.into_reply(view::written(context, &written)?)
}

/// `agent.memory.deleteMemory`
pub fn delete_memory(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let path = own_path(context, &call.input)?;
    let swap: Option<Cid> = call.input.optional("swapRecord")?;
    let rev = mind.memories.delete(mind.keeper(), &path, swap.as_ref())?;
    Ok(Reply::Changed(Response::json(&object!({ "rev": rev }))?))
}

/// `agent.memory.listMemories`
pub fn list_memories(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let collection: Option<Nsid> = params.optional("collection")?;
    let mut filter = Filter { collection: collection.as_ref(), tag: params.text("tag"), ..Filter::default() };
    filter.made.start = moment(params, "since")?.unwrap_or(filter.made.start);
    filter.made.end = moment(params, "until")?.unwrap_or(filter.made.end);
    let before = params.text("cursor").map(RepoPath::parse).transpose().map_err(|_| bad_cursor())?;
    let page = match reading(context)? {
        Some(mind) => mind.memories.list(mind.keeper(), &filter, before.as_ref(), limit(params))?,
        None => murmuration_memory::Page::default(),
    };
    let memories =
        page.memories.iter().map(|memory| view::memory(context, memory)).collect::<Result<Vec<_>, _>>()?;
    let cursor = page.next.map(|path| path.to_string());
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "memories": memories }), cursor))?))
}

/// `agent.memory.listOperations`
pub fn list_operations(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let since: Option<Rev> = call.params.optional("since")?;
    let (found, space) = match reading(context)? {
        Some(mind) => (
            mind.memories.operations(mind.keeper(), since, limit(&call.params))?,
            mind.memories.space(mind.keeper())?,
        ),
        None => Default::default(),
    };
    let operations: Vec<_> = found.operations.iter().map(view::operation).collect();
    let answer = object!({
        "operations": operations,
        "more": found.more,
        "gap": found.gap,
        "space": view::space(&space),
    });
    Ok(Reply::Now(Response::json(&answer)?))
}

/// `agent.memory.getStats`
pub fn stats(context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    let (space, indexed, upkeep) = match reading(context)? {
        Some(mind) => (
            mind.memories.space(mind.keeper())?,
            mind.memories.indexed(mind.keeper())?,
            compact::jobs(&mind)?,
        ),
        None => Default::default(),
    };
    let mut answer = object!({
        "memories": space.memories,
        "bytes": space.bytes,
        "indexed": indexed,
        "space": view::space(&space),
        "upkeep": upkeep,
        "embeddingPending": context.account.embedding_due()?.is_some(),
    });
    if let (Some(fields), Some(embedder)) = (answer.as_object_mut(), (context.embedder)()) {
        fields.insert("embedder".into(), embedder.id().into());
    }
    if let (Some(fields), Ok(ring)) = (answer.as_object_mut(), context.account.ring()) {
        let epoch = ring.current().number();
        fields.insert("epoch".into(), epoch.into());
        fields.insert("rewrapPending".into(), context.account.left_to_wrap(&Remembered, epoch)?.into());
    }
    Ok(Reply::Now(Response::json(&answer)?))
}

/// The agent's memories, to write. Its first keys are made if it has none.
fn writing<'a>(context: &Context<'a>) -> Result<Mind<'a>, XrpcError> {
    let now = context.clock.now_micros();
    match custody::ring(context, now) {
        Err(error) if error.error() == "ClientCustody" => Err(clients()),
        Err(error) => Err(error),
        Ok(_) => Ok(context.account.mind(context.entropy, now)?),
    }
}

/// The agent's memories; `None` if nothing was ever kept, for there are no keys to keep it with.
pub(in crate::agent) fn reading<'a>(context: &Context<'a>) -> Result<Option<Mind<'a>>, XrpcError> {
    match context.account.mind(context.entropy, context.clock.now_micros()) {
        Err(AccountError::NoKeys) if custody::is_clients(context.account)? => Err(clients()),
        Err(AccountError::NoKeys) => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn clients() -> XrpcError {
    custody::refused("its host keeps no memories for it")
}

/// The path of a memory of the caller's own. What is another's is not found, whether or not it is there.
fn own_path(context: &Context<'_>, args: &Args) -> Result<RepoPath, XrpcError> {
    path_at(context, args.text("uri").unwrap_or_default())
}

/// The same of an address.
pub(in crate::agent) fn path_at(context: &Context<'_>, uri: &str) -> Result<RepoPath, XrpcError> {
    let uri = AtUri::parse(uri).map_err(|error| XrpcError::invalid(error.to_string()))?;
    let profile = context.account.profile()?;
    let own = match uri.authority() {
        AtIdentifier::Did(did) => *did == profile.did,
        AtIdentifier::Handle(handle) => handle.as_str().eq_ignore_ascii_case(profile.handle.as_str()),
    };
    Ok(uri.path().filter(|_| own).ok_or(MemoryError::NotFound)?)
}

/// A moment of a parameter, in microseconds since the Unix epoch. What lies before 1970 is 1970.
pub(crate) fn moment(args: &Args, name: &str) -> Result<Option<u64>, XrpcError> {
    args.text(name).map(micros).transpose()
}

fn micros(text: &str) -> Result<u64, XrpcError> {
    murmuration_memory::moment(text).ok_or_else(|| XrpcError::invalid("a time is no datetime"))
}

fn limit(params: &Args) -> usize {
    params.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_PAGE)
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

impl From<MemoryError> for XrpcError {
    fn from(error: MemoryError) -> Self {
        let text = error.to_string();
        match error {
            MemoryError::NotFound => Self::named("MemoryNotFound", text),
            MemoryError::NoSuchState => Self::named("StateNotFound", text),
            MemoryError::Swap(_) | MemoryError::StateSwap(_) => Self::named("InvalidSwap", text),
            MemoryError::Conflict(_) => Self::named("DuplicateConflict", text),
            MemoryError::Quota(_) => Self::named("QuotaExceeded", text),
            MemoryError::TooManyReaders => Self::named("TooManyRecipients", text),
            MemoryError::TooLarge(_) => Self::named("RecordTooLarge", format!("The record is {text}")),
            MemoryError::Busy => {
                Self::new(503, "NotEnoughResources", text).with("retry-after", RETRY_SECONDS.to_string())
            }
            other => Self::internal(other),
        }
    }
}

/// Seconds after which a call may come again that found too much on its way into the blob storage.
const RETRY_SECONDS: u32 = 1;

/// Items of a page where the caller says nothing: the lexicons' default.
const DEFAULT_PAGE: usize = 50;
