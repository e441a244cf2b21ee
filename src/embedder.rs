//! The embedder of this host: the model among the Worker's assets, or the one that the operator chose.
//!
//! The model is brought on first use, and once an isolate: all objects of the isolate share it, and a host that embeds nothing has
//! it nowhere in memory. A module beside the Wasm would be there from the start, twice.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Promise, Reflect};
use murmuration_embedding::Model;
use murmuration_platform::{EmbedError, EmbedFuture, Embedder};
use murmuration_xrpc::embedder::{
    EmbedderConfig, OpenAi, Ready, TEXTS_AT_ONCE, workers_ai_answer, workers_ai_id, workers_ai_refuses,
    workers_ai_request,
};
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;
use worker::Env;

use crate::ai::Ai;
use crate::body::{self, Encoding, Sender, message};
use crate::outbound::Fetcher;

#[wasm_bindgen(inline_js = "
export function fetchAsset(assets, url) {
  return assets.fetch(url);
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = fetchAsset)]
    fn fetch_asset(assets: &JsValue, url: &str) -> Result<Promise, JsValue>;
}

/// The binding of the Worker's assets.
const ASSETS: &str = "ASSETS";
/// Where the model lies among them. Their host may be any.
const MODEL: &str = "https://assets/minilm-static-256.bin";
/// Bytes of the largest model.
const MAX_MODEL_BYTES: usize = 16_000_000;

thread_local! {
    static READ: RefCell<Option<Rc<Model>>> = const { RefCell::new(None) };
}

/// What says which embedder there is in a turn, and makes vectors of what is at hand.
pub(crate) type AtHand = Box<dyn Fn() -> Option<Rc<dyn Embedder>>>;

/// The model of this project, brought where this isolate does not have it yet.
///
/// # Errors
/// [`XrpcError::internal`] where it is not among the assets, or broken.
pub(crate) async fn open(env: &Env) -> Result<Rc<dyn Embedder>, XrpcError> {
    if let Some(model) = known() {
        return Ok(model);
    }
    let failed = |error: JsValue| XrpcError::internal(format!("the embedding model: {}", message(&error)));
    let assets = Reflect::get(env, &ASSETS.into()).map_err(failed)?;
    let answer = JsFuture::from(fetch_asset(&assets, MODEL).map_err(failed)?).await.map_err(failed)?;
    let answer: Response = answer.unchecked_into();
    if answer.status() != 200 {
        return Err(XrpcError::internal(format!("the embedding model: status {}", answer.status())));
    }
    let file = body::read(answer.body().as_ref(), Encoding::Identity, MAX_MODEL_BYTES, Sender::Server).await;
    let model = Rc::new(Model::read(file.map_err(XrpcError::internal)?).map_err(XrpcError::internal)?);
    READ.set(Some(Rc::clone(&model)));
    Ok(model)
}

/// The model, if this isolate has it.
fn known() -> Option<Rc<dyn Embedder>> {
    READ.with_borrow(|model| model.clone().map(|model| -> Rc<dyn Embedder> { model }))
}

/// The embedder of this host as a turn knows it, which waits for nobody.
pub(crate) fn at_hand(config: &Config, env: &Env) -> AtHand {
    match over_network(config, env, 0) {
        Some(embedder) => {
            let waited_for: Rc<dyn Embedder> = Rc::new(Ready::new(embedder.id(), None));
            Box::new(move || Some(Rc::clone(&waited_for)))
        }
        None => Box::new(known),
    }
}

/// The embedder that is asked over the network, for so many milliseconds at the most, if that is what the operator chose.
pub(crate) fn over_network(config: &Config, env: &Env, timeout_ms: u32) -> Option<Rc<dyn Embedder>> {
    match &config.embedder {
        EmbedderConfig::Embedded => None,
        EmbedderConfig::WorkersAi { model } => {
            let ai = Ai::open(env);
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
    ai: Option<Ai>,
    model: String,
    id: String,
    timeout_ms: u32,
}

impl WorkersAi {
    async fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let request = workers_ai_request(&self.model, texts);
        let ai = self.ai.as_ref().ok_or_else(|| EmbedError::Away("there is no binding AI".into()))?;
        let answer = ai.ask(&self.model, &request, self.timeout_ms).await;
        let answer = answer.map_err(|error| match workers_ai_refuses(&error) {
            true => EmbedError::Refused(error),
            false => EmbedError::Away(error),
        });
        workers_ai_answer(&answer?, texts.len())
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
