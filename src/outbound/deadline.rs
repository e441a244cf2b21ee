//! The end of an exchange's patience.
//!
//! Not `AbortSignal.timeout`: its timer runs on when the answer has long come, and an object with a timer is not put to rest,
//! and not evicted, before that fires.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

#[wasm_bindgen(inline_js = "
export class Deadline {
  constructor(ms) {
    const controller = new AbortController();
    this.signal = controller.signal;
    this.timer = setTimeout(() => controller.abort(new DOMException('no answer', 'TimeoutError')), ms);
  }

  end() {
    clearTimeout(this.timer);
  }
}
")]
extern "C" {
    #[wasm_bindgen(js_name = Deadline)]
    type RawDeadline;

    #[wasm_bindgen(constructor, catch, js_class = Deadline)]
    fn new(ms: u32) -> Result<RawDeadline, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn signal(this: &RawDeadline) -> AbortSignal;

    #[wasm_bindgen(method)]
    fn end(this: &RawDeadline);
}

/// Breaks an exchange off after a time, unless it is dropped before.
pub(super) struct Deadline(RawDeadline);

impl Deadline {
    /// One that comes in so many milliseconds.
    pub(super) fn after(ms: u32) -> Result<Self, JsValue> {
        RawDeadline::new(ms).map(Self)
    }

    /// What is told of it.
    pub(super) fn signal(&self) -> AbortSignal {
        self.0.signal()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.end();
    }
}
