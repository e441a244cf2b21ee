//! Memories, operations and state as their lexicons have them.

use data_encoding::HEXLOWER;
use murmuration_data::{cbor, json};
use murmuration_firehose::Timestamp;
use murmuration_memory::{Entry, Memory, Operation, SKEY, SPACE_TYPE, Space, Written};
use serde_json::{Value as Json, json as object};

use super::super::Context;
use crate::XrpcError;

pub(super) fn memory(context: &Context<'_>, memory: &Memory) -> Result<Json, XrpcError> {
    let did = &context.account.profile()?.did;
    let record = cbor::decode(&memory.record).map_err(XrpcError::internal)?;
    let mut view = object!({
        "uri": format!("at://{did}/{}", memory.path),
        "cid": memory.cid.to_string(),
        "rev": memory.rev,
        "collection": memory.path.collection,
        "privacy": if memory.readers.is_empty() { "private" } else { "shared" },
        "author": did,
        "record": json::to_value(&record),
        "pinned": memory.pinned,
        "createdAt": time(memory.created_at),
        "updatedAt": time(memory.updated_at),
    });
    if let (Some(fields), Some(at)) = (view.as_object_mut(), memory.expires_at) {
        fields.insert("expiresAt".into(), time(at).into());
    }
    Ok(view)
}

pub(super) fn written(context: &Context<'_>, written: &Written) -> Result<Json, XrpcError> {
    let uri = format!("at://{}/{}", context.account.profile()?.did, written.path);
    Ok(object!({ "uri": uri, "cid": written.cid.to_string(), "rev": written.rev }))
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

fn time(micros: u64) -> String {
    Timestamp::from_micros(micros).to_string()
}
