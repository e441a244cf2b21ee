//! How fast a subscriber is served, and when it is given up. Decisions only; [`Feed`](crate::Feed) acts on them.
//!
//! A subscriber has a buffer in the platform that nothing here bounds: what is sent and not yet taken waits in memory.
//! So a subscriber gets more only while that buffer is low. One that is live and falls over the mark goes back to reading
//! from the log, where waiting costs nothing; it catches up by itself, or it is cut.

use crate::limits::{DRAIN_MS, HIGH_WATER_BYTES, LEAST_HIGH_WATER_BYTES, MAX_LAG_EVENTS, TOTAL_BUFFER_BYTES};

/// Where a subscriber stands in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// It has been sent everything.
    Live,
    /// It is reading from the log and has been sent everything up to `after`.
    Behind {
        /// The last number that it was sent, or its cursor.
        after: u64,
        /// Whether it was live before: then its lag has a limit.
        fell: bool,
    },
}

/// What to do for a subscriber that is behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Send it the next batch.
    Send,
    /// Leave it alone for now.
    Wait,
    /// Give it up.
    Cut,
}

/// Bytes that one of `subscribers` may have before it.
#[must_use]
pub fn high_water(subscribers: usize) -> u64 {
    let share = TOTAL_BUFFER_BYTES / u64::try_from(subscribers.max(1)).unwrap_or(u64::MAX);
    share.clamp(LEAST_HIGH_WATER_BYTES, HIGH_WATER_BYTES)
}

/// Decides for a subscriber that is behind.
///
/// `buffered` is what it has not taken, `mark` its [`high_water`], `blocked_since` when it was first seen above the mark
/// without having been below it again.
#[must_use]
pub fn step(
    place: Place,
    buffered: u64,
    mark: u64,
    head: u64,
    blocked_since: Option<u64>,
    now_ms: u64,
) -> Step {
    let Place::Behind { after, fell } = place else { return Step::Wait };
    if fell && head.saturating_sub(after) > MAX_LAG_EVENTS {
        return Step::Cut;
    }
    if buffered < mark {
        return Step::Send;
    }
    match blocked_since {
        Some(since) if now_ms.saturating_sub(since) >= DRAIN_MS => Step::Cut,
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_shrinks_as_subscribers_come() {
        assert_eq!(high_water(0), HIGH_WATER_BYTES);
        assert_eq!(high_water(50), HIGH_WATER_BYTES);
        assert_eq!(high_water(256), 64 << 10);
        assert_eq!(high_water(10_000), LEAST_HIGH_WATER_BYTES);
    }

    #[test]
    fn a_reader_that_takes_nothing_is_cut_in_time() {
        let place = Place::Behind { after: 1, fell: false };
        assert_eq!(step(place, 10, 100, 50, None, 0), Step::Send);
        assert_eq!(step(place, 100, 100, 50, None, 0), Step::Wait);
        assert_eq!(step(place, 100, 100, 50, Some(5), DRAIN_MS + 4), Step::Wait);
        assert_eq!(step(place, 100, 100, 50, Some(5), DRAIN_MS + 5), Step::Cut);
        assert_eq!(step(place, 99, 100, 50, Some(5), DRAIN_MS + 5), Step::Send);
    }

    #[test]
    fn only_a_reader_that_was_live_is_cut_for_its_lag() {
        let head = MAX_LAG_EVENTS + 10;
        assert_eq!(step(Place::Behind { after: 9, fell: true }, 0, 1, head, None, 0), Step::Cut);
        assert_eq!(step(Place::Behind { after: 10, fell: true }, 0, 1, head, None, 0), Step::Send);
        assert_eq!(step(Place::Behind { after: 0, fell: false }, 0, 1, head, None, 0), Step::Send);
    }
}
