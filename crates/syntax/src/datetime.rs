//! Dates and times, as the `datetime` format of schemas has them.
//!
//! The form is the meet of RFC 3339, ISO 8601 and the WHATWG's: upper case `T` and `Z`, whole seconds at least, and a
//! time zone, which may not be `-00:00` (<https://atproto.com/specs/lexicon>).

use crate::{Kind, SyntaxError};

/// Checks that a text is a datetime that names a moment.
///
/// # Errors
/// As [`micros`].
pub fn check(text: &str) -> Result<(), SyntaxError> {
    micros(text).map(|_| ())
}

/// The moment that a datetime names, in microseconds since the Unix epoch, finer parts cut off. Negative before 1970.
///
/// # Errors
/// When the form is wrong, a part is out of its range (a 13th month, a 30th of February, a 60th second), or the moment,
/// in universal time, is before the year 0.
pub fn micros(text: &str) -> Result<i64, SyntaxError> {
    crate::error::check_length(text, Kind::Datetime, MAX_DATETIME_BYTES)?;
    let mut reader = Reader { rest: text.as_bytes() };
    let year = reader.number(4)?;
    reader.literal(b'-')?;
    let month = reader.number(2)?;
    reader.literal(b'-')?;
    let day = reader.number(2)?;
    reader.literal(b'T')?;
    let hour = reader.number(2)?;
    reader.literal(b':')?;
    let minute = reader.number(2)?;
    reader.literal(b':')?;
    let second = reader.number(2)?;
    let fraction = reader.fraction()?;
    let offset = reader.zone()?;
    if hour > 23 || minute > 59 || second > 59 || day == 0 || day > days_in_month(year, month)? {
        return Err(form("a part is out of its range"));
    }
    let days = days_since_epoch(year, month, day);
    let seconds = days * SECONDS_IN_DAY + hour * 3600 + minute * 60 + second - offset * 60;
    if seconds < days_since_epoch(0, 1, 1) * SECONDS_IN_DAY {
        return Err(form("is before the year 0"));
    }
    Ok(seconds * 1_000_000 + fraction)
}

/// The preferred text of a moment: universal time, with milliseconds. `1985-04-12T23:20:50.123Z`.
///
/// # Errors
/// Never for a moment in the years 1970 to 9999; else the year has more than four digits.
pub fn from_micros(micros: u64) -> Result<String, SyntaxError> {
    let millis = i64::try_from(micros / 1000).map_err(|_| form("is after the year 9999"))?;
    let (seconds, milli) = (millis / 1000, millis % 1000);
    let (days, second_of_day) = (seconds / SECONDS_IN_DAY, seconds % SECONDS_IN_DAY);
    let (year, month, day) = civil_date(days);
    if year > 9999 {
        return Err(form("is after the year 9999"));
    }
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// What is still to be read of a datetime.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, SyntaxError> {
        let (first, rest) = self.rest.split_first().ok_or(form("ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn literal(&mut self, expected: u8) -> Result<(), SyntaxError> {
        if self.byte()? == expected { Ok(()) } else { Err(SyntaxError::Character { kind: Kind::Datetime }) }
    }

    fn digit(&mut self) -> Result<i64, SyntaxError> {
        let byte = self.byte()?;
        if byte.is_ascii_digit() {
            Ok(i64::from(byte - b'0'))
        } else {
            Err(SyntaxError::Character { kind: Kind::Datetime })
        }
    }

    fn number(&mut self, digits: usize) -> Result<i64, SyntaxError> {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 10 + self.digit()?;
        }
        Ok(value)
    }

    /// A dot and digits, or nothing, in microseconds.
    fn fraction(&mut self) -> Result<i64, SyntaxError> {
        if self.rest.first() != Some(&b'.') {
            return Ok(0);
        }
        self.literal(b'.')?;
        let mut scale = 100_000;
        let mut value = self.digit()? * scale;
        while self.rest.first().is_some_and(u8::is_ascii_digit) {
            scale /= 10;
            value += self.digit()? * scale;
        }
        Ok(value)
    }

    /// `Z`, or an offset from universal time, in minutes; then the end.
    fn zone(&mut self) -> Result<i64, SyntaxError> {
        let sign = match self.byte()? {
            b'Z' => 0,
            b'+' => 1,
            b'-' => -1,
            _ => return Err(SyntaxError::Character { kind: Kind::Datetime }),
        };
        let mut offset = 0;
        if sign != 0 {
            let hours = self.number(2)?;
            self.literal(b':')?;
            let minutes = self.number(2)?;
            if hours > 23 || minutes > 59 {
                return Err(form("the time zone is out of its range"));
            }
            offset = sign * (hours * 60 + minutes);
            if sign < 0 && offset == 0 {
                return Err(form("the time zone is -00:00"));
            }
        }
        if self.rest.is_empty() { Ok(offset) } else { Err(form("goes on after the time zone")) }
    }
}

fn days_in_month(year: i64, month: i64) -> Result<i64, SyntaxError> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Ok(31),
        4 | 6 | 9 | 11 => Ok(30),
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => Ok(29),
        2 => Ok(28),
        _ => Err(form("the month is out of its range")),
    }
}

/// Days from 1970-01-01, in the Gregorian calendar carried back. Years start in March here, so that the leap day is the
/// last of a year, and are counted in eras of 400, which all have 146,097 days.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * DAYS_IN_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_EPOCH
}

/// The reverse of [`days_since_epoch`]: year, month and day.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (shifted.div_euclid(DAYS_IN_ERA), shifted.rem_euclid(DAYS_IN_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

fn form(rule: &'static str) -> SyntaxError {
    SyntaxError::Form { kind: Kind::Datetime, rule }
}

/// The longest datetime, in bytes (the reference implementations' rule).
const MAX_DATETIME_BYTES: usize = 64;

const SECONDS_IN_DAY: i64 = 86_400;
/// Days of 400 years.
const DAYS_IN_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datetime_names_a_moment() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(micros("1970-01-01T00:00:00.0000019Z"), Ok(1));
        assert_eq!(micros("1969-12-31T23:59:59.5Z"), Ok(-500_000));
        assert_eq!(micros("1985-04-12T23:20:50.123-07:00"), Ok(482_221_250_123_000));
        assert_eq!(micros("2000-02-29T00:00:00Z"), Ok(951_782_400_000_000));
        assert!(micros("1900-02-29T00:00:00Z").is_err());
        assert!(micros("1985-02-30T00:00:00Z").is_err());
    }

    #[test]
    fn every_day_of_a_thousand_years_reads_back() {
        for day in 0..365_000_u64 {
            let moment = day * 86_400_000_000 + 47_122_345_000;
            let text = from_micros(moment).unwrap();
            assert_eq!(micros(&text), Ok(i64::try_from(moment).unwrap()), "{text}");
        }
        assert_eq!(from_micros(253_402_300_799_999_999).unwrap(), "9999-12-31T23:59:59.999Z");
        assert!(from_micros(253_402_300_800_000_000).is_err());
    }
}
