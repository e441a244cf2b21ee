//! The proxy: whom a request is for, who may send it, with what token, and what an AppView's answer becomes.

use murmuration_account::{Value as RecordValue, Write, WriteRequest};
use murmuration_data::{cbor, json as data_json};
use murmuration_syntax::{Did, Nsid, RepoPath, Tid};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::proxy::{Permit, Sending, Treatment, View, leads_away};
use murmuration_xrpc::http::{Body, Response};
use murmuration_xrpc::method::{Auth, Place};
use murmuration_xrpc::table;
use murmuration_xrpc::token::{self, Claims, Scope};
use serde_json::{Value, json};

use crate::world::ask::claims;
use crate::world::{World, block_on, did};

const APPVIEW: &str = "https://appview.example";
const APPVIEW_DID: &str = "did:web:appview.example";
const CHAT_DID: &str = "did:web:chat.example";
const SECONDS: u64 = 1_795_000_000;

struct Alice {
    world: World,
    did: Did,
}

impl Alice {
    fn new() -> Self {
        Self::with(&[("APPVIEW_URL", APPVIEW), ("APPVIEW_DID", APPVIEW_DID)])
    }

    fn with(variables: &[(&str, &str)]) -> Self {
        let world = World::with(variables);
        let did = did(&world.create("alice").1["did"]);
        let document = json!({ "id": CHAT_DID, "service": [
            { "id": "#bsky_chat", "type": "X", "serviceEndpoint": "https://chat.example" },
            { "id": "#path", "type": "X", "serviceEndpoint": "https://chat.example/path" },
        ] });
        world.serve("https://chat.example/.well-known/did.json", 200, &document);
        Self { world, did }
    }

    fn token(&self, scope: Scope) -> String {
        let aud = self.world.config.service_did();
        let claims = Claims {
            scope,
            sub: self.did.clone(),
            aud,
            iat: SECONDS,
            exp: SECONDS + 7200,
            jti: None,
            sid: None,
        };
        format!("Bearer {}", token::sign(&self.world.config.jwt_secret, &claims).unwrap())
    }

    fn permit(&self, scope: Scope, nsid: &str, proxy: Option<&str>) -> Result<Permit, XrpcError> {
        self.permit_with(Some(&self.token(scope)), nsid, proxy, &[])
    }

    fn permit_with(
        &self,
        authorization: Option<&str>,
        nsid: &str,
        proxy: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<Permit, XrpcError> {
        let (auth, treatment) = match table::find(nsid).map(|method| (method.auth, method.place)) {
            Some((auth, Place::Proxy(treatment))) => (auth, treatment),
            Some((auth @ Auth::AccessEvenTakendown, _)) => (auth, Treatment::Plain),
            _ => (Auth::Access, Treatment::Plain),
        };
        let nsid = Nsid::parse(nsid).unwrap();
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let sending = Sending { nsid: &nsid, auth, treatment, proxy, authorization, query: &query };
        block_on(self.world.host().permit(&sending))
    }

    fn write(&self, collection: &str, rkey: &str, value: &Value) -> String {
        let record = data_json::from_value(value).unwrap();
        let path = RepoPath::new(collection.parse().unwrap(), rkey.parse().unwrap());
        let value = RecordValue::new(cbor::encode(&record).unwrap(), Vec::new(), None);
        let write = Write::Put { path: path.clone(), value, swap: None };
        let request = WriteRequest { swap_commit: None, writes: vec![write], unlimited: false };
        let accounts = self.world.objects.accounts.borrow();
        let receipt = accounts[&self.did].write(&[request], self.world.now_millis() * 1_000).remove(0);
        assert!(receipt.unwrap().commit.is_some());
        format!("at://{}/{path}", self.did)
    }

    /// Writes a post a minute after whatever was before.
    fn post(&self, value: &Value) -> String {
        self.world.pass_minutes(1);
        let rkey = Tid::from_parts(self.world.now_millis() * 1_000, 7).to_string();
        self.write("app.bsky.feed.post", &rkey, value)
    }

    fn rev(&self) -> String {
        self.world.objects.accounts.borrow()[&self.did].head().unwrap().rev.to_string()
    }

    /// The revision of the commit that wrote a record.
    fn rev_of(&self, uri: &str) -> String {
        let path: RepoPath = uri.strip_prefix(&format!("at://{}/", self.did)).unwrap().parse().unwrap();
        self.world.objects.accounts.borrow()[&self.did].dated(&path).unwrap().unwrap().rev.to_string()
    }

    /// What an answer that knows of `rev` becomes; `None` when it stays as it is.
    fn freshen(&self, view: View, rev: &str, answer: &Value) -> Option<(Value, String)> {
        let host = self.world.host();
        let recent = block_on(host.recent(&self.did, Some(rev)))?;
        let body = answer.to_string().into_bytes();
        block_on(host.freshen(view, &self.did, &recent, &body)).map(read)
    }
}

fn read(response: Response) -> (Value, String) {
    let Body::Json(text) = response.body else { panic!("answers are JSON") };
    let lag = response.headers.iter().find(|(name, _)| *name == "atproto-upstream-lag");
    (serde_json::from_str(&text).unwrap(), lag.unwrap().1.clone())
}

fn told(outcome: Result<Permit, XrpcError>) -> (u16, String, String) {
    let error = outcome.unwrap_err();
    (error.status(), error.error().to_owned(), error.message().to_owned())
}

fn text(text: &str) -> Value {
    json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-11-23T04:00:00Z" })
}

fn item(uri: &str, author: &str, at: &str) -> Value {
    json!({ "post": { "uri": uri, "cid": "x", "author": { "did": author, "handle": "x.test" }, "record": {}, "indexedAt": at } })
}

fn uris(feed: &Value) -> Vec<&str> {
    feed.as_array().unwrap().iter().map(|item| item["post"]["uri"].as_str().unwrap()).collect()
}

#[test]
fn a_request_goes_to_the_appview_with_a_token_for_that_method_and_that_service() {
    let alice = Alice::new();
    let permit = alice.permit(Scope::Access, "app.bsky.feed.getPosts", None).unwrap();
    assert_eq!((permit.did.clone(), permit.origin.as_str()), (alice.did.clone(), APPVIEW));
    let made = claims(&permit.token);
    assert_eq!((&made["iss"], &made["aud"]), (&json!(alice.did), &json!(APPVIEW_DID)));
    assert_eq!(made["lxm"], "app.bsky.feed.getPosts");
    assert_eq!(made["exp"].as_u64().unwrap() - made["iat"].as_u64().unwrap(), 60);
    let again = alice.permit(Scope::Access, "app.bsky.feed.getPosts", None).unwrap();
    assert_ne!(claims(&again.token)["jti"], made["jti"], "a token may be used once");
}

#[test]
fn a_request_goes_to_the_service_that_its_header_names_by_the_document_of_its_did() {
    let alice = Alice::new();
    let header = format!("{CHAT_DID}#bsky_chat");
    let permit = alice.permit(Scope::Access, "chat.bsky.convo.listConvos", Some(&header)).unwrap();
    assert_eq!(permit.origin, "https://chat.example");
    assert_eq!(claims(&permit.token)["aud"], CHAT_DID, "the audience is the bare DID");
    let header = format!("{APPVIEW_DID}#bsky_appview");
    let permit = alice.permit(Scope::Access, "app.bsky.feed.getPosts", Some(&header)).unwrap();
    assert_eq!(permit.origin, APPVIEW);
    assert!(alice.world.network.asked.borrow().iter().all(|asked| !asked.url.starts_with(APPVIEW)));
}

#[test]
fn each_rule_of_the_header_has_its_own_words() {
    let alice = Alice::new();
    let ask = |header: &str| told(alice.permit(Scope::Access, "app.bsky.feed.getPosts", Some(header)));
    for (header, message) in [
        ("#bsky_appview", "no did specified in proxy header"),
        ("did:web:chat.example", "no service id specified in proxy header"),
        ("did:web:chat.example#", "no service id specified in proxy header"),
        ("did:web:chat.example#a#b", "invalid proxy header format"),
        ("did:web:chat.example#", "no service id specified in proxy header"),
        ("did:web:chat.example #bsky_chat", "proxy header cannot contain spaces"),
        ("chat.example#bsky_chat", "invalid did in proxy header"),
        ("did:example:abc#bsky_chat", "could not resolve proxy did"),
        ("did:web:chat.example#bsky_other", "could not resolve proxy did service url"),
        ("did:web:chat.example#path", "could not resolve proxy did service url"),
    ] {
        assert_eq!(ask(header), (400, "InvalidRequest".into(), message.into()), "{header}");
    }
    assert_eq!(ask("did:web:away.example#x").0, 502);
}

#[test]
fn who_does_not_show_a_token_makes_this_host_ask_nobody() {
    let alice = Alice::new();
    let before = alice.world.faults.calls.get();
    let header = format!("{CHAT_DID}#bsky_chat");
    for (token, status, error) in [
        (None, 401, "AuthMissing"),
        (Some("Bearer x.y.z"), 400, "InvalidToken"),
        (Some("Basic x"), 400, "InvalidToken"),
    ] {
        let refused = alice.permit_with(token, "chat.bsky.convo.listConvos", Some(&header), &[]);
        assert_eq!((told(refused).0, alice.world.faults.calls.get()), (status, before), "{error}");
    }
}

#[test]
fn app_passwords_read_no_private_messages() {
    let alice = Alice::new();
    let header = format!("{CHAT_DID}#bsky_chat");
    for nsid in [
        "chat.bsky.convo.listConvos",
        "Chat.Bsky.convo.getLog",
        "agent.comms.listInbox",
        "com.atproto.server.createAccount2",
    ] {
        let outcome = alice.permit(Scope::AppPassword, nsid, Some(&header));
        match nsid.ends_with('2') {
            true => assert!(outcome.is_ok(), "{nsid}"),
            false => assert_eq!(told(outcome), (400, "InvalidToken".into(), "Bad token method".into())),
        }
        assert!(alice.permit(Scope::PrivilegedAppPassword, nsid, Some(&header)).is_ok(), "{nsid}");
    }
}

#[test]
fn what_is_between_owner_and_host_is_sent_to_nobody() {
    let alice = Alice::new();
    let refused = |nsid| told(alice.permit(Scope::Access, nsid, None));
    for nsid in ["com.atproto.admin.sendEmail", "com.atproto.server.GETSESSION"] {
        assert_eq!(refused(nsid), (400, "InvalidToken".into(), "Bad token method".into()), "{nsid}");
    }
}

#[test]
fn a_method_that_nobody_serves_is_not_implemented() {
    let alice = Alice::with(&[]);
    for nsid in
        ["app.bsky.feed.getPosts", "com.atproto.moderation.createReport", "tools.ozone.team.listMembers"]
    {
        assert_eq!(told(alice.permit(Scope::Access, nsid, None)).0, 501, "{nsid}");
        assert_eq!(told(alice.permit_with(None, nsid, None, &[])).1, "MethodNotImplemented", "{nsid}");
    }
    let header = format!("{CHAT_DID}#bsky_chat");
    assert!(alice.permit(Scope::Access, "com.example.nothing", Some(&header)).is_ok());
}

#[test]
fn reports_and_moderation_have_services_of_their_own() {
    let ozone = [("MOD_SERVICE_URL", "https://mod.example/"), ("MOD_SERVICE_DID", "did:web:mod.example")];
    let alice = Alice::with(&ozone);
    for nsid in ["com.atproto.moderation.createReport", "tools.ozone.team.listMembers"] {
        assert_eq!(alice.permit(Scope::Access, nsid, None).unwrap().origin, "https://mod.example", "{nsid}");
    }
    let reports = [("REPORT_SERVICE_URL", "https://r.example"), ("REPORT_SERVICE_DID", "did:web:r.example")];
    let alice = Alice::with(&[ozone, reports].concat());
    let permit = alice.permit(Scope::Access, "com.atproto.moderation.createReport", None).unwrap();
    assert_eq!(
        (permit.origin.as_str(), &claims(&permit.token)["aud"]),
        ("https://r.example", &json!("did:web:r.example"))
    );
}

#[test]
fn who_is_taken_down_may_appeal_and_nothing_else() {
    let alice = Alice::with(&[
        ("APPVIEW_URL", APPVIEW),
        ("APPVIEW_DID", APPVIEW_DID),
        ("REPORT_SERVICE_URL", "https://r.example"),
        ("REPORT_SERVICE_DID", "did:web:r.example"),
    ]);
    let report = "com.atproto.moderation.createReport";
    assert!(alice.permit(Scope::Takendown, report, None).is_ok());
    assert_eq!(told(alice.permit(Scope::Takendown, "app.bsky.feed.getPosts", None)).0, 400);
    alice.world.objects.accounts.borrow()[&alice.did]
        .edit(&[], SECONDS * 1_000_000, |profile| profile.takedown = Some("x".into()))
        .unwrap();
    assert!(alice.permit(Scope::Access, report, None).is_ok());
    let refused = told(alice.permit(Scope::Access, "app.bsky.feed.getPosts", None));
    assert_eq!(refused.1, "AccountTakedown", "an old token does not help");
    // What the host itself would answer them is answered by nobody else.
    let named = format!("{APPVIEW_DID}#bsky_appview");
    let elsewhere = alice.permit(Scope::Takendown, "app.bsky.actor.getPreferences", Some(&named));
    assert_eq!(told(elsewhere).1, "AccountTakedown");
}

#[test]
fn a_feeds_generator_lets_the_appview_ask_for_the_account() {
    let alice = Alice::new();
    let feed = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.generator/hot";
    let record = format!(
        "{APPVIEW}/xrpc/com.atproto.repo.getRecord?repo=did%3Aplc%3Aaaaaaaaaaaaaaaaaaaaaaaaa&collection=app.bsky.feed.generator&rkey=hot"
    );
    let get = |query: &[(&str, &str)]| {
        alice.permit_with(Some(&alice.token(Scope::AppPassword)), "app.bsky.feed.getFeed", None, query)
    };
    assert_eq!(told(get(&[("feed", feed)])).0, 502);
    alice.world.serve(&record, 400, &json!({ "error": "RecordNotFound" }));
    assert_eq!(told(get(&[("feed", feed)])).1, "UnknownFeed");
    alice.world.serve(&record, 200, &json!({ "value": { "did": "did:web:feeds.example" } }));
    let permit = get(&[("feed", feed), ("limit", "30")]).unwrap();
    assert_eq!(permit.origin, APPVIEW);
    let made = claims(&permit.token);
    assert_eq!(
        (&made["aud"], &made["lxm"]),
        (&json!("did:web:feeds.example"), &json!("app.bsky.feed.getFeedSkeleton"))
    );
    assert_eq!(told(get(&[])).0, 400);
    assert_eq!(told(get(&[("feed", "at://x")])).0, 400);
}

#[test]
fn preferences_are_another_services_only_where_the_header_says_so() {
    let alice = Alice::new();
    let config = &alice.world.config;
    let preferences = "app.bsky.actor.getPreferences";
    assert!(!leads_away(config, preferences, None).unwrap());
    assert!(!leads_away(config, preferences, Some("did:web:appview.example#bsky_appview")).unwrap());
    assert!(leads_away(config, preferences, Some("did:web:other.example#bsky_appview")).unwrap());
    assert!(leads_away(config, preferences, Some("nonsense")).is_err());
    assert!(!leads_away(config, "com.atproto.server.getSession", Some("did:web:x.example#y")).unwrap());
}

#[test]
fn nothing_is_read_of_an_answer_that_knows_the_last_commit() {
    let alice = Alice::new();
    let first = alice.rev();
    alice.post(&text("one"));
    assert_eq!(alice.freshen(View::Timeline, &alice.rev(), &json!({ "feed": [] })), None);
    assert_eq!(alice.freshen(View::Timeline, "not a rev", &json!({ "feed": [] })), None);
    // A revision from before the account was made here is another host's.
    let before = Tid::from_parts((SECONDS - 1) * 1_000_000, 0).to_string();
    assert_eq!(alice.freshen(View::Timeline, &before, &json!({ "feed": [] })), None);
    assert!(
        alice.freshen(View::Timeline, &first, &json!({ "feed": [] })).is_some(),
        "the very first post, too"
    );
    assert!(alice.freshen(View::Timeline, &first, &json!("not a feed")).is_some());
    let last = alice.rev();
    alice.write("com.example.note", "a", &json!({ "$type": "com.example.note" }));
    assert_eq!(alice.freshen(View::Timeline, &last, &json!({ "feed": [] })), None, "no view shows a note");
}

#[test]
fn new_posts_stand_in_the_timeline_where_their_time_is() {
    let alice = Alice::new();
    let rev = alice.rev();
    // The world's clock stands at 2026-11-18T11:06:40Z, and each post is a minute later.
    let (one, two) = (alice.post(&text("one")), alice.post(&text("two")));
    let bob = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let feed = json!({ "cursor": "c", "feed": [
        item("at://b/late", bob, "2026-11-18T12:00:00.000Z"),
        item("at://b/between", bob, "2026-11-18T11:08:10.000Z"),
        item("at://b/early", bob, "2020-01-01T00:00:00.000Z"),
    ] });
    let (fresh, lag) = alice.freshen(View::Timeline, &rev, &feed).unwrap();
    assert_eq!(fresh["cursor"], "c");
    let shown = uris(&fresh["feed"]);
    assert_eq!(shown, ["at://b/late", &two, "at://b/between", &one, "at://b/early"]);
    assert_eq!(lag, "60000", "the first post is a minute old");
    let own = fresh["feed"].as_array().unwrap().iter().find(|item| item["post"]["uri"] == *two).unwrap();
    assert_eq!(own["post"]["record"], text("two"));
    assert_eq!(own["post"]["author"], json!({ "did": alice.did, "handle": "alice.test" }));
    assert_eq!(own["post"]["likeCount"], 0);

    let last_page = json!({ "feed": [item("at://b/future", bob, "2027-01-01T00:00:00.000Z")] });
    assert_eq!(uris(&alice.freshen(View::Timeline, &rev, &last_page).unwrap().0["feed"]), ["at://b/future"]);
    let known = json!({ "feed": [item(&two, bob, "2026-01-01T00:00:00.000Z")] });
    assert_eq!(uris(&alice.freshen(View::Timeline, &rev, &known).unwrap().0["feed"]), [&one, &two]);
    let (after_one, _) = alice.freshen(View::Timeline, &alice.rev_of(&one), &json!({ "feed": [] })).unwrap();
    assert_eq!(uris(&after_one["feed"]), [&two]);
}

#[test]
fn only_the_last_ten_posts_are_shown() {
    let alice = Alice::new();
    let rev = alice.rev();
    let all: Vec<_> = (0..13).map(|number| alice.post(&text(&number.to_string()))).collect();
    let (fresh, _) = alice.freshen(View::Timeline, &rev, &json!({ "feed": [] })).unwrap();
    assert_eq!(uris(&fresh["feed"]), all.iter().rev().take(10).collect::<Vec<_>>());
}

#[test]
fn posts_show_pictures_links_and_what_they_quote() {
    let alice = Alice::new();
    let rev = alice.rev();
    let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    let blob = json!({ "$type": "blob", "ref": { "$link": cid }, "mimeType": "image/png", "size": 1 });
    let url = format!("https://pds.example/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}", alice.did);
    let mut post = text("pictures");
    let quoted = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3jzfcijpj2z2a";
    let images = json!({ "$type": "app.bsky.embed.images", "images": [
        { "image": blob, "alt": "a", "aspectRatio": { "width": 1, "height": 2 } },
    ] });
    let record = json!({ "$type": "app.bsky.embed.record", "record": { "uri": quoted, "cid": cid } });
    post["embed"] = json!({ "$type": "app.bsky.embed.recordWithMedia", "media": images, "record": record });
    alice.post(&post);
    let embed = || {
        alice.freshen(View::Timeline, &rev, &json!({ "feed": [] })).unwrap().0["feed"][0]["post"]["embed"]
            .clone()
    };
    let shown = embed();
    assert_eq!(shown["$type"], "app.bsky.embed.recordWithMedia#view");
    let view = json!({ "$type": "app.bsky.embed.images#view", "images": [
        { "thumb": url, "fullsize": url, "alt": "a", "aspectRatio": { "width": 1, "height": 2 } },
    ] });
    assert_eq!(shown["media"], view);
    assert_eq!(shown["record"]["record"]["notFound"], true);
    let asked = format!(
        "{APPVIEW}/xrpc/app.bsky.feed.getPosts?uris=at%3A%2F%2Fdid%3Aplc%3Aaaaaaaaaaaaaaaaaaaaaaaaa%2Fapp.bsky.feed.post%2F3jzfcijpj2z2a"
    );
    let other = json!({ "uri": quoted, "cid": cid, "author": { "did": "d" }, "record": { "text": "q" }, "indexedAt": "i" });
    alice.world.serve(&asked, 200, &json!({ "posts": [other] }));
    let shown = embed();
    assert_eq!(shown["record"]["$type"], "app.bsky.embed.record#view");
    assert_eq!(shown["record"]["record"]["value"]["text"], "q");
    let last = alice.world.network.asked.borrow().last().unwrap().clone();
    let bearer = last.headers.iter().find(|(name, _)| name == "authorization").unwrap().1.clone();
    assert_eq!(claims(&bearer)["lxm"], "app.bsky.feed.getPosts");
}

#[test]
fn a_new_profile_shows_wherever_its_owner_does() {
    let alice = Alice::new();
    let rev = alice.rev();
    alice.world.pass_minutes(1);
    let profile = json!({ "$type": "app.bsky.actor.profile", "displayName": "Alice", "description": "new" });
    alice.write("app.bsky.actor.profile", "self", &profile);
    let own = json!({ "did": alice.did, "handle": "alice.test", "displayName": "Old", "avatar": "u", "banner": "b", "followersCount": 3 });
    let other = json!({ "did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "displayName": "Bob" });
    let new = json!({ "did": alice.did, "handle": "alice.test", "displayName": "Alice", "description": "new", "followersCount": 3 });
    assert_eq!(alice.freshen(View::Profile, &rev, &own).unwrap().0, new);
    assert_eq!(alice.freshen(View::Profile, &rev, &other).unwrap().0, other);
    let both = json!({ "profiles": [other, own] });
    assert_eq!(alice.freshen(View::Profiles, &rev, &both).unwrap().0, json!({ "profiles": [other, new] }));
    let likes = json!({ "feed": [item("at://a/1", alice.did.as_str(), "2026"), item("at://b/1", "did:plc:b", "2026")] });
    let (fresh, _) = alice.freshen(View::ActorLikes, &rev, &likes).unwrap();
    assert_eq!(fresh["feed"][0]["post"]["author"]["displayName"], "Alice");
    assert_eq!(fresh["feed"][1], likes["feed"][1]);
}

#[test]
fn own_posts_stand_in_ones_own_feed_and_in_nobody_elses() {
    let alice = Alice::new();
    let rev = alice.rev();
    let post = alice.post(&text("new"));
    let own = json!({ "feed": [item("at://a/old", alice.did.as_str(), "2026-01-01T00:00:00.000Z")] });
    assert_eq!(
        uris(&alice.freshen(View::AuthorFeed, &rev, &own).unwrap().0["feed"]),
        [post.as_str(), "at://a/old"]
    );
    let mut repost = json!({ "feed": [item("at://b/old", "did:plc:b", "2026-01-01T00:00:00.000Z")] });
    assert_eq!(alice.freshen(View::AuthorFeed, &rev, &repost).unwrap().0, repost);
    repost["feed"][0]["reason"] =
        json!({ "$type": "app.bsky.feed.defs#reasonRepost", "by": { "did": alice.did } });
    assert_eq!(uris(&alice.freshen(View::AuthorFeed, &rev, &repost).unwrap().0["feed"]).len(), 2);
    assert_eq!(
        alice.freshen(View::AuthorFeed, &rev, &json!({ "feed": [] })).unwrap().0,
        json!({ "feed": [] })
    );
}

#[test]
fn replies_hang_below_what_they_answer() {
    let alice = Alice::new();
    let rev = alice.rev();
    let answer = |root: &str, parent: &str| {
        let mut post = text("answer");
        let of = |uri: &str| json!({ "uri": uri, "cid": "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" });
        post["reply"] = json!({ "root": of(root), "parent": of(parent) });
        alice.post(&post)
    };
    let one = answer("at://b/root", "at://b/below");
    let two = answer("at://b/root", &one);
    answer("at://c/root", "at://b/below");
    let thread = json!({ "thread": {
        "$type": "app.bsky.feed.defs#threadViewPost",
        "post": { "uri": "at://b/root", "record": {} },
        "replies": [
            { "$type": "app.bsky.feed.defs#notFoundPost", "uri": "at://b/gone" },
            { "$type": "app.bsky.feed.defs#threadViewPost", "post": { "uri": "at://b/below", "record": {} } },
        ],
    } });
    let (fresh, _) = alice.freshen(View::PostThread, &rev, &thread).unwrap();
    let below = &fresh["thread"]["replies"][1];
    assert_eq!(below["replies"].as_array().unwrap().len(), 1, "{fresh}");
    assert_eq!(below["replies"][0]["post"]["uri"], *one);
    assert_eq!(below["replies"][0]["replies"][0]["post"]["uri"], *two);
    let gone = json!({ "thread": { "$type": "app.bsky.feed.defs#notFoundPost" } });
    assert_eq!(alice.freshen(View::PostThread, &rev, &gone).unwrap().0, gone);
}

#[test]
fn ones_own_new_post_is_found_before_the_appview_has_it() {
    let alice = Alice::new();
    let rev = alice.rev();
    let post = alice.post(&text("new"));
    let host = alice.world.host();
    let find = |uri: &str, rev: Option<&str>| {
        let query = [("uri".to_owned(), uri.to_owned()), ("parentHeight".to_owned(), "5".to_owned())];
        block_on(host.own_thread(&alice.did, rev, &query)).map(read)
    };
    let (found, _) = find(&post, Some(&rev)).unwrap();
    assert_eq!(found["thread"]["post"]["uri"], *post);
    let by_handle = post.replace(alice.did.as_str(), "alice.test");
    assert_eq!(find(&by_handle, Some(&rev)).unwrap().0, found);
    assert!(find(&post, None).is_none());
    assert!(find(&post, Some(&alice.rev())).is_none());
    assert!(find(&post.replace(alice.did.as_str(), "bob.test"), Some(&rev)).is_none());
    assert!(find("not a uri", Some(&rev)).is_none());

    let mut reply = text("reply");
    let parent = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3jzfcijpj2z2a";
    let of = json!({ "uri": parent, "cid": "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" });
    reply["reply"] = json!({ "root": of, "parent": of });
    let reply = alice.post(&reply);
    assert!(find(&reply, Some(&rev)).unwrap().0["thread"].get("parent").is_none());
    let asked = format!(
        "{APPVIEW}/xrpc/app.bsky.feed.getPostThread?uri=at%3A%2F%2Fdid%3Aplc%3Aaaaaaaaaaaaaaaaaaaaaaaaa%2Fapp.bsky.feed.post%2F3jzfcijpj2z2a&depth=0&parentHeight=5"
    );
    alice.world.serve(&asked, 200, &json!({ "thread": { "x": 1 } }));
    assert_eq!(find(&reply, Some(&rev)).unwrap().0["thread"]["parent"], json!({ "x": 1 }));
}

#[test]
fn other_handles_are_the_appviews_to_resolve() {
    let alice = Alice::new();
    let resolve = |handle| alice.world.get("com.atproto.identity.resolveHandle", &[("handle", handle)]);
    let url = |handle: &str| format!("{APPVIEW}/xrpc/com.atproto.identity.resolveHandle?handle={handle}");
    alice.world.serve(&url("bob.example.com"), 200, &json!({ "did": CHAT_DID }));
    alice.world.serve(&url("carol.example.com"), 400, &json!({ "error": "InvalidRequest" }));
    alice.world.serve(&url("dan.example.com"), 200, &json!({ "did": "nonsense" }));
    assert_eq!(resolve("bob.example.com"), (200, json!({ "did": CHAT_DID })));
    for unknown in ["carol.example.com", "dan.example.com", "away.example.com"] {
        let (status, answer) = resolve(unknown);
        assert_eq!((status, &answer["error"]), (400, &json!("InvalidRequest")), "{unknown}");
        assert_eq!(answer["message"], "Unable to resolve handle");
    }
    assert_eq!(resolve("alice.test"), (200, json!({ "did": alice.did })));
    assert_eq!(
        resolve("nobody.test").1["error"],
        "HandleNotFound",
        "this host's own names are its own to decide"
    );
}
