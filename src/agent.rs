//! The object of one account.

use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, durable_object,
};

use crate::http;
use crate::sql::SqlStore;
#[cfg(feature = "test-routes")]
use crate::test_routes;

/// One account.
#[durable_object]
pub struct AgentObject {
    state: State,
    env: Env,
    store: SqlStore,
}

impl DurableObject for AgentObject {
    fn new(state: State, env: Env) -> Self {
        let store = SqlStore::open(&state);
        Self { state, env, store }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        #[cfg(feature = "test-routes")]
        if let Some(answer) = test_routes::fetch(&self.state, &self.store, &self.env, &request).await {
            return Ok(answer);
        }
        let _ = (&self.state, &self.store, &self.env, request);
        Ok(http::refuse(404, "NotFound", "Not Found"))
    }

    async fn alarm(&self) -> Result<Response> {
        #[cfg(feature = "test-routes")]
        test_routes::alarm(&self.state, &self.store).await;
        Response::empty()
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        #[cfg(feature = "test-routes")]
        test_routes::message(&self.state, &socket, &message)?;
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
