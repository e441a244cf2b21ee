//! The messages of the stream, in both directions: `xrpc.v1.json` of proposal 0015.

use murmuration_data::{Ipld, json};
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_relay::Refusal;
use serde_json::{Value as Json, json as object};

use crate::agent::Args;
use crate::http::{Body, Response};
use crate::method::Method;
use crate::token::Claims;
use crate::{XrpcError, table};

/// The stream's name.
pub const STREAM: &str = "agent.comms.subscribeInbox";
/// The path at which a socket is opened.
pub const PATH: &str = "/xrpc/agent.comms.subscribeInbox";
/// The subprotocol that the stream speaks, whether it is asked for or not.
pub const SUBPROTOCOL: &str = crate::events::SUBPROTOCOL;

/// A call of a method, on a socket.
#[derive(Clone)]
pub struct Called {
    /// What the client calls it.
    pub id: String,
    /// The method.
    pub method: &'static Method,
    /// Its input. The method's lexicon has not seen it yet.
    pub input: Ipld,
    /// By which token; set for what is to be done.
    pub claims: Option<Claims>,
    /// Whether the client is free of rate limits.
    pub unlimited: bool,
}

/// What a client says.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Said {
    /// A call; or the name of one that cannot be one, and why.
    Call(Result<Called, (String, XrpcError)>),
    /// That it has another token.
    Renew { id: String, token: String },
}

impl Said {
    /// Reads a message of a client.
    ///
    /// # Errors
    /// `InvalidFrame` for what is none, and so cannot be answered by name.
    pub(super) fn read(catalog: &Catalog, text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_FRAME_BYTES {
            return Err(invalid(&format!("a frame has at most {MAX_FRAME_BYTES} bytes")));
        }
        let mut message = Args::new(json::parse(text.as_bytes()).map_err(|error| invalid(&error))?);
        let payload = message.take("payload").unwrap_or(Ipld::Null);
        let kind = match &payload {
            Ipld::Map(fields) => fields.get("$type"),
            _ => None,
        };
        let kind = match kind {
            Some(Ipld::String(kind)) if message.text("$type") == Some("message") => kind.clone(),
            _ => return Err(invalid(&"a frame is a message with a payload")),
        };
        if kind != CALL && kind != RENEW {
            return Err(invalid(&format!("a payload is of the type {CALL} or {RENEW}")));
        }
        lexicons::object(catalog, &kind, &payload).map_err(|error| invalid(&error))?;
        let mut fields = Args::new(payload);
        let text_of = |name: &str| fields.text(name).unwrap_or_default().to_owned();
        let id = text_of("id");
        if kind == RENEW {
            return Ok(Self::Renew { token: text_of("accessJwt"), id });
        }
        let method = METHODS.iter().find(|nsid| **nsid == text_of("method"));
        let Some(method) = method.and_then(|nsid| table::find(nsid)) else {
            return Ok(Self::Call(Err((id, XrpcError::not_implemented()))));
        };
        if text.len() > method.max_json + FRAME_BYTES {
            return Ok(Self::Call(Err((id, XrpcError::too_large(method.max_json)))));
        }
        let input = fields.take("input").unwrap_or(Ipld::Null);
        Ok(Self::Call(Ok(Called { id, method, input, claims: None, unlimited: false })))
    }
}

/// The message of what a method has answered to a call.
#[must_use]
pub fn answered(id: &str, answer: Result<Response, XrpcError>) -> String {
    let answer = answer.and_then(|response| match response.body {
        Body::Json(text) => Ok(text),
        Body::Empty => Ok("{}".to_owned()),
        _ => Err(XrpcError::internal("an answer is no JSON")),
    });
    match answer {
        Ok(text) => {
            // The answer is JSON already, and may be long.
            let id = Json::from(id);
            format!(
                "{{\"$type\":\"message\",\"payload\":{{\"$type\":\"{STREAM}#answer\",\"id\":{id},\"output\":{text}}}}}"
            )
        }
        Err(error) => failure(id, &error),
    }
}

/// The message that a call was refused.
pub(super) fn failure(id: &str, error: &XrpcError) -> String {
    let mut payload = object!({
        "id": id, "status": error.status(), "error": error.error(), "message": error.message(),
    });
    let wait = error.headers().iter().find(|(name, _)| *name == "retry-after");
    if let (Some(fields), Some(seconds)) =
        (payload.as_object_mut(), wait.and_then(|(_, text)| text.parse::<u64>().ok()))
    {
        fields.insert("retryAfterSeconds".into(), seconds.into());
    }
    message("#failure", payload)
}

/// The message that something without an output was done, or not.
pub(super) fn outcome(id: &str, outcome: Result<(), XrpcError>) -> String {
    match outcome {
        Ok(()) => message("#answer", object!({ "id": id })),
        Err(error) => failure(id, &error),
    }
}

/// The message that a message has come.
pub(super) fn item(seq: u64, item: &Json) -> String {
    message("#item", object!({ "seq": seq, "item": item }))
}

/// The message of a receipt.
pub(super) fn receipt(seq: u64, receipt: &Json) -> String {
    message("#receipt", object!({ "seq": seq, "receipt": receipt }))
}

/// A message about the stream itself.
pub(super) fn info(name: &str, seq: u64) -> String {
    message("#info", object!({ "name": name, "seq": seq }))
}

fn message(kind: &str, mut payload: Json) -> String {
    if let Some(fields) = payload.as_object_mut() {
        fields.insert("$type".into(), format!("{STREAM}{kind}").into());
    }
    object!({ "$type": "message", "payload": payload }).to_string()
}

fn invalid(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new("InvalidFrame", error.to_string())
}

/// The methods that are called on a socket: what an agent does with its messages. It asks its questions over HTTP.
const METHODS: [&str; 4] = [
    "agent.comms.ackMessages",
    "agent.comms.cancelTask",
    "agent.comms.claimMessages",
    "agent.comms.sendMessage",
];
/// Bytes of a frame around the input of its call: names, an id and a method.
const FRAME_BYTES: usize = 1024;
/// Bytes of a frame, at most: the largest body of a method that is called on a socket, and what is around it.
pub const MAX_FRAME_BYTES: usize = 2 * murmuration_envelope::MAX_MESSAGE_BYTES + FRAME_BYTES;
const CALL: &str = "agent.comms.subscribeInbox#call";
const RENEW: &str = "agent.comms.subscribeInbox#renew";
