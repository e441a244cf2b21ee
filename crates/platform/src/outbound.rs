//! One HTTP exchange with another host.
//!
//! The implementation is the guard: https only (unless the host's development switch says otherwise), public addresses,
//! no redirect followed blindly, and the caller's size and time limits. Code above never fetches in any other way.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// The HTTP method of an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A request, with the limits that its caller is ready to pay for.
#[derive(Clone, Debug)]
pub struct OutboundRequest {
    /// GET or POST.
    pub verb: Verb,
    /// An absolute URL.
    pub url: String,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
    /// The body; empty for GET.
    pub body: Vec<u8>,
    /// Bytes of answer that are read at the most; a longer answer is an error.
    pub max_bytes: usize,
    /// Milliseconds until the exchange is given up.
    pub timeout_ms: u32,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct OutboundResponse {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
    /// The whole body, within the request's limit.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum OutboundError {
    /// The guard refused the URL; nothing was sent.
    #[error("refused to fetch {url}: {reason}")]
    Refused {
        /// The URL as asked for.
        url: String,
        /// Which rule refused it.
        reason: &'static str,
    },
    /// The host was asked as often as this host asks another within a time; nothing was sent.
    #[error("{host} was asked too often: not before {seconds} seconds from now")]
    TooOften {
        /// Its name.
        host: String,
        /// Seconds until it may be asked again.
        seconds: u64,
    },
    /// No connection, or it broke.
    #[error("cannot reach the host: {0}")]
    Unreachable(String),
    /// The time limit passed.
    #[error("no answer within {0} ms")]
    TimedOut(u32),
    /// The answer is larger than the limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// The future of an exchange. Not `Send`: an object has one thread.
pub type OutboundFuture<'a> = Pin<Box<dyn Future<Output = Result<OutboundResponse, OutboundError>> + 'a>>;

/// The guarded client.
pub trait Outbound {
    /// Sends one request and reads its whole answer.
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_>;
}
