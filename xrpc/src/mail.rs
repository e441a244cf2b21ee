//! Letters by an HTTP API: one POST of JSON, through the guarded client.

use murmuration_platform::{Letter, MailError, MailFuture, Mailer, Outbound, OutboundRequest, Verb};
use serde_json::json;

use crate::config::HttpMail;

/// Bytes of the answer that are read; only its status is looked at.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Milliseconds until a letter is given up; its reader waits meanwhile.
const TIMEOUT_MS: u32 = 10_000;

/// The API.
#[derive(Clone, Copy)]
pub struct HttpMailer<'a> {
    api: &'a HttpMail,
    outbound: &'a dyn Outbound,
}

impl<'a> HttpMailer<'a> {
    /// Sends by `api`.
    #[must_use]
    pub const fn new(api: &'a HttpMail, outbound: &'a dyn Outbound) -> Self {
        Self { api, outbound }
    }
}

impl Mailer for HttpMailer<'_> {
    fn send(&self, letter: Letter) -> MailFuture<'_> {
        let body = json!({
            "from": self.api.from,
            "to": letter.to,
            "subject": letter.subject,
            "text": letter.text,
        });
        let request = OutboundRequest {
            verb: Verb::Post,
            url: self.api.url.clone(),
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("authorization".into(), format!("Bearer {}", self.api.token)),
            ],
            body: body.to_string().into_bytes(),
            max_bytes: MAX_ANSWER_BYTES,
            timeout_ms: TIMEOUT_MS,
        };
        Box::pin(async move {
            let answer = self.outbound.send(request).await.map_err(|error| MailError(error.to_string()))?;
            match answer.status {
                200..=299 => Ok(()),
                // What it says may quote the letter, so it is not repeated.
                status => Err(MailError(format!("the mail service answered {status}"))),
            }
        })
    }
}
