//! Subscriptions: how a reader comes, and what it may say.

use std::rc::Rc;

use murmuration_lexicons::Catalog;
use murmuration_relay::{Reads, Refusal};
use murmuration_xrpc::events;
use worker::{Response, Result, WebSocket, WebSocketIncomingMessage, WebSocketPair};

use super::Host;
use crate::http;
use crate::request::Incoming;
use crate::sockets::{self, with_header};

/// WebSocket close code 1011: a fault of ours.
const CLOSE_FAULT: u16 = 1011;
/// Seconds after which a reader that found no room may try again.
const RETRY_AFTER_SECONDS: &str = "60";

impl Host {
    /// `com.atproto.sync.subscribeRepos`.
    pub(super) async fn read_frames(self: &Rc<Self>, request: &Incoming) -> Result<Response> {
        self.subscribe(request, Ok(Reads::Frames), |refusal, server| server.send_with_bytes(refusal.frame()))
            .await
    }

    /// `agent.relay.subscribeEvents`.
    pub(super) async fn read_events(self: &Rc<Self>, request: &Incoming) -> Result<Response> {
        let filter = events::filter_of_query(Catalog::builtin(), &request.query());
        let said = |refusal: &Refusal, server: &WebSocket| server.send_with_str(refusal.text());
        let answer = self.subscribe(request, filter.map(Reads::Events), said).await?;
        sockets::agreed(answer, request, events::offers_subprotocol, events::SUBPROTOCOL)
    }

    /// A reader of events has said something.
    pub(super) async fn said(self: &Rc<Self>, socket: &WebSocket, message: &WebSocketIncomingMessage) {
        let Some(id) = sockets::name(socket) else { return };
        if !self.turn(|relay, now| Ok(relay.heed(&self.sockets, id, now))).unwrap_or(false) {
            return;
        }
        let wanted = match message {
            WebSocketIncomingMessage::String(text) => events::filter_of_message(Catalog::builtin(), text),
            WebSocketIncomingMessage::Binary(_) => {
                Err(Refusal::new("InvalidFilter", "a message must be text"))
            }
        };
        let done = self.turn(|relay, _| {
            relay.want(&self.sockets, id, wanted);
            Ok(())
        });
        if let Err(error) = done {
            worker::console_error!("events: {error}");
        }
    }

    /// A WebSocket that begins where its cursor says, and reads what it wants.
    async fn subscribe(
        self: &Rc<Self>,
        request: &Incoming,
        reads: std::result::Result<Reads, Refusal>,
        refuse: fn(&Refusal, &WebSocket) -> Result<()>,
    ) -> Result<Response> {
        if let Some(refusal) = sockets::check_upgrade(request)? {
            return Ok(refusal);
        }
        let query = request.query();
        let cursor = query.iter().find(|(name, _)| name == "cursor").map(|(_, value)| value.as_str());
        let reads = match self.turn(|relay, _| {
            Ok(reads.and_then(|reads| relay.refusal(cursor).map_or(Ok((relay.has_room(&reads), reads)), Err)))
        }) {
            Ok(Ok((true, reads))) => reads,
            Ok(Ok((false, _))) => {
                let full = http::refuse(429, "RateLimitExceeded", "Too many subscribers");
                return with_header(full, "retry-after", RETRY_AFTER_SECONDS);
            }
            Ok(Err(refusal)) => return sockets::refusing(&refusal, refuse),
            Err(error) => return Ok(http::fault(&error)),
        };
        let pair = WebSocketPair::new()?;
        let server = pair.server.clone();
        let id = self.sockets.accept(&self.state, pair.server);
        let begun = self.turn(|relay, _| {
            relay.subscribe(&self.sockets, id, cursor, reads);
            Ok(())
        });
        if let Err(error) = begun {
            let _ = server.close(Some(CLOSE_FAULT), Some("InternalServerError"));
            return Ok(http::fault(&error));
        }
        self.settle().await;
        Response::from_websocket(pair.client)
    }
}
