//! Making memories: private ones, and public ones.

use murmuration_account::{Receipt, Write, WriteRequest};
use murmuration_data::{Ipld, cbor};
use murmuration_memory::{Draft, OnDuplicate, Once};
use murmuration_syntax::RecordKey;
use serde_json::json as object;

use super::super::record::{Validate, prepare as prepare_public};
use super::super::{Args, Call, Context, Reply};
use super::share::{share, sharing};
use super::{record, search, view, writing};
use crate::XrpcError;
use crate::http::Response;

/// `agent.memory.createMemory`
pub fn create_memory(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    match call.input.text("privacy") {
        None | Some("private") => {}
        Some("public") => return create_public(context, call.input),
        Some(other) => {
            return Err(XrpcError::invalid(format!("A memory is not made {other}: private or public")));
        }
    }
    let mind = writing(context)?;
    let input = &mut call.input;
    let key = input.text("idempotencyKey").map(str::to_owned);
    input.take("idempotencyKey");
    let asked =
        cbor::encode(&input.clone().into_ipld()).map_err(|error| XrpcError::invalid(error.to_string()))?;
    let once = key.as_deref().map(|key| Once { key, asked: &asked });
    let record = input.take("record").unwrap_or(Ipld::Null);
    let prepared = record::prepare(context, rkey(context, input)?, record)?;
    let meaning = search::meaning(context, &prepared.text);
    let near = input.number("similarity").map(search::of_permille);
    let draft = Draft {
        path: &prepared.path,
        record: &prepared.bytes,
        pinned: input.flag("pinned").unwrap_or(false),
        expires_at: prepared.expires_at,
        meaning: meaning.as_ref(),
        on_duplicate: on_duplicate(input)?,
        near,
    };
    search::follow(context, &mind)?;
    let (written, shared) = sharing(context, || {
        let written = mind.memories.create(mind.keeper(), draft, once)?;
        let skipped = written.repeated && (written.beside.same.is_some() || !written.beside.near.is_empty());
        let readers = if skipped { &[] } else { context.readers };
        let shared = share(context, &mind, &written.path, readers)?;
        Ok((written, shared))
    })?;
    let mut answer = view::made(context, &written)?;
    if let (Some(fields), true, true) = (answer.as_object_mut(), near.is_some(), meaning.is_none()) {
        fields.insert("degraded".into(), ["vector"].into());
    }
    shared.into_reply(answer)
}

/// Writes a memory into the repository, where everybody reads it.
fn create_public(context: &Context<'_>, mut input: Args) -> Result<Reply, XrpcError> {
    let unfit =
        ["pinned", "similarity", "idempotencyKey", "shareWith"].into_iter().find(|name| input.has(name));
    let unfit = unfit.or((on_duplicate(&input)? != OnDuplicate::Keep).then_some("onDuplicate"));
    if let Some(name) = unfit {
        return Err(XrpcError::invalid(format!("{name} is for private memories")));
    }
    let record = input.take("record").unwrap_or(Ipld::Null);
    let record::Prepared { path, bytes, expires_at, .. } =
        record::prepare(context, rkey(context, &input)?, record)?;
    context.config.refused_words.check_key(path.rkey.as_str())?;
    if expires_at.is_some() {
        return Err(record::invalid("what is public does not end by itself"));
    }
    if context.account.record(&path)?.is_some() {
        return Err(XrpcError::named("DuplicateConflict", "There is a public memory with this record key"));
    }
    let value = cbor::decode(&bytes).map_err(XrpcError::internal)?;
    let prepared =
        prepare_public(context.catalog, Validate::from(Some(true)), path.collection, path.rkey, value)?;
    let (did, path) = (context.account.profile()?.did.clone(), prepared.path);
    let write = Write::Create { path: path.clone(), value: prepared.value, replaces: false };
    let request = WriteRequest { swap_commit: None, writes: vec![write], unlimited: false };
    let finish = move |receipt: Receipt| {
        let (Some(commit), Some(cid)) = (receipt.commit, receipt.records.last().copied().flatten()) else {
            return Err(XrpcError::internal("a record was written without a commit"));
        };
        let uri = format!("at://{did}/{path}");
        let rev = commit.rev.to_string();
        Response::json(&object!({ "uri": uri, "cid": cid.to_string(), "rev": rev, "outcome": "created" }))
    };
    Ok(Reply::AfterWrite(request, Box::new(finish)))
}

/// The record key that the caller wants, or a TID of now.
fn rkey(context: &Context<'_>, input: &Args) -> Result<RecordKey, XrpcError> {
    Ok(match input.optional("rkey")? {
        Some(rkey) => rkey,
        None => context.account.fresh_tid(context.clock.now_micros())?.into(),
    })
}

fn on_duplicate(input: &Args) -> Result<OnDuplicate, XrpcError> {
    match input.text("onDuplicate") {
        None | Some("keep") => Ok(OnDuplicate::Keep),
        Some("skip") => Ok(OnDuplicate::Skip),
        Some("supersede") => Ok(OnDuplicate::Supersede),
        Some(_) => Err(XrpcError::invalid("onDuplicate is keep, skip or supersede")),
    }
}
