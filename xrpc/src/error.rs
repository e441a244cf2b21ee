//! Errors as the caller sees them: a status and `{error, message}`.
//!
//! This is the one place that turns the typed errors of the crates below into XRPC. Names come from the lexicon of the
//! method; the general ones (`InvalidRequest`, `AuthMissing`, ...) from the XRPC specification and the reference
//! server. A fault of our own never shows its cause to the caller.
//! <https://atproto.com/specs/xrpc#error-responses>

use std::borrow::Cow;
use std::fmt;

use murmuration_platform::StoreError;

/// An answer other than success.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct XrpcError {
    status: u16,
    error: Cow<'static, str>,
    message: String,
    /// What the operator may read and the caller may not.
    cause: Option<String>,
    /// Headers of the answer.
    headers: Vec<(&'static str, String)>,
}

impl XrpcError {
    /// An error with its HTTP status, its name from the lexicon, and a sentence for the caller.
    pub fn new(status: u16, error: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, error: error.into(), message: message.into(), cause: None, headers: Vec::new() }
    }

    /// 400 with a name from the method's lexicon.
    pub fn named(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, error, message)
    }

    /// 400 `InvalidRequest`: the request does not fit the method.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::named("InvalidRequest", message)
    }

    /// 401 `AuthMissing`: the method wants a token and there is none.
    #[must_use]
    pub fn auth_missing() -> Self {
        Self::new(401, "AuthMissing", "Authentication Required")
    }

    /// 401 `AuthenticationRequired`: the credentials are wrong.
    pub fn auth_required(message: impl Into<String>) -> Self {
        Self::new(401, "AuthenticationRequired", message)
    }

    /// 401 `AccountTakedown`: the operator has taken the caller's account down.
    #[must_use]
    pub fn takendown() -> Self {
        Self::new(401, "AccountTakedown", "Account has been taken down")
    }

    /// 401 `AccountDeactivated`: the caller has put its account to rest.
    #[must_use]
    pub fn deactivated() -> Self {
        Self::new(401, "AccountDeactivated", "Account is deactivated")
    }

    /// 400 `InvalidToken`: the token is not one of ours, or not for this.
    pub fn invalid_token(message: impl Into<String>) -> Self {
        Self::named("InvalidToken", message)
    }

    /// 400 `ExpiredToken`: clients refresh their session when they see this name with this status.
    #[must_use]
    pub fn expired_token() -> Self {
        Self::named("ExpiredToken", "Token has expired")
    }

    /// An upload that took too long.
    #[must_use]
    pub fn upload_late() -> Self {
        Self::new(408, "RequestTimeout", "The blob took too long to arrive")
    }

    /// 413 `PayloadTooLarge`.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "PayloadTooLarge", format!("request entity too large: the limit is {limit} bytes"))
    }

    /// 501 `MethodNotImplemented`: this server has no such method.
    #[must_use]
    pub fn not_implemented() -> Self {
        Self::new(501, "MethodNotImplemented", "Method Not Implemented")
    }

    /// 500 `InternalServerError`. `cause` is for the log alone.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self {
            status: 500,
            error: Cow::Borrowed("InternalServerError"),
            message: "Internal Server Error".into(),
            cause: Some(cause.to_string()),
            headers: Vec::new(),
        }
    }

    /// 502 `UpstreamFailure`: another host did not do its part.
    pub fn upstream(message: impl Into<String>) -> Self {
        Self::new(502, "UpstreamFailure", message)
    }

    /// The same, with a cause for the log alone.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// 400 `RepoNotFound`, as every method of `com.atproto.sync` words it.
    pub fn repo_not_found(did: impl fmt::Display) -> Self {
        Self::named("RepoNotFound", format!("Could not find repo for DID: {did}"))
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The name that programs look at.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// The sentence that people look at.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same, with a header of its answer.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Headers of its answer.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// What went wrong inside, for the log; `None` where the caller is told everything.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl fmt::Display for XrpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.error, self.message)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for XrpcError {}

impl From<StoreError> for XrpcError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}
