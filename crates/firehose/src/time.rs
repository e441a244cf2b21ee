//! The `time` of an event.

use std::fmt;

use murmuration_syntax::datetime;

use crate::FirehoseError;

/// When an event was made: an atproto datetime.
///
/// Informal and not authoritative: nothing is ordered by it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Timestamp(String);

impl Timestamp {
    /// Writes microseconds since the Unix epoch as UTC with milliseconds (`2026-11-23T04:00:52.123Z`).
    ///
    /// A clock past the year 9999 is taken to stand at its beginning: the field is informal, and no event is refused for
    /// it.
    #[must_use]
    pub fn from_micros(micros: u64) -> Self {
        Self(datetime::from_micros(micros).unwrap_or_else(|_| "9999-01-01T00:00:00.000Z".to_owned()))
    }

    /// Takes a datetime as it came over the wire.
    ///
    /// # Errors
    /// [`FirehoseError::Field`] when it is not an atproto datetime.
    pub fn parse(text: &str) -> Result<Self, FirehoseError> {
        datetime::check(text).map_err(|_| FirehoseError::Field("time"))?;
        Ok(Self(text.to_owned()))
    }

    /// The datetime's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clock_gives_a_datetime() {
        for micros in [0, 1_795_410_052_123_999, u64::MAX] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::parse(&time.to_string()).unwrap(), time);
        }
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
