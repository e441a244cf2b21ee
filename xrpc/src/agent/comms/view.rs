//! Messages, receipts, threads and tasks as their lexicons have them.

use murmuration_comms::{Body, DeliveryState, Gap, Header, Item, Keeper, Parcel, Receipt, Task, Thread};
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::{EnvelopeError, KeptKey};
use murmuration_firehose::Timestamp;
use murmuration_syntax::Tid;
use serde_json::{Value as Json, json as object};

use super::super::{Args, Context};
use super::REQUEST;
use crate::XrpcError;

/// Messages, with their records where the host keeps the agent's keys and the caller wants them opened.
pub(super) fn items(context: &Context<'_>, items: &[Item], args: &Args) -> Result<Vec<Json>, XrpcError> {
    let open = args.flag("includeDecrypted").unwrap_or(true);
    items.iter().map(|item| self::item(context, item, open)).collect()
}

/// A message, with its record if `open` and this host can open it.
pub(crate) fn item(context: &Context<'_>, item: &Item, open: bool) -> Result<Json, XrpcError> {
    let parcel = Parcel::from_cbor(&item.parcel).map_err(XrpcError::internal)?;
    let mut view = object!({
        "parcel": json::to_value(&parcel.to_ipld()),
        "state": item.state.name(),
        "receivedAt": time(item.received_at),
        "attempts": item.attempts,
    });
    let mut set = |name: &str, value: Json| {
        if let Some(fields) = view.as_object_mut() {
            fields.insert(name.into(), value);
        }
    };
    if let Some(lease) = &item.lease {
        set("leaseId", lease.id().into());
        set("leaseUntil", time(lease.until).into());
    }
    if let Some(reason) = &item.reason {
        set("reason", reason.as_str().into());
    }
    if let Some(record) = if open { self::open(context, &parcel, item.kept.as_ref()) } else { None } {
        set("record", json::to_value(&record));
    }
    Ok(view)
}

/// The record in a parcel, if this host can open it.
pub(in crate::agent) fn open(context: &Context<'_>, parcel: &Parcel, kept: Option<&KeptKey>) -> Option<Ipld> {
    let record = match parcel.body() {
        Body::Open(record) => record.clone(),
        Body::Sealed(_) => cbor::decode(&context.account.open_message(parcel, kept).ok()??).ok()?,
    };
    is_of(parcel.header(), &record).then_some(record)
}

/// Whether a record is of the sender and the type that a header names: otherwise it is not shown as that.
pub(in crate::agent) fn is_of(header: &Header, record: &Ipld) -> bool {
    let Ipld::Map(fields) = record else { return false };
    let says = |name: &str, text: &str| matches!(fields.get(name), Some(Ipld::String(said)) if said == text);
    says("$type", header.kind.as_str()) && says("sender", header.from.as_str())
}

/// A receipt.
#[must_use]
pub fn receipt(id: Tid, receipt: &Receipt) -> Json {
    let mut view = object!({
        "id": id,
        "to": receipt.to,
        "state": receipt.state.name(),
        "attempts": receipt.attempts,
        "updatedAt": time(receipt.at),
    });
    if let Some(fields) = view.as_object_mut() {
        if receipt.state == DeliveryState::Queued && receipt.keeper != Keeper::Line {
            fields.insert("nextAttemptAt".into(), time(receipt.due).into());
        }
        if let Some(reason) = &receipt.reason {
            fields.insert("reason".into(), reason.as_str().into());
        }
    }
    view
}

pub(super) fn gap(gap: &Gap) -> Json {
    object!({ "sender": gap.sender, "from": gap.from, "to": gap.to })
}

pub(super) fn thread(thread: &Thread) -> Json {
    object!({
        "id": thread.name,
        "members": thread.members,
        "lastAt": time(thread.last_at),
        "pending": thread.pending,
    })
}

/// A task.
#[must_use]
pub fn task(task: &Task) -> Json {
    object!({
        "request": { "uri": format!("at://{}/{REQUEST}/{}", task.requester, task.id), "cid": task.cid.to_string() },
        "requester": task.requester,
        "assignees": task.assignees,
        "state": task.state.name(),
        "thread": task.thread,
        "updatedAt": time(task.at),
    })
}

fn time(micros: u64) -> String {
    Timestamp::from_micros(micros).to_string()
}

impl From<EnvelopeError> for XrpcError {
    fn from(error: EnvelopeError) -> Self {
        let text = error.to_string();
        match error {
            EnvelopeError::TooLarge | EnvelopeError::TooManyRecipients => Self::named("TooLarge", text),
            EnvelopeError::NoRecipientKey | EnvelopeError::PublicKey => Self::named("NoRecipientKey", text),
            _ => Self::named("InvalidParcel", text),
        }
    }
}
