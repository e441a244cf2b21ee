//! `agent.identity`: who an agent is, and its keys.

use crate::agent::keys;
use crate::limits::{DAY, FIVE_MINUTES, Limit};
use crate::method::{Auth, Kind, Method, Route, Standing};

/// How often an account's keys may be taken out or in: it moves rarely.
const MOVED: &[Limit] = &[Limit::account(10, DAY)];

pub(super) const METHODS: &[Method] = &[
    Method::host("agent.identity.createAgent", Kind::Procedure, |host, call| {
        Box::pin(async move { host.create_agent(call).await })
    })
    .auth(Auth::Optional)
    .limits(&[Limit::client(100, FIVE_MINUTES)]),
    Method::host("agent.identity.createAlias", Kind::Procedure, |host, call| {
        Box::pin(async move { host.create_alias(&call).await })
    })
    .auth(Auth::Full)
    .standing(Standing::Active)
    .limits(&[Limit::account(10, DAY)]),
    Method::own("agent.identity.exportKeys", Kind::Procedure, Auth::Full, keys::export_keys)
        .standing(Standing::NotTakendown)
        .limits(MOVED),
    Method::host("agent.identity.getAgent", Kind::Query, |host, call| {
        Box::pin(async move { host.agent(&call.params).await })
    }),
    Method::read("agent.identity.getKeys", Route::Repo("agent"), keys::keys),
    Method::own("agent.identity.importKeys", Kind::Procedure, Auth::Full, keys::import_keys)
        .standing(Standing::NotTakendown)
        .limits(MOVED),
    Method::host("agent.identity.listAgents", Kind::Query, |host, call| {
        Box::pin(async move { host.agents(&call.params).await })
    }),
    Method::host("agent.identity.resolveAlias", Kind::Query, |host, call| {
        Box::pin(async move { host.resolve_alias(&call.params).await })
    }),
    Method::host("agent.identity.rotateKeys", Kind::Procedure, |host, call| {
        Box::pin(async move { host.rotate_keys(&call).await })
    })
    .auth(Auth::Full)
    .standing(Standing::Active)
    // Each is a commit with all epochs in it, a row that the object wakes with, and an operation on the DID.
    .limits(&[Limit::account(4, DAY)]),
    Method::host("agent.identity.searchAgents", Kind::Query, |host, call| {
        Box::pin(async move { host.search_agents(&call.params).await })
    })
    .cost(SEARCH_COST),
];

/// Points of a searchAgents: it walks an index of words beside the rows of a list.
const SEARCH_COST: u32 = 3;
