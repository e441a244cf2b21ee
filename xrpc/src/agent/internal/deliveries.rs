//! What an agent's object knows of the deliveries of its messages, for whoever makes them.

use data_encoding::BASE64_NOPAD;
use murmuration_comms::{self as comms, Attempt, DeliveryState, Due, Keeper, Receipt, Ticket};
use murmuration_syntax::{Did, Tid};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::comms::view;
use super::super::{Context, check_standing};
use crate::XrpcError;
use crate::http::Response;
use crate::method::Standing;

/// A parcel, and whom it is to be delivered to now.
#[derive(Deserialize, Serialize)]
pub struct Outbound {
    /// Its name.
    pub id: Tid,
    /// Those it is brought to for the first time.
    pub first: Vec<Did>,
    /// Those that the alarm keeps it for.
    pub again: Vec<Did>,
    /// Those that it is brought to before its time.
    pub aside: Vec<Did>,
    /// Its DAG-CBOR, in base 64.
    pub parcel: String,
}

/// How it stands with a message after tries.
#[derive(Deserialize, Serialize)]
pub struct Settled {
    /// The receipts of all its recipients.
    pub receipts: Vec<Json>,
    /// Recipients that the queue is to try again, and in how many seconds.
    pub waits: Vec<(Did, u32)>,
    /// What has waited for this, and is to be tried now.
    pub next: Vec<Outbound>,
}

/// What a ticket is worth.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Worth {
    /// Nothing.
    Void,
    /// It comes so many seconds too early.
    Early(u32),
    /// A try of a parcel.
    Try {
        /// Its DAG-CBOR, in base 64.
        parcel: String,
        /// The sender's key, as `did:key`.
        key: String,
    },
}

/// A try to deliver a message.
#[derive(Deserialize, Serialize)]
pub struct Try {
    /// To whom.
    pub to: Did,
    /// What came of it.
    pub outcome: TryOutcome,
    /// Who makes the next, if there is one.
    pub next: NextTry,
}

/// Who makes the next try.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NextTry {
    /// The queue.
    Queue,
    /// The alarm of the sender's object.
    Alarm,
    /// Whoever has it, as if this had not been: it was before its time.
    Same,
}

/// What came of a try.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TryOutcome {
    /// It is there.
    Delivered,
    /// It is refused for good.
    Rejected(String),
    /// It may work later.
    Later {
        /// Why it did not work.
        reason: String,
        /// After how many seconds, if the other side has said so.
        after: Option<u64>,
        /// Whether the other side has answered with a fault of its own.
        fault: bool,
    },
}

pub(super) fn settle(
    context: &Context<'_>,
    id: Tid,
    tries: Vec<Try>,
    random: u32,
) -> Result<Response, XrpcError> {
    let attempts: Vec<(Did, Attempt)> = tries
        .into_iter()
        .map(|tried| {
            let attempt = match tried.outcome {
                TryOutcome::Delivered => Attempt::Delivered,
                TryOutcome::Rejected(reason) => Attempt::Rejected(reason),
                TryOutcome::Later { reason, after, fault } => {
                    let keeper = match tried.next {
                        NextTry::Queue => Some(Keeper::Queue),
                        NextTry::Alarm => Some(Keeper::Alarm),
                        NextTry::Same => None,
                    };
                    Attempt::Later { retry_after_seconds: after, reason, fault, keeper }
                }
            };
            (tried.to, attempt)
        })
        .collect();
    let now = context.clock.now_micros();
    let comms::Settled { receipts, next } =
        context.account.comms()?.settle(id, &attempts, now, random.into())?;
    let waits = |receipt: &Receipt| {
        receipt.state == DeliveryState::Queued
            && receipt.keeper == Keeper::Queue
            && attempts.iter().any(|(to, _)| *to == receipt.to)
    };
    let waits = receipts.iter().filter(|receipt| waits(receipt));
    Response::json(&Settled {
        waits: waits.map(|receipt| (receipt.to.clone(), seconds(receipt.due.saturating_sub(now)))).collect(),
        receipts: receipts.iter().map(|receipt| view::receipt(id, receipt)).collect(),
        next: next.into_iter().map(Outbound::from).collect(),
    })
}

pub(super) fn due(context: &Context<'_>) -> Result<Response, XrpcError> {
    let due = context.account.comms()?.due(context.clock.now_micros(), MAX_DUE)?;
    Response::json(&due.into_iter().map(Outbound::from).collect::<Vec<_>>())
}

impl From<Due> for Outbound {
    fn from(Due { id, first, again, aside, parcel }: Due) -> Self {
        Self { id, first, again, aside, parcel: BASE64_NOPAD.encode(&parcel) }
    }
}

pub(super) fn redeem(context: &Context<'_>, id: Tid, to: &Did) -> Result<Response, XrpcError> {
    let ticket = context.account.comms()?.redeem(id, to, context.clock.now_micros())?;
    let served = check_standing(Standing::Active, &*context.account.profile()?).is_ok();
    Response::json(&match ticket {
        Ticket::Try(_) if !served => Worth::Early(UNSERVED_SECONDS),
        Ticket::Void => Worth::Void,
        Ticket::Early(micros) => Worth::Early(seconds(micros)),
        Ticket::Try(parcel) => {
            Worth::Try { parcel: BASE64_NOPAD.encode(&parcel), key: context.account.signing_key()? }
        }
    })
}

/// Whole seconds, rounded up: who waits for them is not too early.
fn seconds(micros: u64) -> u32 {
    u32::try_from(micros.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// Seconds after which a ticket comes again of a sender that is not served.
const UNSERVED_SECONDS: u32 = 10 * 60;

/// Messages that one look at what is due takes up.
const MAX_DUE: u32 = 20;
