//! `com.atproto.moderation`

use crate::host::proxy::Treatment;
use crate::method::{Auth, Kind, Method};

/// A report of somebody who is taken down is an appeal.
pub(super) const METHODS: &[Method] =
    &[Method::proxied("com.atproto.moderation.createReport", Kind::Procedure, Treatment::Plain)
        .auth(Auth::AccessEvenTakendown)];
