//! Timestamp identifiers: the keys of most records, and the revisions of repositories.

use std::fmt;

use crate::newtype::parse_traits;
use crate::{Kind, SyntaxError};

/// A timestamp identifier: 53 bits of microseconds since 1970 and 10 bits that tell clocks apart.
///
/// As text it is 13 characters of a base 32 whose order is that of the numbers: `3jzfcijpj2z2a`
/// (<https://atproto.com/specs/tid>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(u64);

impl Tid {
    /// The least TID: `2222222222222`.
    pub const MIN: Self = Self(0);
    /// The greatest TID, in the year 2255.
    pub const MAX: Self = Self(MAX_VALUE);

    /// Reads a TID.
    ///
    /// # Errors
    /// When the text is not 13 characters of `234567abcdefghijklmnopqrstuvwxyz`, or its first is above `b`: the
    /// highest bit of the 64 is always zero.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() != TEXT_BYTES {
            return Err(SyntaxError::Form { kind: Kind::Tid, rule: "is not 13 characters long" });
        }
        let mut value = 0_u64;
        for byte in text.bytes() {
            let digit = digit(byte).ok_or(SyntaxError::Character { kind: Kind::Tid })?;
            // Thirteen digits are 65 bits: this keeps set bits from being shifted out.
            if value > MAX_VALUE >> 5 {
                return Err(HIGH_BIT);
            }
            value = (value << 5) | u64::from(digit);
        }
        Self::from_u64(value)
    }

    /// The TID of a moment (microseconds since the Unix epoch, kept to 53 bits) and of a clock (kept to 10 bits).
    #[must_use]
    pub fn from_parts(micros: u64, clock_id: u16) -> Self {
        Self((micros.min(MAX_MICROS) << CLOCK_BITS) | u64::from(clock_id & CLOCK_MASK))
    }

    /// A TID later than `after`, at the moment `now_micros` if that is later.
    ///
    /// Pass the last TID that was stored: the clock may stand still for a whole turn, and may step back between two, and
    /// yet no TID is given twice. Only after [`Tid::MAX`] there is none, and `MAX` comes again; whoever takes revisions
    /// from others must refuse those far in the future.
    #[must_use]
    pub fn next(now_micros: u64, clock_id: u16, after: Option<Self>) -> Self {
        let now = Self::from_parts(now_micros, clock_id);
        match after {
            Some(last) if last >= now => {
                let bumped = Self::from_parts(last.micros().saturating_add(1), clock_id);
                if bumped > last { bumped } else { Self(last.0.saturating_add(1).min(MAX_VALUE)) }
            }
            _ => now,
        }
    }

    /// The moment, in microseconds since the Unix epoch.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0 >> CLOCK_BITS
    }

    /// The 10 bits that tell clocks apart.
    #[must_use]
    pub fn clock_id(self) -> u16 {
        u16::try_from(self.0 & u64::from(CLOCK_MASK)).unwrap_or_default()
    }

    /// The number. It fits an `i64`, as SQLite stores it.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The TID of a number that came from [`Tid::as_u64`].
    ///
    /// # Errors
    /// When the highest bit is set.
    pub fn from_u64(value: u64) -> Result<Self, SyntaxError> {
        if value > MAX_VALUE { Err(HIGH_BIT) } else { Ok(Self(value)) }
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(TEXT_BYTES);
        for place in (0..13_u32).rev() {
            text.push(letter((self.0 >> place.saturating_mul(5)) & 31));
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tid({self})")
    }
}

impl From<Tid> for u64 {
    fn from(tid: Tid) -> Self {
        tid.0
    }
}

impl TryFrom<u64> for Tid {
    type Error = SyntaxError;

    fn try_from(value: u64) -> Result<Self, SyntaxError> {
        Self::from_u64(value)
    }
}

parse_traits!(Tid);

/// The value of a character of the sortable base 32.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'2'..=b'7' => Some(byte - b'2'),
        b'a'..=b'z' => Some(byte - b'a' + 6),
        _ => None,
    }
}

/// The character of a value below 32.
fn letter(value: u64) -> char {
    let value = u8::try_from(value & 31).unwrap_or_default();
    char::from(if value < 6 { b'2' + value } else { b'a' + (value - 6) })
}

const HIGH_BIT: SyntaxError = SyntaxError::Form { kind: Kind::Tid, rule: "the highest bit is set" };

/// Characters of a TID.
const TEXT_BYTES: usize = 13;
/// Bits that tell clocks apart.
const CLOCK_BITS: u32 = 10;
const CLOCK_MASK: u16 = (1 << CLOCK_BITS) - 1;
/// 53 bits of microseconds.
const MAX_MICROS: u64 = (1 << 53) - 1;
/// 63 bits in all.
const MAX_VALUE: u64 = (1 << 63) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree_and_sort_alike() {
        let mut last: Option<(Tid, String)> = None;
        for value in [0, 1, 31, 32, 1023, 1024, 1 << 40, (1 << 62) + 12345, MAX_VALUE - 1, MAX_VALUE] {
            let tid = Tid::from_u64(value).unwrap();
            let text = tid.to_string();
            assert_eq!(Tid::parse(&text).unwrap(), tid);
            if let Some((least, least_text)) = last {
                assert!(tid > least && text > least_text);
            }
            last = Some((tid, text));
        }
        assert_eq!(Tid::MAX.to_string(), "bzzzzzzzzzzzz");
    }

    #[test]
    fn a_tid_gives_its_parts_back() {
        let tid = Tid::from_parts(1_700_000_000_123_456, 0x3ff);
        assert_eq!((tid.micros(), tid.clock_id()), (1_700_000_000_123_456, 0x3ff));
        assert_eq!(Tid::from_parts(u64::MAX, u16::MAX), Tid::MAX);
    }

    #[test]
    fn a_frozen_clock_gives_a_million_tids_in_strict_order() {
        let now = 1_700_000_000_000_000;
        let mut last = None;
        for _ in 0..1_000_000 {
            let tid = Tid::next(now, 5, last);
            assert!(last.is_none_or(|last| tid > last));
            assert_eq!(tid.clock_id(), 5);
            last = Some(tid);
        }
    }

    #[test]
    fn a_clock_that_steps_back_does_not_take_the_tids_with_it() {
        let now = 1_700_000_000_000_000;
        let last = Tid::next(now, 9, None);
        let hour = 3_600_000_000;
        // Another clock id below the last one, as after a move to another machine.
        let next = Tid::next(now - hour, 3, Some(last));
        assert!(next > last);
        assert_eq!(next.micros(), now + 1);
        assert_eq!(Tid::next(now + hour, 3, Some(next)).micros(), now + hour);
    }

    #[test]
    fn the_same_moment_on_another_clock_is_still_later() {
        let last = Tid::from_parts(1000, 9);
        assert!(Tid::next(1000, 3, Some(last)) > last);
        assert_eq!(Tid::next(1000, 10, Some(last)), Tid::from_parts(1000, 10));
    }

    #[test]
    fn a_last_tid_in_the_far_future_is_still_passed() {
        let last = Tid::from_parts(MAX_MICROS, 9);
        assert_eq!(Tid::next(5, 3, Some(last)).as_u64(), last.as_u64() + 1);
        assert_eq!(Tid::next(5, 3, Some(Tid::MAX)), Tid::MAX);
    }
}
