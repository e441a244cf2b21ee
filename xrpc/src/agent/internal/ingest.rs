//! What the Worker asks of an agent's object while messages are read for memories.

use murmuration_syntax::Did;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::{Context, memory};
use crate::XrpcError;
use crate::http::Response;

/// A call of the Worker while messages are read.
#[derive(Deserialize, Serialize)]
pub enum IngestCall {
    /// Say which turns were not read before.
    Unread {
        /// Of which thread; empty where it has none.
        thread: String,
        /// What the caller has; `None`: what lies here of the thread.
        said: Option<Vec<Said>>,
        /// Where the last call ended.
        cursor: Option<String>,
    },
    /// Keep what was found in turns, and note that they were read.
    Learn {
        /// Of which thread.
        thread: String,
        /// The turns, by their digests.
        digests: Vec<String>,
        /// Whose word it is.
        provenance: Json,
        /// What was found.
        records: Vec<Json>,
    },
}

/// A turn as the caller has it.
#[derive(Deserialize, Serialize)]
pub struct Said {
    /// `user`, `assistant`, `tool` or `system`.
    pub role: String,
    /// The agent that has said it, if it is another.
    pub author: Option<Did>,
    /// The text.
    pub text: String,
    /// When.
    pub at: Option<String>,
}

/// What is to be read.
#[derive(Deserialize, Serialize)]
pub struct Unread {
    /// What was not read before.
    pub turns: Vec<UnreadTurn>,
    /// Turns that were.
    pub duplicates: usize,
    /// Turns that are not read: of unknown senders, and instructions.
    pub refused: usize,
    /// Where the next call goes on.
    pub cursor: Option<String>,
}

/// A turn that is to be read.
#[derive(Deserialize, Serialize)]
pub struct UnreadTurn {
    /// What tells it from others.
    pub digest: String,
    /// Whose word it is.
    pub provenance: Json,
    /// The text.
    pub text: String,
    /// When, as a datetime.
    pub at: Option<String>,
}

/// What was kept.
#[derive(Deserialize, Serialize)]
pub struct Learned {
    /// As createMemory answers.
    pub made: Vec<Json>,
    /// Records that are none.
    pub invalid: usize,
}

pub(super) fn answer(context: &Context<'_>, call: IngestCall) -> Result<Response, XrpcError> {
    match call {
        IngestCall::Unread { thread, said, cursor } => {
            Response::json(&memory::unread(context, &thread, said, cursor.as_deref())?)
        }
        IngestCall::Learn { thread, digests, provenance, records } => {
            Response::json(&memory::learn(context, &thread, &digests, &provenance, &records)?)
        }
    }
}
