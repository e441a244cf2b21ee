//! The embedder of this host: the model that stands beside the Wasm, or the one that the operator chose.
//!
//! The model is read on first use, and once an isolate: all objects of the isolate share it, and a host that embeds nothing never
//! copies it into the Wasm's memory.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Promise, Reflect, Uint8Array, global};
use murmuration_embedding::Model;
use murmuration_platform::{EmbedError, EmbedFuture, Embedder};
use murmuration_xrpc::embedder::{
    EmbedderConfig, OpenAi, Ready, TEXTS_AT_ONCE, workers_ai_answer, workers_ai_id, workers_ai_refuses,
    workers_ai_request,
};
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::body::message;
use crate::outbound::Fetcher;

/// Where `entry.js` puts the model's file.
const MODEL: &str = "murmurationModel";
/// The binding of Workers AI.
const AI: &str = "AI";

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

thread_local! {
    static READ: RefCell<Option<Rc<Model>>> = const { RefCell::new(None) };
}

/// What says which embedder there is in a turn, and makes vectors of what is at hand.
pub(crate) type AtHand = Box<dyn Fn() -> Option<Rc<dyn Embedder>>>;

/// The model beside the Wasm.
///
/// # Errors
/// [`XrpcError::internal`] on a build whose model is missing or broken.
pub(crate) fn open() -> Result<Rc<dyn Embedder>, XrpcError> {
    let known = READ.with_borrow(Option::clone);
    let model = match known {
        Some(model) => model,
        None => {
            let file = Reflect::get(&global(), &MODEL.into()).unwrap_or_default();
            let file: ArrayBuffer =
                file.dyn_into().map_err(|_| XrpcError::internal("the model is not beside the Wasm"))?;
            let model = Rc::new(Model::read(Uint8Array::new(&file).to_vec()).map_err(XrpcError::internal)?);
            READ.set(Some(Rc::clone(&model)));
            model
        }
    };
    Ok(model)
}

/// The embedder of this host as a turn knows it, which waits for nobody.
pub(crate) fn at_hand(config: &Config, env: &Env) -> AtHand {
    match over_network(config, env, 0) {
        Some(embedder) => {
            let waited_for: Rc<dyn Embedder> = Rc::new(Ready::new(embedder.id(), None));
            Box::new(move || Some(Rc::clone(&waited_for)))
        }
        // A memory without a vector is better than none. The log says why there is none.
        None => Box::new(|| open().inspect_err(|error| worker::console_error!("embedder: {error}")).ok()),
    }
}

/// The embedder that is asked over the network, for so many milliseconds at the most, if that is what the operator chose.
pub(crate) fn over_network(config: &Config, env: &Env, timeout_ms: u32) -> Option<Rc<dyn Embedder>> {
    match &config.embedder {
        EmbedderConfig::Embedded => None,
        EmbedderConfig::WorkersAi { model } => {
            let ai = Reflect::get(env, &AI.into()).unwrap_or_default();
            Some(Rc::new(WorkersAi { ai, model: model.clone(), id: workers_ai_id(model), timeout_ms }))
        }
        EmbedderConfig::OpenAi(endpoint) => {
            let fetcher = Fetcher::new(config.allow_private_network);
            Some(Rc::new(OpenAi::new(endpoint.clone(), Rc::new(fetcher), timeout_ms)))
        }
    }
}

/// A model of Workers AI, by its binding.
struct WorkersAi {
    ai: JsValue,
    model: String,
    id: String,
    timeout_ms: u32,
}

impl WorkersAi {
    async fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let failed = |error: JsValue| {
            let error = message(&error);
            if workers_ai_refuses(&error) { EmbedError::Refused(error) } else { EmbedError::Away(error) }
        };
        let request = workers_ai_request(&self.model, texts);
        let answer = run_model(&self.ai, &self.model, &request, self.timeout_ms).map_err(failed)?;
        let answer = JsFuture::from(answer).await.map_err(failed)?;
        workers_ai_answer(&answer.as_string().unwrap_or_default(), texts.len())
    }
}

impl Embedder for WorkersAi {
    fn id(&self) -> &str {
        &self.id
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> EmbedFuture<'a> {
        Box::pin(async move {
            let mut vectors = Vec::new();
            for batch in texts.chunks(TEXTS_AT_ONCE) {
                vectors.extend(self.ask(batch).await?);
            }
            Ok(vectors)
        })
    }
}
