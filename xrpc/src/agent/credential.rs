//! `com.atproto.server`: app passwords, and tokens for other services.

use murmuration_account::AppPassword;
use murmuration_data::Ipld;
use murmuration_firehose::Timestamp;
use murmuration_syntax::{Did, Nsid};
use serde_json::{Map, Value as Json, json as object};

use super::{Call, Context, Reply};
use crate::http::Response;
use crate::protected::{CREATE_ACCOUNT, is_privileged, is_protected};
use crate::token::Scope;
use crate::{XrpcError, service_auth};

/// Bytes of the longest name of an app password: a label, not a text.
const MAX_NAME_BYTES: usize = 256;

/// `com.atproto.server.createAppPassword`
pub fn create_app_password(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let name = call.input.text("name").unwrap_or_default();
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(XrpcError::invalid(format!("An app password's name has 1 to {MAX_NAME_BYTES} bytes")));
    }
    let made = AppPassword {
        name: name.to_owned(),
        privileged: call.input.flag("privileged").unwrap_or(false),
        created_at: context.clock.now_micros(),
    };
    let text = context.account.add_app_password(&made, context.entropy)?;
    let mut view = view(&made);
    view.insert("password".into(), text.into());
    Ok(Reply::Now(Response::json(&view)?))
}

/// `com.atproto.server.listAppPasswords`
pub fn app_passwords(context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    let passwords: Vec<Json> =
        context.account.app_passwords()?.iter().map(|found| Json::Object(view(found))).collect();
    Ok(Reply::Now(Response::json(&object!({ "passwords": passwords }))?))
}

/// `com.atproto.server.revokeAppPassword`
pub fn revoke_app_password(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    context.account.revoke_app_password(call.input.text("name").unwrap_or_default())?;
    Ok(Reply::Now(Response::empty()))
}

/// `com.atproto.server.getServiceAuth`
pub fn service_auth(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let scope = call.caller.claims()?.scope;
    let aud = call.params.text("aud").unwrap_or_default().to_owned();
    let lxm: Option<Nsid> = call.params.optional("lxm")?;
    if !is_audience(&aud) {
        return Err(XrpcError::invalid("aud must be a valid atproto DID or did#serviceId reference"));
    }
    if scope == Scope::Takendown && lxm.as_ref().is_none_or(|lxm| lxm.as_str() != CREATE_ACCOUNT) {
        return Err(XrpcError::invalid_token("Bad token scope"));
    }
    if let Some(lxm) = lxm.as_ref().filter(|lxm| is_privileged(lxm.as_str()))
        && scope == Scope::AppPassword
    {
        return Err(XrpcError::invalid(format!(
            "insufficient access to request a service auth token for the following method: {lxm}"
        )));
    }
    let exp = end(context.now_seconds(), call.params.take("exp"), lxm.is_some())?;
    if let Some(lxm) = lxm.as_ref().filter(|lxm| is_protected(lxm.as_str())) {
        return Err(XrpcError::invalid(format!(
            "cannot request a service auth token for the following protected method: {lxm}"
        )));
    }
    let token = service_auth::make(context, &aud, lxm.as_ref(), exp)?;
    Ok(Reply::Now(Response::json(&object!({ "token": token }))?))
}

/// When a token ends whose `exp` was asked for, if it was.
fn end(now: u64, asked: Option<Ipld>, names_a_method: bool) -> Result<u64, XrpcError> {
    let refused = |text| Err(XrpcError::named("BadExpiration", text));
    let Some(Ipld::Integer(asked)) = asked else { return Ok(now + service_auth::DEFAULT_SECONDS) };
    match u64::try_from(asked) {
        Ok(exp) if exp > now => {
            let seconds = exp - now;
            if seconds > service_auth::MAX_SECONDS {
                refused("cannot request a token with an expiration more than an hour in the future")
            } else if seconds > service_auth::DEFAULT_SECONDS && !names_a_method {
                refused(
                    "cannot request a method-less token with an expiration more than a minute in the future",
                )
            } else {
                Ok(exp)
            }
        }
        _ => refused("expiration is in past"),
    }
}

/// Whether a text is a DID that atproto resolves, or one of its services.
fn is_audience(text: &str) -> bool {
    let (did, service) = text.split_once('#').map_or((text, None), |(did, service)| (did, Some(service)));
    let fragment = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:@/?!$&'()*+,;=%".contains(&byte))
    };
    Did::parse(did).is_ok_and(|did| matches!(did.method(), "plc" | "web")) && service.is_none_or(fragment)
}

/// What is shown of an app password: everything but the password.
fn view(found: &AppPassword) -> Map<String, Json> {
    let mut view = Map::new();
    view.insert("name".into(), found.name.as_str().into());
    view.insert("createdAt".into(), Timestamp::from_micros(found.created_at).as_str().into());
    view.insert("privileged".into(), found.privileged.into());
    view
}
