//! `com.atproto.sync`: the repository as other hosts read it.

use std::rc::Rc;

use murmuration_account::{MAX_BLOCKS, Profile};
use murmuration_data::Cid;
use murmuration_syntax::{Did, RepoPath, Rev};
use serde_json::{Map, Value as Json, json as object};

use super::{Call, Context, Reply};
use crate::XrpcError;
use crate::auth::Caller;
use crate::http::{Body, Chunk, Response};

/// The content type of a CAR.
pub const CAR: &str = "application/vnd.ipld.car";
/// Blobs of a page where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 500;

/// `com.atproto.sync.getRepo`, and the deprecated `com.atproto.sync.getCheckout`, which has no `since`.
pub fn repo(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    readable(context, &call)?;
    let mut export = context.account.export(call.params.optional::<Rev>("since")?)?;
    let mut over = false;
    let chunks = move || {
        if over {
            return None;
        }
        let chunk = export.next_chunk().transpose()?;
        over = chunk.is_err();
        Some(chunk.map(Chunk::Ready).map_err(XrpcError::from))
    };
    Ok(Reply::Now(Response::ok(Body::Stream(CAR, Box::new(chunks)))))
}

/// `com.atproto.sync.getRecord`
pub fn record(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    readable(context, &call)?;
    let path = RepoPath::new(call.params.parsed("collection")?, call.params.parsed("rkey")?);
    Ok(Reply::Now(Response::ok(Body::Bytes(CAR, context.account.proof(&path)?))))
}

/// `com.atproto.sync.getBlocks`
pub fn blocks(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    readable(context, &call)?;
    let cids = call.params.texts("cids");
    if cids.len() > MAX_BLOCKS {
        return Err(XrpcError::invalid(format!("Too many cids. Max: {MAX_BLOCKS}")));
    }
    let wanted: Option<Vec<Cid>> = cids.into_iter().map(|text| Cid::try_from(text).ok()).collect();
    let wanted = wanted.ok_or_else(|| XrpcError::invalid("cids must be valid cids"))?;
    let found = context.account.blocks(&wanted)?;
    if !found.missing.is_empty() {
        let missing: Vec<String> = found.missing.iter().map(ToString::to_string).collect();
        return Err(XrpcError::named(
            "BlockNotFound",
            format!("Could not find cids: {}", missing.join(", ")),
        ));
    }
    Ok(Reply::Now(Response::ok(Body::Bytes(CAR, found.car))))
}

/// The deprecated `com.atproto.sync.getHead`.
pub fn head(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    readable(context, &call)?;
    let head = context.account.head()?;
    Ok(Reply::Now(Response::json(&object!({ "root": head.cid.to_string() }))?))
}

/// `com.atproto.sync.getLatestCommit`
pub fn latest_commit(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    readable(context, &call)?;
    let head = context.account.head()?;
    Ok(Reply::Now(Response::json(&object!({ "cid": head.cid.to_string(), "rev": head.rev.to_string() }))?))
}

/// `com.atproto.sync.getRepoStatus`
pub fn repo_status(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let profile = hosted(context, &call)?;
    let mut view = status(&profile);
    if profile.inactive().is_none() {
        view.insert("rev".into(), context.account.head()?.rev.to_string().into());
    }
    Ok(Reply::Now(Response::json(&view)?))
}

/// `com.atproto.sync.listBlobs`
pub fn list_blobs(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    readable(context, &call)?;
    let after: Option<Cid> = call.params.optional("cursor")?;
    let limit = call.params.number("limit").unwrap_or(DEFAULT_PAGE);
    let cids = context.account.blobs(call.params.optional::<Rev>("since")?, after.as_ref(), limit)?;
    let cids: Vec<String> = cids.iter().map(ToString::to_string).collect();
    let mut view = Map::new();
    view.extend(cids.last().map(|last| ("cursor".to_owned(), Json::from(last.as_str()))));
    view.insert("cids".into(), cids.into());
    Ok(Reply::Now(Response::json(&view)?))
}

/// `did`, `active` and `status`, as `getRepoStatus` and `listRepos` both say them.
pub(super) fn status(profile: &Profile) -> Map<String, Json> {
    let mut view = Map::new();
    view.insert("did".into(), profile.did.as_str().into());
    view.insert("active".into(), profile.inactive().is_none().into());
    if let Some(name) = profile.inactive().as_ref().and_then(|status| status.name()) {
        view.insert("status".into(), name.into());
    }
    view
}

/// The account, if it is the one that the caller asks for.
fn hosted(context: &Context<'_>, call: &Call) -> Result<Rc<Profile>, XrpcError> {
    let did: Did = call.params.parsed("did")?;
    match context.account.profile() {
        Ok(profile) if profile.did == did => Ok(profile),
        Ok(_) | Err(murmuration_account::AccountError::Vacant) => Err(XrpcError::repo_not_found(did)),
        Err(error) => Err(error.into()),
    }
}

/// Refuses an account that is not the one that the caller asks for, or whose repository the caller may not read.
fn readable(context: &Context<'_>, call: &Call) -> Result<(), XrpcError> {
    may_read(&call.caller, &*hosted(context, call)?)
}

/// Refuses an account whose repository the caller may not read, by the name that the lexicon has for it. Owner and
/// operator may always.
pub(super) fn may_read(caller: &Caller, profile: &Profile) -> Result<(), XrpcError> {
    if caller.is_owner_or_operator(&profile.did) {
        return Ok(());
    }
    match profile.inactive().as_ref().map(|status| status.name().unwrap_or_default()) {
        None => Ok(()),
        Some("takendown") => {
            Err(XrpcError::named("RepoTakendown", format!("Repo has been takendown: {}", profile.did)))
        }
        Some(_) => {
            Err(XrpcError::named("RepoDeactivated", format!("Repo has been deactivated: {}", profile.did)))
        }
    }
}
