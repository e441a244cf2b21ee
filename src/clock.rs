//! The time of day.

use murmuration_platform::Clock;

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
