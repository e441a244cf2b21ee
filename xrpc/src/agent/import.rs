//! Moving in: `com.atproto.repo.importRepo` and `listMissingBlobs`.
//!
//! An import is not a call like others, for its body may be as large as half of an isolate's memory. The Worker looks up which
//! keys may have signed the repository and hands the request on; the account's object reads the body a piece at a time
//! ([`begin`]), and takes over the repository in one turn when all of it has come ([`finish`]).

use murmuration_data::Cid;
use murmuration_keys::VerifyingKey;
use murmuration_repo::RepoError;
use murmuration_repo::car::Limits;
pub use murmuration_repo::{Held, Import};
use serde_json::{Map, Value as Json, json as object};

use super::{Call, Context, Reply, check_standing, sync, vacant_as_revoked};
use crate::http::Response;
use crate::method::Method;
use crate::{Config, XrpcError, auth};

/// Blobs of a page where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 500;

/// Refuses an import by what its headers say. `length` is what is promised of the CAR itself, if anything is.
///
/// # Errors
/// `InvalidRequest` on a host that takes none, and for a body of another type; `PayloadTooLarge`.
pub fn check(config: &Config, content_type: Option<&str>, length: Option<u64>) -> Result<(), XrpcError> {
    if !config.accepting_imports {
        return Err(XrpcError::invalid("Service is not accepting repo imports"));
    }
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type.is_empty() {
        return Err(XrpcError::invalid("Request encoding (Content-Type) required but not provided"));
    }
    if !media_type.eq_ignore_ascii_case(sync::CAR) {
        return Err(XrpcError::invalid(format!("Wrong request encoding (Content-Type): {media_type}")));
    }
    if length.is_some_and(|length| length > config.import_limit_bytes) {
        return Err(too_large(config));
    }
    Ok(())
}

/// Begins an import, if the caller may.
///
/// # Errors
/// As all methods that are for the account alone.
pub fn begin(
    context: &Context<'_>,
    method: &Method,
    authorization: Option<&str>,
) -> Result<Import, XrpcError> {
    let caller = auth::authenticate(context.config, method.auth, authorization, context.now_seconds())?;
    let profile = context.account.profile().map_err(vacant_as_revoked)?;
    if caller.claims()?.sub != profile.did {
        return Err(XrpcError::invalid_token("Token could not be verified"));
    }
    check_standing(method.standing, &profile)?;
    Ok(Import::new(Limits { bytes: context.config.import_limit_bytes, ..Limits::IMPORT }))
}

/// Takes the next piece of the CAR.
///
/// # Errors
/// `InvalidRequest` for the first thing that is wrong with it; `PayloadTooLarge`.
pub fn push(config: &Config, import: &mut Import, piece: &[u8]) -> Result<(), XrpcError> {
    import.push(piece).map_err(|error| match error {
        RepoError::TooLarge { limit, .. } if limit == config.import_limit_bytes => too_large(config),
        other => refused(&other),
    })
}

/// Takes over the repository whose CAR `held` holds, signed with one of `keys` (as `did:key`) or with the account's own.
///
/// # Errors
/// `InvalidRequest` for the first thing that is wrong with it, `AccountTakedown` where that came while the body did; nothing has
/// been changed then.
pub fn finish(
    context: &Context<'_>,
    method: &Method,
    import: Import,
    held: &dyn Held,
    keys: &[&str],
) -> Result<Response, XrpcError> {
    let (profile, own) = (context.account.profile()?, context.account.signing_key()?);
    check_standing(method.standing, &profile)?;
    // A key of a kind that is not known here has signed nothing that could be verified.
    let keys: Vec<VerifyingKey> =
        keys.iter().chain([&own.as_str()]).filter_map(|key| VerifyingKey::from_did_key(key).ok()).collect();
    let whole = import.finish(held, &profile.did, &keys).map_err(|error| refused(&error))?;
    context.account.import(&whole, context.clock.now_micros())?;
    Ok(Response::empty())
}

/// `com.atproto.repo.listMissingBlobs`
pub fn missing_blobs(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let did = &context.account.profile()?.did;
    let after: Option<Cid> = call.params.optional("cursor")?;
    let limit = call.params.number("limit").unwrap_or(DEFAULT_PAGE);
    let missing = context.account.missing_blobs(after.as_ref(), limit)?;
    let mut view = Map::new();
    view.extend(missing.last().map(|last| ("cursor".to_owned(), Json::from(last.cid.to_string()))));
    let blobs: Vec<Json> = missing
        .iter()
        .map(
            |blob| object!({ "cid": blob.cid.to_string(), "recordUri": format!("at://{did}/{}", blob.path) }),
        )
        .collect();
    view.insert("blobs".into(), blobs.into());
    Ok(Reply::Now(Response::json(&view)?))
}

fn refused(error: &RepoError) -> XrpcError {
    XrpcError::invalid(format!("The repository cannot be imported: {error}"))
}

fn too_large(config: &Config) -> XrpcError {
    XrpcError::too_large(usize::try_from(config.import_limit_bytes).unwrap_or(usize::MAX))
}
