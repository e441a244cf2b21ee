//! A memory's row, and how it is opened.

use murmuration_data::{Cid, cid_of_cbor};
use murmuration_envelope::{Binding, Envelope, Opened, Parts};
use murmuration_keyring::Ring;
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_recall::Slot;
use murmuration_syntax::{Did, RepoPath, Rev};

use crate::apart::{Apart, Stub, record_of};
use crate::operation::int;
use crate::search::slot_of;
use crate::space::{SKEY, SPACE_TYPE};
use crate::{Keeper, Meaning, Memory, MemoryError};

/// What a memory is found by.
pub(crate) struct FoundBy<'a> {
    pub(crate) path: &'a RepoPath,
    pub(crate) record: &'a [u8],
    pub(crate) meaning: Option<&'a Meaning>,
    pub(crate) created_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) pinned: bool,
}

/// The columns of a memory.
pub(crate) struct Columns {
    pub(crate) rev: Rev,
    /// Its place in the index.
    pub(crate) slot: Option<Slot>,
    pub(crate) created_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) pinned: bool,
    /// Whether it is shared.
    pub(crate) shared: bool,
    pub(crate) parts: Parts,
    /// Where the record lies, if not in its row.
    pub(crate) apart: Option<Apart>,
}

impl Columns {
    /// Reads them from the `at`-th column on.
    pub(crate) fn read(row: &mut Row, at: usize) -> Result<Self, StoreError> {
        let rev =
            Rev::parse(&row.text(at)?).map_err(|_| StoreError::Corrupt("a memory has no revision".into()))?;
        Ok(Self {
            rev,
            created_at: uint(row.int(at + 1)?),
            updated_at: uint(row.int(at + 2)?),
            expires_at: row.opt_int(at + 3)?.map(uint),
            pinned: row.int(at + 4)? == 1,
            parts: Parts {
                own: row.blob(at + 5)?,
                readers: row.opt_blob(at + 6)?.unwrap_or_default(),
                text: row.blob(at + 7)?,
            },
            slot: slot_of(row.opt_int(at + 8)?),
            shared: row.int(at + 9)? == 1,
            apart: Apart::read(row, at + 10)?,
        })
    }

    pub(crate) fn store(
        &self,
        store: &dyn Store,
        sql: &'static str,
        ring: &Ring,
        path: &RepoPath,
    ) -> Result<(), StoreError> {
        let [kind, skey, collection, rkey] = key_of(path);
        let rev = self.rev.to_string();
        let readers = match self.parts.readers.is_empty() {
            true => Param::Null,
            false => Param::Blob(&self.parts.readers),
        };
        let row = [
            Param::Text(&rev),
            int(self.created_at),
            int(self.updated_at),
            self.expires_at.map_or(Param::Null, int),
            Param::Int(self.pinned.into()),
            // What is sealed is sealed under the latest.
            Param::Int(ring.current().number().into()),
            Param::Blob(&self.parts.own),
            readers,
            Param::Blob(&self.parts.text),
            self.slot.map_or(Param::Null, |slot| Param::Int(slot.into())),
            self.apart.as_ref().map_or(Param::Null, |apart| Param::Text(&apart.name)),
            self.apart.as_ref().map_or(Param::Null, |apart| int(apart.bytes)),
            kind,
            skey,
            collection,
            rkey,
        ];
        store.query(sql, &row).map(drop)
    }

    /// Whether its time is over.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Bytes of what is sealed, here and apart.
    pub(crate) fn bytes(&self) -> u64 {
        let apart = self.apart.as_ref().map_or(0, |apart| apart.bytes);
        u64::try_from(self.parts.text.len()).unwrap_or(u64::MAX).saturating_add(apart)
    }

    /// The memory, with the head of its record where that lies apart.
    pub(crate) fn open(self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Memory, MemoryError> {
        let text = self.text(keeper, path)?;
        let (cid, record) = match &self.apart {
            Some(_) => {
                let stub = Stub::read(&text)?;
                (stub.cid, stub.head)
            }
            None => (cid_of_cbor(&text), text),
        };
        Ok(self.into_memory(path, cid, record))
    }

    /// The memory with all of its record, of which `apart` is what lies apart.
    pub(crate) fn open_whole(
        self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        apart: Option<&[u8]>,
    ) -> Result<Memory, MemoryError> {
        let record = record_of(self.text(keeper, path)?, apart)?;
        Ok(Memory { is_partial: false, ..self.into_memory(path, cid_of_cbor(&record), record) })
    }

    fn into_memory(self, path: &RepoPath, cid: Cid, record: Opened) -> Memory {
        Memory {
            path: path.clone(),
            cid,
            rev: self.rev,
            record,
            is_partial: self.apart.is_some(),
            pinned: self.pinned,
            shared: self.shared,
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
        }
    }

    pub(crate) fn cid(&self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Cid, MemoryError> {
        let text = self.text(keeper, path)?;
        Ok(if self.apart.is_some() { Stub::read(&text)?.cid } else { cid_of_cbor(&text) })
    }

    /// What the row seals: the record, or the stub of one that lies apart.
    pub(crate) fn text(&self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Opened, MemoryError> {
        let envelope = Envelope::from_parts(&self.parts)?;
        Ok(keeper.ring.open(&binding(keeper.ring.did(), path), &envelope)?)
    }
}

/// Where a memory is sealed for.
pub(crate) fn binding(author: &Did, path: &RepoPath) -> Binding {
    Binding {
        author: author.clone(),
        collection: path.collection.clone(),
        rkey: path.rkey.clone(),
        schema: path.collection.clone(),
    }
}

/// The name of a memory's row.
pub(crate) fn key_of(path: &RepoPath) -> [Param<'_>; 4] {
    let (collection, rkey) = (path.collection.as_str(), path.rkey.as_str());
    [Param::Text(SPACE_TYPE), Param::Text(SKEY), Param::Text(collection), Param::Text(rkey)]
}

/// A number out of the storage.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
