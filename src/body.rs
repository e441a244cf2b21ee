//! Bodies, read to their end within a limit.
//!
//! `worker`'s own stream is not used: it takes a body that was cut off for one that ended.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::Uint8Array;
use thiserror::Error;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::ReadableStream;

// In one go, so that a body takes one crossing and one copy into Wasm, whatever its chunks.
//
// What is too long of a client's is still taken off the wire, up to a bound: who is cut off while sending does not read why.
#[wasm_bindgen(inline_js = "
const DRAIN_BYTES = 32 * 1024 * 1024;

/** Takes the rest of a body off the wire, and drops it. */
async function discard(reader) {
  for (let size = 0; size < DRAIN_BYTES; ) {
    const { done, value } = await reader.read();
    if (done) return;
    size += value.byteLength;
  }
  reader.cancel().catch(() => {});
}

/** Gives the memory of bytes back at once, which waits for the collector of garbage otherwise. */
export function release(bytes) {
  if (bytes.byteLength === bytes.buffer.byteLength) bytes.buffer.transfer(0);
}

export async function drain(stream) {
  await discard(stream.getReader()).catch(() => {});
}

export async function readAll(stream, limit, encoding, patient) {
  if (encoding !== undefined) stream = stream.pipeThrough(new DecompressionStream(encoding));
  const reader = stream.getReader();
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > limit) {
      chunks.length = 0;
      if (patient) await discard(reader);
      else reader.cancel().catch(() => {});
      return undefined;
    }
    chunks.push(value);
  }
  if (chunks.length === 1) return chunks[0];
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = drain)]
    fn drain_stream(stream: &ReadableStream) -> Result<js_sys::Promise, JsValue>;

    #[wasm_bindgen(catch)]
    fn release(bytes: &Uint8Array) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = readAll)]
    fn read_all(
        stream: &ReadableStream,
        limit: f64,
        encoding: Option<&str>,
        patient: bool,
    ) -> Result<js_sys::Promise, JsValue>;
}

/// Why a body could not be read.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// Longer than the caller's limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// A `Content-Encoding` that is not decoded here.
    #[error("unsupported content encoding: {0}")]
    Encoding(String),
    /// Cut off, or not what its encoding says. JavaScript's own error.
    #[error("the body could not be read: {}", message(.0))]
    Broken(JsValue),
}

/// How the bytes of a body are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
}

/// Whose body it is: decides what becomes of one that is too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sender {
    /// A client's request: the rest is dropped, so that the client comes to read the refusal.
    Client,
    /// Another host's answer: the connection is cut.
    Server,
}

impl Encoding {
    /// Reads a `Content-Encoding` header.
    ///
    /// # Errors
    /// [`BodyError::Encoding`] for one that is not decoded here, or for several.
    pub(crate) fn parse(header: Option<&str>) -> Result<Self, BodyError> {
        let name = header.unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => Err(BodyError::Encoding(name)),
        }
    }

    /// The name that `DecompressionStream` has for it.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
        }
    }
}

/// Reads a whole body of at most `limit` bytes, counted after decoding. It comes from `sender`.
pub(crate) async fn read(
    stream: Option<&ReadableStream>,
    encoding: Encoding,
    limit: usize,
    sender: Sender,
) -> Result<Vec<u8>, BodyError> {
    let Some(stream) = stream else { return Ok(Vec::new()) };
    let bound = f64::from(u32::try_from(limit).unwrap_or(u32::MAX));
    let promise =
        read_all(stream, bound, encoding.name(), sender == Sender::Client).map_err(BodyError::Broken)?;
    let bytes = JsFuture::from(promise).await.map_err(BodyError::Broken)?;
    if bytes.is_undefined() {
        return Err(BodyError::TooLarge(limit));
    }
    Ok(take(&bytes.unchecked_into()))
}

/// Copies bytes that nobody else will look at. Large ones are empty afterwards: left to the collector, a few seconds of them
/// are tens of megabytes.
pub(crate) fn take(bytes: &Uint8Array) -> Vec<u8> {
    let copy = bytes.to_vec();
    if copy.len() >= RELEASED_BYTES {
        // Some buffers cannot be given back; they wait.
        let _ = release(bytes);
    }
    copy
}

/// Bytes from which on giving memory back is worth the call.
const RELEASED_BYTES: usize = 4096;

/// Takes a body off the wire that is not read, so that its sender comes to read the answer.
pub(crate) async fn drain(stream: &ReadableStream) {
    if let Ok(promise) = drain_stream(stream) {
        // A body that breaks off is off the wire, too.
        let _ = JsFuture::from(promise).await;
    }
}

/// The message of a JavaScript error.
pub(crate) fn message(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{error:?}"), |error| error.message().into())
}
