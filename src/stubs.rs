//! The accounts' objects as the Worker reaches them: through their stubs.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Reflect, Uint8Array};
use murmuration_bridge::CfDid;
use murmuration_relay::Published;
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::internal::InternalCall;
use murmuration_xrpc::host::{AgentAnswer, Agents, Task};
use murmuration_xrpc::public::IndexCall;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};
use worker::Env;

use crate::body::{self, Encoding, Sender, message};

#[wasm_bindgen(inline_js = "
export function send(namespace, name, request) {
  return namespace.getByName(name).fetch(request);
}

export function id(namespace, name) {
  return namespace.idFromName(name).toString();
}
")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn send(namespace: &JsValue, name: &str, request: &Request) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    fn id(namespace: &JsValue, name: &str) -> Result<String, JsValue>;
}

/// The host under which the Worker calls an object for itself. No request from outside may name it.
pub(crate) const INTERNAL_HOST: &str = "internal";
/// Where an internal call goes.
const INTERNAL_URL: &str = "https://internal/";
/// The name of the relay's object: there is one a host.
pub(crate) const RELAY_NAME: &str = "host";
/// The name of the public index's object: there is one a host.
const INDEX_NAME: &str = "host";
/// Bytes of the longest answer to an internal call: the largest memory, as JSON in which each byte is escaped.
const MAX_ANSWER_BYTES: usize = 2_000_000;
/// Bytes of the longest page: of the log, with a frame more than fits one, or of records that were found or listed.
const MAX_PAGE_BYTES: usize = 8_000_000;

/// The objects of this Worker's bindings.
#[derive(Clone, Copy)]
pub(crate) struct Stubs<'a> {
    env: &'a Env,
}

impl<'a> Stubs<'a> {
    /// The objects behind the bindings.
    pub(crate) const fn new(env: &'a Env) -> Self {
        Self { env }
    }

    /// Sends a request on, as it came, to the object of an account.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn forward(self, did: &Did, request: &Request) -> Result<Response, XrpcError> {
        self.send("AGENT", did.as_str(), request).await
    }

    /// Sends a request on, as it came, to the relay.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn subscribe(self, request: &Request) -> Result<Response, XrpcError> {
        self.send("RELAY", RELAY_NAME, request).await
    }

    /// Sends a request of an account's object to the relay.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn relay(self, request: worker::Request) -> Result<worker::Response, XrpcError> {
        self.send("RELAY", RELAY_NAME, request.inner()).await.map(Into::into)
    }

    /// Asks the object that counts what `key` may do.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn limiter(self, key: &str, ask: &str) -> Result<String, XrpcError> {
        let answer = self.post("LIMITER", key, INTERNAL_URL, ask.as_bytes()).await?;
        match answer.status {
            200 => String::from_utf8(answer.body).map_err(XrpcError::internal),
            status => Err(XrpcError::internal(format!("the limiter answered {status}"))),
        }
    }

    /// Tells the public index that there is something for it to read.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn poke(self) -> Result<(), XrpcError> {
        self.post("INDEX", INDEX_NAME, "https://internal/poke", &[]).await.map(drop)
    }

    /// What is for the public index behind a cursor.
    ///
    /// # Errors
    /// A fault, when the relay did not answer.
    pub(crate) async fn published(self, after: u64) -> Result<Published, XrpcError> {
        let url = "https://internal/published";
        let answer = self.post_within("RELAY", RELAY_NAME, url, &after.to_be_bytes(), MAX_PAGE_BYTES).await?;
        match answer.status {
            200 => Published::decode(&answer.body).map_err(XrpcError::internal),
            status => Err(XrpcError::internal(format!("the relay answered {status}"))),
        }
    }

    /// What anybody may ask an account of this host, by its object.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn ask(self, did: &Did, path_and_query: &str) -> Result<AgentAnswer, XrpcError> {
        let request = Request::new_with_str(&format!("https://index{path_and_query}"))
            .map_err(|error| XrpcError::internal(message(&error)))?;
        self.whole("AGENT", did.as_str(), &request, MAX_PAGE_BYTES).await
    }

    /// A call of the Worker itself: a POST to `https://internal/`, or a path of it.
    async fn post(self, binding: &str, name: &str, url: &str, body: &[u8]) -> Result<AgentAnswer, XrpcError> {
        self.post_within(binding, name, url, body, MAX_ANSWER_BYTES).await
    }

    async fn post_within(
        self,
        binding: &str,
        name: &str,
        url: &str,
        body: &[u8],
        limit: usize,
    ) -> Result<AgentAnswer, XrpcError> {
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&Uint8Array::from(body));
        let request = Request::new_with_str_and_init(url, &init)
            .map_err(|error| XrpcError::internal(message(&error)))?;
        self.whole(binding, name, &request, limit).await
    }

    /// Sends a request, and reads its answer to the end.
    async fn whole(
        self,
        binding: &str,
        name: &str,
        request: &Request,
        limit: usize,
    ) -> Result<AgentAnswer, XrpcError> {
        let answer = self.send(binding, name, request).await?;
        let stream = answer.body().map(JsCast::unchecked_into);
        let body = body::read(stream.as_ref(), Encoding::Identity, limit, Sender::Server)
            .await
            .map_err(XrpcError::internal)?;
        Ok(AgentAnswer { status: answer.status(), body })
    }

    async fn send(self, binding: &str, name: &str, request: &Request) -> Result<Response, XrpcError> {
        let failed = |error: JsValue| XrpcError::internal(format!("{binding} {name}: {}", message(&error)));
        let namespace = Reflect::get(self.env, &binding.into()).map_err(failed)?;
        let promise = send(&namespace, name, request).map_err(failed)?;
        Ok(JsFuture::from(promise).await.map_err(failed)?.unchecked_into())
    }
}

impl Agents for Stubs<'_> {
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move {
            let json = serde_json::to_vec(&call).map_err(XrpcError::internal)?;
            self.post("AGENT", did.as_str(), INTERNAL_URL, &json).await
        })
    }

    fn reseal_webhooks(&self) -> Task<'_, Result<AgentAnswer, XrpcError>> {
        Box::pin(self.post("RELAY", RELAY_NAME, "https://internal/reseal", &[]))
    }

    fn ask_index<'c>(&'c self, call: &'c IndexCall) -> Task<'c, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move {
            let json = serde_json::to_vec(call).map_err(XrpcError::internal)?;
            self.post_within("INDEX", INDEX_NAME, "https://internal/ask", &json, MAX_PAGE_BYTES).await
        })
    }

    fn alias(&self, did: &Did) -> Result<CfDid, XrpcError> {
        let failed = |error: JsValue| XrpcError::internal(format!("the id of {did}: {}", message(&error)));
        let namespace = Reflect::get(self.env, &"AGENT".into()).map_err(failed)?;
        CfDid::of_object(&id(&namespace, did.as_str()).map_err(failed)?).map_err(XrpcError::internal)
    }
}

/// Whether a request from outside names the host of internal calls. `url` is as the runtime gives it: normalised.
pub(crate) fn names_internal_host(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _port)| host);
    host.eq_ignore_ascii_case(INTERNAL_HOST)
}

#[cfg(test)]
mod tests {
    use super::names_internal_host;

    #[test]
    fn knows_the_internal_host_in_every_url() {
        for url in [
            "https://internal/",
            "http://internal/xrpc/a?b",
            "https://internal:8443/",
            "https://INTERNAL/",
            "https://a:b@internal:1/",
            "http://internal?x",
            "http://internal",
        ] {
            assert!(names_internal_host(url), "{url}");
        }
        for url in [
            "https://internal.example/",
            "http://pds.example/internal/",
            "http://x/?://internal/",
            "http://a@b/",
        ] {
            assert!(!names_internal_host(url), "{url}");
        }
    }
}
