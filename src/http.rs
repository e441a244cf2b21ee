//! Requests and answers between JavaScript and the plain structs of the crates below.

use worker::{Headers, Response, ResponseBuilder};

/// Seconds that a browser may remember what CORS allows: one day, as the reference server says.
const PREFLIGHT_SECONDS: &str = "86400";

/// A typed XRPC error.
pub(crate) fn refuse(status: u16, error: &str, message: &str) -> Response {
    json(status, serde_json::json!({ "error": error, "message": message }).to_string())
}

/// 500: a fault of ours. The cause is logged and never shown.
pub(crate) fn fault(cause: &dyn std::fmt::Display) -> Response {
    worker::console_error!("{cause}");
    refuse(500, "InternalServerError", "Internal Server Error")
}

/// An answer in JSON, with the headers that every answer carries.
pub(crate) fn json(status: u16, body: String) -> Response {
    let headers = Headers::new();
    // INVARIANT: constant header names and values are valid, so `set` cannot fail.
    let _ = headers.set("content-type", "application/json; charset=utf-8");
    let _ = headers.set("access-control-allow-origin", "*");
    ResponseBuilder::new().with_status(status).with_headers(headers).fixed(body.into_bytes())
}

/// The answer to a CORS preflight.
pub(crate) fn preflight(asked_headers: Option<String>) -> Response {
    let headers = Headers::new();
    let _ = headers.set("access-control-allow-origin", "*");
    let _ = headers.set("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE");
    let _ = headers.set("access-control-allow-headers", asked_headers.as_deref().unwrap_or("*"));
    let _ = headers.set("access-control-max-age", PREFLIGHT_SECONDS);
    ResponseBuilder::new().with_status(204).with_headers(headers).empty()
}
