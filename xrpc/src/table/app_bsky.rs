//! `app.bsky`: what a host answers itself of it, and what of the AppView's answers it brings up to date.

use crate::agent::actor;
use crate::host::proxy::{Treatment, View};
use crate::method::{Auth, Kind, Method, Standing};

pub(super) const METHODS: &[Method] = &[
    Method::own("app.bsky.actor.getPreferences", Kind::Query, Auth::AccessEvenTakendown, actor::preferences),
    fresh("app.bsky.actor.getProfile", View::Profile),
    fresh("app.bsky.actor.getProfiles", View::Profiles),
    Method::own("app.bsky.actor.putPreferences", Kind::Procedure, Auth::Access, actor::put_preferences)
        .standing(Standing::NotTakendown),
    fresh("app.bsky.feed.getActorLikes", View::ActorLikes),
    fresh("app.bsky.feed.getAuthorFeed", View::AuthorFeed),
    Method::proxied("app.bsky.feed.getFeed", Kind::Query, Treatment::Feed),
    fresh("app.bsky.feed.getPostThread", View::PostThread),
    fresh("app.bsky.feed.getTimeline", View::Timeline),
    Method::host(REGISTER_PUSH, Kind::Procedure, |host, call| {
        Box::pin(async move { host.tell_notifier(REGISTER_PUSH, call).await })
    })
    .auth(Auth::Access),
    Method::host(UNREGISTER_PUSH, Kind::Procedure, |host, call| {
        Box::pin(async move { host.tell_notifier(UNREGISTER_PUSH, call).await })
    })
    .auth(Auth::Access),
];

const REGISTER_PUSH: &str = "app.bsky.notification.registerPush";
const UNREGISTER_PUSH: &str = "app.bsky.notification.unregisterPush";

const fn fresh(nsid: &'static str, view: View) -> Method {
    Method::proxied(nsid, Kind::Query, Treatment::Fresh(view))
}
