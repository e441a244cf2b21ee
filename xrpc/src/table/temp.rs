//! `com.atproto.temp`

use crate::agent::server;
use crate::method::{Auth, Kind, Method};

pub(super) const METHODS: &[Method] =
    &[Method::own("com.atproto.temp.checkSignupQueue", Kind::Query, Auth::Access, server::signup_queue)];
