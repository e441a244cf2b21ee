//! A request, with what its way depends on read from JavaScript in one crossing.
//!
//! `worker`'s own takes five crossings before anybody has asked it anything, and two for each header after that. Most requests
//! take less time than that here.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use murmuration_xrpc::http::Verb;
use url::form_urlencoded;
use wasm_bindgen::prelude::*;
use web_sys::ReadableStream;

use crate::body::{self, BodyError, Encoding, Sender};

// A method, an address and a header have no line breaks.
#[wasm_bindgen(inline_js = "
const told = (value) => value === null ? '' : '=' + value;

export function look(request) {
  const { method, url, headers } = request;
  return method + '\\n' + url + '\\n' + told(headers.get('authorization')) + '\\n' + told(headers.get('atproto-proxy'));
}

export function header(request, name) {
  return request.headers.get(name) ?? undefined;
}
")]
extern "C" {
    fn look(request: &web_sys::Request) -> String;

    fn header(request: &web_sys::Request, name: &str) -> Option<String>;
}

/// A request that has come to the Worker, or to an object.
pub(crate) struct Incoming {
    inner: web_sys::Request,
    method: String,
    url: String,
    authorization: Option<String>,
    proxy: Option<String>,
}

impl Incoming {
    /// Looks at a request.
    pub(crate) fn of(inner: web_sys::Request) -> Self {
        let seen = look(&inner);
        let mut lines = seen.splitn(4, '\n').map(str::to_owned);
        let mut line = || lines.next().unwrap_or_default();
        let (method, url) = (line(), line());
        let mut value = || line().strip_prefix('=').map(str::to_owned);
        let (authorization, proxy) = (value(), value());
        Self { inner, method, url, authorization, proxy }
    }

    /// The request itself.
    pub(crate) const fn inner(&self) -> &web_sys::Request {
        &self.inner
    }

    /// The HTTP method as XRPC sees it.
    pub(crate) fn verb(&self) -> Verb {
        match self.method.as_str() {
            "GET" => Verb::Get,
            "HEAD" => Verb::Head,
            "POST" => Verb::Post,
            _ => Verb::Other,
        }
    }

    /// Whether a browser asks what it may do.
    pub(crate) fn is_preflight(&self) -> bool {
        self.method == "OPTIONS"
    }

    /// The address, normalised by the runtime.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Path and query, as they came.
    pub(crate) fn path_and_query(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
    }

    /// The path, as it came.
    pub(crate) fn path(&self) -> &str {
        self.path_and_query().split(['?', '#']).next().unwrap_or_default()
    }

    /// The decoded pairs of the query string, in order.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The `Authorization` header.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The header in which a caller names another service.
    pub(crate) fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// Another header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.inner, name)
    }

    /// The body, if there is one.
    pub(crate) fn body(&self) -> Option<ReadableStream> {
        self.inner.body()
    }

    /// The whole body of a request of this host's own, at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`] for a longer one, or one that breaks off.
    pub(crate) async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        body::read(self.body().as_ref(), Encoding::Identity, limit, Sender::Server).await
    }

    /// Takes the body off the wire, unless somebody has: a client whose body nobody took loses its connection.
    pub(crate) async fn drain(&self) {
        if let Some(stream) = self.body().filter(|stream| !self.inner.body_used() && !stream.locked()) {
            body::drain(&stream).await;
        }
    }
}

impl worker::FromRequest for Incoming {
    fn from_raw(request: web_sys::Request) -> Result<Self, impl Into<Box<dyn std::error::Error>>> {
        Ok::<_, worker::Error>(Self::of(request))
    }
}

impl From<&worker::Request> for Incoming {
    fn from(request: &worker::Request) -> Self {
        Self::of(AsRef::<JsValue>::as_ref(request.inner()).clone().unchecked_into())
    }
}
