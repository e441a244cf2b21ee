//! One GET or POST through the guarded client, with the statuses sorted.

use murmuration_platform::{Outbound, OutboundRequest, Verb};

use crate::BridgeError;

/// Milliseconds that a directory, a name server or a host has for its answer.
pub(crate) const TIMEOUT_MILLIS: u32 = 10_000;

/// Fetches `url`: its body when the answer is 200, `None` when the host says that there is nothing (404 or 410).
///
/// # Errors
/// [`BridgeError::Outbound`] without an answer, [`BridgeError::Status`] for any other status; a redirect is one.
pub(crate) async fn get(
    outbound: &dyn Outbound,
    url: &str,
    accept: &str,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, BridgeError> {
    match status(outbound, url, accept, max_bytes).await? {
        (200, body) => Ok(Some(body)),
        (404 | 410, _) => Ok(None),
        (status, _) => Err(BridgeError::Status { url: url.to_owned(), status }),
    }
}

/// Fetches `url`: the status and the body.
///
/// # Errors
/// [`BridgeError::Outbound`] without an answer.
pub(crate) async fn status(
    outbound: &dyn Outbound,
    url: &str,
    accept: &str,
    max_bytes: usize,
) -> Result<(u16, Vec<u8>), BridgeError> {
    let response = outbound
        .send(OutboundRequest {
            verb: Verb::Get,
            url: url.to_owned(),
            headers: vec![("accept".into(), accept.into())],
            body: Vec::new(),
            max_bytes,
            timeout_ms: TIMEOUT_MILLIS,
        })
        .await?;
    Ok((response.status, response.body))
}

/// Posts JSON to `url` and gives the status and the answer's body.
///
/// # Errors
/// [`BridgeError::Outbound`] without an answer.
pub(crate) async fn post_json(
    outbound: &dyn Outbound,
    url: &str,
    json: String,
    max_bytes: usize,
) -> Result<(u16, Vec<u8>), BridgeError> {
    let response = outbound
        .send(OutboundRequest {
            verb: Verb::Post,
            url: url.to_owned(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: json.into_bytes(),
            max_bytes,
            timeout_ms: TIMEOUT_MILLIS,
        })
        .await?;
    Ok((response.status, response.body))
}
