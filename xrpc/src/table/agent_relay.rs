//! `agent.relay`: the host's events for agents. There is no method that lets a caller emit one.

use crate::method::{Auth, Kind, Method, Place};

/// Points of a listEvents: it may read megabytes of the log.
const LIST_COST: u32 = 5;

pub(super) const METHODS: &[Method] = &[
    webhook("agent.relay.createWebhook", Kind::Procedure),
    webhook("agent.relay.deleteWebhook", Kind::Procedure),
    Method::new("agent.relay.describeRelay", Kind::Query, Place::Relay),
    Method::new("agent.relay.listEvents", Kind::Query, Place::Relay).cost(LIST_COST),
    peers("agent.relay.listPeers", Kind::Query),
    webhook("agent.relay.listWebhooks", Kind::Query),
    peers("agent.relay.putPeer", Kind::Procedure),
    Method::new("agent.relay.subscribeEvents", Kind::Subscription, Place::Relay),
];

/// What the operator does with the host's peers.
const fn peers(nsid: &'static str, kind: Kind) -> Method {
    Method::new(nsid, kind, Place::Relay).auth(Auth::Admin)
}

/// What an account does with its webhooks.
const fn webhook(nsid: &'static str, kind: Kind) -> Method {
    Method::new(nsid, kind, Place::Relay).auth(Auth::Access)
}
