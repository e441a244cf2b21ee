//! `agent.host`: what the operator does for which no other namespace has a method.

use crate::method::{Auth, Kind, Method};

pub(super) const METHODS: &[Method] = &[
    Method::host("agent.host.issueCode", Kind::Procedure, |host, call| {
        Box::pin(async move { host.issue_by_hand(&call.input).await })
    })
    .auth(Auth::Admin),
    Method::host("agent.host.resealSecrets", Kind::Procedure, |host, call| {
        Box::pin(async move { host.reseal_secrets(&call.input).await })
    })
    .auth(Auth::Admin),
];
