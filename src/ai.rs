//! Workers AI, by its binding.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Reflect};
use murmuration_xrpc::host::{LanguageModels, Task};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::body::message;

/// The binding.
const BINDING: &str = "AI";

#[wasm_bindgen(inline_js = "
/** Runs a model of Workers AI, for so long at the most: its answer as JSON. */
export async function runModel(ai, model, input, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return JSON.stringify(await Promise.race([ai.run(model, JSON.parse(input)), late]));
  } finally {
    clearTimeout(timer);
  }
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = runModel)]
    fn run_model(ai: &JsValue, model: &str, input: &str, ms: u32) -> Result<Promise, JsValue>;
}

/// The models of Workers AI.
pub(crate) struct Ai(JsValue);

impl Ai {
    /// Takes the binding, if there is one.
    pub(crate) fn open(env: &Env) -> Option<Self> {
        let binding = Reflect::get(env, &BINDING.into()).unwrap_or_default();
        (!binding.is_undefined()).then_some(Self(binding))
    }

    /// Has a model answer within so many milliseconds: JSON for JSON, or else what the binding says of why not.
    pub(crate) async fn ask(&self, model: &str, input: &str, ms: u32) -> Result<String, String> {
        let failed = |error: JsValue| message(&error);
        let answer = JsFuture::from(run_model(&self.0, model, input, ms).map_err(failed)?).await;
        Ok(answer.map_err(failed)?.as_string().unwrap_or_default())
    }
}

impl LanguageModels for Ai {
    fn run<'a>(
        &'a self,
        model: &'a str,
        input: &'a str,
        timeout_ms: u32,
    ) -> Task<'a, Result<String, String>> {
        Box::pin(self.ask(model, input, timeout_ms))
    }
}
