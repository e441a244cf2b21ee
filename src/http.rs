//! Requests and answers between JavaScript and the plain structs of `xrpc`.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::borrow::Cow;

use js_sys::Uint8Array;
use murmuration_xrpc::http::{self as plain, Body, Chunk, Chunks, Make, Verb};
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, Response};
use worker::Env;

use crate::body::{self, BodyError, Encoding, Sender};
use crate::request::Incoming;

/// What stands before the NSID in a path.
pub(crate) const XRPC: &str = "/xrpc/";

/// Seconds that a browser may remember what CORS allows: one day, as the reference server says.
const PREFLIGHT_SECONDS: &str = "86400";
/// Methods that CORS allows: those of the reference server.
const ALLOWED_METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE";
/// Headers that a page of another origin may read, where an answer has them.
const EXPOSED: [&str; 7] = [
    "atproto-content-labelers",
    "atproto-repo-rev",
    "ratelimit-limit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
];
/// The header that names those of them that there are.
pub(crate) const EXPOSE: &str = "access-control-expose-headers";
/// Bytes that a stream hands over at once: enough that what a chunk costs on its way does not count.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that the headers of most answers fit.
const HEAD_BYTES: usize = 512;
/// The content type of JSON.
const JSON: &str = "application/json; charset=utf-8";

// A stream whose chunks are made by a synchronous call, so that nothing stays pending when the Wasm instance dies: the
// next call throws, and the stream with it. A chunk that is a text names what `read` brings, for the next call to make a chunk of.
// The runtime says when it has taken one, whose bytes are given back then: the collector would leave a whole repository of them.
#[wasm_bindgen(inline_js = "
export function streamOf(pull, read) {
  const { readable, writable } = new IdentityTransformStream();
  feed(writable.getWriter(), pull, read);
  return readable;
}

async function feed(writer, pull, read) {
  try {
    for (let chunk; (chunk = pull()) !== undefined;) {
      if (typeof chunk === 'string') chunk = pull(await read(chunk));
      await writer.write(chunk);
      chunk.buffer.transfer(0);
    }
    await writer.close();
  } catch (error) {
    // A panic in here would be seen by nobody else.
    if (error instanceof WebAssembly.RuntimeError) reportError(error);
    // A reader that went away needs no word.
    await writer.abort(error).catch(() => {});
  }
}

// Most answers have the same headers as many others.
const heads = new Map();
const MAX_HEADS = 64;
// From how many bytes on a body is given back by hand: left to the collector, a second of them would be tens of megabytes.
const LARGE = 4096;

function headersOf(head) {
  let headers = heads.get(head);
  if (headers === undefined) {
    headers = new Headers();
    const lines = head.split('\\n');
    for (let at = 1; at < lines.length; at += 2) headers.set(lines[at - 1], lines[at]);
    if (heads.size === MAX_HEADS) heads.clear();
    heads.set(head, headers);
  }
  return headers;
}

/**
 * An answer, made in one crossing. `head` has a name and a value a line, in turn; `body` is a stream, bytes of the Wasm's own
 * memory, or nothing.
 */
export function respond(status, head, body) {
  try {
    const how = { status, headers: headersOf(head) };
    if (!(body instanceof Uint8Array)) return new Response(body, how);
    const bytes = body.slice();
    const answer = new Response(bytes, how);
    // The answer has taken hold of the bytes.
    if (bytes.length >= LARGE) bytes.buffer.transfer(0);
    return answer;
  } catch (error) {
    console.error('an answer could not be made:', error?.message);
    return new Response(null, { status: 500 });
  }
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = streamOf)]
    fn stream_of(pull: &JsValue, read: &JsValue) -> Result<ReadableStream, JsValue>;

    fn respond(status: u16, head: &str, body: Option<&[u8]>) -> Response;

    #[wasm_bindgen(js_name = respond)]
    fn respond_with_stream(status: u16, head: &str, body: &ReadableStream) -> Response;
}

/// What an answer depends on of its request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    head: bool,
    authorized: bool,
}

impl Asked {
    /// Looks at a request.
    pub(crate) fn of(request: &Incoming) -> Self {
        Self { head: request.verb() == Verb::Head, authorized: request.authorization().is_some() }
    }

    /// Whether the caller shows a credential, so that the answer may be for nobody else.
    pub(crate) const fn authorized(self) -> bool {
        self.authorized
    }
}

/// Reads the operator's configuration.
///
/// # Errors
/// 500: a host without a whole configuration serves nobody.
pub(crate) fn config(env: &Env) -> Result<Config, XrpcError> {
    Config::read(|name| js_sys::Reflect::get(env, &name.into()).ok()?.as_string())
        .map_err(XrpcError::internal)
}

/// Reads a request of `/xrpc/`, and its body of at most `limit` bytes, decoded.
///
/// # Errors
/// 413 for a longer body, 400 for one that cannot be read.
pub(crate) async fn read(request: &Incoming, limit: usize) -> Result<plain::Request, XrpcError> {
    let body = match request.body() {
        Some(stream) => {
            let length = request.header("content-length").and_then(|text| text.parse::<usize>().ok());
            if length.is_some_and(|length| length > limit) {
                body::drain(&stream).await;
                return Err(XrpcError::too_large(limit));
            }
            let encoding =
                Encoding::parse(request.header("content-encoding").as_deref()).map_err(unreadable)?;
            body::read(Some(&stream), encoding, limit, Sender::Client).await.map_err(unreadable)?
        }
        None => Vec::new(),
    };
    let verb = request.verb();
    Ok(plain::Request {
        verb,
        nsid: request.path().strip_prefix(XRPC).unwrap_or_default().to_owned(),
        query: request.query(),
        authorization: request.authorization().map(str::to_owned),
        // It is a procedure's input that has one.
        content_type: if verb == Verb::Post { request.header("content-type") } else { None },
        body,
    })
}

/// The error of a body that could not be read.
pub(crate) fn unreadable(error: BodyError) -> XrpcError {
    match error {
        BodyError::TooLarge(limit) => XrpcError::too_large(limit),
        other => XrpcError::invalid(other.to_string()),
    }
}

/// The answer to a caller who is refused. Logs what the caller is not told.
pub(crate) fn refusal(error: &XrpcError) -> plain::Response {
    if let Some(cause) = error.cause() {
        worker::console_error!("{cause}");
    }
    plain::Response::from(error.clone())
}

/// The headers of an answer, and then the answer.
pub(crate) struct Head {
    lines: String,
    /// Those that a page of another origin may read.
    exposed: Vec<&'static str>,
}

impl Head {
    /// The headers that every answer carries.
    pub(crate) fn new(asked: Asked) -> Self {
        let mut head = Self { lines: String::with_capacity(HEAD_BYTES), exposed: Vec::new() };
        head.set("access-control-allow-origin", "*");
        if asked.authorized {
            head.set("cache-control", "private");
            head.set("vary", "Authorization");
        }
        head
    }

    /// Sets a header; the last of a name counts. A value that HTTP cannot carry is left out: the answer without it is better
    /// than none.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
            worker::console_warn!("header {name} is left out: its value has characters that it may not have");
            return;
        }
        for line in [name, "\n", value, "\n"] {
            self.lines.push_str(line);
        }
        self.exposed.extend(EXPOSED.iter().find(|exposed| exposed.eq_ignore_ascii_case(name)));
    }

    /// All of them.
    fn lines(&self) -> Cow<'_, str> {
        match self.exposed.as_slice() {
            [] => Cow::Borrowed(&self.lines),
            exposed => Cow::Owned(format!("{}{EXPOSE}\n{}\n", self.lines, exposed.join(", "))),
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(&self, status: u16) -> Response {
        respond(status, &self.lines(), None)
    }

    /// An answer with a whole body.
    fn bytes(&self, status: u16, body: &[u8]) -> Response {
        respond(status, &self.lines(), Some(body))
    }

    /// An answer whose body is a stream.
    pub(crate) fn stream(&self, status: u16, body: &ReadableStream) -> Response {
        respond_with_stream(status, &self.lines(), body)
    }
}

/// Turns an answer into JavaScript's, with the headers that every answer carries.
pub(crate) fn give(response: plain::Response, asked: Asked) -> Response {
    give_reading(response, asked, &JsValue::UNDEFINED)
}

/// The same, of an answer that may be made of what lies in the blob storage, with what reads that.
pub(crate) fn give_reading(response: plain::Response, asked: Asked, read: &JsValue) -> Response {
    let mut head = Head::new(asked);
    for (name, value) in &response.headers {
        head.set(name, value);
    }
    let status = response.status;
    let (content_type, bytes) = match response.body {
        Body::Empty => return head.empty(status),
        Body::Json(text) => (JSON, text.into_bytes()),
        Body::Bytes(content_type, bytes) => (content_type, bytes),
        Body::Stream(content_type, chunks) => {
            head.set("content-type", content_type);
            if asked.head {
                return head.empty(status);
            }
            return match stream(chunks, read) {
                Ok(stream) => head.stream(status, &stream),
                Err(_) => head.empty(500),
            };
        }
    };
    head.set("content-type", content_type);
    if asked.head {
        head.set("content-length", &bytes.len().to_string());
        return head.empty(status);
    }
    head.bytes(status, &bytes)
}

/// As [`give`], in the form that `worker` wants of the objects that its macro makes.
pub(crate) fn answer(response: plain::Response, request: &Incoming) -> worker::Response {
    give(response, Asked::of(request)).into()
}

/// A refusal, where no request is at hand; in the same form.
pub(crate) fn refuse(status: u16, error: &'static str, message: &str) -> worker::Response {
    give(XrpcError::new(status, error, message).into(), Asked::default()).into()
}

/// 500: a fault of ours. The cause is logged and never shown.
pub(crate) fn fault(cause: &dyn std::fmt::Display) -> worker::Response {
    give(refusal(&XrpcError::internal(cause)), Asked::default()).into()
}

/// The answer to a CORS preflight.
pub(crate) fn preflight(request: &Incoming) -> Response {
    let asked = request.header("access-control-request-headers");
    let mut head = Head::new(Asked::default());
    head.set("access-control-allow-methods", ALLOWED_METHODS);
    head.set("access-control-allow-headers", asked.as_deref().unwrap_or("*"));
    head.set("access-control-max-age", PREFLIGHT_SECONDS);
    head.set("vary", "Access-Control-Request-Headers");
    head.empty(204)
}

/// A stream of at least [`CHUNK_BYTES`] at once, made while it is read.
fn stream(mut chunks: Chunks, read: &JsValue) -> Result<ReadableStream, JsValue> {
    // The answer has begun: all that is left is to break it off.
    let broken = |error: XrpcError| -> JsValue {
        worker::console_error!("a streamed answer broke off: {error}");
        JsError::new("the answer broke off").into()
    };
    // What is made next of what lies in the blob storage: it is named first, and then brought.
    let mut next: Option<(String, Make)> = None;
    let mut named = false;
    let pull = move |brought: JsValue| -> Result<JsValue, JsValue> {
        if named && let Some((_, make)) = next.take() {
            named = false;
            let bytes = brought.dyn_ref::<Uint8Array>().map(body::take);
            return Ok(Uint8Array::from(make(bytes).map_err(broken)?.as_slice()).into());
        }
        let mut gathered: Vec<u8> = Vec::new();
        while gathered.len() < CHUNK_BYTES && next.is_none() {
            match chunks().transpose().map_err(broken)? {
                Some(Chunk::Ready(chunk)) if gathered.is_empty() => gathered = chunk,
                Some(Chunk::Ready(chunk)) => gathered.extend_from_slice(&chunk),
                Some(Chunk::Of(name, make)) => next = Some((name, make)),
                None if gathered.is_empty() => return Ok(JsValue::UNDEFINED),
                None => break,
            }
        }
        match &next {
            Some((name, _)) if gathered.is_empty() => {
                named = true;
                Ok(JsValue::from_str(name))
            }
            _ => Ok(Uint8Array::from(gathered.as_slice()).into()),
        }
    };
    let pull: Box<dyn FnMut(JsValue) -> Result<JsValue, JsValue>> = Box::new(pull);
    stream_of(&Closure::wrap(pull).into_js_value(), read)
}
