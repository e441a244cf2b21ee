//! The embedder of this host: the model that stands beside the Wasm, or the one that the operator chose.
//!
//! The model is read on first use, and once an isolate: all objects of the isolate share it, and a host that embeds nothing never
//! copies it into the Wasm's memory.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Reflect, Uint8Array, global};
use murmuration_embedding::Model;
use murmuration_platform::{EmbedError, EmbedFuture, Embedder};
use murmuration_xrpc::embedder::{
    EmbedderConfig, OpenAi, Ready, TEXTS_AT_ONCE, workers_ai_answer, workers_ai_id, workers_ai_refuses,
    workers_ai_request,
};
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::JsCast;
use worker::Env;

use crate::ai::Ai;
use crate::outbound::Fetcher;

/// Where `entry.js` puts the model's file.
const MODEL: &str = "murmurationModel";

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
