//! `com.atproto.server`: the sessions of the account.

use data_encoding::BASE64;
use murmuration_account::{Profile, Session};
use serde_json::{Map, Value as Json, json as object};

use super::{Call, Context, Reply};
use crate::XrpcError;
use crate::http::Response;
use crate::token::{self, ACCESS_SECONDS, Claims, REFRESH_SECONDS, Scope};

/// Bytes of randomness in the id of a session.
const SESSION_ID_BYTES: usize = 32;

/// `com.atproto.server.getSession`
pub fn session(context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    Ok(Reply::Now(Response::json(&view(&*context.account.profile()?))?))
}

/// `com.atproto.server.refreshSession`
pub fn refresh_session(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    if context.account.profile()?.takedown.is_some() {
        return Err(XrpcError::takendown());
    }
    let id = call
        .caller
        .claims()?
        .jti
        .clone()
        .ok_or_else(|| XrpcError::invalid_token("Token could not be verified"))?;
    let now = context.clock.now_micros();
    let expires_at = now + REFRESH_SECONDS * 1_000_000;
    let next = context.account.rotate_session(&id, &fresh_id(context), expires_at, now)?;
    Ok(Reply::Now(Response::json(&with_tokens(context, &next)?)?))
}

/// `com.atproto.server.deleteSession`
pub fn delete_session(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    if let Some(id) = &call.caller.claims()?.jti {
        context.account.end_session(id)?;
    }
    Ok(Reply::Now(Response::empty()))
}

/// `com.atproto.temp.checkSignupQueue`: nobody waits here, for whoever has a token has an account.
pub fn signup_queue(_context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    Ok(Reply::Now(Response::json(&object!({ "activated": true }))?))
}

/// Begins a session of the given scope, and answers its tokens and whose it is.
pub(super) fn begin(
    context: &Context<'_>,
    scope: Scope,
    app_password: Option<String>,
) -> Result<Json, XrpcError> {
    let now = context.clock.now_micros();
    let session = Session { id: fresh_id(context), scope: spelling(scope)?, app_password };
    // That of an account that is taken down is not stored, so that it is not renewed.
    if scope != Scope::Takendown {
        context.account.begin_session(&session, now + REFRESH_SECONDS * 1_000_000, now)?;
    }
    with_tokens(context, &session)
}

fn with_tokens(context: &Context<'_>, session: &Session) -> Result<Json, XrpcError> {
    let profile = context.account.profile()?;
    let scope = serde_json::from_value(Json::String(session.scope.clone())).map_err(XrpcError::internal)?;
    let iat = context.now_seconds();
    let id = Some(session.id.clone());
    let sign = |scope, seconds, jti, sid| {
        let claims = Claims {
            scope,
            sub: profile.did.clone(),
            aud: context.config.service_did(),
            iat,
            exp: iat + seconds,
            jti,
            sid,
        };
        token::sign(&context.config.jwt_secret, &claims).map_err(XrpcError::internal)
    };
    let mut answer = view(&profile);
    answer.insert("accessJwt".into(), sign(scope, ACCESS_SECONDS, None, id.clone())?.into());
    answer.insert("refreshJwt".into(), sign(Scope::Refresh, REFRESH_SECONDS, id, None)?.into());
    Ok(Json::Object(answer))
}

fn view(profile: &Profile) -> Map<String, Json> {
    let mut view = Map::new();
    view.insert("did".into(), profile.did.as_str().into());
    view.insert("handle".into(), profile.handle.as_str().into());
    if let Some(email) = &profile.email {
        view.insert("email".into(), email.as_str().into());
        view.insert("emailConfirmed".into(), profile.email_confirmed.into());
    }
    view.insert("active".into(), profile.inactive().is_none().into());
    if let Some(status) = profile.inactive().as_ref().and_then(|status| status.name()) {
        view.insert("status".into(), status.into());
    }
    view
}

fn spelling(scope: Scope) -> Result<String, XrpcError> {
    match serde_json::to_value(scope) {
        Ok(Json::String(text)) => Ok(text),
        _ => Err(XrpcError::internal("a scope has no spelling")),
    }
}

fn fresh_id(context: &Context<'_>) -> String {
    let mut bytes = [0; SESSION_ID_BYTES];
    context.entropy.fill(&mut bytes);
    BASE64.encode(&bytes)
}
