//! Data keys that one who can open an envelope gives to another.

use murmuration_data::Ipld;
use murmuration_envelope::{Binding, Envelope, EnvelopeError, SharedKey, Suite};

use crate::common::{Seeded, binding, epoch_key, key_of, to};

#[test]
fn a_shared_key_opens_the_envelope_for_one_it_was_not_sealed_to() {
    let entropy = Seeded::new(1);
    for suite in [Suite::X25519, Suite::XWing] {
        let (alice, bob, carol) = (epoch_key(7, 1), key_of("bob", suite, 1), key_of("carol", suite, 4));
        let envelope = Envelope::seal(&binding(), &alice, &[to(&bob)], b"hello", &entropy).unwrap();
        let before = envelope.to_cbor();
        let ring = std::slice::from_ref(&carol);
        assert_eq!(envelope.open(&binding(), ring).err(), Some(EnvelopeError::NotForUs));
        // By its author, by its reader, and by a reader who has kept no more than its key.
        let keeper = epoch_key(3, 2);
        let kept = envelope.keep(&binding(), std::slice::from_ref(&bob), &keeper, &entropy).unwrap();
        let shared = [
            envelope.share_own_key(&binding(), &[alice], &to(&carol), &entropy).unwrap(),
            envelope.share_received_key(&binding(), &[bob], &to(&carol), &entropy).unwrap(),
            envelope.share_kept_key(&binding(), &kept, &[keeper], &to(&carol), &entropy).unwrap(),
        ];
        for key in shared {
            assert_eq!(key.recipient(), &carol.id);
            let key = SharedKey::from_ipld(key.to_ipld()).unwrap();
            assert_eq!(envelope.open_shared(&binding(), &key, ring).unwrap().as_slice(), b"hello");
        }
        assert_eq!(envelope.to_cbor(), before);
    }
}

#[test]
fn a_shared_key_opens_only_its_envelope_in_its_place_for_its_reader() {
    let entropy = Seeded::new(1);
    let (alice, carol, dave) =
        (epoch_key(7, 1), key_of("carol", Suite::X25519, 1), key_of("dave", Suite::X25519, 1));
    let own = std::slice::from_ref(&alice);
    let seal = |to_whom: &[_]| Envelope::seal(&binding(), &alice, to_whom, b"hello", &entropy).unwrap();
    let (one, two) = (seal(&[]), seal(&[to(&carol)]));
    let shared = one.share_own_key(&binding(), own, &to(&carol), &entropy).unwrap();
    let ring = std::slice::from_ref(&carol);
    assert!(one.open_shared(&binding(), &shared, ring).is_ok());
    assert_eq!(two.open_shared(&binding(), &shared, ring).err(), Some(EnvelopeError::Sealed));
    let elsewhere = Binding { rkey: "elsewhere".parse().unwrap(), ..binding() };
    assert_eq!(one.open_shared(&elsewhere, &shared, ring).err(), Some(EnvelopeError::Sealed));
    let outcome = one.open_shared(&binding(), &shared, std::slice::from_ref(&dave));
    assert_eq!(outcome.err(), Some(EnvelopeError::NotForUs));
    // An entry of the envelope is no shared key.
    let Ok(Some(Ipld::List(entries))) = two.to_ipld().get("recipients").map(|found| found.cloned()) else {
        panic!()
    };
    let entry = SharedKey::from_ipld(entries[0].clone()).unwrap();
    assert_eq!(two.open_shared(&binding(), &entry, ring).err(), Some(EnvelopeError::Sealed));
    // A weaker key than the reader had published.
    let strong = key_of("carol", Suite::XWing, 1);
    let outcome = one.open_shared(&binding(), &shared, &[carol.clone(), strong]);
    assert_eq!(outcome.err(), Some(EnvelopeError::Downgrade));
    let Ipld::Map(fields) = shared.to_ipld() else { panic!() };
    for name in ["enc", "wrap"] {
        let Ipld::Bytes(bytes) = &fields[name] else { panic!() };
        for at in 0..bytes.len() {
            let mut bad = fields.clone();
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            bad.insert(name.to_owned(), Ipld::Bytes(changed));
            let bad = SharedKey::from_ipld(Ipld::Map(bad)).unwrap();
            assert!(one.open_shared(&binding(), &bad, ring).is_err(), "{name} {at}");
        }
    }
}
