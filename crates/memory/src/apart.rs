//! Memories that are too large for a row: their records lie in the blob storage, under names that say nothing.
//!
//! ```text
//!   row:  own ──► data key ──► text: [form, key, CID, head] ── key ──► blob: nonce, sealed record
//! ```
//!
//! What the row seals is then a *stub*: the key of the blob, the record's CID, and its head, which is what lists, searches and digests say
//! of it. So all but reading the whole of it goes without the blob storage, and with the key of the row goes that of the blob.
//!
//! *Nothing leaks, and nothing in use is deleted.* Before a blob is stored its name is a row of `memory_blob`; the turn that names it
//! takes that row away; the turn that lets it go puts it back. The object's alarm deletes what is there and due. What it deletes it takes
//! from [`Memories::hold`] first, and no turn names what is not held: so a call that comes back too late stores anew.
//!
//! The account has the bytes of its uploads watched over in the same table, by [`Memories::expect_blob`] and [`Memories::claim_blob`].

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use murmuration_data::cbor::{Reader, Writer};
use murmuration_data::{Cid, DataError, Ipld, cbor, cid_from_bytes, cid_of_cbor, cid_to_bytes};
use murmuration_envelope::{ApartKey, EnvelopeError, Opened, Parts, Zeroizing, sealed_apart_bytes};
use murmuration_platform::{Param, Row, StoreError, transaction};
use murmuration_syntax::RepoPath;

use crate::desk::Stored;
use crate::limits::{
    BLOB_RETRY_MICROS, MAX_HEAD_BYTES, MAX_HEAD_TEXT_BYTES, MAX_ON_THE_WAY, MAX_ROW_BYTES, ORPHAN_MICROS,
};
use crate::operation::int;
use crate::row::uint;
use crate::{Desk, Keeper, Memories, MemoryError};

/// Writes 1 row.
const NOTE: &str =
    "INSERT INTO memory_blob (name, due) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET due = excluded.due";
/// Writes 1 row, if there is one.
const TAKE: &str = "DELETE FROM memory_blob WHERE name = ?1 RETURNING name";
/// Writes 1 row, if there is one that is not due.
const CLAIM: &str = "DELETE FROM memory_blob WHERE name = ?1 AND due > ?2 RETURNING name";
/// Reads the table, which has what waits to be deleted.
const NEXT: &str = "SELECT min(due) FROM memory_blob";
/// The same.
const DUE: &str = "SELECT name FROM memory_blob WHERE due <= ?1 ORDER BY due LIMIT ?2 + 0";
/// Reads all memories; for an account that was deleted.
const LEFT: &str = "SELECT name FROM memory_blob WHERE name > ?1 UNION SELECT blob FROM memory WHERE blob > ?1 \
     ORDER BY name LIMIT ?2 + 0";
/// Reads all memories, and writes 1 row; for an account that was deleted.
const DROP: &str = "DELETE FROM memory WHERE blob = ?1";

/// Where the record of a row lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) name: String,
    /// Bytes there.
    pub(crate) bytes: u64,
}

impl Apart {
    /// Reads the columns `blob` and `blob_bytes`.
    pub(crate) fn read(row: &mut Row, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(match (row.opt_text(at)?, row.opt_int(at + 1)?) {
            (Some(name), Some(bytes)) => Some(Self { name, bytes: uint(bytes) }),
            _ => None,
        })
    }
}

/// What the row has of a record that lies apart.
pub(crate) struct Stub {
    key: ApartKey,
    pub(crate) cid: Cid,
    /// In DAG-CBOR.
    pub(crate) head: Opened,
}

impl Stub {
    pub(crate) fn read(text: &[u8]) -> Result<Self, EnvelopeError> {
        let data = |_: DataError| EnvelopeError::Form;
        let mut reader = Reader::new(text);
        if reader.array().map_err(data)? != ITEMS || reader.uint().map_err(data)? != FORM {
            return Err(EnvelopeError::Form);
        }
        let key = ApartKey::from_bytes(reader.bytes().map_err(data)?)?;
        let cid = cid_from_bytes(reader.bytes().map_err(data)?).map_err(data)?;
        let head = Zeroizing::new(reader.bytes().map_err(data)?.to_vec());
        reader.end().map_err(data)?;
        Ok(Self { key, cid, head })
    }

    fn write(&self) -> Result<Opened, StoreError> {
        let mut writer = Writer::new();
        let cid = cid_to_bytes(&self.cid).map_err(|_| StoreError::Corrupt("a record has no CID".into()))?;
        writer.array(ITEMS).uint(FORM).bytes(self.key.expose()).bytes(&cid).bytes(&self.head);
        Ok(Zeroizing::new(writer.as_bytes().to_vec()))
    }

    /// The record.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Opened, EnvelopeError> {
        let record = self.key.open(sealed)?;
        if cid_of_cbor(&record) == self.cid { Ok(record) } else { Err(EnvelopeError::Sealed) }
    }
}

/// The record of a text that an envelope had, and of what lies apart of it, if anything does.
pub(crate) fn record_of(text: Opened, apart: Option<&[u8]>) -> Result<Opened, EnvelopeError> {
    match apart {
        Some(sealed) => Stub::read(&text)?.open(sealed),
        None => Ok(text),
    }
}

impl Memories {
    /// Runs a call that may find on its desk what it wants of the blob storage, and note there what else it wants.
    pub fn with_desk<T>(&self, desk: &mut Desk, call: impl FnOnce() -> T) -> T {
        self.desk.replace(Some(std::mem::take(desk)));
        let outcome = call();
        *desk = self.desk.take().unwrap_or_default();
        outcome
    }

    /// Notes blobs before they are stored. They are this call's until it lets them go, or for [`ORPHAN_MICROS`]. Writes a row for each.
    ///
    /// # Errors
    /// [`MemoryError::Busy`] while too many are on their way.
    pub fn hold(&self, names: &[String], now: u64) -> Result<(), MemoryError> {
        let mut held = self.held.borrow_mut();
        if held.len() + names.len() > MAX_ON_THE_WAY {
            return Err(MemoryError::Busy);
        }
        transaction::<_, MemoryError>(&*self.store, || {
            names.iter().try_for_each(|name| Ok(self.note_blob(name, now + ORPHAN_MICROS)?))
        })?;
        held.extend(names.iter().map(|name| (name.clone(), now)));
        Ok(())
    }

    /// Notes a blob that somebody else is about to store: it is deleted at `due` (microseconds) unless it is claimed before. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn expect_blob(&self, name: &str, due: u64) -> Result<(), MemoryError> {
        Ok(self.note_blob(name, due)?)
    }

    /// Claims an expected blob, which is deleted no more; `false` if it is due, for then it may have been already, or is being. Writes
    /// 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn claim_blob(&self, name: &str, now: u64) -> Result<bool, MemoryError> {
        self.next_blob.set(None);
        Ok(!self.store.query(CLAIM, &[Param::Text(name), int(now)])?.is_empty())
    }

    /// Lets blobs go that a call has held: what no memory names is deleted when it is due.
    pub fn let_go(&self, names: &[String]) {
        let mut held = self.held.borrow_mut();
        held.retain(|name, _| !names.contains(name));
    }

    /// When blobs are to be deleted, in microseconds since the Unix epoch; `None` if none are. Writes nothing, and reads once.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_blob(&self) -> Result<Option<u64>, MemoryError> {
        if let Some(known) = self.next_blob.get() {
            return Ok(known);
        }
        let row = self.store.query(NEXT, &[])?.pop();
        let next = row.map(|mut row| row.opt_int(0)).transpose()?.flatten().map(uint);
        self.next_blob.set(Some(next));
        Ok(next)
    }

    /// Blobs to delete now, at most so many. No turn names them any more. [`Self::blob_gone`] follows for each, or
    /// [`Self::put_blob_off`]. Writes a row for each that a call holds.
    ///
    /// # Errors
    /// The storage's.
    pub fn blobs_due(&self, now: u64, limit: u32) -> Result<Vec<String>, MemoryError> {
        let mut held = self.held.borrow_mut();
        let mut due = Vec::new();
        for mut row in self.store.query(DUE, &[int(now), Param::Int(limit.into())])? {
            let name = row.text(0)?;
            if held.get(&name).is_some_and(|since| since + ORPHAN_MICROS > now) {
                self.note_blob(&name, now + ORPHAN_MICROS)?;
            } else {
                held.remove(&name);
                due.push(name);
            }
        }
        Ok(due)
    }

    /// Forgets a blob that was deleted. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn blob_gone(&self, name: &str) -> Result<(), MemoryError> {
        Ok(self.take_blob(name).map(drop)?)
    }

    /// Puts off the deletion of a blob. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_blob_off(&self, name: &str, now: u64) -> Result<(), MemoryError> {
        Ok(self.note_blob(name, now + BLOB_RETRY_MICROS)?)
    }

    /// Some of all blobs behind `after`, for an account that was deleted. [`Self::remove_blob`] follows for each that was deleted.
    ///
    /// # Errors
    /// The storage's.
    pub fn left_blobs(&self, after: &str, limit: u32) -> Result<Vec<String>, MemoryError> {
        let rows = self.store.query(LEFT, &[Param::Text(after), Param::Int(limit.into())])?;
        rows.into_iter().map(|mut row| Ok(row.text(0)?)).collect()
    }

    /// Forgets a blob, and the memory that names it. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn remove_blob(&self, name: &str) -> Result<(), MemoryError> {
        self.store.query(DROP, &[Param::Text(name)])?;
        self.blob_gone(name)
    }

    /// Has a blob deleted whose memory has gone. Writes 1 row.
    pub(crate) fn let_blob_go(&self, apart: Option<&Apart>, now: u64) -> Result<(), StoreError> {
        apart.map_or(Ok(()), |apart| self.note_blob(&apart.name, now))
    }

    /// Seals a record for its row, or what its row has of it where it is too large: then what is sealed apart must be stored already,
    /// and the row that notes it goes.
    pub(crate) fn seal_record(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        record: &[u8],
    ) -> Result<(Parts, Option<Apart>), MemoryError> {
        if record.len() <= MAX_ROW_BYTES {
            return Ok((self.seal(keeper, path, record)?, None));
        }
        let mut slot = self.desk.borrow_mut();
        let desk = slot.as_mut().ok_or(MemoryError::Elsewhere)?;
        let cid = cid_of_cbor(record);
        for stored in desk.stored_of(&cid) {
            let is_held = self.held.borrow().contains_key(&stored.name);
            if is_held && self.take_blob(&stored.name)? {
                let stub = Stub { key: stored.key, cid, head: head_of(record)? };
                let parts = self.seal(keeper, path, &stub.write()?)?;
                return Ok((parts, Some(Apart { name: stored.name, bytes: stored.bytes })));
            }
        }
        let key = ApartKey::draw(keeper.entropy);
        let sealed = key.seal(record, keeper.entropy)?;
        let mut name = [0; NAME_BYTES];
        keeper.entropy.fill(&mut name);
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        desk.send(Stored { name: HEXLOWER.encode(&name), cid, key, bytes }, sealed);
        Err(MemoryError::Elsewhere)
    }

    /// What lies apart of a row, as it lies there.
    pub(crate) fn brought(&self, apart: Option<&Apart>) -> Result<Option<Vec<u8>>, MemoryError> {
        let Some(apart) = apart else { return Ok(None) };
        let mut slot = self.desk.borrow_mut();
        let desk = slot.as_mut().ok_or(MemoryError::Elsewhere)?;
        match desk.take_up(&apart.name).ok_or(MemoryError::Elsewhere)? {
            Some(bytes) => Ok(Some(bytes.to_vec())),
            None => Err(StoreError::Corrupt("what lies apart of a memory is gone".into()).into()),
        }
    }

    /// Takes a blob from those that are to be deleted; says whether it was among them.
    fn take_blob(&self, name: &str) -> Result<bool, StoreError> {
        self.next_blob.set(None);
        Ok(!self.store.query(TAKE, &[Param::Text(name)])?.is_empty())
    }

    fn note_blob(&self, name: &str, due: u64) -> Result<(), StoreError> {
        self.next_blob.set(None);
        self.store.query(NOTE, &[Param::Text(name), int(due)]).map(drop)
    }
}

/// Bytes that a record has where it lies apart; none if it does not.
pub(crate) fn bytes_apart(record: &[u8]) -> usize {
    if record.len() <= MAX_ROW_BYTES { 0 } else { sealed_apart_bytes(record.len()) }
}

/// A record whose long texts are cut, and without its largest fields if it is still too large.
fn head_of(record: &[u8]) -> Result<Opened, StoreError> {
    let corrupt = || StoreError::Corrupt("a record is none of the data model".into());
    let Ipld::Map(fields) = cbor::decode(record).map_err(|_| corrupt())? else { return Err(corrupt()) };
    let fields: BTreeMap<String, Ipld> = fields.into_iter().map(|(name, value)| (name, cut(value))).collect();
    let sizes = fields.iter().map(|(name, value)| {
        let bytes = cbor::encode(value).map_err(|_| corrupt())?;
        Ok((bytes.len() + name.len() + FIELD_BYTES, name.clone()))
    });
    let mut sizes = sizes.collect::<Result<Vec<_>, StoreError>>()?;
    sizes.sort();
    let (mut head, mut room) = (BTreeMap::new(), MAX_HEAD_BYTES);
    for (size, name) in sizes {
        let Some(left) = room.checked_sub(size) else { break };
        room = left;
        head.extend(fields.get(&name).map(|value| (name, value.clone())));
    }
    cbor::encode(&Ipld::Map(head)).map(Zeroizing::new).map_err(|_| corrupt())
}

fn cut(value: Ipld) -> Ipld {
    match value {
        Ipld::String(mut text) => {
            text.truncate(text.floor_char_boundary(MAX_HEAD_TEXT_BYTES));
            Ipld::String(text)
        }
        Ipld::Map(fields) => Ipld::Map(fields.into_iter().map(|(name, value)| (name, cut(value))).collect()),
        Ipld::List(items) => Ipld::List(items.into_iter().map(cut).collect()),
        other => other,
    }
}

/// The form of a stub, and its items.
const FORM: u64 = 1;
const ITEMS: usize = 4;

/// Random bytes of a name: as many as those of other blobs have, so that nothing tells them apart.
const NAME_BYTES: usize = 20;

/// Bytes that a field has beside its name and its value, at most.
const FIELD_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use murmuration_data::json;
    use serde_json::json as object;

    use super::*;

    fn head(record: &serde_json::Value) -> serde_json::Value {
        let head = head_of(&cbor::encode(&json::from_value(record).unwrap()).unwrap()).unwrap();
        assert!(head.len() <= MAX_HEAD_BYTES);
        json::to_value(&cbor::decode(&head).unwrap())
    }

    #[test]
    fn a_head_has_what_is_short_and_the_beginning_of_what_is_long() {
        let long = "é".repeat(200_000);
        let said = head(&object!({ "$type": "a.b.c", "summary": "s", "text": long, "in": { "it": [long] } }));
        assert_eq!((said["$type"].as_str(), said["summary"].as_str()), (Some("a.b.c"), Some("s")));
        let cut = "é".repeat(MAX_HEAD_TEXT_BYTES / 2);
        assert_eq!((said["text"].as_str(), said["in"]["it"][0].as_str()), (Some(&*cut), Some(&*cut)));
    }

    #[test]
    fn a_head_leaves_out_what_is_largest() {
        let many = vec!["x".repeat(1_000); 300];
        let said = head(&object!({ "$type": "a.b.c", "summary": "s", "options": many }));
        assert_eq!(said, object!({ "$type": "a.b.c", "summary": "s" }));
    }
}
