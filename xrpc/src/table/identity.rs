//! `com.atproto.identity`

use crate::method::{Kind, Method};

pub(super) const METHODS: &[Method] =
    &[Method::host("com.atproto.identity.resolveHandle", Kind::Query, |host, call| {
        Box::pin(async move { host.resolve_handle(&call.params).await })
    })];
