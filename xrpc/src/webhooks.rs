//! `agent.relay.createWebhook`, `listWebhooks` and `deleteWebhook`, which the relay's object answers.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, json};
use murmuration_firehose::Timestamp;
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_relay::{HookState, HookView, NewHook, ResealedHooks};
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json as object};

use crate::agent::{Args, input};
use crate::events::{filter, refused};
use crate::host::reseal::Resealed;
use crate::http::{Request, Response};
use crate::method::Method;
use crate::{Config, XrpcError, auth, table};

/// The method of this path, if it is about webhooks.
#[must_use]
pub fn find(path: &str) -> Option<&'static Method> {
    let nsid = path.strip_prefix("/xrpc/")?;
    [CREATE, LIST, DELETE].contains(&nsid).then(|| table::find(nsid)).flatten()
}

/// What an owner of webhooks asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A new one. Its URL is not looked at yet.
    Create(NewHook),
    /// All of an account's.
    List(Did),
    /// That one of an account's goes.
    Delete(Did, u64),
}

/// Reads a request, and who asks.
///
/// # Errors
/// What the caller is to see.
pub fn asked(
    config: &Config,
    catalog: &Catalog,
    method: &Method,
    request: &Request,
    now_seconds: u64,
) -> Result<Asked, XrpcError> {
    let caller = auth::authenticate(config, method.auth, request.authorization.as_deref(), now_seconds)?;
    let did = caller.claims()?.sub.clone();
    lexicons::params(catalog, method.nsid, &request.query)
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    let mut input = Args::new(input(catalog, method, request)?);
    match method.nsid {
        CREATE => {
            let filter = filter(&input).map_err(refused)?;
            let url = input.text("url").unwrap_or_default().to_owned();
            let said = WANTED.iter().filter_map(|name| Some(((*name).to_owned(), input.take(name)?)));
            let wanted = json::to_string(&Ipld::Map(said.collect::<BTreeMap<_, _>>()));
            Ok(Asked::Create(NewHook { did, url, filter, wanted }))
        }
        LIST => Ok(Asked::List(did)),
        DELETE => {
            let id = input.text("id").and_then(|id| u64::from_str_radix(id, 16).ok());
            id.map(|id| Asked::Delete(did, id)).ok_or_else(not_found)
        }
        _ => Err(XrpcError::not_implemented()),
    }
}

/// The answer of `createWebhook`; the secret is shown this once.
///
/// # Errors
/// None that a caller could cause.
pub fn created(hook: &HookView, secret: &str) -> Result<Response, XrpcError> {
    Response::json(&object!({ "webhook": view(hook), "secret": secret }))
}

/// The answer of `listWebhooks`.
///
/// # Errors
/// None that a caller could cause.
pub fn listed(hooks: &[HookView]) -> Result<Response, XrpcError> {
    Response::json(&object!({ "webhooks": hooks.iter().map(view).collect::<Vec<_>>() }))
}

/// What was sealed anew, for the operator.
#[must_use]
pub fn resealed(found: &ResealedHooks) -> Resealed {
    let failed = found.failed.iter().map(|id| format!("{id:x}")).collect();
    Resealed { resealed: found.resealed, failed, done: found.done }
}

/// `WebhookNotFound`.
#[must_use]
pub fn not_found() -> XrpcError {
    XrpcError::named("WebhookNotFound", "There is no such webhook")
}

fn view(hook: &HookView) -> Json {
    let state = match hook.state {
        HookState::Failing => "failing",
        HookState::Paused => "paused",
        HookState::Disabled => "disabled",
        _ => "active",
    };
    let mut view: Map<String, Json> = serde_json::from_str(&hook.wanted).unwrap_or_default();
    view.insert("id".into(), format!("{:x}", hook.id).into());
    view.insert("url".into(), hook.url.as_str().into());
    view.insert("state".into(), state.into());
    view.insert("failures".into(), hook.failures.into());
    let created = Timestamp::from_micros(hook.created_at.saturating_mul(1000));
    view.insert("createdAt".into(), created.as_str().into());
    view.into()
}

const CREATE: &str = "agent.relay.createWebhook";
const LIST: &str = "agent.relay.listWebhooks";
const DELETE: &str = "agent.relay.deleteWebhook";

/// What an owner says of the events that it wants.
const WANTED: [&str; 4] = ["wantedCollections", "wantedTopics", "wantedDids", "includeRecords"];
