//! Rotations of an agent's keys while messages come and go: all stay readable, and the old secrets go.

use std::cell::Cell;
use std::collections::BTreeMap;

use murmuration_account::{AccountError, Messages, SealedStore};
use murmuration_comms::{
    Body, Claim, CommsError, Delivery, Filter, Header, Item, Parcel, Verdict, binding, default_thread,
};
use murmuration_envelope::{Envelope, Recipient};
use murmuration_keyring::Ring;
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::{Entropy, Store};
use murmuration_syntax::{Did, Tid};

use crate::common::{DID, Dice, NOW, World};

const MINUTE: u64 = 60 * 1_000_000;
const STORES: &[&dyn SealedStore] = &[&Messages];
/// What a reader says of the messages that it has.
const BOB: &str = "did:plc:bob";

struct Counter(Cell<u32>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        let bytes = self.0.get().to_be_bytes();
        buffer.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

/// An agent with its keys here, and one who writes it and is written to.
struct Pair {
    world: World,
    entropy: Counter,
    bob: Ring,
    bob_key: SigningKey,
    to_bob: Recipient,
    place: (u32, Option<murmuration_data::Cid>),
    now: u64,
    /// What must be readable, by the messages' names.
    texts: BTreeMap<String, String>,
}

impl Pair {
    fn new() -> Self {
        let (world, entropy) = (World::new(), Counter(Cell::new(1_000)));
        let (bob, published) = Ring::begin(&BOB.parse().unwrap(), &entropy, NOW).unwrap();
        let to_bob = published.recipient(NOW).unwrap();
        let bob_key = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
        world.account.start_epoch(&entropy, NOW).unwrap();
        let texts = BTreeMap::new();
        Self { world, entropy, bob, bob_key, to_bob, place: (1, None), now: NOW + MINUTE, texts }
    }

    fn header(&self, from: &str, to: &str, (seq, prev): (u32, Option<murmuration_data::Cid>)) -> Header {
        let (from, to): (Did, Did) = (from.parse().unwrap(), to.parse().unwrap());
        Header {
            id: Tid::from_parts(self.now, 1),
            kind: "agent.comms.message".parse().unwrap(),
            thread: default_thread(&from, std::slice::from_ref(&to)),
            from,
            to: vec![to],
            seq,
            prev,
            created_at: self.now / 1000 * 1000,
            expires_at: None,
            priority: 3,
        }
    }

    /// A message of Bob's, sealed to the keys that are published now.
    fn letter(&mut self) -> Parcel {
        self.now += MINUTE;
        let header = self.header(BOB, DID, self.place);
        let to = self.world.account.published_keys().unwrap().recipient(self.now).unwrap();
        let text = format!("letter {}", header.id);
        let sealed = self.bob.seal(&binding(&header), &[to], text.as_bytes(), &self.entropy).unwrap();
        let parcel = sign(header, sealed, |bytes| self.bob_key.sign(bytes));
        self.place.0 += 1;
        self.place.1 = Some(murmuration_comms::cid_of(&parcel.to_cbor().unwrap()));
        self.texts.insert(format!("{BOB} {}", parcel.header().id), text);
        parcel
    }

    fn arrive(&self, parcel: &Parcel) -> Result<Delivery, AccountError> {
        let kept = self.world.account.kept_on_arrival(parcel, &self.entropy)?;
        let (comms, bytes) = (self.world.account.comms()?, parcel.to_cbor().unwrap());
        let outcome =
            comms.admit(parcel, &bytes, Verdict::Accept, self.now).and_then(|arrival| match arrival {
                Some(arrival) => comms.receive(&arrival, None, kept.as_ref(), self.now),
                None => Ok(Delivery::Duplicate),
            });
        match outcome {
            Ok(delivery) => Ok(delivery),
            Err(CommsError::Store(error)) => Err(error.into()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Sends Bob a message.
    fn write(&mut self) {
        self.now += MINUTE;
        let comms = self.world.account.comms().unwrap();
        let thread = default_thread(&DID.parse().unwrap(), &[BOB.parse().unwrap()]);
        let header = self.header(DID, BOB, comms.next_place(&thread).unwrap());
        let (ring, text) = (self.world.account.ring().unwrap(), format!("answer {}", header.id));
        let to = std::slice::from_ref(&self.to_bob);
        let sealed = ring.seal(&binding(&header), to, text.as_bytes(), &self.entropy).unwrap();
        let parcel = sign(header, sealed, |bytes| self.world.account.sign(bytes).unwrap());
        comms.send(&parcel, &parcel.to_cbor().unwrap(), b"digest", None, self.now).unwrap();
        self.texts.insert(format!("{DID} {}", parcel.header().id), text);
    }

    fn rotate(&mut self) -> u64 {
        self.now += MINUTE;
        let rotated = self.world.account.rotate_keys(STORES, None, true, &self.entropy, self.now);
        rotated.unwrap().pending
    }

    fn tend(&self) -> Result<(), AccountError> {
        self.world.account.tend_keys(STORES, &self.entropy, self.now)
    }

    fn live(&self) -> usize {
        self.world.account.ring().unwrap().epochs().len()
    }

    /// All messages, by the list and by the thread, as their owner reads them.
    fn assert_readable(&self) {
        let comms = self.world.account.comms().unwrap();
        let thread = default_thread(&DID.parse().unwrap(), &[BOB.parse().unwrap()]);
        let (mut read, mut after) = (BTreeMap::new(), None::<String>);
        loop {
            let page = comms.thread(&thread, after.as_deref(), 1_000, self.now);
            let Ok(page) = page else { break };
            read.extend(page.items.iter().map(|item| self.open(item)));
            match page.next {
                Some(next) if !page.items.is_empty() => after = Some(next),
                _ => break,
            }
        }
        let list = comms.list(&Filter::default(), None, 1_000, self.now).unwrap();
        for item in &list {
            let (name, text) = self.open(item);
            assert_eq!(read.get(&name), Some(&text));
        }
        assert_eq!(read, self.texts);
    }

    fn open(&self, item: &Item) -> (String, String) {
        let parcel = Parcel::from_cbor(&item.parcel).unwrap();
        let opened = self.world.account.open_message(&parcel, item.kept.as_ref()).unwrap().unwrap();
        let header = parcel.header();
        (format!("{} {}", header.from, header.id), String::from_utf8(opened.to_vec()).unwrap())
    }

    fn written(&self, act: impl FnOnce()) -> u64 {
        let before = self.world.store.counts().written;
        act();
        self.world.store.counts().written - before
    }

    /// Lets all secrets go that may, by the alarm.
    fn settle(&mut self) {
        for _ in 0..200 {
            let Some(due) = self.world.account.keys_due(STORES).unwrap() else { return };
            self.now = self.now.max(due);
            self.tend().unwrap();
        }
        panic!("the alarm does not come to an end");
    }
}

fn sign(header: Header, envelope: Envelope, sign: impl Fn(&[u8]) -> [u8; 64]) -> Parcel {
    let body = Body::Sealed(Box::new(envelope));
    Parcel::sign(header, body, Curve::K256, |bytes| Ok::<_, CommsError>(sign(bytes))).unwrap()
}

#[test]
fn a_rotation_keeps_the_data_keys_of_all_messages_a_row_each_and_then_lets_the_old_secrets_go() {
    let mut pair = Pair::new();
    for _ in 0..120 {
        let letter = pair.letter();
        pair.arrive(&letter).unwrap();
    }
    for _ in 0..30 {
        pair.write();
    }
    let late = pair.letter();
    assert_eq!(pair.rotate(), 150);
    // Sealed to the first epoch and come in the second: its data key is kept in the row that it writes anyway.
    let fresh = pair.letter();
    let rows = [&late, &fresh].map(|letter| pair.written(|| assert!(pair.arrive(letter).is_ok())));
    assert_eq!(rows[0], rows[1]);

    let mut runs = Vec::new();
    while pair.world.account.keys_due(STORES).unwrap() == Some(0) {
        pair.world.wake(true);
        runs.push(pair.written(|| pair.tend().unwrap()));
        pair.assert_readable();
    }
    // 150 messages, and a row for each run. What came in the second epoch is gone through and not written.
    assert_eq!(runs, [101, 51]);
    assert_eq!(pair.written(|| pair.tend().unwrap()), 0);

    assert_eq!(pair.live(), 2);
    pair.settle();
    assert_eq!(pair.live(), 1);
    pair.world.wake(true);
    pair.assert_readable();
    assert_eq!(pair.world.store.query("SELECT epoch FROM key_epoch", &[]).unwrap().len(), 1);
}

#[test]
fn nothing_of_an_epoch_is_read_without_what_was_kept_of_it() {
    let mut pair = Pair::new();
    let letter = pair.letter();
    pair.arrive(&letter).unwrap();
    pair.rotate();
    pair.settle();
    assert!(matches!(pair.world.account.open_message(&letter, None), Err(AccountError::Keyring(_))));
    pair.assert_readable();
}

#[test]
fn sim_forty_rotations_with_messages_on_their_way_and_the_object_dying_in_between() {
    for seed in 0..2 {
        let (mut pair, dice) = (Pair::new(), Dice::new(seed));
        let mut on_their_way: Vec<Parcel> = Vec::new();
        for epoch in 2..=41 {
            for _ in 0..dice.roll(4) {
                let letter = pair.letter();
                on_their_way.push(letter);
            }
            if dice.roll(3) == 0 {
                pair.write();
            }
            // Some come now, in the order of their thread, some after rotations to come.
            while !on_their_way.is_empty() && dice.roll(3) > 0 {
                if dice.roll(4) == 0 {
                    pair.world.store.fail_after(Some(dice.roll(6)));
                }
                let outcome = pair.arrive(&on_their_way[0]);
                pair.world.store.fail_after(None);
                match outcome {
                    Ok(_) => {
                        on_their_way.remove(0);
                    }
                    Err(_) => pair.world.wake(true),
                }
            }
            if epoch == 41 {
                let letter = pair.letter();
                on_their_way.push(letter);
            }
            pair.rotate();
            assert_eq!(pair.world.account.ring().unwrap().current().number(), epoch);
            for _ in 0..dice.roll(3) {
                pair.world.store.fail_after(Some(dice.roll(12)));
                let _ = pair.tend();
                pair.world.store.fail_after(None);
                pair.world.wake(true);
            }
        }
        // The last come when all that was there is done with.
        while pair.world.account.keys_due(STORES).unwrap() == Some(0) {
            pair.tend().unwrap();
        }
        for parcel in &on_their_way {
            pair.arrive(parcel).unwrap();
        }
        pair.assert_readable();
        pair.settle();
        assert_eq!(pair.live(), 1, "seed {seed}");
        pair.world.wake(true);
        pair.assert_readable();
    }
}

#[test]
fn a_run_that_dies_at_any_statement_has_changed_nothing() {
    let mut pair = Pair::new();
    for _ in 0..3 {
        let letter = pair.letter();
        pair.arrive(&letter).unwrap();
        pair.write();
    }
    pair.rotate();
    for statement in 0.. {
        pair.world.store.fail_after(Some(statement));
        let outcome = pair.tend();
        let fired = !pair.world.store.fault_armed();
        pair.world.store.fail_after(None);
        pair.world.wake(true);
        pair.assert_readable();
        if !fired {
            outcome.unwrap();
            break;
        }
        assert!(outcome.is_err(), "statement {statement}");
        assert_eq!(pair.world.account.keys_due(STORES).unwrap(), Some(0));
        assert_eq!(Messages.pending(&*pair.world.store, 2).unwrap(), 6);
    }
    assert_eq!(Messages.pending(&*pair.world.store, 2).unwrap(), 0);
}

/// Handing out and giving back rewrite a row, and leave what is kept of it.
#[test]
fn a_message_is_handed_out_with_what_was_kept_of_it() {
    let mut pair = Pair::new();
    let letter = pair.letter();
    pair.arrive(&letter).unwrap();
    pair.rotate();
    pair.settle();
    let claim = Claim { max: 10, micros: MINUTE, kinds: &[] };
    let items = pair.world.account.comms().unwrap().claim(&claim, pair.now).unwrap();
    assert!(items[0].kept.is_some());
    assert_eq!(pair.open(&items[0]).1, pair.texts.values().next().unwrap().as_str());
}
