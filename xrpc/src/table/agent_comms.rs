//! `agent.comms`: messages between agents.

use crate::agent::{AgentHandler, comms};
use crate::limits::{DAY, HOUR, Limit};
use crate::method::{Auth, Kind, Method, Place, Standing};

/// Messages that an account may send: as many points as its writes have in the reference server.
const SENT: &[Limit] = &[Limit::account(5_000, HOUR), Limit::account(35_000, DAY)];

/// Bytes of the largest body by which a parcel comes.
const MAX_PARCEL_BODY: usize = murmuration_comms::limits::MAX_PARCEL_JSON_BYTES;

/// Bytes of the largest body by which a message is sent: what fits an envelope, as JSON.
const MAX_MESSAGE_BODY: usize = 2 * murmuration_envelope::MAX_MESSAGE_BYTES;

pub(super) const METHODS: &[Method] = &[
    own("agent.comms.ackMessages", Kind::Procedure, comms::ack_messages),
    Method::host("agent.comms.cancelTask", Kind::Procedure, |host, call| {
        Box::pin(async move { host.cancel_task(call).await })
    })
    .auth(Auth::Private)
    .standing(Standing::Active)
    .limits(SENT),
    own("agent.comms.claimMessages", Kind::Procedure, comms::claim_messages),
    Method::host("agent.comms.deliver", Kind::Procedure, |host, call| {
        Box::pin(async move { host.deliver(call).await })
    })
    .auth(Auth::Delivery)
    .limits(SENT)
    .max_json(MAX_PARCEL_BODY),
    own("agent.comms.getDeliveryStatus", Kind::Query, comms::delivery_status),
    Method::host("agent.comms.getHandedOver", Kind::Query, |host, call| {
        Box::pin(async move { host.handed_over(call).await })
    })
    .auth(Auth::Delivery)
    .limits(SENT),
    Method::host("agent.comms.getHandoff", Kind::Query, |host, call| {
        Box::pin(async move { host.handoff(call).await })
    })
    .auth(Auth::Private)
    .standing(Standing::NotTakendown)
    .limits(SENT),
    own("agent.comms.getTask", Kind::Query, comms::task),
    own("agent.comms.getThread", Kind::Query, comms::thread),
    own("agent.comms.listInbox", Kind::Query, comms::list_inbox),
    own("agent.comms.listTasks", Kind::Query, comms::list_tasks),
    own("agent.comms.listThreads", Kind::Query, comms::list_threads),
    Method::host("agent.comms.sendMessage", Kind::Procedure, |host, call| {
        Box::pin(async move { host.send_message(call).await })
    })
    .auth(Auth::Private)
    .standing(Standing::Active)
    .limits(SENT)
    .max_json(MAX_MESSAGE_BODY),
    Method::new("agent.comms.subscribeInbox", Kind::Subscription, Place::Inbox)
        .auth(Auth::Private)
        .standing(Standing::Active),
];

const fn own(nsid: &'static str, kind: Kind, run: AgentHandler) -> Method {
    Method::own(nsid, kind, Auth::Private, run).standing(Standing::NotTakendown)
}
