//! The binding of Vectorize. `worker` has none, so its methods are called by their names.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Reflect};
use murmuration_platform::{VectorEntry, VectorError, VectorFuture, VectorIndex, VectorQuery};
use murmuration_xrpc::Config;
use murmuration_xrpc::vectorize as wire;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::body::message;

/// The binding.
const VECTORS: &str = "VECTORS";

#[wasm_bindgen(inline_js = "
/** Calls a method of an index, for so long at the most: its answer as JSON. */
export async function callIndex(index, method, input, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return JSON.stringify(await Promise.race([index[method](...JSON.parse(input)), late]));
  } finally {
    clearTimeout(timer);
  }
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = callIndex)]
    fn call_index(index: &JsValue, method: &str, input: &str, ms: u32) -> Result<Promise, JsValue>;
}

/// An index of Vectorize, which is given so many milliseconds.
pub(crate) struct Vectorize {
    index: JsValue,
    timeout_ms: u32,
}

impl Vectorize {
    /// The index that the operator has chosen, if any.
    pub(crate) fn open(config: &Config, env: &Env, timeout_ms: u32) -> Option<Self> {
        config.vector_index.as_ref()?;
        Some(Self { index: Reflect::get(env, &VECTORS.into()).unwrap_or_default(), timeout_ms })
    }

    async fn call(&self, method: &str, input: &str) -> Result<String, VectorError> {
        let failed = |error: JsValue| VectorError(message(&error));
        let answer = call_index(&self.index, method, input, self.timeout_ms).map_err(failed)?;
        let answer = JsFuture::from(answer).await.map_err(failed)?;
        Ok(answer.as_string().unwrap_or_default())
    }
}

impl VectorIndex for Vectorize {
    fn upsert<'a>(&'a self, entries: &'a [VectorEntry]) -> VectorFuture<'a, String> {
        Box::pin(async move { wire::mutation(&self.call("upsert", &wire::upsert(entries)).await?) })
    }

    fn delete<'a>(&'a self, ids: &'a [String]) -> VectorFuture<'a, String> {
        Box::pin(async move { wire::mutation(&self.call("deleteByIds", &wire::delete(ids)).await?) })
    }

    fn query<'a>(&'a self, query: &'a VectorQuery<'a>) -> VectorFuture<'a, Vec<(String, f32)>> {
        Box::pin(async move { wire::matches(&self.call("query", &wire::query(query)).await?) })
    }

    fn processed(&self) -> VectorFuture<'_, Option<String>> {
        Box::pin(async move { wire::processed(&self.call("describe", "[]").await?) })
    }
}
