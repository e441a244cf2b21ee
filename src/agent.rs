//! The object of one account.
//!
//! It answers what the Worker forwards, and does four things on its own:
//!
//! - *Turns.* Writes that arrive while the last turn is being flushed are done together in the next one. The flush is
//!   what a write costs, so a busy account does one flush for many commits, and an idle one waits for nobody.
//! - *The outbox.* Events go to the relay behind the answer, in order, one call at a time.
//! - *The alarm.* One alarm serves the outbox, the messages that are due, and the blobs; see [`alarm`].
//! - *The inbox.* Those who read it on a socket are told what happens in the turn that stores it.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

mod alarm;
mod call;
mod embedding;
mod ending;
mod inbox;
mod index;
mod messages;
mod outbox;
mod outside;
mod turn;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use futures_util::future::FutureExt as _;
use murmuration_account::Account;
use murmuration_bridge::resolver::Cache;
use murmuration_platform::{Clock, Store};
use murmuration_rate::Tabs;
use murmuration_xrpc::host::Residents;
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use web_sys::Response;
use worker::worker_sys::DurableObjectState;
use worker::{Env, State, WebSocket, WebSocketIncomingMessage};

use crate::clock::WallClock;
use crate::embedder::{self, AtHand};
use crate::http;
#[cfg(feature = "test-routes")]
use crate::http::{Asked, Head};
use crate::outbound::Visits;
use crate::request::Incoming;
use crate::sockets;
use crate::sql::SqlStore;
#[cfg(feature = "test-routes")]
use crate::test_routes;

use alarm::Alarm;
use inbox::Readers;
use turn::Queue;

/// One account.
#[wasm_bindgen]
pub struct AgentObject {
    agent: Rc<Agent>,
}

/// What the object's calls, its turns and its outbox share.
struct Agent {
    state: State,
    env: Env,
    store: Rc<SqlStore>,
    clock: WallClock,
    awake: OnceCell<Awake>,
    /// Writes that wait for the next turn.
    queue: RefCell<Queue>,
    turning: Cell<bool>,
    pushing: Cell<bool>,
    /// Whether calls have shared a turn since the last push.
    crowded: Cell<bool>,
    /// Whether the directory may not know what the agent says of itself: an earlier life may have left that.
    unindexed: Cell<bool>,
    /// Whether it is being told.
    indexing: Cell<bool>,
    /// Whether the remains of the account are being cleared away.
    ending: Cell<bool>,
    alarm: Alarm,
    readers: Readers,
    /// What was resolved for its messages.
    cache: Cache,
    /// The neighbours that it has written to.
    residents: Residents,
    /// How often other hosts were asked for them, once one was.
    visits: OnceCell<Option<Rc<Visits>>>,
    /// Until when calls do not wait for the embedder, in microseconds: it did not answer.
    quiet_until: Cell<u64>,
    /// What it has leased of its rate limits, for what comes by socket.
    tabs: Rc<RefCell<Tabs>>,
    /// Where it is to panic at the next message that comes.
    #[cfg(feature = "test-routes")]
    breaks: Cell<Option<test_routes::Break>>,
}

/// What is known once the object has been called.
struct Awake {
    account: Account,
    config: Config,
    embedder: AtHand,
}

impl Agent {
    /// The account, after looking at the alarm for whether its last events may be unsent.
    async fn awake(&self) -> Result<&Awake, XrpcError> {
        if self.awake.get().is_none() {
            let config = http::config(&self.env)?;
            let taken = !self.alarm.read(&self.state).await?.says_unsent();
            let store: Rc<dyn Store> = Rc::<SqlStore>::clone(&self.store);
            let account = Account::new(store, config.kek.clone(), taken).limited(config.rate_limits);
            let embedder = embedder::at_hand(&config, &self.env);
            // Another call may have been faster; the first account stays.
            let _ = self.awake.set(Awake { account, config, embedder });
        }
        self.awake.get().ok_or_else(|| XrpcError::internal("the object did not wake"))
    }

    /// Empties the object, its alarm included.
    async fn wipe(&self) -> Result<(), XrpcError> {
        self.state.storage().delete_all().await.map_err(XrpcError::internal)?;
        self.awake().await?.account.forget();
        self.alarm.forget();
        Ok(())
    }

    /// Answers a request.
    async fn respond(self: &Rc<Self>, request: Incoming) -> Response {
        #[cfg(feature = "test-routes")]
        if test_routes::wants_alarm(&self.env, &request) {
            alarm::fire(self).await;
            alarm::fire(self).await;
            return Head::new(Asked::default()).empty(200);
        }
        #[cfg(feature = "test-routes")]
        if let Some(planned) = test_routes::wants_break(&self.env, &request) {
            self.breaks.set(Some(planned));
            return Head::new(Asked::default()).empty(200);
        }
        #[cfg(feature = "test-routes")]
        if let Some(answer) = test_routes::fetch(&self.state, &self.store, &self.env, &request).await {
            return answer.into();
        }
        call::answer(self, request).await
    }

    fn now(&self) -> u64 {
        self.clock.now_micros()
    }
}

/// An answer, if it is ready when it is asked for, as most that only read are; else a promise of it. A promise costs more than
/// it takes to read a record.
fn now_or_later(answer: impl Future<Output = Response> + 'static) -> JsValue {
    let mut answer = Box::pin(answer);
    // Nobody is woken by this look: the promise looks again.
    match answer.as_mut().now_or_never() {
        Some(answer) => answer.into(),
        None => future_to_promise(async { Ok(answer.await.into()) }).into(),
    }
}

// By hand: the macro of `worker` takes its own form of an answer, whose body becomes a stream and then one more answer.
#[wasm_bindgen]
impl AgentObject {
    /// The object over its storage.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let store = Rc::new(SqlStore::open(&state));
        Self {
            agent: Rc::new(Agent {
                state,
                env,
                store,
                clock: WallClock,
                awake: OnceCell::new(),
                queue: RefCell::default(),
                turning: Cell::new(false),
                pushing: Cell::new(false),
                crowded: Cell::new(false),
                unindexed: Cell::new(true),
                indexing: Cell::new(false),
                ending: Cell::new(false),
                alarm: Alarm::default(),
                readers: Readers::default(),
                cache: Cache::default(),
                residents: Residents::default(),
                visits: OnceCell::new(),
                quiet_until: Cell::new(0),
                tabs: Rc::default(),
                #[cfg(feature = "test-routes")]
                breaks: Cell::new(None),
            }),
        }
    }

    /// A request, from the Worker: its answer, or a promise of it.
    pub fn fetch(&self, request: web_sys::Request) -> JsValue {
        let agent = Rc::clone(&self.agent);
        now_or_later(async move { agent.respond(Incoming::of(request)).await })
    }

    /// The alarm.
    pub async fn alarm(&self) {
        #[cfg(feature = "test-routes")]
        test_routes::alarm(&self.agent.state, &self.agent.store).await;
        alarm::fire(&self.agent).await;
    }

    /// A message on a socket of the inbox.
    #[wasm_bindgen(js_name = webSocketMessage)]
    pub async fn message(&self, socket: web_sys::WebSocket, message: JsValue) {
        let socket = WebSocket::from(socket);
        let message = match message.as_string() {
            Some(text) => WebSocketIncomingMessage::String(text),
            None => WebSocketIncomingMessage::Binary(Vec::new()),
        };
        #[cfg(feature = "test-routes")]
        let _ = test_routes::message(&self.agent.state, &socket, &message);
        inbox::heard(&self.agent, &socket, &message).await;
    }

    /// The end of one.
    #[wasm_bindgen(js_name = webSocketClose)]
    pub async fn closed(&self, socket: web_sys::WebSocket, code: u16, reason: String, _clean: bool) {
        let socket = WebSocket::from(socket);
        sockets::close_back(&socket, code.into(), &reason);
        inbox::gone(&self.agent, &socket);
    }

    /// The same, without a word.
    #[wasm_bindgen(js_name = webSocketError)]
    pub async fn broken(&self, socket: web_sys::WebSocket, _error: JsValue) {
        inbox::gone(&self.agent, &WebSocket::from(socket));
    }
}
