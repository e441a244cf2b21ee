//! `com.atproto.identity`

use crate::method::{Auth, Kind, Method, Standing};

pub(super) const METHODS: &[Method] = &[
    Method::host("com.atproto.identity.resolveHandle", Kind::Query, |host, call| {
        Box::pin(async move { host.resolve_handle(&call.params).await })
    }),
    Method::host("com.atproto.identity.updateHandle", Kind::Procedure, |host, call| {
        Box::pin(async move { host.update_handle(&call).await })
    })
    .auth(Auth::Access)
    .standing(Standing::NotTakendown),
];
