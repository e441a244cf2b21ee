//! News of an agent's messages: each piece once, in order, after whatever number somebody knows.

use murmuration_comms::{Attempt, Happened, Keeper, News};
use murmuration_platform::{Param, Store};
use murmuration_syntax::Tid;

use crate::common::{Agent, NOW, Random, SECOND, text};

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
        assert!(page.complete || page.through > after, "it goes on");
        assert!(page.news.iter().all(|piece| piece.number > after && piece.number <= page.through));
        all.extend(page.news);
        if page.complete {
            return all;
        }
        after = page.through;
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

/// Notes a message whose id was made at a time, as whoever sends it likes.
fn made_at(bob: &Agent, to: &[&Agent], made: u64) -> Tid {
    let header = bob.header(to, Some(&format!("t{made}")), made);
    let parcel = bob.open_parcel(header, "x");
    bob.comms.send(&parcel, &parcel.to_cbor().unwrap(), b"", None, NOW).unwrap();
    parcel.header().id
}

#[test]
fn sim_late_receipts_are_told_once_and_in_order_whatever_the_pages() {
    let names = ["alice", "carol", "dave"].map(Agent::new);
    let to: Vec<&Agent> = names.iter().collect();
    let (bob, dice) = (Agent::new("bob"), Random::of(7));
    let within = |seconds: u64| dice.next() % (seconds * SECOND);
    let mut tries = Vec::new();
    for _ in 0..100 {
        let made = NOW - 5_000 * SECOND + within(10_000);
        let id = made_at(&bob, &to, made);
        for _ in 0..dice.below(7) {
            let pause = if dice.below(2) == 0 { within(60) } else { within(50_000) };
            tries.push((made.max(NOW) + pause, id));
        }
    }
    tries.sort_unstable();
    for (at, id) in tries {
        let later = Attempt::Later {
            retry_after_seconds: None,
            reason: "away".into(),
            fault: false,
            keeper: Some(Keeper::Alarm),
        };
        let attempt = if dice.below(3) == 0 { Attempt::Delivered } else { later };
        bob.comms.settle(id, &[(to[dice.below(3)].did.clone(), attempt)], at, 0).unwrap();
    }
    // As if all of it were read.
    let mut expected = Vec::new();
    for mut row in bob.store.query("SELECT id FROM sent", &[]).unwrap() {
        let sent = bob.comms.sent(row.text(0).unwrap().parse().unwrap()).unwrap().unwrap();
        let told = sent.receipts.iter().filter(|receipt| receipt.attempts > 0);
        expected.extend(told.map(|receipt| (receipt.at, receipt.state)));
    }
    expected.sort_by_key(|(at, _)| *at);
    let late = bob.store.query("SELECT at FROM late_receipt ORDER BY at", &[]).unwrap().len();
    assert!(late > 50 && late + 10 < expected.len(), "{late} of {}", expected.len());
    for limit in [1, 7, 1_000] {
        for start in [0, expected.len() / 3, expected.len() - 1] {
            let after = expected[start].0 - 1;
            let told = all(&bob, after, limit).into_iter().map(|news| match news.what {
                Happened::Told { receipt, .. } => (news.number, receipt.state),
                Happened::Came(_) => panic!("nothing has come"),
            });
            assert_eq!(told.collect::<Vec<_>>(), expected[start..], "{limit} from {start}");
        }
    }
}

#[test]
fn a_page_of_news_reads_about_what_it_tells_of() {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    // As many as it takes, all like one.
    let copy = |first: Tid, count: u64, seconds: u64| {
        for n in 1..count {
            let id = Tid::from_parts(first.micros() + n * seconds * SECOND, 1).to_string();
            bob.store
                .query(
                    "INSERT INTO sent (id, thread, seq, cid, type, digest, at, expires_at, due, deliveries, parcel) \
                     SELECT ?1, thread, ?2, cid, type, digest, at, expires_at, due, deliveries, parcel \
                     FROM sent WHERE id = ?3",
                    &[Param::Text(&id), Param::Int(i64::try_from(n + 1).unwrap()), Param::Text(&first.to_string())],
                )
                .unwrap();
        }
    };
    let read = |after: u64| {
        let before = bob.store.counts().read;
        let page = bob.comms.news(after, 100, NOW).unwrap();
        (page, bob.store.counts().read - before)
    };
    let waiting = made_at(&bob, &[&alice], NOW);
    copy(waiting, 3_000, 1);
    let last = made_at(&bob, &[&alice], NOW + 10_000 * SECOND);
    let told = [(alice.did.clone(), Attempt::Delivered)];
    bob.comms.settle(last, &told, NOW + 10_000 * SECOND + 1, 0).unwrap();
    // One piece is found at once by whoever is behind by a little.
    let (page, rows) = read(NOW + 9_000 * SECOND);
    assert!(page.news.len() == 1 && page.complete && rows < 10, "{rows} rows");
    // Where thousands wait of whom nothing is to be told, a page looks at some of them, and says how far.
    let (mut after, mut pages, mut found) = (NOW - SECOND, 0, 0);
    loop {
        let (page, rows) = read(after);
        assert!(rows <= 1_300, "{rows} rows");
        (pages, found) = (pages + 1, found + page.news.len());
        if page.complete {
            break;
        }
        assert!(page.through > after);
        after = page.through;
    }
    assert_eq!((pages, found), (3, 1));
}
