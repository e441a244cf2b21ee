//! `agent.memory.ingestMessages`: from what was said to memories.
//!
//! ```text
//!   object: which turns are new, and whose word each is ──► extractor, a part at a time ──► object: memories, and that it was read
//! ```
//!
//! Each part is kept by itself, so a call that dies has done some of them; made again, it goes on with the rest. The extractor gets the
//! turns of one speaker at a time: whatever a text makes it say is that speaker's word.

use murmuration_data::json;
use murmuration_memory::{Extractor, Rules, Turn};
use murmuration_syntax::Did;
use serde_json::{Value as Json, json as object};

use super::extractor::{Hosted, Remote};
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::internal::{IngestCall, InternalCall, Learned, Said, Unread, UnreadTurn};
use crate::config::ExtractorConfig;
use crate::http::Response;

impl Host<'_> {
    /// `agent.memory.ingestMessages`
    pub(crate) async fn ingest_messages(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let did = call.caller.claims()?.sub.clone();
        let thread = call.input.text("thread").unwrap_or_default().to_owned();
        let said: Option<Vec<Said>> = match call.input.take("messages") {
            Some(messages) => {
                Some(serde_json::from_value(json::to_value(&messages)).map_err(XrpcError::internal)?)
            }
            None if thread.is_empty() => {
                return Err(XrpcError::invalid("Error: Input must have messages, or a thread to read"));
            }
            None => None,
        };
        if said.iter().flatten().map(|said| said.text.len()).sum::<usize>() > MAX_TEXT {
            return Err(XrpcError::named(
                "TooLarge",
                format!("The messages have more than {MAX_TEXT} bytes"),
            ));
        }
        let cursor = call.input.text("cursor").map(str::to_owned);
        let ask = IngestCall::Unread { thread: thread.clone(), said, cursor };
        let unread: Unread = agents::ask(self.agents, &did, InternalCall::Ingest(ask)).await?;
        let (mut made, mut invalid, mut read) = (Vec::new(), 0, 0);
        let mut parts = parts(unread.turns).into_iter();
        for part in parts.by_ref().take(MAX_PARTS) {
            read += part.len();
            let learned = self.learn(&did, &thread, part).await?;
            made.extend(learned.made);
            invalid += learned.invalid;
        }
        let left: usize = parts.map(|part| part.len()).sum();
        let mut answer = object!({
            "extractor": self.extractor()?.id(),
            "accepted": read,
            "duplicates": unread.duplicates,
            "refused": unread.refused,
            "left": left,
            "invalid": invalid,
            "memories": made,
        });
        // Whoever goes on does so with what is left here.
        if let (Some(fields), Some(cursor), 0) = (answer.as_object_mut(), unread.cursor, left) {
            fields.insert("cursor".into(), cursor.into());
        }
        Response::json(&answer)
    }

    /// Has a part read, and what was found in it kept.
    async fn learn(&self, did: &Did, thread: &str, part: Vec<UnreadTurn>) -> Result<Learned, XrpcError> {
        let turns: Vec<Turn> =
            part.iter().map(|turn| Turn { text: turn.text.clone(), at: turn.at.clone() }).collect();
        let found = self.extractor()?.extract(&turns).await;
        let found = found.map_err(|error| XrpcError::named("ExtractorUnavailable", error.to_string()))?;
        let provenance = part.first().map_or(Json::Null, |turn| turn.provenance.clone());
        let call = IngestCall::Learn {
            thread: thread.to_owned(),
            digests: part.into_iter().map(|turn| turn.digest).collect(),
            provenance,
            records: found.iter().take(MAX_FOUND).map(json::to_value).collect(),
        };
        agents::ask(self.agents, did, InternalCall::Ingest(call)).await
    }

    /// The extractor of this host: the model that its operator has named, or else the rules.
    fn extractor(&self) -> Result<Box<dyn Extractor + '_>, XrpcError> {
        Ok(match &self.config.extractor {
            ExtractorConfig::Rules => Box::new(Rules),
            ExtractorConfig::WorkersAi { model } => {
                let models = self.models.ok_or_else(|| XrpcError::internal("there is no binding AI"))?;
                Box::new(Hosted { model, models })
            }
            ExtractorConfig::OpenAi(config) => Box::new(Remote { config, outbound: self.outbound }),
        })
    }
}

/// Turns in parts of one speaker each, in their order.
fn parts(turns: Vec<UnreadTurn>) -> Vec<Vec<UnreadTurn>> {
    let mut parts: Vec<Vec<UnreadTurn>> = Vec::new();
    for turn in turns {
        let part = parts
            .iter_mut()
            .rev()
            .find(|part| part.first().is_some_and(|first| first.provenance == turn.provenance));
        let room = |part: &&mut Vec<UnreadTurn>| {
            let bytes: usize = part.iter().map(|turn| turn.text.len()).sum();
            part.len() < MAX_PART_TURNS && bytes + turn.text.len() <= MAX_PART_BYTES
        };
        match part.filter(room) {
            Some(part) => part.push(turn),
            None => parts.push(vec![turn]),
        }
    }
    parts
}

/// Bytes of the texts of one call, together.
const MAX_TEXT: usize = 1024 * 1024;

/// Parts that one call has read: each may take a model half a minute, and a client waits for all.
const MAX_PARTS: usize = 8;

/// Turns of a part, and bytes of their texts: what a small model reads at once.
const MAX_PART_TURNS: usize = 40;
const MAX_PART_BYTES: usize = 32 * 1024;

/// Memories that a part becomes, at most.
const MAX_FOUND: usize = 40;
