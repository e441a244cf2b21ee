//! Webhooks: what their owners ask, and the messages on their way.

use std::rc::Rc;

use murmuration_lexicons::Catalog;
use murmuration_platform::{Entropy, Outbound, OutboundError, OutboundRequest, OutboundResponse};
use murmuration_relay::{Delivery, NewHook, Outcome};
use murmuration_xrpc::host::check_active;
use murmuration_xrpc::method::Method;
use murmuration_xrpc::webhooks::{self, Asked};
use murmuration_xrpc::{XrpcError, http as plain, retry_after};
use worker::Response;

use super::Host;
use crate::entropy::SystemEntropy;
use crate::http;
use crate::request::Incoming;
use crate::stubs::Stubs;

impl Host {
    /// A method about webhooks.
    pub(super) async fn webhooks(self: &Rc<Self>, request: &Incoming, method: &Method) -> Response {
        let answer = self.webhook(request, method).await;
        http::answer(answer.unwrap_or_else(|error| http::refusal(&error)), request)
    }

    async fn webhook(
        self: &Rc<Self>,
        request: &Incoming,
        method: &Method,
    ) -> Result<plain::Response, XrpcError> {
        let config = self.config()?;
        let plain = http::read(request, method.max_json).await?;
        match webhooks::asked(&config, Catalog::builtin(), method, &plain, self.now() / 1000)? {
            Asked::Create(new) => self.create_webhook(new).await,
            Asked::List(did) => webhooks::listed(&self.turn(|relay, _| relay.hooks(&self.store, &did))?),
            Asked::Delete(did, id) => {
                match self.turn(|relay, _| relay.delete_hook(&self.store, &did, id))? {
                    true => plain::Response::json(&serde_json::json!({})),
                    false => Err(webhooks::not_found()),
                }
            }
        }
    }

    /// `POST https://internal/reseal`: seals some secrets anew.
    pub(super) fn reseal(&self, request: &Incoming) -> Response {
        let outcome = self.config().and_then(|config| {
            let found = self.turn(|relay, _| relay.reseal_hooks(&self.store, &config.kek, &SystemEntropy))?;
            plain::Response::json(&webhooks::resealed(&found))
        });
        http::answer(outcome.unwrap_or_else(|error| http::refusal(&error)), request)
    }

    async fn create_webhook(&self, new: NewHook) -> Result<plain::Response, XrpcError> {
        let config = self.config()?;
        self.fetcher(&config).allows(&new.url).map_err(|reason| XrpcError::named("InvalidUrl", reason))?;
        // A token does not know that its account was deactivated, taken down or deleted since.
        check_active(&Stubs::new(&self.env), &new.did).await?;
        let made = self
            .turn(|relay, now| relay.add_hook(&self.store, new, &config.kek, &SystemEntropy, now))?
            .ok_or_else(|| XrpcError::named("QuotaExceeded", "There are as many webhooks as there may be"))?;
        webhooks::created(&made.0, &made.1)
    }

    /// Sends what webhooks are owed, behind the answer.
    pub(super) fn start_deliveries(self: &Rc<Self>) {
        let due = self.turn(|relay, now| Ok(relay.owes(now))).unwrap_or(false);
        if !due {
            return;
        }
        let taken = self
            .config()
            .and_then(|config| self.turn(|relay, now| relay.take_deliveries(&self.store, &config.kek, now)));
        match taken {
            Ok(deliveries) => deliveries.into_iter().for_each(|delivery| self.deliver(delivery)),
            Err(error) => worker::console_error!("webhooks: {error}"),
        }
    }

    fn deliver(self: &Rc<Self>, delivery: Delivery) {
        let host = Rc::clone(self);
        self.state.wait_until(async move {
            let outcome = host.send(delivery.request).await;
            let mut jitter = [0; 4];
            SystemEntropy.fill(&mut jitter);
            let jitter = u32::from_be_bytes(jitter);
            let noted =
                host.turn(|relay, now| relay.delivered(&host.store, delivery.id, outcome, jitter, now));
            if let Err(error) = noted {
                worker::console_error!("webhooks: {error}");
            }
            host.start_deliveries();
            if let Err(error) = host.arm().await {
                worker::console_error!("webhooks: {error}");
            }
        });
    }

    async fn send(&self, request: OutboundRequest) -> Outcome {
        let Ok(config) = self.config() else { return Outcome::Failed };
        match self.fetcher(&config).send(request).await {
            Ok(OutboundResponse { status, headers, .. }) => {
                let retry_after = retry_after::seconds(&headers, self.now() * 1000);
                Outcome::Answered { status, retry_after }
            }
            Err(OutboundError::TooOften { seconds, .. }) => Outcome::Postponed(seconds),
            Err(_) => Outcome::Failed,
        }
    }
}
