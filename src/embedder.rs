//! The embedder of this host: the model that stands beside the Wasm.
//!
//! It is read on first use, and once an isolate: all objects of the isolate share it, and a host that embeds nothing never
//! copies it into the Wasm's memory.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Reflect, Uint8Array, global};
use murmuration_embedding::Model;
use murmuration_platform::Embedder;
use murmuration_xrpc::XrpcError;
use wasm_bindgen::JsCast;

/// Where `entry.js` puts the model's file.
const MODEL: &str = "murmurationModel";

thread_local! {
    static READ: RefCell<Option<Rc<Model>>> = const { RefCell::new(None) };
}

/// The embedder of this host.
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

/// The same, for whom a memory without a vector is better than none. The log says why there is none.
pub(crate) fn at_hand() -> Option<Rc<dyn Embedder>> {
    open().inspect_err(|error| worker::console_error!("embedder: {error}")).ok()
}
