//! When a delivery that failed is tried again.

use crate::limits::{FIRST_RETRY_MICROS, MAX_RETRY_AFTER_SECONDS, MOST_RETRY_MICROS};

/// Microseconds until the next try after `attempts` that failed: twice as long each time, and of that between a half and
/// the whole by `random`, so that those who failed together do not come back together. Never before the time that the
/// other host has asked for (`Retry-After`), unless it asked for more than a day.
#[must_use]
pub fn backoff(attempts: u32, retry_after_seconds: Option<u64>, random: u64) -> u64 {
    let doubled = FIRST_RETRY_MICROS.saturating_mul(1 << attempts.saturating_sub(1).min(MOST_DOUBLINGS));
    let whole = doubled.min(MOST_RETRY_MICROS);
    let half = whole / 2;
    let wait = half.saturating_add(random % half.saturating_add(1));
    let asked = retry_after_seconds.unwrap_or(0).min(MAX_RETRY_AFTER_SECONDS).saturating_mul(1_000_000);
    // Behind the time that was asked for, spread as the others are.
    if asked > wait { asked.saturating_add(random % FIRST_RETRY_MICROS) } else { wait }
}

/// After so many the wait is the longest there is.
const MOST_DOUBLINGS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_last_up_to_an_hour() {
        for random in [0, 1, 999_999, u64::MAX] {
            let waits: Vec<u64> = (1..=40).map(|attempts| backoff(attempts, None, random)).collect();
            let mut whole = FIRST_RETRY_MICROS;
            for wait in waits {
                assert!((whole / 2..=whole).contains(&wait), "{wait} of {whole}");
                whole = (whole * 2).min(MOST_RETRY_MICROS);
            }
        }
    }

    #[test]
    fn waits_differ_and_fill_their_range() {
        let waits: Vec<u64> =
            (0..1000_u64).map(|n| backoff(3, None, n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
        assert!(least < 4_200_000 && most > 7_800_000, "{least} {most}");
    }

    #[test]
    fn nobody_comes_before_they_are_asked_to() {
        for asked in [1, 5, 60, 3600, MAX_RETRY_AFTER_SECONDS] {
            for random in [0, u64::MAX] {
                assert!(backoff(1, Some(asked), random) >= asked * 1_000_000);
            }
        }
        assert!(backoff(1, Some(u64::MAX), 0) <= MAX_RETRY_AFTER_SECONDS * 1_000_000);
        // Asked for less than is waited anyway.
        assert_eq!(backoff(10, Some(1), 7), backoff(10, None, 7));
    }
}
