//! An envelope in three parts.

use crate::common::{Seeded, binding, epoch_key, key_of, to};
use murmuration_envelope::{Envelope, EnvelopeError, OWN_PART_BYTES, Parts, Suite};

#[test]
fn an_envelope_is_the_same_in_parts_and_only_in_its_own() {
    let (own, entropy) = (epoch_key(1, 7), Seeded::new(1));
    let bob = key_of("bob", Suite::X25519, 1);
    for readers in [vec![], vec![to(&bob)]] {
        let envelope = Envelope::seal(&binding(), &own, &readers, b"text", &entropy).unwrap();
        let parts = envelope.to_parts();
        assert_eq!(parts.own.len(), OWN_PART_BYTES);
        assert_eq!(parts.readers.is_empty(), readers.is_empty());
        assert_eq!(Envelope::from_parts(&parts).unwrap(), envelope);

        let next = Envelope::seal(&binding(), &own, &readers, b"text", &entropy).unwrap().to_parts();
        let mut mixed = parts.clone();
        mixed.own = next.own;
        let mixed = Envelope::from_parts(&mixed).unwrap();
        assert_eq!(
            mixed.open_own(&binding(), std::slice::from_ref(&own)).map(drop),
            Err(EnvelopeError::Sealed)
        );
        let mut shredded = parts.clone();
        shredded.own = vec![0; OWN_PART_BYTES];
        assert!(
            Envelope::from_parts(&shredded)
                .unwrap()
                .open_own(&binding(), std::slice::from_ref(&own))
                .is_err()
        );

        for cut in [
            |parts: &mut Parts| parts.own.truncate(OWN_PART_BYTES - 1),
            |parts: &mut Parts| parts.own.push(0),
            |parts: &mut Parts| parts.text.truncate(parts.text.len() - 1),
            |parts: &mut Parts| parts.text.truncate(20),
            |parts: &mut Parts| parts.readers = vec![1, 2, 3],
        ] {
            let mut parts = parts.clone();
            cut(&mut parts);
            assert!(Envelope::from_parts(&parts).is_err());
        }
    }
}
