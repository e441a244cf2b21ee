//! The time of day, and waiting.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::Promise;
use murmuration_platform::Clock;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Microseconds in a millisecond.
const MICROS: f64 = 1000.0;

/// The runtime's clock: milliseconds, and frozen between two pieces of I/O in production.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    #[allow(clippy::as_conversions)]
    fn now_micros(&self) -> u64 {
        // INVARIANT: a positive count of microseconds, below 2^53 until the year 2255; `as` saturates besides.
        (js_sys::Date::now() * MICROS) as u64
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = scheduler, js_name = wait)]
    fn scheduler_wait(milliseconds: u32) -> Result<Promise, JsValue>;
}

/// Waits.
///
/// Not `worker::Delay`: it takes what `setTimeout` returns for a number, which it is not under a compatibility date from
/// September 2026 on.
pub(crate) async fn wait(milliseconds: u32) {
    if let Ok(promise) = scheduler_wait(milliseconds) {
        // A wait that cannot be had ends at once.
        let _ = JsFuture::from(promise).await;
    }
}
