//! Requests that have crashed, hung or fooled some PDS, written out: what was measured of Cirrus (exceptions, resets, and
//! nonsense that was accepted), the ecosystem's incidents, and what the reference server's own tests send.

use serde_json::{Value, json};

use super::values::base64;
use super::{Case, Victim, case, create_body, with_json};

/// The cases.
#[must_use]
pub fn crashers(victim: &Victim) -> Vec<Case> {
    let mut cases = bodies(victim);
    cases.extend(members(victim));
    cases.extend(other_writes(victim));
    cases.extend(reads(victim));
    cases.extend(paths());
    cases.extend(tokens(victim));
    cases
}

const CREATE: &str = "/xrpc/com.atproto.repo.createRecord";
const PUT: &str = "/xrpc/com.atproto.repo.putRecord";
const DELETE: &str = "/xrpc/com.atproto.repo.deleteRecord";
const APPLY: &str = "/xrpc/com.atproto.repo.applyWrites";
const NOBODY: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const NO_CID: &str = "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uwsjd2bdzlbwbphckqe";

fn deep(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// createRecord with bodies that are no JSON, or not that JSON.
fn bodies(victim: &Victim) -> Vec<Case> {
    let record = |value: &str| {
        format!(r#"{{"repo":"{}","collection":"com.example.note","record":{value}}}"#, victim.did)
    };
    let texts: Vec<(&str, String)> = vec![
        ("bad JSON", "{".into()),
        ("a null body", "null".into()),
        ("an empty body", String::new()),
        ("an array for a body", "[]".into()),
        ("a float", record(r#"{"a":1.5}"#)),
        ("a fraction behind an exponent", record(r#"{"a":15e-1}"#)),
        ("2^60", record(r#"{"a":1152921504606846976}"#)),
        ("2^64", record(r#"{"a":18446744073709551616}"#)),
        ("depth 5000", record(&deep("{\"a\":", "}", 5000))),
        ("depth 33", record(&deep("{\"a\":", "}", 33))),
        ("depth 10,000 of arrays", record(&format!("{{\"a\":{}}}", deep("[", "]", 10_000)))),
        ("depth 60,000 of arrays", record(&format!("{{\"a\":{}}}", deep("[", "]", 60_000)))),
        ("131,073 elements", record(&format!("{{\"a\":[{}0]}}", "0,".repeat(131_072)))),
        ("a key twice", record(r#"{"a":1,"a":2}"#)),
        ("an empty key", record(r#"{"":1}"#)),
        ("a key of 8193 bytes", record(&format!("{{\"{}\":1}}", "k".repeat(8193)))),
        ("a lone high surrogate", record(r#"{"a":"\ud83d"}"#)),
        ("a lone low surrogate", record(r#"{"a":"\ude00"}"#)),
        ("swapped surrogates", record(r#"{"a":"\ude00\ud83d"}"#)),
        ("a malformed $link", record(r#"{"a":{"$link":"bafy"}}"#)),
        ("a $link of a number", record(r#"{"a":{"$link":5}}"#)),
        ("a $link with a neighbour", record(r#"{"a":{"$link":"bafy","b":1}}"#)),
        ("malformed $bytes", record(r#"{"a":{"$bytes":"*"}}"#)),
        ("a malformed blob", record(r#"{"a":{"$type":"blob","ref":"x","mimeType":5,"size":-1}}"#)),
        (
            "a blob of nobody's",
            record(
                r#"{"a":{"$type":"blob","ref":{"$link":"bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"},"mimeType":"text/plain","size":1}}"#,
            ),
        ),
        (
            "a legacy blob",
            record(
                r#"{"a":{"cid":"bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy","mimeType":"text/plain"}}"#,
            ),
        ),
        ("a record that is a string", record("\"x\"")),
        ("a record that is null", record("null")),
        ("a record that is an array", record("[]")),
        ("a record of another $type", record(r#"{"$type":"com.example.other"}"#)),
        ("a $type that is a number", record(r#"{"$type":5}"#)),
        ("a record of 1.2 MB", record(&format!("{{\"a\":\"{}\"}}", "x".repeat(1_200_000)))),
        ("a body of 20 MB", " ".repeat(20_000_000)),
    ];
    texts
        .into_iter()
        .map(|(name, text)| with_json(case(name, "POST", CREATE), &victim.access, text))
        .chain([{
            let mut wrong = with_json(case("another content type", "POST", CREATE), &victim.access, "{}");
            wrong.sent.headers[0].1 = "text/plain".into();
            wrong
        }])
        .collect()
}

/// createRecord with members that are wrong.
fn members(victim: &Victim) -> Vec<Case> {
    let changes: Vec<(&str, Value)> = vec![
        ("collection 5", json!({ "collection": 5 })),
        ("a collection that is no NSID", json!({ "collection": "note" })),
        ("a collection with a slash", json!({ "collection": "com.example.note/x" })),
        ("a collection of 400 letters", json!({ "collection": format!("com.example.{}", "n".repeat(400)) })),
        ("a collection with NUL", json!({ "collection": "com.example.no\0te" })),
        ("an rkey with a slash", json!({ "rkey": "a/b" })),
        ("the rkey .", json!({ "rkey": "." })),
        ("the rkey ..", json!({ "rkey": ".." })),
        ("an empty rkey", json!({ "rkey": "" })),
        ("an rkey of 513 letters", json!({ "rkey": "a".repeat(513) })),
        ("an rkey with a space", json!({ "rkey": "a b" })),
        ("an rkey that is a number", json!({ "rkey": 5 })),
        ("an rkey with an emoji", json!({ "rkey": "\u{1f600}" })),
        ("the repo of another", json!({ "repo": NOBODY })),
        ("a repo that is nothing", json!({ "repo": "x y" })),
        ("a repo that is null", json!({ "repo": null })),
        ("a bogus swapCommit", json!({ "swapCommit": NO_CID })),
        ("a swapCommit that is no CID", json!({ "swapCommit": "x" })),
        ("validate that is a string", json!({ "validate": "yes" })),
        ("validate without a lexicon", json!({ "validate": true })),
        ("a post that is none", json!({ "collection": "app.bsky.feed.post", "record": { "text": 5 } })),
        (
            "a profile beside self",
            json!({ "collection": "app.bsky.actor.profile", "rkey": "me", "record": {} }),
        ),
    ];
    let create = |(name, changes): (&str, Value)| {
        with_json(case(name, "POST", CREATE), &victim.access, create_body(victim, &changes))
    };
    changes.into_iter().map(create).collect()
}

fn other_writes(victim: &Victim) -> Vec<Case> {
    let at = |changes: Value| {
        let mut body = json!({ "repo": victim.did, "collection": "com.example.note", "rkey": "none" });
        changes.as_object().unwrap().iter().for_each(|(name, value)| body[name.as_str()] = value.clone());
        body.to_string()
    };
    let batch = |writes: Value| json!({ "repo": victim.did, "writes": writes }).to_string();
    let write = |kind: &str, more: Value| {
        let mut write = json!({ "$type": format!("com.atproto.repo.applyWrites#{kind}"), "collection": "com.example.note" });
        more.as_object().unwrap().iter().for_each(|(name, value)| write[name.as_str()] = value.clone());
        write
    };
    let one = |n: usize| write("create", json!({ "rkey": format!("r{n}"), "value": {} }));
    let many: Vec<Value> = (0..201).map(one).collect();
    let bodies: Vec<(&str, &str, String)> = vec![
        ("a put with a bogus swapRecord", PUT, at(json!({ "record": {}, "swapRecord": NO_CID }))),
        ("a put without a record", PUT, at(json!({}))),
        ("a put with a bogus swapCommit", PUT, at(json!({ "record": {}, "swapCommit": NO_CID }))),
        ("a delete with a bogus swapCommit", DELETE, at(json!({ "swapCommit": NO_CID }))),
        (
            "a delete without an rkey",
            DELETE,
            json!({ "repo": victim.did, "collection": "a.b.c" }).to_string(),
        ),
        ("201 writes", APPLY, batch(json!(many))),
        (
            "a batch that deletes what is missing",
            APPLY,
            batch(json!([write("delete", json!({ "rkey": "none" }))])),
        ),
        (
            "a batch that updates what is missing",
            APPLY,
            batch(json!([write("update", json!({ "rkey": "none", "value": {} }))])),
        ),
        ("regress: create and create of one rkey", APPLY, batch(json!([one(1), one(1)]))),
        ("a batch of an unknown kind", APPLY, batch(json!([write("destroy", json!({ "rkey": "a" }))]))),
        ("a batch without kinds", APPLY, batch(json!([{ "collection": "com.example.note", "rkey": "a" }]))),
        ("a batch of numbers", APPLY, batch(json!([1, 2, 3]))),
        ("a batch that is an object", APPLY, batch(json!({}))),
        (
            "a batch whose last write is wrong",
            APPLY,
            batch(json!([one(1), one(2), write("create", json!({ "value": 5 }))])),
        ),
        (
            "a login by numbers",
            "/xrpc/com.atproto.server.createSession",
            json!({ "identifier": 1, "password": 2 }).to_string(),
        ),
        (
            "a login of 600 letters",
            "/xrpc/com.atproto.server.createSession",
            json!({ "identifier": "x", "password": "p".repeat(600) }).to_string(),
        ),
        (
            "an account without a handle",
            "/xrpc/com.atproto.server.createAccount",
            json!({ "email": "a@example.com", "password": "p" }).to_string(),
        ),
        (
            "an account at another's domain",
            "/xrpc/com.atproto.server.createAccount",
            json!({ "handle": "a.example.com", "email": "a@example.com", "password": "p" }).to_string(),
        ),
        (
            "an account with NUL in its handle",
            "/xrpc/com.atproto.server.createAccount",
            json!({ "handle": "a\0.test", "password": "p" }).to_string(),
        ),
    ];
    let mut cases: Vec<Case> = bodies
        .into_iter()
        .map(|(name, path, body)| with_json(case(name, "POST", path), &victim.access, body))
        .collect();
    let mut refresh =
        case("a refresh by the access token", "POST", "/xrpc/com.atproto.server.refreshSession");
    refresh.sent.headers.push(("authorization".into(), format!("Bearer {}", victim.access)));
    cases.push(refresh);
    let admin = |name: &str, nsid: &str, body: Value| {
        let mut case =
            with_json(case(name, "POST", &format!("/xrpc/com.atproto.{nsid}")), "", body.to_string());
        let pair = format!("admin:{}", victim.admin);
        case.sent.headers.push(("authorization".into(), format!("Basic {}", base64(pair.as_bytes()))));
        case
    };
    let names: Vec<String> = (0..501).map(|n| format!("did:plc:{n:024}")).collect();
    cases.push(admin("501 codes disabled", "admin.disableInviteCodes", json!({ "codes": names })));
    cases.push(admin("501 accounts disabled", "admin.disableInviteCodes", json!({ "accounts": names })));
    let owners = json!({ "codeCount": 1, "useCount": 1, "forAccounts": names });
    cases.push(admin("codes for 501 accounts", "server.createInviteCodes", owners));
    cases
}

fn reads(victim: &Victim) -> Vec<Case> {
    let did = &victim.did;
    let refused = |name: &str, path: String| case(name, "GET", &path);
    let many = format!("&cids={NO_CID}").repeat(150);
    let mut cases = vec![
        refused("getBlocks of a bad CID", format!("/xrpc/com.atproto.sync.getBlocks?did={did}&cids=x")),
        refused(
            "getBlocks of what is missing",
            format!("/xrpc/com.atproto.sync.getBlocks?did={did}&cids={NO_CID}"),
        ),
        refused("getBlocks of 150", format!("/xrpc/com.atproto.sync.getBlocks?did={did}{many}")),
        refused(
            "getBlocks of 501",
            format!("/xrpc/com.atproto.sync.getBlocks?did={did}{}", "&cids=x".repeat(501)),
        ),
        refused("getBlob of a bad CID", format!("/xrpc/com.atproto.sync.getBlob?did={did}&cid=x")),
        refused(
            "getBlob of a record's CID",
            format!("/xrpc/com.atproto.sync.getBlob?did={did}&cid={NO_CID}"),
        ),
        refused("getRepo of a rev that is none", format!("/xrpc/com.atproto.sync.getRepo?did={did}&since=x")),
        refused("getRepo of nobody", format!("/xrpc/com.atproto.sync.getRepo?did={NOBODY}")),
        refused(
            "limit 1e9",
            format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=a.b.c&limit=1000000000"),
        ),
        refused(
            "limit 1e400",
            format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=a.b.c&limit=1e400"),
        ),
        refused("limit 0", format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=a.b.c&limit=0")),
        refused(
            "limit NaN",
            format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=a.b.c&limit=NaN"),
        ),
        refused(
            "a collection that is a pattern",
            format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=%25"),
        ),
        refused(
            "a cursor with a slash",
            format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=a.b.c&cursor=a/b"),
        ),
        refused("a repo with half an escape", "/xrpc/com.atproto.repo.describeRepo?repo=%E0%A4%A".into()),
        refused("a repo of bytes", "/xrpc/com.atproto.repo.describeRepo?repo=%FF%FE".into()),
        refused("a listing behind no DID", "/xrpc/com.atproto.sync.listRepos?cursor=x".into()),
        refused(
            "__proto__ as a parameter",
            format!("/xrpc/com.atproto.sync.getLatestCommit?did={did}&__proto__=1"),
        ),
        refused("two DIDs", format!("/xrpc/com.atproto.sync.getLatestCommit?did={did}&did={NOBODY}")),
        refused("a stream without an upgrade", "/xrpc/com.atproto.sync.subscribeRepos".into()),
        refused(
            "a DID of 20,000 letters",
            format!("/xrpc/com.atproto.sync.getLatestCommit?did=did:plc:{}", "a".repeat(20_000)),
        ),
    ];
    let mut long = refused(
        "a URL of 100 KB",
        format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", "a".repeat(100_000)),
    );
    long.by_runtime = true;
    cases.push(long);
    let mut wide = refused("200 KB of headers", "/xrpc/com.atproto.sync.getLatestCommit".into());
    wide.sent.headers = (0..200).map(|n| (format!("x-{n}"), "v".repeat(1000))).collect();
    wide.by_runtime = true;
    cases.push(wide);
    cases
}

/// Paths at which there is nothing, or not by that verb.
fn paths() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "/xrpc",
        "/xrpc/",
        "/xrpc//",
        "/xrpc/x",
        "/xrpc/a.b",
        "/xrpc/.",
        "/xrpc/com.atproto.sync",
        "/xrpc/%00",
        "/xrpc/com.atproto.sync.getRepo/x",
        "/xrpc/com.atproto.sync.getRepo%2Fx",
        "/xrpc/com..atproto",
        "/xrpc/-a.b.c",
        "/xrpc/com.example.unknownMethod",
        "/xrpc/__proto__",
        "/xrpc/constructor",
        "/xrpc/a.b.%F0%9F%98%80",
        "/none",
        "//",
        "/%",
        "/%ff",
        "/..%2f..%2fetc/passwd",
        "/.git/config",
        "/.well-known/none",
        "/XRPC/com.atproto.sync.getRepo",
        "/internal/append",
        "/append",
    ]
    .iter()
    .map(|path| case(&format!("nothing at {path}"), "GET", path))
    .collect();
    // What is a page, and is only read.
    for page in [
        "/",
        "/robots.txt",
        "/xrpc/_health",
        "/.well-known/did.json",
        "/.well-known/atproto-did",
        "/tls-check",
    ] {
        for verb in ["POST", "PUT", "DELETE"] {
            cases.push(case(&format!("{verb} of the page {page}"), verb, page));
        }
    }
    for query in ["domain=%00", "domain=..", "domain=", "domain=%ff%fe", "x"] {
        cases.push(case(&format!("a name that is none: {query}"), "GET", &format!("/tls-check?{query}")));
    }
    let long = format!("/xrpc/{}", "a.".repeat(4000));
    cases.push(case("an NSID of 8,000 letters", "GET", &long));
    for verb in ["PUT", "DELETE", "PATCH"] {
        cases.push(case(&format!("{verb} of what is read"), verb, "/xrpc/com.atproto.server.describeServer"));
        cases.push(case(&format!("{verb} of nothing"), verb, "/none"));
    }
    cases
}

/// Credentials that other servers have taken.
fn tokens(victim: &Victim) -> Vec<Case> {
    let claims = victim.access.split('.').nth(1).unwrap();
    let url = |text: &str| base64(text.as_bytes()).replace('=', "").replace('+', "-").replace('/', "_");
    let aud = url(&json!({
        "scope": "com.atproto.access", "sub": victim.did, "aud": "did:web:other", "iat": 1, "exp": 9_999_999_999_u64,
    }).to_string());
    let headers = [
        (
            "regress: a PDS token without a signature check (Aurora-Prism 195)",
            format!("Bearer {}.{claims}.", url(r#"{"alg":"none","typ":"at+jwt"}"#)),
        ),
        (
            "regress: a token whose signature is another's",
            format!("Bearer {}.{claims}.{}", url(r#"{"alg":"HS256","typ":"at+jwt"}"#), "A".repeat(43)),
        ),
        (
            "regress: a token for another audience (cocoon)",
            format!("Bearer {}.{aud}.{}", url(r#"{"alg":"HS256","typ":"at+jwt"}"#), "A".repeat(43)),
        ),
        (
            "regress: a token with a kid (cocoon)",
            format!(
                "Bearer {}.{claims}.{}",
                url(r#"{"alg":"HS256","typ":"at+jwt","kid":"../../x"}"#),
                "A".repeat(43)
            ),
        ),
        ("regress: no proof for a DPoP token (cocoon)", format!("DPoP {}", victim.access)),
        ("a refresh token for access", format!("Bearer {}", victim.refresh)),
        ("a token twice", format!("Bearer {} {}", victim.access, victim.access)),
        ("two dots", "Bearer ..".into()),
        ("nothing behind Bearer", "Bearer".into()),
        ("a header of one letter", "x".into()),
        (
            "claims that are null",
            format!("Bearer {}.{}.x", url(r#"{"alg":"HS256","typ":"at+jwt"}"#), url("null")),
        ),
        (
            "claims 10,000 deep",
            format!("Bearer {}.{}.x", url(r#"{"alg":"HS256","typ":"at+jwt"}"#), url(&"[".repeat(2_500))),
        ),
    ];
    let show = |(name, header): (&str, String)| {
        let mut case = case(name, "GET", "/xrpc/com.atproto.server.getSession");
        case.sent.headers.push(("authorization".into(), header));
        case
    };
    headers.into_iter().map(show).collect()
}
