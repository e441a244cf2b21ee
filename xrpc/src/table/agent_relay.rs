//! `agent.relay`: the host's events for agents. There is no method that lets a caller emit one.

use crate::method::{Kind, Method, Place};

/// Points of a listEvents: it may read megabytes of the log.
const LIST_COST: u32 = 5;

pub(super) const METHODS: &[Method] = &[
    Method::new("agent.relay.describeRelay", Kind::Query, Place::Relay),
    Method::new("agent.relay.listEvents", Kind::Query, Place::Relay).cost(LIST_COST),
    Method::new("agent.relay.subscribeEvents", Kind::Subscription, Place::Relay),
];
