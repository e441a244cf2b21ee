//! Messages that were handed over, on their way from the giver to the one who reads them.

use murmuration_bridge::resolver::Purpose;
use murmuration_comms::{Parcel, Sender};
use murmuration_data::json;
use murmuration_platform::{OutboundRequest, Verb};
use murmuration_syntax::{AtIdentifier, AtUri, Did, Nsid, Tid};
use serde_json::{Value as Json, json as object};

use super::super::{Host, HostCall, agents};
use super::TIMEOUT_MS;
use super::carry::inbox;
use crate::XrpcError;
use crate::agent::internal::handoff::{EXPIRED, Given, GivenParcel, HandoffCall, expired};
use crate::agent::internal::{InternalCall, ProxyCall};
use crate::auth::Caller;
use crate::http::Response;

const GET_HANDED_OVER: &str = "agent.comms.getHandedOver";

impl Host<'_> {
    /// `agent.comms.getHandedOver`
    pub(crate) async fn handed_over(&self, call: HostCall) -> Result<Response, XrpcError> {
        let Caller::Delivery { from, to, token } = call.caller else { return Err(XrpcError::auth_missing()) };
        if self.directory.by_did(&to).await?.is_none() {
            return Err(XrpcError::named("RecipientNotFound", "no such agent is here"));
        }
        let after = usize::try_from(call.params.number("cursor").unwrap_or(0)).unwrap_or(usize::MAX);
        let id = call.params.parsed("handoff")?;
        let give = HandoffCall::Give { id, to: from, after, token: Some(token) };
        let given: Given = agents::ask(self.agents, &to, InternalCall::Handoff(give)).await?;
        Response::json(&given)
    }

    /// `agent.comms.getHandoff`
    pub(crate) async fn handoff(&self, call: HostCall) -> Result<Response, XrpcError> {
        let own = call.caller.claims()?.sub.clone();
        let uri = AtUri::parse(call.params.text("handoff").unwrap_or_default());
        let uri = uri.map_err(|error| XrpcError::invalid(error.to_string()))?;
        let none = || XrpcError::named("MessageNotFound", "no such handoff has come");
        let AtIdentifier::Did(giver) = uri.authority().clone() else { return Err(none()) };
        let id = uri.rkey().and_then(|rkey| Tid::parse(rkey.as_str()).ok()).ok_or_else(none)?;
        let after = match call.params.text("cursor") {
            None => 0,
            Some(text) => {
                text.parse().map_err(|_| XrpcError::invalid("cursor is none that a page has given"))?
            }
        };
        // Nobody is asked for what has not come.
        let known = HandoffCall::Open { giver: giver.clone(), id, parcels: Vec::new() };
        let _: Vec<Json> = agents::ask(self.agents, &own, InternalCall::Handoff(known)).await?;
        let given = self.given(&own, &giver, id, after).await?;
        let mut parcels = Vec::new();
        for parcel in given.parcels {
            let parcel = json::from_value(&parcel).ok().and_then(|parcel| Parcel::from_ipld(parcel).ok());
            let parcel = parcel.ok_or_else(|| XrpcError::upstream("What was handed over is no message"))?;
            let proven = self.proves(&parcel).await;
            parcels
                .push(GivenParcel { parcel: data_encoding::BASE64_NOPAD.encode(&parcel.to_cbor()?), proven });
        }
        let open = HandoffCall::Open { giver, id, parcels };
        let messages: Vec<Json> = agents::ask(self.agents, &own, InternalCall::Handoff(open)).await?;
        let mut page = object!({ "messages": messages });
        if let (Some(fields), Some(cursor)) = (page.as_object_mut(), given.cursor) {
            fields.insert("cursor".into(), cursor.to_string().into());
        }
        Response::json(&page)
    }

    /// What a giver has handed over, from its object or from its host.
    async fn given(&self, own: &Did, giver: &Did, id: Tid, after: usize) -> Result<Given, XrpcError> {
        let give = || InternalCall::Handoff(HandoffCall::Give { id, to: own.clone(), after, token: None });
        if let Some(answer) = self.ask_here(giver, give).await? {
            return agents::read(&answer);
        }
        let away = |what: String| XrpcError::upstream(format!("{giver}: {what}"));
        let document = self.document(giver, Purpose::Authentication).await;
        let document = document.map_err(|error| away(error.to_string()))?;
        let endpoint = inbox(&document).ok_or_else(|| away("its DID document names no host".into()))?;
        let token = ProxyCall::Token {
            aud: format!("{giver}#agent_inbox"),
            lxm: Nsid::parse(GET_HANDED_OVER).map_err(XrpcError::internal)?,
            even_takendown: false,
        };
        let token: String = agents::ask(self.agents, own, InternalCall::Proxy(token)).await?;
        let request = OutboundRequest {
            verb: Verb::Get,
            url: format!("{endpoint}/xrpc/{GET_HANDED_OVER}?handoff={id}&cursor={after}"),
            headers: vec![("authorization".into(), format!("Bearer {token}"))],
            body: Vec::new(),
            max_bytes: MAX_GIVEN_BYTES,
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.outbound.send(request).await.map_err(|error| away(error.to_string()))?;
        match (answer.status, serde_json::from_slice::<Given>(&answer.body)) {
            (200, Ok(given)) => Ok(given),
            (400..500, _) if names(&answer.body, EXPIRED) => {
                Err(expired("What was handed over so long ago its giver does not keep any more"))
            }
            (400..500, _) => {
                Err(XrpcError::named("MessageNotFound", format!("{giver} does not know of this handoff")))
            }
            (status, _) => Err(away(format!("its host answered {status}"))),
        }
    }

    /// Whether a message's proof verifies by the key that its sender has now.
    async fn proves(&self, parcel: &Parcel) -> bool {
        let did = &parcel.header().from;
        let document = self.document(did, Purpose::Authentication).await;
        let key = document.ok().and_then(|document| document.signing_key().ok());
        key.is_some_and(|key| parcel.verify(&Sender { did: did.clone(), key }).is_ok())
    }
}

/// Whether an answer is a refusal of this name.
fn names(body: &[u8], error: &str) -> bool {
    serde_json::from_slice::<Json>(body)
        .is_ok_and(|body| body.get("error").and_then(Json::as_str) == Some(error))
}

/// Bytes of what is given at once, in JSON.
const MAX_GIVEN_BYTES: usize = 1_000_000;
