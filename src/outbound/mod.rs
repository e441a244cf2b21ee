//! The guarded HTTP client: the only way out of this host.
//!
//! What it may fetch is decided in [`guard`], and how often in [`visits`]; redirects are answers, never followed; the time limit covers the whole
//! exchange, and the size limit counts decoded bytes, so neither a slow host nor a packed one holds a request.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

mod deadline;
mod guard;
mod socket;
mod stream;
mod visits;

use std::rc::Rc;

use js_sys::{Array, Promise, Uint8Array};
use murmuration_platform::{
    Clock, Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse, Verb,
};
use url::Url;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, RequestRedirect, Response};

use crate::body::{self, BodyError, Encoding, Sender};
use crate::clock::WallClock;
use deadline::Deadline;
use visits::Errand;

pub(crate) use socket::{Heard, Patience};
pub(crate) use stream::{Arrival, Passage};
pub(crate) use visits::Visits;

/// How this host introduces itself to others.
const USER_AGENT: &str = concat!("murmuration/", env!("CARGO_PKG_VERSION"));

#[wasm_bindgen]
extern "C" {
    // Unlike web-sys's, catching: a fetch that throws at once must not kill the instance.
    #[wasm_bindgen(catch)]
    fn fetch(request: &Request) -> Result<Promise, JsValue>;
}

/// The client. `private` is the development switch of [`guard::check`].
#[derive(Clone)]
pub(crate) struct Fetcher {
    private: bool,
    visits: Option<Rc<Visits>>,
}

impl Fetcher {
    /// A client that fetches from private addresses, too, if `private`.
    pub(crate) const fn new(private: bool) -> Self {
        Self { private, visits: None }
    }

    /// The same client, which asks no host more often than it may.
    pub(crate) fn counting(self, visits: Option<Rc<Visits>>) -> Self {
        Self { visits, ..self }
    }

    /// Whether a URL is one that this host fetches.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub(crate) fn allows(&self, url: &str) -> Result<(), &'static str> {
        guard::check(url, self.private).map(drop)
    }

    /// The URL of a request that may be sent now.
    fn check(&self, url: &str, errand: Errand) -> Result<Url, OutboundError> {
        let refused = |reason| OutboundError::Refused { url: url.to_owned(), reason };
        let url = guard::check(url, self.private).map_err(refused)?;
        if let Some(visits) = &self.visits {
            visits.count(errand, &url, WallClock.now_micros())?;
        }
        Ok(url)
    }

    async fn exchange(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let url = self.check(&request.url, Errand::Lookup)?;
        let failed = |error: JsValue| failure(&error, request.timeout_ms);
        // Lives until the body is read.
        let deadline = Deadline::after(request.timeout_ms).map_err(failed)?;
        let prepared = prepare(url.as_str(), &request, &deadline).map_err(failed)?;
        let answer = JsFuture::from(fetch(&prepared).map_err(failed)?).await.map_err(failed)?;
        let answer: Response = answer.unchecked_into();
        let headers = headers(&answer);
        let body =
            body::read(answer.body().as_ref(), Encoding::Identity, request.max_bytes, Sender::Server).await;
        let body = body.map_err(|error| match error {
            BodyError::TooLarge(limit) => OutboundError::TooLarge(limit),
            BodyError::Broken(error) => failed(error),
            other => OutboundError::Unreachable(other.to_string()),
        })?;
        Ok(OutboundResponse { status: answer.status(), headers, body })
    }
}

impl Outbound for Fetcher {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        Box::pin(self.exchange(request))
    }
}

fn prepare(url: &str, request: &OutboundRequest, deadline: &Deadline) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    headers.set("user-agent", USER_AGENT)?;
    for (name, value) in &request.headers {
        headers.set(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method(match request.verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
    });
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&deadline.signal()));
    if request.verb == Verb::Post {
        init.set_body(&Uint8Array::from(request.body.as_slice()));
    }
    Request::new_with_str_and_init(url, &init)
}

fn headers(answer: &Response) -> Vec<(String, String)> {
    let pair = |entry: JsValue| {
        let entry: Array = entry.dyn_into().ok()?;
        Some((entry.get(0).as_string()?.to_ascii_lowercase(), entry.get(1).as_string()?))
    };
    answer.headers().entries().into_iter().filter_map(|entry| pair(entry.ok()?)).collect()
}

fn failure(error: &JsValue, timeout_ms: u32) -> OutboundError {
    let name = js_sys::Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string());
    match name.as_deref() {
        Some("TimeoutError" | "AbortError") => OutboundError::TimedOut(timeout_ms),
        _ => OutboundError::Unreachable(body::message(error)),
    }
}
