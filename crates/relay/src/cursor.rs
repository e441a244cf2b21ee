//! What a cursor asks for.
//!
//! Specification: <https://atproto.com/specs/event-stream> ("The connection-time rules").

use murmuration_firehose::Seq;

/// How a subscription begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Opening {
    /// With what comes next.
    Live,
    /// With the events after this number.
    Replay {
        /// The last number that the subscriber has.
        after: u64,
    },
    /// With the news that some events are gone, then with the earliest that are kept.
    Outdated {
        /// The number before the earliest.
        after: u64,
    },
    /// Not: the cursor lies ahead of the stream.
    Future,
    /// Not: the cursor is not a number.
    Malformed,
}

/// Reads the `cursor` parameter against a log that has given numbers up to `head` and keeps those from `earliest` on.
///
/// A cursor of 0 asks for whatever is kept, so nothing it asks for is outdated. Negative numbers are taken for 0, and
/// numbers past the range are in the future.
#[must_use]
pub fn opening(cursor: Option<&str>, head: u64, earliest: u64) -> Opening {
    let Some(text) = cursor else { return Opening::Live };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Opening::Malformed;
    }
    let number = digits.parse::<u64>().unwrap_or(u64::MAX);
    let cursor = if negative { 0 } else { number };
    if cursor > head || cursor > Seq::MAX.get() {
        return Opening::Future;
    }
    let kept_after = earliest.saturating_sub(1);
    if cursor < kept_after && cursor > 0 {
        return Opening::Outdated { after: kept_after };
    }
    Opening::Replay { after: cursor.max(kept_after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cursor_has_its_opening() {
        let open = |cursor| opening(cursor, 100, 41);
        assert_eq!(open(None), Opening::Live);
        assert_eq!(open(Some("0")), Opening::Replay { after: 40 });
        assert_eq!(open(Some("-3")), Opening::Replay { after: 40 });
        assert_eq!(open(Some("1")), Opening::Outdated { after: 40 });
        assert_eq!(open(Some("39")), Opening::Outdated { after: 40 });
        assert_eq!(open(Some("40")), Opening::Replay { after: 40 });
        assert_eq!(open(Some("70")), Opening::Replay { after: 70 });
        assert_eq!(open(Some("100")), Opening::Replay { after: 100 });
        for future in ["101", "9007199254740991", "9007199254740992", "99999999999999999999999"] {
            assert_eq!(open(Some(future)), Opening::Future, "{future}");
        }
        for junk in ["", "-", "+1", " 1", "1e3", "1.0", "0x10", "cursor", "١", "--1"] {
            assert_eq!(open(Some(junk)), Opening::Malformed, "{junk}");
        }
    }

    #[test]
    fn a_new_host_has_no_past_and_no_future() {
        assert_eq!(opening(Some("0"), 0, 1), Opening::Replay { after: 0 });
        assert_eq!(opening(Some("1"), 0, 1), Opening::Future);
        assert_eq!(opening(None, 0, 1), Opening::Live);
    }
}
