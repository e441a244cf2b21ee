//! The accounts' objects as the Worker reaches them: through their stubs.

use js_sys::Uint8Array;
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::internal::InternalCall;
use murmuration_xrpc::host::{AgentAnswer, Agents, Task};
use wasm_bindgen::JsCast;
use worker::{Env, Method, Request, RequestInit, Response, Stub};

use crate::body::{self, Encoding, Sender};

/// The host under which the Worker calls an object for itself. No request from outside may name it.
pub(crate) const INTERNAL_HOST: &str = "internal";
/// Where an internal call goes.
const INTERNAL_URL: &str = "https://internal/";
/// The name of the relay's object: there is one a host.
pub(crate) const RELAY_NAME: &str = "host";
/// Bytes of the longest answer to an internal call.
const MAX_ANSWER_BYTES: usize = 1_000_000;

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
    pub(crate) async fn forward(self, did: &Did, request: Request) -> Result<Response, XrpcError> {
        self.send("AGENT", did.as_str(), request).await
    }

    /// Sends a request on, as it came, to the relay.
    ///
    /// # Errors
    /// A fault, when the object did not answer.
    pub(crate) async fn relay(self, request: Request) -> Result<Response, XrpcError> {
        self.send("RELAY", RELAY_NAME, request).await
    }

    async fn send(self, binding: &str, name: &str, request: Request) -> Result<Response, XrpcError> {
        let answer = match self.stub(binding, name) {
            Ok(stub) => stub.fetch_with_request(request).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| XrpcError::internal(format!("{binding} {name}: {error}")))
    }

    fn stub(self, binding: &str, name: &str) -> worker::Result<Stub> {
        self.env.durable_object(binding)?.get_by_name(name)
    }
}

impl Agents for Stubs<'_> {
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move {
            let json = serde_json::to_vec(&call).map_err(XrpcError::internal)?;
            let mut init = RequestInit::new();
            init.with_method(Method::Post).with_body(Some(Uint8Array::from(json.as_slice()).into()));
            let request = Request::new_with_init(INTERNAL_URL, &init).map_err(XrpcError::internal)?;
            let answer = self.forward(did, request).await?;
            let status = answer.status_code();
            let answer: web_sys::Response = answer.into();
            let stream = answer.body().map(JsCast::unchecked_into);
            let body = body::read(stream.as_ref(), Encoding::Identity, MAX_ANSWER_BYTES, Sender::Server)
                .await
                .map_err(XrpcError::internal)?;
            Ok(AgentAnswer { status, body })
        })
    }
}
