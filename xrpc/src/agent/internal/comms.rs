//! What the Worker needs of an account's object to bring messages from one agent to another.

use murmuration_account::{AccountError, Shown, Write, WriteRequest};
use murmuration_comms::{
    Body, CommsError, Due, Header, Parcel, TaskChange, TaskState, binding, cid_of, default_thread,
};
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::{Envelope, Recipient};
use murmuration_keyring::PublishedKeys;
use murmuration_keys::Curve;
use murmuration_lexicons::{Validation, validate_record};
use murmuration_syntax::{Did, Nsid, RecordKey, Tid, datetime};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json as object};
use sha2::{Digest, Sha256};

use super::super::comms::{request, view};
use super::super::record::{Validate, prepare};
use super::super::{Args, Context, check_standing, custody};
use super::deliveries::{self, Outbound, Try};
use super::{arrival, handoff};
use crate::XrpcError;
use crate::http::Response;
use crate::method::Standing;

/// A call about messages.
#[derive(Deserialize, Serialize)]
#[serde(tag = "comms", rename_all = "camelCase")]
pub enum CommsCall {
    /// Say what the agent publishes of its keys. Nobody else's message makes it begin its first epoch.
    Keys,
    /// Make a message, sign it and store it.
    Send(Box<Outgoing>),
    /// Take a message.
    Take(Box<Incoming>),
    /// Note what came of tries, and say how it stands with every recipient.
    Settle {
        /// The message.
        id: Tid,
        /// The tries.
        tries: Vec<Try>,
        /// What the times of the next tries are drawn from.
        random: u32,
    },
    /// Say what the alarm is to deliver now.
    Due,
    /// Say what a ticket of the queue is worth.
    Redeem {
        /// The message.
        id: Tid,
        /// Whom it is for.
        to: Did,
    },
    /// Note that the queue has given a delivery up.
    GiveUp {
        /// The message.
        id: Tid,
        /// Whom it is for.
        to: Did,
    },
    /// Say what calls a task off that the agent has asked for, and to whom.
    Cancellation {
        /// The address of the request.
        request: String,
    },
}

/// A message to be sent.
#[derive(Deserialize, Serialize)]
pub struct Outgoing {
    /// The record; `null` for a message that its sender has sealed.
    pub record: Json,
    /// A message that its sender has sealed (`agent.comms.defs#sealedParcel`).
    pub sealed: Option<Json>,
    /// Whom it is for.
    pub to: Vec<Reader>,
    /// Its name, if its sender has chosen one.
    pub id: Option<Tid>,
    /// Whether everybody may read it.
    pub public: bool,
    /// When it ends to mean anything.
    pub expires_at: Option<String>,
    /// Whether keys count that do not go on from those that the agent has seen before.
    pub believe: bool,
    /// Of a handoff: the thread whose messages are handed over.
    pub hand_over: Option<String>,
}

/// Somebody that a message is for.
#[derive(Clone, Deserialize, Serialize)]
pub struct Reader {
    /// Who.
    pub did: Did,
    /// What they publish of their keys.
    pub keys: ReaderKeys,
}

/// What somebody publishes of their keys: the record, as JSON of the data model.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReaderKeys {
    /// It was not asked for: nothing is sealed.
    NotNeeded,
    /// An agent of this host publishes it.
    Here(Json),
    /// An agent of another host is proven to publish it.
    Proven(Json),
    /// An agent of another host is proven to publish none.
    Nothing,
    /// Nothing was proven.
    Unknown,
}

/// A message that was made, or was made before.
#[derive(Deserialize, Serialize)]
pub struct Made {
    /// Its name.
    pub id: Tid,
    /// Its address.
    pub uri: String,
    /// The hash of the parcel.
    pub cid: String,
    /// How it stands with every recipient.
    pub receipts: Vec<Json>,
    /// What is to be delivered now.
    pub parcel: Option<Outbound>,
    /// What comes before it, and is to be tried now.
    pub heads: Vec<Outbound>,
    /// How the task stands that it speaks of.
    pub task: Option<Json>,
}

/// A parcel that comes.
#[derive(Deserialize, Serialize)]
pub struct Incoming {
    /// Its DAG-CBOR, in base 64.
    pub parcel: String,
    /// Who sends it.
    pub sender: Did,
    /// The key that their document has at `#atproto`, as `did:key`.
    pub key: String,
    /// Whether the sender is of this host.
    pub same_host: bool,
    /// The token by which another host brings it, and when that ends, in seconds.
    pub token: Option<(String, u64)>,
}

pub(super) fn answer(context: &Context<'_>, call: CommsCall) -> Result<Response, XrpcError> {
    match call {
        CommsCall::Keys => keys(context),
        CommsCall::Send(outgoing) => Response::json(&send(context, *outgoing)?),
        CommsCall::Take(incoming) => arrival::take(context, *incoming),
        CommsCall::Settle { id, tries, random } => deliveries::settle(context, id, tries, random),
        CommsCall::Due => deliveries::due(context),
        CommsCall::Redeem { id, to } => deliveries::redeem(context, id, &to),
        CommsCall::GiveUp { id, to } => {
            context.account.comms()?.give_up(id, &to, context.clock.now_micros())?;
            Ok(Response::empty())
        }
        CommsCall::Cancellation { request } => cancellation(context, &request),
    }
}

fn keys(context: &Context<'_>) -> Result<Response, XrpcError> {
    check_standing(Standing::Active, &*context.account.profile()?)?;
    Response::json(&json::to_value(&context.account.published_keys()?.to_ipld()))
}

/// Makes a message, or finds that it was made before.
pub(in crate::agent) fn send(context: &Context<'_>, outgoing: Outgoing) -> Result<Made, XrpcError> {
    let profile = context.account.profile()?;
    check_standing(Standing::Active, &profile)?;
    let (own, comms, now) = (&profile.did, context.account.comms()?, context.clock.now_micros());
    let mut to: Vec<Did> = outgoing.to.iter().map(|reader| reader.did.clone()).collect();
    to.sort();
    to.dedup();
    let digest = digest(&outgoing, &to)?;
    let id = match outgoing.id {
        Some(id) => id,
        None => fresh_id(context, now)?,
    };
    let mut draft = match &outgoing.sealed {
        None => Draft::read(context, own, &to, &outgoing, id)?,
        Some(sealed) => Draft::sealed(context, own, &to, &outgoing, sealed)?,
    };
    if let Some(sent) = comms.sent(id)? {
        if sent.digest != digest.as_slice() {
            return Err(CommsError::Conflict.into());
        }
        let receipts = sent.receipts.iter().map(|receipt| view::receipt(id, receipt)).collect();
        let (uri, cid) = (draft.uri(own), sent.cid.to_string());
        return Ok(Made { id, uri, cid, receipts, parcel: None, heads: Vec::new(), task: None });
    }
    let task = draft.task(own)?;
    let thread = match (&draft.thread, &task) {
        (Some(thread), _) => thread.clone(),
        (None, Some(change)) => comms.task(own, &change.requester, change.request)?.thread,
        (None, None) => comms.unbroken(default_thread(own, &to))?,
    };
    let (seq, prev) = comms.next_place(&thread)?;
    let header = Header {
        id,
        kind: draft.kind.clone(),
        from: own.clone(),
        to: to.clone(),
        thread,
        seq,
        prev,
        created_at: now / 1000 * 1000,
        expires_at: draft.expires_at,
        priority: draft.priority,
    };
    if header.expires_at.is_some_and(|at| at <= now) {
        return Err(CommsError::Expired.into());
    }
    let body = match draft.body.take() {
        Some(sealed) => sealed,
        None if outgoing.public => Body::Open(draft.record.clone()),
        None => seal(context, &header, &outgoing, &draft.record, now)?,
    };
    let parcel = Parcel::sign(header, body, Curve::K256, |bytes| {
        context.account.sign(bytes).map_err(XrpcError::from)
    })?;
    let bytes = parcel.to_cbor()?;
    // Read as whoever takes it will: one that nobody would take is not sent.
    Parcel::from_cbor(&bytes)?;
    // A record that everybody reads and a message that is delivered: both, or neither.
    let (first, heads) = context.account.together(|| {
        if outgoing.public {
            publish(context, &draft, id, now)?;
        }
        if let Some(thread) = &outgoing.hand_over {
            comms.hold(thread, now)?;
        }
        Ok::<_, XrpcError>(comms.send(&parcel, &bytes, &digest, task.as_ref(), now)?)
    })?;
    let task = task.map(|change| comms.task(own, &change.requester, change.request)).transpose()?;
    let receipts = comms.sent(id)?.map(|sent| sent.receipts).unwrap_or_default();
    Ok(Made {
        id,
        uri: draft.uri(own),
        cid: cid_of(&bytes).to_string(),
        receipts: receipts.iter().map(|receipt| view::receipt(id, receipt)).collect(),
        parcel: (!first.is_empty())
            .then(|| Due { id, first, again: Vec::new(), aside: Vec::new(), parcel: bytes }.into()),
        heads: heads.into_iter().map(Outbound::from).collect(),
        task: task.as_ref().map(view::task),
    })
}

/// The hash by which the same call is known again.
fn digest(outgoing: &Outgoing, to: &[Did]) -> Result<[u8; 32], XrpcError> {
    let Outgoing { record, sealed, public, expires_at, hand_over, .. } = outgoing;
    let content = sealed.as_ref().unwrap_or(record);
    let call = object!([content, to, public, expires_at, hand_over]);
    let call = json::from_value(&call).map_err(|error| invalid(&error.to_string()))?;
    let bytes = cbor::encode(&call).map_err(|error| invalid(&error.to_string()))?;
    Ok(Sha256::digest(&bytes).into())
}

/// An id that no message has.
fn fresh_id(context: &Context<'_>, now: u64) -> Result<Tid, XrpcError> {
    let mut random = [0; 2];
    context.entropy.fill(&mut random);
    let clock_id = u16::from_le_bytes(random);
    let mut id = Tid::next(now, clock_id, None);
    while context.account.comms()?.sent(id)?.is_some() {
        id = Tid::next(now, clock_id, Some(id));
    }
    Ok(id)
}

/// A record that is to be sent, complete and valid.
struct Draft {
    id: Tid,
    kind: Nsid,
    record: Ipld,
    thread: Option<String>,
    priority: u8,
    expires_at: Option<u64>,
    /// What a response says, and of which request. Of one that is sealed the host knows nothing.
    status: Option<(String, String)>,
    /// The body, if it is sealed already.
    body: Option<Body>,
}

impl Draft {
    fn read(
        context: &Context<'_>,
        own: &Did,
        to: &[Did],
        outgoing: &Outgoing,
        id: Tid,
    ) -> Result<Self, XrpcError> {
        let record = json::from_value(&outgoing.record).map_err(|error| invalid(&error.to_string()))?;
        let Ipld::Map(mut fields) = record else { return Err(invalid("the record is no object")) };
        let text = |text: &str| Ipld::String(text.to_owned());
        let kind = match fields.get("$type") {
            Some(Ipld::String(kind)) if KINDS.contains(&kind.as_str()) => Nsid::parse(kind),
            _ => return Err(invalid("the record is of no type that is sent")),
        };
        let kind = kind.map_err(XrpcError::internal)?;
        let now = datetime::from_micros(context.clock.now_micros()).map_err(XrpcError::internal)?;
        fields.entry("sender".into()).or_insert_with(|| text(own.as_str()));
        fields.entry("createdAt".into()).or_insert_with(|| text(&now));
        if let (Some(first), true) = (to.first(), kind.as_str() != BROADCAST) {
            // Of a group the first: whom it is for, the header says.
            fields.entry("recipient".into()).or_insert_with(|| text(first.as_str()));
        }
        let said = |name: &str| match fields.get(name) {
            Some(Ipld::String(text)) => Some(text.clone()),
            _ => None,
        };
        if said("sender").as_deref() != Some(own.as_str()) {
            return Err(invalid("the record is of another sender"));
        }
        if to.contains(own) {
            return Err(invalid("a message to oneself is no message"));
        }
        let recipient = said("recipient");
        if recipient.as_ref().is_some_and(|named| !to.iter().any(|did| *did == named.as_str())) {
            return Err(invalid("the record is for somebody else"));
        }
        let expires_at = outgoing.expires_at.clone().or_else(|| said("expiresAt"));
        let expires_at = expires_at.map(|at| datetime::micros(&at)).transpose();
        let expires_at = expires_at.map_err(|error| invalid(&error.to_string()))?;
        let priority = match fields.get("priority") {
            Some(Ipld::Integer(priority)) => u8::try_from(*priority).unwrap_or(0),
            _ => DEFAULT_PRIORITY,
        };
        let thread = said("thread").filter(|thread| !thread.is_empty());
        let status = said("status").zip(said("requestUri")).filter(|_| kind.as_str() == RESPONSE);
        let record = Ipld::Map(fields);
        match validate_record(context.catalog, &kind, &RecordKey::from(id), &record) {
            Ok(Validation::Valid) => {}
            Ok(Validation::Unknown) => return Err(invalid("the record's type is unknown")),
            Err(error) => return Err(invalid(&error.to_string())),
        }
        Ok(Self {
            id,
            kind,
            record,
            thread,
            priority,
            expires_at: expires_at.map(whole_millis),
            status,
            body: None,
        })
    }

    /// A message that its sender has sealed: what is outside of the envelope is looked at, and what is in it nobody here can see.
    fn sealed(
        context: &Context<'_>,
        own: &Did,
        to: &[Did],
        outgoing: &Outgoing,
        sealed: &Json,
    ) -> Result<Self, XrpcError> {
        let sealed = json::from_value(sealed).map_err(|error| invalid(&error.to_string()))?;
        let mut sealed = Args::new(sealed);
        if outgoing.public {
            return Err(invalid("a sealed message is not public"));
        }
        if context.account.keeps_keys()? {
            return Err(invalid("the host keeps the keys of this agent, and seals its messages"));
        }
        if to.contains(own) {
            return Err(invalid("a message to oneself is no message"));
        }
        let kind: Nsid = sealed.parsed("type")?;
        if !KINDS.contains(&kind.as_str()) {
            return Err(invalid("the record is of no type that is sent"));
        }
        let envelope = Envelope::from_ipld(sealed.take("body").unwrap_or(Ipld::Null))?;
        let latest = match context.account.published_keys() {
            Err(AccountError::NoKeys) => return Err(invalid("this agent publishes no keys yet")),
            other => other?.current().number(),
        };
        if envelope.epoch() != latest || envelope.own_epoch() != latest {
            return Err(invalid("sealed in another epoch than the latest that this agent publishes"));
        }
        let expires_at = outgoing.expires_at.as_deref().map(datetime::micros).transpose();
        Ok(Self {
            id: sealed_id(&sealed)?,
            kind,
            record: Ipld::Null,
            thread: sealed.text("thread").map(str::to_owned),
            priority: sealed
                .number("priority")
                .map_or(DEFAULT_PRIORITY, |number| u8::try_from(number).unwrap_or(0)),
            expires_at: expires_at.map_err(|error| invalid(&error.to_string()))?.map(whole_millis),
            status: None,
            body: Some(Body::Sealed(Box::new(envelope))),
        })
    }

    /// What it says of a task.
    fn task(&self, own: &Did) -> Result<Option<TaskChange>, XrpcError> {
        let Some((status, uri)) = &self.status else { return Ok(None) };
        change(own, own, status, uri).map(Some)
    }

    fn uri(&self, own: &Did) -> String {
        format!("at://{own}/{}/{}", self.kind, self.id)
    }
}

/// What a response of `by` says of a task in the book of `own`.
pub(super) fn change(own: &Did, by: &Did, status: &str, uri: &str) -> Result<TaskChange, XrpcError> {
    let (requester, request) = request(uri)?;
    let to = TaskState::of_status(status).ok_or_else(|| invalid("the status is none of a task"))?;
    Ok(TaskChange { own: own.clone(), requester, request, to, by: by.clone() })
}

/// Seals a record to its readers, by the strongest key of each, and to its sender.
fn seal(
    context: &Context<'_>,
    header: &Header,
    outgoing: &Outgoing,
    record: &Ipld,
    now: u64,
) -> Result<Body, XrpcError> {
    let to = outgoing.to.iter().map(|reader| recipient(context, reader, outgoing.believe, now));
    let recipients = to.collect::<Result<Vec<_>, _>>()?;
    let ring = custody::ring(context, now)?;
    let mut record = record.clone();
    if let Some(thread) = &outgoing.hand_over {
        handoff::name(context, thread, &recipients, &mut record)?;
    }
    let text = cbor::encode(&record).map_err(|error| invalid(&error.to_string()))?;
    Ok(Body::Sealed(Box::new(ring.seal(&binding(header), &recipients, &text, context.entropy)?)))
}

/// Somebody to seal to, by what they publish of their keys, where that goes on from what this agent has seen before.
pub(in crate::agent) fn recipient(
    context: &Context<'_>,
    Reader { did, keys }: &Reader,
    believe: bool,
    now: u64,
) -> Result<Recipient, AccountError> {
    let read = |keys: &Json| {
        let keys = json::from_value(keys).ok();
        keys.and_then(|keys| PublishedKeys::from_ipld(did, keys).ok())
    };
    let none = || AccountError::PeerHasNoKeys(did.clone());
    let proven;
    let shown = match keys {
        ReaderKeys::Here(keys) => {
            return read(keys).and_then(|keys| keys.recipient(now).ok()).ok_or_else(none);
        }
        // What somebody's repository holds may be no keys at all.
        ReaderKeys::Proven(keys) => match read(keys) {
            Some(keys) => {
                proven = keys;
                Shown::Keys(&proven)
            }
            None => Shown::Nothing,
        },
        ReaderKeys::Nothing => Shown::Nothing,
        ReaderKeys::Unknown | ReaderKeys::NotNeeded => Shown::Unknown,
    };
    context.account.peer(did, shown, believe, now)
}

/// The name of a message that its sender has sealed.
fn sealed_id(sealed: &Args) -> Result<Tid, XrpcError> {
    let id = sealed.text("id").and_then(|id| Tid::parse(id).ok());
    id.ok_or_else(|| invalid("a sealed message has no id"))
}

/// A time in microseconds since the Unix epoch, in whole milliseconds.
fn whole_millis(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0) / 1000 * 1000
}

/// Writes a public message into the repository, where it may be already, from a call that broke off.
fn publish(context: &Context<'_>, draft: &Draft, id: Tid, now: u64) -> Result<(), XrpcError> {
    let prepared = prepare(
        context.catalog,
        Validate::Required,
        draft.kind.clone(),
        RecordKey::from(id),
        draft.record.clone(),
    )?;
    let write = Write::Put { path: prepared.path, value: prepared.value, swap: None };
    let request = WriteRequest { writes: vec![write], ..WriteRequest::default() };
    let mut receipts = context.account.write(&[request], now);
    receipts.pop().unwrap_or_else(|| Err(AccountError::Turn("no receipt".into())))?;
    Ok(())
}

fn cancellation(context: &Context<'_>, uri: &str) -> Result<Response, XrpcError> {
    let (requester, id) = request(uri)?;
    let own = &context.account.profile()?.did;
    let task = context.account.comms()?.task(own, &requester, id)?;
    if task.requester != *own {
        return Err(CommsError::NoSuchTask.into());
    }
    if task.state.has_ended() {
        let text = format!("the task is {} already", task.state.name());
        return Err(XrpcError::named("TaskNotCancelable", text));
    }
    Response::json(&object!({ "task": view::task(&task), "to": task.assignees }))
}

fn invalid(text: &str) -> XrpcError {
    XrpcError::named("InvalidRecord", text)
}

/// The records that are sent.
const KINDS: [&str; 5] =
    ["agent.comms.message", BROADCAST, "agent.comms.request", RESPONSE, "agent.comms.handoff"];
const BROADCAST: &str = "agent.comms.broadcast";
pub(super) const RESPONSE: &str = "agent.comms.response";
/// The lexicon's default.
const DEFAULT_PRIORITY: u8 = 3;
