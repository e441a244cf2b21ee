//! An account's own profile and posts, as an AppView would show them if it had them already.

use std::collections::BTreeMap;

use murmuration_firehose::Timestamp;
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json};

use crate::agent::internal::{Recent, Written};

/// What a post quotes, as the AppView shows it, by its address.
pub type Quotes = BTreeMap<String, Json>;

/// Shows what one account has written.
pub struct Viewer<'a> {
    /// Whose it is.
    pub did: &'a Did,
    /// What was written.
    pub recent: &'a Recent,
    /// What the posts quote.
    pub quotes: &'a Quotes,
    /// This host's origin.
    pub public_url: &'a str,
    /// The AppView's pattern of a picture's address, if the operator has given one: see [`Viewer::picture`].
    pub cdn_pattern: Option<&'a str>,
}

impl Viewer<'_> {
    /// A post as `app.bsky.feed.defs#postView`. Nobody has answered it yet.
    #[must_use]
    pub fn post(&self, post: &Written) -> Json {
        let mut view = Map::new();
        view.insert("uri".into(), post.uri.as_str().into());
        view.insert("cid".into(), post.cid.as_str().into());
        view.insert("author".into(), self.author());
        view.insert("record".into(), post.value.clone());
        if let Some(embed) = post.value.get("embed").and_then(|embed| self.embed(embed)) {
            view.insert("embed".into(), embed);
        }
        for count in ["likeCount", "replyCount", "repostCount", "quoteCount"] {
            view.insert(count.into(), 0.into());
        }
        view.insert("indexedAt".into(), indexed_at(post).into());
        view.into()
    }

    /// A post as `app.bsky.feed.defs#threadViewPost`.
    #[must_use]
    pub fn thread(&self, post: &Written) -> Json {
        json!({ "$type": THREAD_POST, "post": self.post(post) })
    }

    /// Brings name and picture of a profile view of the account up to date; of a `detailed` one also the rest.
    pub fn update_profile(&self, view: &mut Json, detailed: bool) {
        let (Some(profile), Some(view)) = (self.recent.profile.as_ref(), view.as_object_mut()) else {
            return;
        };
        let text = |field: &str| profile.value.get(field).filter(|value| value.is_string()).cloned();
        let mut set = |field: &str, value: Option<Json>| match value {
            Some(value) => drop(view.insert(field.into(), value)),
            None => drop(view.remove(field)),
        };
        set("displayName", text("displayName"));
        set("avatar", self.picture_in(&profile.value, "avatar", "avatar"));
        if detailed {
            set("description", text("description"));
            set("banner", self.picture_in(&profile.value, "banner", "banner"));
        }
    }

    /// The account as `app.bsky.actor.defs#profileViewBasic`.
    fn author(&self) -> Json {
        let mut view = json!({ "did": self.did, "handle": self.recent.handle });
        self.update_profile(&mut view, false);
        view
    }

    fn embed(&self, embed: &Json) -> Option<Json> {
        match kind(embed)? {
            IMAGES | EXTERNAL => self.media(embed),
            RECORD => self.quoted(embed),
            RECORD_WITH_MEDIA => Some(json!({
                "$type": format!("{RECORD_WITH_MEDIA}#view"),
                "record": self.quoted(embed.get("record")?)?,
                "media": self.media(embed.get("media")?)?,
            })),
            _ => None,
        }
    }

    fn media(&self, embed: &Json) -> Option<Json> {
        match kind(embed)? {
            IMAGES => {
                let images: Option<Vec<Json>> =
                    embed.get("images")?.as_array()?.iter().map(|image| self.image(image)).collect();
                Some(json!({ "$type": format!("{IMAGES}#view"), "images": images? }))
            }
            EXTERNAL => {
                let external = embed.get("external")?;
                let mut view = Map::new();
                for field in ["uri", "title", "description"] {
                    view.insert(field.into(), external.get(field)?.clone());
                }
                view.extend(
                    self.picture_in(external, "thumb", "feed_thumbnail").map(|url| ("thumb".to_owned(), url)),
                );
                Some(json!({ "$type": format!("{EXTERNAL}#view"), "external": view }))
            }
            _ => None,
        }
    }

    fn image(&self, image: &Json) -> Option<Json> {
        let mut view = Map::new();
        view.insert("thumb".into(), self.picture_in(image, "image", "feed_thumbnail")?);
        view.insert("fullsize".into(), self.picture_in(image, "image", "feed_fullsize")?);
        view.insert("alt".into(), image.get("alt")?.clone());
        view.extend(image.get("aspectRatio").map(|ratio| ("aspectRatio".to_owned(), ratio.clone())));
        Some(view.into())
    }

    fn quoted(&self, embed: &Json) -> Option<Json> {
        let uri = quoted_uri(embed)?;
        let record = self.quotes.get(uri).cloned().unwrap_or_else(
            || json!({ "$type": "app.bsky.embed.record#viewNotFound", "uri": uri, "notFound": true }),
        );
        Some(json!({ "$type": format!("{RECORD}#view"), "record": record }))
    }

    /// The address of the picture that a blob in `field` is, in one of the AppView's sizes.
    fn picture_in(&self, holder: &Json, field: &str, size: &str) -> Option<Json> {
        let blob = holder.get(field)?;
        let link = blob.get("ref").and_then(|link| link.get("$link")).or_else(|| blob.get("cid"))?;
        Some(self.picture(size, link.as_str()?).into())
    }

    /// Of the AppView's pattern, where there is one, the three `%s` are size, DID and CID; else this host shows the blob as
    /// it is.
    fn picture(&self, size: &str, cid: &str) -> String {
        let did = self.did.as_str();
        match self.cdn_pattern {
            Some(pattern) => {
                [size, did, cid].iter().fold(pattern.to_owned(), |url, part| url.replacen("%s", part, 1))
            }
            None => format!("{}/xrpc/com.atproto.sync.getBlob?did={did}&cid={cid}", self.public_url),
        }
    }
}

/// The address of what a post quotes, if it quotes anything.
#[must_use]
pub fn quote_of(post: &Json) -> Option<&str> {
    let embed = post.get("embed")?;
    match kind(embed)? {
        RECORD => quoted_uri(embed),
        RECORD_WITH_MEDIA => quoted_uri(embed.get("record")?),
        _ => None,
    }
}

/// A post of the AppView's as what a quote of it shows.
#[must_use]
pub fn quote_view(post: &Json) -> Option<Json> {
    let mut view = Map::new();
    view.insert("$type".into(), "app.bsky.embed.record#viewRecord".into());
    for (field, from) in [
        ("uri", "uri"),
        ("cid", "cid"),
        ("author", "author"),
        ("value", "record"),
        ("indexedAt", "indexedAt"),
    ] {
        view.insert(field.into(), post.get(from)?.clone());
    }
    view.extend(post.get("labels").map(|labels| ("labels".to_owned(), labels.clone())));
    view.extend(post.get("embed").map(|embed| ("embeds".to_owned(), json!([embed]))));
    Some(view.into())
}

/// When a record was written, as an AppView would say it.
#[must_use]
pub fn indexed_at(written: &Written) -> String {
    Timestamp::from_micros(written.at).as_str().to_owned()
}

fn quoted_uri(embed: &Json) -> Option<&str> {
    embed.get("record")?.get("uri")?.as_str()
}

fn kind(value: &Json) -> Option<&str> {
    value.get("$type")?.as_str()
}

/// The type of a post in a thread.
pub const THREAD_POST: &str = "app.bsky.feed.defs#threadViewPost";
const IMAGES: &str = "app.bsky.embed.images";
const EXTERNAL: &str = "app.bsky.embed.external";
const RECORD: &str = "app.bsky.embed.record";
const RECORD_WITH_MEDIA: &str = "app.bsky.embed.recordWithMedia";
