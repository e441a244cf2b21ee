//! The sequence number of an event on a host's stream.

use std::fmt;

/// A sequence number: positive, and below 2^53 so that every consumer can hold it.
///
/// Specification: <https://atproto.com/specs/event-stream> ("Sequence Numbers").
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Seq(u64);

impl Seq {
    /// The first number of a stream.
    pub const FIRST: Self = Self(1);
    /// The last number that a stream can give: 2^53 - 1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Takes a number within the range.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number >= Self::FIRST.0 && number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_exactly_the_safe_positive_integers() {
        assert_eq!(Seq::new(0), None);
        assert_eq!(Seq::new(1), Some(Seq::FIRST));
        assert_eq!(Seq::new(9_007_199_254_740_991), Some(Seq::MAX));
        assert_eq!(Seq::new(9_007_199_254_740_992), None);
        assert_eq!(Seq::MAX.to_string(), "9007199254740991");
    }
}
