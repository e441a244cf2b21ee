//! `importRepo`, on both ends of the stub.
//!
//! The CAR never lies in Wasm, whose memory would keep the size of the largest for ever: the account's object leaves its
//! pieces in JavaScript, where they can be let go, takes each into Wasm once to hash it, and block by block again for what
//! the repository's tree leads to.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::Cell;

use js_sys::{Promise, Uint8Array};
use murmuration_platform::Clock;
use murmuration_syntax::Did;
use murmuration_xrpc::agent::import::{self, Held, Import};
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, RequestInit, Response};
use worker::Env;

use crate::body::{Encoding, message};
use crate::clock::WallClock;
use crate::http;
use crate::request::Incoming;
use crate::stubs::Stubs;

#[wasm_bindgen(inline_js = "
/** Bytes at a time: what comes off the wire is so small that the steps between would cost more than the bytes. */
const GULP = 256 * 1024;
const DRAIN_BYTES = 32 * 1024 * 1024;

export function openPieces(body, encoding) {
  const plain = encoding === undefined ? body : body.pipeThrough(new DecompressionStream(encoding));
  return plain.getReader({ mode: 'byob' });
}

/** What a promise gives, or null when it takes longer than so many milliseconds. */
async function within(ms, promise) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(() => resolve(null), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The next piece, undefined at the end, or null when it takes longer than so many milliseconds. */
export async function nextPiece(reader, ms) {
  const read = await within(ms, reader.readAtLeast(GULP, new Uint8Array(GULP)));
  if (read === null) return null;
  return read.value?.byteLength ? read.value : undefined;
}

async function drain(reader) {
  for (let size = 0; size < DRAIN_BYTES; ) {
    const { done, value } = await reader.read(new Uint8Array(GULP));
    if (done) return;
    size += value.byteLength;
  }
}

/** Takes the rest off the wire for a while, so that the client comes to read why nobody wants it. */
export async function dropPieces(reader, ms) {
  try {
    if (ms > 0) await within(ms, drain(reader));
    reader.cancel().catch(() => {});
  } catch {
    // A body that breaks off is off the wire, too.
  }
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = openPieces)]
    fn open_pieces(body: &ReadableStream, encoding: Option<&str>) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = nextPiece)]
    fn next_piece(reader: &JsValue, ms: u32) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = dropPieces)]
    fn drop_pieces(reader: &JsValue, ms: u32) -> Promise;
}

/// Where the Worker sends an import to.
const URL: &str = "https://internal/import";
/// The path of [`URL`].
pub(crate) const PATH: &str = "/import";
/// The keys that may have signed the repository, each as `did:key`, with spaces between.
pub(crate) const KEYS: &str = "x-import-keys";
/// Bytes of all CARs that an isolate holds at a time: what its 128 MB leave beside Wasm and the objects' work.
const MAX_HELD_BYTES: usize = 80 * 1024 * 1024;
/// Milliseconds for a piece of a body (256 KiB), as between two chunks of a proxied one: who stops sending gives up the room.
const PIECE_TIMEOUT_MS: u32 = 30_000;
/// Milliseconds for the whole of a body: the largest of 64 MiB at 75 KB a second.
const TOTAL_TIMEOUT_MS: u32 = 15 * 60 * 1_000;
/// Milliseconds for the rest of a body that nobody wants.
const DRAIN_TIMEOUT_MS: u32 = 30_000;
/// Seconds after which one that found no room may try again: what the largest takes on a slow line and in its turn.
const RETRY_SECONDS: u32 = 60;

thread_local! {
    /// Bytes of the CARs that this isolate holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Refuses an import by its headers.
///
/// # Errors
/// As [`import::check`]; `InvalidRequest` without a body.
pub(crate) fn check(request: &Incoming, config: &Config) -> Result<(), XrpcError> {
    let header = |name| request.header(name);
    // The length of a packed body says nothing of what is in it.
    let identity = header("content-encoding").is_none();
    let length = header("content-length").filter(|_| identity).and_then(|text| text.parse().ok());
    import::check(config, header("content-type").as_deref(), length)?;
    request.body().map(drop).ok_or_else(no_body)
}

/// Sends an import on to its account's object, whose repository may have been signed with one of `keys`.
///
/// # Errors
/// A fault, when the object did not answer.
pub(crate) async fn forward(
    request: &Incoming,
    env: &Env,
    did: &Did,
    keys: &[String],
) -> Result<Response, XrpcError> {
    let broken = |error: JsValue| XrpcError::internal(message(&error));
    // Everything of the request but its address.
    let init: &RequestInit = AsRef::<JsValue>::as_ref(request.inner()).unchecked_ref();
    let inner = web_sys::Request::new_with_str_and_init(URL, init).map_err(broken)?;
    inner.headers().set(KEYS, &keys.join(" ")).map_err(broken)?;
    Stubs::new(env).forward(did, &inner).await
}

/// Reads a CAR to its end, into `import` and into memory.
///
/// # Errors
/// As [`import::push`]; `InvalidRequest` for a body that breaks off; `RequestTimeout` for one that takes too long;
/// `NotEnoughResources` while other imports take the room.
pub(crate) async fn receive(
    request: &Incoming,
    config: &Config,
    import: &mut Import,
) -> Result<Pieces, XrpcError> {
    let encoding =
        Encoding::parse(request.header("content-encoding").as_deref()).map_err(http::unreadable)?;
    let body = request.body().ok_or_else(no_body)?;
    let reader = open_pieces(&body, encoding.name()).map_err(|error| broken_off(&error))?;
    let mut pieces = Pieces::default();
    let outcome = pieces.fill(&reader, config, import).await;
    if let Err(error) = &outcome {
        pieces.clear();
        // Who was waited for in vain is not waited for again.
        let patience = if error.status() == TOO_SLOW { 0 } else { DRAIN_TIMEOUT_MS };
        let _ = JsFuture::from(drop_pieces(&reader, patience)).await;
    }
    outcome.map(|()| pieces)
}

/// A CAR in JavaScript's memory.
#[derive(Default)]
pub(crate) struct Pieces {
    /// Each with where it begins.
    all: Vec<(usize, Uint8Array)>,
    size: usize,
}

impl Pieces {
    async fn fill(
        &mut self,
        reader: &JsValue,
        config: &Config,
        import: &mut Import,
    ) -> Result<(), XrpcError> {
        let begun = now_millis();
        loop {
            let patience = patience(now_millis().saturating_sub(begun)).ok_or_else(too_slow)?;
            let piece = next_piece(reader, patience).map_err(|error| broken_off(&error))?;
            let piece = JsFuture::from(piece).await.map_err(|error| broken_off(&error))?;
            if piece.is_null() {
                return Err(too_slow());
            }
            let Ok(piece) = piece.dyn_into::<Uint8Array>() else { return Ok(()) };
            let bytes = piece.to_vec();
            import::push(config, import, &bytes)?;
            if HELD.get() + bytes.len() > MAX_HELD_BYTES {
                let busy = "Other repositories are being imported at the moment: try again in a minute";
                let busy = XrpcError::new(503, "NotEnoughResources", busy);
                return Err(busy.with("retry-after", RETRY_SECONDS.to_string()));
            }
            HELD.set(HELD.get() + bytes.len());
            self.all.push((self.size, piece));
            self.size += bytes.len();
        }
    }

    fn clear(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.size));
        self.size = 0;
        self.all.clear();
    }
}

impl Held for Pieces {
    fn bytes(&self, at: usize, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        let first = self.all.partition_point(|(begin, _)| *begin <= at).saturating_sub(1);
        for (begin, piece) in self.all.iter().skip(first) {
            let (from, missing) = (at + bytes.len() - begin, length - bytes.len());
            if missing == 0 {
                break;
            }
            let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            bytes.extend(piece.subarray(place(from), place(from + missing)).to_vec());
        }
        bytes
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Milliseconds that the next piece may take when the body has taken so many; `None` when its time is over.
fn patience(taken_ms: u64) -> Option<u32> {
    let left = u64::from(TOTAL_TIMEOUT_MS).checked_sub(taken_ms).filter(|left| *left > 0)?;
    Some(u32::try_from(left).map_or(PIECE_TIMEOUT_MS, |left| left.min(PIECE_TIMEOUT_MS)))
}

fn now_millis() -> u64 {
    WallClock.now_micros() / 1_000
}

/// The status of a body that takes too long (RFC 9110, 15.5.9).
const TOO_SLOW: u16 = 408;

fn too_slow() -> XrpcError {
    XrpcError::new(TOO_SLOW, "RequestTimeout", "The repository took too long to arrive")
}

fn no_body() -> XrpcError {
    XrpcError::invalid("A request body is expected but none was provided")
}

fn broken_off(error: &JsValue) -> XrpcError {
    XrpcError::invalid(format!("the body could not be read: {}", message(error)))
}

#[cfg(test)]
mod tests {
    use super::{PIECE_TIMEOUT_MS, TOTAL_TIMEOUT_MS, patience};

    #[test]
    fn a_body_has_so_long_for_a_piece_and_so_long_in_all() {
        let total = u64::from(TOTAL_TIMEOUT_MS);
        assert_eq!(patience(0), Some(PIECE_TIMEOUT_MS));
        assert_eq!(patience(total - u64::from(PIECE_TIMEOUT_MS)), Some(PIECE_TIMEOUT_MS));
        assert_eq!(patience(total - 5), Some(5));
        assert_eq!((patience(total), patience(u64::MAX)), (None, None));
    }
}
