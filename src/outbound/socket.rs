//! The stream of another host: a WebSocket that this host opens, reads for a while, and closes.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Uint8Array};
use murmuration_platform::OutboundError;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, RequestRedirect};

use super::visits::Errand;
use super::{Fetcher, USER_AGENT, failure};

// What comes before it is asked for waits here, and no more of it than `limit` bytes: then the socket is closed, for a runtime
// does not stop a sender that nobody reads. Whatever becomes of the Wasm, the socket ends after `totalMs`.
#[wasm_bindgen(inline_js = "
export async function listen(request, connectMs, totalMs, limit) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DOMException('no answer', 'TimeoutError')), connectMs);
  let answer;
  try {
    answer = await fetch(request, { signal: controller.signal });
  } finally {
    clearTimeout(timer);
  }
  const socket = answer.webSocket;
  if (!socket) {
    answer.body?.cancel().catch(() => {});
    throw new Error(`the host answers with status ${answer.status}`);
  }
  return new Stream(socket, totalMs, limit);
}

export class Stream {
  constructor(socket, totalMs, limit) {
    this.socket = socket;
    this.waiting = [];
    this.bytes = 0;
    this.over = false;
    this.wake = () => {};
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => {
      if (this.over) return;
      this.waiting.push(data);
      this.bytes += data.byteLength ?? data.length;
      if (this.bytes > limit) this.end();
      this.wake();
    });
    for (const end of ['close', 'error']) socket.addEventListener(end, () => this.end());
    this.timer = setTimeout(() => this.end(), totalMs);
    socket.accept();
  }

  /** The next message: bytes, or null for one that is none; undefined when none comes in time, or none will come any more. */
  async next(ms) {
    if (this.waiting.length === 0 && !this.over) {
      let timer;
      await new Promise((resolve) => {
        this.wake = resolve;
        timer = setTimeout(resolve, ms);
      });
      clearTimeout(timer);
    }
    const data = this.waiting.shift();
    if (data === undefined) return undefined;
    this.bytes -= data.byteLength ?? data.length;
    return data instanceof ArrayBuffer ? new Uint8Array(data) : null;
  }

  end() {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    try {
      this.socket.close(1000, 'enough for now');
    } catch {
      // It is closed already.
    }
    this.wake();
  }
}
")]
extern "C" {
    #[wasm_bindgen(js_name = Stream)]
    type RawStream;

    #[wasm_bindgen(catch)]
    fn listen(request: &Request, connect_ms: u32, total_ms: u32, limit: u32) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn next(this: &RawStream, ms: u32) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method)]
    fn end(this: &RawStream);
}

/// A stream that is being read. It ends when it is dropped.
pub(crate) struct Stream(RawStream);

/// What came of waiting for a message.
pub(crate) enum Heard {
    /// A message of bytes.
    Frame(Vec<u8>),
    /// A message of something else.
    Other,
    /// None in time, or no more.
    Nothing,
}

/// How long a stream is read, and how much of it waits.
pub(crate) struct Patience {
    /// Milliseconds to the beginning.
    pub(crate) connect_ms: u32,
    /// Milliseconds in all.
    pub(crate) total_ms: u32,
    /// Bytes that wait to be read.
    pub(crate) max_bytes: u32,
}

impl Fetcher {
    /// Opens the stream at a URL of http or https.
    pub(crate) async fn listen(&self, url: &str, patience: &Patience) -> Result<Stream, OutboundError> {
        let url = self.check(url, Errand::Lookup)?;
        let failed = |error: JsValue| failure(&error, patience.connect_ms);
        let request = upgrade(url.as_str()).map_err(failed)?;
        let promise = listen(&request, patience.connect_ms, patience.total_ms, patience.max_bytes);
        Ok(Stream(JsFuture::from(promise.map_err(failed)?).await.map_err(failed)?.unchecked_into()))
    }
}

impl Stream {
    /// Waits for a message, so long and no longer.
    pub(crate) async fn next(&self, ms: u32) -> Heard {
        let Ok(promise) = self.0.next(ms) else { return Heard::Nothing };
        match JsFuture::from(promise).await {
            Ok(message) if message.is_null() => Heard::Other,
            Ok(message) => {
                message.dyn_into::<Uint8Array>().map_or(Heard::Nothing, |m| Heard::Frame(m.to_vec()))
            }
            Err(_) => Heard::Nothing,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn upgrade(url: &str) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    headers.set("user-agent", USER_AGENT)?;
    headers.set("upgrade", "websocket")?;
    let init = RequestInit::new();
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    Request::new_with_str_and_init(url, &init)
}
