//! Frames against an independent decoder of DAG-CBOR.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld, cid_of_cbor};
use murmuration_firehose::{
    AccountEvent, AccountStatus, CommitEvent, Event, FirehoseError, Frame, Glance, IdentityEvent,
    MAX_DRAFT_BYTES, MAX_FRAME_BYTES, MAX_OPS, Seq, SyncEvent, Timestamp, Touched, draft_is_sound,
    error_frame, frame, info_frame, touched,
};
use murmuration_repo::{Key, RecordOp};
use murmuration_syntax::{Did, Handle, Tid};

fn did() -> Did {
    Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap()
}

fn time() -> Timestamp {
    Timestamp::from_micros(1_795_410_052_123_456)
}

fn cid(seed: u8) -> Cid {
    cid_of_cbor(&[seed])
}

fn op(path: &str, prev: Option<Cid>, cid: Option<Cid>) -> RecordOp {
    RecordOp::between(Key::parse(path).unwrap(), prev, cid).unwrap()
}

fn commit(first: bool) -> CommitEvent {
    CommitEvent {
        repo: did(),
        commit: cid(9),
        rev: Tid::from_parts(1_795_410_052_123_456, 3),
        since: (!first).then(|| Tid::from_parts(1_795_410_000_000_000, 3)),
        prev_data: (!first).then(|| cid(8)),
        ops: vec![
            op("app.bsky.feed.post/3jzfcijpj2z2a", None, Some(cid(1))),
            op("app.bsky.feed.post/3jzfcijpj2z2b", Some(cid(2)), Some(cid(3))),
            op("app.bsky.feed.post/3jzfcijpj2z2c", Some(cid(4)), None),
        ],
        blocks: vec![7; 300],
        time: time(),
    }
}

fn every_event() -> Vec<Event> {
    let account = |inactive| Event::Account(AccountEvent { did: did(), inactive, time: time() });
    let identity = |handle| Event::Identity(IdentityEvent { did: did(), handle, time: time() });
    let sync =
        SyncEvent { did: did(), rev: Tid::from_parts(5_000_000, 1), blocks: vec![1, 2, 3], time: time() };
    vec![
        Event::Commit(commit(true)),
        Event::Commit(commit(false)),
        Event::Commit(CommitEvent { ops: vec![], blocks: vec![], ..commit(false) }),
        Event::Sync(sync),
        identity(None),
        identity(Some(Handle::parse("alice.test").unwrap())),
        account(None),
        account(Some(AccountStatus::Unstated)),
        account(Some(AccountStatus::Deleted)),
        account(Some(AccountStatus::Other("resting".into()))),
    ]
}

/// Splits a frame with `serde_ipld_dagcbor`: the header ends where re-encoding it ends.
fn foreign(frame: &[u8]) -> (BTreeMap<String, Ipld>, BTreeMap<String, Ipld>) {
    let mut rest = frame;
    let mut part = || {
        let value: Ipld =
            serde_ipld_dagcbor::de::from_reader_once(&mut std::io::BufReader::new(rest)).unwrap();
        let length = serde_ipld_dagcbor::to_vec(&value).unwrap().len();
        assert_eq!(serde_ipld_dagcbor::to_vec(&value).unwrap(), rest[..length], "canonical");
        rest = &rest[length..];
        match value {
            Ipld::Map(map) => map,
            other => panic!("{other:?}"),
        }
    };
    let parts = (part(), part());
    assert!(rest.is_empty());
    parts
}

#[test]
fn a_foreign_decoder_reads_every_frame_and_would_write_the_same_bytes() {
    for event in every_event() {
        for seq in [1, 23, 24, 255, 256, 65_536, 1 << 32, Seq::MAX.get()] {
            let seq = Seq::new(seq).unwrap();
            let (header, payload) = foreign(&event.frame(seq).unwrap());
            assert_eq!(header["op"], Ipld::Integer(1));
            assert_eq!(header["t"], Ipld::String(event.tag().into()));
            assert_eq!(header.len(), 2);
            assert_eq!(payload["seq"], Ipld::Integer(seq.get().into()));
            assert_eq!(payload["time"], Ipld::String("2026-11-23T05:00:52.123Z".into()));
        }
    }
}

#[test]
fn a_commit_has_the_fields_of_the_lexicon() {
    let seq = Seq::new(7).unwrap();
    let (_, payload) = foreign(&Event::Commit(commit(false)).frame(seq).unwrap());
    let names: Vec<&str> = payload.keys().map(String::as_str).collect();
    let expected = [
        "blobs", "blocks", "commit", "ops", "prevData", "rebase", "repo", "rev", "seq", "since", "time",
        "tooBig",
    ];
    assert_eq!(names, expected);
    assert_eq!(payload["rebase"], Ipld::Bool(false));
    assert_eq!(payload["tooBig"], Ipld::Bool(false));
    assert_eq!(payload["blobs"], Ipld::List(vec![]));
    let Ipld::List(ops) = &payload["ops"] else { panic!() };
    let field = |op: usize, name: &str| match &ops[op] {
        Ipld::Map(map) => map.get(name).cloned(),
        _ => panic!(),
    };
    assert_eq!(field(0, "prev"), None);
    assert_eq!(field(0, "cid"), Some(Ipld::Link(cid(1))));
    assert_eq!(field(1, "prev"), Some(Ipld::Link(cid(2))));
    assert_eq!(field(2, "prev"), Some(Ipld::Link(cid(4))));
    assert_eq!(field(2, "cid"), Some(Ipld::Null));
    assert_eq!(field(2, "action"), Some(Ipld::String("delete".into())));
}

#[test]
fn the_first_commit_has_a_null_since_and_no_prev_data() {
    let (_, payload) = foreign(&Event::Commit(commit(true)).frame(Seq::FIRST).unwrap());
    assert_eq!(payload["since"], Ipld::Null);
    assert!(!payload.contains_key("prevData"));
}

#[test]
fn an_active_account_has_no_status() {
    let event = Event::Account(AccountEvent { did: did(), inactive: None, time: time() });
    let (_, payload) = foreign(&event.frame(Seq::FIRST).unwrap());
    assert_eq!(payload["active"], Ipld::Bool(true));
    assert!(!payload.contains_key("status"));
}

#[test]
fn decoding_gives_back_what_was_encoded() {
    let seq = Seq::new(123_456).unwrap();
    for event in every_event() {
        let decoded = Frame::decode(&event.frame(seq).unwrap()).unwrap();
        assert_eq!(decoded, Frame::Event { seq, event });
    }
}

#[test]
fn frames_without_a_number_are_read_too() {
    let info = Frame::decode(&info_frame("OutdatedCursor", "gone")).unwrap();
    assert_eq!(info, Frame::Info { name: "OutdatedCursor".into(), message: Some("gone".into()) });
    let error = Frame::decode(&error_frame("FutureCursor", "not yet")).unwrap();
    assert_eq!(error, Frame::Error { error: "FutureCursor".into(), message: Some("not yet".into()) });
    let (header, _) = foreign(&error_frame("FutureCursor", "not yet"));
    assert_eq!(header, BTreeMap::from([("op".to_owned(), Ipld::Integer(-1))]));
}

#[test]
fn a_draft_under_a_number_is_the_frame() {
    let seq = Seq::new(99).unwrap();
    for event in every_event() {
        let draft = event.draft().unwrap();
        assert_eq!(frame(&draft, seq).unwrap(), event.frame(seq).unwrap());
    }
}

#[test]
fn rejects_a_damaged_draft() {
    let draft = Event::Commit(commit(false)).draft().unwrap();
    for length in 0..draft.len().min(400) {
        let cut = frame(&draft[..length], Seq::FIRST);
        assert_eq!(draft_is_sound(&draft[..length]), cut.is_ok());
        assert!(cut.is_err() || Frame::decode(&cut.unwrap()).is_err());
    }
    for byte in 0..4 {
        let mut bad = draft.clone();
        bad[byte] ^= 1;
        assert!(matches!(frame(&bad, Seq::FIRST), Err(FirehoseError::Draft)) && !draft_is_sound(&bad));
    }
}

#[test]
fn rejects_every_truncation_of_a_frame() {
    for event in every_event() {
        let frame = event.frame(Seq::FIRST).unwrap();
        for length in 0..frame.len() {
            assert!(Frame::decode(&frame[..length]).is_err());
        }
        let mut longer = frame;
        longer.push(0);
        assert!(Frame::decode(&longer).is_err());
    }
}

#[test]
fn no_flipped_bit_brings_the_decoder_down() {
    for event in every_event() {
        let frame = event.frame(Seq::FIRST).unwrap();
        for index in 0..frame.len() {
            for bit in 0..8 {
                let mut bad = frame.clone();
                bad[index] ^= 1 << bit;
                let _ = Frame::decode(&bad);
            }
        }
    }
}

#[test]
fn tells_unknown_types_from_malformed_ones() {
    let mut unknown = vec![0xa2, 0x61, b't', 0x64, b'#', b'n', b'e', b'w', 0x62, b'o', b'p', 1];
    unknown.push(0xa0);
    assert!(matches!(Frame::decode(&unknown), Err(FirehoseError::UnknownType(tag)) if tag == "#new"));
    let no_seq =
        [0xa2, 0x61, b't', 0x68, b'#', b'a', b'c', b'c', b'o', b'u', b'n', b't', 0x62, b'o', b'p', 1, 0xa0];
    assert!(matches!(Frame::decode(&no_seq), Err(FirehoseError::Field(_))));
}

#[test]
fn refuses_a_draft_that_no_row_could_hold() {
    let blocks = vec![0; MAX_DRAFT_BYTES];
    let event = Event::Commit(CommitEvent { blocks, ..commit(false) });
    assert!(matches!(event.draft(), Err(FirehoseError::TooLarge { .. })));
    let of = |bytes| Event::Commit(CommitEvent { blocks: vec![0; bytes], ..commit(false) }).draft();
    let around = of(MAX_DRAFT_BYTES / 2).unwrap().len() - MAX_DRAFT_BYTES / 2;
    assert_eq!(of(MAX_DRAFT_BYTES - around).unwrap().len(), MAX_DRAFT_BYTES);
    assert!(matches!(of(MAX_DRAFT_BYTES - around + 1), Err(FirehoseError::TooLarge { .. })));
    let many = vec![op("app.bsky.feed.post/3jzfcijpj2z2a", None, Some(cid(1))); 201];
    let event = Event::Commit(CommitEvent { ops: many, ..commit(false) });
    assert!(matches!(event.draft(), Err(FirehoseError::TooLarge { .. })));
}

#[test]
fn what_an_event_touches_is_read_without_the_rest_of_it() {
    let touch = |event: &Event| touched(&event.draft().unwrap()).map(|touched| format!("{touched:?}"));
    let of = |ops| Event::Commit(CommitEvent { ops, ..commit(false) });
    let ops = vec![
        op("com.example.gone/a", Some(cid(1)), None),
        op("com.example.new/a", None, Some(cid(2))),
        op("com.example.other/a", Some(cid(3)), Some(cid(4))),
        op("com.example.other/b", None, Some(cid(5))),
    ];
    let event = of(ops.clone());
    let draft = event.draft().unwrap();
    let written = ["com.example.new", "com.example.other"];
    assert_eq!(touched(&draft).unwrap(), Touched::Some(written.into()));
    assert_eq!(touched(&of(ops[..1].to_vec()).draft().unwrap()).unwrap(), Touched::Some([].into()));
    for event in every_event() {
        match (&event, touch(&event).unwrap().as_str()) {
            (Event::Commit(_), told) => assert!(told.starts_with("Some("), "{told}"),
            (Event::Sync(_), told) => assert_eq!(told, "All"),
            (_, told) => assert_eq!(told, "Nothing"),
        }
        let frame = event.frame(Seq::MAX).unwrap();
        let glance = Glance::of(&frame).unwrap();
        assert_eq!(glance.did, did().as_str());
        assert_eq!(glance.collections.is_some(), matches!(event, Event::Commit(_)));
    }
    let frame = event.frame(Seq::FIRST).unwrap();
    let all = ["com.example.gone", "com.example.new", "com.example.other"];
    assert_eq!(Glance::of(&frame).unwrap(), Glance { did: did().as_str(), collections: Some(all.into()) });

    for end in 0..60 {
        assert!(touched(&draft[..end]).is_err() && Glance::of(&frame[..end]).is_err(), "{end} bytes");
    }
    // The key of the tag, and of the operations, under another name.
    for at in [2, frame.windows(4).position(|bytes| bytes == b"\x63ops").unwrap() + 1] {
        let mut other = frame.clone();
        other[at] ^= 1;
        assert!(matches!(Glance::of(&other), Err(FirehoseError::Draft)), "byte {at}");
    }
}

#[test]
fn refuses_a_frame_and_operations_beyond_the_protocols_limits() {
    let outcome = |bytes| Frame::decode(&vec![0; bytes]).unwrap_err();
    assert!(matches!(outcome(MAX_FRAME_BYTES + 1), FirehoseError::TooLarge { what: "bytes", .. }));
    assert!(!matches!(outcome(MAX_FRAME_BYTES), FirehoseError::TooLarge { .. }));

    let many = |count| vec![op("app.bsky.feed.post/3jzfcijpj2z2a", None, Some(cid(1))); count];
    let whole = Event::Commit(CommitEvent { ops: many(MAX_OPS), ..commit(false) }).frame(Seq::FIRST).unwrap();
    assert!(Frame::decode(&whole).is_ok());
    let (header, mut payload) = foreign(&whole);
    let Some(Ipld::List(ops)) = payload.get_mut("ops") else { panic!("no operations") };
    ops.push(ops[0].clone());
    let more = [Ipld::Map(header), Ipld::Map(payload)].map(|part| serde_ipld_dagcbor::to_vec(&part).unwrap());
    let refused = Frame::decode(&more.concat());
    assert!(matches!(refused, Err(FirehoseError::TooLarge { what: "operations", .. })), "{refused:?}");
}

/// iroh-relay, July 2026: a frame that ended early was a panic before anybody had logged in.
#[test]
fn regress_iroh_a_short_frame_is_an_error() {
    for event in every_event() {
        let frame = event.frame(Seq::FIRST).unwrap();
        for end in 0..frame.len() {
            assert!(Frame::decode(&frame[..end]).is_err(), "{end} of {} bytes", frame.len());
        }
    }
}
