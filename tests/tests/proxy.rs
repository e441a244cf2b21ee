//! Requests on their way to other services: what a service gets to see, what its answer becomes, and what hostile ones
//! cannot do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use murmuration_tests::{Account, Client, Noted, Reply, Setup, StandIn, World, pause};
use serde_json::{Value, json};
use xtask::child::{Child, Echo};
use xtask::ports;
use xtask::tools::Tools;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn fine(_: &Noted) -> Reply {
    Reply::json(200, &json!({ "fine": true }))
}

/// A host with that AppView, and an account on it.
fn world(appview: &StandIn) -> (World, Account, Client) {
    let setup = Setup::new().variable("APPVIEW_URL", &appview.url());
    let world = setup.variable("APPVIEW_DID", "did:web:appview.example").start();
    let alice = world.account("alice");
    let client = world.client().with_token(&alice.access);
    (world, alice, client)
}

/// The claims of a JWT, unverified.
fn claims(noted: &Noted) -> Value {
    let token = noted.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    serde_json::from_slice(&base64url(token.split('.').nth(1).unwrap())).unwrap()
}

fn base64url(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            .iter()
            .position(|known| *known == byte)
    };
    let (mut bits, mut count, mut bytes) = (0_usize, 0, Vec::new());
    for byte in text.bytes() {
        bits = (bits << 6) | digit(byte).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes
}

fn told(answer: &murmuration_tests::Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_service_sees_what_it_needs_and_the_caller_what_it_may() {
    let appview = StandIn::start(fine);
    let (world, alice, client) = world(&appview);
    appview.script(|_| {
        Reply::json(200, &json!({ "posts": [] }))
            .with("atproto-repo-rev", "3jzfcijpj2z2a")
            .with("atproto-content-labelers", "did:web:labels.example")
            .with("content-language", "fi")
            .with("retry-after", "7")
            .with("set-cookie", "a=b")
            .with("x-powered-by", "stand-in")
            .with("access-control-allow-origin", "https://evil.example")
    });
    let path = "/xrpc/app.bsky.feed.getPosts?uris=at%3A%2F%2Fx&uris=b+c&x=%F0%9F%90%A6";
    let headers = [
        ("accept-encoding", "deflate"),
        ("accept-language", "fi, en"),
        ("atproto-accept-labelers", "did:web:labels.example;redact"),
        ("x-bsky-topics", "birds"),
        ("cookie", "secret=1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-anything", "else"),
        ("content-type", "text/plain"),
    ];
    let answer = client.send("GET", path, &headers, Vec::new()).unwrap().ok();
    let noted = appview.take().remove(0);
    assert_eq!((noted.method.as_str(), noted.path.as_str()), ("GET", path));
    let mut seen: Vec<&str> = noted.headers.iter().map(|(name, _)| name.as_str()).collect();
    seen.sort_unstable();
    let listed = [
        "accept-encoding",
        "accept-language",
        "atproto-accept-labelers",
        "authorization",
        "host",
        "user-agent",
        "x-bsky-topics",
    ];
    assert_eq!(seen, listed);
    for (name, value) in &headers[..4] {
        assert_eq!(noted.header(name), Some(*value));
    }
    let made = claims(&noted);
    assert_eq!((&made["iss"], &made["aud"]), (&json!(alice.did), &json!("did:web:appview.example")));
    assert_eq!(made["lxm"], "app.bsky.feed.getPosts");
    assert!(!noted.header("authorization").unwrap().contains(&alice.access));

    assert_eq!(answer.json(), json!({ "posts": [] }));
    for (name, value) in [
        ("content-type", "application/json"),
        ("atproto-repo-rev", "3jzfcijpj2z2a"),
        ("atproto-content-labelers", "did:web:labels.example"),
        ("content-language", "fi"),
        ("retry-after", "7"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "private"),
        ("vary", "Authorization"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!((answer.header("set-cookie"), answer.header("x-powered-by")), (None, None));

    let body = vec![7; 3_000_000];
    let _ = client.post_bytes("com.example.upload", "application/x-bytes", &body).ok();
    let noted = appview.take().remove(0);
    assert_eq!((noted.method.as_str(), noted.header("content-type")), ("POST", Some("application/x-bytes")));
    assert_eq!(noted.body, body);
    let packed = gzip(b"{}", 1);
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let _ = client.send("POST", "/xrpc/com.example.pack", &headers, packed.clone()).unwrap().ok();
    let noted = appview.take().remove(0);
    assert_eq!((noted.header("content-encoding"), &noted.body), (Some("gzip"), &packed));

    let head = client.send("HEAD", "/xrpc/app.bsky.feed.getPosts", &[], Vec::new()).unwrap();
    assert_eq!((head.status, head.body.len(), appview.take()[0].method.as_str()), (200, 0, "HEAD"));
    assert_eq!(told(&client.send("PUT", "/xrpc/app.bsky.feed.getPosts", &[], vec![1]).unwrap()).0, 400);
    assert_eq!(told(&world.client().get("app.bsky.feed.getPosts", &[])), (401, "AuthMissing".into()));
    assert!(appview.take().is_empty());

    // Preferences are this host's own, unless another service is named.
    let other = StandIn::start(fine);
    let (did, url) = (other.did(), other.url());
    other.script(move |noted| match noted.path.as_str() {
        "/.well-known/did.json" => Reply::json(
            200,
            &json!({ "id": did, "service": [
            { "id": "#bsky_appview", "type": "BskyAppView", "serviceEndpoint": url },
        ] }),
        ),
        _ => Reply::json(200, &json!({ "preferences": ["other"] })),
    });
    let named = format!("{}#bsky_appview", other.did());
    let preferences = "/xrpc/app.bsky.actor.getPreferences";
    let answer = client.send("GET", preferences, &[("atproto-proxy", &named)], Vec::new()).unwrap().ok();
    assert_eq!(answer.json()["preferences"], json!(["other"]));
    assert_eq!(claims(&other.take()[1])["aud"], other.did());
    let own = client.get("app.bsky.actor.getPreferences", &[]).ok();
    assert_eq!(own.json()["preferences"], json!([]));

    // Records of others are the AppView's, whoever asks.
    appview.script(|_| Reply::json(200, &json!({ "uri": "at://elsewhere", "value": {} })));
    for repo in ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "bob.example.com"] {
        let asked = [("repo", repo), ("collection", "app.bsky.feed.post"), ("rkey", "a")];
        let answer = world.client().get("com.atproto.repo.getRecord", &asked).ok();
        assert_eq!(answer.json()["uri"], "at://elsewhere");
        assert_eq!(appview.take()[0].header("authorization"), None);
    }
    let asked = [("repo", alice.did.as_str()), ("collection", "app.bsky.feed.post"), ("rkey", "a")];
    assert_eq!(told(&client.get("com.atproto.repo.getRecord", &asked)), (400, "RecordNotFound".into()));
    assert!(appview.take().is_empty());
}

#[test]
fn a_device_is_registered_with_the_service_that_the_body_names() {
    let appview = StandIn::start(fine);
    let (_world, alice, client) = world(&appview);
    let service = StandIn::start(fine);
    let (did, url) = (service.did(), service.url());
    service.script(move |noted| match noted.path.as_str() {
        "/.well-known/did.json" => {
            let notifier =
                json!({ "id": "#bsky_notif", "type": "BskyNotificationService", "serviceEndpoint": url });
            Reply::json(200, &json!({ "id": did, "service": [notifier] }))
        }
        _ => Reply::json(200, &json!({})),
    });
    let body = json!({ "serviceDid": service.did(), "token": "t", "platform": "web", "appId": "x.app" });
    let _ = client.post("app.bsky.notification.registerPush", &body).ok();
    let sent = service.take().remove(1);
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("POST", "/xrpc/app.bsky.notification.registerPush")
    );
    assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), body);
    let made = claims(&sent);
    assert_eq!((&made["iss"], &made["aud"]), (&json!(alice.did), &json!(service.did())));
    assert!(appview.take().is_empty());
}

#[test]
fn a_services_failures_are_told_and_its_bodies_stream() {
    let appview = StandIn::start(fine);
    let (world, alice, client) = world(&appview);
    let get = || client.get("app.bsky.feed.getPosts", &[]);
    for status in [500, 501, 503] {
        appview.script(move |_| Reply::json(status, &json!({ "error": "Oops", "message": "m" })));
        assert_eq!(told(&get()), (502, "UpstreamFailure".into()), "{status}");
    }
    appview.script(|_| {
        let refusal = json!({ "error": "BlockedActor", "message": "no" });
        Reply::json(400, &refusal).with("atproto-repo-rev", "r").with("x-anything", "y")
    });
    let answer = get();
    assert_eq!((told(&answer), &answer.json()["message"]), ((400, "BlockedActor".into()), &json!("no")));
    assert_eq!((answer.header("atproto-repo-rev"), answer.header("x-anything")), (Some("r"), None));
    appview.script(|_| {
        Reply::Answer(429, vec![("content-type", "text/html".into())], b"<html>".to_vec())
            .with("retry-after", "9")
    });
    let answer = get();
    assert_eq!((told(&answer), answer.header("retry-after")), ((429, "RateLimitExceeded".into()), Some("9")));

    let decoy = StandIn::start(fine);
    let location = format!("{}/secret", decoy.url());
    appview.script(move |_| Reply::Answer(302, vec![("location", location.clone())], Vec::new()));
    assert_eq!(told(&get()), (502, "UpstreamFailure".into()));
    // Neither a service's, nor a DID document's.
    let (other, location) = (StandIn::start(fine), format!("{}/secret", decoy.url()));
    other.script(move |_| Reply::Answer(301, vec![("location", location.clone())], Vec::new()));
    let named = format!("{}#x", other.did());
    let answer =
        client.send("GET", "/xrpc/com.example.get", &[("atproto-proxy", &named)], Vec::new()).unwrap();
    assert!((400..503).contains(&answer.status), "{}", answer.text());
    assert!(decoy.take().is_empty(), "no redirect is followed");

    drop(appview.take());
    appview.script(|_| Reply::Cut);
    assert_eq!(told(&get()), (502, "UpstreamFailure".into()));
    assert_eq!(appview.take().len(), 2, "a query is sent once more");
    let posted = client.post("com.example.write", &json!({ "a": 1 }));
    assert_eq!(
        (told(&posted), appview.take().len()),
        ((502, "UpstreamFailure".into()), 1),
        "a procedure is not"
    );

    // The second half of an answer is made only when the first has arrived.
    let (arrived, wait) = mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    appview.script(move |_| {
        let (mut part, wait) = (0, Arc::clone(&wait));
        Reply::Raw(Box::new(move || {
            part += 1;
            match part {
                1 => Some(b"HTTP/1.1 200 OK\r\ncontent-type: text/x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec()),
                2 => {
                    wait.lock().unwrap().recv_timeout(PATIENCE).ok()?;
                    Some(b"6\r\nsecond\r\n0\r\n\r\n".to_vec())
                }
                _ => None,
            }
        }))
    });
    let mut stream = TcpStream::connect(world.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET /xrpc/com.example.slow HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        world.address(),
        alice.access
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !seen.windows(5).any(|window| window == b"first") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    arrived.send(()).unwrap();
    stream.read_to_end(&mut seen).unwrap();
    assert!(String::from_utf8_lossy(&seen).contains("second"));
}

#[test]
fn what_was_written_is_read_although_the_appview_does_not_have_it_yet() {
    let appview = StandIn::start(fine);
    let (_world, alice, client) = world(&appview);
    let post = |text: &str| {
        let record =
            json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-11-23T04:00:00Z" });
        let body = json!({ "repo": alice.did, "collection": "app.bsky.feed.post", "record": record });
        let made = client.post("com.atproto.repo.createRecord", &body).ok().json();
        (made["uri"].as_str().unwrap().to_owned(), made["commit"]["rev"].as_str().unwrap().to_owned())
    };
    let (old, rev) = post("old");
    let (new, last) = post("new");
    let known = json!({ "cursor": "c", "feed": [{ "post": {
        "uri": old, "author": { "did": alice.did }, "record": {}, "indexedAt": "2020-01-01T00:00:00.000Z",
    } }] });
    let says = |rev: &str, status, body: &Value| {
        let (rev, body) = (rev.to_owned(), body.clone());
        appview.script(move |_| Reply::json(status, &body).with("atproto-repo-rev", &rev));
    };
    says(&rev, 200, &known);
    for nsid in ["app.bsky.feed.getTimeline", "app.bsky.feed.getAuthorFeed"] {
        let answer = client.get(nsid, &[]).ok();
        let feed = answer.json()["feed"].as_array().unwrap().clone();
        let uris: Vec<_> = feed.iter().map(|item| item["post"]["uri"].as_str().unwrap()).collect();
        assert_eq!(uris, [&new, &old], "{nsid}");
        assert_eq!(feed[0]["post"]["author"]["handle"], "alice.test");
        assert!(answer.header("atproto-upstream-lag").unwrap().parse::<u64>().is_ok());
        assert_eq!(answer.header("atproto-repo-rev"), Some(rev.as_str()));
    }
    says(&last, 200, &known);
    let answer = client.get("app.bsky.feed.getTimeline", &[]).ok();
    assert_eq!((answer.json(), answer.header("atproto-upstream-lag")), (known.clone(), None));

    // As a real AppView packs it.
    let (packed, at) = (gzip(known.to_string().as_bytes(), 1), rev.clone());
    appview.script(move |_| {
        let headers = vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("content-encoding", "gzip".to_owned()),
        ];
        Reply::Answer(200, headers, packed.clone()).with("atproto-repo-rev", &at)
    });
    let feed = client.get("app.bsky.feed.getTimeline", &[]).ok().json()["feed"].clone();
    assert_eq!(feed[0]["post"]["uri"], *new);
    let (packed, at) = (gzip(known.to_string().as_bytes(), 1), last.clone());
    appview.script(move |_| {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("content-encoding", "gzip".to_owned())];
        Reply::Answer(200, headers, packed.clone()).with("atproto-repo-rev", &at)
    });
    assert_eq!(client.get("app.bsky.feed.getTimeline", &[]).ok().json(), known);

    says(&rev, 400, &json!({ "error": "NotFound", "message": "Post not found" }));
    let thread = client.get("app.bsky.feed.getPostThread", &[("uri", &new)]).ok();
    assert_eq!(thread.json()["thread"]["post"]["uri"], *new);
    assert_eq!(told(&client.get("app.bsky.feed.getPostThread", &[("uri", &old)])), (400, "NotFound".into()));

    let profile = json!({ "$type": "app.bsky.actor.profile", "displayName": "Alice" });
    let body = json!({ "repo": alice.did, "collection": "app.bsky.actor.profile", "rkey": "self", "record": profile });
    let _ = client.post("com.atproto.repo.putRecord", &body).ok();
    says(&rev, 200, &json!({ "did": alice.did, "displayName": "old", "followersCount": 3 }));
    let view = client.get("app.bsky.actor.getProfile", &[("actor", &alice.did)]).ok().json();
    assert_eq!(view, json!({ "did": alice.did, "displayName": "Alice", "followersCount": 3 }));

    // What is too long to be read passes as it is.
    let mut long = known.clone();
    long["padding"] = "x".repeat(3_000_000).into();
    says(&rev, 200, &long);
    assert_eq!(client.get("app.bsky.feed.getTimeline", &[]).ok().json(), long);
}

#[test]
fn regress_atproto_893_a_hostile_service_costs_ten_seconds_and_ten_megabytes_at_the_most() {
    let appview = StandIn::start(fine);
    let (_world, _alice, client) = world(&appview);
    let get = || client.send("GET", "/xrpc/com.example.get", &[], Vec::new());

    // A gigabyte, and more: it is cut off, and the other side notices.
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    appview.script(move |_| {
        let (mut begun, count) = (false, Arc::clone(&count));
        Reply::Raw(Box::new(move || {
            if !std::mem::replace(&mut begun, true) {
                return Some(b"HTTP/1.1 200 OK\r\ncontent-type: text/x\r\n\r\n".to_vec());
            }
            let total = count.fetch_add(1 << 16, Ordering::Relaxed);
            (total < 1 << 30).then(|| vec![b'x'; 1 << 16])
        }))
    });
    assert!(get().is_err(), "the answer breaks off");
    let total = sent.load(Ordering::Relaxed);
    assert!((10 << 20..1 << 27).contains(&total), "{total} bytes were taken");

    // A hundred megabytes in a hundred kilobytes.
    let bomb = gzip(&vec![0; 1 << 20], 100);
    assert!(bomb.len() < 1 << 18);
    let packed = bomb.clone();
    appview.script(move |_| Reply::Answer(200, vec![("content-encoding", "gzip".into())], packed.clone()));
    assert!(client.send("GET", "/xrpc/com.example.get", &[("accept-encoding", "gzip")], Vec::new()).is_err());

    // The same as a DID document, and one without an end.
    let other =
        StandIn::start(move |_| Reply::Answer(200, vec![("content-encoding", "gzip".into())], bomb.clone()));
    let named = format!("{}#x", other.did());
    let ask = |named: &str| {
        client.send("GET", "/xrpc/com.example.get", &[("atproto-proxy", named)], Vec::new()).unwrap()
    };
    assert!((400..503).contains(&ask(&named).status));
    other.script(|_| {
        let mut begun = false;
        Reply::Raw(Box::new(move || match std::mem::replace(&mut begun, true) {
            false => Some(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
            true => Some(vec![b' '; 1 << 16]),
        }))
    });
    assert!((400..503).contains(&ask(&named).status));

    // Letter by letter, for ever: headers of a service, and a DID document.
    let drip = |head: &'static [u8]| {
        move |_: &Noted| {
            let mut begun = false;
            Reply::Raw(Box::new(move || {
                pause(500);
                Some(if std::mem::replace(&mut begun, true) { b"x".to_vec() } else { head.to_vec() })
            }))
        }
    };
    appview.script(drip(b"HTTP/1.1 200 OK\r\nx: "));
    other.script(drip(b"HTTP/1.1 200 OK\r\n\r\n"));
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(told(&get().unwrap()), (502, "UpstreamFailure".into())));
        scope.spawn(|| assert_eq!(ask(&named).status, 502));
    });
    let took = start.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(25)).contains(&took), "{took:?}");

    // The endpoint of a service is an origin and nothing else.
    for endpoint in
        ["file:///etc/passwd", "http://user@localhost", "http://localhost/x", "ftp://localhost", "localhost"]
    {
        let other = StandIn::start(fine);
        let did = other.did();
        other.script(move |_| {
            let service = json!({ "id": "#x", "type": "X", "serviceEndpoint": endpoint });
            Reply::json(200, &json!({ "id": did, "service": [service] }))
        });
        let answer = ask(&format!("{}#x", other.did()));
        assert_eq!(answer.json()["message"], "could not resolve proxy did service url", "{endpoint}");
    }
}

#[test]
fn regress_atproto_893_nothing_private_is_fetched_where_development_does_not_say_so() {
    let service = StandIn::start(fine);
    let world = Setup::new()
        .variable("APPVIEW_URL", &service.url())
        .variable("APPVIEW_DID", "did:web:appview.example")
        .variable("ALLOW_PRIVATE_NETWORK", "false")
        .start();
    // Even the operator's own word does not lead to a private address; and accounts need no network but this.
    let asked =
        [("repo", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), ("collection", "app.bsky.feed.post"), ("rkey", "a")];
    let answer = world.client().get("com.atproto.repo.getRecord", &asked);
    assert_eq!(told(&answer), (400, "InvalidRequest".into()));
    for handle in ["localhost.example.com", "a.localhost"] {
        let _ = world.client().get("com.atproto.identity.resolveHandle", &[("handle", handle)]);
    }
    assert!(service.take().is_empty());
}

/// What the Worker's guard cannot see: where a name leads. A Worker without a guard, on the network that a host has where
/// development does not say otherwise.
#[test]
fn regress_atproto_2854_the_runtime_refuses_a_name_that_leads_to_a_private_address() {
    let service = StandIn::start(fine);
    let folder = std::env::temp_dir().join(format!("murmuration-network-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("worker.js"), UNGUARDED).unwrap();
    for (networks, fetched) in [(r#""public""#, false), (r#""public", "private""#, true)] {
        let port = ports::free(None).unwrap();
        let config = NETWORK.replace("NETWORKS", networks).replace("PORT", &port.to_string());
        std::fs::write(folder.join("config.capnp"), config).unwrap();
        let mut command = Command::new(Tools::to_run(&xtask::root()).unwrap().workerd());
        command.args(["serve", "--control-fd=1"]).arg(folder.join("config.capnp"));
        let mut workerd = Child::start("workerd", command, Echo::Keep).unwrap();
        workerd.event(PATIENCE).unwrap();
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let url = service.url().replace("localhost", host);
            let text = client.path(&format!("/?{url}/")).text();
            assert_eq!(text, fetched.to_string(), "{host} over {networks}");
        }
        assert_eq!(service.take().is_empty(), !fetched);
        workerd.kill();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

const UNGUARDED: &str = "
export default {
  async fetch(request) {
    const url = request.url.slice(request.url.indexOf('?') + 1);
    return new Response(String(await fetch(url).then(() => true, () => false)));
  },
};
";

const NETWORK: &str = r#"
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "internet", network = (allow = [NETWORKS]))],
  sockets = [(name = "http", address = "127.0.0.1:PORT", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-04-22",
);
"#;

/// `times` times `bytes`, packed.
fn gzip(bytes: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..times {
        encoder.write_all(bytes).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_body_that_drips_is_cut_when_its_time_is_over_though_no_pause_is_long() {
    let world = World::start();
    let drops = |count: usize| {
        move |_: &Noted| {
            let mut sent = 0;
            Reply::Raw(Box::new(move || {
                if sent == 0 {
                    sent = 1;
                    return Some(b"HTTP/1.1 200 OK\r\ncontent-type: text/x\r\n\r\n".to_vec());
                }
                pause(200);
                sent += 1;
                (sent <= count).then(|| b"x".to_vec())
            }))
        }
    };
    let other = StandIn::start(drops(6));
    let path = format!("/test/pass?url={}/&ms=20000&total=3000", other.url());
    assert_eq!(world.client().path(&path).ok().text(), "xxxxx");
    other.script(drops(usize::MAX));
    let start = Instant::now();
    assert!(world.client().try_path(&path).is_err(), "the answer breaks off");
    let took = start.elapsed();
    assert!((Duration::from_millis(2900)..Duration::from_secs(15)).contains(&took), "{took:?}");
}

#[test]
fn a_host_that_strangers_name_is_asked_so_often_and_no_more() {
    let other = StandIn::start(|_| Reply::json(500, &json!({})));
    let world = Setup::new().variable("RATE_LIMITS", "on").start();
    let (client, did) = (world.client(), other.did());
    let ask = || client.get("com.atproto.identity.resolveDid", &[("did", &did)]);
    let mut answer = ask();
    for _ in 0..1_300 {
        assert_eq!(told(&answer), (502, "UpstreamFailure".into()));
        if answer.text().contains("too often") {
            break;
        }
        answer = ask();
    }
    assert!(answer.text().contains("localhost was asked too often"), "{}", answer.text());
    assert_eq!(other.take().len(), 1_200);
    assert!(ask().text().contains("too often"));
    assert!(other.take().is_empty(), "nothing more is sent");
}
