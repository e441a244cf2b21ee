//! Leases against what they promise: never more than the rule, few asks, and a memory that survives the ledger's.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use murmuration_rate::{Ask, Grant, Ledger, Rule, Spend, Tabs, Window};

const NOW: u64 = 1_795_000_000_000_000;
const SECOND: u64 = 1_000_000;
const GLOBAL: Rule = Rule::new(3000, 300);
const LOGIN: Rule = Rule::new(30, 300);

struct World {
    ledger: Ledger,
    asks: usize,
}

impl World {
    fn new() -> Self {
        Self { ledger: Ledger::default(), asks: 0 }
    }

    fn spend(&mut self, tabs: &mut Tabs, rule: Rule, points: u32, now: u64) -> Result<u32, u64> {
        let spend = match tabs.spend("ip 192.0.2.1", "global", rule, points, now) {
            Spend::Ask(ask) => {
                self.asks += 1;
                let ask = Ask::decode(&ask.encode()).unwrap();
                let grant = Grant::decode(&self.ledger.lease(&ask, now).encode()).unwrap();
                tabs.settle("ip 192.0.2.1", &ask, grant, points, now)
            }
            spend => spend,
        };
        match spend {
            Spend::Done(status) => Ok(status.remaining),
            Spend::Refused(status) => Err(status.seconds_left(now)),
            Spend::Ask(_) => panic!("a settled spend asks again"),
        }
    }
}

#[test]
fn one_isolate_spends_every_point_and_asks_for_two_in_a_hundred() {
    let (mut world, mut tabs) = (World::new(), Tabs::default());
    for left in (0..3000).rev() {
        assert_eq!(world.spend(&mut tabs, GLOBAL, 1, NOW), Ok(left));
    }
    assert_eq!(world.asks, 50);
    assert_eq!(world.spend(&mut tabs, GLOBAL, 1, NOW + SECOND), Err(299));
    assert_eq!(world.asks, 50, "a refused client is refused without a hop");
    assert_eq!(world.spend(&mut tabs, GLOBAL, 1, NOW + 300 * SECOND), Ok(2999));
}

#[test]
fn many_isolates_together_never_spend_more_than_the_rule() {
    let mut world = World::new();
    let mut isolates: Vec<Tabs> = (0..7).map(|_| Tabs::default()).collect();
    let mut spent = 0;
    for round in 0..2000 {
        for tabs in &mut isolates {
            let points = 1 + round % 3;
            if world.spend(tabs, GLOBAL, points, NOW).is_ok() {
                spent += points;
            }
        }
    }
    assert!(spent <= 3000, "{spent}");
    assert!(spent > 2900, "what nobody spends is little: {spent}");
}

#[test]
fn a_small_rule_is_exact_across_isolates() {
    let mut world = World::new();
    let (mut one, mut two) = (Tabs::default(), Tabs::default());
    for n in 0..15 {
        assert_eq!(world.spend(&mut one, LOGIN, 1, NOW), Ok(29 - 2 * n));
        assert_eq!(world.spend(&mut two, LOGIN, 1, NOW), Ok(28 - 2 * n));
    }
    assert!(world.spend(&mut one, LOGIN, 1, NOW).is_err());
    assert!(world.spend(&mut two, LOGIN, 1, NOW).is_err());
}

#[test]
fn a_ledger_that_was_forgotten_learns_what_was_spent() {
    let (mut world, mut tabs) = (World::new(), Tabs::default());
    for _ in 0..30 {
        world.ledger = Ledger::default();
        world.spend(&mut tabs, LOGIN, 1, NOW).unwrap();
    }
    world.ledger = Ledger::default();
    assert_eq!(world.spend(&mut tabs, LOGIN, 1, NOW), Err(300));
    // Another isolate learns it as soon as the first has spoken.
    let ask = Ask {
        bucket: "global".into(),
        rule: LOGIN,
        need: 1,
        want: 1,
        known: Window { ends: NOW + 9, spent: 30 },
    };
    assert_eq!(world.ledger.lease(&ask, NOW).points, 0);
    assert!(world.spend(&mut Tabs::default(), LOGIN, 1, NOW).is_err());
}

#[test]
fn asks_that_cross_do_not_spend_a_point_twice() {
    let (mut ledger, mut tabs) = (Ledger::default(), Tabs::default());
    let asks: Vec<Ask> = (0..40)
        .map(|_| match tabs.spend("k", "b", LOGIN, 1, NOW) {
            Spend::Ask(ask) => ask,
            other => panic!("{other:?}"),
        })
        .collect();
    let grants: Vec<Grant> = asks.iter().map(|ask| ledger.lease(ask, NOW)).collect();
    // The answers arrive in another order.
    let done = asks
        .iter()
        .zip(&grants)
        .rev()
        .filter(|(ask, grant)| matches!(tabs.settle("k", ask, **grant, 1, NOW), Spend::Done(_)));
    assert_eq!(done.count(), 30);
}

#[test]
fn a_clock_that_was_a_year_ahead_locks_nobody_out() {
    let mut window = Window::default();
    let ahead = NOW + 365 * 86_400 * SECOND;
    while window.take(LOGIN, 1, ahead).is_ok() {}
    assert_eq!(window.take(LOGIN, 1, NOW).unwrap().remaining, 29);
    // An hour back is within no window of five minutes either.
    assert_eq!(window.take(LOGIN, 30, NOW - 3600 * SECOND).unwrap().remaining, 0);
}

#[test]
fn a_refusal_costs_nothing() {
    let mut window = Window::default();
    window.take(LOGIN, 28, NOW).unwrap();
    assert_eq!(window.take(LOGIN, 3, NOW).unwrap_err().remaining, 2);
    assert_eq!(window.take(LOGIN, 2, NOW).unwrap().remaining, 0);
    assert_eq!(window.take(LOGIN, u32::MAX, NOW).unwrap_err().remaining, 0);
}

#[test]
fn what_is_no_ask_is_none() {
    for text in ["", "global", "global 1 2 3 4 5", "global 1 2 x 4 5 6", "global 1 2 3 4 5 -6"] {
        assert_eq!(Ask::decode(text), None, "{text}");
        assert_eq!(Grant::decode(text), None, "{text}");
    }
}
