//! Exchanges whose bodies pass by: JavaScript moves them, chunk by chunk, and Wasm sees the headers only.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Reflect, Uint8Array};
use murmuration_platform::OutboundError;
use murmuration_xrpc::http::Verb;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStream, Request, RequestInit, RequestRedirect, Response};

use super::visits::Errand;
use super::{Fetcher, USER_AGENT, failure};

// Everything that waits here waits in JavaScript, so that nothing stays pending when the Wasm instance dies.
#[wasm_bindgen(inline_js = "
const late = () => new DOMException('the other host takes too long', 'TimeoutError');

/** Fetches, and gives up when the headers take too long. The body has a limit of its own. */
export async function exchange(request, headersMs) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(late()), headersMs);
  try {
    return await fetch(request, { signal: controller.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a chunk, and gives up when it takes too long. */
async function next(reader, idleMs) {
  let timer;
  const expired = new Promise((_, reject) => (timer = setTimeout(() => reject(late()), idleMs)));
  try {
    return await Promise.race([reader.read(), expired]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The stream, broken off when it is longer than `limit`, or takes longer than `idleMs` for a chunk or `totalMs` in all: a
 * chunk that is ready does not make up for the time that is over.
 */
export function bounded(stream, limit, idleMs, totalMs) {
  const reader = stream.getReader();
  const end = Date.now() + totalMs;
  let size = 0;
  return new ReadableStream({
    async pull(controller) {
      try {
        const left = end - Date.now();
        if (left <= 0) throw late();
        const { done, value } = await next(reader, Math.min(idleMs, left));
        if (done) return controller.close();
        size += value.byteLength;
        if (size > limit) throw new RangeError('the other host sends too much');
        controller.enqueue(value);
      } catch (error) {
        reader.cancel(error).catch(() => {});
        throw error;
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** The whole of a stream as bytes if it is not longer than `limit`; else a stream of what was read and what follows. */
export async function whole(stream, limit) {
  const reader = stream.getReader();
  const chunks = [];
  let size = 0;
  while (size <= limit) {
    const { done, value } = await reader.read();
    if (done) {
      const bytes = new Uint8Array(size);
      let at = 0;
      for (const chunk of chunks) {
        bytes.set(chunk, at);
        at += chunk.byteLength;
      }
      return bytes;
    }
    chunks.push(value);
    size += value.byteLength;
  }
  return new ReadableStream({
    async pull(controller) {
      if (chunks.length > 0) return controller.enqueue(chunks.shift());
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

export function streamOfBytes(bytes) {
  return new Response(bytes).body;
}

export function abandon(stream) {
  stream.cancel().catch(() => {});
}
")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn exchange(request: &Request, headers_ms: u32) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    fn bounded(
        stream: &ReadableStream,
        limit: f64,
        idle_ms: u32,
        total_ms: u32,
    ) -> Result<ReadableStream, JsValue>;

    #[wasm_bindgen(catch)]
    fn whole(stream: &ReadableStream, limit: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = streamOfBytes)]
    fn stream_of_bytes(bytes: &Uint8Array) -> Result<ReadableStream, JsValue>;

    #[wasm_bindgen(catch)]
    fn abandon(stream: &ReadableStream) -> Result<(), JsValue>;
}

/// A request whose body passes by.
pub(crate) struct Passage {
    /// GET, HEAD or POST.
    pub(crate) verb: Verb,
    /// An absolute URL.
    pub(crate) url: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body of a POST, if it has one.
    pub(crate) body: Option<ReadableStream>,
    /// Milliseconds to the answer's headers.
    pub(crate) headers_ms: u32,
    /// Milliseconds between two chunks of the answer's body.
    pub(crate) idle_ms: u32,
    /// Milliseconds for the whole of the answer's body.
    pub(crate) total_ms: u32,
    /// Bytes of the answer's body, unpacked.
    pub(crate) max_bytes: usize,
}

/// An answer whose body waits.
pub(crate) struct Arrival {
    response: Response,
    body: Option<ReadableStream>,
    idle_ms: u32,
}

impl Fetcher {
    /// Sends a request and waits for the answer's headers. A query whose connection fails is sent once more.
    pub(crate) async fn pass(&self, passage: &Passage) -> Result<Arrival, OutboundError> {
        let outcome = self.pass_once(passage).await;
        match outcome {
            Err(OutboundError::Unreachable(_)) if passage.verb != Verb::Post => self.pass_once(passage).await,
            outcome => outcome,
        }
    }

    async fn pass_once(&self, passage: &Passage) -> Result<Arrival, OutboundError> {
        let url = self.check(&passage.url, Errand::Passage)?;
        let failed = |error: JsValue| failure(&error, passage.headers_ms);
        let request = prepare(url.as_str(), passage).map_err(failed)?;
        let promise = exchange(&request, passage.headers_ms).map_err(failed)?;
        let response: Response = JsFuture::from(promise).await.map_err(failed)?.unchecked_into();
        let limit = float(passage.max_bytes);
        let body = match response.body() {
            Some(stream) => Some(bounded(&stream, limit, passage.idle_ms, passage.total_ms).map_err(failed)?),
            None => None,
        };
        Ok(Arrival { response, body, idle_ms: passage.idle_ms })
    }
}

impl Arrival {
    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).ok().flatten()
    }

    /// Whether the body says of itself that it is JSON, or nothing.
    pub(crate) fn may_be_json(&self) -> bool {
        self.header("content-type").is_none_or(|kind| kind.to_ascii_lowercase().contains("json"))
    }

    /// The body, as a stream.
    pub(crate) fn take_body(&mut self) -> Option<ReadableStream> {
        self.body.take()
    }

    /// Reads the body if it is not longer than `limit`; a longer one stays.
    ///
    /// # Errors
    /// When it breaks off.
    pub(crate) async fn read(&mut self, limit: usize) -> Result<Option<Vec<u8>>, OutboundError> {
        let failed = |error: JsValue| failure(&error, self.idle_ms);
        let Some(stream) = self.body.take() else { return Ok(Some(Vec::new())) };
        let promise = whole(&stream, float(limit)).map_err(failed)?;
        let read = JsFuture::from(promise).await.map_err(failed)?;
        match read.dyn_into::<Uint8Array>() {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(stream) => {
                self.body = Some(stream.unchecked_into());
                Ok(None)
            }
        }
    }

    /// Takes back what was read, for somebody else to read.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.body = stream_of_bytes(&Uint8Array::from(bytes)).ok();
    }

    /// Lets go of the body.
    pub(crate) fn abandon(&mut self) {
        if let Some(stream) = self.body.take() {
            // It is gone either way.
            let _ = abandon(&stream);
        }
    }
}

fn prepare(url: &str, passage: &Passage) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    headers.set("user-agent", USER_AGENT)?;
    for (name, value) in &passage.headers {
        headers.set(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method(match passage.verb {
        Verb::Head => "HEAD",
        Verb::Post => "POST",
        Verb::Get | Verb::Other => "GET",
    });
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    if let Some(body) = &passage.body {
        Reflect::set(&init, &"body".into(), body)?;
    }
    Request::new_with_str_and_init(url, &init)
}

fn float(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}
