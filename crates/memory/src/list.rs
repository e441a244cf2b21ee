//! Lists of memories.

use std::ops::Range;

use murmuration_data::{Ipld, cbor};
use murmuration_platform::{Param, StoreError};
use murmuration_syntax::{Nsid, RecordKey, RepoPath};

use crate::essence::MAX_MICROS;
use crate::limits::{MAX_PAGE_BYTES, MAX_SCAN};
use crate::operation::int;
use crate::row::Columns;
use crate::space::{SKEY, SPACE_TYPE};
use crate::{Keeper, Memories, Memory, MemoryError};

/// Reads the memories down to the last that it answers with, and a share of each.
const LIST: &str = "SELECT collection, rkey, rev, created_at, updated_at, expires_at, pinned, own, readers, text, slot, \
     EXISTS (SELECT 1 FROM memory_share AS share WHERE share.space_type = ?1 AND share.skey = ?2 \
     AND share.collection = memory.collection AND share.rkey = memory.rkey), blob, blob_bytes FROM memory \
     WHERE space_type = ?1 AND skey = ?2 AND (collection, rkey) < (?3, ?4) AND created_at >= ?5 AND created_at < ?6 \
     AND coalesce(expires_at > ?7, 1) ORDER BY collection DESC, rkey DESC LIMIT ?8 + 0";
/// The same of one collection.
const LIST_OF: &str = "SELECT collection, rkey, rev, created_at, updated_at, expires_at, pinned, own, readers, text, slot, \
     EXISTS (SELECT 1 FROM memory_share AS share WHERE share.space_type = ?1 AND share.skey = ?2 \
     AND share.collection = memory.collection AND share.rkey = memory.rkey), blob, blob_bytes FROM memory \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey < ?4 AND created_at >= ?5 AND created_at < ?6 \
     AND coalesce(expires_at > ?7, 1) ORDER BY rkey DESC LIMIT ?8 + 0";

/// Which memories are wanted.
#[derive(Clone, Debug)]
pub struct Filter<'a> {
    /// Of which collection.
    pub collection: Option<&'a Nsid>,
    /// With which tag.
    pub tag: Option<&'a str>,
    /// Made when, in microseconds since the Unix epoch.
    pub made: Range<u64>,
    /// Whether they are shared with somebody.
    pub shared: Option<bool>,
}

impl Default for Filter<'_> {
    fn default() -> Self {
        Self { collection: None, tag: None, made: 0..MAX_MICROS, shared: None }
    }
}

impl Filter<'_> {
    fn wants(&self, memory: &Memory) -> bool {
        let shared = self.shared.is_none_or(|shared| shared == memory.shared);
        shared && self.tag.is_none_or(|tag| has_tag(&memory.record, tag))
    }
}

/// A page of memories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The latest names first, collection by collection.
    pub memories: Vec<Memory>,
    /// Where the next page begins, if there may be one.
    pub next: Option<RepoPath>,
}

impl Memories {
    /// A page of memories, before `before`, which an earlier page gave. Looks at [`MAX_SCAN`] at most, so that a page may be empty
    /// and yet not the last. Writes nothing.
    ///
    /// # Errors
    /// When one of them does not open.
    pub fn list(
        &self,
        keeper: Keeper<'_>,
        filter: &Filter<'_>,
        before: Option<&RepoPath>,
        limit: usize,
    ) -> Result<Page, MemoryError> {
        let (behind, rkey) =
            before.map_or((BEHIND_ALL, BEHIND_ALL), |path| (path.collection.as_str(), path.rkey.as_str()));
        let collection = filter.collection.map_or(behind, Nsid::as_str);
        let params = [
            Param::Text(SPACE_TYPE),
            Param::Text(SKEY),
            Param::Text(collection),
            Param::Text(rkey),
            int(filter.made.start),
            int(filter.made.end.min(MAX_MICROS)),
            int(keeper.now),
            Param::Int(MAX_SCAN.into()),
        ];
        let sql = if filter.collection.is_some() { LIST_OF } else { LIST };
        let rows = self.store.query_within(sql, &params, MAX_PAGE_BYTES)?;
        let mut page = Page::default();
        for mut row in rows {
            if page.memories.len() >= limit {
                return Ok(page);
            }
            let path = path_of(&row.text(0)?, &row.text(1)?)?;
            let memory = Columns::read(&mut row, 2)?.open(keeper, &path)?;
            page.next = Some(path);
            if filter.wants(&memory) {
                page.memories.push(memory);
            }
        }
        Ok(page)
    }
}

/// The name of a memory, out of the storage.
pub(crate) fn path_of(collection: &str, rkey: &str) -> Result<RepoPath, StoreError> {
    let corrupt = |_| StoreError::Corrupt("a memory has no name".into());
    Ok(RepoPath::new(Nsid::parse(collection).map_err(corrupt)?, RecordKey::parse(rkey).map_err(corrupt)?))
}

fn has_tag(record: &[u8], wanted: &str) -> bool {
    let Ok(Ipld::Map(fields)) = cbor::decode(record) else { return false };
    let Some(Ipld::List(tags)) = fields.get("tags") else { return false };
    tags.iter().any(|tag| matches!(tag, Ipld::String(tag) if tag == wanted))
}

/// A text behind all names, which are of printing ASCII.
const BEHIND_ALL: &str = "\u{7f}";
