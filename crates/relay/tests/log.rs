//! Numbering, deduplication, retention and replay of the log.

use murmuration_firehose::{Event, Seq, SyncEvent, Timestamp};
use murmuration_platform::Store;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::wire::{Ack, Item, Push};
use murmuration_relay::{Log, LogConfig, RelayError, Scope};
use murmuration_syntax::Tid;

use crate::common::{Dice, Drafts, T0, did, draft, small, told};

fn open(store: &SqliteStore) -> Log {
    Log::open(store, small()).unwrap()
}

/// Everything that the log gives after a number: (seq, account, ord).
fn replay(store: &SqliteStore, log: &Log, mut after: u64) -> Vec<(u64, u64, u64)> {
    let mut all = Vec::new();
    loop {
        let batch = log.read(store, after, Scope::Own).unwrap();
        for (seq, frame) in &batch.frames {
            assert!(seq.get() > after);
            after = seq.get();
            let told = told(frame);
            assert_eq!(told.0, after, "the frame carries its own number");
            all.push(told);
        }
        if batch.at_head {
            return all;
        }
        assert!(!batch.frames.is_empty(), "a batch that is not the last has something");
    }
}

#[test]
fn numbers_rise_by_one_and_frames_come_back() {
    let store = SqliteStore::open().unwrap();
    let mut log = open(&store);
    assert_eq!(log.head(), 0);
    for (round, account) in [3, 1, 3, 2].into_iter().enumerate() {
        let base = round as u64 * 10;
        let drafts = Drafts::new(account, base..base + 3);
        let done = log.append(&store, &drafts.push(true, T0), T0).unwrap();
        let first = Seq::new(round as u64 * 3 + 1);
        assert_eq!(done.ack, Ack { through: base + 2, first, sequenced: 3, duplicates: 0 });
        assert_eq!(done.frames.len(), 3);
    }
    let all = replay(&store, &log, 0);
    assert_eq!(all.iter().map(|event| event.0).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    for after in 0..12 {
        assert_eq!(replay(&store, &log, after), all[after as usize..]);
    }
    assert_eq!(replay(&store, &open(&store), 0), all);
}

#[test]
fn a_push_is_one_row() {
    let store = SqliteStore::open().unwrap();
    let mut log = Log::open(&store, LogConfig::default()).unwrap();
    log.append(&store, &Drafts::new(1, 0..1).push(true, T0), T0).unwrap();
    let before = store.counts();
    for round in 1..=100 {
        log.append(&store, &Drafts::new(round % 7, [round * 2, round * 2 + 1]).push(true, T0), T0).unwrap();
    }
    let after = store.counts();
    assert_eq!(after.written - before.written, 100);
    assert_eq!(after.statements - before.statements, 100);
}

#[test]
fn waking_reads_few_rows() {
    let store = SqliteStore::open().unwrap();
    let mut log = Log::open(&store, LogConfig::default()).unwrap();
    for round in 0..1_000 {
        let push = Drafts::new(round % 50, [round]);
        log.append(&store, &push.push(true, T0), T0 + round * 100_000).unwrap();
        while log.prune(&store, T0 + round * 100_000).unwrap() {}
    }
    let before = store.counts();
    let woken = Log::open(&store, LogConfig::default()).unwrap();
    assert_eq!(woken.head(), 1_000);
    let rows = store.counts().read - before.read;
    assert!(rows <= 14, "{rows} rows");
}

#[test]
fn huge_frames_get_rows_of_their_own() {
    let store = SqliteStore::open().unwrap();
    let mut log = Log::open(&store, LogConfig::default()).unwrap();
    let sizes = [100, 1_970_000, 1_970_000, 50, 60, 900_000, 900_000, 900_000];
    let drafts: Vec<Vec<u8>> = sizes
        .iter()
        .map(|size| {
            let rev = Tid::from_parts(T0 * 1000, 0);
            let sync =
                SyncEvent { did: did(1), rev, blocks: vec![7; *size], time: Timestamp::from_micros(0) };
            Event::Sync(sync).draft().unwrap()
        })
        .collect();
    let items = |range: std::ops::Range<usize>| Push {
        did: did(1),
        fresh: true,
        items: range.map(|ord| Item { ord: ord as u64, made_at: T0, draft: &drafts[ord] }).collect(),
    };
    let before = store.counts().written;
    log.append(&store, &items(0..8), T0).unwrap();
    let rows = store.counts().written - before;
    assert!((4..=6).contains(&rows), "{rows}");
    let mut after = 0;
    loop {
        let batch = log.read(&store, after, Scope::Own).unwrap();
        for (seq, frame) in &batch.frames {
            assert_eq!(seq.get(), after + 1);
            after += 1;
            assert!(frame.len() >= sizes[after as usize - 1]);
        }
        if batch.at_head {
            break;
        }
    }
    assert_eq!(after, 8);
}

#[test]
fn refuses_pushes_that_break_their_promises() {
    let store = SqliteStore::open().unwrap();
    let mut log = open(&store);
    let good = draft(1, 1);
    let bad = vec![0, 0, 0, 9, 1];
    fn push<'a>(items: &[(u64, &'a [u8])]) -> Push<'a> {
        let item = |(ord, draft): &(u64, &'a [u8])| Item { ord: *ord, made_at: T0, draft };
        Push { did: did(1), fresh: true, items: items.iter().map(item).collect() }
    }
    let many: Vec<(u64, &[u8])> = (0..1_001).map(|ord| (ord, good.as_slice())).collect();
    for items in [
        vec![],
        vec![(1, good.as_slice()), (1, good.as_slice())],
        vec![(2, good.as_slice()), (1, good.as_slice())],
        vec![(1 << 53, good.as_slice())],
        vec![(1, bad.as_slice())],
        vec![(1, &[][..])],
        many,
    ] {
        assert!(matches!(log.append(&store, &push(&items), T0), Err(RelayError::Push(_))));
    }
    assert_eq!(log.head(), 0);
}

#[test]
fn a_push_survives_the_trip_and_no_truncation_does() {
    let drafts = Drafts::new(5, [3, 9, 12]);
    for fresh in [true, false] {
        let push = drafts.push(fresh, T0);
        let bytes = push.encode().unwrap();
        assert_eq!(Push::decode(&bytes).unwrap(), push);
        for length in 0..bytes.len() {
            assert!(Push::decode(&bytes[..length]).is_err());
        }
    }
    let ack = Ack { through: 7, first: Seq::new(3), sequenced: 2, duplicates: 1 };
    let bytes = ack.encode();
    assert_eq!(Ack::decode(&bytes).unwrap(), ack);
    assert!((0..bytes.len()).all(|length| Ack::decode(&bytes[..length]).is_err()));
}

/// Every crash: the agent pushes events 1 to 3 and learns nothing, or learns and forgets; the relay sleeps in between or
/// does not; others push in between or do not; the retry carries less, the same or more.
#[test]
fn dedup_after_every_crash() {
    for relay_sleeps in [false, true] {
        for first_arrived in [false, true] {
            for others in [0, 3, 40] {
                for retry in [vec![2, 3], vec![1, 2, 3], vec![1, 2, 3, 4, 5], vec![3, 4], vec![4]] {
                    let store = SqliteStore::open().unwrap();
                    let mut log = open(&store);
                    log.append(&store, &Drafts::new(9, 0..2).push(true, T0), T0).unwrap();
                    if first_arrived {
                        log.append(&store, &Drafts::new(1, 1..=3).push(true, T0), T0).unwrap();
                    }
                    for other in 0..others {
                        log.append(&store, &Drafts::new(other + 10, [other]).push(true, T0), T0 + other)
                            .unwrap();
                    }
                    if relay_sleeps {
                        log = open(&store);
                    }
                    let again = Drafts::new(1, retry.iter().copied());
                    let done = log.append(&store, &again.push(false, T0), T0 + 4_000).unwrap();
                    let new = retry.iter().filter(|ord| !first_arrived || **ord > 3).count() as u32;
                    assert_eq!(done.ack.sequenced, new);
                    assert_eq!(done.ack.duplicates, retry.len() as u32 - new);
                    let last = *retry.last().unwrap();
                    assert_eq!(done.ack.through, if first_arrived { last.max(3) } else { last });
                    let mut ords: Vec<u64> = replay(&store, &log, 0)
                        .iter()
                        .filter(|event| event.1 == 1)
                        .map(|event| event.2)
                        .collect();
                    let expected: Vec<u64> =
                        if first_arrived { (1..=last.max(3)).collect() } else { retry.clone() };
                    assert_eq!(ords, expected);
                    ords.dedup();
                    assert_eq!(ords, expected);
                }
            }
        }
    }
}

#[test]
fn a_first_attempt_costs_no_search() {
    let store = SqliteStore::open().unwrap();
    let mut log = open(&store);
    for account in 0..30 {
        log.append(&store, &Drafts::new(account, [1]).push(true, T0), T0).unwrap();
    }
    let mut log = open(&store);
    let before = store.counts();
    log.append(&store, &Drafts::new(77, [1]).push(true, T0), T0).unwrap();
    assert_eq!(store.counts().read, before.read);
}

#[test]
fn a_search_is_made_once_for_all_accounts() {
    let store = SqliteStore::open().unwrap();
    let config = LogConfig { known_accounts: 1_000, partition_bytes: 1 << 20, ..small() };
    let mut log = Log::open(&store, config).unwrap();
    for account in 0..300 {
        log.append(&store, &Drafts::new(account, [1]).push(true, T0), T0).unwrap();
    }
    let mut log = Log::open(&store, config).unwrap();
    log.append(&store, &Drafts::new(0, [1]).push(false, T0), T0).unwrap();
    let before = store.counts();
    for account in 1..300 {
        let done = log.append(&store, &Drafts::new(account, [1]).push(false, T0), T0).unwrap();
        assert_eq!(done.ack.duplicates, 1);
    }
    let cost = store.counts().statements - before.statements;
    assert!(cost <= 299 * 12, "{cost} statements: a few to find the time, none to search again");
    assert_eq!(store.counts().written, before.written);
}

#[test]
fn sim_forgetting_accounts_never_repeats_an_event() {
    for seed in 1..200 {
        let store = SqliteStore::open().unwrap();
        let mut log = open(&store);
        let mut dice = Dice(seed);
        let mut acked = [0_u64; 12];
        let mut made = [0_u64; 12];
        let mut now = T0;
        for _ in 0..120 {
            now += dice.roll(400);
            if dice.roll(10) == 0 {
                log = open(&store);
            }
            let account = dice.roll(12);
            let (done, all) = (&mut acked[account as usize], &mut made[account as usize]);
            let retry = *all > *done;
            *all += 1 + dice.roll(3);
            let drafts = Drafts::new(account, *done + 1..=*all);
            let outcome = log.append(&store, &drafts.push(!retry, now), now).unwrap();
            assert_eq!(outcome.ack.through, *all);
            if dice.roll(3) > 0 {
                *done = *all;
            }
        }
        let events = replay(&store, &log, 0);
        for account in 0..12 {
            let ords: Vec<u64> =
                events.iter().filter(|event| event.1 == account).map(|event| event.2).collect();
            assert_eq!(
                ords,
                (1..=made[account as usize]).collect::<Vec<_>>(),
                "seed {seed} account {account}"
            );
        }
    }
}

#[test]
fn numbers_never_come_back_when_everything_is_gone() {
    let store = SqliteStore::open().unwrap();
    let mut log = open(&store);
    log.append(&store, &Drafts::new(1, 0..5).push(true, T0), T0).unwrap();
    while log.prune(&store, T0 + 1_000_000).unwrap() {}
    assert_eq!(log.expiry(&store).unwrap(), None, "nothing is left to expire");
    for mut log in [log, open(&store), open(&store)] {
        assert_eq!(log.head(), 5);
        assert_eq!(log.earliest(), 6);
        assert!(log.read(&store, 5, Scope::Own).unwrap().at_head);
        assert!(matches!(log.read(&store, 4, Scope::Own), Err(RelayError::Outrun(4))));
        while log.prune(&store, T0 + 2_000_000).unwrap() {}
    }
    let mut log = open(&store);
    let done = log.append(&store, &Drafts::new(1, [9]).push(true, T0), T0).unwrap();
    assert_eq!(done.ack.first, Seq::new(6));
    assert_eq!(replay(&store, &open(&store), 5), [(6, 1, 9)]);
}

#[test]
fn keeps_at_least_the_retention_and_at_most_an_eighth_more() {
    let store = SqliteStore::open().unwrap();
    let config = LogConfig { partition_bytes: 1 << 20, ..small() };
    let mut log = Log::open(&store, config).unwrap();
    let mut times = Vec::new();
    for round in 0..400_u64 {
        let now = T0 + round * 100;
        times.push(now);
        log.append(&store, &Drafts::new(1, [round]).push(true, now), now).unwrap();
        while log.prune(&store, now).unwrap() {}
        let oldest = times[log.earliest() as usize - 1];
        let age = now - oldest;
        assert!(age <= 8_000 + 1_000 + 200, "{age}");
        assert!(round < 90 || age >= 8_000 - 100, "{age}");
        let due = log.expiry(&store).unwrap().unwrap();
        assert!(due > now && due <= now + 8_000);
    }
}

#[test]
fn pruning_writes_a_row_or_two_a_partition() {
    let store = SqliteStore::open().unwrap();
    let config = LogConfig { partition_bytes: 1 << 30, ..small() };
    let mut log = Log::open(&store, config).unwrap();
    for round in 0..5_000 {
        log.append(&store, &Drafts::new(1, [round]).push(true, T0), T0 + round / 100).unwrap();
    }
    let before = store.counts().written;
    assert!(log.prune(&store, T0 + 1_000_000).unwrap());
    let rows = store.counts().written - before;
    assert!(rows <= 3, "{rows} rows for 5,000 events");
    assert_eq!(log.earliest(), 5_001);
}

#[test]
fn a_full_log_loses_its_oldest_events() {
    let store = SqliteStore::open().unwrap();
    let config = LogConfig { log_bytes: 10_000, ..small() };
    let mut log = Log::open(&store, config).unwrap();
    for round in 0..1_000 {
        log.append(&store, &Drafts::new(1, [round]).push(true, T0), T0).unwrap();
        while log.prune(&store, T0).unwrap() {}
    }
    let kept = log.head() + 1 - log.earliest();
    assert!((50..200).contains(&kept), "{kept} events kept");
    assert_eq!(replay(&store, &log, log.earliest() - 1).len() as u64, kept);
}

#[test]
fn a_clock_that_stands_or_steps_back_changes_no_order() {
    for clock in
        [|_: u64| T0, |round: u64| T0 - round * 3_600_000, |round: u64| T0 + (round % 2) * 31_536_000_000]
    {
        let store = SqliteStore::open().unwrap();
        let config = LogConfig { retention_ms: 1 << 45, ..small() };
        let mut log = Log::open(&store, config).unwrap();
        for round in 0..200 {
            let now = clock(round);
            log.append(&store, &Drafts::new(round % 5, [round]).push(true, now), now).unwrap();
            log.prune(&store, now).unwrap();
            if round % 17 == 0 {
                log = Log::open(&store, config).unwrap();
            }
            let again = Drafts::new(round % 5, [round]);
            let done = log.append(&store, &again.push(false, now), now).unwrap();
            assert_eq!(done.ack.duplicates, 1, "round {round}");
        }
        let seqs: Vec<u64> = replay(&store, &log, 0).iter().map(|event| event.0).collect();
        assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    }
}

#[test]
fn a_failed_append_leaves_no_trace() {
    for statement in 0..6 {
        let store = SqliteStore::open().unwrap();
        let mut log = open(&store);
        for round in 0..20 {
            log.append(&store, &Drafts::new(1, [round]).push(true, T0), T0 + round * 300).unwrap();
        }
        let head = log.head();
        let before = replay(&store, &log, 0);
        // Three rows in a new partition.
        let drafts = Drafts::new(1, 20..32);
        store.fail_after(Some(statement));
        let outcome = log.append(&store, &drafts.push(true, T0), T0 + 7_000);
        let fired = !store.fault_armed();
        store.fail_after(None);
        if fired {
            assert!(outcome.is_err());
            assert_eq!(log.head(), head);
            assert_eq!(replay(&store, &log, 0), before);
            assert_eq!(replay(&store, &open(&store), 0), before);
            let done = log.append(&store, &drafts.push(false, T0), T0 + 7_000).unwrap();
            assert_eq!(done.ack.sequenced, 12);
        }
        assert!(fired || statement > 4, "statement {statement} was never run");
        assert_eq!(replay(&store, &log, 0).len(), 32);
    }
}

#[test]
fn a_deleted_account_can_be_taken_out() {
    let store = SqliteStore::open().unwrap();
    let mut log = open(&store);
    for round in 0..60 {
        log.append(&store, &Drafts::new(round % 3, [round]).push(true, T0), T0).unwrap();
    }
    log.append(&store, &Drafts::new(1, [100]).push(true, T0), T0).unwrap();
    for _ in 0..2 {
        log.purge(&store, did(1).as_str(), 100).unwrap();
    }
    let events = replay(&store, &log, 0);
    assert_eq!(events.iter().filter(|event| event.1 == 1).map(|event| event.2).collect::<Vec<_>>(), [100]);
    assert_eq!(events.len(), 41);
    log.purge(&store, did(2).as_str(), u64::from(u32::MAX)).unwrap();
    log.purge(&store, did(1).as_str(), u64::from(u32::MAX)).unwrap();
    let log = open(&store);
    assert_eq!(log.head(), 61);
    assert_eq!(replay(&store, &log, 0).last().unwrap().2, 100, "the last row stays");
}

/// jetstream, issue 262: the tombstone of an account, applied late, erased what the account said after it had come back.
#[test]
fn regress_jetstream_262_a_late_purge_leaves_what_came_after_the_deletion() {
    let store = SqliteStore::open().unwrap();
    let mut log = open(&store);
    log.append(&store, &Drafts::new(1, [1, 2]).push(true, T0), T0).unwrap();
    log.append(&store, &Drafts::new(1, [3]).push(true, T0), T0).unwrap();
    log.append(&store, &Drafts::new(1, [9, 10]).push(true, T0), T0).unwrap();
    log.append(&store, &Drafts::new(1, [11]).push(true, T0), T0).unwrap();
    for _ in 0..2 {
        log.purge(&store, did(1).as_str(), 3).unwrap();
        let said: Vec<_> = replay(&store, &log, 0).iter().map(|event| event.2).collect();
        assert_eq!(said, [3, 9, 10, 11]);
    }
}
