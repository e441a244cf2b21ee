//! What was said, as the agent's object knows it: which of it is new, whose word it is, and what it became.
//!
//! Read are the agent's own words, those of its operator and its tools, and those of agents whom it has allowed by a contact. Whatever
//! others say is not remembered by itself, be it in the inbox or in what a client has collected.

use murmuration_comms::{Contact, Item, Parcel, State};
use murmuration_data::{Ipld, json};
use murmuration_firehose::Timestamp;
use murmuration_memory::{Draft, OnDuplicate};
use murmuration_syntax::Did;
use serde_json::{Value as Json, json as object};
use sha2::{Digest, Sha256};

use super::super::Context;
use super::super::comms::{contact, view as message};
use super::super::internal::{Learned, Said, Unread, UnreadTurn};
use super::{record, search, view, writing};
use crate::XrpcError;

/// What of a thread, or of what the caller has, was not read before.
pub(in crate::agent) fn unread(
    context: &Context<'_>,
    thread: &str,
    said: Option<Vec<Said>>,
    cursor: Option<&str>,
) -> Result<Unread, XrpcError> {
    let mind = writing(context)?;
    let (mut turns, mut refused, mut next) = (Vec::new(), 0, None);
    match said {
        Some(said) => {
            for said in said {
                match speaker(context, &said)? {
                    Some(provenance) => turns.push(turn(provenance, said.text, said.at)?),
                    None => refused += 1,
                }
            }
        }
        None => {
            let page = context.account.comms()?.thread(thread, cursor, PAGE, context.clock.now_micros())?;
            for item in &page.items {
                match of_item(context, item)? {
                    Some(turn) => turns.push(turn),
                    None => refused += 1,
                }
            }
            next = page.next;
        }
    }
    let digests: Vec<Vec<u8>> = turns.iter().map(|turn| turn.digest.clone().into_bytes()).collect();
    let unread = mind.memories.unread(mind.keeper(), thread, &digests)?;
    let duplicates = turns.len() - unread.len();
    let turns = turns.into_iter().enumerate().filter(|(place, _)| unread.contains(place));
    Ok(Unread { turns: turns.map(|(_, turn)| turn).collect(), duplicates, refused, cursor: next })
}

/// Keeps what was found in turns, as the word of whom they are, and notes that they were read.
pub(in crate::agent) fn learn(
    context: &Context<'_>,
    thread: &str,
    digests: &[String],
    provenance: &Json,
    records: &[Json],
) -> Result<Learned, XrpcError> {
    let mind = writing(context)?;
    let (mut prepared, mut invalid) = (Vec::new(), 0);
    for found in records {
        let rkey = context.account.fresh_tid(context.clock.now_micros())?.into();
        match record::prepare(context, rkey, signed(found, provenance)?) {
            Ok(record) => prepared.push(record),
            Err(error) if error.error() == "InvalidRecord" => invalid += 1,
            Err(error) => return Err(error),
        }
    }
    let meanings: Vec<_> = prepared.iter().map(|record| search::meaning(context, &record.text)).collect();
    let drafts: Vec<Draft<'_>> = prepared
        .iter()
        .zip(&meanings)
        .map(|(record, meaning)| Draft {
            path: &record.path,
            record: &record.bytes,
            pinned: false,
            expires_at: record.expires_at,
            meaning: meaning.as_ref(),
            on_duplicate: OnDuplicate::Skip,
            near: None,
        })
        .collect();
    let digests: Vec<Vec<u8>> = digests.iter().map(|digest| digest.clone().into_bytes()).collect();
    let made = mind.memories.learn(mind.keeper(), thread, &digests, &drafts)?;
    let made = made.iter().map(|made| view::made(context, made)).collect::<Result<_, _>>()?;
    Ok(Learned { made, invalid })
}

/// A record with whose word it is, and, if it is a fact of its speaker, with who that is.
fn signed(found: &Json, provenance: &Json) -> Result<Ipld, XrpcError> {
    let mut found = found.clone();
    if let Some(fields) = found.as_object_mut() {
        if fields.get("$type").is_some_and(|kind| kind == "agent.memory.fact") {
            let speaker = provenance.get("agent").or_else(|| provenance.get("kind")).cloned();
            fields.entry("subject").or_insert_with(|| speaker.unwrap_or_default());
        }
        fields.insert("provenance".into(), provenance.clone());
    }
    json::from_value(&found).map_err(XrpcError::internal)
}

/// Whose word a turn is that the caller has; `None` if it is not read.
fn speaker(context: &Context<'_>, said: &Said) -> Result<Option<Json>, XrpcError> {
    if let Some(author) = &said.author {
        return of_agent(context, author, false);
    }
    Ok(match said.role.as_str() {
        "user" => Some(object!({ "kind": "operator" })),
        "assistant" => Some(object!({ "kind": "self" })),
        "tool" => Some(object!({ "kind": "tool" })),
        // Instructions are no memories.
        _ => None,
    })
}

/// The word of an agent, if it is known: its own, or of one whom it has allowed by a contact.
fn of_agent(context: &Context<'_>, did: &Did, verified: bool) -> Result<Option<Json>, XrpcError> {
    if *did == context.account.profile()?.did {
        return Ok(Some(object!({ "kind": "self" })));
    }
    let known = contact(context, did)? == Some(Contact::Allowed);
    Ok(known.then(|| object!({ "kind": "agent", "agent": did, "verified": verified })))
}

/// A message of a thread as a turn; `None` if it is not read.
fn of_item(context: &Context<'_>, item: &Item) -> Result<Option<UnreadTurn>, XrpcError> {
    let parcel = Parcel::from_cbor(&item.parcel).map_err(XrpcError::internal)?;
    if item.state == State::Quarantined {
        return Ok(None);
    }
    let Some(provenance) = of_agent(context, &parcel.header().from, true)? else { return Ok(None) };
    let Some(record) = message::open(context, &parcel, item.kept.as_ref()) else { return Ok(None) };
    let Some(text) = text_of(&record) else { return Ok(None) };
    let at = Timestamp::from_micros(parcel.header().id.micros()).to_string();
    turn(provenance, text, Some(at)).map(Some)
}

/// What a message says in words.
fn text_of(record: &Ipld) -> Option<String> {
    let field = |value: &Ipld, name: &str| match value {
        Ipld::Map(fields) => fields.get(name).cloned(),
        _ => None,
    };
    let text = match field(record, "content") {
        Some(content) => field(&content, "text"),
        None => field(record, "task"),
    };
    match text {
        Some(Ipld::String(text)) if text.len() <= MAX_TURN_BYTES => Some(text),
        _ => None,
    }
}

fn turn(provenance: Json, text: String, at: Option<String>) -> Result<UnreadTurn, XrpcError> {
    let whole = object!([provenance, text, at]).to_string();
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(whole.as_bytes()));
    Ok(UnreadTurn { digest, provenance, text, at })
}

/// Messages of a thread that one call looks at.
const PAGE: u32 = 100;

/// Bytes of a text that is read, as of one that the caller has.
const MAX_TURN_BYTES: usize = 32 * 1024;
