//! Parcels on their way.

use murmuration_bridge::Document;
use murmuration_bridge::resolver::Purpose;
use murmuration_data::{cbor, json};
use murmuration_platform::{OutboundError, OutboundRequest, OutboundResponse, Verb};
use murmuration_syntax::{Did, Nsid};
use serde::Deserialize;
use serde_json::{Value as Json, json as object};

use super::super::agents::AgentAnswer;
use super::super::{Host, agents};
use super::TIMEOUT_MS;
use crate::XrpcError;
use crate::agent::internal::comms::{CommsCall, Incoming, Outbound, Try, TryOutcome};
use crate::agent::internal::{InternalCall, ProxyCall};

const DELIVER: &str = "agent.comms.deliver";

impl Host<'_> {
    /// Delivers what is due of an agent's messages: the alarm of its object calls this.
    ///
    /// # Errors
    /// When the agent's object does not answer.
    pub async fn carry_due(&self, sender: &Did) -> Result<(), XrpcError> {
        let due: Vec<Outbound> =
            agents::ask(self.agents, sender, InternalCall::Comms(CommsCall::Due)).await?;
        if due.is_empty() {
            return Ok(());
        }
        let account = agents::describe(self.agents, sender, false).await?;
        let account = account.ok_or_else(|| XrpcError::repo_not_found(sender))?;
        for parcel in due {
            self.carry(sender, &account.signing_key, parcel).await?;
        }
        Ok(())
    }

    /// Delivers a parcel to those it is due for, all at once, and has the sender's object note what came of it. `key` is
    /// the sender's, as `did:key`.
    pub(super) async fn carry(
        &self,
        sender: &Did,
        key: &str,
        parcel: Outbound,
    ) -> Result<Vec<Json>, XrpcError> {
        let Outbound { id, to, parcel } = parcel;
        let tries = to.into_iter().map(|to| async {
            let outcome = self.bring(sender, key, &to, &parcel).await;
            let failed = |error: XrpcError| TryOutcome::Later(error.message().to_owned(), None);
            Try { outcome: outcome.unwrap_or_else(failed), to }
        });
        let tries = futures_util::future::join_all(tries).await;
        agents::ask(self.agents, sender, InternalCall::Comms(CommsCall::Settle { id, tries })).await
    }

    async fn bring(&self, sender: &Did, key: &str, to: &Did, parcel: &str) -> Result<TryOutcome, XrpcError> {
        if self.directory.by_did(to).await?.is_some() {
            let incoming = Incoming {
                parcel: parcel.to_owned(),
                sender: sender.clone(),
                key: key.to_owned(),
                same_host: true,
                token: None,
            };
            let take = InternalCall::Comms(CommsCall::Take(Box::new(incoming)));
            let AgentAnswer { status, body } = self.agents.call(to, take).await?;
            return Ok(outcome(status, &body, None));
        }
        let document = self.document(to, Purpose::Authentication).await;
        let document = match document {
            Ok(document) => document,
            Err(error) if error.is_transient() => {
                return Ok(TryOutcome::Later("the recipient's DID could not be resolved".into(), None));
            }
            Err(_) => return Ok(TryOutcome::Rejected("the recipient's DID does not resolve".into())),
        };
        let Some(endpoint) = inbox(&document) else {
            return Ok(TryOutcome::Rejected("the recipient's DID document names no host".into()));
        };
        let token = ProxyCall::Token {
            aud: format!("{to}#agent_inbox"),
            lxm: Nsid::parse(DELIVER).map_err(XrpcError::internal)?,
            even_takendown: false,
        };
        let token: String = agents::ask(self.agents, sender, InternalCall::Proxy(token)).await?;
        let bytes = data_encoding::BASE64_NOPAD.decode(parcel.as_bytes()).map_err(XrpcError::internal)?;
        let parcel = cbor::decode(&bytes).map_err(XrpcError::internal)?;
        let request = OutboundRequest {
            verb: Verb::Post,
            url: format!("{endpoint}/xrpc/{DELIVER}"),
            headers: vec![
                ("authorization".into(), format!("Bearer {token}")),
                ("content-type".into(), "application/json".into()),
            ],
            body: object!({ "parcel": json::to_value(&parcel) }).to_string().into_bytes(),
            max_bytes: MAX_ANSWER_BYTES,
            timeout_ms: TIMEOUT_MS,
        };
        Ok(match self.outbound.send(request).await {
            Ok(answer) => outcome(answer.status, &answer.body, retry_after(&answer)),
            Err(OutboundError::Refused { reason, .. }) => TryOutcome::Rejected(reason.into()),
            Err(OutboundError::TooOften { seconds, .. }) => {
                TryOutcome::Later("the host was asked too often".into(), Some(seconds))
            }
            Err(error) => TryOutcome::Later(error.to_string(), None),
        })
    }
}

/// What an answer means: a clear no is for good, anything that may be otherwise later is tried again.
fn outcome(status: u16, body: &[u8], retry_after: Option<u64>) -> TryOutcome {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        message: String,
    }
    let reason = match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error, message }) => format!("{error}: {message}"),
        Err(_) => format!("the recipient's host answered {status}"),
    };
    match status {
        200..300 => TryOutcome::Delivered,
        // A token is verified against a key that may have been known too long, or a clock that is wrong.
        401 | 408 | 425 | 429 => TryOutcome::Later(reason, retry_after),
        400..500 => TryOutcome::Rejected(reason),
        _ => TryOutcome::Later(reason, retry_after),
    }
}

/// The origin that takes an agent's messages: a service of its own, or else its host.
pub(super) fn inbox(document: &Document) -> Option<&str> {
    document.service("agent_inbox", None).or_else(|_| document.pds()).ok()
}

/// Seconds of a `Retry-After`. One that is a date says no more than that it is later.
fn retry_after(answer: &OutboundResponse) -> Option<u64> {
    let header = answer.headers.iter().find(|(name, _)| name == "retry-after")?;
    header.1.trim().parse().ok()
}

/// Bytes of the answer to a delivery.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_for_good_and_trouble_is_for_now() {
        let refusal = br#"{"error":"NotAllowed","message":"blocked"}"#;
        for status in [200, 204] {
            assert_eq!(outcome(status, b"", None), TryOutcome::Delivered);
        }
        for status in [400, 403, 404, 413, 422] {
            assert_eq!(outcome(status, refusal, None), TryOutcome::Rejected("NotAllowed: blocked".into()));
        }
        for status in [301, 401, 408, 425, 429, 500, 502, 503, 504] {
            let later = TryOutcome::Later(format!("the recipient's host answered {status}"), Some(7));
            assert_eq!(outcome(status, b"<html>", Some(7)), later);
        }
    }
}
