//! The methods of an agent, as a client sees them: requests in, answers out, over SQLite.

use std::cell::Cell;
use std::rc::Rc;

use murmuration_account::Account;
use murmuration_keys::{Curve, SigningKey};
use murmuration_lexicons::Catalog;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Clock, Entropy};
use murmuration_repo::verify_proof;
use murmuration_syntax::RepoPath;
use murmuration_xrpc::agent::internal::{self, AccountSeed, InternalCall};
use murmuration_xrpc::agent::{self, Context, Reply};
use murmuration_xrpc::http::{Body, Request, Response, Verb};
use murmuration_xrpc::method::Place;
use murmuration_xrpc::{Config, XrpcError, table};
use serde_json::{Value, json};

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const POST: &str = "app.bsky.feed.post";
const NOTE: &str = "com.example.note";

struct Hand(Cell<u64>);

impl Clock for Hand {
    fn now_micros(&self) -> u64 {
        self.0.set(self.0.get() + 10);
        self.0.get()
    }
}

struct Counter(Cell<u8>);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        buffer.fill(self.0.get());
    }
}

struct Host {
    account: Account,
    config: Config,
    clock: Hand,
    entropy: Counter,
    access: String,
    refresh: String,
}

fn config() -> Config {
    Config::read(|name| {
        let value = match name {
            "PDS_HOSTNAME" => "pds.example",
            "PUBLIC_URL" => "https://pds.example",
            "PLC_URL" => "https://plc.example",
            "JWT_SECRET" => "a secret of sixteen bytes or more",
            "ADMIN_PASSWORD" => "admin",
            "KEK" | "PLC_ROTATION_KEY" => "0101010101010101010101010101010101010101010101010101010101010101",
            _ => return None,
        };
        Some(value.to_owned())
    })
    .unwrap()
}

impl Host {
    fn new() -> Self {
        let config = config();
        let account = Account::new(Rc::new(SqliteStore::open().unwrap()), config.kek.clone(), true);
        let (clock, entropy) = (Hand(Cell::new(1_795_000_000_000_000)), Counter(Cell::new(0)));
        let (access, refresh) = (String::new(), String::new());
        let mut host = Self { account, config, clock, entropy, access, refresh };
        let seed = AccountSeed {
            did: DID.parse().unwrap(),
            handle: "alice.test".parse().unwrap(),
            email: Some("alice@example.com".into()),
            password: "a password".into(),
            signing_key: "02".repeat(32),
            deactivated: false,
        };
        let tokens = body(internal::answer(&host.context(), InternalCall::CreateAccount(seed)).unwrap());
        host.access = tokens["accessJwt"].as_str().unwrap().into();
        host.refresh = tokens["refreshJwt"].as_str().unwrap().into();
        host
    }

    fn context(&self) -> Context<'_> {
        Context {
            account: &self.account,
            config: &self.config,
            catalog: Catalog::builtin(),
            clock: &self.clock,
            entropy: &self.entropy,
            embedder: &agent::no_embedder,
            readers: &[],
        }
    }

    fn send(&self, request: &Request) -> Result<Response, XrpcError> {
        let method = table::find(&request.nsid).unwrap();
        let Place::Agent { run, .. } = method.place else { panic!("{} is not an agent's", request.nsid) };
        match agent::answer(&self.context(), method, run, request)? {
            Reply::Now(response) | Reply::Changed(response) | Reply::Sent(response, _) => Ok(response),
            Reply::AfterWrite(writes, finish) => {
                finish(self.account.write(&[writes], self.clock.now_micros()).remove(0)?)
            }
        }
    }

    fn post(&self, nsid: &str, input: &Value) -> Result<Value, XrpcError> {
        self.send(&post(nsid, Some(&self.access), input)).map(body)
    }

    fn get(&self, nsid: &str, query: &[(&str, &str)]) -> Result<Value, XrpcError> {
        self.send(&get(nsid, Some(&self.access), query)).map(body)
    }

    fn with_refresh(&self, nsid: &str, token: &str) -> Result<Value, XrpcError> {
        let mut request = post(nsid, Some(token), &Value::Null);
        (request.body, request.content_type) = (Vec::new(), None);
        self.send(&request).map(body)
    }
}

fn post(nsid: &str, token: Option<&str>, input: &Value) -> Request {
    Request {
        verb: Verb::Post,
        nsid: nsid.into(),
        query: Vec::new(),
        authorization: token.map(|token| format!("Bearer {token}")),
        content_type: Some("application/json".into()),
        body: input.to_string().into_bytes(),
    }
}

fn get(nsid: &str, token: Option<&str>, query: &[(&str, &str)]) -> Request {
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let authorization = token.map(|token| format!("Bearer {token}"));
    Request { verb: Verb::Get, nsid: nsid.into(), query, authorization, content_type: None, body: Vec::new() }
}

fn body(response: Response) -> Value {
    match response.body {
        Body::Json(text) => serde_json::from_str(&text).unwrap(),
        Body::Empty => Value::Null,
        _ => panic!("not JSON"),
    }
}

fn a_post(text: &str) -> Value {
    json!({ "$type": POST, "text": text, "createdAt": "2026-11-23T04:00:00.000Z" })
}

fn fails(outcome: Result<Value, XrpcError>, status: u16, error: &str) -> String {
    let refusal = outcome.unwrap_err();
    assert_eq!((refusal.status(), refusal.error()), (status, error), "{refusal}");
    refusal.message().to_owned()
}

#[test]
fn a_record_is_created_read_changed_and_deleted() {
    let host = Host::new();
    let input = json!({ "repo": "alice.test", "collection": POST, "record": a_post("one") });
    let made = host.post("com.atproto.repo.createRecord", &input).unwrap();
    assert_eq!(made["validationStatus"], "valid");
    let uri = made["uri"].as_str().unwrap();
    let rkey = uri.strip_prefix(&format!("at://{DID}/{POST}/")).unwrap();
    let at = [("repo", DID), ("collection", POST), ("rkey", rkey)];
    let read = host.get("com.atproto.repo.getRecord", &at).unwrap();
    assert_eq!((&read["uri"], &read["cid"], &read["value"]), (&made["uri"], &made["cid"], &a_post("one")));

    let input = json!({ "repo": DID, "collection": POST, "rkey": rkey, "record": a_post("two") });
    let put = host.post("com.atproto.repo.putRecord", &input).unwrap();
    assert!(put["commit"]["rev"].as_str() > made["commit"]["rev"].as_str());
    assert!(host.post("com.atproto.repo.putRecord", &input).unwrap().get("commit").is_none());

    let input = json!({ "repo": DID, "collection": POST, "rkey": rkey });
    assert!(host.post("com.atproto.repo.deleteRecord", &input).unwrap()["commit"].is_object());
    assert_eq!(host.post("com.atproto.repo.deleteRecord", &input).unwrap(), json!({}));
    let message = fails(host.get("com.atproto.repo.getRecord", &at), 400, "RecordNotFound");
    assert_eq!(message, format!("Could not locate record: {uri}"));
}

#[test]
fn swaps_are_compared() {
    let host = Host::new();
    let make = |record: &str, swap: Value| {
        let mut input = json!({ "repo": DID, "collection": NOTE, "rkey": "a", "record": { "n": record } });
        input.as_object_mut().unwrap().extend(swap.as_object().unwrap().clone());
        host.post("com.atproto.repo.putRecord", &input)
    };
    let first = make("one", json!({ "swapRecord": null })).unwrap();
    fails(make("two", json!({ "swapRecord": null })), 400, "InvalidSwap");
    make("two", json!({ "swapRecord": first["cid"] })).unwrap();
    fails(make("three", json!({ "swapRecord": first["cid"] })), 400, "InvalidSwap");
    let message = fails(make("three", json!({ "swapCommit": first["cid"] })), 400, "InvalidSwap");
    assert!(message.starts_with("Commit was at bafyrei"), "{message}");
}

#[test]
fn validation_is_as_the_caller_wants_it() {
    let host = Host::new();
    let make = |collection: &str, record: Value, validate: Option<bool>| {
        let mut input = json!({ "repo": DID, "collection": collection, "record": record });
        if let Some(validate) = validate {
            input["validate"] = validate.into();
        }
        host.post("com.atproto.repo.createRecord", &input)
    };
    let note = json!({ "text": "x" });
    assert_eq!(make(NOTE, note.clone(), None).unwrap()["validationStatus"], "unknown");
    assert!(make(NOTE, note.clone(), Some(false)).unwrap().get("validationStatus").is_none());
    assert_eq!(
        fails(make(NOTE, note, Some(true)), 400, "InvalidRequest"),
        format!("Unknown lexicon type: {NOTE}")
    );
    let broken = json!({ "$type": POST, "text": 7 });
    fails(make(POST, broken.clone(), None), 400, "InvalidRequest");
    make(POST, broken, Some(false)).unwrap();
    let other = json!({ "$type": "app.bsky.feed.like", "text": "x" });
    let message = fails(make(POST, other, Some(false)), 400, "InvalidRequest");
    assert_eq!(message, "Invalid $type: expected app.bsky.feed.post, got app.bsky.feed.like");
    fails(make(NOTE, json!({ "n": { "$link": "nonsense" } }), Some(false)), 400, "InvalidRequest");
    fails(make(NOTE, json!({ "n": 1.5 }), Some(false)), 400, "InvalidRequest");
    fails(make(NOTE, json!({ "n": 9_007_199_254_740_992_u64 }), Some(false)), 400, "InvalidRequest");
}

#[test]
fn a_batch_is_done_whole_or_not_at_all() {
    let host = Host::new();
    let write = |kind: &str, rkey: &str, value: Value| json!({ "$type": format!("com.atproto.repo.applyWrites#{kind}"), "collection": NOTE, "rkey": rkey, "value": value });
    let apply =
        |writes: Value| host.post("com.atproto.repo.applyWrites", &json!({ "repo": DID, "writes": writes }));
    let made =
        apply(json!([write("create", "a", json!({ "n": 1 })), write("create", "b", json!({ "n": 2 }))]))
            .unwrap();
    assert_eq!(made["results"][1]["$type"], "com.atproto.repo.applyWrites#createResult");
    let before = host.account.head().unwrap();
    let bad = json!([write("update", "a", json!({ "n": 3 })), write("create", "b", json!({ "n": 4 }))]);
    fails(apply(bad), 400, "InvalidRequest");
    fails(apply(json!([write("delete", "nothing", Value::Null)])), 400, "InvalidRequest");
    assert_eq!(host.account.head().unwrap(), before);
    let delete = json!({ "$type": "com.atproto.repo.applyWrites#delete", "collection": NOTE, "rkey": "a" });
    let done = apply(json!([delete, write("update", "b", json!({ "n": 5 }))])).unwrap();
    assert_eq!(done["results"][0], json!({ "$type": "com.atproto.repo.applyWrites#deleteResult" }));
    let many: Vec<Value> = (0..201).map(|n| write("create", &format!("m{n}"), json!({ "n": n }))).collect();
    assert_eq!(fails(apply(json!(many)), 400, "InvalidRequest"), "Too many writes. Max: 200");
    apply(json!(many[..200])).unwrap();
}

#[test]
fn lists_from_the_highest_key_down_and_goes_on_behind_the_cursor() {
    let host = Host::new();
    for rkey in ["a", "b", "c", "d", "e"] {
        let input = json!({ "repo": DID, "collection": NOTE, "rkey": rkey, "record": { "n": rkey } });
        host.post("com.atproto.repo.createRecord", &input).unwrap();
    }
    let list = |query: &[(&str, &str)]| {
        let query = [&[("repo", "alice.test"), ("collection", NOTE)], query].concat();
        let page = host.get("com.atproto.repo.listRecords", &query).unwrap();
        let keys =
            page["records"].as_array().unwrap().iter().map(|record| record["value"]["n"].as_str().unwrap());
        (keys.collect::<String>(), page["cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list(&[("limit", "2")]), ("ed".into(), Some("d".into())));
    assert_eq!(list(&[("limit", "2"), ("cursor", "d")]), ("cb".into(), Some("b".into())));
    assert_eq!(list(&[("cursor", "b")]), ("a".into(), Some("a".into())));
    assert_eq!(list(&[("cursor", "a")]), (String::new(), None));
    assert_eq!(list(&[("reverse", "true"), ("limit", "2")]), ("ab".into(), Some("b".into())));
    let outside = [("repo", DID), ("collection", NOTE), ("limit", "101")];
    fails(host.get("com.atproto.repo.listRecords", &outside), 400, "InvalidRequest");
}

#[test]
fn tokens_are_asked_for_and_looked_at() {
    let host = Host::new();
    let session = "com.atproto.server.getSession";
    let with = |token: Option<&str>| host.send(&get(session, token, &[])).map(body);
    assert_eq!(with(Some(&host.access)).unwrap()["handle"], "alice.test");
    fails(with(None), 401, "AuthMissing");
    fails(with(Some("nonsense")), 400, "InvalidToken");
    fails(with(Some(&host.refresh)), 400, "InvalidToken");
    host.clock.0.set(host.clock.0.get() + 121 * 60 * 1_000_000);
    fails(with(Some(&host.access)), 400, "ExpiredToken");
    let refreshed = host.with_refresh("com.atproto.server.refreshSession", &host.refresh).unwrap();
    assert!(with(refreshed["accessJwt"].as_str()).is_ok());
}

#[test]
fn a_session_is_refreshed_and_ended() {
    let host = Host::new();
    let refresh = |token: &str| host.with_refresh("com.atproto.server.refreshSession", token);
    let next = refresh(&host.refresh).unwrap();
    refresh(&host.refresh).unwrap();
    let next = next["refreshJwt"].as_str().unwrap();
    fails(refresh(&host.access), 400, "InvalidToken");
    assert_eq!(host.with_refresh("com.atproto.server.deleteSession", next).unwrap(), Value::Null);
    fails(refresh(next), 400, "ExpiredToken");
}

#[test]
fn a_session_begins_with_the_right_password_only() {
    let host = Host::new();
    let begin = |password: &str| {
        internal::answer(
            &host.context(),
            InternalCall::CreateSession { password: password.into(), allow_takendown: false },
        )
        .map(body)
    };
    assert_eq!(begin("a password").unwrap()["did"], DID);
    let message = fails(begin("another"), 401, "AuthenticationRequired");
    assert_eq!(message, "Invalid identifier or password");
}

#[test]
fn nobody_writes_into_the_repository_of_another() {
    let host = Host::new();
    let input =
        json!({ "repo": "did:plc:44ybard66vv44zksje25o7dz", "collection": POST, "record": a_post("x") });
    fails(host.post("com.atproto.repo.createRecord", &input), 401, "AuthenticationRequired");
}

#[test]
fn bodies_that_do_not_fit_are_refused() {
    let host = Host::new();
    let nsid = "com.atproto.repo.createRecord";
    let good = json!({ "repo": DID, "collection": POST, "record": a_post("x") });
    let send = |change: &dyn Fn(&mut Request)| {
        let mut request = post(nsid, Some(&host.access), &good);
        change(&mut request);
        host.send(&request).map(body)
    };
    let before = host.account.head().unwrap();
    fails(send(&|request| request.body = b"{\"repo\":".to_vec()), 400, "InvalidRequest");
    fails(send(&|request| request.body = b"[]".to_vec()), 400, "InvalidRequest");
    fails(send(&|request| request.body = b"null".to_vec()), 400, "InvalidRequest");
    fails(send(&|request| request.content_type = None), 400, "InvalidRequest");
    fails(send(&|request| request.content_type = Some("text/plain".into())), 400, "InvalidRequest");
    fails(send(&|request| request.body = vec![b' '; 1_000_001]), 413, "PayloadTooLarge");
    fails(send(&|request| request.verb = Verb::Get), 400, "InvalidRequest");
    fails(send(&|request| request.verb = Verb::Other), 400, "InvalidRequest");
    assert_eq!(host.account.head().unwrap(), before);
}

#[test]
fn the_repository_is_read_as_other_hosts_read_it() {
    let host = Host::new();
    let input = json!({ "repo": DID, "collection": POST, "rkey": "3jzfcijpj2z2a", "record": a_post("one") });
    let made = host.post("com.atproto.repo.createRecord", &input).unwrap();
    let latest = host.get("com.atproto.sync.getLatestCommit", &[("did", DID)]).unwrap();
    assert_eq!(latest, made["commit"]);
    let status = host.get("com.atproto.sync.getRepoStatus", &[("did", DID)]).unwrap();
    assert_eq!(status, json!({ "did": DID, "active": true, "rev": latest["rev"] }));
    let other = [("did", "did:plc:44ybard66vv44zksje25o7dz")];
    fails(host.get("com.atproto.sync.getLatestCommit", &other), 400, "RepoNotFound");

    let car = |request: &Request| match host.send(request).unwrap().body {
        Body::Bytes(_, bytes) => bytes,
        _ => panic!("not bytes"),
    };
    let key = SigningKey::from_bytes(Curve::K256, &[2; 32]).unwrap().verifying_key();
    for (rkey, there) in [("3jzfcijpj2z2a", true), ("3jzfcijpj2z2b", false)] {
        let proof = car(&get(
            "com.atproto.sync.getRecord",
            None,
            &[("did", DID), ("collection", POST), ("rkey", rkey)],
        ));
        let path = RepoPath::parse(&format!("{POST}/{rkey}")).unwrap();
        let proven = verify_proof(&proof, &DID.parse().unwrap(), &key, &path).unwrap();
        assert_eq!(proven.value.is_some(), there);
    }
    let cids =
        [("did", DID), ("cids", made["cid"].as_str().unwrap()), ("cids", latest["cid"].as_str().unwrap())];
    assert!(!car(&get("com.atproto.sync.getBlocks", None, &cids)).is_empty());
    let missing = [("did", DID), ("cids", "bafyreidab7hj6pccsraxyuhtef2hr5o6ycb5g67arkxh7gpyu4vby2x2xi")];
    let message = fails(host.get("com.atproto.sync.getBlocks", &missing), 400, "BlockNotFound");
    assert_eq!(message, format!("Could not find cids: {}", missing[1].1));
}
