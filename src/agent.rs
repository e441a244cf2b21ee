//! The object of one account.
//!
//! It answers what the Worker forwards, and does three things on its own:
//!
//! - *Turns.* Writes that arrive while the last turn is being flushed are done together in the next one. The flush is
//!   what a write costs, so a busy account does one flush for many commits, and an idle one waits for nobody.
//! - *The outbox.* Events go to the relay behind the answer, in order, one call at a time.
//! - *The alarm.* One alarm serves the outbox and the blobs; see [`alarm`].

mod alarm;
mod call;
mod ending;
mod outbox;
mod turn;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use murmuration_account::Account;
use murmuration_platform::{Clock, Store};
use murmuration_xrpc::{Config, XrpcError};
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, durable_object,
};

use crate::clock::WallClock;
use crate::http;
use crate::sql::SqlStore;
#[cfg(feature = "test-routes")]
use crate::test_routes;

use alarm::Alarm;
use turn::Queue;

/// One account.
#[durable_object]
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
    /// Whether the remains of the account are being cleared away.
    ending: Cell<bool>,
    alarm: Alarm,
}

/// What is known once the object has been called.
struct Awake {
    account: Account,
    config: Config,
}

impl Agent {
    /// The account, after looking at the alarm for whether its last events may be unsent.
    async fn awake(&self) -> std::result::Result<&Awake, XrpcError> {
        if self.awake.get().is_none() {
            let config = http::config(&self.env)?;
            let taken = !self.alarm.read(&self.state).await?.says_unsent();
            let store: Rc<dyn Store> = Rc::<SqlStore>::clone(&self.store);
            let account = Account::new(store, config.kek.clone(), taken).limited(config.rate_limits);
            // Another call may have been faster; the first account stays.
            let _ = self.awake.set(Awake { account, config });
        }
        self.awake.get().ok_or_else(|| XrpcError::internal("the object did not wake"))
    }

    /// Empties the object, its alarm included.
    async fn wipe(&self) -> std::result::Result<(), XrpcError> {
        self.state.storage().delete_all().await.map_err(XrpcError::internal)?;
        self.awake().await?.account.forget();
        self.alarm.forget();
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.now_micros()
    }
}

impl DurableObject for AgentObject {
    fn new(state: State, env: Env) -> Self {
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
                ending: Cell::new(false),
                alarm: Alarm::default(),
            }),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        #[cfg(feature = "test-routes")]
        if test_routes::wants_alarm(&self.agent.env, &request) {
            alarm::fire(&self.agent).await;
            alarm::fire(&self.agent).await;
            return Response::empty();
        }
        #[cfg(feature = "test-routes")]
        if let Some(answer) =
            test_routes::fetch(&self.agent.state, &self.agent.store, &self.agent.env, &request).await
        {
            return Ok(answer);
        }
        Ok(call::answer(&self.agent, request).await)
    }

    async fn alarm(&self) -> Result<Response> {
        #[cfg(feature = "test-routes")]
        test_routes::alarm(&self.agent.state, &self.agent.store).await;
        alarm::fire(&self.agent).await;
        Response::empty()
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        #[cfg(feature = "test-routes")]
        test_routes::message(&self.agent.state, &socket, &message)?;
        let _ = (socket, message);
        Ok(())
    }

    async fn websocket_close(
        &self,
        _socket: WebSocket,
        _code: usize,
        _reason: String,
        _clean: bool,
    ) -> Result<()> {
        Ok(())
    }

    async fn websocket_error(&self, _socket: WebSocket, _error: worker::Error) -> Result<()> {
        Ok(())
    }
}
