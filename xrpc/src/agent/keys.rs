//! `agent.identity`: the keys of an agent, as its host has them.

use murmuration_account::{AccountError, Handoffs, Messages, Remembered, SealedStore};
use murmuration_data::{Ipld, cbor, json};
use murmuration_keyring::{COLLECTION, EpochSecrets, RKEY};
use murmuration_keys::Zeroizing;
use murmuration_syntax::RepoPath;
use serde_json::{Map, Value as Json, json as object};

use super::{Args, Call, Context, Reply, custody};
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

/// `agent.identity.exportKeys`: the secrets themselves, for the agent's owner to take along.
pub fn export_keys(context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    let ring = match context.account.ring() {
        Err(AccountError::NoKeys) if custody::is_clients(context.account)? => {
            return Err(custody::refused("its host has none of them"));
        }
        other => other?,
    };
    let epoch = |secrets: &EpochSecrets| {
        let bytes = Ipld::Bytes(secrets.to_bytes().to_vec());
        object!({ "epoch": secrets.number(), "secrets": json::to_value(&bytes) })
    };
    let epochs: Vec<Json> = ring.epochs().iter().map(epoch).collect();
    Ok(Reply::Now(Response::json(&object!({ "did": ring.did(), "epochs": epochs }))?))
}

/// `agent.identity.importKeys`
pub fn import_keys(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    if custody::says_clients(context.account)? {
        return Err(custody::refused("its host is to have none of them"));
    }
    let foreign = || XrpcError::named("ForeignKeys", "The keys are not those that the repository publishes");
    let epochs = match call.input.take("epochs") {
        Some(Ipld::List(epochs)) => epochs,
        _ => Vec::new(),
    };
    let epochs = epochs.into_iter().map(|epoch| {
        let mut epoch = Args::new(epoch);
        let (number, secrets) = (epoch.number("epoch"), epoch.take("secrets"));
        match (number, secrets) {
            (Some(number), Some(Ipld::Bytes(bytes))) => {
                EpochSecrets::from_bytes(number, &Zeroizing::new(bytes)).map_err(|_| foreign())
            }
            _ => Err(foreign()),
        }
    });
    let epochs = epochs.collect::<Result<Vec<_>, _>>()?;
    let latest = context.account.import_keys(epochs, context.entropy, context.clock.now_micros());
    let latest = latest.map_err(|error| match error {
        AccountError::ForeignKeys => foreign(),
        other => other.into(),
    })?;
    Ok(Reply::Changed(Response::json(&object!({ "epoch": latest }))?))
}
