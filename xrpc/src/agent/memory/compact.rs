//! `agent.memory.compactMemories`, and what upkeep does by itself.

use murmuration_account::Mind;
use murmuration_memory::{Compaction, Dropped, Job, Policy, Strategy};
use murmuration_syntax::{Did, Nsid, RepoPath};
use serde_json::{Value as Json, json as object};

use super::super::{Args, Call, Context, Reply};
use super::{moment, reading, view};
use crate::XrpcError;
use crate::http::Response;

/// `agent.memory.compactMemories`
pub fn compact_memories(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let input = &call.input;
    let policy = policy(context, input)?;
    let every = input.number("everyDays").map(u16::try_from).transpose().map_err(XrpcError::internal)?;
    let dry_run = input.flag("dryRun").unwrap_or(false);
    if dry_run && every.is_some() {
        return Err(XrpcError::invalid("A dry run comes once: everyDays is for another"));
    }
    let (mut done, mut next) = (Compaction::default(), None);
    if let Some(mind) = reading(context)? {
        if dry_run {
            done = mind.memories.preview(mind.keeper(), &policy)?;
        } else {
            done = mind.memories.compact(mind.keeper(), &policy, every)?;
            next = mind.memories.next_upkeep()?;
        }
    }
    let did = &context.account.profile()?.did;
    let items: Vec<Json> = done.dropped.iter().map(|dropped| item(did, policy.strategy, dropped)).collect();
    let mut answer = object!({
        "examined": done.examined,
        "removed": items.len(),
        "digests": done.digests,
        "left": done.left,
        "items": items,
    });
    if let (Some(fields), Some(at)) = (answer.as_object_mut(), next) {
        fields.insert("nextAt".into(), view::time(at).into());
    }
    let response = Response::json(&answer)?;
    Ok(if dry_run { Reply::Now(response) } else { Reply::Changed(response) })
}

/// What upkeep has done, and what is due of it.
pub(super) fn jobs(mind: &Mind<'_>) -> Result<Vec<Json>, XrpcError> {
    let jobs = mind.memories.upkeep(mind.keeper())?;
    jobs.iter().map(|job| Ok(job_view(job, mind.memories.due_for(mind.keeper(), &job.policy)?))).collect()
}

fn job_view(job: &Job, due: u64) -> Json {
    let Job { policy, every_days, running_since, next, runs, last, dropped, digests } = job;
    let mut view = object!({
        "strategy": name(policy.strategy),
        "everyDays": every_days,
        "running": running_since.is_some(),
        "due": due,
        "runs": runs,
        "removed": dropped,
        "digests": digests,
    });
    if let Some(fields) = view.as_object_mut() {
        let collection = policy.collection.as_ref();
        fields.extend(collection.map(|nsid| ("collection".to_owned(), nsid.as_str().into())));
        for (name, at) in [("nextAt", next), ("lastAt", last)] {
            fields.extend(at.map(|at| (name.to_owned(), view::time(at).into())));
        }
    }
    view
}

fn policy(context: &Context<'_>, input: &Args) -> Result<Policy, XrpcError> {
    let (strategy, age, below) = match input.text("strategy") {
        Some("digest") => (Strategy::Digest, 30 * DAY, DIGEST_BELOW),
        Some("expire") => (Strategy::Expire, 90 * DAY, EXPIRE_BELOW),
        Some("dedupe") => (Strategy::Dedupe, 0, 0),
        _ => return Err(XrpcError::invalid("strategy is digest, expire or dedupe")),
    };
    let collection: Option<Nsid> = input.optional("collection")?;
    let older = moment(input, "olderThan")?;
    let age = older.map_or(age, |older| context.clock.now_micros().saturating_sub(older));
    let asked = input.number("scoreBelow").map(u16::try_from).transpose().map_err(XrpcError::internal)?;
    Ok(Policy { strategy, collection, age, below: asked.unwrap_or(below) })
}

fn item(did: &Did, strategy: Strategy, dropped: &Dropped) -> Json {
    let uri = |path: &RepoPath| format!("at://{did}/{path}");
    let reason = match strategy {
        Strategy::Digest => "digest",
        Strategy::Expire => "expired",
        Strategy::Dedupe => "duplicate",
    };
    let mut view = object!({
        "uri": uri(&dropped.path),
        "cid": dropped.cid.to_string(),
        "score": dropped.worth,
        "reason": reason,
    });
    if let Some(fields) = view.as_object_mut() {
        for (name, path) in [("digest", &dropped.digest), ("duplicateOf", &dropped.same)] {
            fields.extend(path.as_ref().map(|path| (name.to_owned(), uri(path).into())));
        }
    }
    view
}

const fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Digest => "digest",
        Strategy::Expire => "expire",
        Strategy::Dedupe => "dedupe",
    }
}

/// A day, in microseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// What a memory is worth, in permille, below which it comes into a digest, or goes: one of middling importance that was never used, after
/// forty days, and after a hundred.
const DIGEST_BELOW: u16 = 200;
const EXPIRE_BELOW: u16 = 50;
