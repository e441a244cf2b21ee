//! A memory that everybody may read from now on.

use murmuration_data::cbor;
use murmuration_memory::MemoryError;
use serde_json::json as object;

use super::super::record::{Prepared, Validate, prepare};
use super::super::{Call, Context, Reply};
use super::{own_path, reading};
use crate::XrpcError;
use crate::http::Response;

/// `agent.memory.publishMemory`
pub fn publish_memory(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let path = own_path(context, &call.input)?;
    if call.input.flag("confirm") != Some(true) {
        let text = "What is published stays public: say with confirm that this is wanted";
        return Err(XrpcError::named("NotConfirmed", text));
    }
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let memory = mind.memories.get(mind.keeper(), &path)?;
    if context.account.record(&path)?.is_some() {
        return Err(XrpcError::named("AlreadyPublic", "The repository has a record of this name"));
    }
    let record = cbor::decode(&memory.record).map_err(XrpcError::internal)?;
    let (collection, rkey) = (path.collection.clone(), path.rkey.clone());
    let Prepared { value, .. } = prepare(context.catalog, Validate::Required, collection, rkey, record)?;
    let now = context.clock.now_micros();
    let receipt = context.account.publish_memory(&path, value, context.entropy, now)?;
    let mut answer = object!({
        "uri": format!("at://{}/{path}", context.account.profile()?.did),
        "cid": memory.cid.to_string(),
    });
    if let (Some(fields), Some(commit)) = (answer.as_object_mut(), receipt.commit) {
        fields.insert("commit".into(), object!({ "cid": commit.cid.to_string(), "rev": commit.rev }));
    }
    Ok(Reply::Changed(Response::json(&answer)?))
}
