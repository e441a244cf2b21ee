//! `app.bsky`: what a host answers itself of it.

use crate::agent::actor;
use crate::method::{Auth, Kind, Method, Standing};

pub(super) const METHODS: &[Method] = &[
    Method::own("app.bsky.actor.getPreferences", Kind::Query, Auth::AccessEvenTakendown, actor::preferences),
    Method::own("app.bsky.actor.putPreferences", Kind::Procedure, Auth::Access, actor::put_preferences)
        .standing(Standing::NotTakendown),
];
