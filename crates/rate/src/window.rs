//! A window and its rule.

/// Microseconds in a second.
const MICROS: u64 = 1_000_000;

/// How many points may be spent in how many seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Points of one window.
    pub points: u32,
    /// How long it is.
    pub seconds: u32,
}

impl Rule {
    /// `points` in `seconds`.
    #[must_use]
    pub const fn new(points: u32, seconds: u32) -> Self {
        Self { points, seconds }
    }

    fn micros(self) -> u64 {
        u64::from(self.seconds) * MICROS
    }
}

/// What is spent, and until when that counts. Nothing at first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Window {
    /// When all points are free again, in microseconds since the Unix epoch.
    pub ends: u64,
    /// Points.
    pub spent: u32,
}

impl Window {
    /// Spends points, if there are so many left. A refusal costs nothing.
    ///
    /// # Errors
    /// How it stands, when there are fewer.
    pub fn take(&mut self, rule: Rule, points: u32, now: u64) -> Result<Status, Status> {
        let window = self.at(rule, now);
        let spent = window.spent.saturating_add(points);
        if spent > rule.points {
            return Err(window.status(rule, now));
        }
        *self = Self { spent, ..window };
        Ok(self.status(rule, now))
    }

    /// How it stands.
    #[must_use]
    pub fn status(self, rule: Rule, now: u64) -> Status {
        let window = self.at(rule, now);
        Status { rule, remaining: rule.points.saturating_sub(window.spent), ends: window.ends }
    }

    /// The window at a time: a new one if this has ended. One that would end later than a whole window from now was begun
    /// by a clock that ran ahead, and counts no more.
    #[must_use]
    pub fn at(self, rule: Rule, now: u64) -> Self {
        let latest = now.saturating_add(rule.micros());
        if self.ends > now && self.ends <= latest { self } else { Self { ends: latest, spent: 0 } }
    }
}

/// How a window stands: what the caller is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// The rule.
    pub rule: Rule,
    /// Points that are left.
    pub remaining: u32,
    /// When all points are free again, in microseconds since the Unix epoch.
    pub ends: u64,
}

impl Status {
    /// The one with fewer points left.
    #[must_use]
    pub const fn tighter(self, other: Self) -> Self {
        if other.remaining < self.remaining { other } else { self }
    }

    /// Seconds until all points are free again, rounded up.
    #[must_use]
    pub const fn seconds_left(&self, now: u64) -> u64 {
        self.ends.saturating_sub(now).div_ceil(MICROS)
    }

    /// The second in which all points are free again, since the Unix epoch.
    #[must_use]
    pub const fn ends_at_second(&self) -> u64 {
        self.ends / MICROS
    }
}
