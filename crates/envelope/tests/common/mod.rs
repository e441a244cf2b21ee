//! People, places and randomness for the tests.

use std::cell::Cell;

use murmuration_envelope::{Binding, DecryptionKey, EpochKey, KeyId, Recipient, SecretKey, Suite, Zeroizing};
use murmuration_platform::Entropy;

/// Randomness that is not random: the bytes of splitmix64 from a seed.
pub struct Seeded(Cell<u64>);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }
}

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed ^ (mixed >> 31)).to_le_bytes()[0];
        }
    }
}

/// Gives the bytes it was made of, in their order, once.
pub struct Tape(Cell<Vec<u8>>);

impl Tape {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Cell::new(bytes))
    }

    pub fn is_used_up(&self) -> bool {
        let left = self.0.take();
        let used = left.is_empty();
        self.0.set(left);
        used
    }
}

impl Entropy for Tape {
    fn fill(&self, buffer: &mut [u8]) {
        let mut left = self.0.take();
        buffer.copy_from_slice(&left[..buffer.len()]);
        left.drain(..buffer.len());
        self.0.set(left);
    }
}

pub fn binding() -> Binding {
    Binding {
        author: "did:plc:alice".parse().unwrap(),
        collection: "agent.comms.message".parse().unwrap(),
        rkey: "3lznm6spegk2z".parse().unwrap(),
        schema: "agent.comms.request".parse().unwrap(),
    }
}

pub fn epoch_key(epoch: u32, byte: u8) -> EpochKey {
    EpochKey::from_bytes(epoch, Zeroizing::new([byte; 32]))
}

/// A key of somebody, the same whenever it is asked for.
pub fn key_of(name: &str, suite: Suite, epoch: u32) -> DecryptionKey {
    let kind = if suite == Suite::XWing { "xwing" } else { "x25519" };
    let seed = name.bytes().fold(u64::from(epoch), |seed, byte| seed.wrapping_mul(131) + u64::from(byte));
    DecryptionKey {
        id: KeyId::parse(&format!("did:plc:{name}#{kind}-{epoch}")).unwrap(),
        epoch,
        key: SecretKey::generate(suite, &Seeded::new(seed)),
    }
}

pub fn to(key: &DecryptionKey) -> Recipient {
    Recipient::of(&[key.published()]).unwrap()
}
