//! Who holds records of which collection: noted once, listed in pages, forgotten with the account.

use murmuration_firehose::{AccountEvent, AccountStatus, CommitEvent, Event, Frame, SyncEvent, Timestamp};
use murmuration_platform::Store as _;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::wire::{Item, Push, Told};
use murmuration_relay::{LogConfig, Relay};
use murmuration_repo::{Action, Key, RecordOp, empty_root};
use murmuration_syntax::{Nsid, Rev};

use crate::common;
use crate::common::{Drafts, T0, Wires, did, small, wake};

fn nsid(text: &str) -> Nsid {
    Nsid::parse(text).unwrap()
}

fn commit(account: u64, ops: &[(Action, &str)]) -> Vec<u8> {
    let op = |(action, path): &(Action, &str)| RecordOp {
        path: Key::parse(path).unwrap(),
        action: *action,
        cid: (*action != Action::Delete).then(empty_root),
        prev: (*action != Action::Create).then(empty_root),
    };
    let event = CommitEvent {
        repo: did(account),
        commit: empty_root(),
        rev: Rev::from_parts(T0 * 1000, 1),
        since: Some(Rev::from_parts(T0, 1)),
        prev_data: Some(empty_root()),
        ops: ops.iter().map(op).collect(),
        blocks: vec![7; 500],
        time: Timestamp::from_micros(T0 * 1000),
    };
    Event::Commit(event).draft().unwrap()
}

fn push(relay: &mut Relay, store: &SqliteStore, account: u64, ord: u64, draft: &[u8]) {
    let items = vec![Item { ord, made_at: T0, draft }];
    let push = Push { did: did(account), fresh: true, items };
    relay.append(store, &Wires::default(), &push, T0).unwrap();
}

fn holders(relay: &Relay, store: &SqliteStore, collection: &str) -> Vec<String> {
    relay.holders(store, &nsid(collection), "", 100).unwrap()
}

fn names(accounts: &[u64]) -> Vec<String> {
    let mut names: Vec<String> = accounts.iter().map(|account| did(*account).to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_pair_is_written_once_and_found_by_its_collection() {
    let store = SqliteStore::open().unwrap();
    let mut relay = wake(&store, LogConfig::default(), &Wires::default(), T0);
    let note = commit(1, &[(Action::Create, "com.example.note/a")]);
    push(&mut relay, &store, 1, 1, &note);
    push(&mut relay, &store, 2, 1, &commit(2, &[(Action::Create, "com.example.note/a")]));
    push(&mut relay, &store, 3, 1, &commit(3, &[(Action::Create, "com.example.note.more/a")]));
    let written = store.counts().written;
    push(&mut relay, &store, 1, 2, &note);
    assert_eq!(store.counts().written - written, 1);
    // Nothing is known any more, and nothing is written again.
    let mut relay = wake(&store, LogConfig::default(), &Wires::default(), T0);
    let written = store.counts().written;
    push(&mut relay, &store, 1, 3, &note);
    assert_eq!(store.counts().written - written, 1);
    assert_eq!(holders(&relay, &store, "com.example.note"), names(&[1, 2]));
    assert_eq!(holders(&relay, &store, "com.example.note.more"), names(&[3]));
    assert!(holders(&relay, &store, "com.example.nothing").is_empty());
    // A record that goes leaves the pair.
    push(&mut relay, &store, 1, 4, &commit(1, &[(Action::Delete, "com.example.note/a")]));
    assert_eq!(holders(&relay, &store, "com.example.note"), names(&[1, 2]));
}

#[test]
fn holders_come_in_pages() {
    let store = SqliteStore::open().unwrap();
    let mut relay = wake(&store, LogConfig::default(), &Wires::default(), T0);
    for account in 0..25 {
        push(&mut relay, &store, account, 1, &commit(account, &[(Action::Create, "com.example.note/a")]));
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = relay.holders(&store, &nsid("com.example.note"), &after, 10).unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        found.extend(page);
    }
    assert_eq!(found, names(&(0..25).collect::<Vec<_>>()));
}

#[test]
fn an_account_that_was_deleted_holds_nothing() {
    let store = SqliteStore::open().unwrap();
    let mut relay = wake(&store, small(), &Wires::default(), T0);
    for account in 1..=2 {
        let ops = [(Action::Create, "com.example.note/a"), (Action::Create, "com.example.other/a")];
        push(&mut relay, &store, account, 1, &commit(account, &ops));
    }
    relay.purge(&store, did(1).as_str(), 2).unwrap();
    for collection in ["com.example.note", "com.example.other"] {
        assert_eq!(holders(&relay, &store, collection), names(&[2]));
    }
    // It may come again.
    push(&mut relay, &store, 1, 5, &commit(1, &[(Action::Create, "com.example.note/a")]));
    assert_eq!(holders(&relay, &store, "com.example.note"), names(&[1, 2]));
}

#[test]
fn an_account_tells_of_what_it_brought_along() {
    let store = SqliteStore::open().unwrap();
    let mut relay = wake(&store, LogConfig::default(), &Wires::default(), T0);
    let told = Told { did: did(1), collections: vec![nsid("com.example.note"), nsid("app.bsky.feed.post")] };
    let bytes = told.encode().unwrap();
    assert_eq!(Told::decode(&bytes).unwrap(), told);
    for end in 0..bytes.len() {
        assert!(Told::decode(&bytes[..end]).is_err(), "{end}");
    }
    relay.told(&store, &told).unwrap();
    assert_eq!(holders(&relay, &store, "app.bsky.feed.post"), names(&[1]));
    let identity = Drafts::new(1, [1]);
    assert!(!identity.push(true, T0).brings_another_repository());
}

#[test]
fn the_index_is_poked_for_memories_and_for_accounts_that_hold_some_and_reads_nothing_else() {
    let store = SqliteStore::open().unwrap();
    let mut relay = wake(&store, small(), &Wires::default(), T0);
    assert!(relay.take_poke(), "of a poke that was lost nobody knows");
    let standing = |account, inactive| {
        let event = AccountEvent { did: did(account), inactive, time: Timestamp::from_micros(T0 * 1000) };
        Event::Account(event).draft().unwrap()
    };
    let sync = |account| {
        let (blocks, time) = (vec![1], Timestamp::from_micros(T0 * 1000));
        Event::Sync(SyncEvent { did: did(account), rev: Rev::from_parts(T0, 1), blocks, time })
            .draft()
            .unwrap()
    };
    let note = [(Action::Create, "agent.memory.note/a"), (Action::Create, "com.example.note/b")];
    let other = [(Action::Create, "com.example.note/a")];
    let mut told = Vec::new();
    for (ord, (account, draft, concerns)) in [
        (1, standing(1, None), false),
        (1, sync(1), false),
        (1, commit(1, &other), false),
        (1, commit(1, &note), true),
        (1, sync(1), true),
        (1, standing(1, None), true),
        (1, commit(1, &[(Action::Delete, "agent.memory.note/a")]), true),
        (2, standing(2, Some(AccountStatus::Deleted)), true),
        (2, common::draft(2, 7), false),
    ]
    .into_iter()
    .enumerate()
    {
        push(&mut relay, &store, account, ord as u64 + 1, &draft);
        assert_eq!(relay.take_poke(), concerns, "{ord}");
        told.extend(concerns.then_some(ord as u64 + 1));
    }
    let (mut after, mut seqs) = (0, Vec::new());
    loop {
        let page = relay.published(&store, after).unwrap();
        assert!(page.frames.iter().all(|(own, _)| *own));
        seqs.extend(page.frames.iter().map(|(_, frame)| match Frame::decode(frame).unwrap() {
            Frame::Event { seq, .. } => seq.get(),
            other => panic!("{other:?}"),
        }));
        after = page.cursor;
        if page.at_head {
            break;
        }
    }
    // What came before an account held something is read with the rest, and does no harm.
    assert_eq!((&seqs[..], after), (&[1, 2, 4, 5, 6, 7, 8][..], 9));
    assert!(told.iter().all(|seq| seqs.contains(seq)), "{told:?}");
    assert_eq!(relay.published(&store, 5_000).unwrap().cursor, 9, "a place that there is not yet");
}
