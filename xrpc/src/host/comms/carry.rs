//! Parcels on their way.

use std::collections::VecDeque;

use murmuration_bridge::Document;
use murmuration_bridge::resolver::Purpose;
use murmuration_data::{cbor, json};
use murmuration_platform::{OutboundError, OutboundRequest, Verb};
use murmuration_syntax::{Did, Nsid};
use serde::Deserialize;
use serde_json::{Value as Json, json as object};

use super::super::agents::AgentAnswer;
use super::super::{Host, agents};
use super::TIMEOUT_MS;
use super::ticket::first_wait;
use crate::agent::internal::comms::{CommsCall, Incoming};
use crate::agent::internal::deliveries::{NextTry, Outbound, Settled, Try, TryOutcome};
use crate::agent::internal::{InternalCall, ProxyCall};
use crate::{XrpcError, retry_after};

const DELIVER: &str = "agent.comms.deliver";

impl Host<'_> {
    /// Delivers what is the alarm's to deliver of an agent's messages. Those of one that is not served wait for its return.
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
        if !account.active {
            let put_off = due.into_iter().map(|parcel| self.put_off(sender, parcel));
            return futures_util::future::try_join_all(put_off).await.map(drop);
        }
        // Together: a host that is away is waited for, and is not to keep the others waiting.
        let key = &account.signing_key;
        let carried = due.into_iter().map(|parcel| self.carry(sender, key, parcel, MAX_LINE));
        futures_util::future::join_all(carried).await.into_iter().try_for_each(|receipts| receipts.map(drop))
    }

    /// Has the alarm keep a parcel of a sender that is not served.
    async fn put_off(&self, sender: &Did, parcel: Outbound) -> Result<(), XrpcError> {
        let due = parcel.first.into_iter().chain(parcel.again);
        let outcome = || later("its sender is not served", None);
        let tries = due.map(|to| Try { to, outcome: outcome(), next: NextTry::Alarm }).collect();
        let settle = CommsCall::Settle { id: parcel.id, tries, random: self.random() };
        agents::tell(self.agents, sender, InternalCall::Comms(settle)).await
    }

    /// Delivers a parcel to those it is due for, and `most` of those that have waited for it. `key` is the sender's, as
    /// `did:key`.
    pub(super) async fn carry(
        &self,
        sender: &Did,
        key: &str,
        parcel: Outbound,
        most: usize,
    ) -> Result<Vec<Json>, XrpcError> {
        let settled = self.carry_one(sender, key, parcel).await?;
        self.carry_line(sender, key, settled.next, most).await;
        Ok(settled.receipts)
    }

    /// Delivers what has waited, one behind the other, and what has waited for that, `most` in all. The queue goes on with the
    /// rest, or the alarm.
    pub(super) async fn carry_line(&self, sender: &Did, key: &str, next: Vec<Outbound>, most: usize) {
        let mut line = VecDeque::from(next);
        for _ in 0..most {
            let Some(parcel) = line.pop_front() else { return };
            // Where an object did not note what came of it, its alarm finds out.
            if let Ok(settled) = self.carry_one(sender, key, parcel).await {
                line.extend(settled.next);
            }
        }
        for Outbound { id, first, .. } in line {
            self.put_tickets(sender, id, first.into_iter().map(|to| (to, 0)).collect()).await;
        }
    }

    /// Delivers a parcel to those it is due for, all at once, and has the sender's object note what came of it. Where the
    /// first try fails, the queue is to make the next; what it does not take, and what the alarm has, is the alarm's.
    async fn carry_one(&self, sender: &Did, key: &str, parcel: Outbound) -> Result<Settled, XrpcError> {
        let Outbound { id, first, again, aside, parcel } = parcel;
        let with = |next| move |to: Did| (to, next);
        let due = first.into_iter().map(with(NextTry::Queue));
        let due = due.chain(again.into_iter().map(with(NextTry::Alarm)));
        let due = due.chain(aside.into_iter().map(with(NextTry::Same)));
        let parcel = &parcel;
        let tries = due.map(|(to, next)| async move {
            let outcome = self.bring(sender, key, &to, parcel).await;
            Try { outcome: outcome.unwrap_or_else(failed), to, next }
        });
        let mut tries = futures_util::future::join_all(tries).await;
        let random = self.random();
        let fails = |tried: &Try| match (&tried.outcome, tried.next) {
            (TryOutcome::Later { after: asked, .. }, NextTry::Queue) => {
                Some((tried.to.clone(), first_wait(*asked, random)))
            }
            _ => None,
        };
        let tickets: Vec<(Did, u32)> = tries.iter().filter_map(fails).collect();
        if !tickets.is_empty() && !self.put_tickets(sender, id, tickets).await {
            tries
                .iter_mut()
                .filter(|tried| tried.next == NextTry::Queue)
                .for_each(|tried| tried.next = NextTry::Alarm);
        }
        let settle = CommsCall::Settle { id, tries, random };
        agents::ask(self.agents, sender, InternalCall::Comms(settle)).await
    }

    /// Tries once to deliver a parcel to somebody.
    pub(super) async fn bring(
        &self,
        sender: &Did,
        key: &str,
        to: &Did,
        parcel: &str,
    ) -> Result<TryOutcome, XrpcError> {
        let take = || {
            let incoming = Incoming {
                parcel: parcel.to_owned(),
                sender: sender.clone(),
                key: key.to_owned(),
                same_host: true,
                token: None,
            };
            InternalCall::Comms(CommsCall::Take(Box::new(incoming)))
        };
        if let Some(AgentAnswer { status, body }) = self.ask_here(to, take).await? {
            return Ok(outcome(status, &body, None));
        }
        let document = self.document(to, Purpose::Authentication).await;
        let document = match document {
            Ok(document) => document,
            Err(error) if error.is_transient() => {
                return Ok(later("the recipient's DID could not be resolved", None));
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
            Ok(answer) => {
                let after = retry_after::seconds(&answer.headers, self.clock.now_micros());
                outcome(answer.status, &answer.body, after)
            }
            Err(OutboundError::Refused { reason, .. }) => TryOutcome::Rejected(reason.into()),
            Err(OutboundError::TooOften { seconds, .. }) => {
                later("the host was asked too often", Some(seconds))
            }
            Err(error) => later(&error.to_string(), None),
        })
    }
}

/// What a try means that ended in a fault of this host's own.
pub(super) fn failed(error: XrpcError) -> TryOutcome {
    later(error.message(), None)
}

/// A try that says nothing of the message.
fn later(reason: &str, after: Option<u64>) -> TryOutcome {
    TryOutcome::Later { reason: reason.to_owned(), after, fault: false }
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
        401 | 408 | 425 | 429 => later(&reason, retry_after),
        400..500 => TryOutcome::Rejected(reason),
        // Whoever stands before a host says so when it is away, or has too much to do.
        502..=504 => later(&reason, retry_after),
        _ => TryOutcome::Later { reason, after: retry_after, fault: true },
    }
}

/// The origin that takes an agent's messages: a service of its own, or else its host.
pub(in crate::host) fn inbox(document: &Document) -> Option<&str> {
    document.service("agent_inbox", None).or_else(|_| document.pds()).ok()
}

/// Messages that have waited and are delivered behind one that has got through, in one go.
pub(super) const MAX_LINE: usize = 200;
/// The same while their sender waits for an answer.
pub(super) const MAX_LINE_OF_CALL: usize = 8;
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
            let reason = format!("the recipient's host answered {status}");
            let later = TryOutcome::Later { reason, after: Some(7), fault: [301, 500].contains(&status) };
            assert_eq!(outcome(status, b"<html>", Some(7)), later);
        }
    }
}
