//! The owner's side of an agent with `client` custody, run as Wasm. It keeps nothing: whoever asks has the keys, and carries what is
//! sealed to a host and back.

use std::error::Error;

use data_encoding::BASE64;
use murmuration_client::{Custody, Did, Peer, Tid};
use murmuration_platform::Clock;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::clock::WallClock;
use crate::entropy::SystemEntropy;

/// Bytes of what is asked, at most.
pub(super) const MAX_BYTES: usize = 1_000_000;

/// What is asked. `keys` are exported keys, in base 64.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Asked {
    /// Make the first keys of an agent.
    Create { did: Did },
    /// Begin the next epoch.
    Rotate { keys: String },
    /// Seal a message to others.
    Seal { keys: String, id: Tid, record: Json, to: Vec<Other> },
    /// Open a message.
    Open { keys: String, parcel: Json, sender: Did, sender_key: String },
}

/// Another agent, by the answer of `agent.identity.getKeys`.
#[derive(Deserialize)]
struct Other {
    did: Did,
    keys: Json,
}

/// Does what is asked: keys, and the input that publishes them; the input of `agent.comms.sendMessage`; or a record.
pub(super) fn run(asked: &[u8]) -> Result<Json, Box<dyn Error>> {
    let now = WallClock.now_micros();
    Ok(match serde_json::from_slice(asked)? {
        Asked::Create { did } => made(&Custody::create(&did, &SystemEntropy, now)?)?,
        Asked::Rotate { keys } => {
            let mut custody = read(&keys)?;
            custody.rotate(None, &SystemEntropy, now)?;
            made(&custody)?
        }
        Asked::Seal { keys, id, record, to } => {
            let to = to.iter().map(|other| Peer::read(&other.did, &other.keys, None));
            let to = to.collect::<Result<Vec<_>, _>>()?;
            let to: Vec<&Peer> = to.iter().collect();
            read(&keys)?.send_message(id, &record, &to, &SystemEntropy, now)?
        }
        Asked::Open { keys, parcel, sender, sender_key } => {
            read(&keys)?.open_message(&parcel, &sender, &sender_key)?
        }
    })
}

fn read(keys: &str) -> Result<Custody, Box<dyn Error>> {
    Ok(Custody::import(&BASE64.decode(keys.as_bytes())?)?)
}

fn made(custody: &Custody) -> Result<Json, Box<dyn Error>> {
    Ok(json!({ "keys": BASE64.encode(&custody.export()?), "publish": custody.put_record() }))
}
