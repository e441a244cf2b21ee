//! Taking memories along: an export in parts, a line of JSON each, and the import of such a part.
//!
//! A part says whose it is and carries a hash of itself, so that one that was damaged on the way is known before anything is written.

use std::rc::Rc;

use data_encoding::HEXLOWER;
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::Envelope;
use murmuration_keyring::Ring;
use murmuration_memory::{
    Exported, ExportedState, Incoming, IncomingState, Meaning, MemoryError, Place, TakenIn,
};
use murmuration_syntax::{Did, RepoPath, Rev};
use serde_json::{Map, Value as Json, json as object};
use sha2::{Digest, Sha256};

use super::super::{Args, Call, Context, Reply};
use super::{reading, record, search, view, writing};
use crate::XrpcError;
use crate::http::{Body, Chunk, Response};

/// `agent.memory.exportMemories`
pub fn export_memories(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?;
    let own = context.account.profile()?.did.clone();
    let (sealed, now) = (call.params.text("format") == Some(SEALED), context.clock.now_micros());
    let (ring, space, mut export) = match &mind {
        Some(mind) => (
            Some(context.account.ring()?),
            mind.memories.space(mind.keeper())?,
            Some(mind.memories.export(now)),
        ),
        None => Default::default(),
    };
    let (mut number, mut over) = (0_u64, false);
    let mut head = move || {
        let form = if sealed { SEALED } else { OPENED };
        let head =
            object!({ "v": 1, "agent": own, "form": form, "part": number, "space": view::space(&space) });
        number += 1;
        head
    };
    let mut next = move || -> Result<Option<Next>, XrpcError> {
        let part = match &mut export {
            Some(export) => export.next_part()?,
            None => None,
        };
        let (Some(mut part), Some(ring), Some(export)) = (part, &ring, &export) else { return Ok(None) };
        // What lies apart is a part of its own.
        if part.memories.first().is_some_and(|exported| exported.apart.is_some()) {
            let exported = part.memories.swap_remove(0);
            return Ok(Some(Next::Apart(Box::new(exported), Rc::clone(ring), export.place())));
        }
        let memories = part.memories.iter().map(|exported| memory(exported, ring, sealed, None));
        let memories = memories.collect::<Result<Vec<_>, XrpcError>>()?;
        let states = part.states.iter().map(|exported| state(exported, ring, sealed));
        let states = states.collect::<Result<Vec<_>, XrpcError>>()?;
        Ok(Some(Next::Part(object!({ "memories": memories, "states": states }))))
    };
    // The last says that it is, and has nothing else.
    let chunks = move || {
        if over {
            return None;
        }
        let chunk = next().and_then(|next| {
            over = next.is_none();
            let head = head();
            match next {
                None => line(head, nothing(), true).map(Chunk::Ready),
                Some(Next::Part(content)) => line(head, content, false).map(Chunk::Ready),
                Some(Next::Apart(exported, ring, place)) => {
                    let name = exported.apart.clone().unwrap_or_default();
                    let make = move |bytes: Option<Vec<u8>>| {
                        let content = match bytes {
                            Some(bytes) => {
                                object!({ "memories": [memory(&exported, &ring, sealed, Some(&bytes))?], "states": [] })
                            }
                            // It was changed or deleted while the export was read.
                            None if !place.has(&exported)? => nothing(),
                            None => return Err(XrpcError::internal("what lies apart of a memory is gone")),
                        };
                        line(head, content, false)
                    };
                    Ok(Chunk::Of(name, Box::new(make)))
                }
            }
        });
        over |= chunk.is_err();
        Some(chunk)
    };
    Ok(Reply::Now(Response::ok(Body::Stream(NDJSON, Box::new(chunks)))))
}

/// What an export goes on with.
enum Next {
    /// What a part has.
    Part(Json),
    /// A memory that lies apart.
    Apart(Box<Exported>, Rc<Ring>, Place),
}

fn nothing() -> Json {
    object!({ "memories": [], "states": [] })
}

/// A part, as its line.
fn line(mut part: Json, content: Json, is_last: bool) -> Result<Vec<u8>, XrpcError> {
    if let (Some(part), Json::Object(content)) = (part.as_object_mut(), content) {
        part.extend(content);
        part.insert("last".into(), is_last.into());
    }
    let sum = sum(&json::from_value(&part).map_err(XrpcError::internal)?)?;
    if let Some(part) = part.as_object_mut() {
        part.insert("sum".into(), sum.into());
    }
    Ok(format!("{part}\n").into_bytes())
}

/// `agent.memory.importMemories`
pub fn import_memories(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let mind = writing(context)?;
    let foreign = call.input.flag("acceptForeign").unwrap_or(false);
    let (mut part, own) = (read(call.input.take("part"))?, &context.account.profile()?.did);
    let ring = context.account.ring()?;
    let sealed = match part.text("form") {
        Some(SEALED) => true,
        Some(OPENED) => false,
        _ => return Err(damaged("is of no form that is known")),
    };
    let of_own = part.parsed::<Did>("agent").map_err(|_| damaged("is of nobody"))? == *own;
    if !of_own && (sealed || !foreign) {
        let text = "The export is another agent's";
        return Err(XrpcError::named("ForeignExport", text));
    }
    let lost = || XrpcError::named("ForeignExport", "The export is sealed under keys that are not here");
    let mut memories = Vec::new();
    for item in items(&mut part, "memories")? {
        let mut item = Args::new(item);
        let head = Head::read(&item)?;
        let path = item.text("path").and_then(|path| RepoPath::parse(path).ok());
        let path = path.ok_or_else(|| damaged("has a memory without a name"))?;
        let bytes = if sealed {
            let rev = item.parsed::<Rev>("rev").map_err(|_| damaged("has a memory without a revision"))?;
            let Head { created_at, updated_at, expires_at, pinned } = head;
            let envelope = envelope(&mut item)?;
            let apart = match item.take(APART) {
                Some(Ipld::Bytes(bytes)) => Some(bytes),
                Some(_) => return Err(damaged("has something apart that is no bytes")),
                None => None,
            };
            let path = path.clone();
            let exported = Exported {
                path,
                rev,
                created_at,
                updated_at,
                expires_at,
                pinned,
                envelope,
                readers: Vec::new(),
                apart: None,
            };
            exported.open(&ring, apart.as_deref()).map_err(|_| lost())?.0.to_vec()
        } else {
            let record = item.take("record").ok_or_else(|| damaged("has a memory without a record"))?;
            cbor::encode(&record).map_err(|_| damaged("has a record that is none"))?
        };
        let record = cbor::decode(&bytes).map_err(|_| damaged("has a record that is none"))?;
        let prepared = record::prepare(context, path.rkey.clone(), record)?;
        if prepared.path != path || prepared.bytes != bytes {
            return Err(damaged("has a record that is not of its name"));
        }
        let meaning = search::meaning(context, &prepared.text);
        // Another's readers are not one's own.
        let readers = if of_own { readers(&item, own)? } else { Vec::new() };
        memories.push(Read { path, bytes, head, readers, meaning });
    }
    let mut states = Vec::new();
    for item in items(&mut part, "states")? {
        let mut item = Args::new(item);
        let head = Head::read(&item)?;
        let (key, value) = if sealed {
            let name = item.text("name").and_then(|name| HEXLOWER.decode(name.as_bytes()).ok());
            let name = name.ok_or_else(|| damaged("has an entry without a name"))?;
            let (updated_at, expires_at) = (head.updated_at, head.expires_at);
            let envelope = envelope(&mut item)?;
            ExportedState { name, updated_at, expires_at, envelope }.open(&ring).map_err(|_| lost())?
        } else {
            let key = item.text("key").map(str::to_owned);
            key.zip(item.take("value")).ok_or_else(|| damaged("has an entry without a key or a value"))?
        };
        states.push((key, value, head));
    }
    let memories: Vec<_> = memories.iter().map(incoming).collect();
    let states: Vec<_> = states.iter().map(incoming_state).collect();
    let TakenIn { added, known } = mind.memories.take_in(mind.keeper(), &memories, &states)?;
    let space = mind.memories.space(mind.keeper())?;
    let answer = object!({ "added": added, "known": known, "space": view::space(&space) });
    Ok(Reply::Changed(Response::json(&answer)?))
}

/// What of a memory or an entry is not its content.
#[derive(Clone, Copy)]
struct Head {
    created_at: u64,
    updated_at: u64,
    expires_at: Option<u64>,
    pinned: bool,
}

impl Head {
    fn read(item: &Args) -> Result<Self, XrpcError> {
        let micros = |name: &str| item.large_number(name).map(|at| at.min(MAX_MICROS));
        let updated_at = micros("updatedMicros").ok_or_else(|| damaged("has something without a time"))?;
        Ok(Self {
            created_at: micros("createdMicros").unwrap_or(updated_at),
            updated_at,
            expires_at: micros("expiresMicros"),
            pinned: item.flag("pinned").unwrap_or(false),
        })
    }
}

/// A memory of a part.
struct Read {
    path: RepoPath,
    bytes: Vec<u8>,
    head: Head,
    readers: Vec<Did>,
    meaning: Option<Meaning>,
}

fn incoming(Read { path, bytes, head, readers, meaning }: &Read) -> Incoming<'_> {
    let Head { created_at, updated_at, expires_at, pinned } = *head;
    let meaning = meaning.as_ref();
    Incoming { path, record: bytes, pinned, created_at, updated_at, expires_at, readers, meaning }
}

/// Who reads a memory of a part beside its agent.
fn readers(item: &Args, own: &Did) -> Result<Vec<Did>, XrpcError> {
    let readers = item.texts(READERS).into_iter().map(Did::parse).collect::<Result<Vec<_>, _>>();
    let readers = readers.map_err(|_| damaged("has a reader that is nobody"))?;
    match readers.contains(own) {
        true => Err(damaged("has its own agent for a reader")),
        false => Ok(readers),
    }
}

fn incoming_state((key, value, head): &(String, Ipld, Head)) -> IncomingState<'_> {
    IncomingState { key, value, updated_at: head.updated_at, expires_at: head.expires_at }
}

/// A memory of a part. `apart` is what lies apart of it.
fn memory(exported: &Exported, ring: &Ring, sealed: bool, apart: Option<&[u8]>) -> Result<Json, XrpcError> {
    let mut item = Map::from_iter([
        ("path".to_owned(), exported.path.to_string().into()),
        ("rev".to_owned(), exported.rev.to_string().into()),
        ("createdMicros".to_owned(), exported.created_at.into()),
        ("updatedMicros".to_owned(), exported.updated_at.into()),
        ("pinned".to_owned(), exported.pinned.into()),
    ]);
    item.extend(exported.expires_at.map(|at| ("expiresMicros".to_owned(), at.into())));
    if !exported.readers.is_empty() {
        item.insert(READERS.into(), exported.readers.iter().map(Did::as_str).collect());
    }
    if sealed {
        item.insert(ENVELOPE.into(), json::to_value(&exported.envelope.to_ipld()));
        item.extend(apart.map(|bytes| (APART.to_owned(), json::to_value(&Ipld::Bytes(bytes.to_vec())))));
    } else {
        let (record, _) = exported.open(ring, apart).map_err(MemoryError::from)?;
        let record = cbor::decode(&record).map_err(XrpcError::internal)?;
        item.insert("record".into(), json::to_value(&record));
    }
    Ok(Json::Object(item))
}

/// An entry of a part.
fn state(exported: &ExportedState, ring: &Ring, sealed: bool) -> Result<Json, XrpcError> {
    let mut item = Map::from_iter([("updatedMicros".to_owned(), exported.updated_at.into())]);
    item.extend(exported.expires_at.map(|at| ("expiresMicros".to_owned(), at.into())));
    if sealed {
        item.insert("name".into(), HEXLOWER.encode(&exported.name).into());
        item.insert(ENVELOPE.into(), json::to_value(&exported.envelope.to_ipld()));
    } else {
        let (key, value) = exported.open(ring)?;
        item.insert("key".into(), key.into());
        item.insert("value".into(), json::to_value(&value));
    }
    Ok(Json::Object(item))
}

/// A part whose hash is that of what it holds.
fn read(part: Option<Ipld>) -> Result<Args, XrpcError> {
    let Some(Ipld::Map(mut fields)) = part else { return Err(damaged("is no object")) };
    let Some(Ipld::String(said)) = fields.remove("sum") else { return Err(damaged("has no sum")) };
    if fields.get("v") != Some(&Ipld::Integer(1)) {
        return Err(damaged("is of no version that is known"));
    }
    let part = Ipld::Map(fields);
    if sum(&part)? != said {
        return Err(damaged("is not as it was written"));
    }
    Ok(Args::new(part))
}

/// SHA-256 of the part without its sum, in DAG-CBOR.
fn sum(part: &Ipld) -> Result<String, XrpcError> {
    let bytes = cbor::encode(part).map_err(|_| damaged("is none of the data model"))?;
    Ok(HEXLOWER.encode(&Sha256::digest(&bytes)))
}

fn items(part: &mut Args, name: &str) -> Result<Vec<Ipld>, XrpcError> {
    match part.take(name) {
        Some(Ipld::List(items)) if items.len() <= MAX_ITEMS => Ok(items),
        _ => Err(damaged("has not the lists that it must have")),
    }
}

fn envelope(item: &mut Args) -> Result<Envelope, XrpcError> {
    let envelope = item.take(ENVELOPE).and_then(|envelope| Envelope::from_ipld(envelope).ok());
    envelope.ok_or_else(|| damaged("has an envelope that is none"))
}

fn damaged(what: &str) -> XrpcError {
    XrpcError::named("InvalidExport", format!("The part {what}"))
}

/// The content type of lines of JSON.
const NDJSON: &str = "application/x-ndjson";
/// The forms.
const SEALED: &str = "sealed";
const OPENED: &str = "opened";
const ENVELOPE: &str = "envelope";
const APART: &str = "apart";
const READERS: &str = "readers";
/// Memories of a part, and entries, at most: what an export puts into one.
const MAX_ITEMS: usize = 100;
/// The last moment that the storage counts, in microseconds since the Unix epoch.
const MAX_MICROS: u64 = (1 << 53) - 1;
