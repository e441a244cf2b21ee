//! Memories, operations and state as their lexicons have them.

use data_encoding::HEXLOWER;
use murmuration_data::{cbor, json};
use murmuration_firehose::Timestamp;
use murmuration_memory::{
    Beside, Entry, Memory, Operation, Received, SKEY, SPACE_TYPE, Share, Space, Written,
};
use murmuration_syntax::{Did, RepoPath};
use serde_json::{Value as Json, json as object};

use super::super::Context;
use crate::XrpcError;
use crate::public::permille;

pub(super) fn memory(context: &Context<'_>, memory: &Memory) -> Result<Json, XrpcError> {
    memory_of(&context.account.profile()?.did, memory)
}

/// A memory of anybody's.
pub(in crate::agent) fn memory_of(did: &Did, memory: &Memory) -> Result<Json, XrpcError> {
    let record = cbor::decode(&memory.record).map_err(XrpcError::internal)?;
    let mut view = object!({
        "uri": format!("at://{did}/{}", memory.path),
        "cid": memory.cid.to_string(),
        "rev": memory.rev,
        "collection": memory.path.collection,
        "privacy": if memory.shared { "shared" } else { "private" },
        "author": did,
        "record": json::to_value(&record),
        "pinned": memory.pinned,
        "createdAt": time(memory.created_at),
        "updatedAt": time(memory.updated_at),
    });
    if let Some(fields) = view.as_object_mut() {
        fields.extend(memory.expires_at.map(|at| ("expiresAt".to_owned(), time(at).into())));
        fields.extend(memory.is_partial.then(|| ("partial".to_owned(), true.into())));
    }
    Ok(view)
}

pub(super) fn written(context: &Context<'_>, written: &Written) -> Result<Json, XrpcError> {
    let uri = format!("at://{}/{}", context.account.profile()?.did, written.path);
    Ok(object!({ "uri": uri, "cid": written.cid.to_string(), "rev": written.rev }))
}

/// That somebody may read a memory of this agent's.
pub(in crate::agent) fn share(own: &Did, share: &Share) -> Json {
    let mut view = object!({
        "uri": format!("at://{own}/{}", share.path),
        "subject": share.reader,
        "sharedAt": time(share.shared_at),
    });
    if let Some(fields) = view.as_object_mut() {
        fields.extend(share.key_id.as_ref().map(|kid| ("kid".to_owned(), kid.as_str().into())));
    }
    view
}

/// That this agent may read a memory of somebody else's.
pub(super) fn received(own: &Did, received: &Received) -> Json {
    object!({
        "uri": format!("at://{}/{}", received.author, received.path),
        "subject": own,
        "sharedAt": time(received.noted_at),
    })
}

/// What was made, what was done with those that were there, and which are near.
pub(super) fn made(context: &Context<'_>, made: &Written) -> Result<Json, XrpcError> {
    let mut view = written(context, made)?;
    let did = &context.account.profile()?.did;
    let uri = |path: &RepoPath| format!("at://{did}/{path}");
    let Beside { same, near, ended, ended_by } = &made.beside;
    let outcome = match (made.repeated, same.is_some() || !near.is_empty()) {
        (true, true) => "skipped",
        (true, false) => "repeated",
        _ if ended.is_some() => "superseded",
        _ if ended_by.is_some() => "ended",
        _ => "created",
    };
    if let Some(fields) = view.as_object_mut() {
        fields.insert("outcome".into(), outcome.into());
        let named = [("duplicateOf", same), ("superseded", ended), ("supersededBy", ended_by)];
        for (name, path) in named {
            fields.extend(path.as_ref().map(|path| (name.to_owned(), uri(path).into())));
        }
        let near: Vec<Json> = near
            .iter()
            .map(|(path, cosine)| object!({ "uri": uri(path), "similarity": permille(*cosine) }))
            .collect();
        if !near.is_empty() {
            fields.insert("near".into(), near.into());
        }
    }
    Ok(view)
}

pub(super) fn operation(operation: &Operation) -> Json {
    let path = &operation.path;
    let mut view = object!({ "rev": operation.rev, "collection": path.collection, "rkey": path.rkey });
    if let Some(fields) = view.as_object_mut() {
        for (name, cid) in [("cid", operation.cid), ("prev", operation.prev)] {
            if let Some(cid) = cid {
                fields.insert(name.into(), cid.to_string().into());
            }
        }
    }
    view
}

pub(super) fn space(space: &Space) -> Json {
    let mut view = object!({
        "spaceType": SPACE_TYPE,
        "skey": SKEY,
        "hash": HEXLOWER.encode(&space.hash.digest()),
        "memories": space.memories,
        "operations": space.operations,
    });
    if let (Some(fields), Some(rev)) = (view.as_object_mut(), space.rev) {
        fields.insert("rev".into(), rev.to_string().into());
    }
    view
}

pub(super) fn entry(entry: &Entry) -> Json {
    let mut view = object!({
        "key": entry.key,
        "value": json::to_value(&entry.value),
        "rev": entry.rev,
        "updatedAt": time(entry.updated_at),
    });
    if let (Some(fields), Some(at)) = (view.as_object_mut(), entry.expires_at) {
        fields.insert("expiresAt".into(), time(at).into());
    }
    view
}

pub(super) fn time(micros: u64) -> String {
    Timestamp::from_micros(micros).to_string()
}
