//! Rate limits of one request's client, spent from what this isolate has leased.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use murmuration_platform::Clock;
use murmuration_rate::{Grant, Rule, Spend, Status, Tabs};
use murmuration_xrpc::host::Task;
use murmuration_xrpc::limits::{self, Counter};
use murmuration_xrpc::{Config, XrpcError};
use wasm_bindgen::prelude::*;
use web_sys::Response;
use worker::Env;

use crate::clock::WallClock;
use crate::http::EXPOSE;
use crate::request::Incoming;
use crate::stubs::Stubs;

/// The header by which a caller shows the key that frees of the limits.
pub(crate) const BYPASS_HEADER: &str = "x-ratelimit-bypass";

// An answer that came from an object cannot be changed, so it is made anew around the same body. Pages of other origins may
// read what is added.
#[wasm_bindgen(inline_js = "
export function withHeaders(response, names, values, expose) {
  const answer = new Response(response.body, response);
  names.forEach((name, index) => answer.headers.set(name, values[index]));
  answer.headers.append(expose, names.join(', '));
  return answer;
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = withHeaders)]
    fn with_headers(
        response: &Response,
        names: Vec<String>,
        values: Vec<String>,
        expose: &str,
    ) -> Result<Response, JsValue>;
}

/// Counts the calls of one request's client.
pub(crate) struct Calls {
    tabs: Rc<RefCell<Tabs>>,
    env: Env,
    client: String,
    /// The window that has the fewest points left, of those that this request has spent from.
    tightest: Cell<Option<Status>>,
}

impl Calls {
    /// The counter of a request; `None` where there are no limits, or none for this caller.
    pub(crate) fn of(
        request: &Incoming,
        env: &Env,
        config: &Config,
        tabs: &Rc<RefCell<Tabs>>,
    ) -> Option<Rc<Self>> {
        if !config.rate_limits || config.bypasses_limits(request.header(BYPASS_HEADER).as_deref()) {
            return None;
        }
        let client = limits::client(
            config.client_ip_header.as_deref().and_then(|name| request.header(name)).as_deref(),
        );
        Some(Rc::new(Self { tabs: Rc::clone(tabs), env: env.clone(), client, tightest: Cell::new(None) }))
    }

    /// The counter of an account's calls on a socket, in its object. A client's frames are counted where they come.
    pub(crate) fn within(env: &Env, tabs: &Rc<RefCell<Tabs>>) -> Self {
        let client = limits::ANYONE.to_owned();
        Self { tabs: Rc::clone(tabs), env: env.clone(), client, tightest: Cell::new(None) }
    }

    /// Tells the caller how it stands, unless the answer says so of a tighter window.
    pub(crate) fn tell(&self, answer: Response) -> Response {
        let Some(status) = self.tightest.get() else { return answer };
        let said = answer.headers().get(limits::REMAINING).ok().flatten();
        // An upgrade to a WebSocket stays as it is.
        if answer.status() == 101
            || said.and_then(|text| text.parse().ok()).is_some_and(|n: u32| n <= status.remaining)
        {
            return answer;
        }
        let (names, values) =
            limits::headers(&status).into_iter().map(|(name, value)| (name.to_owned(), value)).unzip();
        with_headers(&answer, names, values, EXPOSE).unwrap_or(answer)
    }

    async fn spend(&self, key: &str, bucket: &str, rule: Rule, points: u32) -> Result<Status, Status> {
        let spend = self.tabs.borrow_mut().spend(key, bucket, rule, points, WallClock.now_micros());
        let ask = match spend {
            Spend::Done(status) => return Ok(status),
            Spend::Refused(status) => return Err(status),
            Spend::Ask(ask) => ask,
        };
        let answer = Stubs::new(&self.env).limiter(key, &ask.encode()).await;
        let grant = answer.and_then(|text| {
            Grant::decode(&text).ok_or_else(|| XrpcError::internal("the limiter's answer is no grant"))
        });
        let now = WallClock.now_micros();
        match grant {
            Ok(grant) => match self.tabs.borrow_mut().settle(key, &ask, grant, points, now) {
                Spend::Done(status) => Ok(status),
                Spend::Refused(status) => Err(status),
                // Nobody is refused for want of an answer of ours.
                Spend::Ask(ask) => Ok(ask.known.status(rule, now)),
            },
            Err(error) => {
                worker::console_error!("rate limits: {error}");
                Ok(ask.known.status(rule, now))
            }
        }
    }
}

impl Counter for Calls {
    fn client(&self) -> &str {
        &self.client
    }

    fn take<'a>(
        &'a self,
        key: String,
        bucket: String,
        rule: Rule,
        points: u32,
    ) -> Task<'a, Result<(), XrpcError>> {
        Box::pin(async move {
            let spent = self.spend(&key, &bucket, rule, points).await;
            let (Ok(status) | Err(status)) = spent;
            self.tightest.set(Some(self.tightest.get().map_or(status, |other| other.tighter(status))));
            match spent {
                Ok(_) => Ok(()),
                Err(status) => {
                    Err(XrpcError::rate_limited(&status, status.seconds_left(WallClock.now_micros())))
                }
            }
        })
    }
}
