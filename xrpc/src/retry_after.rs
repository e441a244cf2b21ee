//! `Retry-After`: when another host wants to be asked again (RFC 9110, 10.2.3).

use murmuration_comms::limits::MAX_RETRY_AFTER_SECONDS;
use murmuration_syntax::datetime;

/// Seconds that the headers of an answer ask to wait, at most [`MAX_RETRY_AFTER_SECONDS`]; a time that is over is none. Names are in lower
/// case, `now` is in microseconds since the Unix epoch. `None` where nothing is said, or what is neither seconds nor a date in the form
/// that is to be generated.
#[must_use]
pub fn seconds(headers: &[(String, String)], now: u64) -> Option<u64> {
    let (_, value) = headers.iter().find(|(name, _)| name == "retry-after")?;
    let value = value.trim();
    let seconds = match value.parse() {
        Ok(seconds) => seconds,
        // More digits than a number has are a long time, too.
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => u64::MAX,
        Err(_) => date(value)?.saturating_sub(now).div_ceil(1_000_000),
    };
    Some(seconds.min(MAX_RETRY_AFTER_SECONDS))
}

/// The moment of an IMF-fixdate (RFC 9110, 5.6.7), in microseconds: `Sun, 06 Nov 1994 08:49:37 GMT`. Which day of the week it says is not
/// looked at.
fn date(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let [day, month, year, time, zone] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let month =
        MONTHS.iter().zip(1..).find(|(name, _)| **name == month).map(|(_, number): (_, u8)| number)?;
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    let moment = datetime::micros(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    u64::try_from(moment).ok()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date_and_never_too_long() {
        let now = 784_111_777_000_000;
        let of = |value: &str| seconds(&[("retry-after".to_owned(), value.to_owned())], now);
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999", Some(MAX_RETRY_AFTER_SECONDS)),
            ("99999999999999999999999", Some(MAX_RETRY_AFTER_SECONDS)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(MAX_RETRY_AFTER_SECONDS)),
            ("Sun, 06 Nov 1994 08:50:07 CET", None),
            ("Sun, 31 Feb 1994 08:50:07 GMT", None),
            ("Sun, 6 Nov 1994 08:50:07 GMT", None),
            ("Sun, 06 Now 1994 08:50:07 GMT", None),
            ("Sun, 06 Nov 1994 08:50:07 GMT x", None),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
        assert_eq!(seconds(&[("date".to_owned(), "5".to_owned())], now), None);
    }
}
