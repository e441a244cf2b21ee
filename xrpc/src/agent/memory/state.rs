//! The working state of an agent.

use murmuration_data::Ipld;
use murmuration_memory::{EntryPage, MemoryError, Put};
use murmuration_syntax::Rev;
use serde_json::json as object;

use super::super::{Call, Context, Reply};
use super::{limit, moment, reading, view, with_cursor, writing};
use crate::XrpcError;
use crate::http::Response;

/// `agent.memory.getState`
pub fn state(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NoSuchState)?;
    let entry = mind.memories.state(mind.keeper(), call.params.text("key").unwrap_or_default())?;
    Ok(Reply::Now(Response::json(&view::entry(&entry))?))
}

/// `agent.memory.putState`
pub fn put_state(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let mind = writing(context)?;
    let value = call.input.take("value").unwrap_or(Ipld::Null);
    let swap: Option<Rev> = call.input.optional("swapRev")?;
    let put = Put {
        key: call.input.text("key").unwrap_or_default(),
        value: &value,
        expires_at: moment(&call.input, "expiresAt")?,
        swap: call.input.has("swapRev").then_some(swap),
    };
    let entry = mind.memories.put_state(mind.keeper(), put).map_err(|error| match error {
        MemoryError::TooLarge(limit) => {
            XrpcError::named("StateTooLarge", format!("Key and value are larger than {limit} bytes"))
        }
        other => other.into(),
    })?;
    Ok(Reply::Changed(Response::json(&object!({ "rev": entry.rev }))?))
}

/// `agent.memory.deleteState`
pub fn delete_state(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NoSuchState)?;
    let swap: Option<Rev> = call.input.optional("swapRev")?;
    mind.memories.delete_state(mind.keeper(), call.input.text("key").unwrap_or_default(), swap)?;
    Ok(Reply::Changed(Response::empty()))
}

/// `agent.memory.listState`
pub fn list_state(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let (prefix, after) =
        (params.text("prefix").unwrap_or_default(), params.text("cursor").unwrap_or_default());
    let page = match reading(context)? {
        Some(mind) => mind.memories.states(mind.keeper(), prefix, after, limit(params))?,
        None => EntryPage::default(),
    };
    let cursor = page.entries.last().filter(|_| page.more).map(|last| last.key.clone());
    let entries: Vec<_> = page.entries.iter().map(view::entry).collect();
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "entries": entries }), cursor))?))
}
