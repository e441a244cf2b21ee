//! Messages that come: who has sent them, where they go, and what they change here.
//!
//! What a message changes besides being there - a task, a memory that it says is shared - it changes when it comes into the inbox: at
//! once, or when it is let out of quarantine; and with it in one transaction, for a delivery that comes again is a duplicate.

use data_encoding::BASE64_NOPAD;
use murmuration_account::AccountError;
use murmuration_comms::{Acquaintance, CommsError, Delivery, Parcel, Released, Sender, TaskChange, Verdict};
use murmuration_data::Ipld;
use murmuration_envelope::KeptKey;
use murmuration_keys::VerifyingKey;
use murmuration_syntax::Did;
use serde_json::json as object;

use super::super::comms::{contact, declaration, view};
use super::super::{Context, check_standing};
use super::comms::{Incoming, RESPONSE, change};
use super::memory;
use crate::XrpcError;
use crate::http::Response;
use crate::method::Standing;

/// Takes a parcel that another agent has sent: checks who sent it, asks whether the agent wants it, and stores it.
pub(super) fn take(context: &Context<'_>, incoming: Incoming) -> Result<Response, XrpcError> {
    let gone = || XrpcError::named("RecipientNotFound", "no such agent is here");
    let profile = context.account.profile().map_err(|error| match error {
        AccountError::Vacant => gone(),
        other => other.into(),
    })?;
    check_standing(Standing::Active, &profile).map_err(|_| gone())?;
    let (own, comms, now) = (&profile.did, context.account.comms()?, context.clock.now_micros());
    let bytes = BASE64_NOPAD.decode(incoming.parcel.as_bytes()).map_err(XrpcError::internal)?;
    let parcel = Parcel::from_cbor(&bytes)?;
    let header = parcel.header();
    let key = VerifyingKey::from_did_key(&incoming.key).map_err(XrpcError::internal)?;
    parcel.verify(&Sender { did: incoming.sender, key })?;
    if !header.to.contains(own) {
        let rule = "it is for others";
        return Err(CommsError::Proof { from: header.from.clone(), rule }.into());
    }
    if let Some((token, ends)) = &incoming.token {
        comms.spend(&format!("{} {token}", header.from), *ends, context.now_seconds())?;
    }
    let sender = Acquaintance {
        contact: contact(context, &header.from)?,
        same_host: incoming.same_host,
        written_to: comms.has_written_to(&header.thread, &header.from)?,
    };
    let verdict = declaration(context)?.judge(&parcel, bytes.len(), sender)?;
    let delivery = match comms.admit(&parcel, &bytes, verdict, now)? {
        None => Delivery::Duplicate,
        Some(arrival) => context.account.together(|| {
            let accepted = verdict == Verdict::Accept;
            let task = accepted.then(|| task_of(context, own, &parcel, None)).flatten();
            let kept = context.account.kept_on_arrival(&parcel, context.entropy)?;
            let delivery = comms.receive(&arrival, task.as_ref(), kept.as_ref(), now)?;
            if let Some((epoch, keys)) = context.account.handed_on_arrival(&parcel, context.entropy)? {
                comms.keep_handed(&header.from, header.id, epoch, &keys)?;
            }
            if accepted {
                memory::take_notice(context, &parcel, kept.as_ref(), now)?;
            }
            Ok::<_, XrpcError>(delivery)
        })?,
    };
    Response::json(&object!({
        "id": header.id,
        "state": match delivery {
            Delivery::Delivered => "delivered",
            Delivery::Duplicate => "duplicate",
            Delivery::Quarantined => "quarantined",
        },
    }))
}

/// What a message changes that was let out of quarantine. Runs in the transaction of that.
pub(in crate::agent) fn let_in(
    context: &Context<'_>,
    released: &Released,
    now: u64,
) -> Result<(), XrpcError> {
    let speaks_of_a_task = released.kind.as_str() == RESPONSE;
    if !speaks_of_a_task && !memory::is_notice(&released.kind, &released.thread) {
        return Ok(());
    }
    let (own, comms) = (&context.account.profile()?.did, context.account.comms()?);
    let Some(original) = comms.parcel(own, &released.sender, released.id)? else { return Ok(()) };
    let parcel = Parcel::from_cbor(&original.parcel)?;
    if let Some(task) = task_of(context, own, &parcel, original.kept.as_ref()) {
        comms.hear_of_task(&task, now)?;
    }
    memory::take_notice(context, &parcel, original.kept.as_ref(), now)
}

/// What a parcel says of a task, if it is a response that this host can open.
fn task_of(context: &Context<'_>, own: &Did, parcel: &Parcel, kept: Option<&KeptKey>) -> Option<TaskChange> {
    let header = parcel.header();
    if header.kind.as_str() != RESPONSE {
        return None;
    }
    let Ipld::Map(fields) = view::open(context, parcel, kept)? else { return None };
    let said = |name: &str| match fields.get(name) {
        Some(Ipld::String(text)) => Some(text.as_str()),
        _ => None,
    };
    change(own, &header.from, said("status")?, said("requestUri")?).ok()
}
