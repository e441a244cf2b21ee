//! What holds for every message, every place and every set of readers.

use murmuration_envelope::{Binding, DecryptionKey, Envelope, Recipient, Suite};
use proptest::prelude::*;

use crate::common::{Seeded, binding, epoch_key, key_of, to};

fn readers(suites: &[bool]) -> Vec<DecryptionKey> {
    let suite = |strong: bool| if strong { Suite::XWing } else { Suite::X25519 };
    suites.iter().enumerate().map(|(n, strong)| key_of(&format!("reader{n}"), suite(*strong), 1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_opens_what_was_sealed(
        message in proptest::collection::vec(any::<u8>(), 0..3000),
        suites in proptest::collection::vec(any::<bool>(), 0..4),
        rkey in "[a-z0-9]{1,20}",
        seed in any::<u64>(),
    ) {
        let binding = Binding { rkey: rkey.parse().unwrap(), ..binding() };
        let readers = readers(&suites);
        let recipients: Vec<Recipient> = readers.iter().map(to).collect();
        let own = epoch_key(3, 5);
        let sealed = Envelope::seal(&binding, &own, &recipients, &message, &Seeded::new(seed)).unwrap();
        let read = Envelope::from_cbor(&sealed.to_cbor()).unwrap();
        prop_assert_eq!(&read, &sealed);
        prop_assert_eq!(&Envelope::from_json(sealed.to_json().as_bytes()).unwrap(), &sealed);
        for reader in readers {
            let opened = read.open(&binding, &[reader]).unwrap();
            prop_assert_eq!(opened.as_slice(), message.as_slice());
        }
        let opened = read.open_own(&binding, &[own]).unwrap();
        prop_assert_eq!(opened.as_slice(), message.as_slice());
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_opened(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Envelope::from_cbor(&bytes).is_err());
        prop_assert!(Envelope::from_json(&bytes).is_err());
    }
}

#[test]
fn messages_of_like_length_make_envelopes_of_one_length() {
    let length = |message: usize| {
        Envelope::seal(&binding(), &epoch_key(1, 1), &[], &vec![1; message], &Seeded::new(1))
            .unwrap()
            .to_cbor()
            .len()
    };
    assert_eq!(length(0), length(255));
    assert!(length(256) > length(255));
    assert_eq!(length(992), length(1023));
}

#[test]
fn no_two_envelopes_share_a_nonce_a_key_or_a_ciphertext() {
    let entropy = Seeded::new(1);
    let bob = key_of("bob", Suite::X25519, 1);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let sealed =
            Envelope::seal(&binding(), &epoch_key(1, 1), &[to(&bob)], b"the same", &entropy).unwrap();
        let murmuration_data::Ipld::Map(map) = sealed.to_ipld() else { panic!() };
        for field in ["nonce", "commit", "ciphertext"] {
            assert!(seen.insert(format!("{:?}", map[field])), "{field}");
        }
    }
}

#[test]
fn a_new_epoch_takes_over_the_own_copy_and_leaves_the_readers() {
    let bob = key_of("bob", Suite::XWing, 1);
    let (old, new) = (epoch_key(1, 1), epoch_key(2, 2));
    let entropy = Seeded::new(1);
    let sealed = Envelope::seal(&binding(), &old, &[to(&bob)], b"kept", &entropy).unwrap();
    let moved = sealed.rewrap(&binding(), std::slice::from_ref(&old), &new, &entropy).unwrap();
    assert_eq!((moved.epoch(), moved.own_epoch()), (1, 2));
    assert_eq!(moved.open_own(&binding(), &[new]).unwrap().as_slice(), b"kept");
    assert!(moved.open_own(&binding(), &[old]).is_err());
    assert_eq!(moved.open(&binding(), &[bob]).unwrap().as_slice(), b"kept");
}

#[test]
fn a_shared_envelope_opens_for_old_and_new_readers() {
    let (bob, anna) = (key_of("bob", Suite::XWing, 1), key_of("anna", Suite::X25519, 1));
    let own = epoch_key(1, 1);
    let entropy = Seeded::new(1);
    let sealed = Envelope::seal(&binding(), &own, &[to(&bob)], b"kept", &entropy).unwrap();
    let shared = sealed.share(&binding(), std::slice::from_ref(&own), &[to(&anna)], &entropy).unwrap();
    let shared = Envelope::from_cbor(&shared.to_cbor()).unwrap();
    let names: Vec<&str> = shared.recipients().map(|(id, _)| id.as_str()).collect();
    assert_eq!(names, ["did:plc:anna#x25519-1", "did:plc:bob#xwing-1"]);
    for reader in [bob, anna] {
        assert_eq!(shared.open(&binding(), &[reader]).unwrap().as_slice(), b"kept");
    }
    let again = shared.share(&binding(), &[own], &[to(&key_of("bob", Suite::X25519, 1))], &entropy);
    assert_eq!(again.err(), Some(murmuration_envelope::EnvelopeError::RecipientTwice));
}
