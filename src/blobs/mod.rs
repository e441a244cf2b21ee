//! Where blobs' bytes lie: an R2 bucket, or a directory that workerd's disk service keeps.
//!
//! The bytes of a blob that is uploaded never enter Wasm, whose memory would keep the size of the largest for ever. JavaScript pumps
//! them from the request into the store, hashing as they pass, and hands over the hash, the size and the first bytes. Keys are
//! random and mean nothing: what a blob is, and whose, stands in its account's object.
//!
//! Sealed memories that are too large for a row lie here as well ([`Blobs`]): a mebibyte at most, sealed and opened in Wasm.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

mod flow;

use js_sys::{Promise, Reflect, Uint8Array};
use murmuration_platform::{Blobs, BlobsError, BlobsFuture, Entropy};
use thiserror::Error;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::ReadableStream;
use worker::Env;

use crate::body::{self, Encoding, message};
use crate::entropy::SystemEntropy;

pub(crate) use flow::{download, upload};

/// The binding: an R2 bucket, or the disk service.
const BINDING: &str = "BLOBS";
/// The variable that says which: `disk`, or anything else for R2.
const BACKEND: &str = "BLOB_BACKEND";
/// The names of errors that the client's body made, that it took too long, and that others take the room.
const BODY_ERROR: &str = "BodyError";
const LATE_ERROR: &str = "LateError";
const ROOM_ERROR: &str = "RoomError";
/// Random bytes of a key.
const KEY_BYTES: usize = 20;
/// Bytes at the beginning of a blob by which its type is told: more than any signature is long.
const HEAD_BYTES: u32 = 4096;

// `length` is the length that the client promised, `undefined` if it promised none; the body is then gathered first, for
// a bucket wants to know. A body that breaks its promise breaks the pipe, and nothing is stored.
#[wasm_bindgen(inline_js = "
const at = (key) => `https://blobs/${key}`;

async function write(store, disk, key, body) {
  if (!disk) return store.put(key, body);
  const answer = await store.fetch(at(key), { method: 'PUT', body });
  await answer.arrayBuffer();
  if (!answer.ok) throw new Error(`the disk answered ${answer.status} to PUT`);
}

/** Bytes at a time: what comes off the wire is so small that the steps between would cost more than the bytes. */
const GULP = 256 * 1024;
const DRAIN_BYTES = 32 * 1024 * 1024;

/** Milliseconds for so many bytes: who stops sending gives up the room. */
const GULP_MS = 30_000;
/** Bytes of bodies of no promised length that an isolate gathers at a time, and those that it has by now. */
const MAX_GATHERED = 40 * 1024 * 1024;
let gathered = 0;

/** What comes from the client, whose faults are not ours. */
async function* received(body, encoding) {
  let timer;
  try {
    const plain = encoding === undefined ? body : body.pipeThrough(new DecompressionStream(encoding));
    const reader = plain.getReader({ mode: 'byob' });
    for (;;) {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(Object.assign(new Error('too slow'), { late: true })), GULP_MS);
      });
      const { done, value } = await Promise.race([reader.readAtLeast(GULP, new Uint8Array(GULP)), late]);
      clearTimeout(timer);
      if (value?.byteLength) yield value;
      if (done) return;
    }
  } catch (error) {
    throw Object.assign(new Error(error?.message), { name: error?.late ? 'LateError' : 'BodyError' });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Takes a body up to its last bytes, which are held back, so that nothing is stored: `{ sha256, size, head, finish, abandon }`, of
 * which one of no bytes has the size alone; undefined for one above the limit.
 */
export async function takeBlob(store, disk, key, body, encoding, length, limit, headBytes) {
  const chunks = received(body, encoding);
  if (length !== undefined) return take(store, disk, key, chunks, length, headBytes);
  const kept = [];
  let held = 0;
  length = 0;
  try {
    for await (const chunk of chunks) {
      length += chunk.byteLength;
      // Above it the rest is taken off the wire and dropped, so that the client comes to read why.
      if (length > limit + DRAIN_BYTES) break;
      if (length > limit) kept.length = 0;
      else {
        if (gathered + chunk.byteLength > MAX_GATHERED) {
          throw Object.assign(new Error('other uploads take the room'), { name: 'RoomError' });
        }
        held += chunk.byteLength;
        gathered += chunk.byteLength;
        kept.push(chunk);
      }
    }
    if (length > limit) return undefined;
    return await take(store, disk, key, kept, length, headBytes);
  } finally {
    gathered -= held;
  }
}

async function take(store, disk, key, chunks, length, headBytes) {
  if (length === 0) return { size: 0 };
  const hash = new crypto.DigestStream('SHA-256');
  hash.digest.catch(() => {});
  const pipe = new FixedLengthStream(length);
  const [hashed, piped] = [hash.getWriter(), pipe.writable.getWriter()];
  const stored = write(store, disk, key, pipe.readable);
  const broken = new Promise((_, reject) => stored.catch(reject));
  broken.catch(() => {});
  const all = (...writes) => Promise.race([Promise.all(writes), broken]);
  const abandon = async (error) => {
    for (const writer of [hashed, piped]) writer.abort(error).catch(() => {});
    await stored.catch(() => {});
  };
  const orAbandon = async (work) => {
    try {
      return await work();
    } catch (error) {
      await abandon(error);
      throw error;
    }
  };
  let [head, held, size] = [new Uint8Array(0), undefined, 0];
  const sha256 = await orAbandon(async () => {
    for await (const chunk of chunks) {
      if (head.byteLength < headBytes) {
        const more = new Uint8Array(Math.min(headBytes, head.byteLength + chunk.byteLength));
        more.set(head);
        more.set(chunk.subarray(0, more.byteLength - head.byteLength), head.byteLength);
        head = more;
      }
      await all(hashed.write(chunk), held && piped.write(held));
      held = chunk;
      size += chunk.byteLength;
    }
    if (size !== length) throw Object.assign(new Error('it is not as long as it says'), { name: 'BodyError' });
    await all(hashed.close());
    return new Uint8Array(await hash.digest);
  });
  const finish = () => orAbandon(async () => {
    await all(piped.write(held));
    await all(piped.close());
    await stored;
  });
  return { sha256, size, head, finish, abandon };
}

/** The bytes under a key, or undefined. */
export async function openBlob(store, disk, key) {
  if (!disk) return (await store.get(key))?.body;
  const answer = await store.fetch(at(key));
  if (answer.ok) return answer.body;
  await answer.arrayBuffer();
  if (answer.status !== 404) throw new Error(`the disk answered ${answer.status} to GET`);
}

/** The bytes under a key, whole; undefined if there are none, null if they are more than the limit. */
export async function readBlob(store, disk, key, limit) {
  const body = await openBlob(store, disk, key);
  if (!body) return undefined;
  const chunks = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > limit) return null;
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Stores bytes under a key. */
export async function writeBlob(store, disk, key, bytes) {
  // A copy: Wasm's own memory may move.
  await write(store, disk, key, bytes.slice());
}

/** What reads keys of a store. */
export function blobReader(store, disk, limit) {
  return (key) => readBlob(store, disk, key, limit);
}

/** Deletes a key, be it there or not. */
export async function deleteBlob(store, disk, key) {
  if (!disk) return store.delete(key);
  const answer = await store.fetch(at(key), { method: 'DELETE' });
  await answer.arrayBuffer();
  if (!answer.ok && answer.status !== 404) throw new Error(`the disk answered ${answer.status} to DELETE`);
}
")]
extern "C" {
    type Taken;

    #[wasm_bindgen(method, getter)]
    fn sha256(this: &Taken) -> Uint8Array;

    #[wasm_bindgen(method, getter)]
    fn size(this: &Taken) -> f64;

    #[wasm_bindgen(method, getter)]
    fn head(this: &Taken) -> Uint8Array;

    #[wasm_bindgen(method, catch)]
    fn finish(this: &Taken) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn abandon(this: &Taken) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = takeBlob)]
    #[allow(clippy::too_many_arguments)]
    fn take_blob(
        store: &JsValue,
        disk: bool,
        key: &str,
        body: &ReadableStream,
        encoding: Option<&str>,
        length: Option<f64>,
        limit: f64,
        head_bytes: u32,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = openBlob)]
    fn open_blob(store: &JsValue, disk: bool, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = readBlob)]
    fn read_blob(store: &JsValue, disk: bool, key: &str, limit: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = writeBlob)]
    fn write_blob(store: &JsValue, disk: bool, key: &str, bytes: &[u8]) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = blobReader)]
    fn blob_reader(store: &JsValue, disk: bool, limit: f64) -> JsValue;

    #[wasm_bindgen(catch, js_name = deleteBlob)]
    fn delete_blob(store: &JsValue, disk: bool, key: &str) -> Result<Promise, JsValue>;
}

/// Why bytes could not be stored, read or deleted.
#[derive(Debug, Error)]
pub(crate) enum BlobError {
    /// The Worker has no binding for them.
    #[error("blobs: the binding BLOBS is missing")]
    NoStore,
    /// The body is longer than allowed; nothing is stored.
    #[error("blobs: larger than {0} bytes")]
    TooLarge(usize),
    /// The client's end of the body broke, or its encoding is not what it says.
    #[error("the body could not be read: {}", message(.0))]
    Body(JsValue),
    /// The client has stopped sending.
    #[error("the body took too long to arrive")]
    Late,
    /// Other bodies of no promised length take the room.
    #[error("other uploads take the room")]
    Busy,
    /// The store failed.
    #[error("blobs: {}", message(.0))]
    Failed(JsValue),
}

/// A body that has arrived and is not stored yet: its last bytes are held back.
pub(crate) struct Arrived {
    /// The SHA-256 of its bytes.
    pub(crate) sha256: [u8; 32],
    /// How many.
    pub(crate) size: u64,
    /// The first of them.
    pub(crate) head: Vec<u8>,
    rest: Taken,
}

impl Arrived {
    /// Stores it.
    ///
    /// # Errors
    /// [`BlobError::Failed`] when the store does not do its part. It may hold the bytes all the same.
    pub(crate) async fn finish(&self) -> Result<(), BlobError> {
        settle(self.rest.finish()).await.map(drop)
    }

    /// Lets it go.
    pub(crate) async fn abandon(self) {
        // That it was abandoned is what the store says to it.
        let _ = settle(self.rest.abandon()).await;
    }
}

/// The bytes of all blobs of this host.
pub(crate) struct BlobStore {
    store: JsValue,
    disk: bool,
}

impl BlobStore {
    /// Takes the binding.
    ///
    /// # Errors
    /// [`BlobError::NoStore`] when there is none.
    pub(crate) fn open(env: &Env) -> Result<Self, BlobError> {
        let read = |name: &str| Reflect::get(env, &name.into()).unwrap_or_default();
        let store = read(BINDING);
        if store.is_falsy() {
            return Err(BlobError::NoStore);
        }
        Ok(Self { store, disk: read(BACKEND).as_string().as_deref() == Some("disk") })
    }

    /// A function that reads the bytes under a key, at most `limit` of them, for a body that is made of them.
    pub(crate) fn reader(&self, limit: usize) -> JsValue {
        blob_reader(&self.store, self.disk, f64::from(u32::try_from(limit).unwrap_or(u32::MAX)))
    }

    /// A key that was never given before.
    pub(crate) fn fresh_key() -> String {
        let mut bytes = [0; KEY_BYTES];
        SystemEntropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes a body of at most `limit` bytes, counted after decoding, on its way into the store. `length` is what the client says of
    /// the decoded body, if it does. `None` for one of no bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`], or what says which end broke. Nothing is stored then.
    pub(crate) async fn take(
        &self,
        key: &str,
        body: &ReadableStream,
        encoding: Encoding,
        length: Option<usize>,
        limit: usize,
    ) -> Result<Option<Arrived>, BlobError> {
        if length.is_some_and(|length| length > limit) {
            return Err(BlobError::TooLarge(limit));
        }
        let float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let promise = take_blob(
            &self.store,
            self.disk,
            key,
            body,
            encoding.name(),
            length.map(float),
            float(limit),
            HEAD_BYTES,
        );
        let result = settle(promise).await?;
        if result.is_undefined() {
            return Err(BlobError::TooLarge(limit));
        }
        let rest: Taken = result.unchecked_into();
        let broken = || BlobError::Failed(JsError::new("the hash is not one").into());
        let size = size(rest.size()).ok_or_else(broken)?;
        if size == 0 {
            return Ok(None);
        }
        let sha256 = rest.sha256().to_vec().try_into().map_err(|_| broken())?;
        Ok(Some(Arrived { sha256, size, head: rest.head().to_vec(), rest }))
    }

    /// The bytes under a key; `None` if there are none.
    ///
    /// # Errors
    /// [`BlobError::Failed`] when the store does not do its part.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<ReadableStream>, BlobError> {
        let stream = settle(open_blob(&self.store, self.disk, key)).await?;
        Ok(stream.dyn_into().ok())
    }

    /// Deletes the bytes under a key, be they there or not.
    ///
    /// # Errors
    /// [`BlobError::Failed`] when the store does not do its part.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), BlobError> {
        settle(delete_blob(&self.store, self.disk, key)).await.map(drop)
    }
}

/// The store as the crates see it; it is opened with the first call.
pub(crate) struct Bucket<'a>(pub(crate) &'a Env);

impl Bucket<'_> {
    async fn with<T>(
        &self,
        call: impl AsyncFnOnce(&BlobStore) -> Result<T, BlobError>,
    ) -> Result<T, BlobsError> {
        let outcome = match BlobStore::open(self.0) {
            Ok(store) => call(&store).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| BlobsError(error.to_string()))
    }
}

impl Blobs for Bucket<'_> {
    fn put<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> BlobsFuture<'a, ()> {
        Box::pin(self.with(async move |BlobStore { store, disk }| {
            settle(write_blob(store, *disk, name, bytes)).await.map(drop)
        }))
    }

    fn get<'a>(&'a self, name: &'a str, limit: usize) -> BlobsFuture<'a, Option<Vec<u8>>> {
        Box::pin(self.with(async move |BlobStore { store, disk }| {
            let bound = f64::from(u32::try_from(limit).unwrap_or(u32::MAX));
            let found = settle(read_blob(store, *disk, name, bound)).await?;
            if found.is_null() {
                return Err(BlobError::TooLarge(limit));
            }
            Ok((!found.is_undefined()).then(|| body::take(&found.unchecked_into())))
        }))
    }

    fn delete<'a>(&'a self, name: &'a str) -> BlobsFuture<'a, ()> {
        Box::pin(self.with(async move |store| store.delete(name).await))
    }
}

async fn settle(promise: Result<Promise, JsValue>) -> Result<JsValue, BlobError> {
    let failed =
        |error: JsValue| match Reflect::get(&error, &"name".into()).ok().and_then(|name| name.as_string()) {
            Some(name) if name == BODY_ERROR => BlobError::Body(error),
            Some(name) if name == LATE_ERROR => BlobError::Late,
            Some(name) if name == ROOM_ERROR => BlobError::Busy,
            _ => BlobError::Failed(error),
        };
    JsFuture::from(promise.map_err(failed)?).await.map_err(failed)
}

#[allow(clippy::as_conversions)]
fn size(number: f64) -> Option<u64> {
    // INVARIANT: a count of bytes that were in memory or promised in a u32, so whole and far below 2^53.
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}
