//! The method table: every XRPC method that this host serves, one file a namespace.
//!
//! What is not here does not exist: the router has no other source. A test walks the table and asserts what each
//! method asks of its caller.

mod admin;
mod agent_comms;
mod agent_host;
mod agent_identity;
mod agent_memory;
mod agent_relay;
mod app_bsky;
mod identity;
mod moderation;
mod repo;
mod server;
mod sync;
mod temp;

use crate::method::Method;

/// The namespaces, in order.
const NAMESPACES: &[&[Method]] = &[
    agent_comms::METHODS,
    agent_host::METHODS,
    agent_identity::METHODS,
    agent_memory::METHODS,
    agent_relay::METHODS,
    app_bsky::METHODS,
    admin::METHODS,
    identity::METHODS,
    moderation::METHODS,
    repo::METHODS,
    server::METHODS,
    sync::METHODS,
    temp::METHODS,
];

/// Finds a method by its NSID.
#[must_use]
pub fn find(nsid: &str) -> Option<&'static Method> {
    methods().find(|method| method.nsid == nsid)
}

/// Every method, in the order of the NSIDs.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    NAMESPACES.iter().copied().flatten()
}
