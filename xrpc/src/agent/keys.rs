//! `agent.identity`: the keys of an agent, as its host has them.

use murmuration_account::{AccountError, Handoffs, Messages, Remembered, SealedStore};
use murmuration_data::{Ipld, cbor, json};
use murmuration_keyring::{COLLECTION, RKEY};
use murmuration_syntax::RepoPath;
use serde_json::{Map, Value as Json};

use super::{Call, Context, Reply};
use crate::XrpcError;
use crate::http::Response;

/// All that is sealed under an agent's keys in its object: what a rotation wraps anew.
pub const SEALED_STORES: &[&dyn SealedStore] = &[&Messages, &Handoffs, &Remembered];

/// `agent.identity.getKeys`: what the repository publishes, whoever keeps the secrets.
pub fn keys(context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    let profile = context.account.profile()?;
    if profile.inactive().is_some() {
        return Err(AccountError::Vacant.into());
    }
    let path = RepoPath::parse(&format!("{COLLECTION}/{RKEY}")).map_err(XrpcError::internal)?;
    let record = context.account.record(&path)?.ok_or(AccountError::NoKeys)?;
    let Ok(Ipld::Map(mut fields)) = cbor::decode(&record.value) else {
        return Err(AccountError::NoKeys.into());
    };
    let Some(epochs @ Ipld::List(_)) = fields.remove("epochs") else {
        return Err(AccountError::NoKeys.into());
    };
    let Some(Ipld::String(updated_at)) = fields.remove("updatedAt") else {
        return Err(AccountError::NoKeys.into());
    };
    let custody = if context.account.keeps_keys()? { "hosted" } else { "client" };
    let mut answer: Map<String, Json> = Map::new();
    answer.insert("did".into(), profile.did.as_str().into());
    answer.insert("custody".into(), custody.into());
    answer.insert("epochs".into(), json::to_value(&epochs));
    answer.insert("updatedAt".into(), updated_at.into());
    answer.insert("rev".into(), context.account.head()?.rev.to_string().into());
    answer.insert("cid".into(), record.cid.to_string().into());
    Ok(Reply::Now(Response::json(&answer)?))
}
