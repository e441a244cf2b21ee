//! Read after write: an AppView's answer, with what its reader wrote since put in where it belongs.
//!
//! The functions change what they understand of an answer and leave the rest as it is: it is another host's, and may be
//! of a newer or an older kind.

use serde_json::{Value as Json, json};

use super::view::{THREAD_POST, Viewer, indexed_at};
use crate::agent::internal::Written;

/// What an answer shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum View {
    /// `app.bsky.actor.getProfile`
    Profile,
    /// `app.bsky.actor.getProfiles`
    Profiles,
    /// `app.bsky.feed.getActorLikes`
    ActorLikes,
    /// `app.bsky.feed.getAuthorFeed`
    AuthorFeed,
    /// `app.bsky.feed.getPostThread`
    PostThread,
    /// `app.bsky.feed.getTimeline`
    Timeline,
}

impl View {
    /// Brings an answer up to date.
    pub fn freshen(self, answer: &mut Json, viewer: &Viewer<'_>) {
        match self {
            Self::Profile => update_own(answer, viewer, true),
            Self::Profiles => {
                each(answer, "profiles", |profile| update_own(profile, viewer, true));
            }
            Self::ActorLikes => update_authors(answer, viewer),
            Self::AuthorFeed => {
                if is_own_feed(answer, viewer) {
                    update_authors(answer, viewer);
                    insert_posts(answer, viewer);
                }
            }
            Self::PostThread => {
                if let Some(thread) = answer.get_mut("thread") {
                    add_replies(thread, viewer, &viewer.recent.posts.iter().collect::<Vec<_>>());
                }
            }
            Self::Timeline => insert_posts(answer, viewer),
        }
    }
}

/// The thread of a post that the AppView does not have yet; `None` if the post is not a new one.
#[must_use]
pub fn own_thread(uri: &str, viewer: &Viewer<'_>) -> Option<Json> {
    let post = viewer.recent.posts.iter().find(|post| post.uri == uri)?;
    let mut thread = viewer.thread(post);
    let rest: Vec<&Written> = viewer.recent.posts.iter().filter(|other| other.uri != uri).collect();
    add_replies(&mut thread, viewer, &rest);
    Some(thread)
}

/// The address of the post that a thread's post answers.
#[must_use]
pub fn parent_of(thread: &Json) -> Option<&str> {
    thread.get("post")?.get("record")?.get("reply")?.get("parent")?.get("uri")?.as_str()
}

fn update_own(profile: &mut Json, viewer: &Viewer<'_>, detailed: bool) {
    if viewer.recent.profile_is_new && is_own(profile, viewer) {
        viewer.update_profile(profile, detailed);
    }
}

fn update_authors(answer: &mut Json, viewer: &Viewer<'_>) {
    each(answer, "feed", |item| {
        if let Some(author) = item.get_mut("post").and_then(|post| post.get_mut("author")) {
            update_own(author, viewer, false);
        }
    });
}

fn is_own(profile: &Json, viewer: &Viewer<'_>) -> bool {
    profile.get("did").and_then(Json::as_str) == Some(viewer.did.as_str())
}

/// Whether a feed is of the reader's own doing: its first item says so.
fn is_own_feed(answer: &Json, viewer: &Viewer<'_>) -> bool {
    let Some(first) = answer.get("feed").and_then(|feed| feed.get(0)) else { return false };
    let by = match first.get("reason") {
        None => first.get("post").and_then(|post| post.get("author")),
        Some(reason) if kind(reason) == Some("app.bsky.feed.defs#reasonRepost") => reason.get("by"),
        Some(_) => None,
    };
    by.is_some_and(|by| is_own(by, viewer))
}

/// Puts new posts among those of a feed, newest first. What is older than the feed's last belongs on a later page.
fn insert_posts(answer: &mut Json, viewer: &Viewer<'_>) {
    let Some(Json::Array(feed)) = answer.get_mut("feed") else { return };
    let end = feed.last().map(|item| time_of(item).to_owned()).unwrap_or_default();
    for post in viewer.recent.posts.iter().rev() {
        let time = indexed_at(post);
        let is_there = feed.iter().any(|item| uri_of(item) == Some(&post.uri));
        if time <= end || is_there {
            continue;
        }
        let place = feed.iter().position(|item| time_of(item) < time.as_str()).unwrap_or(feed.len());
        feed.insert(place, json!({ "post": viewer.post(post) }));
    }
}

/// Hangs new posts below the posts of a thread that they answer.
fn add_replies(thread: &mut Json, viewer: &Viewer<'_>, posts: &[&Written]) {
    if kind(thread) != Some(THREAD_POST) {
        return;
    }
    let root = thread.get("post").and_then(|post| {
        let root = post.get("record").and_then(|record| reply(record, "root"));
        root.or_else(|| post.get("uri")?.as_str()).map(str::to_owned)
    });
    for post in posts {
        if reply(&post.value, "root").is_some_and(|uri| Some(uri) == root.as_deref()) {
            hang(thread, viewer, post, 0);
        }
    }
}

fn hang(thread: &mut Json, viewer: &Viewer<'_>, post: &Written, depth: usize) {
    if depth > MAX_DEPTH || kind(thread) != Some(THREAD_POST) {
        return;
    }
    let is_parent = uri_of(thread).is_some_and(|uri| Some(uri) == reply(&post.value, "parent"));
    let Some(thread) = thread.as_object_mut() else { return };
    match (thread.get_mut("replies"), is_parent) {
        (Some(Json::Array(replies)), true) => {
            if replies.iter().all(|known| uri_of(known) != Some(&post.uri)) {
                replies.insert(0, viewer.thread(post));
            }
        }
        (_, true) => drop(thread.insert("replies".into(), json!([viewer.thread(post)]))),
        (Some(Json::Array(replies)), false) => {
            replies.iter_mut().for_each(|below| hang(below, viewer, post, depth + 1));
        }
        (_, false) => {}
    }
}

/// The address that a post's `reply` has as its `root` or `parent`.
fn reply<'a>(post: &'a Json, which: &str) -> Option<&'a str> {
    post.get("reply")?.get(which)?.get("uri")?.as_str()
}

/// The address of the post in a feed's or thread's item.
fn uri_of(item: &Json) -> Option<&str> {
    item.get("post")?.get("uri")?.as_str()
}

/// When the post in a feed's item was indexed. Such times sort as texts.
fn time_of(item: &Json) -> &str {
    item.get("post").and_then(|post| post.get("indexedAt")).and_then(Json::as_str).unwrap_or_default()
}

fn kind(value: &Json) -> Option<&str> {
    value.get("$type")?.as_str()
}

fn each(answer: &mut Json, field: &str, change: impl Fn(&mut Json)) {
    if let Some(Json::Array(items)) = answer.get_mut(field) {
        items.iter_mut().for_each(change);
    }
}

/// Levels of a thread that are looked through; the parser of JSON allows no more than 128 of its own.
const MAX_DEPTH: usize = 128;
