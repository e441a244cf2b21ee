//! The object of what is public on the network: one a host.
//!
//! What it decides stands in `murmuration_index`; here are the requests, the alarm and the embedder. The relay pokes it when there is
//! something to read, and it reads on behind the answer, a stretch of the log at a time: what is said in it is embedded first, and then
//! stored in one turn. What the embedder has not answered is stored without a vector, and embedded by the alarm. The alarm is set
//! only where something went wrong.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::future::FutureExt as _;
use murmuration_data::{json, parse_cid};
use murmuration_embedding::Vector;
use murmuration_index::{Change, Document, IndexError, Outgoing, PublicIndex, changes_of, values};
use murmuration_platform::{Clock, Embedder, VectorIndex};
use murmuration_relay::INDEXED;
use murmuration_syntax::{AtUri, Did, Rev};
use murmuration_xrpc::embedder::{ALARM_MS, CALL_MS, QUIET_MS, each};
use murmuration_xrpc::public::{self, Answered, Asked, IndexCall, Known};
use murmuration_xrpc::{Config, XrpcError};
use serde_json::Value as Json;
use url::form_urlencoded::byte_serialize;
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, durable_object,
};

use crate::clock::{WallClock, wait};
use crate::embedder;
use crate::http;
use crate::request::Incoming;
use crate::sql::SqlStore;
use crate::stubs::{Stubs, names_internal_host};
#[cfg(feature = "test-routes")]
use crate::test_routes;
use crate::vectorize::Vectorize;

/// Bytes of the longest call: a search with the most of everything that its lexicon allows.
const MAX_CALL_BYTES: usize = 256 * 1024;
/// Milliseconds to the alarm after a run that failed, by how many have failed in a row.
const BACKOFF_MS: [u64; 4] = [10_000, 60_000, 300_000, 1_800_000];
/// Milliseconds after which an outer index is asked how far it is.
const LANDING_MS: u64 = 5_000;
/// Pages of a collection that are read of an account: as many documents as the index keeps of one.
const MAX_PAGES: usize = murmuration_index::limits::MAX_OF_ACCOUNT / 100;

/// The host's public index.
#[durable_object]
pub struct IndexObject {
    host: Rc<Host>,
}

/// What the object's calls and what happens behind them share.
struct Host {
    state: State,
    env: Env,
    store: SqlStore,
    /// `None` until the first turn, and after the storage has failed: memory never runs ahead of it.
    index: RefCell<Option<PublicIndex>>,
    running: Cell<bool>,
    /// Whether there may be more than a run that goes on has seen.
    again: Cell<bool>,
    failures: Cell<usize>,
    /// Until when the embedder is not asked, milliseconds.
    quiet_until: Cell<u64>,
}

impl DurableObject for IndexObject {
    fn new(state: State, env: Env) -> Self {
        let store = SqlStore::open(&state);
        let host = Host {
            state,
            env,
            store,
            index: RefCell::default(),
            running: Cell::new(false),
            again: Cell::new(false),
            failures: Cell::new(0),
            quiet_until: Cell::new(0),
        };
        Self { host: Rc::new(host) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let host = &self.host;
        let request = Incoming::from(&request);
        #[cfg(feature = "test-routes")]
        if let Some(answer) = test_routes::fetch(&host.state, &host.store, &host.env, &request).await {
            return Ok(answer);
        }
        match (names_internal_host(request.url()), request.path()) {
            (true, "/poke") => {
                host.start();
                Response::empty()
            }
            (true, "/ask") => match host.answer(&request).boxed_local().await {
                Ok(answer) => Response::from_json(&answer),
                Err(error) => Ok(http::fault(&error)),
            },
            _ => Ok(http::refuse(404, "NotFound", "Not Found")),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.host.run().await;
        Response::empty()
    }

    async fn websocket_message(&self, _: WebSocket, _: WebSocketIncomingMessage) -> Result<()> {
        Ok(())
    }

    async fn websocket_close(&self, _: WebSocket, _: usize, _: String, _: bool) -> Result<()> {
        Ok(())
    }

    async fn websocket_error(&self, _: WebSocket, _: worker::Error) -> Result<()> {
        Ok(())
    }
}

impl Host {
    /// Runs one turn over the index, waking it first.
    fn turn<T>(
        &self,
        body: impl FnOnce(&mut PublicIndex) -> std::result::Result<T, IndexError>,
    ) -> std::result::Result<T, XrpcError> {
        let mut index = self.index.borrow_mut();
        let awake = match index.as_mut() {
            Some(awake) => awake,
            None => {
                let outer = self.config()?.vector_index;
                let opened = PublicIndex::open(&self.store, outer.as_deref());
                index.insert(opened.map_err(XrpcError::internal)?)
            }
        };
        let outcome = body(awake);
        if outcome.is_err() {
            *index = None;
        }
        outcome.map_err(XrpcError::internal)
    }

    /// `POST https://internal/ask`: a call of the Worker.
    async fn answer(self: &Rc<Self>, request: &Incoming) -> std::result::Result<Json, XrpcError> {
        let body = request.bytes(MAX_CALL_BYTES).await.map_err(XrpcError::internal)?;
        match serde_json::from_slice(&body).map_err(XrpcError::internal)? {
            IndexCall::Search(asked) => self.search(&asked).await,
            IndexCall::Hide { uri, hidden } => {
                self.turn(|index| index.hide(&self.store, &uri, hidden))?;
                Ok(Json::Null)
            }
        }
    }

    async fn search(self: &Rc<Self>, asked: &Asked) -> std::result::Result<Json, XrpcError> {
        let config = self.config()?;
        let embedder = self.embedder(&config, CALL_MS).await;
        let embedder = embedder.inspect_err(|error| worker::console_warn!("{error}")).ok();
        let vector = match &embedder {
            Some(embedder) if !self.is_quiet() => match embedder.embed(&[&asked.text]).await {
                Ok(mut vectors) => vectors.pop(),
                Err(error) => {
                    self.hush(&error);
                    None
                }
            },
            _ => None,
        };
        let model = embedder.as_ref().map_or("", |embedder| embedder.id());
        let outside = self.search_outside(&config, asked, vector.as_deref()).await;
        let now = WallClock.now_micros();
        let (found, embedded) = self.turn(|index| {
            let outside = outside.as_deref().unwrap_or_default();
            let known = Known { model, vector, outside };
            let found = public::answer(index, &self.store, asked, known, now);
            Ok((found, index.is_embedded(model)))
        })?;
        let found = found.map(|found| Answered { whole: found.whole && outside.is_some(), ..found });
        if !embedded && embedder.is_some() && !self.is_quiet() {
            // Another embedder than the one that they have their vectors of, or one that did not answer when they came.
            self.start();
        }
        serde_json::to_value(found?).map_err(XrpcError::internal)
    }

    /// What the outer index finds, of which there may be none; `None` where it does not answer.
    async fn search_outside(
        &self,
        config: &Config,
        asked: &Asked,
        vector: Option<&[f32]>,
    ) -> Option<Vec<(String, f32)>> {
        let Some(outer) = Vectorize::open(config, &self.env, CALL_MS) else { return Some(Vec::new()) };
        let vector = Vector::from_f32(vector?).ok()?;
        let values = values(&vector);
        let found = outer.query(&public::outer_query(asked, &values)).await;
        found.inspect_err(|error| worker::console_warn!("{error}")).ok()
    }

    /// Tells the outer index what it does not know yet, and asks how far it is. What it has not done keeps the alarm set.
    async fn tell_outside(&self, config: &Config) -> std::result::Result<(), XrpcError> {
        let Some(outer) = Vectorize::open(config, &self.env, ALARM_MS) else { return Ok(()) };
        let now = || WallClock.now_micros() / 1000;
        while let Some(told) = self.turn(|index| Ok(index.outgoing()))? {
            let mutation = match &told {
                Outgoing::Put(entries) => outer.upsert(entries).await,
                Outgoing::Delete(ids) => outer.delete(ids).await,
            };
            let mutation = mutation.map_err(XrpcError::internal)?;
            self.turn(|index| index.sent(&self.store, &told, mutation, now()))?;
        }
        if self.turn(|index| Ok(index.is_settled()))? {
            return Ok(());
        }
        let processed = outer.processed().await.map_err(XrpcError::internal)?;
        self.turn(|index| index.landed(&self.store, processed.as_deref(), now()))?;
        match self.turn(|index| Ok(index.is_settled()))? {
            true => Ok(()),
            false => self.set_alarm(LANDING_MS).await,
        }
    }

    /// Reads on behind the answer.
    fn start(self: &Rc<Self>) {
        self.again.set(true);
        if !self.running.get() {
            let host = Rc::clone(self);
            self.state.wait_until(async move { host.run().await });
        }
    }

    /// Reads what there is, and embeds what is left. One run at a time.
    async fn run(self: &Rc<Self>) {
        if self.running.replace(true) {
            return self.again.set(true);
        }
        loop {
            self.again.set(false);
            match self.read_on().boxed_local().await {
                Ok(()) => self.failures.set(0),
                Err(error) => {
                    worker::console_warn!("the index goes on later: {error}");
                    self.put_off().await;
                    break;
                }
            }
            if !self.again.get() {
                break;
            }
        }
        self.running.set(false);
    }

    async fn put_off(&self) {
        let failures = self.failures.get();
        self.failures.set(failures + 1);
        let ms = BACKOFF_MS.get(failures).or(BACKOFF_MS.last()).copied().unwrap_or_default();
        // Set again rather than thrown: the platform gives up after six throws.
        if let Err(error) = self.set_alarm(ms).await {
            worker::console_error!("the index has no alarm: {error}");
        }
    }

    async fn set_alarm(&self, ms: u64) -> std::result::Result<(), XrpcError> {
        let offset = i64::try_from(ms).unwrap_or(i64::MAX);
        self.state.storage().set_alarm(offset).await.map_err(XrpcError::internal)
    }

    async fn read_on(self: &Rc<Self>) -> std::result::Result<(), XrpcError> {
        let config = self.config()?;
        let stubs = Stubs::new(&self.env);
        loop {
            let page = stubs.published(self.turn(|index| Ok(index.cursor()))?).await?;
            let mut changes: Vec<Change> =
                page.frames.iter().flat_map(|(own, frame)| changes_of(*own, frame)).collect();
            for change in &mut changes {
                if let Change::Another { did, rev, own: true, documents } = change {
                    *documents = list(stubs, did, *rev).await;
                }
            }
            // A host on which nothing is public has no need of one.
            let has_documents = changes.iter().any(Change::brings_documents);
            let embedder = match has_documents || !self.turn(|index| Ok(index.is_empty()))? {
                true => self.embedder(&config, ALARM_MS).await.map(Some),
                false => Ok(None),
            };
            if has_documents
                && !self.is_quiet()
                && let Ok(Some(embedder)) = &embedder
                && let Err(error) = public::embed(&**embedder, &mut changes).await
            {
                self.hush(&error);
            }
            // What has no vector is of no model.
            let model = embedder.as_ref().ok().and_then(Option::as_ref).map_or("", |embedder| embedder.id());
            self.turn(|index| index.apply(&self.store, changes, model, page.cursor))?;
            if page.at_head {
                if let Some(embedder) = embedder? {
                    self.embed_rest(&*embedder).await?;
                }
                break;
            }
            wait(0).await;
        }
        self.tell_outside(&config).await
    }

    /// Embeds what has no vector of this embedder.
    async fn embed_rest(&self, embedder: &dyn Embedder) -> std::result::Result<(), XrpcError> {
        loop {
            let pending = self.turn(|index| index.unembedded(&self.store, embedder.id()))?;
            if pending.is_empty() {
                return Ok(());
            }
            if self.is_quiet() {
                return Err(XrpcError::internal("the embedder is left alone for a while"));
            }
            let texts: Vec<&str> = pending.iter().map(|document| document.text.as_str()).collect();
            let made = each(embedder, &texts).await.map_err(|error| {
                self.hush(&error);
                XrpcError::internal(error)
            })?;
            let made = pending.into_iter().zip(made.into_iter().map(Into::into)).collect();
            self.turn(|index| index.keep_vectors(&self.store, embedder.id(), made))?;
            wait(0).await;
        }
    }

    async fn embedder(&self, config: &Config, ms: u32) -> std::result::Result<Rc<dyn Embedder>, XrpcError> {
        match embedder::over_network(config, &self.env, ms) {
            Some(embedder) => Ok(embedder),
            None => embedder::open(&self.env).await,
        }
    }

    fn is_quiet(&self) -> bool {
        self.quiet_until.get() > WallClock.now_micros() / 1000
    }

    /// Leaves an embedder alone for a while that did not answer.
    fn hush(&self, error: &dyn std::error::Error) {
        worker::console_warn!("{error}");
        self.quiet_until.set(WallClock.now_micros() / 1000 + QUIET_MS);
    }

    fn config(&self) -> std::result::Result<Config, XrpcError> {
        http::config(&self.env)
    }
}

/// The documents of an account of this host. One that does not say has none until it writes again.
async fn list(stubs: Stubs<'_>, did: &Did, rev: Rev) -> Vec<Document> {
    let mut documents = Vec::new();
    for collection in INDEXED {
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let path = format!(
                "/xrpc/com.atproto.repo.listRecords?repo={}&collection={collection}&limit=100{cursor}",
                escaped(did.as_str())
            );
            let page: Json = match stubs.ask(did, &path).await {
                Ok(answer) if answer.status == 200 => {
                    serde_json::from_slice(&answer.body).unwrap_or_default()
                }
                _ => break,
            };
            let records = page.get("records").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            documents.extend(records.iter().filter_map(|record| document(did, rev, record)));
            match page.get("cursor").and_then(Json::as_str) {
                Some(next) => cursor = format!("&cursor={}", escaped(next)),
                None => break,
            }
        }
    }
    documents
}

/// A value of a query string.
fn escaped(value: &str) -> String {
    byte_serialize(value.as_bytes()).collect()
}

/// A document as `listRecords` has it.
fn document(did: &Did, rev: Rev, record: &Json) -> Option<Document> {
    let text = |name| record.get(name).and_then(Json::as_str);
    let path = AtUri::parse(text("uri")?).ok()?.path()?;
    let cid = parse_cid(text("cid")?).ok()?;
    Document::of(did, &path, cid, rev, &json::from_value(record.get("value")?).ok()?)
}
