//! Routes of a test build: panics, bare writes, row counters, alarms on demand.
//!
//! Compiled with the feature `test-routes` only, and then answered only where the variable `TEST_ROUTES` is `true`.
//! `/test/<verb>?object=agent|relay|index&name=<object's name>` runs `<verb>` in the object; without `object`, in the Worker.
//! `/test/evict` is answered before the Wasm is reached, by `entry.test.js`.
//!
//! | verb | what it does |
//! |---|---|
//! | `panic` | panics, after `ms` milliseconds |
//! | `write-panic` | writes a note, then panics before it is flushed; `how=transact` panics inside the transaction |
//! | `panic-behind` | answers, and behind the answer writes a note and panics before it is flushed |
//! | `note` | writes a note |
//! | `notes` | answers how many notes there are |
//! | `fetch` | in the Worker: fetches `url` through the guarded client, with `limit` bytes, `ms` and `private=true` |
//! | `pass` | in the Worker: lets the body of `url` pass, with `ms` for a chunk and `total` for all of it |
//! | `seal` | in the Worker: seals a kilobyte to `readers` by `suite`, or with `open` opens it, for `ms`, and says how often |
//! | `owner` | in the Worker: does what the owner of an agent does who keeps its keys; the body says what (`owner.rs`) |
//! | `embed` | in the Worker: the vector of `text` by the host's embedder |
//! | `recall` | in the Worker: builds an index of `entries`, searches it for `ms`, and says how long each took |
//! | `registers` | in the Worker: checks what is computed in vector registers |
//! | `stream` | streams `chunks` chunks of a kilobyte, and panics after `panic` of them |
//! | `sleep` | answers after `ms` milliseconds |
//! | `rows` | answers the object's row counters since it woke |
//! | `alarm` | fires the object's alarm now |
//! | `fire` | runs what the object's alarm runs, twice: the platform may fire an alarm more than once |
//! | `alarm-panic` | fires the object's alarm now; it panics once |
//! | `break-take` | the object panics at the next message or blob that is brought to it: `when=before` or `after` it has noted it |
//! | `queue` | in the Worker: puts a message that is `body`, a JSON, into the queue of deliveries |
//! | `socket` | a WebSocket that echoes, and panics at the message `panic` |
//! | `bench` | answers the microseconds of a statement: `insert` and `select` of one row, `scan` of a row among many |
//! | `sql` | runs the checks of `SqlStore` against the real storage |

mod owner;
mod recall;
mod registers;
mod sealing;

use std::time::Duration;

use murmuration_platform::{Clock, Outbound, OutboundRequest, Param, Store, StoreError, Verb, transaction};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::http as plain;
use serde_json::json;
use worker::{Env, Request, Response, State, Url, WebSocket, WebSocketIncomingMessage, WebSocketPair};

use crate::clock::{WallClock, wait};
use crate::http::{self, Asked};
use crate::outbound::{Fetcher, Passage};
use crate::queue::Deliveries;
use crate::request::Incoming;
use crate::sql::SqlStore;

/// One row: `TEST_ROUTES`' notes, kept apart from everything real.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS test_note (n INTEGER NOT NULL, kind TEXT NOT NULL) STRICT";
const CREATED: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'test_note'";
const INSERT: &str = "INSERT INTO test_note VALUES (?, ?)";
const COUNT: &str = "SELECT count(*) FROM test_note WHERE kind = 'note'";
const ARMED: &str = "SELECT count(*) FROM test_note WHERE kind = 'alarm'";
const DISARM: &str = "DELETE FROM test_note WHERE kind = 'alarm'";

/// Milliseconds from the answer of `panic-behind` to its panic.
const BEHIND_MS: u32 = 50;
/// The tag of the sockets of `socket`.
const TAG: &str = "test";

/// The outcome of `sql`: the first check that failed.
type Checked = Result<(), String>;

/// Answers `/test/...` from outside, or passes on a path that is not.
pub(crate) async fn outside(request: &Incoming, env: &Env) -> Option<Response> {
    if !enabled(env) {
        return None;
    }
    let url = Url::parse(request.url()).ok()?;
    let verb = url.path().strip_prefix("/test/")?;
    let binding = match parameter(&url, "object").as_deref() {
        Some("agent") => "AGENT",
        Some("relay") => "RELAY",
        Some("index") => "INDEX",
        _ if verb == "queue" => return Some(enqueued(env, &url).await),
        _ if verb == "owner" => return Some(owned(request).await),
        _ => return Some(in_worker(env, verb, &url).await),
    };
    let name = parameter(&url, "name").unwrap_or_else(|| "test".into());
    let answer = async {
        let inner = format!("https://internal{}?{}", url.path(), url.query().unwrap_or_default());
        let mut init = worker::RequestInit::new();
        init.with_headers(worker::Headers(request.inner().headers()));
        let inner = Request::new_with_init(&inner, &init)?;
        env.durable_object(binding)?.get_by_name(&name)?.fetch_with_request(inner).await
    };
    Some(answer.await.unwrap_or_else(|error| http::fault(&error)))
}

/// Answers `/test/...` in an object, or passes on a path that is not.
pub(crate) async fn fetch(
    state: &State,
    store: &SqlStore,
    env: &Env,
    request: &Incoming,
) -> Option<Response> {
    let url =
        Url::parse(request.url()).ok().filter(|url| enabled(env) && url.path().starts_with("/test/"))?;
    let verb = url.path().strip_prefix("/test/")?;
    Some(in_object(state, store, verb, &url).await.unwrap_or_else(|error| http::fault(&error)))
}

/// Whether a request asks the object to do what its alarm does.
pub(crate) fn wants_alarm(env: &Env, request: &Incoming) -> bool {
    enabled(env) && request.path() == "/test/fire"
}

/// Where an object is to panic at the next message or blob that is brought to it, if a request asks for that.
pub(crate) fn wants_break(env: &Env, request: &Incoming) -> Option<Break> {
    if !enabled(env) || request.path() != "/test/break-take" {
        return None;
    }
    let url = Url::parse(request.url()).ok()?;
    match parameter(&url, "when").as_deref() {
        Some("before") => Some(Break::Before),
        _ => Some(Break::After),
    }
}

/// Where an object panics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Break {
    /// Before it has noted it.
    Before,
    /// After that, and before it answers.
    After,
}

impl Break {
    /// Panics if an object is to panic here.
    pub(crate) fn at(self, planned: Option<Self>) {
        if planned == Some(self) {
            boom("a delivery");
        }
    }
}

/// Panics at a ticket that is poison.
pub(crate) fn ticket(delivered: &str) {
    if delivered.contains("\"poison\":true") {
        boom("a ticket");
    }
}

/// To be called by an object's alarm: panics once when `alarm-panic` asked for it.
pub(crate) async fn alarm(state: &State, store: &SqlStore) {
    // Nothing is written that the object does not write itself: its rows are counted.
    if count(store, CREATED) > 0 && count(store, ARMED) > 0 {
        let _ = store.query(DISARM, &[]);
        let _ = store.query(INSERT, &[Param::Int(0), Param::Text("note")]);
        // Flushed, so that the alarm which the platform fires again does not panic again.
        let _ = state.storage().sync().await;
        let _ = store.query(INSERT, &[Param::Int(0), Param::Text("note")]);
        boom("an alarm");
    }
}

/// To be called by an object's socket handler: echoes on the sockets of `socket`, and panics at the message `panic`.
pub(crate) fn message(
    state: &State,
    socket: &WebSocket,
    message: &WebSocketIncomingMessage,
) -> worker::Result<()> {
    if !state.get_tags(socket).iter().any(|tag| tag == TAG) {
        return Ok(());
    }
    match message {
        WebSocketIncomingMessage::String(text) if text == "panic" => boom("a socket message"),
        WebSocketIncomingMessage::String(text) => socket.send_with_str(text),
        WebSocketIncomingMessage::Binary(bytes) => socket.send_with_bytes(bytes),
    }
}

async fn in_worker(env: &Env, verb: &str, url: &Url) -> Response {
    match verb {
        "panic" => {
            sleep(url).await;
            boom("the Worker")
        }
        "sleep" => {
            sleep(url).await;
            json("{}".into())
        }
        "fetch" => json(fetched(url).await),
        "pass" => passed(url).await,
        "seal" => sealed(url),
        "embed" => measured(recall::embed(env, &parameter(url, "text").unwrap_or_default()).await),
        "recall" => measured(
            recall::search(env, number(url, "entries").unwrap_or(1000), number(url, "ms").unwrap_or(0)).await,
        ),
        "registers" => measured(registers::check().map(|vectors| json!({ "vectors": vectors }))),
        "stream" => http::give(streamed(url), Asked::default()).into(),
        _ => http::refuse(404, "NotFound", "no such test route"),
    }
}

async fn in_object(state: &State, store: &SqlStore, verb: &str, url: &Url) -> worker::Result<Response> {
    let write = || store.query(INSERT, &[Param::Int(1), Param::Text("note")]);
    let sql = |error: StoreError| worker::Error::RustError(error.to_string());
    if verb != "rows" {
        store.query(CREATE, &[]).map_err(sql)?;
    }
    let answer = match verb {
        "panic" => {
            sleep(url).await;
            boom("a fetch")
        }
        "write-panic" if parameter(url, "how").as_deref() == Some("transact") => {
            let _ = transaction(store, || write().map(|_| boom("a transaction")));
            String::new()
        }
        "write-panic" => {
            write().map_err(sql)?;
            boom("a fetch, after a write")
        }
        "panic-behind" => {
            let store = SqlStore::open(state);
            state.wait_until(async move {
                wait(BEHIND_MS).await;
                let _ = store.query(INSERT, &[Param::Int(1), Param::Text("note")]);
                boom("the work behind an answer")
            });
            "{}".into()
        }
        "note" => {
            write().map_err(sql)?;
            "{}".into()
        }
        "notes" => format!(r#"{{"notes":{}}}"#, count(store, COUNT)),
        "sleep" => {
            sleep(url).await;
            "{}".into()
        }
        "rows" => {
            let counts = store.counts();
            format!(
                r#"{{"read":{},"written":{},"statements":{}}}"#,
                counts.read, counts.written, counts.statements
            )
        }
        "alarm" => {
            state.storage().set_alarm(Duration::ZERO).await?;
            "{}".into()
        }
        "alarm-panic" => {
            store.query(INSERT, &[Param::Int(0), Param::Text("alarm")]).map_err(sql)?;
            state.storage().set_alarm(Duration::ZERO).await?;
            "{}".into()
        }
        "socket" => {
            let pair = WebSocketPair::new()?;
            state.accept_websocket_with_tags(&pair.server, &[TAG]);
            return Response::from_websocket(pair.client);
        }
        "stream" => return Ok(http::give(streamed(url), Asked::default()).into()),
        "bench" => bench(store).map_err(sql)?,
        "sql" => match check_sql(store) {
            Ok(()) => r#"{"ok":true}"#.into(),
            Err(what) => return Ok(http::refuse(500, "TestFailed", &what)),
        },
        _ => return Ok(http::refuse(404, "NotFound", "no such test route")),
    };
    Ok(json(answer))
}

/// What came of a fetch through the guarded client.
async fn fetched(url: &Url) -> String {
    let request = OutboundRequest {
        verb: Verb::Get,
        url: parameter(url, "url").unwrap_or_default(),
        headers: Vec::new(),
        body: Vec::new(),
        max_bytes: number(url, "limit").and_then(|limit| limit.try_into().ok()).unwrap_or(1000),
        timeout_ms: number(url, "ms").unwrap_or(1000),
    };
    let client = Fetcher::new(parameter(url, "private").as_deref() == Some("true"));
    match client.send(request).await {
        Ok(answer) => {
            json!({ "status": answer.status, "bytes": answer.body.len(), "headers": answer.headers })
        }
        Err(error) => json!({ "error": error.to_string() }),
    }
    .to_string()
}

/// Puts a message into the queue of deliveries.
async fn enqueued(env: &Env, url: &Url) -> Response {
    let body = parameter(url, "body").and_then(|body| serde_json::from_str(&body).ok());
    let body = body.unwrap_or(serde_json::Value::Null);
    let put = async {
        let queue = Deliveries::open(env).ok_or_else(|| XrpcError::internal("no queue"))?;
        queue.put_all(json!([{ "body": body, "contentType": "json" }])).await
    };
    match put.await {
        Ok(()) => json("{}".into()),
        Err(error) => http::refuse(500, "TestFailed", &error.to_string()),
    }
}

/// An answer whose body passes by.
async fn passed(url: &Url) -> Response {
    let passage = Passage {
        verb: plain::Verb::Get,
        url: parameter(url, "url").unwrap_or_default(),
        headers: Vec::new(),
        body: None,
        headers_ms: number(url, "ms").unwrap_or(1000),
        idle_ms: number(url, "ms").unwrap_or(1000),
        total_ms: number(url, "total").unwrap_or(1000),
        max_bytes: 1_000_000,
    };
    let arrival = Fetcher::new(true).pass(&passage).await.map(|mut arrival| arrival.take_body());
    match arrival {
        Ok(Some(body)) => worker::ResponseBuilder::new().stream(body),
        Ok(None) => json("{}".into()),
        Err(error) => http::refuse(502, "UpstreamFailure", &error.to_string()),
    }
}

/// How often something was sealed or opened.
fn sealed(url: &Url) -> Response {
    let (readers, ms) = (number(url, "readers").unwrap_or(1), number(url, "ms").unwrap_or(0));
    let open = parameter(url, "open").is_some();
    match sealing::run(&parameter(url, "suite").unwrap_or_default(), readers, open, ms) {
        Ok(times) => json(json!({ "times": times }).to_string()),
        Err(error) => http::refuse(500, "TestFailed", &error.to_string()),
    }
}

/// What the owner of an agent does.
async fn owned(request: &Incoming) -> Response {
    let asked = request.bytes(owner::MAX_BYTES).await;
    match asked.map_err(Into::into).and_then(|asked| owner::run(&asked)) {
        Ok(answer) => json(answer.to_string()),
        Err(error) => http::refuse(400, "TestFailed", &error.to_string()),
    }
}

/// What was measured.
fn measured(outcome: Result<serde_json::Value, Box<dyn std::error::Error>>) -> Response {
    match outcome {
        Ok(value) => json(value.to_string()),
        Err(error) => http::refuse(500, "TestFailed", &error.to_string()),
    }
}

/// A streamed answer, of which a panic may be a part.
fn streamed(url: &Url) -> plain::Response {
    let mut left = number(url, "chunks").unwrap_or(0);
    let mut until_panic = number(url, "panic");
    let chunks = move || {
        left = left.checked_sub(1)?;
        until_panic = match until_panic {
            Some(0) => boom("a stream"),
            Some(more) => Some(more - 1),
            None => None,
        };
        Some(Ok(plain::Chunk::Ready(vec![b'x'; 1024])))
    };
    plain::Response::ok(plain::Body::Stream("application/octet-stream", Box::new(chunks)))
}

/// What the crates above count on, asked of the real storage.
fn check_sql(store: &SqlStore) -> Checked {
    let run = |sql: &str, params: &[Param<'_>]| store.query(sql, params).map_err(|e| format!("{sql}: {e}"));
    let same = |what: &str, right: bool| if right { Ok(()) } else { Err(what.to_owned()) };
    run("DROP TABLE IF EXISTS test_sql", &[])?;
    run("CREATE TABLE test_sql (k INTEGER PRIMARY KEY, t TEXT, b BLOB, i INTEGER) STRICT", &[])?;
    let before = store.counts();
    let big = (1_i64 << 53) - 1;
    for (key, number) in [(1, -big), (2, 0), (3, big)] {
        let blob: &[u8] = &[0, 1, 255];
        run(
            "INSERT INTO test_sql VALUES (?, ?, ?, ?)",
            &[key.into(), "é\u{1f426}".into(), blob.into(), number.into()],
        )?;
    }
    same("three inserts write three rows", store.counts().written - before.written == 3)?;
    let mut rows = run("SELECT i, t, b, NULL FROM test_sql WHERE i = ? AND k >= ?", &[big.into(), 3.into()])?;
    same("an integer compares as one", rows.len() == 1)?;
    let row = rows.first_mut().ok_or("no row")?;
    same("a large integer survives", row.int(0).ok() == Some(big))?;
    same("text survives", row.text(1).ok().as_deref() == Some("é\u{1f426}"))?;
    same("bytes survive", row.blob(2).ok().as_deref() == Some(&[0, 1, 255][..]))?;
    same("NULL is NULL", matches!(row.opt_text(3), Ok(None)))?;
    let plan = run("EXPLAIN QUERY PLAN SELECT t FROM test_sql WHERE k = ?", &[2.into()]);
    if let Ok(mut plan) = plan {
        let text = plan.first_mut().and_then(|row| row.text(3).ok()).unwrap_or_default();
        same("a bound number finds its key", text.contains("SEARCH"))?;
    }
    same("LIMIT takes a number", run("SELECT k FROM test_sql LIMIT ?", &[2.into()])?.len() == 2)?;
    let mut stored = run("SELECT typeof(i), k + ? FROM test_sql WHERE k = 3", &[1.into()])?;
    let stored = stored.first_mut().ok_or("no row")?;
    same("a number is stored as an integer", stored.text(0).ok().as_deref() == Some("integer"))?;
    same("a sum is whole", stored.int(1).ok() == Some(4))?;
    same("beyond 2^53 is refused", store.query("SELECT ?", &[(big + 1).into()]).is_err())?;
    same("bad SQL is an error", store.query("SELECT nothing FROM nowhere", &[]).is_err())?;
    same("a broken constraint is an error", store.query("INSERT INTO test_sql(k) VALUES (1)", &[]).is_err())?;
    let undone: Result<(), StoreError> = transaction(store, || {
        store.query("DELETE FROM test_sql", &[])?;
        let inner: Result<(), StoreError> = transaction(store, || {
            store.query("INSERT INTO test_sql(k) VALUES (9)", &[])?;
            Ok(())
        });
        inner?;
        store.query("SELECT nothing FROM nowhere", &[]).map(|_| ())
    });
    same("the error of a transaction is kept", undone.is_err())?;
    same("a failed transaction leaves nothing", count(store, "SELECT count(*) FROM test_sql") == 3)?;
    let kept: Result<(), StoreError> = transaction(store, || {
        let inner: Result<(), StoreError> = transaction(store, || {
            store.query("DELETE FROM test_sql", &[])?;
            Err(StoreError::Engine("undo".into()))
        });
        same("an inner failure is seen", inner.is_err()).map_err(StoreError::Engine)?;
        store.query("INSERT INTO test_sql(k) VALUES (9)", &[]).map(|_| ())
    });
    kept.map_err(|error| error.to_string())?;
    same("only the inner transaction is undone", count(store, "SELECT count(*) FROM test_sql") == 4)?;
    run("DROP TABLE test_sql", &[]).map(|_| ())
}

/// Statements of `bench`.
const BENCH: i64 = 10_000;

/// What a statement costs through the glue.
fn bench(store: &SqlStore) -> Result<String, StoreError> {
    store.query("DROP TABLE IF EXISTS test_bench", &[])?;
    store.query(
        "CREATE TABLE test_bench (k TEXT PRIMARY KEY, n INTEGER, b BLOB) STRICT, WITHOUT ROWID",
        &[],
    )?;
    let blob = [7_u8; 300];
    let start = WallClock.now_micros();
    transaction(store, || {
        (0..BENCH).try_for_each(|n| {
            let key = format!("app.bsky.feed.post/{n:013}");
            let params = [key.as_str().into(), n.into(), (&blob[..]).into()];
            store.query("INSERT INTO test_bench (k, n, b) VALUES (?1, ?2, ?3)", &params).map(|_| ())
        })
    })?;
    let inserted = WallClock.now_micros();
    for n in 0..BENCH {
        let key = format!("app.bsky.feed.post/{n:013}");
        let mut rows = store.query("SELECT k, n, b FROM test_bench WHERE k = ?1", &[key.as_str().into()])?;
        if let Some(row) = rows.first_mut() {
            row.blob(2)?;
        }
    }
    let selected = WallClock.now_micros();
    let rows = store.query("SELECT k, n, b FROM test_bench", &[])?;
    let scanned = WallClock.now_micros();
    store.query("DROP TABLE test_bench", &[])?;
    let count = u64::try_from(rows.len()).unwrap_or(1).max(1);
    let each = |from: u64, to: u64| to.saturating_sub(from) * 100 / count;
    Ok(json!({
        "hundredths_of_micros": true, "insert": each(start, inserted), "select": each(inserted, selected),
        "scan": each(selected, scanned)
    })
    .to_string())
}

fn json(text: String) -> Response {
    http::give(plain::Response::ok(plain::Body::Json(text)), Asked::default()).into()
}

fn count(store: &SqlStore, sql: &str) -> i64 {
    store.query(sql, &[]).ok().and_then(|mut rows| rows.first_mut()?.int(0).ok()).unwrap_or(-1)
}

fn enabled(env: &Env) -> bool {
    env.var("TEST_ROUTES").is_ok_and(|value| value.to_string() == "true")
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn number(url: &Url, name: &str) -> Option<u32> {
    parameter(url, name)?.parse().ok()
}

async fn sleep(url: &Url) {
    if let Some(ms) = number(url, "ms") {
        wait(ms).await;
    }
}

#[allow(clippy::panic)]
fn boom(place: &str) -> ! {
    // INVARIANT: compiled into test builds only; the panic is what the test is for.
    panic!("a test panics in {place}");
}
