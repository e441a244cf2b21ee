//! `com.atproto.identity`

use murmuration_bridge::resolver::Purpose;

use crate::agent::identity;
use crate::limits::{DAY, FIVE_MINUTES, LETTERS, Limit};
use crate::method::{Auth, Kind, Method, Standing};

pub(super) const METHODS: &[Method] = &[
    Method::own(
        "com.atproto.identity.getRecommendedDidCredentials",
        Kind::Query,
        Auth::Access,
        identity::recommended_credentials,
    ),
    Method::host("com.atproto.identity.refreshIdentity", Kind::Procedure, |host, call| {
        Box::pin(async move { host.identity(&call.input, Purpose::Refresh).await })
    })
    .auth(Auth::Access),
    Method::host("com.atproto.identity.requestPlcOperationSignature", Kind::Procedure, |host, call| {
        Box::pin(async move { host.request_plc_operation_signature(&call).await })
    })
    .auth(Auth::FullEvenTakendown)
    .limits(LETTERS),
    Method::host("com.atproto.identity.resolveDid", Kind::Query, |host, call| {
        Box::pin(async move { host.resolve_did(&call.params).await })
    }),
    Method::host("com.atproto.identity.resolveHandle", Kind::Query, |host, call| {
        Box::pin(async move { host.resolve_handle(&call.params).await })
    }),
    Method::host("com.atproto.identity.resolveIdentity", Kind::Query, |host, call| {
        Box::pin(async move { host.identity(&call.params, Purpose::Display).await })
    }),
    Method::host("com.atproto.identity.signPlcOperation", Kind::Procedure, |host, call| {
        Box::pin(async move { host.sign_plc_operation(call).await })
    })
    .auth(Auth::FullEvenTakendown),
    Method::host("com.atproto.identity.submitPlcOperation", Kind::Procedure, |host, call| {
        Box::pin(async move { host.submit_plc_operation(call).await })
    })
    .auth(Auth::Access),
    Method::host("com.atproto.identity.updateHandle", Kind::Procedure, |host, call| {
        Box::pin(async move { host.update_handle(&call).await })
    })
    .auth(Auth::Access)
    .standing(Standing::NotTakendown)
    .limits(&[Limit::account(10, FIVE_MINUTES), Limit::account(50, DAY)]),
];
