//! What an agent publishes of its keys, and what a reader believes of it.

use std::cell::Cell;
use std::collections::BTreeMap;

use murmuration_data::{Ipld, json};
use murmuration_envelope::{Binding, EnvelopeError, Suite};
use murmuration_keyring::{EpochSecrets, KeyringError, MAX_PUBLISHED_EPOCHS, PublishedKeys, Ring, Seen};
use murmuration_platform::Entropy;
use murmuration_syntax::Did;

const NOW: u64 = 1_795_000_000_000_000;

/// No two calls give the same bytes.
struct Counter(Cell<u32>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        let bytes = self.0.get().to_be_bytes();
        buffer.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

fn entropy(seed: u32) -> Counter {
    Counter(Cell::new(seed))
}

fn bob() -> Did {
    "did:plc:bob".parse().unwrap()
}

/// Bob's ring and record after so many epochs, a minute each.
fn epochs(count: u32) -> (Ring, PublishedKeys) {
    let entropy = entropy(1);
    let (mut ring, mut published) = Ring::begin(&bob(), &entropy, NOW).unwrap();
    for n in 1..count {
        (ring, published) =
            ring.advance(&published, None, &entropy, NOW + u64::from(n) * 60_000_000).unwrap();
    }
    (ring, published)
}

fn read(value: Ipld) -> Result<PublishedKeys, KeyringError> {
    PublishedKeys::from_ipld(&bob(), value)
}

/// The record with a field of one epoch changed, or, for `None`, removed.
fn changed(published: &PublishedKeys, epoch: usize, name: &str, value: Option<Ipld>) -> Ipld {
    let Ipld::Map(mut record) = published.to_ipld() else { panic!() };
    let Some(Ipld::List(list)) = record.get_mut("epochs") else { panic!() };
    let Ipld::Map(fields) = &mut list[epoch] else { panic!() };
    match value {
        Some(value) => fields.insert(name.to_owned(), value),
        None => fields.remove(name),
    };
    Ipld::Map(record)
}

fn field(published: &PublishedKeys, epoch: usize, name: &str) -> Ipld {
    let Ipld::Map(mut record) = published.to_ipld() else { panic!() };
    let Some(Ipld::List(list)) = record.remove("epochs") else { panic!() };
    let Ipld::Map(fields) = &list[epoch] else { panic!() };
    fields[name].clone()
}

/// The record with other epochs.
fn with_epochs(published: &PublishedKeys, change: impl FnOnce(&mut Vec<Ipld>)) -> Ipld {
    let Ipld::Map(mut record) = published.to_ipld() else { panic!() };
    let Some(Ipld::List(list)) = record.get_mut("epochs") else { panic!() };
    change(list);
    Ipld::Map(record)
}

#[test]
fn what_is_published_comes_back_by_json() {
    let (ring, published) = epochs(3);
    let text = json::to_string(&published.to_ipld());
    let back = read(json::parse(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(back, published);
    ring.check(&back).unwrap();
    let numbers: Vec<u32> = back.epochs().iter().map(|epoch| epoch.number()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(back.current().encryption_keys()[1].id.as_str(), "did:plc:bob#agent-pq-3");
    assert_eq!(ring.signing_id(), "did:plc:bob#agent-sig-3");
}

#[test]
fn the_strongest_key_of_the_epoch_that_is_valid_now_is_sealed_to() {
    let (_, published) = epochs(2);
    let key = |now| published.recipient(now).map(|recipient| recipient.key().id.as_str().to_owned());
    assert_eq!(key(NOW).unwrap(), "did:plc:bob#agent-pq-1");
    assert_eq!(key(NOW + 59_999_999).unwrap(), "did:plc:bob#agent-pq-1");
    assert_eq!(key(NOW + 60_000_000).unwrap(), "did:plc:bob#agent-pq-2");
    assert_eq!(key(NOW - 1), Err(EnvelopeError::NoRecipientKey));
}

#[test]
fn nobody_who_publishes_x_wing_is_sealed_to_with_x25519_alone() {
    let (_, published) = epochs(1);
    let keys = published.current().encryption_keys();
    let suites: Vec<Suite> = keys.iter().map(|key| key.key.suite()).collect();
    assert_eq!(suites, [Suite::X25519, Suite::XWing]);
    assert_eq!(published.recipient(NOW).unwrap().key().key.suite(), Suite::XWing);
    // Whoever serves the record cannot take the stronger key away: the proof covers it.
    let stripped = changed(&published, 0, "hybridKey", None);
    assert_eq!(read(stripped), Err(KeyringError::Continuity(1)));
    // And who is sealed to with less refuses it.
    let (bob, _) = epochs(1);
    let weak = murmuration_envelope::Recipient::of(&keys[..1]).unwrap();
    let (alice, _) = Ring::begin(&"did:plc:alice".parse().unwrap(), &entropy(900), NOW).unwrap();
    let envelope = alice.seal(&binding(), &[weak], b"hello", &entropy(1_000)).unwrap();
    assert_eq!(bob.open(&binding(), &envelope).err(), Some(EnvelopeError::Downgrade));
}

#[test]
fn an_agent_without_x_wing_is_sealed_to_with_x25519() {
    let (ring, published) = epochs(1);
    let stripped = changed(&published, 0, "hybridKey", None);
    let Ipld::Map(record) = &stripped else { panic!() };
    let Ipld::List(list) = &record["epochs"] else { panic!() };
    let Ipld::Map(fields) = list[0].clone() else { panic!() };
    let mut signed: BTreeMap<String, Ipld> = fields;
    signed.remove("proof");
    // The proof as `docs/keys.md` says it is made.
    let statement = Ipld::List(vec![
        Ipld::String("agent-keys-v1 epoch".into()),
        Ipld::String("did:plc:bob".into()),
        Ipld::Map(signed),
    ]);
    let proof = ring.sign(&murmuration_data::cbor::encode(&statement).unwrap());
    let Ipld::Map(mut record) = stripped else { panic!() };
    let Some(Ipld::List(list)) = record.get_mut("epochs") else { panic!() };
    let Ipld::Map(fields) = &mut list[0] else { panic!() };
    fields.insert("proof".into(), Ipld::Bytes(proof.into()));
    let weak = read(Ipld::Map(record)).unwrap();
    assert_eq!(weak.recipient(NOW).unwrap().key().key.suite(), Suite::X25519);
}

#[test]
fn nothing_that_a_proof_covers_can_change() {
    let (_, published) = epochs(3);
    let other = epochs_of_mallory(3);
    for epoch in 0..3 {
        let refused = KeyringError::Continuity(u32::try_from(epoch).unwrap() + 1);
        for name in ["agreementKey", "hybridKey", "notBefore"] {
            let value = match name {
                "notBefore" => Ipld::String("2020-01-01T00:00:00.000Z".into()),
                name => field(&other, epoch, name),
            };
            assert_eq!(read(changed(&published, epoch, name, Some(value))), Err(refused), "{name}");
        }
        let more = changed(&published, epoch, "more", Some(Ipld::Bool(true)));
        assert_eq!(read(more), Err(refused));
        // Another signing key also breaks what it has signed; the first epoch is signed by itself.
        let key = field(&other, epoch, "signingKey");
        assert!(matches!(
            read(changed(&published, epoch, "signingKey", Some(key))),
            Err(KeyringError::Continuity(_))
        ));
        let Ipld::Bytes(proof) = field(&published, epoch, "proof") else { panic!() };
        for at in 0..proof.len() {
            let mut bad = proof.clone();
            bad[at] ^= 1;
            assert_eq!(read(changed(&published, epoch, "proof", Some(Ipld::Bytes(bad)))), Err(refused));
        }
    }
    // When others stop to seal to an epoch is said later, and not by its proof.
    let ended = changed(&published, 2, "notAfter", Some(Ipld::String("2027-01-01T00:00:00.000Z".into())));
    assert!(read(ended).is_ok());
}

fn epochs_of_mallory(count: u32) -> PublishedKeys {
    let entropy = entropy(500);
    let (mut ring, mut published) = Ring::begin(&bob(), &entropy, NOW).unwrap();
    for n in 1..count {
        (ring, published) = ring.advance(&published, None, &entropy, NOW + u64::from(n)).unwrap();
    }
    published
}

#[test]
fn the_keys_of_one_agent_are_not_those_of_another() {
    let (_, published) = epochs(1);
    let mallory: Did = "did:plc:mallory".parse().unwrap();
    let outcome = PublishedKeys::from_ipld(&mallory, published.to_ipld());
    assert_eq!(outcome, Err(KeyringError::Continuity(1)));
}

#[test]
fn epochs_that_do_not_follow_each_other_are_refused() {
    let (_, published) = epochs(4);
    assert_eq!(read(with_epochs(&published, |list| drop(list.remove(1)))), Err(KeyringError::Order(3)));
    assert_eq!(read(with_epochs(&published, |list| list.swap(0, 1))), Err(KeyringError::Order(1)));
    let twice = with_epochs(&published, |list| list.push(list[3].clone()));
    assert_eq!(read(twice), Err(KeyringError::Order(4)));
    assert_eq!(read(with_epochs(&published, Vec::clear)), Err(KeyringError::Form("epochs")));
}

#[test]
fn a_reader_refuses_a_record_that_does_not_go_on_from_what_it_saw() {
    let (_, old) = epochs(2);
    let seen = Seen::from_bytes(&old.seen().to_bytes());
    assert_eq!(seen, old.seen());
    let (_, new) = epochs(5);
    new.goes_on_from(&seen).unwrap();
    old.goes_on_from(&seen).unwrap();
    assert_eq!(epochs(1).1.goes_on_from(&seen), Err(KeyringError::RolledBack(2)));
    // Whole in itself, as from a host that has made keys of its own for its agent.
    assert_eq!(epochs_of_mallory(5).goes_on_from(&seen), Err(KeyringError::Discontinuity(2)));
    // The epoch that was seen has gone from the record, so nothing ties the two together.
    let rest = read(with_epochs(&new, |list| drop(list.drain(..2)))).unwrap();
    assert_eq!(rest.goes_on_from(&seen), Err(KeyringError::Discontinuity(2)));
}

#[test]
fn a_record_keeps_the_last_epochs() {
    let (ring, published) = epochs(u32::try_from(MAX_PUBLISHED_EPOCHS).unwrap() + 3);
    assert_eq!(published.epochs().len(), MAX_PUBLISHED_EPOCHS);
    assert_eq!(published.epochs()[0].number(), 4);
    assert_eq!(read(published.to_ipld()).unwrap(), published);
    ring.check(&published).unwrap();
    let size = murmuration_data::cbor::encode(&published.to_ipld()).unwrap().len();
    assert!(size < 52_000, "{size}");
    assert_eq!(published.epochs().iter().filter(|epoch| epoch.not_after().is_none()).count(), 1);
}

#[test]
fn a_ring_is_stored_and_read_again_and_follows_only_its_own_record() {
    let (ring, published) = epochs(3);
    let stored: Vec<(u32, Vec<u8>)> =
        ring.epochs().iter().map(|epoch| (epoch.number(), epoch.to_bytes().to_vec())).collect();
    let secrets = |(number, bytes): &(u32, Vec<u8>)| EpochSecrets::from_bytes(*number, bytes).unwrap();
    let back = Ring::new(bob(), stored.iter().rev().map(secrets).collect()).unwrap();
    back.check(&published).unwrap();
    for other in [epochs(2).1, epochs_of_mallory(3)] {
        assert_eq!(back.check(&other), Err(KeyringError::Foreign));
        assert!(back.advance(&other, None, &entropy(50), NOW).is_err());
    }
    assert!(Ring::new(bob(), Vec::new()).is_err());
    assert!(Ring::new(bob(), vec![secrets(&stored[0]), secrets(&stored[0])]).is_err());
    assert!(EpochSecrets::from_bytes(1, &[7; 127]).is_err());
    assert!(EpochSecrets::from_bytes(0, &[7; 128]).is_err());
    assert_eq!(format!("{:?}", ring.current()), "EpochSecrets { number: 3, .. }");
}

#[test]
fn the_latest_epoch_of_a_ring_does_not_go() {
    let (ring, _) = epochs(2);
    assert_eq!(ring.without(1).epochs().len(), 1);
    assert_eq!(ring.without(2).epochs().len(), 2);
    assert_eq!(ring.without(1).without(2).current().number(), 2);
}

#[test]
fn a_did_that_leaves_no_room_for_names_of_keys_has_no_keys() {
    let long: Did = format!("did:web:{}", "a".repeat(228)).parse().unwrap();
    assert_eq!(Ring::begin(&long, &entropy(1), NOW).err(), Some(KeyringError::Did));
    let longest: Did = format!("did:web:{}", "a".repeat(227)).parse().unwrap();
    assert!(Ring::begin(&longest, &entropy(1), NOW).is_ok());
}

fn binding() -> Binding {
    Binding {
        author: "did:plc:alice".parse().unwrap(),
        collection: "agent.comms.message".parse().unwrap(),
        rkey: "3lznm6spegk2z".parse().unwrap(),
        schema: "agent.comms.message".parse().unwrap(),
    }
}
