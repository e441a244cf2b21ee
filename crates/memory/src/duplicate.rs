//! Memories that are there already.
//!
//! Two memories of a collection are the same when their records are, but for `createdAt` and `updatedAt`. A keyed hash of that lies in
//! the index, so that no text is opened to find one. Two whose vectors are near are *like* each other, and no more than that: the near
//! ones may say the opposite. So those are looked for only where a caller names how near, and nothing is changed because of them.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, cbor, cid_of_cbor};
use murmuration_platform::StoreError;
use murmuration_recall::{Embedded, Query, Slot, Weights};
use murmuration_syntax::RepoPath;

use crate::fact::{Topic, ended, since, standing, topic_of};
use crate::loaded::Loaded;
use crate::memories::decoded;
use crate::secret::Secret;
use crate::shelf::{Label, Shelf};
use crate::{Change, Draft, Keeper, Memories, MemoryError, Origin, Written};

/// What becomes of a memory that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// It is kept beside the other.
    #[default]
    Keep,
    /// It is not kept; the answer is the other.
    Skip,
    /// It is kept, and the other ends with it, as a fact does with the next one.
    Supersede,
}

/// How a new memory stands to those that were there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// One that says the same.
    pub same: Option<RepoPath>,
    /// Those whose vectors are as near as was asked for, the nearest first, with their cosines.
    pub near: Vec<(RepoPath, f32)>,
    /// One that the new one has ended.
    pub ended: Option<RepoPath>,
    /// One by which the new one is ended: a fact that comes late.
    pub ended_by: Option<RepoPath>,
}

impl Beside {
    /// The one in whose favour the new one is not kept, if the caller wants it so.
    pub(crate) fn known(&self) -> Option<&RepoPath> {
        self.same.as_ref().or_else(|| self.near.first().map(|(path, _)| path))
    }
}

impl Memories {
    /// What is there already of a memory that is to be made. Writes nothing.
    pub(crate) fn beside(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        draft: &Draft<'_>,
        record: &Ipld,
    ) -> Result<Beside, MemoryError> {
        let (secret, shelf) = self.shelf(loaded, keeper.ring.did())?;
        let content = content_of(secret, record);
        let stands =
            |label: &Label| label.path.collection == draft.path.collection && label.holds(keeper.now);
        let same = shelf.labels.values().filter(|label| content.is_some() && label.content == content);
        let same = same.filter(|label| stands(label)).max_by_key(|label| label.created_at);
        let same = same.map(|label| label.path.clone());
        let near = match (draft.near, draft.meaning) {
            (Some(least), Some(meaning)) => {
                let by = shelf.number_of(&meaning.model);
                near(shelf, Embedded { by, vector: meaning.vector.clone() }, least, stands)
            }
            _ => Vec::new(),
        };
        Ok(Beside { same, near, ended: None, ended_by: None })
    }

    /// The answer to a memory that is not kept, as another is there.
    pub(crate) fn known(
        &self,
        keeper: Keeper<'_>,
        path: RepoPath,
        beside: Beside,
    ) -> Result<Written, MemoryError> {
        let row = self.row(&path)?.ok_or_else(|| StoreError::Corrupt("a memory is gone".into()))?;
        Ok(Written { cid: row.cid(keeper, &path)?, rev: row.rev, path, repeated: true, beside })
    }

    /// Says of the memory that a new one ends that it holds no more: 4 rows. Or of a new fact that it did, if it held earlier.
    pub(crate) fn supersede(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        draft: &Draft<'_>,
        beside: &mut Beside,
    ) -> Result<Superseded, MemoryError> {
        let did = keeper.ring.did();
        let record = decoded(draft.record)?;
        let (secret, shelf) = self.shelf(loaded, did)?;
        let topic = topic_of(secret, draft.path, &record);
        let about = (topic, Origin::of(&record).mark(secret));
        let Some((slot, path, from)) = to_end(shelf, draft, about, beside.same.as_ref(), keeper.now) else {
            return Ok(Superseded::Nothing);
        };
        let meaning = shelf.meaning_of(slot);
        let row = self.row(&path)?.ok_or_else(|| StoreError::Corrupt("a memory is gone".into()))?;
        let (prev, expires_at) = (row.cid(keeper, &path)?, row.expires_at);
        let old = decoded(&self.get(keeper, &path)?.record)?;
        if draft.on_duplicate != OnDuplicate::Supersede && say_the_same(&old, &record) {
            beside.same = Some(path.clone());
            return Ok(Superseded::Same(path));
        }
        // What is no fact says nothing of the time before it was made again.
        let begins = topic.map_or(keeper.now, |_| since(&record, keeper.now));
        if begins < from {
            let record = ended(record, from, did, (&path, &prev))?;
            beside.ended_by = Some(path);
            return Ok(Superseded::Itself(record));
        }
        let ended = ended(old, begins, did, (draft.path, &cid_of_cbor(draft.record)))?;
        let change =
            Change { record: &ended, pinned: None, expires_at, swap: None, meaning: meaning.as_ref() };
        self.replace(loaded, keeper, &path, (row, prev), change)?;
        beside.ended = Some(path);
        Ok(Superseded::Nothing)
    }
}

/// What becomes of a new fact.
pub(crate) enum Superseded {
    /// It is kept as it is.
    Nothing,
    /// It has held before the one that is known: this is its record.
    Itself(Vec<u8>),
    /// It is known already, by this name.
    Same(RepoPath),
}

/// The memory that a new one ends: the fact of its topic that holds, or one that says the same where the caller wants it ended.
pub(crate) fn to_end(
    shelf: &Shelf,
    draft: &Draft<'_>,
    (topic, origin): (Option<Topic>, Option<u32>),
    same: Option<&RepoPath>,
    now: u64,
) -> Option<(Slot, RepoPath, u64)> {
    if let Some(topic) = topic {
        return standing(shelf, topic, origin, draft.path, now);
    }
    let same = same.filter(|_| draft.on_duplicate == OnDuplicate::Supersede)?;
    let (slot, label) = shelf.labels.iter().find(|(_, label)| label.path == *same)?;
    Some((*slot, label.path.clone(), label.valid.0.unwrap_or(label.created_at)))
}

fn near(
    shelf: &Shelf,
    embedded: Embedded,
    least: f32,
    stands: impl Fn(&Label) -> bool,
) -> Vec<(RepoPath, f32)> {
    let weights = Weights { recency: 0.0, importance: 0.0, ..Weights::default() };
    let query = Query { embedded: Some(embedded), limit: MAX_NEAR, weights, ..Query::default() };
    let hits = shelf.index.search(&query, |slot| shelf.labels.get(&slot).is_some_and(&stands));
    let near =
        hits.into_iter().filter_map(|hit| Some((hit.slot, hit.vector.filter(|cosine| *cosine >= least)?)));
    near.filter_map(|(slot, cosine)| Some((shelf.labels.get(&slot)?.path.clone(), cosine))).collect()
}

/// What a record says, as a keyed hash.
pub(crate) fn content_of(secret: &Secret, record: &Ipld) -> Option<Content> {
    let fields = cbor::encode(&Ipld::Map(timeless(record)?)).ok()?;
    let [a, b, c, d, e, f, g, h, ..] = secret.name("content", &fields);
    Some([a, b, c, d, e, f, g, h])
}

/// Whether two records say the same, whenever they were made.
pub(crate) fn say_the_same(one: &Ipld, other: &Ipld) -> bool {
    timeless(one).is_some_and(|fields| Some(fields) == timeless(other))
}

fn timeless(record: &Ipld) -> Option<BTreeMap<String, Ipld>> {
    let Ipld::Map(fields) = record else { return None };
    let mut fields = fields.clone();
    fields.remove("createdAt");
    fields.remove("updatedAt");
    Some(fields)
}

/// A keyed hash of what a record says.
pub(crate) type Content = [u8; 8];

/// Memories that are named for being near, at most.
const MAX_NEAR: usize = 5;
