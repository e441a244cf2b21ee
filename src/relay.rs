//! The object of the host: its sequencer and firehose.
//!
//! What it decides stands in `murmuration_relay`; here are the sockets, the alarm and the requests. Every turn of the
//! relay is synchronous, so nothing comes between storing an event and sending it. Three things happen behind the turns:
//!
//! - *The pump* serves readers that are behind, a batch at a time, with pauses in which others have their turn. The alarm
//!   resumes it if the object is evicted in between.
//! - *The alarm* drops what has expired, and asks relays to crawl. It is set only when it would fire earlier than it does
//!   already, because setting it is a billed row.
//! - *Requests to crawl*, and messages to webhooks, go out behind the answer; so do the visits to peers.

mod list;
mod peers;
mod subscribe;
mod webhooks;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use futures_util::future::FutureExt as _;
use murmuration_bridge::resolver::Cache;
use murmuration_lexicons::Catalog;
use murmuration_platform::{Clock, Outbound};
use murmuration_relay::limits::MAX_PUSH_BYTES;
use murmuration_relay::wire::{Purge, Push, Told};
use murmuration_relay::{LogConfig, Pump, Relay, RelayError, crawl_request};
use murmuration_xrpc::{Config, XrpcError, listing, peers as peers_methods, webhooks as webhooks_methods};
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, durable_object,
};

use crate::clock::{WallClock, wait};
use crate::http;
use crate::outbound::{Fetcher, Visits};
use crate::request::Incoming;
use crate::sockets::{self, OpenSockets};
use crate::sql::SqlStore;
use crate::stubs::{Stubs, names_internal_host};
#[cfg(feature = "test-routes")]
use crate::test_routes;

/// The stream of frames, as the Worker forwards it.
const FRAMES_PATH: &str = "/xrpc/com.atproto.sync.subscribeRepos";
/// The stream of events in JSON, as the Worker forwards it.
const EVENTS_PATH: &str = "/xrpc/agent.relay.subscribeEvents";
/// The events, for those who ask, and where the log of them stands.
const LIST_EVENTS_PATH: &str = "/xrpc/agent.relay.listEvents";
const DESCRIBE_PATH: &str = "/xrpc/agent.relay.describeRelay";
/// The list of who holds records of a collection, as the Worker forwards it.
const LIST_PATH: &str = "/xrpc/com.atproto.sync.listReposByCollection";
/// Bytes of the longest internal call: a push, and half as much again for what its events are packed in.
const MAX_CALL_BYTES: usize = MAX_PUSH_BYTES / 2 * 3;
/// Milliseconds to the alarm after one that failed.
const ALARM_BACKOFF_MS: u64 = 5_000;

/// The host's relay.
#[durable_object]
pub struct RelayObject {
    host: Rc<Host>,
}

/// What the object's calls and what happens behind them share.
struct Host {
    state: State,
    env: Env,
    store: SqlStore,
    sockets: OpenSockets,
    /// `None` until the first turn, and after the storage has failed: memory never runs ahead of it.
    relay: RefCell<Option<Relay>>,
    pumping: Cell<bool>,
    poking: Cell<bool>,
    /// When the alarm will fire, milliseconds; the outer `None` until it was read.
    alarm: Cell<Option<Option<u64>>>,
    /// How often other hosts were asked, once one was.
    visits: OnceCell<Option<Rc<Visits>>>,
    /// Whom peers have spoken of.
    cache: Cache,
}

impl DurableObject for RelayObject {
    fn new(state: State, env: Env) -> Self {
        let store = SqlStore::open(&state);
        let host = Host {
            state,
            env,
            store,
            sockets: OpenSockets::default(),
            relay: RefCell::default(),
            pumping: Cell::new(false),
            poking: Cell::new(false),
            alarm: Cell::new(None),
            visits: OnceCell::new(),
            cache: Cache::default(),
        };
        Self { host: Rc::new(host) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let host = &self.host;
        let request = Incoming::from(&request);
        #[cfg(feature = "test-routes")]
        if test_routes::wants_alarm(&host.env, &request) {
            host.fire().await;
            host.fire().await;
            return Response::empty();
        }
        #[cfg(feature = "test-routes")]
        if let Some(answer) = test_routes::fetch(&host.state, &host.store, &host.env, &request).await {
            return Ok(answer);
        }
        if let Some(method) = peers_methods::find(request.path()) {
            return Ok(host.peers(&request, method).boxed_local().await);
        }
        match (names_internal_host(request.url()), request.path()) {
            (_, LIST_PATH) => Ok(host.list(&request)),
            // Boxed, as in `route`, but for what each write comes by.
            (_, FRAMES_PATH) => host.read_frames(&request).boxed_local().await,
            (_, LIST_EVENTS_PATH) => Ok(host.list_events(&request).boxed_local().await),
            (_, DESCRIBE_PATH) => Ok(host.describe(&request)),
            (_, EVENTS_PATH) => host.read_events(&request).boxed_local().await,
            (true, "/append") => host.append(&request).await,
            (true, "/purge") => host.purge(&request).boxed_local().await,
            (true, "/told") => host.told(&request).boxed_local().await,
            (true, "/published") => host.published(&request).boxed_local().await,
            (true, "/reseal") => Ok(host.reseal(&request)),
            (_, path) => match webhooks_methods::find(path) {
                Some(method) => Ok(host.webhooks(&request, method).boxed_local().await),
                None => Ok(http::refuse(404, "NotFound", "Not Found")),
            },
        }
    }

    async fn alarm(&self) -> Result<Response> {
        #[cfg(feature = "test-routes")]
        test_routes::alarm(&self.host.state, &self.host.store).await;
        self.host.fire().await;
        Response::empty()
    }

    /// Readers of events may say what else they want. Readers of frames have nothing to say; what they say is ignored, as
    /// the specification asks.
    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        #[cfg(feature = "test-routes")]
        test_routes::message(&self.host.state, &socket, &message)?;
        self.host.said(&socket, &message).await;
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, code: usize, reason: String, _: bool) -> Result<()> {
        sockets::close_back(&socket, code, &reason);
        self.host.gone(&socket).await;
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _: worker::Error) -> Result<()> {
        self.host.gone(&socket).await;
        Ok(())
    }
}

impl Host {
    /// Runs one turn of the relay, waking it first.
    fn turn<T>(
        &self,
        body: impl FnOnce(&mut Relay, u64) -> std::result::Result<T, RelayError>,
    ) -> std::result::Result<T, XrpcError> {
        let now = self.now();
        let mut relay = self.relay.borrow_mut();
        let awake = match relay.as_mut() {
            Some(awake) => awake,
            None => relay.insert(self.wake(now)?),
        };
        let outcome = body(awake, now);
        if matches!(outcome, Err(RelayError::Store(_))) {
            *relay = None;
        }
        outcome.map_err(XrpcError::internal)
    }

    fn wake(&self, now: u64) -> std::result::Result<Relay, XrpcError> {
        let config = self.config()?;
        let log =
            LogConfig { retention_ms: config.retention_seconds.saturating_mul(1000), ..LogConfig::default() };
        let mut relay = Relay::open(&self.store, log, &config.relays).map_err(XrpcError::internal)?;
        for (id, attachment) in self.sockets.wake(&self.state) {
            relay.restore(id, &attachment);
        }
        relay.start(&self.store, now).map_err(XrpcError::internal)?;
        Ok(relay)
    }

    /// `POST https://internal/append`: a push of an agent, answered by an ack.
    async fn append(self: &Rc<Self>, request: &Incoming) -> Result<Response> {
        let body = bytes(request).await?;
        let push = match Push::decode(&body) {
            Ok(push) => push,
            Err(error) => return Ok(http::refuse(400, "InvalidRequest", &error.to_string())),
        };
        match self.turn(|relay, now| relay.append(&self.store, &self.sockets, &push, now)) {
            Ok(ack) => {
                self.settle().await;
                Response::from_bytes(ack.encode())
            }
            Err(error) => Ok(http::fault(&error)),
        }
    }

    /// `POST https://internal/purge`: an account was deleted.
    async fn purge(&self, request: &Incoming) -> Result<Response> {
        let purge = match Purge::decode(&bytes(request).await?) {
            Ok(purge) => purge,
            Err(error) => return Ok(http::refuse(400, "InvalidRequest", &error.to_string())),
        };
        match self.turn(|relay, _| relay.purge(&self.store, purge.did.as_str(), purge.before)) {
            Ok(()) => Response::empty(),
            Err(error) => Ok(http::fault(&error)),
        }
    }

    /// `POST https://internal/told`: what an account holds.
    async fn told(&self, request: &Incoming) -> Result<Response> {
        let told = match Told::decode(&bytes(request).await?) {
            Ok(told) => told,
            Err(error) => return Ok(http::refuse(400, "InvalidRequest", &error.to_string())),
        };
        match self.turn(|relay, _| relay.told(&self.store, &told)) {
            Ok(()) => Response::empty(),
            Err(error) => Ok(http::fault(&error)),
        }
    }

    /// `POST https://internal/published`: what is for the public index behind a cursor.
    async fn published(&self, request: &Incoming) -> Result<Response> {
        let body = bytes(request).await?;
        let Ok(after) = <[u8; 8]>::try_from(body.as_slice()) else {
            return Ok(http::refuse(400, "InvalidRequest", "a cursor has eight bytes"));
        };
        let page = self.turn(|relay, _| relay.published(&self.store, u64::from_be_bytes(after)));
        match page.and_then(|page| page.encode().map_err(XrpcError::internal)) {
            Ok(page) => Response::from_bytes(page),
            Err(error) => Ok(http::fault(&error)),
        }
    }

    /// The accounts that hold records of a collection.
    fn list(&self, request: &Incoming) -> Response {
        let answer = listing::repos_by_collection(Catalog::builtin(), &request.query(), |page| {
            self.turn(|relay, _| relay.holders(&self.store, &page.collection, &page.after, page.limit))
        });
        http::answer(answer.unwrap_or_else(|error| http::refusal(&error)), request)
    }

    /// A socket is gone.
    async fn gone(self: &Rc<Self>, socket: &WebSocket) {
        let Some(id) = self.sockets.remove(socket) else { return };
        if let Err(error) = self.turn(|relay, now| relay.unsubscribe(&self.store, id, now)) {
            worker::console_error!("firehose: {error}");
        }
        self.settle().await;
    }

    /// Begins what a turn has left to do behind it.
    async fn settle(self: &Rc<Self>) {
        self.start_pump();
        self.start_crawls();
        self.start_deliveries();
        self.start_visits();
        self.start_poke();
        if let Err(error) = self.arm().await {
            worker::console_error!("firehose: {error}");
        }
    }

    /// Serves those who are behind, unless that goes on already: a batch at once, the rest behind the answer.
    fn start_pump(self: &Rc<Self>) {
        if self.pumping.get() {
            return;
        }
        let Some(pause) = self.pump() else { return };
        self.pumping.set(true);
        let host = Rc::clone(self);
        self.state.wait_until(async move {
            let mut pause = Some(pause);
            while let Some(ms) = pause {
                wait(ms).await;
                pause = host.pump();
            }
            host.pumping.set(false);
        });
    }

    /// One turn of the pump; answers the milliseconds until the next, or `None` if there is nothing left to do.
    fn pump(&self) -> Option<u32> {
        match self.turn(|relay, now| relay.pump(&self.store, &self.sockets, now)) {
            Ok(Pump::Idle) => None,
            Ok(Pump::Again) => Some(0),
            Ok(Pump::Pause(ms)) => Some(u32::try_from(ms).unwrap_or(u32::MAX)),
            Err(error) => {
                // The alarm begins again.
                worker::console_error!("firehose: {error}");
                None
            }
        }
    }

    /// Tells the public index that there is something for it, unless it is being told. A poke that is lost is made up for by the next,
    /// or when the relay wakes.
    fn start_poke(self: &Rc<Self>) {
        if self.poking.get() || !self.turn(|relay, _| Ok(relay.take_poke())).unwrap_or(false) {
            return;
        }
        self.poking.set(true);
        let host = Rc::clone(self);
        self.state.wait_until(async move {
            if let Err(error) = Stubs::new(&host.env).poke().await {
                worker::console_warn!("the index was not poked: {error}");
            }
            host.poking.set(false);
            host.start_poke();
        });
    }

    /// Asks the relays whose time has come.
    fn start_crawls(self: &Rc<Self>) {
        let due = self.turn(|relay, now| Ok(relay.take_crawls(&self.store, now)?)).unwrap_or_default();
        for url in due {
            let host = Rc::clone(self);
            self.state.wait_until(async move {
                if let Err(error) = host.ask(&url).await {
                    worker::console_warn!("{url} was asked to crawl this host: {error}");
                }
            });
        }
    }

    async fn ask(&self, url: &str) -> std::result::Result<(), XrpcError> {
        let config = self.config()?;
        let answer = self
            .fetcher(&config)
            .send(crawl_request(url, &config.hostname))
            .await
            .map_err(XrpcError::internal)?;
        match answer.status {
            200..=299 => self.turn(|relay, _| Ok(relay.crawl_accepted(&self.store, url)?)),
            status => Err(XrpcError::internal(format!("it answered {status}"))),
        }
    }

    /// The alarm has fired.
    async fn fire(self: &Rc<Self>) {
        self.alarm.set(Some(None));
        loop {
            match self.turn(|relay, now| relay.prune(&self.store, now)) {
                Ok(true) => wait(0).await,
                Ok(false) => break,
                Err(error) => {
                    // Set again rather than thrown: the platform gives up after six throws.
                    worker::console_error!("firehose: {error}");
                    let _ = self.set_alarm(self.now() + ALARM_BACKOFF_MS).await;
                    return;
                }
            }
        }
        self.settle().await;
    }

    /// Sets the alarm, if there is something to do before it would fire.
    async fn arm(&self) -> std::result::Result<(), XrpcError> {
        let set = match self.alarm.get() {
            Some(set) => set,
            None => {
                let at = self.state.storage().get_alarm().await.map_err(XrpcError::internal)?;
                let at = at.and_then(|at| u64::try_from(at).ok());
                // Another call may have been faster, and have set it since.
                *self.alarm.get().get_or_insert(at)
            }
        };
        let wanted = match set {
            Some(_) => self.turn(|relay, now| Ok(relay.urgent_alarm(now)))?,
            None => self.turn(|relay, now| relay.next_alarm(&self.store, now))?,
        };
        match wanted {
            Some(at) if set.is_none_or(|set| at < set) => self.set_alarm(at).await,
            _ => {
                self.alarm.set(Some(set));
                Ok(())
            }
        }
    }

    async fn set_alarm(&self, at: u64) -> std::result::Result<(), XrpcError> {
        self.alarm.set(Some(Some(at)));
        let offset = i64::try_from(at.saturating_sub(self.now())).unwrap_or(i64::MAX);
        self.state.storage().set_alarm(offset).await.map_err(XrpcError::internal)
    }

    /// The way out of the host.
    fn fetcher(&self, config: &Config) -> Fetcher {
        let visits = self.visits.get_or_init(|| Visits::of(config).map(Rc::new));
        Fetcher::new(config.allow_private_network).counting(visits.clone())
    }

    fn config(&self) -> std::result::Result<Config, XrpcError> {
        http::config(&self.env)
    }

    /// Milliseconds since the Unix epoch.
    fn now(&self) -> u64 {
        WallClock.now_micros() / 1000
    }
}

/// The body of an internal call.
async fn bytes(request: &Incoming) -> Result<Vec<u8>> {
    request.bytes(MAX_CALL_BYTES).await.map_err(|error| worker::Error::RustError(error.to_string()))
}
