//! Facts: a new object of the same subject and predicate takes the place of the one before.
//!
//! Nothing is dropped for it. The one before becomes a version that says until when it held and what came after it, and is found
//! where a search asks for that time. A fact that comes late, because it held earlier than the one that is known, is kept as what held
//! until then. Which facts are about the same is found by a keyed hash in the index.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld, cbor};
use murmuration_platform::StoreError;
use murmuration_recall::Slot;
use murmuration_syntax::{Did, RepoPath, datetime};

use crate::essence::{Essence, moment};
use crate::secret::Secret;
use crate::shelf::Shelf;

/// What a fact is about, as a keyed hash: its subject and its predicate, without case.
pub(crate) fn topic_of(secret: &Secret, path: &RepoPath, record: &Ipld) -> Option<Topic> {
    let Ipld::Map(fields) = record else { return None };
    let text = |name: &str| match fields.get(name) {
        Some(Ipld::String(text)) => Some(text.trim().to_lowercase()),
        _ => None,
    };
    if path.collection.as_str() != FACT {
        return None;
    }
    // What parts them is in neither, for a trimmed text has none at its ends, and inside it would be of one of the two.
    let about =
        cbor::encode(&Ipld::List(vec![Ipld::String(text("subject")?), Ipld::String(text("predicate")?)]))
            .ok()?;
    let [a, b, c, d, e, f, g, h, ..] = secret.name("topic", &about);
    Some([a, b, c, d, e, f, g, h])
}

/// The fact of a topic that holds now, or until the latest: its slot, its path, and since when it has held.
pub(crate) fn standing(
    shelf: &Shelf,
    topic: Topic,
    origin: Option<u32>,
    but: &RepoPath,
    now: u64,
) -> Option<(Slot, RepoPath, u64)> {
    let same = shelf.labels.iter().filter(|(_, label)| label.topic == Some(topic) && label.path != *but);
    // The word of others ends nothing but their own.
    let same = same.filter(|(_, label)| origin.is_none() || label.origin == origin);
    let alive =
        same.filter(|(_, label)| label.expires_at.is_none_or(|at| at > now) && label.valid.1.is_none());
    let since =
        alive.map(|(slot, label)| (*slot, label.path.clone(), label.valid.0.unwrap_or(label.created_at)));
    since.max_by_key(|(_, _, from)| *from)
}

/// Since when a record holds, in microseconds since the Unix epoch: as it says, or since it was made.
pub(crate) fn since(record: &Ipld, now: u64) -> u64 {
    let made = match record {
        Ipld::Map(fields) => match fields.get("createdAt") {
            Some(Ipld::String(text)) => moment(text),
            _ => None,
        },
        _ => None,
    };
    Essence::of(record).valid.0.or(made).unwrap_or(now)
}

/// A record that held until a time, and what came after it.
pub(crate) fn ended(
    record: Ipld,
    at: u64,
    did: &Did,
    (path, cid): (&RepoPath, &Cid),
) -> Result<Vec<u8>, StoreError> {
    let corrupt = || StoreError::Corrupt("a fact is none of the data model".into());
    let Ipld::Map(mut fields) = record else { return Err(corrupt()) };
    let mut validity = match fields.remove("validity") {
        Some(Ipld::Map(validity)) => validity,
        _ => BTreeMap::new(),
    };
    let text = |text: String| Ipld::String(text);
    let by =
        [("uri".to_owned(), text(format!("at://{did}/{path}"))), ("cid".to_owned(), text(cid.to_string()))];
    validity.insert("validTo".into(), text(datetime::from_micros(at).map_err(|_| corrupt())?));
    validity.insert("supersededBy".into(), Ipld::Map(by.into()));
    fields.insert("validity".into(), Ipld::Map(validity));
    cbor::encode(&Ipld::Map(fields)).map_err(|_| corrupt())
}

/// A keyed hash of what a fact is about.
pub(crate) type Topic = [u8; 8];

const FACT: &str = "agent.memory.fact";
