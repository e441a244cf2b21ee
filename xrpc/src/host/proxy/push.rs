//! `app.bsky.notification.registerPush` and `unregisterPush`: the body, not a header, names the service that they are for.

use murmuration_bridge::resolver::Purpose;
use murmuration_platform::{OutboundRequest, Verb};
use murmuration_syntax::Did;

use super::answer::{self, Reason};
use crate::XrpcError;
use crate::config::Service;
use crate::host::{Host, HostCall};
use crate::http::Response;

impl Host<'_> {
    /// Tells a notification service, in the caller's name, of a device that it is to send to, or no longer.
    pub(crate) async fn tell_notifier(&self, nsid: &str, call: HostCall) -> Result<Response, XrpcError> {
        let service = self.notifier(&call.input.parsed("serviceDid")?).await?;
        let did = call.caller.claims()?.sub.clone();
        let token = self.service_token(&did, &service.did, nsid, false).await?;
        let request = OutboundRequest {
            verb: Verb::Post,
            url: format!("{}/xrpc/{nsid}", service.url),
            headers: vec![
                ("authorization".to_owned(), format!("Bearer {token}")),
                ("content-type".to_owned(), "application/json".to_owned()),
            ],
            body: call.input.into_json().to_string().into_bytes(),
            max_bytes: answer::MAX_REFUSAL_BYTES,
            timeout_ms: answer::HEADERS_TIMEOUT_MS,
        };
        let told = self.outbound.send(request).await.map_err(|error| answer::unanswered(&error))?;
        match told.status {
            200..=299 => Ok(Response::empty()),
            status => Err(Reason::parse(&told.body).into_error(status)),
        }
    }

    /// Where a notification service is: the operator's AppView, or what the service's DID document says.
    async fn notifier(&self, did: &Did) -> Result<Service, XrpcError> {
        if let Some(appview) = self.config.appview.as_ref().filter(|appview| appview.did == *did) {
            return Ok(appview.clone());
        }
        let document = self.document(did, Purpose::Display).await.map_err(|error| {
            let message = format!("could not resolve {did}");
            if error.is_transient() { XrpcError::upstream(message) } else { XrpcError::invalid(message) }
        })?;
        match document.service(FRAGMENT, Some(KIND)) {
            Ok(url) => Ok(Service { did: did.clone(), url: url.to_owned() }),
            Err(_) => Err(XrpcError::invalid(format!(
                "invalid notification service details in did document: {did}"
            ))),
        }
    }
}

/// The fragment under which a notification service goes (reference server).
const FRAGMENT: &str = "bsky_notif";
/// The type of a notification service (reference server).
const KIND: &str = "BskyNotificationService";
