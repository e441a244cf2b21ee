//! Seals and opens over and over, so that its processor time can be counted from outside: `cargo xtask bench`.

use std::error::Error;

use murmuration_envelope::{Binding, DecryptionKey, Envelope, EpochKey, KeyId, Recipient, SecretKey, Suite};
use murmuration_platform::Clock;

use crate::clock::WallClock;
use crate::entropy::SystemEntropy;

/// Bytes of the message.
const MESSAGE_BYTES: usize = 1024;
/// Rounds between two looks at the clock.
const BETWEEN: u32 = 8;

/// Seals a message of a kilobyte to `readers`, or with `open` opens it as the last of them, until `ms` milliseconds are over, and
/// says how often: once around at least, however long that takes.
pub(super) fn run(suite: &str, readers: u32, open: bool, ms: u32) -> Result<u32, Box<dyn Error>> {
    let suite = match suite {
        "x25519" => Suite::X25519,
        _ => Suite::XWing,
    };
    let binding = Binding {
        author: "did:plc:alice".parse()?,
        collection: "agent.comms.message".parse()?,
        rkey: "3lznm6spegk2z".parse()?,
        schema: "agent.comms.message".parse()?,
    };
    let (own, text) = (EpochKey::generate(1, &SystemEntropy), vec![b'x'; MESSAGE_BYTES]);
    let mut keys = Vec::new();
    for reader in 0..readers {
        let id = KeyId::parse(&format!("did:plc:reader{reader:02}#agent-enc-1"))?;
        keys.push(DecryptionKey { id, epoch: 1, key: SecretKey::generate(suite, &SystemEntropy) });
    }
    let recipients =
        keys.iter().map(|key| Recipient::of(&[key.published()])).collect::<Result<Vec<_>, _>>()?;
    let sealed = Envelope::seal(&binding, &own, &recipients, &text, &SystemEntropy)?;
    let ring = keys.pop().map(|key| [key]).ok_or("no reader")?;
    let (end, mut times) = (WallClock.now_micros() + u64::from(ms) * 1000, 0);
    loop {
        for _ in 0..BETWEEN {
            if open {
                let opened = sealed.open(&binding, &ring)?;
                if *opened != *text {
                    return Err("another text".into());
                }
            } else {
                let _ = Envelope::seal(&binding, &own, &recipients, &text, &SystemEntropy)?;
            }
        }
        times += BETWEEN;
        if WallClock.now_micros() >= end {
            return Ok(times);
        }
    }
}
