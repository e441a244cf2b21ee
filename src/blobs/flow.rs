//! `uploadBlob` and `getBlob`: bytes between client and store, books in the account's object.

use murmuration_data::{RAW, cid_of_digest};
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_syntax::Did;
use murmuration_xrpc::agent::internal::{BlobEntry, InternalCall};
use murmuration_xrpc::agent::{Args, check_verb};
use murmuration_xrpc::host::{AgentAnswer, Agents};
use murmuration_xrpc::http as plain;
use murmuration_xrpc::method::Method;
use murmuration_xrpc::{Config, XrpcError};
use serde::Deserialize;
use serde_json::json;
use web_sys::Response;
use worker::Env;

use super::{BlobError, BlobStore};
use crate::body::Encoding;
use crate::http::{self, Asked, Head};
use crate::request::Incoming;
use crate::stubs::Stubs;

/// The type of bytes that nothing is known of.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// Bytes of the longest media type (RFC 6838: 127 on each side of the slash).
const MAX_TYPE_BYTES: usize = 255;
/// What a blob may do in a browser that opens it: nothing.
const SANDBOX: &str = "default-src 'none'; sandbox";
/// Shared caches keep no blob: its bytes never change, but it may be deleted or taken down.
const CACHE: &str = "private";
/// Seconds after which an upload that found no room may try again.
const RETRY_SECONDS: u32 = 5;

/// `com.atproto.repo.uploadBlob` of an account that has shown its credential.
///
/// The account's object hears of the key when all has arrived, before there are bytes under it, and deletes them when nothing comes of
/// the upload: whoever dies on the way leaves nothing behind, and what is refused writes no row. To be run to its end even when the
/// client goes away, so that what is stored is noted.
///
/// # Errors
/// What the caller is to see.
pub(crate) async fn upload(
    request: &Incoming,
    uploader: Did,
    config: &Config,
    env: &Env,
) -> Result<plain::Response, XrpcError> {
    let header = |name| request.header(name);
    let claimed = media_type(header("content-type").as_deref())?;
    let encoding = Encoding::parse(header("content-encoding").as_deref()).map_err(http::unreadable)?;
    // The length of a packed body says nothing of what is in it.
    let length = header("content-length").filter(|_| encoding == Encoding::Identity);
    let length: Option<usize> = length.and_then(|text| text.parse().ok());
    let no_body = || XrpcError::invalid("A request body is expected but none was provided");
    let body = request.body().ok_or_else(no_body)?;

    let store = BlobStore::open(env).map_err(XrpcError::internal)?;
    let key = BlobStore::fresh_key();
    let arrived = store.take(&key, &body, encoding, length, config.blob_limit_bytes).await;
    // A body of no bytes and no body look the same from here.
    let arrived = arrived.map_err(refused)?.ok_or_else(no_body)?;
    let stubs = Stubs::new(env);
    let expected = InternalCall::ExpectBlob { uploader: uploader.clone(), key: key.clone() };
    if let Err(error) = stubs.call(&uploader, expected).await.and_then(|answer| accepted(&answer)) {
        arrived.abandon().await;
        return Err(error);
    }
    if let Err(error) = arrived.finish().await {
        drop_bytes(&store, &key).await;
        return Err(refused(error));
    }
    let blob = BlobEntry {
        cid: cid_of_digest(RAW, &arrived.sha256).to_string(),
        key: key.clone(),
        mime_type: sniffed(&arrived.head).map_or(claimed, str::to_owned),
        size: arrived.size,
    };
    let view = json!({ "blob": {
        "$type": "blob", "ref": { "$link": blob.cid }, "mimeType": blob.mime_type, "size": blob.size
    } });
    let call = InternalCall::AddBlob { uploader: uploader.clone(), blob };
    let noted = stubs.call(&uploader, call).await;
    match noted.and_then(|answer| entry(&answer)) {
        Ok(kept) => {
            if kept.key != key {
                drop_bytes(&store, &key).await;
            }
            plain::Response::json(&view)
        }
        Err(error) => {
            // An object that did not answer may have noted the blob: it knows whether its bytes stay.
            if error.cause().is_none() {
                drop_bytes(&store, &key).await;
            }
            Err(error)
        }
    }
}

/// `com.atproto.sync.getBlob`.
///
/// # Errors
/// What the caller is to see.
pub(crate) async fn download(request: &Incoming, method: &Method, env: &Env) -> Result<Response, XrpcError> {
    let verb = request.verb();
    check_verb(method, verb)?;
    let params = lexicons::params(Catalog::builtin(), method.nsid, &request.query())
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    let params = Args::new(params);
    let did: Did = params.parsed("did")?;
    let cid = params.text("cid").unwrap_or_default().to_owned();
    let authorization = request.authorization().map(str::to_owned);
    let call = InternalCall::FindBlob { authorization, cid };
    let blob = entry(&Stubs::new(env).call(&did, call).await?)?;

    let asked = Asked::of(request);
    let mut head = Head::new(asked);
    let tag = format!("\"{}\"", blob.cid);
    head.set("etag", &tag);
    if !asked.authorized() {
        head.set("cache-control", CACHE);
    }
    let known = request.header("if-none-match");
    if known.is_some_and(|known| known.split(',').any(|item| item.trim().trim_start_matches("W/") == tag)) {
        return Ok(head.empty(304));
    }
    head.set("content-type", &blob.mime_type);
    head.set("content-length", &blob.size.to_string());
    head.set("content-disposition", &format!("attachment; filename=\"{}\"", blob.cid));
    head.set("content-security-policy", SANDBOX);
    head.set("x-content-type-options", "nosniff");
    if verb == plain::Verb::Head {
        return Ok(head.empty(200));
    }
    let store = BlobStore::open(env).map_err(XrpcError::internal)?;
    match store.get(&blob.key).await.map_err(XrpcError::internal)? {
        Some(stream) => Ok(head.stream(200, &stream)),
        None => Err(XrpcError::internal(format!("the bytes of blob {} of {did} are gone", blob.cid))),
    }
}

/// What a client is told whose body was not stored.
fn refused(error: BlobError) -> XrpcError {
    match error {
        BlobError::TooLarge(limit) => XrpcError::too_large(limit),
        BlobError::Body(_) => XrpcError::invalid(error.to_string()),
        BlobError::Late => XrpcError::upload_late(),
        BlobError::Busy => {
            let busy = "Other blobs are being uploaded at the moment: try again, or say the length";
            XrpcError::new(503, "NotEnoughResources", busy).with("retry-after", RETRY_SECONDS.to_string())
        }
        other => XrpcError::internal(other),
    }
}

/// Deletes bytes that nothing came of. If that fails they stay until the account's object does it, which expects them.
async fn drop_bytes(store: &BlobStore, key: &str) {
    if let Err(error) = store.delete(key).await {
        worker::console_warn!("bytes under {key} are left for later: {error}");
    }
}

/// The blob that an object answered with, or its refusal.
fn entry(answer: &AgentAnswer) -> Result<BlobEntry, XrpcError> {
    accepted(answer)?;
    serde_json::from_slice(&answer.body).map_err(XrpcError::internal)
}

/// The refusal of an object, if it refused. A fault stays a fault; its cause was logged over there.
fn accepted(answer: &AgentAnswer) -> Result<(), XrpcError> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        message: String,
    }
    let broken = || XrpcError::internal(format!("an agent's object answered with status {}", answer.status));
    if answer.status == 200 {
        return Ok(());
    }
    let refusal: Refusal = serde_json::from_slice(&answer.body).map_err(|_| broken())?;
    let is_refusal = (400..500).contains(&answer.status);
    Err(if is_refusal { XrpcError::new(answer.status, refusal.error, refusal.message) } else { broken() })
}

/// The media type that the bytes themselves tell. Text is not told: what its author calls it is as good as a guess.
fn sniffed(head: &[u8]) -> Option<&'static str> {
    let kind = infer::get(head)?;
    (kind.matcher_type() != infer::MatcherType::Text).then(|| kind.mime_type())
}

/// The media type of a `Content-Type` header, without its parameters.
fn media_type(header: Option<&str>) -> Result<String, XrpcError> {
    let text = header.and_then(|header| header.split(';').next()).unwrap_or_default().trim();
    if text.is_empty() {
        return Err(XrpcError::invalid("Request encoding (Content-Type) required but not provided"));
    }
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    match text.split_once('/') {
        Some((kind, name)) if text.len() <= MAX_TYPE_BYTES && token(kind) && token(name) => {
            Ok(text.to_ascii_lowercase())
        }
        // Clients that know nothing say `*/*`.
        _ if text == "*/*" => Ok(UNKNOWN_TYPE.to_owned()),
        _ => Err(XrpcError::invalid("Request encoding (Content-Type) is not a media type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_pictures_by_their_bytes_and_leaves_text_alone() {
        assert_eq!(sniffed(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Some("image/png"));
        assert_eq!(sniffed(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some("image/jpeg"));
        assert_eq!(sniffed(b"<html><script>alert(1)</script>"), None);
        assert_eq!(sniffed(b"#!/bin/sh\n"), None);
        assert_eq!(sniffed(b""), None);
    }

    #[test]
    fn reads_a_media_type_without_its_parameters() {
        assert_eq!(media_type(Some("Text/Plain; charset=utf-8")).unwrap(), "text/plain");
        assert_eq!(media_type(Some("image/svg+xml")).unwrap(), "image/svg+xml");
        assert_eq!(media_type(Some("*/*")).unwrap(), UNKNOWN_TYPE);
        for bad in
            [None, Some(""), Some(";"), Some("text"), Some("a/"), Some("a/b c"), Some("a/b\u{e9}"), Some("/")]
        {
            assert!(media_type(bad).is_err(), "{bad:?}");
        }
    }
}
