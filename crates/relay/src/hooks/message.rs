//! A message to a webhook, signed as Standard Webhooks has it.
//!
//! Specification: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use murmuration_firehose::Timestamp;
use murmuration_platform::{OutboundRequest, Verb};
use sha2::Sha256;

use crate::limits::{HOOK_ANSWER_BYTES, HOOK_TIMEOUT_MS};
use crate::page::Page;

/// Bytes of a webhook's secret (specification: 24 to 64).
pub(crate) const SECRET_BYTES: usize = 32;

/// A secret as its owner is shown it.
pub(crate) fn secret_text(secret: &[u8]) -> String {
    format!("whsec_{}", BASE64.encode(secret))
}

/// The message that carries a page. Its id says behind which number, and a webhook's row says how far: so a message that is sent
/// again, be it after a crash, is known by its id and carries the same.
pub(super) fn message(
    url: &str,
    id: u64,
    after: u64,
    page: &Page,
    secret: &[u8],
    now_ms: u64,
) -> OutboundRequest {
    let id = format!("msg_{id:x}_{after}");
    let time = Timestamp::from_micros(now_ms.saturating_mul(1000));
    let data = page.json();
    let body = format!("{{\"type\":\"agent.relay.events\",\"timestamp\":\"{time}\",\"data\":{data}}}");
    let seconds = (now_ms / 1000).to_string();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("webhook-signature", signature(secret, &id, &seconds, &body)),
        ("webhook-id", id),
        ("webhook-timestamp", seconds),
    ];
    OutboundRequest {
        verb: Verb::Post,
        url: url.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body: body.into_bytes(),
        max_bytes: HOOK_ANSWER_BYTES,
        timeout_ms: HOOK_TIMEOUT_MS,
    }
}

/// The value of the header `webhook-signature`.
fn signature(secret: &[u8], id: &str, seconds: &str, body: &str) -> String {
    // INVARIANT: HMAC takes keys of every length.
    #[expect(clippy::expect_used, reason = "the invariant above")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn interop_signs_as_the_reference_libraries_do() {
        let secret = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap_or_default();
        let signed =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
