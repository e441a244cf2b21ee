//! Messages that one agent hands over to another: their keys, in the handoff; and where the parcels lie, for whoever has them.
//!
//! Nothing is copied or sealed anew. The handoff names messages by address and CID, with the data key of each sealed to the one who
//! takes over. The parcels stay with the giver, who gives them to nobody else, and the receiver opens them when it reads them.

use data_encoding::BASE64_NOPAD;
use murmuration_comms::limits::HANDED_MICROS;
use murmuration_comms::{Body, CommsError, HANDOFF, Handed, Parcel, State, binding, cid_of};
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::{KeptKey, Recipient, SharedKey};
use murmuration_syntax::{Did, Tid};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json as object};

use super::super::comms::view;
use super::super::{Context, check_standing};
use crate::XrpcError;
use crate::http::Response;
use crate::method::Standing;

/// A call about a handoff.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HandoffCall {
    /// Give the messages that were handed over, sealed as they are.
    Give {
        /// The handoff.
        id: Tid,
        /// Who asks.
        to: Did,
        /// How many of them it has.
        after: usize,
        /// The token by which another host asks, and when that ends, in seconds.
        token: Option<(String, u64)>,
    },
    /// Open messages with the keys of a handoff that has come.
    Open {
        /// Who has sent it.
        giver: Did,
        /// The handoff.
        id: Tid,
        /// The messages.
        parcels: Vec<GivenParcel>,
    },
}

/// Messages that are given, and where to go on if there are more.
#[derive(Deserialize, Serialize)]
pub struct Given {
    /// The parcels, as JSON of the data model.
    pub parcels: Vec<Json>,
    /// How many have been given or are gone.
    pub cursor: Option<usize>,
}

/// A message that was given.
#[derive(Deserialize, Serialize)]
pub struct GivenParcel {
    /// Its DAG-CBOR, in base 64.
    pub parcel: String,
    /// Whether its proof verifies.
    pub proven: bool,
}

pub(super) fn answer(context: &Context<'_>, call: HandoffCall) -> Result<Response, XrpcError> {
    match call {
        HandoffCall::Give { id, to, after, token } => give(context, id, &to, after, token),
        HandoffCall::Open { giver, id, parcels } => open(context, &giver, id, parcels),
    }
}

/// Names the messages of a thread in a handoff, each with its key for the one who takes over: the last [`MAX_HANDED`] of them.
pub(super) fn name(
    context: &Context<'_>,
    thread: &str,
    to: &[Recipient],
    record: &mut Ipld,
) -> Result<(), XrpcError> {
    let invalid = |text: &str| XrpcError::named("InvalidRecord", text);
    let (Ipld::Map(fields), [to]) = (record, to) else {
        return Err(invalid("a thread is handed over to one agent"));
    };
    if fields.get("$type") != Some(&Ipld::String(HANDOFF.to_owned())) || fields.contains_key(MESSAGES) {
        return Err(invalid("a thread is handed over by a handoff that names no messages itself"));
    }
    let (comms, now) = (context.account.comms()?, context.clock.now_micros());
    let mut entries = std::collections::VecDeque::new();
    let mut after: Option<String> = None;
    loop {
        let page = comms.thread(thread, after.as_deref(), PAGE, now)?;
        for item in page.items.iter().filter(|item| item.state != State::Quarantined) {
            let parcel = Parcel::from_cbor(&item.parcel)?;
            let header = parcel.header();
            let mut entry = std::collections::BTreeMap::from([
                (SUBJECT.to_owned(), uri(&header.from, header.kind.as_str(), header.id)),
                (CID.to_owned(), Ipld::String(cid_of(&item.parcel).to_string())),
            ]);
            if let Body::Sealed(envelope) = parcel.body() {
                entry.insert(EPOCH.to_owned(), Ipld::Integer(envelope.epoch().into()));
            }
            match context.account.share_message(&parcel, item.kept.as_ref(), to, context.entropy) {
                Ok(key) => entry.extend(key.map(|key| (RECIPIENT.to_owned(), key.to_ipld()))),
                // What the giver cannot read itself, it cannot hand over.
                Err(_) => continue,
            }
            if entries.len() >= MAX_HANDED {
                entries.pop_front();
            }
            entries.push_back(Ipld::Map(entry));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    fields.insert(MESSAGES.to_owned(), Ipld::List(entries.into()));
    Ok(())
}

fn give(
    context: &Context<'_>,
    id: Tid,
    to: &Did,
    after: usize,
    token: Option<(String, u64)>,
) -> Result<Response, XrpcError> {
    let profile = context.account.profile()?;
    check_standing(Standing::Active, &profile)?;
    let comms = context.account.comms()?;
    if let Some((token, ends)) = &token {
        comms.spend(&format!("{to} {token}"), *ends, context.now_seconds())?;
    }
    match comms.sent(id)? {
        Some(sent) if sent.receipts.iter().any(|receipt| receipt.to == *to) => {}
        None if id.micros().saturating_add(HANDED_MICROS) <= context.clock.now_micros() => {
            return Err(expired("What was handed over so long ago is not kept any more"));
        }
        _ => return Err(CommsError::NoSuchMessage.into()),
    }
    let entries = entries(context, &profile.did, id)?;
    let (mut given, mut bytes, mut reached) = (Vec::new(), 0, after);
    for entry in entries.iter().skip(after) {
        let parcel = comms.parcel(&profile.did, &entry.author, entry.id)?.map(|original| original.parcel);
        let parcel = parcel.filter(|parcel| cid_of(parcel).to_string() == entry.cid);
        bytes += parcel.as_ref().map_or(0, Vec::len);
        if bytes > MAX_GIVEN_BYTES && !given.is_empty() {
            break;
        }
        reached += 1;
        if let Some(parcel) = parcel {
            given.push(json::to_value(&Parcel::from_cbor(&parcel)?.to_ipld()));
        }
    }
    let cursor = (reached < entries.len()).then_some(reached);
    Response::json(&Given { parcels: given, cursor })
}

fn open(
    context: &Context<'_>,
    giver: &Did,
    id: Tid,
    parcels: Vec<GivenParcel>,
) -> Result<Response, XrpcError> {
    let entries = entries(context, giver, id)?;
    let kept = context.account.comms()?.handed_keys(giver, id)?;
    let mut messages = Vec::new();
    for GivenParcel { parcel, proven } in parcels {
        let bytes = BASE64_NOPAD.decode(parcel.as_bytes()).map_err(XrpcError::internal)?;
        let cid = cid_of(&bytes).to_string();
        // What was not handed over is nobody's to show.
        let Some(index) = entries.iter().position(|entry| entry.cid == cid) else { continue };
        let shared = entries.get(index).and_then(|entry| entry.key.as_ref());
        let kept = kept.get(index).and_then(Option::as_ref);
        let parcel = Parcel::from_cbor(&bytes)?;
        let header = parcel.header();
        let mut message = object!({
            "uri": format!("at://{}/{}/{}", header.from, header.kind, header.id),
            "parcel": json::to_value(&parcel.to_ipld()),
            "proven": proven,
        });
        let record = opened(context, &parcel, shared, kept);
        if let (Some(fields), Some(record)) = (message.as_object_mut(), record) {
            fields.insert("record".into(), json::to_value(&record));
        }
        messages.push(message);
    }
    Response::json(&messages)
}

/// The record in a parcel that was handed over, by its key as it was kept when the handoff came, or else as it came.
fn opened(
    context: &Context<'_>,
    parcel: &Parcel,
    shared: Option<&SharedKey>,
    kept: Option<&KeptKey>,
) -> Option<Ipld> {
    let record = match parcel.body() {
        Body::Open(record) => record.clone(),
        Body::Sealed(envelope) => {
            let ring = context.account.ring().ok()?;
            let binding = binding(parcel.header());
            let text = match kept {
                Some(kept) => ring.open_kept(&binding, envelope, kept),
                None => ring.open_shared(&binding, envelope, shared?),
            };
            cbor::decode(&text.ok()?).ok()?
        }
    };
    view::is_of(parcel.header(), &record).then_some(record)
}

/// What a handoff names, that this agent has sent or got.
fn entries(context: &Context<'_>, giver: &Did, id: Tid) -> Result<Vec<Handed>, XrpcError> {
    let none = || XrpcError::from(CommsError::NoSuchMessage);
    let own = &context.account.profile()?.did;
    let original = context.account.comms()?.parcel(own, giver, id)?.ok_or_else(none)?;
    let parcel = Parcel::from_cbor(&original.parcel)?;
    if parcel.header().kind.as_str() != HANDOFF {
        return Err(none());
    }
    let record = view::open(context, &parcel, original.kept.as_ref()).ok_or_else(none)?;
    Ok(Handed::all(&record))
}

/// The error of a handoff that is too old.
pub const EXPIRED: &str = "HandoffExpired";

/// Refuses a handoff that is too old.
pub(crate) fn expired(message: &str) -> XrpcError {
    XrpcError::named(EXPIRED, message)
}

fn uri(author: &Did, collection: &str, id: Tid) -> Ipld {
    Ipld::String(format!("at://{author}/{collection}/{id}"))
}

/// Messages that a handoff names, at most (`agent.comms.handoff`): with X-Wing each is 1.4 kB of the record.
const MAX_HANDED: usize = 128;
/// Messages of a thread that are looked at together.
const PAGE: u32 = 100;
/// Bytes of parcels that are given at once, save that the first always comes: in JSON, they fit what the reader takes at once.
const MAX_GIVEN_BYTES: usize = 256 * 1024;
const MESSAGES: &str = "messages";
const SUBJECT: &str = "subject";
const CID: &str = "cid";
const EPOCH: &str = "epoch";
const RECIPIENT: &str = "recipient";
