//! Who reads which memories. To share and to read what is shared crosses to other agents and begins in the host
//! (`crate::host`), and comes back here as an internal call.

use murmuration_memory::MemoryError;
use murmuration_syntax::{Did, RepoPath};
use serde_json::json as object;

use super::super::{Call, Context, Reply};
use super::{bad_cursor, limit, own_path, reading, view, with_cursor};
use crate::XrpcError;
use crate::http::Response;

/// `agent.memory.revokeShare`
pub fn revoke_share(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let path = own_path(context, &call.input)?;
    let subjects = call.input.texts("subjects").into_iter().map(Did::parse).collect::<Result<Vec<_>, _>>();
    let subjects = subjects.map_err(|error| XrpcError::invalid(error.to_string()))?;
    let cid = mind.memories.revoke(mind.keeper(), &path, &subjects)?;
    let own = &context.account.profile()?.did;
    let left = mind.memories.shares(Some(&path), None, ALL)?;
    let answer = object!({
        "uri": format!("at://{own}/{path}"),
        "cid": cid.to_string(),
        "shares": left.iter().map(|share| view::share(own, share)).collect::<Vec<_>>(),
    });
    Ok(Reply::Changed(Response::json(&answer)?))
}

/// `agent.memory.listShares`
pub fn list_shares(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let (Some(mind), own) = (reading(context)?, &context.account.profile()?.did) else {
        return Ok(Reply::Now(Response::json(&object!({ "shares": [] }))?));
    };
    let limit = u32::try_from(limit(params)).unwrap_or(1);
    let after =
        params.text("cursor").map(|cursor| cursor.split_once(' ').ok_or_else(bad_cursor)).transpose()?;
    let path = |text: &str| RepoPath::parse(text).map_err(|_| bad_cursor());
    let (shares, cursor) = if params.text("direction") == Some("received") {
        let after = after.map(|(author, name)| {
            Ok::<_, XrpcError>((Did::parse(author).map_err(|_| bad_cursor())?, path(name)?))
        });
        let after = after.transpose()?;
        let found = mind.memories.received(after.as_ref().map(|(author, path)| (author, path)), limit)?;
        let cursor = found.last().map(|last| format!("{} {}", last.author, last.path));
        (found.iter().map(|received| view::received(own, received)).collect::<Vec<_>>(), cursor)
    } else {
        let of = params.text("uri").map(|_| own_path(context, params)).transpose()?;
        let after = after.map(|(name, reader)| Ok::<_, XrpcError>((path(name)?, reader))).transpose()?;
        let after = after.as_ref().map(|(path, reader)| (path, *reader));
        let found = mind.memories.shares(of.as_ref(), after, limit)?;
        let cursor = found.last().map(|last| format!("{} {}", last.path, last.reader));
        (found.iter().map(|share| view::share(own, share)).collect(), cursor)
    };
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "shares": shares }), cursor))?))
}

/// All readers of a memory: 64 at most.
const ALL: u32 = 64;
