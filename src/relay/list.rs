//! Events and news of the relay for those who ask over HTTP.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use murmuration_lexicons::Catalog;
use murmuration_relay::Filter;
use murmuration_xrpc::events::{self, Ask};
use murmuration_xrpc::{XrpcError, http as plain};
use worker::Response;

use super::Host;
use crate::clock::wait;
use crate::http;
use crate::request::Incoming;

impl Host {
    /// `agent.relay.describeRelay`.
    pub(super) fn describe(&self, request: &Incoming) -> Response {
        let query = request.query();
        let answer =
            self.turn(|relay, _| Ok(events::described(Catalog::builtin(), &query, relay.log()))).flatten();
        http::answer(answer.unwrap_or_else(|error| http::refusal(&error)), request)
    }

    /// `agent.relay.listEvents`.
    pub(super) async fn list_events(self: &Rc<Self>, request: &Incoming) -> Response {
        let answer = self.page(&request.query()).await;
        http::answer(answer.unwrap_or_else(|error| http::refusal(&error)), request)
    }

    /// A page, as soon as there is something on it.
    async fn page(&self, query: &[(String, String)]) -> Result<plain::Response, XrpcError> {
        let mut ask = Ask::of_query(Catalog::builtin(), query)?;
        let until = self.now() + ask.wait_ms;
        loop {
            let page = self
                .turn(|relay, _| relay.page(&self.store, ask.cursor.as_deref(), &ask.filter, ask.limit))?
                .map_err(events::refused)?;
            let more = page.at_head && page.events.is_empty() && !page.outdated;
            // Nothing is awaited since the page was read, so no event comes in between.
            if !more || !self.await_event(&ask.filter, until).await? {
                return Ok(events::listed(&page));
            }
            ask.cursor = Some(page.cursor.to_string());
        }
    }

    /// Waits for an event. Answers whether there is reason to look again.
    async fn await_event(&self, filter: &Filter, until: u64) -> Result<bool, XrpcError> {
        let left = u32::try_from(until.saturating_sub(self.now())).unwrap_or(u32::MAX);
        if left == 0 {
            return Ok(false);
        }
        let (id, woken) = self.sockets.waiter();
        let waits = self.turn(|relay, now| Ok(relay.await_event(id, filter.clone(), until, now)))?;
        if waits {
            either(woken, wait(left)).await;
            self.turn(|relay, _| {
                relay.give_up(id);
                Ok(())
            })?;
        }
        self.sockets.forget(id);
        Ok(waits)
    }
}

/// Waits for the first of two.
async fn either(one: impl Future, other: impl Future) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| {
        let done = one.as_mut().poll(context).is_ready() || other.as_mut().poll(context).is_ready();
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
