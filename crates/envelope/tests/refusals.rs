//! What does not open, and what is not sealed.

use murmuration_data::{Ipld, json};
use murmuration_envelope::{
    Binding, DecryptionKey, Envelope, EnvelopeError, EpochKey, MAX_MESSAGE_BYTES, MAX_RECIPIENTS, PublicKey,
    Recipient, Suite,
};

use crate::common::{Seeded, binding, epoch_key, key_of, to};

fn sealed_to(keys: &[DecryptionKey], message: &[u8]) -> Envelope {
    let recipients: Vec<Recipient> = keys.iter().map(to).collect();
    Envelope::seal(&binding(), &epoch_key(7, 1), &recipients, message, &Seeded::new(1)).unwrap()
}

/// Calls with every envelope that one changed bit makes of another and that still has the form of one, and with the byte that
/// was changed; gives how many there were.
fn each_bit_of(bytes: &[u8], mut check: impl FnMut(Envelope, usize)) -> usize {
    let mut well_formed = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1 << bit;
            if let Ok(envelope) = Envelope::from_cbor(&bad) {
                well_formed += 1;
                check(envelope, at);
            }
        }
    }
    well_formed
}

#[test]
fn no_bit_of_an_envelope_can_change_for_its_author_or_any_reader() {
    let (own, keys) = (epoch_key(7, 1), [key_of("bob", Suite::X25519, 1), key_of("carol", Suite::X25519, 1)]);
    let envelope = sealed_to(&keys, b"short");
    let bytes = envelope.to_cbor();
    let Ipld::Map(map) = envelope.to_ipld() else { panic!() };
    let Ipld::Bytes(ciphertext) = &map["ciphertext"] else { panic!() };
    let start = bytes.windows(ciphertext.len()).position(|window| window == ciphertext).unwrap();
    let ciphertext = start..start + ciphertext.len();
    let well_formed = each_bit_of(&bytes, |bad, at| {
        for key in &keys {
            assert!(bad.open(&binding(), std::slice::from_ref(key)).is_err(), "byte {at}");
        }
        let own = std::slice::from_ref(&own);
        assert!(bad.open_own(&binding(), own).is_err(), "byte {at}");
        // What does not read the ciphertext leaves its change to the reader to see; all else it sees.
        let moved = bad.rewrap(&binding(), own, &epoch_key(8, 2), &Seeded::new(2));
        assert_eq!(moved.is_ok(), ciphertext.contains(&at), "byte {at}");
    });
    // Most changes leave the form intact, and are refused by the ciphers.
    assert!(well_formed > bytes.len() * 5, "{well_formed} of {}", bytes.len() * 8);
}

#[test]
fn no_bit_of_an_envelope_can_change_for_a_reader_by_x_wing() {
    let bob = [key_of("bob", Suite::XWing, 1)];
    let bytes = sealed_to(&bob, b"short").to_cbor();
    let well_formed = each_bit_of(&bytes, |bad, at| {
        assert!(bad.open(&binding(), &bob).is_err(), "byte {at}");
    });
    assert!(well_formed > bytes.len() * 6, "{well_formed} of {}", bytes.len() * 8);
}

#[test]
fn no_byte_can_be_missing_or_added() {
    let bytes = sealed_to(&[key_of("carol", Suite::X25519, 1)], b"short").to_cbor();
    for length in 0..bytes.len() {
        assert_eq!(Envelope::from_cbor(&bytes[..length]).err(), Some(EnvelopeError::Form), "{length}");
    }
    assert_eq!(Envelope::from_cbor(&[&bytes[..], &[0]].concat()).err(), Some(EnvelopeError::Form));
}

#[test]
fn an_envelope_opens_only_where_it_was_sealed_for() {
    let bob = key_of("bob", Suite::XWing, 1);
    let envelope = sealed_to(std::slice::from_ref(&bob), b"short");
    let places = [
        Binding { author: "did:plc:mallory".parse().unwrap(), ..binding() },
        Binding { collection: "agent.comms.handoff".parse().unwrap(), ..binding() },
        Binding { rkey: "3lznm6spegk2a".parse().unwrap(), ..binding() },
        Binding { schema: "agent.comms.response".parse().unwrap(), ..binding() },
        // The same two texts, the other way round.
        Binding { collection: binding().schema, schema: binding().collection, ..binding() },
    ];
    for place in places {
        assert_eq!(envelope.open(&place, std::slice::from_ref(&bob)).err(), Some(EnvelopeError::Sealed));
        assert_eq!(envelope.open_own(&place, &[epoch_key(7, 1)]).err(), Some(EnvelopeError::Sealed));
        let shared = envelope.share(&place, &[epoch_key(7, 1)], &[], &Seeded::new(3));
        assert_eq!(shared.err(), Some(EnvelopeError::Sealed));
    }
}

/// Sets one field of an envelope's map, and reads the result.
fn with(envelope: &Envelope, field: &str, value: Ipld) -> Result<Envelope, EnvelopeError> {
    let Ipld::Map(mut map) = envelope.to_ipld() else { panic!() };
    map.insert(field.to_owned(), value);
    Envelope::from_ipld(Ipld::Map(map))
}

#[test]
fn the_epoch_is_bound() {
    let bob = key_of("bob", Suite::X25519, 1);
    let moved = with(&sealed_to(std::slice::from_ref(&bob), b"short"), "epoch", Ipld::Integer(8)).unwrap();
    assert_eq!(moved.open(&binding(), &[bob]).err(), Some(EnvelopeError::Sealed));
    assert_eq!(moved.open_own(&binding(), &[epoch_key(7, 1)]).err(), Some(EnvelopeError::Sealed));
}

#[test]
fn the_name_of_a_key_and_its_suite_are_bound() {
    let bob = key_of("bob", Suite::X25519, 1);
    let envelope = sealed_to(std::slice::from_ref(&bob), b"short");
    // The same secret, published under another name.
    let renamed = DecryptionKey { id: key_of("bob", Suite::X25519, 2).id, ..bob.clone() };
    assert_eq!(
        envelope.open(&binding(), std::slice::from_ref(&renamed)).err(),
        Some(EnvelopeError::NotForUs)
    );
    let Ipld::Map(map) = envelope.to_ipld() else { panic!() };
    let Ipld::List(mut recipients) = map["recipients"].clone() else { panic!() };
    let Ipld::Map(first) = &mut recipients[0] else { panic!() };
    first.insert("kid".to_owned(), Ipld::String(renamed.id.as_str().to_owned()));
    let forged = with(&envelope, "recipients", Ipld::List(recipients.clone())).unwrap();
    assert_eq!(forged.open(&binding(), &[renamed]).err(), Some(EnvelopeError::Sealed));
    let Ipld::Map(first) = &mut recipients[0] else { panic!() };
    first.insert("suite".to_owned(), Ipld::String(Suite::XWing.name().to_owned()));
    assert_eq!(with(&envelope, "recipients", Ipld::List(recipients)).err(), Some(EnvelopeError::Form));
}

#[test]
fn a_stranger_is_told_that_it_is_not_for_them() {
    let envelope = sealed_to(&[key_of("bob", Suite::XWing, 1)], b"short");
    let mallory = key_of("mallory", Suite::XWing, 1);
    assert_eq!(envelope.open(&binding(), &[mallory]).err(), Some(EnvelopeError::NotForUs));
    assert_eq!(envelope.open(&binding(), &[]).err(), Some(EnvelopeError::NotForUs));
    assert_eq!(envelope.open_own(&binding(), &[epoch_key(6, 1)]).err(), Some(EnvelopeError::NotForUs));
    // The right names with other secrets.
    let bob = DecryptionKey { key: key_of("mallory", Suite::XWing, 1).key, ..key_of("bob", Suite::XWing, 1) };
    assert_eq!(envelope.open(&binding(), &[bob]).err(), Some(EnvelopeError::Sealed));
    assert_eq!(envelope.open_own(&binding(), &[epoch_key(7, 2)]).err(), Some(EnvelopeError::Sealed));
}

#[test]
fn a_removed_reader_does_not_open_the_next_version() {
    let (bob, carol) = (key_of("bob", Suite::XWing, 1), key_of("carol", Suite::X25519, 1));
    let first = sealed_to(&[bob.clone(), carol.clone()], b"first");
    let own = epoch_key(7, 1);
    let next = Envelope::seal(&binding(), &own, &[to(&bob)], b"second", &Seeded::new(2)).unwrap();
    assert_eq!(next.open(&binding(), std::slice::from_ref(&carol)).err(), Some(EnvelopeError::NotForUs));
    // What Carol was given for the first version does not help with the second.
    let Ipld::Map(map) = first.to_ipld() else { panic!() };
    let grafted = with(&next, "recipients", map["recipients"].clone()).unwrap();
    assert_eq!(grafted.open(&binding(), &[carol]).err(), Some(EnvelopeError::Sealed));
    assert_eq!(grafted.open(&binding(), &[bob]).err(), Some(EnvelopeError::Sealed));
}

/// Two envelopes with the same ciphertext: the data key of one, which is known to its readers, does not open the other.
#[test]
fn one_ciphertext_does_not_open_under_two_keys() {
    let bob = key_of("bob", Suite::X25519, 1);
    let (one, two) = (
        sealed_to(std::slice::from_ref(&bob), b"what is said to one"),
        Envelope::seal(&binding(), &epoch_key(7, 1), &[to(&bob)], b"what is said to one", &Seeded::new(9))
            .unwrap(),
    );
    let (Ipld::Map(one_map), Ipld::Map(two_map)) = (one.to_ipld(), two.to_ipld()) else { panic!() };
    // Everything that carries the key comes from one, commitment and ciphertext from the other, in all mixtures.
    let fields = ["nonce", "commit", "own", "recipients", "ciphertext"];
    for mixture in 0..1_u32 << fields.len() {
        let mut map = one_map.clone();
        for (at, field) in fields.iter().enumerate() {
            if mixture & (1 << at) != 0 {
                map.insert((*field).to_owned(), two_map[*field].clone());
            }
        }
        let mixed = Envelope::from_ipld(Ipld::Map(map)).unwrap();
        let pure = mixture == 0 || mixture == (1 << fields.len()) - 1;
        assert_eq!(mixed.open(&binding(), std::slice::from_ref(&bob)).is_ok(), pure, "{mixture:b}");
        assert_eq!(mixed.open_own(&binding(), &[epoch_key(7, 1)]).is_ok(), pure, "{mixture:b}");
    }
}

#[test]
fn one_who_publishes_x_wing_is_never_sealed_to_with_less() {
    let old = key_of("bob", Suite::X25519, 9);
    let new = key_of("bob", Suite::XWing, 3);
    let recipient =
        Recipient::of(&[old.published(), new.published(), key_of("bob", Suite::XWing, 2).published()])
            .unwrap();
    assert_eq!(recipient.key(), &new.published());
}

#[test]
fn a_reader_refuses_what_was_sealed_to_a_weaker_key_than_it_had_published() {
    let weak = key_of("bob", Suite::X25519, 3);
    let envelope = sealed_to(std::slice::from_ref(&weak), b"short");
    let opened =
        |strong_epoch| envelope.open(&binding(), &[key_of("bob", Suite::XWing, strong_epoch), weak.clone()]);
    assert_eq!(opened(3).err(), Some(EnvelopeError::Downgrade));
    assert_eq!(opened(2).err(), Some(EnvelopeError::Downgrade));
    // Mail from before X-Wing was published stays readable.
    assert!(opened(4).is_ok());
    assert!(envelope.open(&binding(), &[key_of("carol", Suite::XWing, 1), weak.clone()]).is_ok());
}

#[test]
fn recipients_are_limited_and_named_once() {
    let own = epoch_key(7, 1);
    let many: Vec<Recipient> =
        (0..=MAX_RECIPIENTS).map(|n| to(&key_of(&format!("reader{n}"), Suite::X25519, 1))).collect();
    let seal = |to: &[Recipient]| Envelope::seal(&binding(), &own, to, b"short", &Seeded::new(1));
    assert_eq!(seal(&many).err(), Some(EnvelopeError::TooManyRecipients));
    let full = seal(&many[..MAX_RECIPIENTS]).unwrap();
    assert_eq!(full.recipients().count(), MAX_RECIPIENTS);
    let keys = [own.clone()];
    let one_more = full.share(&binding(), &keys, &many[MAX_RECIPIENTS..], &Seeded::new(2));
    assert_eq!(one_more.err(), Some(EnvelopeError::TooManyRecipients));
    let twice = [to(&key_of("bob", Suite::X25519, 1)), to(&key_of("bob", Suite::XWing, 1))];
    assert_eq!(seal(&twice).err(), Some(EnvelopeError::RecipientTwice));
    assert_eq!(Recipient::of(&[]).err(), Some(EnvelopeError::NoRecipientKey));
    let mixed = [key_of("bob", Suite::X25519, 1).published(), key_of("carol", Suite::X25519, 1).published()];
    assert_eq!(Recipient::of(&mixed).err(), Some(EnvelopeError::MixedRecipients));
}

#[test]
fn nothing_is_sealed_to_a_key_of_small_order() {
    for point in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let mut key = key_of("bob", Suite::X25519, 1).published();
        key.key = PublicKey::from_bytes(Suite::X25519, &point).unwrap();
        let to = [Recipient::of(&[key]).unwrap()];
        let sealed = Envelope::seal(&binding(), &epoch_key(7, 1), &to, b"short", &Seeded::new(1));
        assert_eq!(sealed.err(), Some(EnvelopeError::PublicKey));
    }
}

#[test]
fn sizes_are_limited() {
    let own: EpochKey = epoch_key(7, 1);
    let seal = |length: usize| Envelope::seal(&binding(), &own, &[], &vec![1; length], &Seeded::new(1));
    assert_eq!(seal(MAX_MESSAGE_BYTES + 1).err(), Some(EnvelopeError::TooLarge));
    let large = seal(MAX_MESSAGE_BYTES).unwrap();
    assert_eq!(Envelope::from_cbor(&large.to_cbor()), Ok(large.clone()));
    assert_eq!(large.open_own(&binding(), std::slice::from_ref(&own)).unwrap().len(), MAX_MESSAGE_BYTES);
    assert_eq!(
        with(&large, "ciphertext", Ipld::Bytes(vec![0; 278_528 + 16])).err(),
        Some(EnvelopeError::TooLarge)
    );
    let bytes = vec![0; murmuration_envelope::MAX_ENVELOPE_BYTES + 1];
    assert_eq!(Envelope::from_cbor(&bytes).err(), Some(EnvelopeError::TooLarge));
    let text = vec![b' '; murmuration_envelope::MAX_ENVELOPE_JSON_BYTES + 1];
    assert_eq!(Envelope::from_json(&text).err(), Some(EnvelopeError::TooLarge));
}

#[test]
fn refuses_every_other_form() {
    let keys = [key_of("bob", Suite::X25519, 1), key_of("carol", Suite::X25519, 1)];
    let envelope = sealed_to(&keys, b"short");
    assert_eq!(with(&envelope, "v", Ipld::Integer(2)).err(), Some(EnvelopeError::Version));
    let Ipld::Map(map) = envelope.to_ipld() else { panic!() };
    let Ipld::List(recipients) = &map["recipients"] else { panic!() };
    let swapped = vec![recipients[1].clone(), recipients[0].clone()];
    let doubled = vec![recipients[0].clone(), recipients[0].clone()];
    for (field, value) in [
        ("extra", Ipld::Null),
        ("epoch", Ipld::Integer(-1)),
        ("epoch", Ipld::Integer(1 << 32)),
        ("nonce", Ipld::Bytes(vec![0; 12])),
        ("commit", Ipld::Bytes(vec![])),
        ("own", Ipld::Null),
        ("recipients", Ipld::List(swapped)),
        ("recipients", Ipld::List(doubled)),
        ("recipients", Ipld::Null),
        // No padded text has these lengths.
        ("ciphertext", Ipld::Bytes(vec![0; 15])),
        ("ciphertext", Ipld::Bytes(vec![0; 256 + 16 + 1])),
        ("ciphertext", Ipld::String("text".to_owned())),
    ] {
        assert_eq!(
            with(&envelope, field, value.clone()).err(),
            Some(EnvelopeError::Form),
            "{field}: {value:?}"
        );
    }
    for field in map.keys() {
        let mut without = map.clone();
        without.remove(field);
        assert_eq!(Envelope::from_ipld(Ipld::Map(without)).err(), Some(EnvelopeError::Form), "{field}");
    }
    assert_eq!(Envelope::from_ipld(Ipld::List(vec![])).err(), Some(EnvelopeError::Form));
    assert_eq!(Envelope::from_json(b"{").err(), Some(EnvelopeError::Form));
    let json = json::to_string(&envelope.to_ipld());
    assert_eq!(Envelope::from_json(json.as_bytes()), Ok(envelope));
}
