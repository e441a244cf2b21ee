//! The way of a request.

use worker::{Env, Method, Request, Response};

use crate::http;

/// Answers a request from outside. Every fault is an answer, too.
pub(crate) async fn respond(request: Request, env: &Env) -> Response {
    if request.method() == Method::Options {
        let asked = request.headers().get("access-control-request-headers").ok().flatten();
        return http::preflight(asked);
    }
    #[cfg(feature = "test-routes")]
    if let Some(answer) = crate::test_routes::outside(&request, env).await {
        return answer;
    }
    let _ = env;
    match request.path().as_str() {
        "/xrpc/_health" => {
            http::json(200, concat!(r#"{"version":""#, env!("CARGO_PKG_VERSION"), r#""}"#).into())
        }
        path if path.starts_with("/xrpc/") => {
            http::refuse(501, "MethodNotImplemented", "Method Not Implemented")
        }
        _ => http::refuse(404, "NotFound", "Not Found"),
    }
}
