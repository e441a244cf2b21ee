//! What an account may write: so many points an hour and a day, the reference server's.
//!
//! The budget rides in the row that every turn writes anyway, so it costs no row, survives sleep and a crash, and is
//! undone with the turn that spent it. Calls that write nothing spend too; what they spent is stored with the next turn
//! that writes, or forgiven if the account falls asleep before it.
//!
//! It is there because a host without it is throttled by relays for the sake of one account that writes in bulk.

use murmuration_platform::StoreError;
use murmuration_rate::{Rule, Status, Window};

use crate::{AccountError, Write, WriteRequest};

/// The rules (reference server: `repo-write-hour`, `repo-write-day`).
const RULES: [Rule; 2] = [Rule::new(5_000, 60 * 60), Rule::new(35_000, 24 * 60 * 60)];
/// Points of each kind of write (reference server).
const CREATE: u32 = 3;
const UPDATE: u32 = 2;
const DELETE: u32 = 1;
/// Bytes of a window in the row: when it ends, in microseconds, and what is spent; big endian.
const WINDOW_BYTES: usize = 12;

/// What an account has spent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Budget([Window; RULES.len()]);

impl Budget {
    /// Spends the points of a request.
    pub(crate) fn charge(&mut self, request: &WriteRequest, now: u64) -> Result<(), AccountError> {
        let points = request.writes.iter().map(points).fold(0, u32::saturating_add);
        let mut spent = *self;
        for (window, rule) in spent.0.iter_mut().zip(RULES) {
            window
                .take(rule, points, now)
                .map_err(|status| AccountError::WriteLimit { status, seconds: status.seconds_left(now) })?;
        }
        *self = spent;
        Ok(())
    }

    /// How the tighter of the windows stands.
    pub(crate) fn status(&self, now: u64) -> Status {
        let [hour, day] = self.0;
        let [hourly, daily] = RULES;
        hour.status(hourly, now).tighter(day.status(daily, now))
    }

    /// The column; `None` if nothing was ever spent.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let bytes = |window: &Window| [&window.ends.to_be_bytes()[..], &window.spent.to_be_bytes()].concat();
        (*self != Self::default()).then(|| self.0.iter().flat_map(bytes).collect())
    }

    /// Reads the column.
    pub(crate) fn decode(column: Option<&[u8]>) -> Result<Self, StoreError> {
        let mut budget = Self::default();
        let Some(column) = column else { return Ok(budget) };
        let (read, rest) = column.as_chunks::<WINDOW_BYTES>();
        if read.len() != budget.0.len() || !rest.is_empty() {
            return Err(StoreError::Corrupt("the log: what was spent is not two windows".into()));
        }
        for (window, bytes) in budget.0.iter_mut().zip(read) {
            let [a, b, c, d, e, f, g, h, spent @ ..] = *bytes;
            *window = Window {
                ends: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                spent: u32::from_be_bytes(spent),
            };
        }
        Ok(budget)
    }
}

const fn points(write: &Write) -> u32 {
    match write {
        Write::Create { .. } => CREATE,
        Write::Update { .. } | Write::Put { .. } => UPDATE,
        Write::Delete { .. } => DELETE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_not_two_windows_is_corrupt() {
        let budget = Budget([Window { ends: 7, spent: 1 }, Window { ends: u64::MAX, spent: u32::MAX }]);
        let column = budget.encode().unwrap();
        assert_eq!(Budget::decode(Some(&column)).unwrap(), budget);
        assert_eq!(Budget::decode(None).unwrap(), Budget::default());
        for end in 0..column.len() {
            assert!(Budget::decode(column.get(..end)).is_err(), "{end}");
        }
    }
}
