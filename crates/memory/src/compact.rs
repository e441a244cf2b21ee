//! Compaction: what is hardly needed any more becomes a digest or goes, and what is there twice stays once.
//!
//! What a memory is worth is its importance, halved with every [`HALF_LIFE`] since it was made or last used, and more the more often it
//! was used. Never touched are decisions, digests, facts that hold, pinned memories, and those that others read. A digest and what it
//! covers change in one transaction, so whatever is gone is named by an operation, and by its digest if it has one. The word of others
//! never comes into a digest of the agent's own.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_data::{Ipld, cbor};
use murmuration_embedding::Vector;
use murmuration_platform::StoreError;
use murmuration_recall::Slot;
use murmuration_syntax::{Nsid, RecordKey, RepoPath, Tid, datetime};

use crate::duplicate::Content;
use crate::loaded::Loaded;
use crate::memories::{New, decoded, next_rev};
use crate::row::Columns;
use crate::shelf::{Label, Shelf};
use crate::{Essence, Keeper, Meaning, Memories, Memory, MemoryError, Origin, Uses};

/// What is done with what is hardly needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Memories of a month, a collection and an origin become one that says the most of each.
    Digest,
    /// Memories go.
    Expire,
    /// Of memories that say the same one stays.
    Dedupe,
}

/// Which memories are compacted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is done with them.
    pub strategy: Strategy,
    /// Of which collection; of all if there is none.
    pub collection: Option<Nsid>,
    /// Made so long ago at least, in microseconds.
    pub age: u64,
    /// Worth less than this, from 0 to 1,000; for [`Strategy::Dedupe`] it does not matter.
    pub below: u16,
}

/// A memory that goes, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub path: RepoPath,
    /// Its CID.
    pub cid: murmuration_data::Cid,
    /// What it was worth, from 0 to 1,000.
    pub worth: u16,
    /// The digest that covers it, once that is made.
    pub digest: Option<RepoPath>,
    /// The one that says the same and stays.
    pub same: Option<RepoPath>,
}

/// What a run has done, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Memories that were looked at.
    pub examined: u64,
    /// Those that go.
    pub dropped: Vec<Dropped>,
    /// Digests that are made for them.
    pub digests: u64,
    /// How many more the policy names.
    pub left: u64,
}

/// Memories that go together: into one digest, or one by one.
struct Batch {
    members: Vec<Due>,
    same: Option<RepoPath>,
}

/// A digest that is to be made.
struct Digest {
    path: RepoPath,
    record: Vec<u8>,
    meaning: Option<Meaning>,
}

/// Labels with their slots.
type Labels<'a> = Vec<(&'a Slot, &'a Label)>;

/// A memory that a policy names.
struct Due {
    slot: Slot,
    path: RepoPath,
    worth: u16,
}

impl Memories {
    /// What a run would do at `now`, of its first memories. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn preview(&self, keeper: Keeper<'_>, policy: &Policy) -> Result<Compaction, MemoryError> {
        let (batches, mut done) = self.look_at_index(keeper, Default::default(), |_, shelf| {
            let batches = batches(shelf, policy, keeper.now);
            let examined = u64::try_from(shelf.labels.len()).unwrap_or(u64::MAX);
            Ok((batches, Compaction { examined, ..Compaction::default() }))
        })?;
        for batch in batches {
            let going =
                self.going(keeper, policy, batch.members, MAX_PREVIEW - done.dropped.len(), &mut done.left)?;
            done.digests += u64::from(policy.strategy == Strategy::Digest && !going.is_empty());
            done.dropped.extend(
                going.into_iter().map(|(due, memory, _)| dropped(due, &memory, None, batch.same.clone())),
            );
        }
        Ok(done)
    }

    /// How many memories a run would look at more closely. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn due_for(&self, keeper: Keeper<'_>, policy: &Policy) -> Result<u64, MemoryError> {
        self.look_at_index(keeper, 0, |_, shelf| {
            let due: usize = batches(shelf, policy, keeper.now).iter().map(|batch| batch.members.len()).sum();
            Ok(u64::try_from(due).unwrap_or(u64::MAX))
        })
    }

    /// Does the first [`MAX_STEP`] of what a policy names at `as_of`. Writes 3 rows for each memory that goes, 1 more where it expires; 1
    /// for each page of the index that changes, 3 for each digest, and 1 for the space.
    pub(crate) fn compact_some(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        policy: &Policy,
        as_of: u64,
    ) -> Result<Compaction, MemoryError> {
        let (_, shelf) = self.shelf(loaded, keeper.ring.did())?;
        let batches = batches(shelf, policy, as_of);
        let examined = u64::try_from(shelf.labels.len()).unwrap_or(u64::MAX);
        let mut done = Compaction { examined, ..Compaction::default() };
        for batch in batches {
            let going =
                self.going(keeper, policy, batch.members, MAX_STEP - done.dropped.len(), &mut done.left)?;
            if going.is_empty() {
                continue;
            }
            let digest = match policy.strategy {
                Strategy::Digest => Some(self.digest(loaded, keeper, &going)?),
                Strategy::Expire | Strategy::Dedupe => None,
            };
            let path = digest.as_ref().map(|digest| digest.path.clone());
            for (due, memory, columns) in going {
                self.take_away(loaded, keeper, &due.path, columns)?;
                done.dropped.push(dropped(due, &memory, path.clone(), batch.same.clone()));
            }
            // Behind them, so that there is room for it.
            if let Some(digest) = digest {
                let Digest { path, record, meaning } = &digest;
                let (created_at, updated_at, meaning) = (keeper.now, keeper.now, meaning.as_ref());
                let (pinned, expires_at) = (false, None);
                let new = New { path, record, pinned, created_at, updated_at, expires_at, meaning };
                self.insert(loaded, keeper, &new, None)?;
                done.digests += 1;
            }
        }
        if !done.dropped.is_empty() {
            self.settle(loaded, keeper)?;
        }
        Ok(done)
    }

    /// Those of a batch that may go, at most `room`, opened. What others read stays, and what does not open.
    fn going(
        &self,
        keeper: Keeper<'_>,
        policy: &Policy,
        members: Vec<Due>,
        room: usize,
        left: &mut u64,
    ) -> Result<Vec<(Due, Memory, Columns)>, MemoryError> {
        let mut going = Vec::new();
        for due in members {
            if going.len() >= room {
                *left += 1;
                continue;
            }
            let Some(columns) = self.row(&due.path)?.filter(|columns| !columns.shared) else {
                continue;
            };
            if let Ok(memory) = self.head(keeper, &due.path) {
                going.push((due, memory, columns));
            }
        }
        let least = if policy.strategy == Strategy::Digest { MIN_COVERS } else { 1 };
        if going.len() < least {
            going.clear();
        }
        Ok(going)
    }

    /// The digest of some memories. Writes nothing.
    fn digest(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        going: &[(Due, Memory, Columns)],
    ) -> Result<Digest, MemoryError> {
        let path = self.fresh_digest(loaded, keeper)?;
        let (_, shelf) = self.shelf(loaded, keeper.ring.did())?;
        let meaning = middle(shelf, going.iter().map(|(due, ..)| due.slot));
        let memories: Vec<&Memory> = going.iter().map(|(_, memory, _)| memory).collect();
        let record = cbor::encode(&record_of(keeper, &memories)?).map_err(|_| corrupt())?;
        Ok(Digest { path, record, meaning })
    }

    /// A name that no digest has.
    fn fresh_digest(&self, loaded: &Loaded, keeper: Keeper<'_>) -> Result<RepoPath, MemoryError> {
        let collection = Nsid::parse(DIGEST).map_err(|_| corrupt())?;
        let mut tid = next_rev(keeper, &loaded.space);
        loop {
            let path = RepoPath::new(collection.clone(), RecordKey::from(tid));
            if self.row(&path)?.is_none() {
                return Ok(path);
            }
            tid = Tid::next(keeper.now, DIGEST_CLOCK, Some(tid));
        }
    }
}

/// What a memory is worth at a time, from 0 to 1,000.
fn worth(label: &Label, importance: u16, now: u64) -> u16 {
    let Uses { count, last } = label.uses;
    let age = now.saturating_sub(last.unwrap_or(0).max(label.created_at));
    // Both are far below 2^32, and a quarter of an hour more or less is nothing to a month.
    let halvings = to_f32(age / MINUTE) / to_f32(HALF_LIFE / MINUTE);
    let used = 1.0 + to_f32(u64::from(count) + 1).log2();
    to_permille(f32::from(importance) * (-halvings).exp2() * used)
}

/// The batches that a policy names, in order.
fn batches(shelf: &Shelf, policy: &Policy, now: u64) -> Vec<Batch> {
    let mut due: BTreeMap<(String, &Nsid, Option<u32>), Labels<'_>> = BTreeMap::new();
    if policy.strategy == Strategy::Dedupe {
        return duplicates(shelf, policy, now);
    }
    for (slot, label) in &shelf.labels {
        let fact_that_holds = label.topic.is_some() && label.holds(now);
        let importance = shelf.index.importance(*slot).unwrap_or_default();
        if may_go(label, policy, now) && !fact_that_holds && worth(label, importance, now) < policy.below {
            let month = match policy.strategy {
                Strategy::Digest => month_of(label.created_at),
                Strategy::Expire | Strategy::Dedupe => String::new(),
            };
            due.entry((month, &label.path.collection, label.origin)).or_default().push((slot, label));
        }
    }
    let due_of = |(slot, label): &(&Slot, &Label)| {
        let importance = shelf.index.importance(**slot).unwrap_or_default();
        Due { slot: **slot, path: label.path.clone(), worth: worth(label, importance, now) }
    };
    let mut batches = Vec::new();
    for (_, mut members) in due {
        members.sort_by_key(|(slot, label)| (label.created_at, **slot));
        for part in members.chunks(MAX_COVERS) {
            batches.push(Batch { members: part.iter().map(due_of).collect(), same: None });
        }
    }
    batches
}

/// A batch for each memory that is there more than once: all but one, that which is pinned or else the first.
fn duplicates(shelf: &Shelf, policy: &Policy, now: u64) -> Vec<Batch> {
    let mut same: BTreeMap<(&Nsid, Content), Labels<'_>> = BTreeMap::new();
    for (slot, label) in &shelf.labels {
        if let (Some(content), true) = (label.content, label.holds(now)) {
            same.entry((&label.path.collection, content)).or_default().push((slot, label));
        }
    }
    let mut batches = Vec::new();
    for (_, mut members) in same {
        members.sort_by_key(|(slot, label)| (!label.pinned, label.created_at, **slot));
        let Some(((_, stays), rest)) = members.split_first() else { continue };
        let rest = rest.iter().filter(|(_, label)| may_go(label, policy, now));
        let members: Vec<Due> = rest
            .map(|(slot, label)| {
                let importance = shelf.index.importance(**slot).unwrap_or_default();
                Due { slot: **slot, path: label.path.clone(), worth: worth(label, importance, now) }
            })
            .collect();
        let mut members = members.into_iter().peekable();
        while members.peek().is_some() {
            let part = members.by_ref().take(MAX_COVERS).collect();
            batches.push(Batch { members: part, same: Some(stays.path.clone()) });
        }
    }
    batches
}

/// Whether a policy is for a memory, and upkeep does not leave it alone.
fn may_go(label: &Label, policy: &Policy, now: u64) -> bool {
    let collection = &label.path.collection;
    !label.pinned
        && !EXEMPT.contains(&collection.as_str())
        && policy.collection.as_ref().is_none_or(|wanted| wanted == collection)
        && label.created_at <= now.saturating_sub(policy.age)
        && label.expires_at.is_none_or(|at| at > now)
}

fn dropped(due: Due, memory: &Memory, digest: Option<RepoPath>, same: Option<RepoPath>) -> Dropped {
    Dropped { path: due.path, cid: memory.cid, worth: due.worth, digest, same }
}

/// The record of a digest.
fn record_of(keeper: Keeper<'_>, memories: &[&Memory]) -> Result<Ipld, MemoryError> {
    let text = Ipld::String;
    let time = |at: u64| datetime::from_micros(at).map(text).map_err(|_| corrupt());
    let did = keeper.ring.did();
    let (mut lines, mut covers, mut tags) = (Vec::new(), Vec::new(), BTreeSet::new());
    let (mut provenance, mut importance) = (None, 0);
    for memory in memories {
        let record = decoded(&memory.record)?;
        let essence = Essence::of(&record);
        let day: String =
            datetime::from_micros(memory.created_at).map_err(|_| corrupt())?.chars().take(DAY).collect();
        lines.push(format!("{day} {}", shortened(&essence.text)));
        covers.push(Ipld::Map(BTreeMap::from([
            ("uri".to_owned(), text(format!("at://{did}/{}", memory.path))),
            ("cid".to_owned(), text(memory.cid.to_string())),
        ])));
        tags.extend(essence.tags);
        importance = essence.importance.unwrap_or_default().max(importance);
        provenance = others_word(record);
    }
    let (first, last) = match memories {
        [first, .., last] => (first, last),
        _ => return Err(corrupt().into()),
    };
    let kind = first.path.collection.as_str().rsplit('.').next().unwrap_or_default();
    let summary = format!("{} {kind}s of {}", memories.len(), month_of(first.created_at));
    let mut fields = BTreeMap::from([
        ("$type".to_owned(), text(DIGEST.to_owned())),
        ("summary".to_owned(), text(summary)),
        ("text".to_owned(), text(lines.join("\n"))),
        ("covers".to_owned(), Ipld::List(covers)),
        ("periodFrom".to_owned(), time(first.created_at)?),
        ("periodTo".to_owned(), time(last.created_at)?),
        ("createdAt".to_owned(), time(keeper.now)?),
    ]);
    if !tags.is_empty() {
        fields.insert("tags".into(), Ipld::List(tags.into_iter().take(MAX_TAGS).map(text).collect()));
    }
    if importance > 0 {
        fields.insert("importance".into(), Ipld::Integer(importance.into()));
    }
    // All have the same: they are of one origin.
    fields.extend(provenance.map(|provenance| ("provenance".to_owned(), provenance)));
    Ok(Ipld::Map(fields))
}

/// Whose word a record is, if not the agent's own.
fn others_word(record: Ipld) -> Option<Ipld> {
    if Origin::of(&record).is_own() {
        return None;
    }
    let Ipld::Map(mut fields) = record else { return None };
    let Some(Ipld::Map(mut provenance)) = fields.remove("provenance") else { return None };
    provenance.retain(|name, _| ["kind", "agent", "uri"].contains(&name.as_str()));
    Some(Ipld::Map(provenance))
}

/// The middle of the vectors of some memories, those of the first one's model.
fn middle(shelf: &Shelf, slots: impl Iterator<Item = Slot>) -> Option<Meaning> {
    let mut sum: Option<(String, Vec<f32>)> = None;
    for Meaning { model, vector } in slots.filter_map(|slot| shelf.meaning_of(slot)) {
        let scaled =
            vector.coordinates().iter().map(|coordinate| f32::from(*coordinate) * vector.inverse_length());
        match &mut sum {
            None => sum = Some((model, scaled.collect())),
            Some((first, sum)) if *first == model => {
                sum.iter_mut().zip(scaled).for_each(|(sum, one)| *sum += one)
            }
            Some(_) => {}
        }
    }
    let (model, sum) = sum?;
    Some(Meaning { model, vector: Vector::from_f32(&sum).ok()? })
}

/// The beginning of a text, on one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LINE_LETTERS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// The month of a time, as `2026-11`.
fn month_of(at: u64) -> String {
    datetime::from_micros(at).unwrap_or_default().chars().take(MONTH).collect()
}

#[expect(clippy::as_conversions, reason = "numbers below 2^53, of which a part in a million does not matter")]
fn to_f32(number: u64) -> f32 {
    number as f32
}

#[expect(clippy::as_conversions, reason = "the invariant beside it")]
fn to_permille(worth: f32) -> u16 {
    // INVARIANT: a whole number from 0 to 1,000, which is what `clamp` is for.
    worth.round().clamp(0.0, 1_000.0) as u16
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a memory to be compacted is not as it was written".into())
}

/// What compaction leaves alone: decisions, and what stands for others.
const EXEMPT: [&str; 2] = ["agent.memory.decision", DIGEST];

const DIGEST: &str = "agent.memory.digest";

/// After how long half of a memory's worth is gone: thirty days, in microseconds, as in a search.
const HALF_LIFE: u64 = 30 * 24 * 60 * MINUTE;

/// A minute, in microseconds.
const MINUTE: u64 = 60 * 1_000_000;

/// Memories that one turn drops, at most: some two hundred rows.
const MAX_STEP: usize = 50;

/// Memories that a preview names, at most.
const MAX_PREVIEW: usize = 500;

/// Memories that a digest covers, at most and at least. At most: with their lines the text stays below the 10,000 letters of its lexicon.
const MAX_COVERS: usize = 50;
const MIN_COVERS: usize = 2;

/// Letters of a memory's text that its digest says.
const LINE_LETTERS: usize = 160;

/// Tags of a digest, at most: those of its lexicon.
const MAX_TAGS: usize = 32;

/// Letters of a day and of a month at the beginning of a datetime.
const DAY: usize = 10;
const MONTH: usize = 7;

/// The ten bits that tell the names of digests from revisions where they have to go on counting.
const DIGEST_CLOCK: u16 = 1;
