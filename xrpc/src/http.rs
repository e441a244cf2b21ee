//! Requests and answers as plain data, so that a method runs the same under a test and in a Worker.

use murmuration_data::{Ipld, json};

use crate::XrpcError;

/// The HTTP methods that XRPC knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// A query.
    Get,
    /// A query whose body is left out.
    Head,
    /// A procedure.
    Post,
    /// Anything else; always refused.
    Other,
}

/// A request whose path was `/xrpc/<nsid>`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The HTTP method.
    pub verb: Verb,
    /// The method's NSID, as it stood in the path.
    pub nsid: String,
    /// The decoded pairs of the query string, in order.
    pub query: Vec<(String, String)>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The whole body; empty when there is none.
    pub body: Vec<u8>,
}

/// A piece of a streamed body.
pub enum Chunk {
    /// It is there.
    Ready(Vec<u8>),
    /// It is made of the bytes that lie under a name in the blob storage.
    Of(String, Make),
}

/// Makes a chunk of what lies in the blob storage; `None` where nothing does.
pub type Make = Box<dyn FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, XrpcError>>;

/// Pulls the next chunk of a streamed body; `None` at its end.
pub type Chunks = Box<dyn FnMut() -> Option<Result<Chunk, XrpcError>>>;

/// The body of an answer.
pub enum Body {
    /// No body.
    Empty,
    /// `application/json`.
    Json(String),
    /// Bytes of the given content type.
    Bytes(&'static str, Vec<u8>),
    /// Bytes of the given content type, made while they are read.
    Stream(&'static str, Chunks),
}

/// An answer.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers besides content type and CORS: names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// 200 with a body.
    #[must_use]
    pub const fn ok(body: Body) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    /// 200 without a body.
    #[must_use]
    pub const fn empty() -> Self {
        Self::ok(Body::Empty)
    }

    /// 200 with the JSON form of a value of the data model.
    #[must_use]
    pub fn data(value: &Ipld) -> Self {
        Self::ok(Body::Json(json::to_string(value)))
    }

    /// 200 with the JSON form of a typed answer.
    ///
    /// # Errors
    /// [`XrpcError::internal`] when the value has no JSON form.
    pub fn json(value: &impl serde::Serialize) -> Result<Self, XrpcError> {
        serde_json::to_string(value).map(|text| Self::ok(Body::Json(text))).map_err(XrpcError::internal)
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<XrpcError> for Response {
    fn from(error: XrpcError) -> Self {
        let body = serde_json::json!({ "error": error.error(), "message": error.message() });
        Self { status: error.status(), headers: error.headers().to_vec(), body: Body::Json(body.to_string()) }
    }
}
