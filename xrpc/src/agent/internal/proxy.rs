//! What the Worker needs of an account to speak for it to another service, and to show what that service has not seen yet.

use murmuration_account::{AccountError, Dated};
use murmuration_data::{cbor, json};
use murmuration_syntax::{AtUri, Handle, Nsid, RecordKey, RepoPath, Rev};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::{Context, check_standing};
use crate::http::Response;
use crate::method::Standing;
use crate::{XrpcError, service_auth};

/// A call for the proxy.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ProxyCall {
    /// Sign a service token, and answer with it. The Worker has verified who asks.
    Token {
        /// The service that it is for.
        aud: String,
        /// The method that it is for.
        lxm: Nsid,
        /// Whether an account may have it that is taken down.
        even_takendown: bool,
    },
    /// Say what the account has written of its profile and posts since a commit.
    Since {
        /// The revision of the commit.
        rev: Rev,
    },
}

/// What an account has written lately, and what is needed to show it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    /// The account's handle.
    pub handle: Handle,
    /// Its profile, whenever it was written.
    pub profile: Option<Written>,
    /// Whether it was written since.
    pub profile_is_new: bool,
    /// The posts that were written since, oldest first; of many the newest.
    pub posts: Vec<Written>,
}

/// A record and when it was written.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Written {
    /// Its address.
    pub uri: String,
    /// Its hash.
    pub cid: String,
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
    /// The record.
    pub value: Json,
}

pub(super) fn answer(context: &Context<'_>, call: ProxyCall) -> Result<Response, XrpcError> {
    match call {
        ProxyCall::Token { aud, lxm, even_takendown } => token(context, &aud, &lxm, even_takendown),
        ProxyCall::Since { rev } => Response::json(&since(context, rev)?),
    }
}

fn token(context: &Context<'_>, aud: &str, lxm: &Nsid, even_takendown: bool) -> Result<Response, XrpcError> {
    let profile = context.account.profile().map_err(|error| match error {
        AccountError::Vacant => XrpcError::invalid_token("Token could not be verified"),
        other => other.into(),
    })?;
    check_standing(if even_takendown { Standing::Any } else { Standing::NotTakendown }, &profile)?;
    let exp = context.now_seconds() + service_auth::DEFAULT_SECONDS;
    Response::json(&service_auth::make(context, aud, Some(lxm), exp)?)
}

/// Reads no row when the account has written nothing since, which is nearly always; else [`MAX_POSTS`] and three.
fn since(context: &Context<'_>, rev: Rev) -> Result<Option<Recent>, XrpcError> {
    let account = context.account;
    // A revision from before the account was made here is of another host's: nothing can be said of what came after it.
    if account.head()?.rev <= rev || rev.micros() < account.made_at()? {
        return Ok(None);
    }
    let collection = |name| Nsid::parse(name).map_err(XrpcError::internal);
    let path = RepoPath::new(collection(PROFILE)?, RecordKey::parse("self").map_err(XrpcError::internal)?);
    let profile = account.dated(&path)?;
    let profile_is_new = profile.as_ref().is_some_and(|profile| profile.rev > rev);
    let mut posts = account.newest(&collection(POST)?, MAX_POSTS)?;
    posts.retain(|post| post.rev > rev);
    posts.reverse();
    if posts.is_empty() && !profile_is_new {
        return Ok(None);
    }
    let owner = account.profile()?;
    let written = |dated: Dated| -> Result<Written, XrpcError> {
        let value = cbor::decode(&dated.record.value).map_err(XrpcError::internal)?;
        Ok(Written {
            uri: AtUri::record(&owner.did, &dated.record.path).to_string(),
            cid: dated.record.cid.to_string(),
            at: dated.rev.micros(),
            value: json::to_value(&value),
        })
    };
    Ok(Some(Recent {
        handle: owner.handle.clone(),
        profile: profile.map(written).transpose()?,
        profile_is_new,
        posts: posts.into_iter().map(written).collect::<Result<_, _>>()?,
    }))
}

const PROFILE: &str = "app.bsky.actor.profile";
const POST: &str = "app.bsky.feed.post";
/// Posts that are shown before the AppView has them (reference server: ten records).
const MAX_POSTS: u32 = 10;
