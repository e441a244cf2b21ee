//! Finding memories, and a block of them for a model to read.

use std::task::{Poll, Waker};

use murmuration_account::Mind;
use murmuration_data::{Ipld, cbor};
use murmuration_embedding::Vector;
use murmuration_memory::{Found, Meaning, Memory, Search};
use murmuration_syntax::Nsid;
use serde_json::{Value as Json, json as object};

use super::super::{Args, Call, Context, Reply};
use super::quote::{Block, estimate};
use super::{moment, reading, view};
use crate::XrpcError;
use crate::http::Response;
use crate::public::permille;

/// `agent.memory.searchMemories`, of the agent's own.
pub fn search_memories(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    // What is asked without a credential is not asked here.
    call.caller.claims()?;
    search_own(context, &call.params).map(Reply::Now)
}

/// A search of the agent's own memories.
pub(in crate::agent) fn search_own(context: &Context<'_>, params: &Args) -> Result<Response, XrpcError> {
    let text = params.text("q").unwrap_or_default();
    let collections = params.texts("collections").into_iter().map(Nsid::parse).collect::<Result<Vec<_>, _>>();
    let collections = collections.map_err(|error| XrpcError::invalid(error.to_string()))?;
    let tags = params.texts("tags");
    let (since, until) = (moment(params, "since")?, moment(params, "until")?);
    let meaning = meaning_of_query(context, text);
    let search = Search {
        meaning: meaning.as_ref(),
        collections: &collections,
        tags: &tags,
        made: since.unwrap_or(0)..until.unwrap_or(u64::MAX),
        as_of: moment(params, "asOf")?,
        superseded: params.flag("includeSuperseded").unwrap_or(false),
        least: of_permille(params.number("minScore").unwrap_or(0)),
        ..Search::of(text, number(params, "limit", DEFAULT_HITS))
    };
    let mut found = Vec::new();
    if let Some(mind) = reading(context)? {
        follow(context, &mind)?;
        found = mind.memories.search(mind.keeper(), &search)?;
        mind.memories.note_uses(mind.keeper(), found.iter().map(|found| found.hit.slot))?;
    }
    let hits = found.iter().map(|found| hit(context, found)).collect::<Result<Vec<_>, _>>()?;
    // While some are yet to be embedded, they are found by their words alone.
    let is_whole = meaning.is_some() && context.account.embedding_due()?.is_none();
    let degraded: &[&str] = if is_whole { &[] } else { &["vector"] };
    Response::json(&object!({ "hits": hits, "degraded": degraded }))
}

/// `agent.memory.getContext`
pub fn context_block(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let text = call.params.text("q").unwrap_or_default();
    let mind = reading(context)?;
    let (mut pinned, mut found) = (Vec::new(), Vec::new());
    if let Some(mind) = &mind {
        pinned = mind.memories.pinned(mind.keeper(), MAX_PINNED)?;
        if !text.is_empty() {
            follow(context, mind)?;
            let meaning = meaning_of_query(context, text);
            let search = Search { meaning: meaning.as_ref(), ..Search::of(text, MAX_CONTEXT_HITS) };
            found = mind.memories.search(mind.keeper(), &search)?;
            found.retain(|found| pinned.iter().all(|known| known.path != found.memory.path));
        }
    }
    let mut block = Block::new(number(&call.params, "maxTokens", DEFAULT_TOKENS));
    for memory in pinned.iter().chain(found.iter().map(|found| &found.memory)) {
        let record = cbor::decode(&memory.record).map_err(XrpcError::internal)?;
        block.add(memory, &record);
    }
    let did = &context.account.profile()?.did;
    let (text, sources) = block.finish();
    if let Some(mind) = &mind {
        let given = |found: &&Found| sources.iter().any(|source| source.path == found.memory.path);
        mind.memories.note_uses(mind.keeper(), found.iter().filter(given).map(|found| found.hit.slot))?;
    }
    let sources: Vec<Json> = sources
        .iter()
        .map(
            |memory| object!({ "uri": format!("at://{did}/{}", memory.path), "cid": memory.cid.to_string() }),
        )
        .collect();
    let answer = object!({ "text": text, "tokens": estimate(text.len()), "sources": sources });
    Ok(Reply::Now(Response::json(&answer)?))
}

/// The vector of a text that is written, if there is a model. Where it is not at hand, the change that follows notes that it is
/// yet to be had.
pub(super) fn meaning(context: &Context<'_>, text: &str) -> Option<Meaning> {
    match sense(context, text) {
        Sense::Known(meaning) => Some(meaning),
        Sense::Late => {
            context.account.embed_later();
            None
        }
        Sense::Nothing => None,
    }
}

/// The vector of a text that is looked for, if there is a model and it is at hand.
fn meaning_of_query(context: &Context<'_>, text: &str) -> Option<Meaning> {
    match sense(context, text) {
        Sense::Known(meaning) => Some(meaning),
        _ => None,
    }
}

/// Sees that vectors of another model than the host's are made anew.
pub(super) fn follow(context: &Context<'_>, mind: &Mind<'_>) -> Result<(), XrpcError> {
    match (context.embedder)() {
        Some(embedder) => Ok(mind.memories.follow(mind.keeper(), embedder.id())?),
        None => Ok(()),
    }
}

/// What an embedder says of a text.
enum Sense {
    /// Its vector.
    Known(Meaning),
    /// That it has none, or there is no embedder.
    Nothing,
    /// It is asked over the network, and not waited for in a turn.
    Late,
}

fn sense(context: &Context<'_>, text: &str) -> Sense {
    let Some(embedder) = (context.embedder)() else { return Sense::Nothing };
    let texts = [text];
    let mut asked = embedder.embed(&texts);
    let answer = asked.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(vectors)) = answer else { return Sense::Late };
    match vectors.first().map(|coordinates| Vector::from_f32(coordinates)) {
        Some(Ok(vector)) => Sense::Known(Meaning { model: embedder.id().to_owned(), vector }),
        _ => Sense::Nothing,
    }
}

fn hit(context: &Context<'_>, found: &Found) -> Result<Json, XrpcError> {
    let hit = &found.hit;
    let channels = [("vector", hit.vector), ("keyword", hit.words), ("recency", Some(hit.recency))];
    let channels: Vec<Json> = channels
        .iter()
        .filter_map(|(name, score)| Some(object!({ "name": name, "score": permille((*score)?) })))
        .collect();
    let mut view = object!({
        "memory": view::memory(context, &found.memory)?,
        "score": permille(hit.score),
        "channels": channels,
        "provenance": provenance(&found.memory)?,
        "uses": found.uses.count,
    });
    if let (Some(fields), Some(at)) = (view.as_object_mut(), found.uses.last) {
        fields.insert("lastUsedAt".into(), view::time(at).into());
    }
    Ok(view)
}

/// Where a memory came from: what it says, or else the agent itself.
fn provenance(memory: &Memory) -> Result<Json, XrpcError> {
    let Ipld::Map(mut fields) = cbor::decode(&memory.record).map_err(XrpcError::internal)? else {
        return Ok(object!({ "kind": "self" }));
    };
    let said = fields.remove("provenance");
    Ok(said.map_or_else(|| object!({ "kind": "self" }), |said| murmuration_data::json::to_value(&said)))
}

fn number(params: &Args, name: &str, default: usize) -> usize {
    params.number(name).and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
}

pub(super) fn of_permille(score: u32) -> f32 {
    f32::from(u16::try_from(score).unwrap_or(u16::MAX)) / 1_000.0
}

/// Hits, and tokens of a block, where the caller says nothing: the lexicons' defaults.
const DEFAULT_HITS: usize = 10;
const DEFAULT_TOKENS: usize = 2_000;

/// Pinned memories that a block begins with, at most.
const MAX_PINNED: usize = 20;

/// Found memories that a block is filled with, at most.
const MAX_CONTEXT_HITS: usize = 50;
