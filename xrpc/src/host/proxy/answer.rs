//! What passes between a caller and another service, and what a service's refusal becomes.

use murmuration_platform::OutboundError;
use serde_json::Value as Json;

use crate::XrpcError;
use crate::http::Response;

/// Headers of a request that the service gets to see; with [`FORWARDED_BODY`] if it has a body.
pub const FORWARDED: &[&str] =
    &["accept-encoding", "accept-language", "atproto-accept-labelers", "x-bsky-topics"];
/// Headers that tell of a request's body.
pub const FORWARDED_BODY: &[&str] = &["content-type", "content-encoding"];
/// Headers of an answer that the caller gets to see.
pub const RETURNED: &[&str] = &[REPO_REV, LABELERS, RETRY_AFTER];
/// Headers that tell of an answer's body. Its length is the runtime's to say.
pub const RETURNED_BODY: &[&str] = &["content-type", "content-encoding", "content-language"];
/// The revision of the caller's repository that an AppView's answer knows of.
pub const REPO_REV: &str = "atproto-repo-rev";
/// Milliseconds that an AppView is behind.
pub const UPSTREAM_LAG: &str = "atproto-upstream-lag";
const LABELERS: &str = "atproto-content-labelers";
const RETRY_AFTER: &str = "retry-after";

/// Milliseconds to an answer's headers (reference server).
pub const HEADERS_TIMEOUT_MS: u32 = 10_000;
/// Milliseconds between two chunks of an answer's body (reference server).
pub const BODY_TIMEOUT_MS: u32 = 30_000;
/// Milliseconds for the whole of an answer's body. Ours: its 10 MB at 35 KB a second, so that no honest answer on a slow line is
/// cut, and none that drips a byte before each `BODY_TIMEOUT_MS` holds a connection for years.
pub const BODY_TOTAL_MS: u32 = 5 * 60 * 1_000;
/// Bytes of an answer's body, unpacked (reference server: 10 MB).
pub const MAX_ANSWER_BYTES: usize = 10 * 1024 * 1024;
/// Bytes of a refusal that are read; what is longer is no sentence.
pub const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Bytes of an answer that is brought up to date: a page of a hundred posts has some 500,000. What is longer passes as it
/// is.
pub const MAX_FRESH_BYTES: usize = 2 * 1024 * 1024;

/// The name and message that a service's refusal came with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The error's name.
    pub error: Option<String>,
    /// The sentence.
    pub message: Option<String>,
}

impl Reason {
    /// Reads the body of a refusal; one in another form says nothing.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let body: Json = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Json::as_str).map(str::to_owned);
        Self { error: text("error"), message: text("message") }
    }

    /// What the caller is told of a refusal with that status. A service's own fault is a failed upstream to the caller.
    #[must_use]
    pub fn into_error(self, status: u16) -> XrpcError {
        let message = self.message.filter(|message| !message.is_empty());
        match status {
            400..=499 => {
                let error = self.error.filter(|error| !error.is_empty());
                let error = error.unwrap_or_else(|| default_name(status).to_owned());
                let message = message.unwrap_or_else(|| error.clone());
                XrpcError::new(status, error, message)
            }
            // Redirects are not followed, so one is no answer.
            300..=399 => XrpcError::upstream("The upstream service answered with a redirect"),
            _ => XrpcError::upstream(message.as_deref().unwrap_or("The upstream service failed")),
        }
    }
}

/// A refusal as an answer, with the headers that the service sent with it.
#[must_use]
pub fn refusal(status: u16, reason: Reason, headers: Vec<(&'static str, String)>) -> Response {
    let mut response = Response::from(reason.into_error(status));
    response.headers.extend(headers);
    response
}

/// What the caller is told when there is no answer.
#[must_use]
pub fn unanswered(error: &OutboundError) -> XrpcError {
    match error {
        OutboundError::Refused { .. } => {
            XrpcError::invalid("the service's address is not one that is fetched")
        }
        OutboundError::TooOften { seconds, .. } => {
            let message = "This host sends too much to that service";
            XrpcError::new(429, "RateLimitExceeded", message).with("retry-after", seconds.to_string())
        }
        _ => XrpcError::upstream("Upstream service unreachable"),
    }
}

/// The name that XRPC has for a status.
const fn default_name(status: u16) -> &'static str {
    match status {
        401 => "AuthenticationRequired",
        403 => "Forbidden",
        404 => "XRPCNotSupported",
        406 => "NotAcceptable",
        413 => "PayloadTooLarge",
        415 => "UnsupportedMediaType",
        429 => "RateLimitExceeded",
        _ => "InvalidRequest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> (u16, String, String) {
        let error = Reason::parse(body.as_bytes()).into_error(status);
        (error.status(), error.error().to_owned(), error.message().to_owned())
    }

    #[test]
    fn a_refusal_keeps_its_status_and_name() {
        let told = error(400, r#"{"error":"NotFound","message":"Post not found: x"}"#);
        assert_eq!(told, (400, "NotFound".into(), "Post not found: x".into()));
        assert_eq!(error(429, "<html>"), (429, "RateLimitExceeded".into(), "RateLimitExceeded".into()));
        assert_eq!(error(404, "{}").1, "XRPCNotSupported");
        assert_eq!(error(418, r#"{"error":5}"#).1, "InvalidRequest");
    }

    #[test]
    fn a_fault_of_the_service_is_a_failed_upstream() {
        for status in [302, 500, 501, 502, 503, 504, 599] {
            let told = error(status, r#"{"error":"InternalServerError"}"#);
            assert_eq!((told.0, told.1.as_str()), (502, "UpstreamFailure"), "{status}");
        }
        assert_eq!(error(503, r#"{"message":"busy"}"#).2, "busy");
    }
}
