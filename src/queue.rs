//! The queue of deliveries that have failed, and the one of those that it gives up: producer and consumer.
//!
//! What a ticket is worth and when it is to come again is decided in `xrpc` (`host/comms/ticket.rs`). `entry.js` hands each message
//! of a batch over by itself, behind a guard of its own, and does with it what this answers: nothing means that it is done, a
//! number that it is to come again in so many seconds.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Reflect};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::{DeliveryQueue, Host, Redeemed, Task, Ticket};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::body::message as text_of;
use crate::route;

/// The binding of the queue. A host without it does all by its alarms.
const BINDING: &str = "DELIVERIES";
/// The queue of the tickets that it has given up (`wrangler.toml`).
const UNDELIVERED: &str = "murmuration-undelivered";

#[wasm_bindgen(inline_js = "
/** Puts messages, as JSON that `sendBatch` takes, into a queue. */
export function putAll(queue, messages) {
  return queue.sendBatch(JSON.parse(messages));
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = putAll)]
    fn put_all(queue: &JsValue, messages: &str) -> Result<Promise, JsValue>;
}

/// The queue behind its binding.
pub(crate) struct Deliveries(JsValue);

impl Deliveries {
    /// The queue, if the host has one.
    pub(crate) fn open(env: &Env) -> Option<Self> {
        let binding = Reflect::get(env, &BINDING.into()).unwrap_or_default();
        (!binding.is_undefined()).then_some(Self(binding))
    }
}

impl DeliveryQueue for Deliveries {
    fn put(&self, tickets: Vec<(Ticket, u32)>) -> Task<'_, Result<(), XrpcError>> {
        let message = |(ticket, seconds): &(Ticket, u32)| json!({ "body": ticket, "contentType": "json", "delaySeconds": seconds });
        Box::pin(self.put_all(tickets.iter().map(message).collect()))
    }
}

impl Deliveries {
    /// Puts messages as `sendBatch` takes them into the queue.
    pub(crate) async fn put_all(&self, messages: Value) -> Result<(), XrpcError> {
        let put = async { JsFuture::from(put_all(&self.0, &messages.to_string())?).await };
        put.await.map(drop).map_err(|error| {
            let text = text_of(&error);
            worker::console_warn!("the queue took no tickets: {text}");
            XrpcError::internal(text)
        })
    }
}

/// A message of a queue, as `entry.js` hands it over.
#[derive(Deserialize)]
struct Delivered {
    /// The queue's name.
    queue: String,
    /// How often it was brought, this time included.
    attempts: u32,
    body: Value,
}

/// Takes a message of a queue, and answers with the seconds after which it is to come again, or with nothing.
pub(crate) async fn take(delivered: &str, env: &Env) -> JsValue {
    #[cfg(feature = "test-routes")]
    crate::test_routes::ticket(delivered);
    let parsed = serde_json::from_str(delivered)
        .and_then(|Delivered { queue, attempts, body }| Ok((queue, attempts, serde_json::from_value(body)?)));
    let (queue, attempts, ticket): (String, u32, Ticket) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nobody could ever read it.
            worker::console_error!("a queue carries what is no ticket: {error}");
            return JsValue::UNDEFINED;
        }
    };
    let redeemed = route::with_host(env, async |host: &Host<'_>| {
        Ok(match queue == UNDELIVERED {
            true => host.give_up(&ticket, attempts).await,
            false => host.redeem(&ticket, attempts).await,
        })
    });
    match redeemed.await {
        Ok(Redeemed::Done) => JsValue::UNDEFINED,
        Ok(Redeemed::Again(seconds)) => seconds.into(),
        Err(error) => {
            worker::console_error!("a ticket: {error}");
            BROKEN_SECONDS.into()
        }
    }
}

/// Seconds after which a ticket comes again that met a host whose configuration is broken.
const BROKEN_SECONDS: u32 = 60;
