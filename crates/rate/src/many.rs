//! Windows of one rule, one for each of many keys.

use std::collections::BTreeMap;

use crate::{Rule, Status, Window};

/// Windows of one rule, by a key that somebody else chooses. There are never more than a number of them: where there is no
/// room for another, those that are over go, and then the one that is over first. What is forgotten is forgiven.
#[derive(Debug)]
pub struct Windows {
    rule: Rule,
    most: usize,
    windows: BTreeMap<String, Window>,
}

impl Windows {
    /// No window yet; never more than `most`.
    #[must_use]
    pub const fn new(rule: Rule, most: usize) -> Self {
        Self { rule, most, windows: BTreeMap::new() }
    }

    /// Spends points of the window of `key`, if there are so many left. A refusal costs nothing.
    ///
    /// # Errors
    /// How it stands, when there are fewer.
    pub fn take(&mut self, key: &str, points: u32, now: u64) -> Result<Status, Status> {
        if let Some(window) = self.windows.get_mut(key) {
            return window.take(self.rule, points, now);
        }
        self.make_room(now);
        self.windows.entry(key.to_owned()).or_default().take(self.rule, points, now)
    }

    fn make_room(&mut self, now: u64) {
        if self.windows.len() < self.most {
            return;
        }
        self.windows.retain(|_, window| window.ends > now);
        if self.windows.len() >= self.most {
            let first = self.windows.iter().min_by_key(|(_, window)| window.ends).map(|(key, _)| key.clone());
            first.and_then(|key| self.windows.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_A_MINUTE: Rule = Rule::new(2, 60);
    const SECOND: u64 = 1_000_000;

    #[test]
    fn each_key_has_a_window_of_its_own() {
        let mut windows = Windows::new(TWO_A_MINUTE, 10);
        for key in ["a", "b"] {
            assert!(windows.take(key, 1, SECOND).is_ok());
            assert!(windows.take(key, 1, SECOND).is_ok());
            assert_eq!(windows.take(key, 1, SECOND).map_err(|status| status.seconds_left(SECOND)), Err(60));
        }
        assert!(windows.take("a", 1, 61 * SECOND).is_ok());
    }

    #[test]
    fn there_are_never_more_than_so_many_and_the_youngest_stay() {
        let mut windows = Windows::new(TWO_A_MINUTE, 3);
        for (second, key) in (1..).zip(["a", "b", "c", "d"]) {
            assert!(windows.take(key, 2, second * SECOND).is_ok());
        }
        assert_eq!(windows.windows.len(), 3);
        for key in ["b", "c", "d"] {
            assert!(windows.take(key, 1, 5 * SECOND).is_err(), "{key}");
        }
        assert!(windows.take("a", 1, 5 * SECOND).is_ok());
        // All of them are over.
        assert!(windows.take("e", 1, 200 * SECOND).is_ok());
        assert_eq!(windows.windows.len(), 1);
    }
}
