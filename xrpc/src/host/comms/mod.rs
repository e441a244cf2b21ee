//! `agent.comms`: messages on their way from one agent to another.
//!
//! ```text
//!   sendMessage ─► readers: their keys ─► sender's object: seals, signs, stores
//!                                                  │ parcel
//!                    ┌─────────────────────────────┴──────────────┐ at once, then by the queue; the alarm of the
//!                    │                                            │ sender's object is behind it
//!                    ▼ same host                                  ▼ another host
//!             reader's object ◄──── deliver ◄──── service token, by the sender's object
//!                    │
//!                    └─► outcome ─► sender's object: receipts, retries
//! ```

pub(super) mod carry;
mod handoff;
pub(super) mod home;
mod ticket;

pub use home::Residents;
pub use ticket::{DeliveryQueue, Redeemed, Ticket};

use murmuration_bridge::BridgeError;
use murmuration_bridge::resolver::Purpose;
use murmuration_comms::Parcel;
use murmuration_data::{Ipld, cbor, json};
use murmuration_keyring::{COLLECTION, RKEY};
use murmuration_syntax::{Did, RepoPath, Tid};
use serde::Deserialize;
use serde_json::{Value as Json, json as object};

use self::home::Home;
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::KEYS_UNKNOWN;
use crate::agent::internal::comms::{CommsCall, Incoming, Made, Outgoing, Reader, ReaderKeys};
use crate::agent::internal::{Description, InternalCall};
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
        let mut id: Option<Tid> = call.input.optional("id")?;
        let expires_at = call.input.text("expiresAt").map(str::to_owned);
        let (record, sealed) = match (call.input.take("record"), call.input.take("parcel")) {
            (Some(record), None) => (json::to_value(&record), None),
            (None, Some(sealed)) => (Json::Null, Some(json::to_value(&sealed))),
            _ => return Err(XrpcError::invalid("Error: Input must have either a record or a parcel")),
        };
        if let Some(named) = sealed.as_ref().and_then(|sealed| sealed.get("id")?.as_str()) {
            let named = Tid::parse(named).map_err(|error| XrpcError::invalid(error.to_string()))?;
            if id.is_some_and(|id| id != named) {
                return Err(XrpcError::invalid("Error: id is not that of the parcel"));
            }
            id = Some(named);
        }
        // What is sealed is sealed to whom its sender wanted.
        let to = self.readers(to, public || sealed.is_some()).await?;
        let believe = call.input.flag("acceptNewKeys").unwrap_or(false);
        let hand_over = call.input.text("handOver").map(str::to_owned);
        if hand_over.is_some() && (public || sealed.is_some()) {
            return Err(XrpcError::named(
                "InvalidRecord",
                "a thread is handed over in private, by who keeps its keys",
            ));
        }
        let outgoing = Outgoing { record, sealed, to, id, public, expires_at, believe, hand_over };
        let made = self.send(&call, outgoing).await?;
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
            to: Vec<Did>,
        }
        let request = call.input.text("request").unwrap_or_default().to_owned();
        let own = call.caller.claims()?.sub.clone();
        let ask = InternalCall::Comms(CommsCall::Cancellation { request: request.clone() });
        let found: Cancellation = agents::ask(self.agents, &own, ask).await?;
        let [first, ..] = found.to.as_slice() else { return Err(XrpcError::internal("a task of nobody")) };
        let record = object!({
            "$type": "agent.comms.response",
            "recipient": first,
            "requestUri": request,
            "status": "canceled",
        });
        let to = self.readers(found.to, false).await?;
        let outgoing = Outgoing {
            record,
            sealed: None,
            to,
            id: None,
            public: false,
            expires_at: None,
            believe: false,
            hand_over: None,
        };
        let made = self.send(&call, outgoing).await;
        let made = made.map_err(|error| match error.error() {
            // It has ended meanwhile.
            "TaskStateConflict" => XrpcError::named("TaskNotCancelable", error.message()),
            _ => error,
        })?;
        Response::json(&made.task.ok_or_else(|| XrpcError::internal("a cancellation of no task"))?)
    }

    /// `agent.comms.deliver`
    pub(crate) async fn deliver(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let Caller::Delivery { from, to, token } = call.caller else { return Err(XrpcError::auth_missing()) };
        let parcel = Parcel::from_ipld(call.input.take("parcel").unwrap_or(Ipld::Null))?;
        if self.directory.by_did(&to).await?.is_none() {
            return Err(XrpcError::named("RecipientNotFound", "no such agent is here"));
        }
        let key = match self.document(&from, Purpose::Authentication).await {
            Ok(document) => document.signing_key().ok(),
            Err(error) if error.is_transient() => {
                return Err(XrpcError::upstream("The key of the sender could not be resolved"));
            }
            Err(_) => None,
        };
        let key = key.ok_or_else(|| XrpcError::named("InvalidProof", "the sender's DID names no key"))?;
        let incoming = Incoming {
            parcel: data_encoding::BASE64_NOPAD.encode(&parcel.to_cbor()?),
            same_host: self.is_neighbour(&from).await?,
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
        let made: Result<Made, XrpcError> = agents::ask(self.agents, &account.did, make).await;
        self.carry_made(account, made.map_err(known_or_away)?).await
    }

    /// Delivers a message that an agent's object has made, and says how it stands.
    pub(super) async fn carry_made(&self, account: &Description, mut made: Made) -> Result<Made, XrpcError> {
        if let Some(parcel) = made.parcel.take() {
            let carried = self.carry(&account.did, &account.signing_key, parcel, carry::MAX_LINE_OF_CALL);
            made.receipts = carried.await?;
        }
        let heads = std::mem::take(&mut made.heads);
        self.carry_line(&account.did, &account.signing_key, heads, carry::MAX_LINE_OF_CALL).await;
        Ok(made)
    }

    /// Those that a message is for, with the keys that it is sealed to.
    pub(super) async fn readers(&self, to: Vec<Did>, public: bool) -> Result<Vec<Reader>, XrpcError> {
        let readers = to.into_iter().map(|did| self.reader(did, public));
        futures_util::future::try_join_all(readers).await
    }

    pub(super) async fn reader(&self, did: Did, public: bool) -> Result<Reader, XrpcError> {
        let keys = match public {
            true => self.check_recipient(&did).await.map(|()| ReaderKeys::NotNeeded)?,
            false => self.reader_keys(&did).await?,
        };
        Ok(Reader { did, keys })
    }

    /// Refuses who is known not to be there.
    async fn check_recipient(&self, did: &Did) -> Result<(), XrpcError> {
        match self.home(did).await? {
            Home::Here => Ok(()),
            Home::Hidden => Err(unknown_recipient(did)),
            Home::Elsewhere => match self.document(did, Purpose::Authentication).await {
                Ok(document) => document.pds().map(drop).map_err(|_| unknown_recipient(did)),
                Err(error) if error.is_transient() => Ok(()),
                Err(_) => Err(unknown_recipient(did)),
            },
        }
    }

    async fn reader_keys(&self, did: &Did) -> Result<ReaderKeys, XrpcError> {
        if let Some(answer) = self.ask_here(did, || InternalCall::Comms(CommsCall::Keys)).await? {
            let keys = agents::read(&answer);
            return keys.map(ReaderKeys::Here).map_err(|error| match (error.status(), error.error()) {
                (_, "NoKeys") => {
                    XrpcError::named("NoRecipientKey", format!("{did} publishes no encryption key"))
                }
                // Taken down or put to rest.
                (400..500, _) => unknown_recipient(did),
                _ => error,
            });
        }
        match self.proven_keys(did).await {
            Ok(shown) => Ok(shown),
            Err(
                BridgeError::DidNotFound(_)
                | BridgeError::DidDeactivated(_)
                | BridgeError::UnsupportedMethod(_)
                | BridgeError::Document(_)
                | BridgeError::Web(_)
                | BridgeError::Cf(_),
            ) => Err(unknown_recipient(did)),
            // Away, or not to be believed: what was seen before counts, if anything was.
            Err(_) => Ok(ReaderKeys::Unknown),
        }
    }

    /// What an agent of another host is proven to publish of its keys, by its repository.
    async fn proven_keys(&self, did: &Did) -> Result<ReaderKeys, BridgeError> {
        let path = RepoPath::parse(&format!("{COLLECTION}/{RKEY}"))?;
        let record = self.resolver().record(did, &path, Purpose::Authentication).await?;
        let Some(record) = record else { return Ok(ReaderKeys::Nothing) };
        let record = cbor::decode(&record)?;
        Ok(ReaderKeys::Proven(json::to_value(&record)))
    }
}

fn unknown_recipient(did: &Did) -> XrpcError {
    XrpcError::named("RecipientNotFound", format!("no agent is known as {did}"))
}

/// What a caller is told where nothing can be sealed: that another host is away, or why not.
pub(super) fn known_or_away(error: XrpcError) -> XrpcError {
    match error.error() {
        KEYS_UNKNOWN => XrpcError::upstream(error.message()),
        _ => error,
    }
}

/// Milliseconds that another host may take to answer.
pub(super) const TIMEOUT_MS: u32 = 10_000;
