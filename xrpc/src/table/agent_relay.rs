//! `agent.relay`: the host's events for agents. There is no method that lets a caller emit one.

use crate::method::{Kind, Method, Place};

pub(super) const METHODS: &[Method] =
    &[Method::new("agent.relay.subscribeEvents", Kind::Subscription, Place::Relay)];
