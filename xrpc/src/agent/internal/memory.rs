//! Memories on their way from the agent that shares them to one that reads them.
//!
//! ```text
//!   shareMemory ─► readers: their keys ─► author's object: a row for each, and a message that names the memory
//!   getMemory ──► reader's object: the name of its key ─► author's object or host: sealed memory, sealed data key
//!                 reader's object: opens it ◄────────────────────────┘
//! ```

use std::rc::Rc;

use murmuration_account::AccountError;
use murmuration_comms::Parcel;
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::{Envelope, KeptKey, SharedKey};
use murmuration_firehose::Timestamp;
use murmuration_memory::{Given, Memory, MemoryError, moment};
use murmuration_platform::Embedder;
use murmuration_syntax::{AtIdentifier, AtUri, Did, Nsid, RepoPath, Rev};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::comms::view as messages;
use super::super::memory::share::{MESSAGE, NOTICES, share_believing};
use super::super::memory::{path_at, reading, search_own, view};
use super::super::{Args, Context, check_standing};
use super::comms::{self, Made, Reader};
use crate::XrpcError;
use crate::embedder::Ready;
use crate::http::Response;
use crate::method::Standing;
use crate::public::GivenVector;

/// A call about memories.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MemoryCall {
    /// Show a memory of the agent's own.
    Own {
        /// Its address.
        uri: String,
    },
    /// Search the agent's own memories.
    Search {
        /// The parameters, as their lexicon has them.
        params: Json,
        /// The vector of the text, if the embedder has said.
        vector: Option<GivenVector>,
    },
    /// Let others read a memory, and make the messages that tell them.
    Share {
        /// Its address.
        uri: String,
        /// Who.
        to: Vec<Reader>,
        /// Whether keys count that do not go on from those that the agent has seen before.
        believe: bool,
    },
    /// Name the key that the agent wants data keys to be sealed to.
    Key,
    /// Give a memory that is shared, sealed as it is.
    Give {
        /// Its name.
        path: String,
        /// Who asks, by what they publish of their keys, if that was looked up.
        to: Reader,
        /// The name of the reader's key that the data key is to be sealed to.
        key: String,
        /// The token by which another host asks, and when that ends, in seconds.
        token: Option<(String, u64)>,
    },
    /// Open a memory that was given.
    Open {
        /// Whose it is.
        author: Did,
        /// Its name.
        path: String,
        /// What was given.
        given: Box<GivenMemory>,
    },
    /// Note that a memory is not to be read any more.
    Forget {
        /// Whose it was.
        author: Did,
        /// Its name.
        path: String,
    },
}

/// What came of [`MemoryCall::Share`].
#[derive(Deserialize, Serialize)]
pub struct Shared {
    /// The shares, as their lexicon has them.
    pub shares: Vec<Json>,
    /// The messages, to be delivered.
    pub notices: Vec<Made>,
}

/// A memory as its reader is given it (`agent.memory.getSharedMemory`).
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenMemory {
    envelope: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apart: Option<Json>,
    key: Json,
    rev: Rev,
    created_at: String,
    updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

pub(super) fn answer(context: &Context<'_>, call: MemoryCall) -> Result<Response, XrpcError> {
    match call {
        MemoryCall::Own { uri } => own(context, &uri),
        MemoryCall::Search { params, vector } => search(context, &params, vector),
        MemoryCall::Share { uri, to, believe } => share(context, &uri, &to, believe),
        MemoryCall::Key => key(context),
        MemoryCall::Give { path, to, key, token } => give(context, &path, &to, &key, token),
        MemoryCall::Open { author, path, given } => open(context, &author, &path, &given),
        MemoryCall::Forget { author, path } => {
            let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
            mind.memories.forget_received(&author, &name(&path)?)?;
            Ok(Response::empty())
        }
    }
}

/// Whether a message may say of a memory that it is shared.
pub(super) fn is_notice(kind: &Nsid, thread: &str) -> bool {
    kind.as_str() == MESSAGE && thread.starts_with(NOTICES)
}

/// Notes a memory that a message says is shared with the agent, given how the message's data key is kept.
pub(super) fn take_notice(
    context: &Context<'_>,
    parcel: &Parcel,
    kept: Option<&KeptKey>,
    now: u64,
) -> Result<(), XrpcError> {
    let header = parcel.header();
    if !is_notice(&header.kind, &header.thread) {
        return Ok(());
    }
    let Some(Ipld::Map(fields)) = messages::open(context, parcel, kept) else { return Ok(()) };
    let Some(Ipld::Map(content)) = fields.get("content") else { return Ok(()) };
    let Some(Ipld::String(uri)) = content.get("uri") else { return Ok(()) };
    let Ok(uri) = AtUri::parse(uri) else { return Ok(()) };
    // Nobody says what others share.
    let by_author = matches!(uri.authority(), AtIdentifier::Did(author) if *author == header.from);
    if let (true, Some(path)) = (by_author, uri.path()) {
        match context.account.mind(context.entropy, now) {
            // Whose keys are not here reads no memories here.
            Err(AccountError::NoKeys) => {}
            mind => mind?.memories.note_received(&header.from, &path, now)?,
        }
    }
    Ok(())
}

fn own(context: &Context<'_>, uri: &str) -> Result<Response, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let memory = mind.memories.get(mind.keeper(), &path_at(context, uri)?)?;
    Response::json(&view::memory_of(&context.account.profile()?.did, &memory)?)
}

/// As the caller's own call, which the Worker has authenticated.
fn search(context: &Context<'_>, params: &Json, vector: Option<GivenVector>) -> Result<Response, XrpcError> {
    check_standing(Standing::NotTakendown, &*context.account.profile()?)?;
    let params = Args::new(json::from_value(params).map_err(XrpcError::internal)?);
    let text = params.text("q").unwrap_or_default();
    let ready = vector.map(|vector| -> Rc<dyn Embedder> {
        Rc::new(Ready::new(&vector.model, [(text.to_owned(), vector.coordinates())]))
    });
    let embedder = || ready.clone();
    match ready {
        Some(_) => search_own(&Context { embedder: &embedder, ..*context }, &params),
        None => search_own(context, &params),
    }
}

/// A row for each reader and the messages to those who are new: both, or neither.
fn share(context: &Context<'_>, uri: &str, to: &[Reader], believe: bool) -> Result<Response, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let path = path_at(context, uri)?;
    // Before anybody's keys are noted.
    mind.memories.head(mind.keeper(), &path)?;
    let shared = context.account.together(|| share_believing(context, &mind, &path, to, believe))?;
    Response::json(&Shared { shares: shared.shares, notices: shared.notices })
}

fn key(context: &Context<'_>) -> Result<Response, XrpcError> {
    reading(context)?.ok_or(MemoryError::NotFound)?;
    let strongest = context.account.published_keys()?.recipient(context.clock.now_micros());
    let strongest = strongest.map_err(|_| AccountError::NoKeys)?;
    Response::json(&strongest.key().id.as_str())
}

/// Answers with `null` where what the reader publishes is to be looked up.
fn give(
    context: &Context<'_>,
    path: &str,
    to: &Reader,
    wants: &str,
    token: Option<(String, u64)>,
) -> Result<Response, XrpcError> {
    let gone = || XrpcError::from(MemoryError::NotFound);
    let profile = context.account.profile().map_err(|error| match error {
        AccountError::Vacant => gone(),
        other => other.into(),
    })?;
    check_standing(Standing::Active, &profile).map_err(|_| gone())?;
    let now = context.clock.now_micros();
    let mind = match context.account.mind(context.entropy, now) {
        Err(AccountError::NoKeys) => return Err(gone()),
        other => other?,
    };
    let path = name(path)?;
    let give = |recipient| mind.memories.give(mind.keeper(), &path, &to.did, wants, recipient);
    let given = give(None)?;
    // Behind what may have the call made again.
    if let Some((token, ends)) = &token {
        let spent = format!("{} {token}", to.did);
        context.account.comms()?.spend(&spent, *ends, context.now_seconds())?;
    }
    let given = match given {
        None if !matches!(to.keys, comms::ReaderKeys::NotNeeded) => {
            give(Some(&comms::recipient(context, to, false, now)?))?
        }
        given => given,
    };
    Response::json(&given.as_ref().map(GivenMemory::of))
}

fn open(context: &Context<'_>, author: &Did, path: &str, given: &GivenMemory) -> Result<Response, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let unread = || XrpcError::upstream(format!("{author}: what its host gave does not open"));
    let (path, given) = (name(path)?, given.read().ok_or_else(unread)?);
    let (record, cid) = given.open(mind.keeper().ring, author, &path).map_err(|_| unread())?;
    let memory = Memory {
        path: path.clone(),
        cid,
        rev: given.rev,
        record,
        is_partial: false,
        pinned: false,
        shared: true,
        created_at: given.created_at,
        updated_at: given.updated_at,
        expires_at: given.expires_at,
    };
    let is_named = |record: &Ipld| match record {
        Ipld::Map(fields) => fields.get("$type") == Some(&Ipld::String(path.collection.to_string())),
        _ => false,
    };
    cbor::decode(&memory.record).ok().filter(is_named).ok_or_else(unread)?;
    mind.memories.note_received(author, &path, context.clock.now_micros())?;
    Response::json(&view::memory_of(author, &memory)?)
}

impl GivenMemory {
    fn of(given: &Given) -> Self {
        let time = |micros| Timestamp::from_micros(micros).to_string();
        Self {
            envelope: json::to_value(&given.envelope.to_ipld()),
            apart: given.apart.as_ref().map(|bytes| json::to_value(&Ipld::Bytes(bytes.clone()))),
            key: json::to_value(&given.key.to_ipld()),
            rev: given.rev,
            created_at: time(given.created_at),
            updated_at: time(given.updated_at),
            expires_at: given.expires_at.map(time),
        }
    }

    /// `None` where it is none that [`GivenMemory::of`] makes.
    fn read(&self) -> Option<Given> {
        Some(Given {
            envelope: Envelope::from_ipld(json::from_value(&self.envelope).ok()?).ok()?,
            apart: match &self.apart {
                Some(apart) => match json::from_value(apart).ok()? {
                    Ipld::Bytes(bytes) => Some(bytes),
                    _ => return None,
                },
                None => None,
            },
            key: SharedKey::from_ipld(json::from_value(&self.key).ok()?).ok()?,
            rev: self.rev,
            created_at: moment(&self.created_at)?,
            updated_at: moment(&self.updated_at)?,
            expires_at: match &self.expires_at {
                Some(at) => Some(moment(at)?),
                None => None,
            },
        })
    }
}

fn name(path: &str) -> Result<RepoPath, XrpcError> {
    RepoPath::parse(path).map_err(|_| MemoryError::NotFound.into())
}
