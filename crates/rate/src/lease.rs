//! Leases: how points are spent far from their window.

use std::collections::BTreeMap;

use crate::{Rule, Status, Window};

/// A lease is this part of a rule's points: few enough that what others hold and do not spend is no loss, and a small rule
/// is asked for each point.
const LEASE_SHARE: u32 = 50;
/// Windows that an isolate remembers at the most; beyond, it forgets those that are over, and then all. The ledgers know.
const MAX_TABS: usize = 10_000;

/// A request for points of one window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    /// The window's name among those of its ledger; no space in it.
    pub bucket: String,
    /// Its rule.
    pub rule: Rule,
    /// Points without which none are of use.
    pub need: u32,
    /// Points that are welcome.
    pub want: u32,
    /// What the asker knows of the window.
    pub known: Window,
}

impl Ask {
    /// One line of text.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { bucket, rule, need, want, known } = self;
        format!("{bucket} {} {} {need} {want} {} {}", rule.points, rule.seconds, known.spent, known.ends)
    }

    /// Reads [`Ask::encode`].
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let bucket = words.next()?.to_owned();
        let mut number = || words.next()?.parse::<u32>().ok();
        let rule = Rule::new(number()?, number()?);
        let (need, want, spent) = (number()?, number()?, number()?);
        let ends = words.next()?.parse().ok()?;
        Some(Self { bucket, rule, need, want, known: Window { ends, spent } })
    }
}

/// What a ledger gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    /// Points: none, or at least what was needed.
    pub points: u32,
    /// The window, these points included.
    pub window: Window,
}

impl Grant {
    /// One line of text.
    #[must_use]
    pub fn encode(self) -> String {
        format!("{} {} {}", self.points, self.window.spent, self.window.ends)
    }

    /// Reads [`Grant::encode`].
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = || words.next()?.parse::<u32>().ok();
        let (points, spent) = (number()?, number()?);
        Some(Self { points, window: Window { ends: words.next()?.parse().ok()?, spent } })
    }
}

/// The windows of one key, where they live.
#[derive(Debug, Default)]
pub struct Ledger {
    windows: BTreeMap<String, Window>,
}

impl Ledger {
    /// Gives points. What the asker knows of the same window, and this ledger has forgotten, counts.
    pub fn lease(&mut self, ask: &Ask, now: u64) -> Grant {
        let known = ask.known.at(ask.rule, now);
        let slot = self.windows.entry(ask.bucket.clone()).or_default();
        let mut window = slot.at(ask.rule, now);
        if window.spent == 0 && known.spent > 0 {
            window = known;
        } else if window.ends == known.ends {
            window.spent = window.spent.max(known.spent);
        }
        let left = ask.rule.points.saturating_sub(window.spent);
        let points = if left < ask.need { 0 } else { ask.want.max(ask.need).min(left) };
        window.spent = window.spent.saturating_add(points);
        *slot = window;
        Grant { points, window }
    }
}

/// What an isolate holds of the windows of others.
#[derive(Debug, Default)]
pub struct Tabs {
    tabs: BTreeMap<String, Tab>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tab {
    window: Window,
    /// Points that were leased and are not spent.
    left: u32,
}

/// What comes of spending.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Spend {
    /// The points are spent.
    Done(Status),
    /// There are not so many.
    Refused(Status),
    /// The ledger must be asked; [`Tabs::settle`] takes its grant.
    Ask(Ask),
}

impl Tabs {
    /// Spends points of the window `bucket` of the ledger `key`.
    pub fn spend(&mut self, key: &str, bucket: &str, rule: Rule, points: u32, now: u64) -> Spend {
        self.make_room(now);
        let tab = self.tabs.entry(name(key, bucket)).or_default();
        tab.renew(rule, now);
        if let Some(done) = tab.spend(rule, points, now) {
            return done;
        }
        let need = points.saturating_sub(tab.left);
        let want = need.max(rule.points / LEASE_SHARE);
        Spend::Ask(Ask { bucket: bucket.to_owned(), rule, need, want, known: tab.window })
    }

    /// Spends points with what a ledger has given.
    pub fn settle(&mut self, key: &str, ask: &Ask, grant: Grant, points: u32, now: u64) -> Spend {
        let rule = ask.rule;
        let tab = self.tabs.entry(name(key, &ask.bucket)).or_default();
        tab.renew(rule, now);
        if tab.window.ends == grant.window.ends {
            tab.window.spent = tab.window.spent.max(grant.window.spent);
            tab.left = tab.left.saturating_add(grant.points);
        } else {
            *tab = Tab { window: grant.window, left: grant.points };
        }
        // What several had asked for at once may be spent by the others: the window has the last word.
        tab.spend(rule, points, now).unwrap_or_else(|| Spend::Refused(tab.status(rule, now)))
    }

    fn make_room(&mut self, now: u64) {
        if self.tabs.len() >= MAX_TABS {
            self.tabs.retain(|_, tab| tab.window.ends > now);
        }
        if self.tabs.len() >= MAX_TABS {
            self.tabs.clear();
        }
    }
}

impl Tab {
    /// Begins a new window if the known one is over. Nothing is leased of it yet, and its end is the ledger's to say.
    fn renew(&mut self, rule: Rule, now: u64) {
        if self.window.at(rule, now) != self.window {
            *self = Self::default();
        }
    }

    /// Spends what is leased, or refuses what the window cannot have; `None` where the ledger must be asked.
    fn spend(&mut self, rule: Rule, points: u32, now: u64) -> Option<Spend> {
        if let Some(left) = self.left.checked_sub(points) {
            self.left = left;
            return Some(Spend::Done(self.status(rule, now)));
        }
        let unleased = rule.points.saturating_sub(self.window.spent);
        (points - self.left > unleased).then(|| Spend::Refused(self.status(rule, now)))
    }

    fn status(self, rule: Rule, now: u64) -> Status {
        let mut status = self.window.status(rule, now);
        status.remaining = status.remaining.saturating_add(self.left);
        status
    }
}

fn name(key: &str, bucket: &str) -> String {
    format!("{bucket} {key}")
}
