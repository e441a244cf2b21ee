//! News of an agent's messages: each piece once, in order, after whatever number somebody knows.

use murmuration_comms::{Attempt, Happened, Keeper, News};

use crate::common::{Agent, NOW, SECOND, text};

/// What has happened, in a word each.
fn words(news: &[News]) -> Vec<String> {
    let word = |piece: &News| match &piece.what {
        Happened::Came(item) => text(item),
        Happened::Told { receipt, .. } => {
            format!("{} {}", receipt.to.as_str().rsplit(':').next().unwrap(), receipt.state.name())
        }
    };
    news.iter().map(word).collect()
}

/// All news behind a number, page by page, with their numbers.
fn all(agent: &Agent, mut after: u64, limit: usize) -> Vec<News> {
    let mut all = Vec::new();
    loop {
        let page = agent.comms.news(after, limit, NOW).unwrap();
        assert!(page.news.len() <= limit);
        assert!(page.complete || !page.news.is_empty(), "it goes on");
        all.extend(page.news);
        if page.complete {
            return all;
        }
        after = all.last().unwrap().number;
    }
}

fn told(agent: &Agent, to: &Agent, attempt: Attempt, thread: &str, at: u64) {
    told_at(agent, to, attempt, thread, (at, at));
}

fn told_at(agent: &Agent, to: &Agent, attempt: Attempt, thread: &str, (sent, told): (u64, u64)) {
    let parcel = agent.send(to, Some(thread), "out", sent);
    agent.comms.settle(parcel.header().id, &[(to.did.clone(), attempt)], told, 7).unwrap();
}

#[test]
fn what_comes_and_what_is_told_of_what_was_sent_are_one_row_of_numbers() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    // All in one microsecond.
    for n in 0..3 {
        let parcel = alice.send(&bob, Some("t"), &format!("m{n}"), NOW + n);
        bob.receive(&parcel, NOW).unwrap();
        told(&bob, &alice, Attempt::Delivered, &format!("b{n}"), NOW);
    }
    let expected =
        ["m0", "alice delivered", "m1", "alice delivered", "m2", "alice delivered"].map(str::to_owned);
    let fresh = bob.comms.fresh(NOW).unwrap();
    assert_eq!(words(&fresh), expected);
    assert!(fresh.is_sorted_by(|left, right| left.number < right.number));
    assert!(bob.comms.fresh(NOW).unwrap().is_empty(), "it is fresh once");
    for limit in [1, 2, 3, 5, 100] {
        assert_eq!(all(&bob, 0, limit), fresh, "pages of {limit}");
    }
    for (at, piece) in fresh.iter().enumerate() {
        assert_eq!(all(&bob, piece.number, 2), fresh[at + 1..], "after {}", piece.number);
    }
    assert_eq!(bob.comms.latest(NOW).unwrap(), fresh.last().unwrap().number);
}

#[test]
fn a_receipt_that_changes_is_news_again_and_a_message_not_yet_tried_is_none() {
    let (mut alice, bob, carol) = (Agent::new("alice"), Agent::new("bob"), Agent::new("carol"));
    let parcel = alice.open_parcel(alice.header(&[&bob, &carol], None, NOW), "x");
    alice.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"digest", None, NOW).unwrap();
    assert!(all(&alice, 0, 10).is_empty());
    let id = parcel.header().id;
    let later = Attempt::Later {
        retry_after_seconds: None,
        reason: "away".into(),
        fault: false,
        keeper: Some(Keeper::Alarm),
    };
    let tries = [(bob.did.clone(), Attempt::Delivered), (carol.did.clone(), later)];
    alice.comms.settle(id, &tries, NOW + SECOND, 7).unwrap();
    let first = all(&alice, 0, 10);
    assert_eq!(words(&first), ["bob delivered", "carol queued"]);
    assert!(first[0].number < first[1].number, "each has a number of its own");
    alice.comms.fresh(NOW).unwrap();
    alice.restart();
    alice.comms.settle(id, &[(carol.did.clone(), Attempt::Delivered)], NOW + 2 * SECOND, 7).unwrap();
    assert_eq!(words(&alice.comms.fresh(NOW).unwrap()), ["carol delivered"]);
    assert_eq!(words(&all(&alice, 0, 1)), ["bob delivered", "carol delivered"], "the last of it");
    assert_eq!(words(&all(&alice, first[1].number, 10)), ["carol delivered"]);
}

#[test]
fn numbers_rise_when_the_clock_steps_back_and_over_a_restart() {
    let (alice, mut bob) = (Agent::new("alice"), Agent::new("bob"));
    let mut last = 0;
    for n in 0..20_u64 {
        let parcel = alice.send(&bob, Some("t"), "m", NOW + n);
        bob.receive(&parcel, NOW + 100 - n).unwrap();
        told_at(&bob, &alice, Attempt::Delivered, &format!("b{n}"), (NOW + n, NOW + 50 - n));
        let fresh = bob.comms.fresh(NOW).unwrap();
        for piece in &fresh {
            assert!(piece.number > last, "{} after {last}", piece.number);
            last = piece.number;
        }
        if n % 3 == 0 {
            bob.restart();
        }
    }
    assert_eq!(all(&bob, 0, 7).len(), 40);
}

#[test]
fn who_is_told_up_to_now_misses_nothing_that_comes_later() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let cursor = bob.comms.latest(NOW + SECOND).unwrap();
    // The clock is behind by now.
    bob.receive(&alice.send(&bob, None, "late", NOW), NOW).unwrap();
    assert_eq!(words(&all(&bob, cursor, 10)), ["late"]);
}

#[test]
fn a_page_ends_with_its_bytes_as_well_and_loses_nothing() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let long = "l".repeat(100_000);
    for n in 0..8 {
        bob.receive(&alice.send(&bob, Some("t"), &long, NOW + n), NOW + n).unwrap();
        told(&bob, &alice, Attempt::Delivered, &format!("b{n}"), NOW + n);
    }
    let page = bob.comms.news(0, 1_000, NOW).unwrap();
    assert!(!page.complete && page.news.len() < 10, "{}", page.news.len());
    let all = all(&bob, 0, 1_000);
    assert_eq!(all.len(), 16);
    assert!(all.is_sorted_by(|left, right| left.number < right.number));
}

#[test]
fn what_is_not_stored_is_no_news() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let parcel = alice.send(&bob, Some("t"), "m", NOW);
    bob.receive(&parcel, NOW).unwrap();
    bob.comms.fresh(NOW).unwrap();
    bob.receive(&parcel, NOW).unwrap();
    let other = alice.open_parcel(parcel.header().clone(), "another");
    bob.receive(&other, NOW).unwrap_err();
    assert!(bob.comms.fresh(NOW).unwrap().is_empty());
    assert_eq!(words(&all(&bob, 0, 10)), ["m"]);
}
