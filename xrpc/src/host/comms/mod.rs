//! `agent.comms`: messages on their way from one agent to another.
//!
//! ```text
//!   sendMessage ─► readers: their keys ─► sender's object: seals, signs, stores
//!                                                  │ parcel
//!                    ┌─────────────────────────────┴──────────────┐ at once, and by the alarm of the sender's object
//!                    ▼ same host                                  ▼ another host
//!             reader's object ◄──── deliver ◄──── service token, by the sender's object
//!                    │
//!                    └─► outcome ─► sender's object: receipts, retries
//! ```

mod carry;

use murmuration_bridge::BridgeError;
use murmuration_bridge::resolver::Purpose;
use murmuration_comms::Parcel;
use murmuration_data::Ipld;
use murmuration_data::json;
use murmuration_platform::{OutboundRequest, Verb};
use murmuration_syntax::Did;
use serde::Deserialize;
use serde_json::{Value as Json, json as object};

use super::directory::Status;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::internal::InternalCall;
use crate::agent::internal::comms::{CommsCall, Incoming, Made, Outgoing, Reader};
use crate::auth::Caller;
use crate::http::Response;

impl Host<'_> {
    /// `agent.comms.sendMessage`
    pub(crate) async fn send_message(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let to = call.input.texts("to").into_iter().map(Did::parse).collect::<Result<Vec<_>, _>>();
        let mut to = to.map_err(|error| XrpcError::invalid(error.to_string()))?;
        // Each once: the keys of one who is named twice would be asked for twice, and a message is sealed to nobody twice.
        to.sort();
        to.dedup();
        let public = call.input.text("privacy") == Some("public");
        let id = call.input.optional("id")?;
        let expires_at = call.input.text("expiresAt").map(str::to_owned);
        let record = json::to_value(&call.input.take("record").unwrap_or(Ipld::Null));
        let to = self.readers(to, public).await?;
        let made = self.send(&call, Outgoing { record, to, id, public, expires_at }).await?;
        Response::json(&object!({
            "id": made.id,
            "uri": made.uri,
            "cid": made.cid,
            "receipts": made.receipts,
        }))
    }

    /// `agent.comms.cancelTask`: a response of the requester, to all who were asked.
    pub(crate) async fn cancel_task(&self, call: HostCall) -> Result<Response, XrpcError> {
        #[derive(Deserialize)]
        struct Cancellation {
            task: Json,
            to: Vec<Did>,
        }
        let request = call.input.text("request").unwrap_or_default().to_owned();
        let own = call.caller.claims()?.sub.clone();
        let ask = InternalCall::Comms(CommsCall::Cancellation { request: request.clone() });
        let mut found: Cancellation = agents::ask(self.agents, &own, ask).await?;
        let [first, ..] = found.to.as_slice() else { return Err(XrpcError::internal("a task of nobody")) };
        let record = object!({
            "$type": "agent.comms.response",
            "recipient": first,
            "requestUri": request,
            "status": "canceled",
        });
        let to = self.readers(found.to, false).await?;
        let made = self.send(&call, Outgoing { record, to, id: None, public: false, expires_at: None }).await;
        made.map_err(|error| match error.error() {
            // It has ended meanwhile.
            "TaskStateConflict" => XrpcError::named("TaskNotCancelable", error.message()),
            _ => error,
        })?;
        if let Some(fields) = found.task.as_object_mut() {
            fields.insert("state".into(), "canceled".into());
        }
        Response::json(&found.task)
    }

    /// `agent.comms.deliver`
    pub(crate) async fn deliver(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let Caller::Delivery { from, to, token } = call.caller else { return Err(XrpcError::auth_missing()) };
        let parcel = Parcel::from_ipld(call.input.take("parcel").unwrap_or(Ipld::Null))?;
        if self.directory.by_did(&to).await?.is_none() {
            return Err(XrpcError::named("RecipientNotFound", "no such agent is here"));
        }
        let document = self.document(&from, Purpose::Authentication).await;
        let key = document.ok().and_then(|document| document.signing_key().ok());
        let key = key.ok_or_else(|| XrpcError::upstream("The key of the sender could not be resolved"))?;
        let incoming = Incoming {
            parcel: data_encoding::BASE64_NOPAD.encode(&parcel.to_cbor()?),
            same_host: self.directory.by_did(&from).await?.is_some(),
            sender: from,
            key: key.did_key(),
            token: Some(token),
        };
        let take = InternalCall::Comms(CommsCall::Take(Box::new(incoming)));
        let answer: Json = agents::ask(self.agents, &to, take).await?;
        Response::json(&answer)
    }

    /// Has the caller's object make a message, delivers it, and says how it stands.
    async fn send(&self, call: &HostCall, outgoing: Outgoing) -> Result<Made, XrpcError> {
        let account = call.account.as_ref().ok_or_else(XrpcError::auth_missing)?;
        let make = InternalCall::Comms(CommsCall::Send(Box::new(outgoing)));
        let mut made: Made = agents::ask(self.agents, &account.did, make).await?;
        if let Some(parcel) = made.parcel.take() {
            made.receipts = self.carry(&account.did, &account.signing_key, parcel).await?;
        }
        Ok(made)
    }

    /// Those that a message is for, with the keys that it is sealed to.
    async fn readers(&self, to: Vec<Did>, public: bool) -> Result<Vec<Reader>, XrpcError> {
        let readers = to.into_iter().map(|did| self.reader(did, public));
        futures_util::future::try_join_all(readers).await
    }

    async fn reader(&self, did: Did, public: bool) -> Result<Reader, XrpcError> {
        let missing = || XrpcError::named("RecipientNotFound", format!("no agent is known as {did}"));
        let keys = match self.directory.by_did(&did).await? {
            Some(entry) if entry.status != Status::Active => return Err(missing()),
            Some(_) if public => None,
            Some(_) => {
                let keys = agents::ask(self.agents, &did, InternalCall::Comms(CommsCall::Keys)).await;
                // Taken down or put to rest.
                Some(keys.map_err(|error: XrpcError| if error.status() < 500 { missing() } else { error })?)
            }
            None => {
                let document = self.document(&did, Purpose::Authentication).await;
                let document = document.map_err(|error: BridgeError| match error.is_transient() {
                    true => XrpcError::upstream(format!("The DID of {did} could not be resolved")),
                    false => missing(),
                })?;
                let pds = document.pds().map_err(|_: BridgeError| missing())?;
                if public { None } else { Some(self.published_keys(&did, pds).await?) }
            }
        };
        Ok(Reader { did, keys })
    }

    /// What an agent of another host publishes of its keys.
    async fn published_keys(&self, did: &Did, pds: &str) -> Result<Json, XrpcError> {
        #[derive(Deserialize)]
        struct Record {
            value: Json,
        }
        let url = format!(
            "{pds}/xrpc/com.atproto.repo.getRecord?repo={did}&collection={}&rkey={}",
            murmuration_keyring::COLLECTION,
            murmuration_keyring::RKEY,
        );
        let request = OutboundRequest {
            verb: Verb::Get,
            url,
            headers: Vec::new(),
            body: Vec::new(),
            max_bytes: MAX_KEYS_BYTES,
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.outbound.send(request).await;
        let answer = answer.map_err(|error| XrpcError::upstream(format!("{did}: {error}")))?;
        match (answer.status, serde_json::from_slice::<Record>(&answer.body)) {
            (200, Ok(record)) => Ok(record.value),
            (400..500, _) => {
                Err(XrpcError::named("NoRecipientKey", format!("{did} publishes no encryption key")))
            }
            _ => Err(XrpcError::upstream(format!("The host of {did} did not say what keys it publishes"))),
        }
    }
}

/// Bytes of a record of keys, as JSON: 32 epochs of 1.5 kB, twice over for base 64 and what is around.
const MAX_KEYS_BYTES: usize = 128 * 1024;
/// Milliseconds that another host may take to answer.
const TIMEOUT_MS: u32 = 10_000;
