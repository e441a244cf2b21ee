//! An event as `agent.relay.subscribeEvents` tells it: JSON, made once for all who read it.
//!
//! A message is a single object, the framing `xrpc.v1.json` of proposal 0015:
//!
//! ```json
//! {"$type":"message","payload":{"$type":"agent.relay.subscribeEvents#commit","seq":42,"did":"did:plc:abc"}}
//! {"$type":"error","error":"FutureCursor","message":"Cursor in the future."}
//! ```
//!
//! Specification: <https://github.com/bluesky-social/proposals/tree/main/0015-json-subscriptions>.

use std::cell::OnceCell;

use murmuration_data::cid_to_text;
use murmuration_data::json::{write_encoded, write_text};
use murmuration_firehose::{AccountStatus, CommitEvent, Event, Frame, Seq};
use murmuration_repo::{RecordOp, car};

use crate::feed::{Message, OUTDATED};
use crate::filter::{Filter, Sight};
use crate::limits::MAX_EVENT_BYTES;

/// What stands before the payload of a message, and behind it.
const MESSAGE: (&str, &str) = ("{\"$type\":\"message\",\"payload\":", "}");
/// The name of a payload's type, up to its last part.
const PAYLOAD: &str = "{\"$type\":\"agent.relay.subscribeEvents";

/// What is made of a frame for those who read events, when the first of them asks.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    sight: OnceCell<Option<Sight>>,
    plain: OnceCell<Option<String>>,
    full: OnceCell<Option<String>>,
}

/// Which message of a [`Telling`] a reader gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Without the records.
    Plain,
    /// With them.
    Full,
}

impl Telling {
    /// What filters see of the frame. What this host has not written itself is nothing that can be seen.
    pub(crate) fn sight(&self, frame: &[u8]) -> Option<&Sight> {
        self.sight.get_or_init(|| Sight::of_frame(frame)).as_ref()
    }

    /// The message of a form; `None` if there is none, or only one that is larger than a message may be.
    pub(crate) fn message(&self, frame: &[u8], form: Form) -> Option<&str> {
        let (cell, records) = match form {
            Form::Plain => (&self.plain, false),
            Form::Full => (&self.full, true),
        };
        let made = cell.get_or_init(|| message(frame, records).filter(|text| text.len() <= MAX_EVENT_BYTES));
        made.as_deref()
    }

    /// The form in which an event that is wanted reaches a reader: without its records if there is no room for them, and
    /// not at all if that is too large as well.
    pub(crate) fn form(&self, frame: &[u8], filter: &Filter) -> Option<Form> {
        let fits = |form: &Form| {
            self.message(frame, *form).is_some_and(|message| message.len() <= filter.max_bytes())
        };
        let full = filter.records().then_some(Form::Full).filter(fits);
        full.or_else(|| Some(Form::Plain).filter(fits))
    }

    /// What a reader with this filter gets of the frame, if it wants it.
    pub(crate) fn wanted(&self, frame: &[u8], filter: &Filter) -> Option<Message<'_>> {
        self.sight(frame).filter(|sight| filter.wants(sight))?;
        self.message(frame, self.form(frame, filter)?).map(Message::Text)
    }
}

/// The payload of a message, as it stands in an answer of `agent.relay.listEvents`.
pub(crate) fn payload(message: &str) -> &str {
    let inner = message.strip_prefix(MESSAGE.0).and_then(|rest| rest.strip_suffix(MESSAGE.1));
    inner.unwrap_or(message)
}

/// A message about the stream itself.
pub(crate) fn info(name: &str, message: &str) -> String {
    let mut out = opened("#info");
    text(&mut out, ",\"name\":", name);
    text(&mut out, ",\"message\":", message);
    closed(out)
}

/// That events are gone, in an answer or a message.
pub(crate) fn outdated() -> String {
    payload(&info("OutdatedCursor", OUTDATED)).to_owned()
}

/// Why the stream ends; it is closed right after this.
pub(crate) fn error(name: &str, message: &str) -> String {
    let mut out = "{\"$type\":\"error\"".to_owned();
    text(&mut out, ",\"error\":", name);
    text(&mut out, ",\"message\":", message);
    out.push('}');
    out
}

/// A frame as a message. Events of a kind that this code does not know are not told.
fn message(frame: &[u8], records: bool) -> Option<String> {
    let Ok(Frame::Event { seq, event }) = Frame::decode(frame) else { return None };
    let mut out = opened(event.tag());
    head(&mut out, seq, event.did().as_str());
    match &event {
        Event::Commit(event) => commit(&mut out, event, records),
        Event::Sync(event) => text(&mut out, ",\"rev\":", &event.rev.to_string()),
        Event::Identity(event) => {
            if let Some(handle) = &event.handle {
                text(&mut out, ",\"handle\":", handle.as_str());
            }
        }
        Event::Account(event) => {
            out.push_str(if event.inactive.is_none() { ",\"active\":true" } else { ",\"active\":false" });
            if let Some(status) = event.inactive.as_ref().and_then(AccountStatus::name) {
                text(&mut out, ",\"status\":", status);
            }
        }
        _ => return None,
    }
    text(&mut out, ",\"time\":", event.time().as_str());
    Some(closed(out))
}

fn commit(out: &mut String, event: &CommitEvent, records: bool) {
    text(out, ",\"rev\":", &event.rev.to_string());
    if let Some(since) = &event.since {
        text(out, ",\"since\":", &since.to_string());
    }
    text(out, ",\"commit\":", &cid_to_text(&event.commit));
    // A commit that was stored was verified, so its blocks can be read.
    let car = records.then(|| car::Car::read(&event.blocks, car::Limits::EVENT).ok()).flatten();
    out.push_str(",\"ops\":[");
    for (index, op) in event.ops.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        self::op(out, op);
        let block = car.as_ref().zip(op.cid).and_then(|(car, cid)| car.blocks.get(&cid));
        if let Some(block) = block {
            let bare = out.len();
            out.push_str(",\"record\":");
            if write_encoded(out, block).is_err() {
                out.truncate(bare);
            }
        }
        out.push('}');
    }
    out.push(']');
}

/// An operation, without the brace that ends it.
fn op(out: &mut String, op: &RecordOp) {
    let (collection, rkey) = op.path.as_str().split_once('/').unwrap_or_default();
    text(out, "{\"action\":", op.action.as_str());
    text(out, ",\"collection\":", collection);
    text(out, ",\"rkey\":", rkey);
    if let Some(cid) = &op.cid {
        text(out, ",\"cid\":", &cid_to_text(cid));
    }
}

/// The beginning of a message, up to its payload's type.
fn opened(tag: &str) -> String {
    format!("{}{PAYLOAD}{tag}\"", MESSAGE.0)
}

/// The end of a message whose payload wants its brace.
fn closed(mut out: String) -> String {
    out.push('}');
    out.push_str(MESSAGE.1);
    out
}

fn head(out: &mut String, seq: Seq, did: &str) {
    out.push_str(",\"seq\":");
    out.push_str(&seq.to_string());
    text(out, ",\"did\":", did);
}

/// A member whose value is a text.
fn text(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    write_text(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_stream_says_of_itself_is_json_whatever_it_says() {
        let odd = "a \"quoted\" \\ line\n\u{1}";
        let told: serde_json::Value = serde_json::from_str(&error("InvalidFilter", odd)).unwrap_or_default();
        assert_eq!(told, serde_json::json!({ "$type": "error", "error": "InvalidFilter", "message": odd }));
        let told: serde_json::Value = serde_json::from_str(&info("X", odd)).unwrap_or_default();
        let kind = "agent.relay.subscribeEvents#info";
        assert_eq!(told["payload"], serde_json::json!({ "$type": kind, "name": "X", "message": odd }));
    }
}
