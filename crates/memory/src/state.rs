//! Working state: what an agent is in the middle of. Entries with a key and a value, changed by compare and swap.
//!
//! Each version of an entry is sealed under a data key of its own, with its key: the row's name is a keyed hash of that.

use data_encoding::HEXLOWER;
use murmuration_data::{Ipld, cbor};
use murmuration_envelope::{Binding, Envelope, OWN_PART_BYTES, Parts};
use murmuration_keyring::Ring;
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Nsid, RecordKey, Rev, Tid};

use crate::limits::{MAX_STATE_BYTES, MAX_STATES};
use crate::loaded::Loaded;
use crate::operation::int;
use crate::row::uint;
use crate::secret::NAME_BYTES;
use crate::{Keeper, Memories, MemoryError};

/// Reads 1 row.
const SELECT: &str = "SELECT name, rev, updated_at, expires_at, own, text FROM memory_state WHERE name = ?1";
/// Reads them all.
const ALL: &str = "SELECT name, rev, updated_at, expires_at, own, text FROM memory_state \
     WHERE coalesce(expires_at > ?1, 1) ORDER BY name";
/// Reads them all.
const COUNT: &str = "SELECT count(*) FROM memory_state";
/// Writes 1 row, and up to 2 more where one of the versions expires.
const STORE: &str = "INSERT INTO memory_state (name, rev, updated_at, expires_at, own_epoch, own, text) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET rev = excluded.rev, updated_at = excluded.updated_at, \
     expires_at = excluded.expires_at, own_epoch = excluded.own_epoch, own = excluded.own, text = excluded.text";
/// Writes 1 row: the key is overwritten in the place where it lies.
const SHRED: &str = "UPDATE memory_state SET own = ?2 WHERE name = ?1";
/// Writes 1 row, and 1 more where it expires.
const DELETE: &str = "DELETE FROM memory_state WHERE name = ?1";
/// Reads the rows that it answers with.
const OVER: &str = "SELECT name FROM memory_state WHERE expires_at IS NOT NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2 + 0";

/// An entry of the working state.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Ipld,
    /// What tells this version from others.
    pub rev: Rev,
    /// When it was changed last, in microseconds since the Unix epoch.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
}

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryPage {
    /// By their keys.
    pub entries: Vec<Entry>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// An entry to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a Ipld,
    /// When it ends by itself, in microseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// The version that it must have, of which `None` is none at all.
    pub swap: Option<Option<Rev>>,
}

impl Memories {
    /// The entry of a key. Writes nothing.
    ///
    /// # Errors
    /// [`MemoryError::NoSuchState`].
    pub fn state(&self, keeper: Keeper<'_>, key: &str) -> Result<Entry, MemoryError> {
        self.look(keeper, None, |loaded| self.entry(loaded, keeper, key))?.ok_or(MemoryError::NoSuchState)
    }

    /// Keeps a value under a key. Writes 1 row, 1 more in the place of an older version, and up to 2 more where one of the versions
    /// expires.
    ///
    /// # Errors
    /// [`MemoryError::StateSwap`], [`MemoryError::Quota`] and [`MemoryError::TooLarge`].
    pub fn put_state(&self, keeper: Keeper<'_>, put: Put<'_>) -> Result<Entry, MemoryError> {
        let content = Ipld::List(vec![Ipld::String(put.key.to_owned()), put.value.clone()]);
        let content = cbor::encode(&content)
            .map_err(|_| StoreError::Corrupt("a value is none of the data model".into()))?;
        if content.len() > MAX_STATE_BYTES {
            return Err(MemoryError::TooLarge(MAX_STATE_BYTES));
        }
        self.change(keeper, |loaded| {
            let name = name(loaded, put.key);
            let old = self.entry(loaded, keeper, put.key)?;
            check_swap(put.swap, old.as_ref())?;
            if old.is_none() && self.count()? >= MAX_STATES {
                return Err(MemoryError::Quota("The agent keeps as many entries of state as it may"));
            }
            // Later than what is known to have been kept here. What is not, because it was deleted and the object slept, differs in a
            // time of microseconds, and should the clock have been put back to the very one, in ten random bits.
            let last = old.as_ref().map(|old| old.rev).max(loaded.state_rev);
            let mut bits = [0; 2];
            keeper.entropy.fill(&mut bits);
            let rev = Tid::next(keeper.now, u16::from_be_bytes(bits), last);
            loaded.state_rev = Some(rev);
            if old.is_some() {
                self.store.query(SHRED, &[Param::Blob(&name), Param::Blob(&[0; OWN_PART_BYTES])])?;
            }
            let binding = binding(keeper.ring.did(), &name)?;
            let parts = keeper.ring.seal(&binding, &[], &content, keeper.entropy)?.to_parts();
            let text = rev.to_string();
            let row = [
                Param::Blob(&name),
                Param::Text(&text),
                int(keeper.now),
                put.expires_at.map_or(Param::Null, int),
                Param::Int(keeper.ring.current().number().into()),
                Param::Blob(&parts.own),
                Param::Blob(&parts.text),
            ];
            self.store.query(STORE, &row)?;
            self.expects(put.expires_at);
            let (key, value) = (put.key.to_owned(), put.value.clone());
            Ok(Entry { key, value, rev, updated_at: keeper.now, expires_at: put.expires_at })
        })
    }

    /// Deletes an entry: first its key, then the rest. Writes 2 rows, and 1 more where it expires.
    ///
    /// # Errors
    /// [`MemoryError::NoSuchState`] and [`MemoryError::StateSwap`].
    pub fn delete_state(&self, keeper: Keeper<'_>, key: &str, swap: Option<Rev>) -> Result<(), MemoryError> {
        self.change(keeper, |loaded| {
            let old = self.entry(loaded, keeper, key)?.ok_or(MemoryError::NoSuchState)?;
            check_swap(swap.map(Some), Some(&old))?;
            Ok(self.drop_state(&name(loaded, key))?)
        })
    }

    /// Entries whose keys begin with `prefix`, behind the key `after`. Opens all there are. Writes nothing.
    ///
    /// # Errors
    /// When one of them does not open.
    pub fn states(
        &self,
        keeper: Keeper<'_>,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, MemoryError> {
        let mut entries = Vec::new();
        for mut row in self.store.query(ALL, &[int(keeper.now)])? {
            let entry = read(&mut row, keeper)?;
            if entry.key.starts_with(prefix) && entry.key.as_str() > after {
                entries.push(entry);
            }
        }
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(EntryPage { entries, more })
    }

    /// Deletes at most `limit` entries whose time is over.
    pub(crate) fn drop_states(&self, now: u64, limit: u32) -> Result<(), StoreError> {
        for mut row in self.store.query(OVER, &[int(now), Param::Int(limit.into())])? {
            self.drop_state(&row.blob(0)?)?;
        }
        Ok(())
    }

    fn drop_state(&self, name: &[u8]) -> Result<(), StoreError> {
        self.store.query(SHRED, &[Param::Blob(name), Param::Blob(&[0; OWN_PART_BYTES])])?;
        self.store.query(DELETE, &[Param::Blob(name)]).map(drop)
    }

    /// The entry of a key, if its time is not over.
    fn entry(&self, loaded: &Loaded, keeper: Keeper<'_>, key: &str) -> Result<Option<Entry>, MemoryError> {
        let found = self.store.query(SELECT, &[Param::Blob(&name(loaded, key))])?.pop();
        let entry = found.map(|mut row| read(&mut row, keeper)).transpose()?;
        Ok(entry.filter(|entry| entry.expires_at.is_none_or(|at| at > keeper.now)))
    }

    fn count(&self) -> Result<u64, StoreError> {
        let row = self.store.query(COUNT, &[])?.pop();
        row.map_or(Ok(0), |mut row| row.int(0).map(uint))
    }
}

fn read(row: &mut Row, keeper: Keeper<'_>) -> Result<Entry, MemoryError> {
    let name = row.blob(0)?;
    let rev = Rev::parse(&row.text(1)?).map_err(|_| corrupt())?;
    let (updated_at, expires_at) = (uint(row.int(2)?), row.opt_int(3)?.map(uint));
    let parts = Parts { own: row.blob(4)?, readers: Vec::new(), text: row.blob(5)? };
    let (key, value) = open(keeper.ring, &name, &Envelope::from_parts(&parts)?)?;
    Ok(Entry { key, value, rev, updated_at, expires_at })
}

/// The key and the value of an entry.
pub(crate) fn open(ring: &Ring, name: &[u8], envelope: &Envelope) -> Result<(String, Ipld), MemoryError> {
    let opened = ring.open(&binding(ring.did(), name)?, envelope)?;
    let Ok(Ipld::List(items)) = cbor::decode(&opened) else { return Err(corrupt().into()) };
    let Ok([Ipld::String(key), value]) = <[Ipld; 2]>::try_from(items) else { return Err(corrupt().into()) };
    Ok((key, value))
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("an entry of the state is not as it was written".into())
}

fn name(loaded: &Loaded, key: &str) -> [u8; NAME_BYTES] {
    loaded.secret.name("state", key.as_bytes())
}

/// Where an entry is sealed for.
pub(crate) fn binding(author: &Did, name: &[u8]) -> Result<Binding, StoreError> {
    let corrupt = |_| StoreError::Corrupt("an entry of the state has no name".into());
    let collection = Nsid::parse(COLLECTION).map_err(corrupt)?;
    let rkey = RecordKey::parse(&HEXLOWER.encode(name)).map_err(corrupt)?;
    Ok(Binding { author: author.clone(), collection: collection.clone(), rkey, schema: collection })
}

fn check_swap(swap: Option<Option<Rev>>, current: Option<&Entry>) -> Result<(), MemoryError> {
    let current = current.map(|entry| entry.rev);
    match swap {
        Some(wanted) if wanted != current => Err(MemoryError::StateSwap(current.map(|rev| rev.to_string()))),
        _ => Ok(()),
    }
}

/// The collection that entries are bound to: none that has records.
const COLLECTION: &str = "agent.memory.state";
