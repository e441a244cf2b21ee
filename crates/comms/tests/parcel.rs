//! What a parcel is, and what is none.

use murmuration_comms::limits::{MAX_HEADER_DID_BYTES, MAX_PARCEL_BYTES, MAX_SKEW_MICROS, TOO_OLD_MICROS};
use murmuration_comms::{Body, CommsError, Header, Parcel, Sender, binding, cid_of, default_thread};
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::{Envelope, Recipient};
use murmuration_keys::{Curve, SigningKey};

use crate::common::{Agent, NOW, Random};

fn world() -> (Agent, Agent, Parcel) {
    let (alice, bob) = (Agent::new("alice"), Agent::new("bob"));
    let parcel = alice.sealed(alice.header(&[&bob], None, NOW), &[&bob], "meet me at the mast");
    (alice, bob, parcel)
}

#[test]
fn a_sealed_parcel_goes_over_as_bytes_and_opens_for_its_reader_and_its_sender_alone() {
    let (alice, bob, parcel) = world();
    let bytes = parcel.to_cbor().unwrap();
    let read = Parcel::from_cbor(&bytes).unwrap();
    assert_eq!(read, parcel);
    assert_eq!(cid_of(&bytes), cid_of(&read.to_cbor().unwrap()));
    read.verify(&alice.sender()).unwrap();
    let Body::Sealed(envelope) = read.body() else { panic!("open") };
    let place = binding(read.header());
    assert_eq!(
        envelope.open(&place, std::slice::from_ref(&bob.secret)).unwrap().as_slice(),
        b"meet me at the mast"
    );
    assert_eq!(
        envelope.open_own(&place, std::slice::from_ref(&alice.own)).unwrap().as_slice(),
        b"meet me at the mast"
    );
    let carol = Agent::new("carol");
    assert!(envelope.open(&place, &[carol.secret]).is_err());
    assert!(!bytes.windows(4).any(|window| window == b"mast"));
    // Through JSON, as it is sent.
    let text = json::to_string(&parcel.to_ipld());
    assert_eq!(Parcel::from_ipld(json::parse(text.as_bytes()).unwrap()).unwrap(), parcel);
}

#[test]
fn a_parcel_for_many_is_sealed_to_exactly_those_whom_its_header_names() {
    let alice = Agent::new("alice");
    let readers: Vec<Agent> = (10..74).map(|n| Agent::new(&format!("reader{n}"))).collect();
    let all: Vec<&Agent> = readers.iter().collect();
    let parcel = alice.sealed(alice.header(&all, None, NOW), &all, "all hands");
    parcel.verify(&alice.sender()).unwrap();
    assert!(parcel.to_cbor().unwrap().len() < MAX_PARCEL_BYTES);
    let Body::Sealed(envelope) = parcel.body() else { panic!("open") };
    for reader in [all[0], all[31], all[63]] {
        let opened = envelope.open(&binding(parcel.header()), std::slice::from_ref(&reader.secret)).unwrap();
        assert_eq!(opened.as_slice(), b"all hands");
    }
    // Sealed to one more, or to one fewer, than the sender has signed for.
    for sealed_to in [&all[..], &all[2..]] {
        let recipients: Vec<Recipient> =
            sealed_to.iter().map(|agent| Recipient::of(&[agent.secret.published()]).unwrap()).collect();
        let header = alice.header(&all[1..], None, NOW);
        let random = Random::of(1);
        let envelope = Envelope::seal(&binding(&header), &alice.own, &recipients, b"", &random).unwrap();
        let refused = alice.try_sign(header, Body::Sealed(Box::new(envelope)));
        assert!(matches!(refused, Err(CommsError::Form(_))));
    }
    assert!(alice.try_sign(alice.header(&[], None, NOW), Body::Open(Ipld::Null)).is_err());
}

#[test]
fn nobody_else_can_have_sent_it() {
    let (alice, bob, parcel) = world();
    let mallory = Agent::new("mallory");
    let refused = |parcel: &Parcel, sender: &Sender| match parcel.verify(sender) {
        Err(CommsError::Proof { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    // The key of another, the name of another, the curve of another.
    let other_key = Sender { key: mallory.key.verifying_key(), ..alice.sender() };
    assert_eq!(refused(&parcel, &other_key), "the signature does not fit");
    assert_eq!(refused(&parcel, &mallory.sender()), "the header names another sender");
    let p256 = SigningKey::from_bytes(Curve::P256, &[7; 32]).unwrap();
    let other_curve = Sender { key: p256.verifying_key(), ..alice.sender() };
    assert_eq!(refused(&parcel, &other_curve), "the proof names another algorithm");
    // Mallory signs in Alice's name: the proof names Alice's key, and it is not hers.
    let forged = mallory.sign(alice.header(&[&bob], None, NOW), parcel_body(&parcel));
    assert_eq!(refused(&forged, &alice.sender()), "the signature does not fit");
}

fn parcel_body(parcel: &Parcel) -> Body {
    parcel.body().clone()
}

#[test]
fn no_bit_of_a_parcel_can_change() {
    let (alice, bob, _) = world();
    let parcel = alice.open_parcel(alice.header(&[&bob], Some("t"), NOW), "x");
    let bytes = parcel.to_cbor().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            let taken = Parcel::from_cbor(&bad).and_then(|parcel| parcel.verify(&alice.sender()));
            assert!(taken.is_err(), "bit {bit} of byte {at}");
        }
        assert!(Parcel::from_cbor(&bytes[..at]).is_err());
    }
    assert!(Parcel::from_cbor(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_header_says_each_thing_in_one_way_or_not_at_all() {
    let (alice, bob, _) = world();
    let carol = Agent::new("carol");
    let good = alice.header(&[&bob, &carol], Some("t"), NOW);
    let open = || Body::Open(json::parse(br#"{"$type":"agent.comms.message"}"#).unwrap());
    let refused = |change: &dyn Fn(&mut Header)| {
        let mut header = good.clone();
        change(&mut header);
        assert!(alice.try_sign(header, open()).is_err());
    };
    assert!(alice.try_sign(good.clone(), open()).is_ok());
    refused(&|header| header.to.reverse());
    refused(&|header| header.to.push(carol.did.clone()));
    refused(&|header| header.to.clear());
    refused(&|header| header.thread.clear());
    refused(&|header| header.thread = "t".repeat(65));
    refused(&|header| header.seq = 0);
    refused(&|header| header.seq = 2);
    refused(&|header| header.prev = Some(cid_of(b"")));
    refused(&|header| header.priority = 0);
    refused(&|header| header.priority = 6);
    refused(&|header| header.created_at += 1);
    refused(&|header| header.expires_at = Some(u64::MAX / 1000 * 1000));
    refused(&|header| header.kind = "agent.comms.request".parse().unwrap());
}

#[test]
fn what_is_missing_unknown_or_said_otherwise_is_refused() {
    let (alice, bob, _) = world();
    let parcel = alice.open_parcel(alice.header(&[&bob], Some("t"), NOW), "x");
    let good = json::to_value(&parcel.to_ipld());
    let read = |value: &serde_json::Value| Parcel::from_ipld(json::from_value(value).unwrap());
    assert!(read(&good).is_ok());
    let long = format!("did:plc:{}", "a".repeat(MAX_HEADER_DID_BYTES));
    for (at, value) in [
        ("/header/createdAt", "2026-11-18T05:46:40Z".into()),
        ("/header/createdAt", "2026-11-18T06:46:40.000+01:00".into()),
        ("/header/seq", "1".into()),
        ("/header/seq", (1_u64 << 33).into()),
        ("/header/from", long.as_str().into()),
        ("/header/to", bob.did.as_str().into()),
        ("/header/id", "one".into()),
        ("/header/priority", 300.into()),
        ("/proof/sig", "0".into()),
        ("/body/$type", "agent.comms.defs#other".into()),
        ("/body/record", 1.into()),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap() = value;
        assert!(read(&bad).is_err(), "{at}");
    }
    for (at, names) in [("", 3), ("/header", 8), ("/proof", 3), ("/body", 2)] {
        let part = good.pointer(at).unwrap().as_object().unwrap();
        assert_eq!(part.len(), names);
        for name in part.keys() {
            let mut bad = good.clone();
            bad.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(name);
            assert!(read(&bad).is_err(), "{at} without {name}");
        }
        let mut bad = good.clone();
        bad.pointer_mut(at).unwrap().as_object_mut().unwrap().insert("more".into(), 1.into());
        assert!(read(&bad).is_err(), "{at} with more");
    }
}

#[test]
fn a_parcel_has_its_size_and_its_time() {
    let (alice, bob, parcel) = world();
    let mut header = alice.header(&[&bob], None, NOW);
    header.expires_at = Some(NOW + 1000);
    let record = [("$type", "agent.comms.message".to_owned()), ("text", "x".repeat(MAX_PARCEL_BYTES))];
    let record = record.map(|(name, text)| (name.to_owned(), Ipld::String(text)));
    let large = alice.sign(header.clone(), Body::Open(Ipld::Map(record.into())));
    assert!(matches!(Parcel::from_ipld(large.to_ipld()), Err(CommsError::TooLarge(_))));
    assert!(matches!(Parcel::from_cbor(&large.to_cbor().unwrap()), Err(CommsError::TooLarge(_))));
    assert!(Parcel::from_cbor(&cbor::encode(&Ipld::Null).unwrap()).is_err());
    let short = alice.open_parcel(header, "x");
    assert!(short.check_time(NOW).is_ok());
    assert!(matches!(short.check_time(NOW + 1000), Err(CommsError::Expired)));
    assert!(parcel.check_time(NOW - MAX_SKEW_MICROS).is_ok());
    assert!(matches!(parcel.check_time(NOW - MAX_SKEW_MICROS - 1000), Err(CommsError::Future)));
    assert!(parcel.check_time(NOW + TOO_OLD_MICROS - 1).is_ok());
    assert!(matches!(parcel.check_time(NOW + TOO_OLD_MICROS), Err(CommsError::Expired)));
}

#[test]
fn who_writes_each_other_has_one_thread_whoever_writes() {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Agent::new(name).did);
    let thread = default_thread(&alice, std::slice::from_ref(&bob));
    assert_eq!(thread, default_thread(&bob, std::slice::from_ref(&alice)));
    assert_ne!(thread, default_thread(&alice, std::slice::from_ref(&carol)));
    assert_ne!(thread, default_thread(&alice, &[bob, carol]));
    assert_eq!(thread.len(), 26);
}
