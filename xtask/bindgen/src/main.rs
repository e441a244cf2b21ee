//! `murmuration-bindgen <module.wasm> <folder>`: writes `index_bg.wasm`, and `index.js` with what it imports.
//!
//! A program of its own, so that nothing else is linked with what it needs, and in this workspace, so that it is compiled once,
//! with the rest: installing `wasm-bindgen` takes minutes more, for servers and clients of HTTP that its tests need.

use std::env;
use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder] = arguments.as_slice() else {
        return Err("a module and a folder are wanted".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("index").typescript(false);
    // A module for workerd, whose state can be made anew when a panic has killed the instance (`src/entry.js`).
    bindgen.module(true)?.reset_state_function(true).force_enable_abort_handler(true);
    bindgen.generate(folder)?;
    Ok(())
}
