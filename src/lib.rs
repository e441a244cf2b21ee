//! The Worker: the only code that knows Cloudflare.
//!
//! Thin on purpose. One file a binding, one file an object, and the way of a request between them:
//!
//! ```text
//!  entry.js ──> lib.rs ──> route.rs ──┬──> host methods (xrpc::host)
//!  (panic guard)                      ├──> AgentObject  (agent.rs), one per account
//!        limits.rs                   ├──> RelayObject  (relay.rs), one per host ──┐ pokes
//!            │                       └──> IndexObject  (index.rs), one per host <─┘
//!            └──> LimiterObject (limiter.rs), one per client
//!
//!  entry.js ──> lib.rs ──> queue.rs ──> tickets of deliveries that have failed (xrpc::host)
//! ```
//!
//! Nothing here decides anything that a test would want to see: what a method does stands in the crates below.

// The attribute macros of `worker` expand to unsafe code.
#![allow(unsafe_code)]

mod agent;
mod ai;
mod blobs;
mod body;
mod clock;
mod directory;
mod embedder;
mod entropy;
mod http;
mod import;
mod index;
mod limiter;
mod limits;
mod mail;
mod outbound;
mod proxy;
mod queue;
mod relay;
mod request;
mod route;
mod sockets;
mod sql;
mod stubs;
#[cfg(feature = "test-routes")]
mod test_routes;
mod vectorize;

use wasm_bindgen::prelude::*;
use web_sys::Response;
use worker::{Context, Env, event};

use crate::request::Incoming;

/// An HTTP request from outside.
#[event(fetch, respond_with_errors)]
async fn fetch(request: Incoming, env: Env, context: Context) -> worker::Result<Response> {
    Ok(route::respond(request, env, &context).await)
}

/// A message of a queue, as JSON, from `entry.js`: with nothing for an answer it is done, else it comes again in so many seconds.
#[wasm_bindgen]
pub async fn queue(delivered: String, env: Env) -> JsValue {
    queue::take(&delivered, &env).await
}
