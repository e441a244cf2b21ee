//! The ways of a letter out of this host: an HTTP API, the platform's binding, or a folder.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use js_sys::{Promise, Reflect};
use murmuration_platform::{Clock, Entropy, Letter, MailError, MailFuture, Mailer, Outbound};
use murmuration_xrpc::config::MailConfig;
use murmuration_xrpc::mail::HttpMailer;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::body::message;
use crate::clock::WallClock;
use crate::entropy::SystemEntropy;

/// The binding of the platform's `send_email`.
const EMAIL: &str = "EMAIL";
/// The binding of the disk service.
const OUTBOX: &str = "OUTBOX";
/// Random bytes in the name of a letter's file: letters of one microsecond must not meet.
const NAME_BYTES: usize = 8;
/// The longest code of a refusal by the platform (`E_SENDER_NOT_VERIFIED` and its like).
const MAX_CODE_BYTES: usize = 64;

#[wasm_bindgen(inline_js = "
/** Sends a letter by the platform's binding. */
export async function sendLetter(binding, from, to, subject, text) {
  await binding.send({ from, to, subject, text });
}

/** Writes a letter into the outbox. */
export async function writeLetter(outbox, name, letter) {
  const answer = await outbox.fetch(`https://outbox/${name}`, { method: 'PUT', body: letter });
  await answer.arrayBuffer();
  if (!answer.ok) throw new Error(`the disk answered ${answer.status}`);
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = sendLetter)]
    fn send_letter(
        binding: &JsValue,
        from: &str,
        to: &str,
        subject: &str,
        text: &str,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = writeLetter)]
    fn write_letter(outbox: &JsValue, name: &str, letter: &str) -> Result<Promise, JsValue>;
}

/// The way that the operator chose; `None` on a host that sends nothing.
pub(crate) fn open<'a>(
    config: &'a MailConfig,
    env: &Env,
    outbound: &'a dyn Outbound,
) -> Option<Box<dyn Mailer + 'a>> {
    let binding = |name: &str| Reflect::get(env, &name.into()).unwrap_or_default();
    match config {
        MailConfig::Nothing => None,
        MailConfig::Http(api) => Some(Box::new(HttpMailer::new(api, outbound))),
        MailConfig::Binding(from) => Some(Box::new(Binding { binding: binding(EMAIL), from })),
        MailConfig::Outbox => Some(Box::new(Outbox(binding(OUTBOX)))),
    }
}

/// The platform's binding.
struct Binding<'a> {
    binding: JsValue,
    from: &'a str,
}

impl Mailer for Binding<'_> {
    fn send(&self, letter: Letter) -> MailFuture<'_> {
        let sent = send_letter(&self.binding, self.from, &letter.to, &letter.subject, &letter.text);
        Box::pin(settle(sent, refusal))
    }
}

/// A folder, one file of JSON a letter, named so that they sort as they were written.
struct Outbox(JsValue);

impl Mailer for Outbox {
    fn send(&self, letter: Letter) -> MailFuture<'_> {
        let mut random = [0; NAME_BYTES];
        SystemEntropy.fill(&mut random);
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}-{random}.json", WallClock.now_micros());
        let json = serde_json::json!({
            "to": letter.to,
            "subject": letter.subject,
            "text": letter.text,
            "purpose": letter.purpose,
        });
        Box::pin(settle(write_letter(&self.0, &name, &json.to_string()), |error| MailError(message(error))))
    }
}

/// Why the platform does not take a letter: its code alone, for what else it says may quote the letter.
fn refusal(error: &JsValue) -> MailError {
    let code = Reflect::get(error, &"code".into()).ok().and_then(|code| code.as_string()).unwrap_or_default();
    let is_code = |code: &str| {
        (1..=MAX_CODE_BYTES).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    MailError(format!("the platform refused it: {}", if is_code(&code) { &code } else { "without a code" }))
}

async fn settle(
    promise: Result<Promise, JsValue>,
    failed: fn(&JsValue) -> MailError,
) -> Result<(), MailError> {
    let promise = promise.map_err(|error| failed(&error))?;
    JsFuture::from(promise).await.map(drop).map_err(|error| failed(&error))
}
