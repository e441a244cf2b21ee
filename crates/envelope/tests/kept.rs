//! Data keys that are kept beside an envelope that may not change.

use murmuration_envelope::{Binding, Envelope, EnvelopeError, KeptKey, Suite};

use crate::common::{Seeded, binding, epoch_key, key_of, to};

#[test]
fn a_kept_key_opens_without_the_key_that_was_sealed_to() {
    let entropy = Seeded::new(1);
    for suite in [Suite::X25519, Suite::XWing] {
        let (alice, bob) = (epoch_key(7, 1), key_of("bob", suite, 1));
        let envelope = Envelope::seal(&binding(), &alice, &[to(&bob)], b"hello", &entropy).unwrap();
        let keeper = epoch_key(3, 2);
        let kept = envelope.keep(&binding(), &[bob], &keeper, &entropy).unwrap();
        let kept = KeptKey::from_bytes(&kept.to_bytes()).unwrap();
        assert_eq!((kept.epoch(), kept.to_bytes().len()), (3, 76));
        let text = envelope.open_kept(&binding(), &kept, std::slice::from_ref(&keeper)).unwrap();
        assert_eq!(text.as_slice(), b"hello");

        let next = epoch_key(4, 9);
        let moved =
            envelope.keep_anew(&binding(), &kept, std::slice::from_ref(&keeper), &next, &entropy).unwrap();
        let text = envelope.open_kept(&binding(), &moved, std::slice::from_ref(&next)).unwrap();
        assert_eq!(text.as_slice(), b"hello");
        let outcome = envelope.open_kept(&binding(), &moved, &[keeper]);
        assert_eq!(outcome.err(), Some(EnvelopeError::NotForUs));

        let own = envelope.keep_own(&binding(), &[alice], &next, &entropy).unwrap();
        assert_eq!(envelope.open_kept(&binding(), &own, &[next]).unwrap().as_slice(), b"hello");
    }
}

#[test]
fn a_kept_key_opens_only_its_envelope_in_its_place() {
    let entropy = Seeded::new(1);
    let (alice, bob, keeper) = (epoch_key(7, 1), key_of("bob", Suite::X25519, 1), epoch_key(3, 2));
    let seal = || Envelope::seal(&binding(), &alice, &[to(&bob)], b"hello", &entropy).unwrap();
    let (one, two) = (seal(), seal());
    let kept = one.keep(&binding(), std::slice::from_ref(&bob), &keeper, &entropy).unwrap();
    let keys = std::slice::from_ref(&keeper);
    assert_eq!(two.open_kept(&binding(), &kept, keys).err(), Some(EnvelopeError::Sealed));
    let elsewhere = Binding { rkey: "elsewhere".parse().unwrap(), ..binding() };
    assert_eq!(one.open_kept(&elsewhere, &kept, keys).err(), Some(EnvelopeError::Sealed));
    // The author's own copy is no kept key, even under the same symmetric key.
    let own = Envelope::seal(&binding(), &keeper, &[], b"hello", &entropy).unwrap();
    assert!(own.open_own(&binding(), keys).is_ok());
    assert!(own.open_kept(&binding(), &kept, keys).is_err());
    let bytes = kept.to_bytes();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let bad = KeptKey::from_bytes(&bad).unwrap();
        assert!(one.open_kept(&binding(), &bad, keys).is_err(), "byte {at}");
        assert_eq!(KeptKey::from_bytes(&bytes[..at]).err(), Some(EnvelopeError::Form));
    }
}
