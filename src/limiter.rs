//! The object of one key of the rate limits: a client's address, an account, a name that somebody logs in with.
//!
//! It keeps its windows in memory alone. When it sleeps they are gone, and the next isolate that asks tells it what it
//! knows of them; what nobody remembers is forgiven. So a limit costs no row, and is as exact as isolates are long-lived.

use std::cell::RefCell;

use murmuration_platform::Clock;
use murmuration_rate::{Ask, Ledger};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::clock::WallClock;
use crate::http;

/// The windows of one key.
#[durable_object]
pub struct LimiterObject {
    ledger: RefCell<Ledger>,
}

impl DurableObject for LimiterObject {
    fn new(_state: State, _env: Env) -> Self {
        Self { ledger: RefCell::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let text = request.text().await?;
        match Ask::decode(&text) {
            Some(ask) => {
                let grant = self.ledger.borrow_mut().lease(&ask, WallClock.now_micros());
                Response::ok(grant.encode())
            }
            None => Ok(http::refuse(400, "InvalidRequest", "that is no ask")),
        }
    }
}
