//! What an account has written that an AppView does not show yet.

use std::collections::BTreeSet;

use murmuration_syntax::{AtIdentifier, AtUri, Did, Rev};
use serde_json::{Value as Json, json};

use super::munge::{self, View};
use super::view::{Quotes, Viewer, quote_of, quote_view};
use super::{agents, answer};
use crate::agent::internal::{InternalCall, ProxyCall, Recent};
use crate::config::Service;
use crate::host::Host;
use crate::http::{Body, Response};

impl Host<'_> {
    /// What an account has written since the revision that an AppView's answer knows of, if anything. When that cannot be
    /// found out, the answer is good enough as it is.
    pub async fn recent(&self, did: &Did, rev: Option<&str>) -> Option<Recent> {
        let rev = Rev::parse(rev?).ok()?;
        let answer = self.agents.call(did, InternalCall::Proxy(ProxyCall::Since { rev })).await.ok()?;
        agents::read(&answer).ok()?
    }

    /// An AppView's answer with what the account has written since; `None` if it is not one that is understood.
    pub async fn freshen(&self, view: View, did: &Did, recent: &Recent, body: &[u8]) -> Option<Response> {
        let mut answer: Json = serde_json::from_slice(body).ok()?;
        let quotes = self.quotes(did, recent).await;
        view.freshen(&mut answer, &self.viewer(did, recent, &quotes));
        Some(self.with_lag(recent, &answer))
    }

    /// The thread of a post of the account's own that an AppView has not found, if it was written since `rev`.
    pub async fn own_thread(
        &self,
        did: &Did,
        rev: Option<&str>,
        query: &[(String, String)],
    ) -> Option<Response> {
        let param = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let uri = AtUri::parse(param("uri")?).ok()?;
        let recent = self.recent(did, rev).await?;
        let is_own = match uri.authority() {
            AtIdentifier::Did(owner) => owner == did,
            AtIdentifier::Handle(handle) => *handle == recent.handle,
        };
        let uri = is_own.then(|| uri.path()).flatten().map(|path| AtUri::record(did, &path).to_string())?;
        let quotes = self.quotes(did, &recent).await;
        let mut thread = munge::own_thread(&uri, &self.viewer(did, &recent, &quotes))?;
        if let Some(parent) = munge::parent_of(&thread).map(str::to_owned) {
            let mut params = vec![("uri", parent), ("depth", "0".to_owned())];
            params.extend(param("parentHeight").map(|height| ("parentHeight", height.clone())));
            let above = self.ask_for(did, "app.bsky.feed.getPostThread", &params).await;
            if let (Some(mut above), Some(thread)) = (above, thread.as_object_mut())
                && let Some(parent) = above.get_mut("thread")
            {
                thread.insert("parent".into(), parent.take());
            }
        }
        Some(self.with_lag(&recent, &json!({ "thread": thread })))
    }

    fn viewer<'a>(&'a self, did: &'a Did, recent: &'a Recent, quotes: &'a Quotes) -> Viewer<'a> {
        let cdn_pattern = self.config.appview_cdn_pattern.as_deref();
        Viewer { did, recent, quotes, public_url: &self.config.public_url, cdn_pattern }
    }

    /// The answer, and by how many milliseconds the AppView is behind: since the oldest of what it lacks was written.
    fn with_lag(&self, recent: &Recent, answer: &Json) -> Response {
        let profile = recent.profile.iter().filter(|_| recent.profile_is_new);
        let oldest = recent.posts.iter().chain(profile).map(|written| written.at).min();
        let lag = oldest.map(|oldest| self.clock.now_micros().saturating_sub(oldest) / 1_000);
        let response = Response::ok(Body::Json(answer.to_string()));
        match lag {
            Some(lag) => response.with(answer::UPSTREAM_LAG, lag.to_string()),
            None => response,
        }
    }

    /// What the posts quote, as the AppView shows it. What it does not answer for is shown as not found.
    async fn quotes(&self, did: &Did, recent: &Recent) -> Quotes {
        let wanted: BTreeSet<&str> = recent.posts.iter().filter_map(|post| quote_of(&post.value)).collect();
        let mut posts = Vec::new();
        let mut quotes = Quotes::new();
        for uri in wanted {
            let collection =
                AtUri::parse(uri).ok().and_then(|uri| Some(uri.collection()?.as_str().to_owned()));
            match collection.as_deref() {
                Some("app.bsky.feed.post") => posts.push(("uris", uri.to_owned())),
                Some("app.bsky.feed.generator") => {
                    let params = [("feed", uri.to_owned())];
                    let found = self.ask_for(did, "app.bsky.feed.getFeedGenerator", &params).await;
                    let kind = "app.bsky.feed.defs#generatorView";
                    quotes.extend(typed(uri, kind, found.as_ref().and_then(|found| found.get("view"))));
                }
                Some("app.bsky.graph.list") => {
                    let params = [("list", uri.to_owned()), ("limit", "1".to_owned())];
                    let found = self.ask_for(did, "app.bsky.graph.getList", &params).await;
                    let kind = "app.bsky.graph.defs#listView";
                    quotes.extend(typed(uri, kind, found.as_ref().and_then(|found| found.get("list"))));
                }
                _ => {}
            }
        }
        if !posts.is_empty() {
            let found = self.ask_for(did, "app.bsky.feed.getPosts", &posts).await;
            let found = found.as_ref().and_then(|found| found.get("posts")?.as_array());
            for post in found.into_iter().flatten() {
                let uri = post.get("uri").and_then(Json::as_str);
                quotes.extend(uri.map(str::to_owned).zip(quote_view(post)));
            }
        }
        quotes
    }

    /// Asks this host's AppView in an account's name; `None` when it has no answer.
    async fn ask_for(&self, did: &Did, nsid: &str, params: &[(&str, String)]) -> Option<Json> {
        let appview: &Service = self.config.appview.as_ref()?;
        let token = self.service_token(did, &appview.did, nsid, false).await.ok()?;
        let (status, answer) = self.ask(appview, nsid, params, Some(&token)).await.ok()?;
        (status == 200).then_some(answer)
    }
}

/// A view of another lexicon's as a member of a union.
fn typed(uri: &str, kind: &str, view: Option<&Json>) -> Option<(String, Json)> {
    let mut view = view?.as_object()?.clone();
    view.insert("$type".into(), kind.into());
    Some((uri.to_owned(), view.into()))
}
