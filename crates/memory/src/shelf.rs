//! The index that memories are found by: entries in sealed pages, and open in memory while the object is awake.
//!
//! A page holds the entries of [`PAGE_ENTRIES`] slots in a row, and is sealed whole, so a change writes one row, and a search reads
//! none once the pages are in memory. What of an entry filters (names, times, tags as keyed hashes) lies beside what of it ranks.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_data::Kind;
use murmuration_data::cbor::{Reader, Writer};
use murmuration_platform::{Entropy, Param, Store, StoreError};
use murmuration_recall::{Embedded, Entry, Index, MAX_ENTRIES, Slot};
use murmuration_syntax::{Did, Nsid, RecordKey, RepoPath};
use sha2::{Digest, Sha256};

use crate::duplicate::Content;
use crate::fact::Topic;
use crate::secret::Secret;
use crate::{Meaning, MemoryError, Uses};

/// Reads the rows that it answers with.
const PAGES: &str = "SELECT page, entries FROM memory_page WHERE page > ?1 ORDER BY page LIMIT ?2 + 0";
/// Writes 1 row.
const STORE: &str = "INSERT INTO memory_page (page, entries) VALUES (?1, ?2) \
     ON CONFLICT (page) DO UPDATE SET entries = excluded.entries";
/// Writes 1 row.
const DELETE: &str = "DELETE FROM memory_page WHERE page = ?1";

/// What of a memory filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) path: RepoPath,
    /// When it was made, in microseconds since the Unix epoch.
    pub(crate) created_at: u64,
    /// When it ends by itself.
    pub(crate) expires_at: Option<u64>,
    /// From when to when what it says holds.
    pub(crate) valid: (Option<u64>, Option<u64>),
    pub(crate) pinned: bool,
    /// Keyed hashes of its tags.
    pub(crate) tags: Vec<u32>,
    /// What it is about, if it is a fact.
    pub(crate) topic: Option<Topic>,
    /// What it says.
    pub(crate) content: Option<Content>,
    /// Whose word it is, if not the agent's own.
    pub(crate) origin: Option<u32>,
    pub(crate) uses: Uses,
}

impl Label {
    /// Whether it is there, and what it says holds.
    pub(crate) fn holds(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|at| at > now) && self.valid.1.is_none_or(|at| at > now)
    }
}

/// The index in memory.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) index: Index,
    pub(crate) labels: BTreeMap<Slot, Label>,
    /// Slots below the last that nothing has.
    free: BTreeSet<Slot>,
    /// Names of the models whose vectors there are.
    models: BTreeMap<u16, String>,
    /// Uses that are not stored, by the page.
    waiting: BTreeMap<u32, u32>,
    /// Pages that something was taken from and that are not stored.
    changed: BTreeSet<u32>,
}

impl Shelf {
    /// Reads all pages, of so many memories.
    pub(crate) fn load(
        store: &dyn Store,
        secret: &Secret,
        did: &Did,
        memories: u64,
    ) -> Result<Self, MemoryError> {
        let expected = usize::try_from(memories).unwrap_or(0).min(MAX_ENTRIES);
        let mut shelf = Self { index: Index::with_capacity(expected), ..Self::default() };
        let (mut labels, mut last) = (Vec::with_capacity(expected), -1);
        loop {
            let rows = store.query(PAGES, &[Param::Int(last), Param::Int(PAGES_AT_ONCE)])?;
            if rows.is_empty() {
                break;
            }
            for mut row in rows {
                last = row.int(0)?;
                let opened = secret.open(&place(did, last), &row.blob(1)?)?;
                shelf.read_page(&opened, &mut labels).ok_or_else(corrupt)?;
            }
        }
        // From a list in order a map is made in one go.
        shelf.labels = labels.into_iter().collect();
        let mut next = 0;
        for slot in shelf.labels.keys() {
            shelf.free.extend(next..*slot);
            next = slot.saturating_add(1);
        }
        Ok(shelf)
    }

    /// A slot that nothing has.
    pub(crate) fn fresh_slot(&mut self) -> Slot {
        let end = self.labels.last_key_value().map_or(0, |(slot, _)| slot.saturating_add(1));
        self.free.pop_first().unwrap_or(end)
    }

    /// Puts an entry in its place, and stores its page: 1 row.
    pub(crate) fn put(
        &mut self,
        store: &dyn Store,
        (secret, did, entropy): (&Secret, &Did, &dyn Entropy),
        label: Label,
        entry: Entry,
    ) -> Result<(), MemoryError> {
        let slot = entry.slot;
        self.index.put(entry).map_err(|_| MemoryError::Quota("The index is full"))?;
        self.labels.insert(slot, label);
        self.store_page_of(store, secret, did, entropy, slot)
    }

    /// Takes an entry away. Its page is stored with [`Self::store_changed`].
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.index.remove(slot);
        if self.labels.remove(&slot).is_some() {
            self.free.insert(slot);
        }
        self.changed.insert(slot / PAGE_ENTRIES);
    }

    /// Stores the pages that something was taken from: 1 row each.
    pub(crate) fn store_changed(
        &mut self,
        store: &dyn Store,
        (secret, did, entropy): (&Secret, &Did, &dyn Entropy),
    ) -> Result<(), MemoryError> {
        while let Some(page) = self.changed.first().copied() {
            self.store_page_of(store, secret, did, entropy, page * PAGE_ENTRIES)?;
        }
        Ok(())
    }

    /// Notes that a memory was given out.
    pub(crate) fn note_use(&mut self, slot: Slot, now: u64) {
        if let Some(label) = self.labels.get_mut(&slot) {
            label.uses = Uses { count: label.uses.count.saturating_add(1), last: Some(now) };
            *self.waiting.entry(slot / PAGE_ENTRIES).or_default() += 1;
        }
    }

    /// How the memory in a slot was used.
    pub(crate) fn uses_of(&self, slot: Slot) -> Uses {
        self.labels.get(&slot).map_or_else(Uses::default, |label| label.uses)
    }

    /// Uses that are not stored.
    pub(crate) fn waiting_uses(&self) -> u32 {
        self.waiting.values().sum()
    }

    /// Stores the page with the most uses that are not stored: 1 row.
    pub(crate) fn store_most_used(
        &mut self,
        store: &dyn Store,
        (secret, did, entropy): (&Secret, &Did, &dyn Entropy),
    ) -> Result<(), MemoryError> {
        match self.waiting.iter().max_by_key(|(_, uses)| **uses) {
            Some((page, _)) => self.store_page_of(store, secret, did, entropy, page * PAGE_ENTRIES),
            None => Ok(()),
        }
    }

    /// The number of a model, by which its vectors are told from others, and from its own in another form.
    pub(crate) fn number_of(&mut self, model: &str) -> u16 {
        let number = number(model);
        self.models.insert(number, model.to_owned());
        number
    }

    /// The vector of an entry, with its model's name.
    pub(crate) fn meaning_of(&self, slot: Slot) -> Option<Meaning> {
        let Embedded { by, vector } = self.index.entry(slot)?.embedded?;
        Some(Meaning { model: self.models.get(&by)?.clone(), vector })
    }

    /// Whether there are vectors of other models than this one.
    pub(crate) fn has_vectors_of_others(&self, model: &str) -> bool {
        let by = number(model);
        self.index.slots().any(|slot| self.index.embedded_by(slot).is_some_and(|other| other != by))
    }

    /// The places behind one, some, whose vector is missing or of another model.
    pub(crate) fn without_vector_of(&self, model: &str, after: i64, limit: usize) -> Vec<Slot> {
        let by = number(model);
        let behind = self.index.slots().filter(|slot| i64::from(*slot) > after);
        behind.filter(|slot| self.index.embedded_by(*slot) != Some(by)).take(limit).collect()
    }

    /// Puts vectors in their places, and stores the pages: 1 row each.
    pub(crate) fn set_vectors(
        &mut self,
        store: &dyn Store,
        (secret, did, entropy): (&Secret, &Did, &dyn Entropy),
        vectors: impl Iterator<Item = (Slot, Embedded)>,
    ) -> Result<(), MemoryError> {
        let mut pages = BTreeMap::new();
        for (slot, embedded) in vectors {
            let Some(entry) = self.index.entry(slot) else { continue };
            self.index
                .put(entry.with_vector(embedded.by, embedded.vector))
                .map_err(|_| MemoryError::Quota("The index is full"))?;
            pages.insert(slot / PAGE_ENTRIES, slot);
        }
        pages.into_values().try_for_each(|slot| self.store_page_of(store, secret, did, entropy, slot))
    }

    /// Stores the page of a slot.
    fn store_page_of(
        &mut self,
        store: &dyn Store,
        secret: &Secret,
        did: &Did,
        entropy: &dyn Entropy,
        slot: Slot,
    ) -> Result<(), MemoryError> {
        let number = slot / PAGE_ENTRIES;
        self.waiting.remove(&number);
        self.changed.remove(&number);
        let slots = number * PAGE_ENTRIES..(number + 1).saturating_mul(PAGE_ENTRIES);
        let entries: Vec<(&Label, Entry)> = self
            .labels
            .range(slots)
            .filter_map(|(slot, label)| Some((label, self.index.entry(*slot)?)))
            .collect();
        let number = i64::from(number);
        if entries.is_empty() {
            return Ok(store.query(DELETE, &[Param::Int(number)]).map(drop)?);
        }
        let mut writer = Writer::new();
        let used: BTreeSet<u16> = entries
            .iter()
            .filter_map(|(_, entry)| entry.embedded.as_ref().map(|Embedded { by, .. }| *by))
            .collect();
        let models: Vec<_> = self.models.iter().filter(|(by, _)| used.contains(by)).collect();
        writer.array(2 + entries.len() * ENTRY_ITEMS).uint(FORM);
        writer.array(models.len() * 2);
        for (by, id) in models {
            writer.uint((*by).into()).text(id);
        }
        for (label, entry) in entries {
            write(&mut writer, label, &entry);
        }
        let sealed = secret.seal(&place(did, number), writer.as_bytes(), entropy);
        Ok(store.query(STORE, &[Param::Int(number), Param::Blob(&sealed)]).map(drop)?)
    }

    /// Reads a page, and gives its labels to `labels`; `None` where it is not as it was written.
    fn read_page(&mut self, page: &[u8], labels: &mut Vec<(Slot, Label)>) -> Option<()> {
        let mut reader = Reader::new(page);
        let items = reader.array().ok()?;
        let form = reader.uint().ok()?;
        let each = match form {
            FIRST_FORM => FIRST_ITEMS,
            FORM => ENTRY_ITEMS,
            _ => return None,
        };
        for _ in 0..reader.array().ok()? / 2 {
            let by = u16::try_from(reader.uint().ok()?).ok()?;
            self.models.insert(by, reader.text().ok()?.to_owned());
        }
        for _ in 0..items.saturating_sub(2) / each {
            let collection = labels.last().map(|(_, label)| &label.path.collection);
            let label = read(&mut reader, form, collection)?;
            labels.push((self.index.put_bytes(reader.bytes().ok()?).ok()?, label));
        }
        reader.end().ok()
    }
}

fn number(model: &str) -> u16 {
    let digest: [u8; 32] = Sha256::digest(format!("{model} {VECTORS}")).into();
    let [a, b, ..] = digest;
    u16::from_be_bytes([a, b])
}

fn write(writer: &mut Writer, label: &Label, entry: &Entry) {
    writer.text(label.path.collection.as_str()).text(label.path.rkey.as_str()).uint(label.created_at);
    for moment in [label.expires_at, label.valid.0, label.valid.1] {
        match moment {
            Some(moment) => writer.uint(moment),
            None => writer.null(),
        };
    }
    writer.bool(label.pinned);
    writer.array(label.tags.len());
    for tag in &label.tags {
        writer.uint((*tag).into());
    }
    for hash in [&label.topic, &label.content] {
        match hash {
            Some(hash) => writer.bytes(hash),
            None => writer.null(),
        };
    }
    for number in [label.origin.map(u64::from), label.uses.last] {
        match number {
            Some(number) => writer.uint(number),
            None => writer.null(),
        };
    }
    writer.uint(label.uses.count.into());
    writer.bytes(&entry.to_bytes());
}

/// Reads a label. Most are of the collection that the one before it was of, which need not be parsed again.
fn read(reader: &mut Reader<'_>, form: u64, before: Option<&Nsid>) -> Option<Label> {
    let (collection, rkey) = (reader.text().ok()?, reader.text().ok()?);
    let collection = match before {
        Some(before) if before.as_str() == collection => before.clone(),
        _ => Nsid::parse(collection).ok()?,
    };
    let path = RepoPath::new(collection, RecordKey::parse(rkey).ok()?);
    let created_at = reader.uint().ok()?;
    let (expires_at, valid) = (optional(reader)?, (optional(reader)?, optional(reader)?));
    let pinned = reader.bool().ok()?;
    let mut tags = Vec::new();
    for _ in 0..reader.array().ok()? {
        tags.push(u32::try_from(reader.uint().ok()?).ok()?);
    }
    let topic = hash(reader)?;
    let (mut content, mut origin, mut uses) = (None, None, Uses::default());
    if form != FIRST_FORM {
        content = hash(reader)?;
        origin = optional(reader)?.map(u32::try_from).transpose().ok()?;
        uses.last = optional(reader)?;
        uses.count = u32::try_from(reader.uint().ok()?).ok()?;
    }
    Some(Label { path, created_at, expires_at, valid, pinned, tags, topic, content, origin, uses })
}

/// A number or null; `None` for anything else.
fn optional(reader: &mut Reader<'_>) -> Option<Option<u64>> {
    match reader.peek().ok()? {
        Kind::Null => reader.null().map(|()| None).ok(),
        _ => reader.uint().map(Some).ok(),
    }
}

/// A hash or null; `None` for anything else.
fn hash(reader: &mut Reader<'_>) -> Option<Option<[u8; 8]>> {
    match reader.peek().ok()? {
        Kind::Null => reader.null().map(|()| None).ok(),
        _ => Some(Some(reader.bytes().ok()?.try_into().ok()?)),
    }
}

/// What a page is sealed for.
fn place(did: &Did, page: i64) -> String {
    format!("page {did} {page}")
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a page of the index is not as it was written".into())
}

/// Entries of a page, at most: with 256 dimensions and forty words each it has some forty kilobytes, which a change seals and writes.
const PAGE_ENTRIES: u32 = 64;

/// Pages that are read at once.
const PAGES_AT_ONCE: i64 = 32;

/// The form of a page.
const FORM: u64 = 2;

/// The form of the vectors: turned, in eight bits ([`murmuration_embedding::Vector`]).
const VECTORS: &str = "turned";

/// Items that an entry has in its page.
const ENTRY_ITEMS: usize = 14;

/// The form of pages from before it was noted what a memory says, whose word it is and how it is used. Such a page is read, and written
/// anew with the next change of it.
const FIRST_FORM: u64 = 1;
const FIRST_ITEMS: usize = 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_page_of_the_first_form_is_read() {
        let mut writer = Writer::new();
        writer.array(2 + FIRST_ITEMS).uint(FIRST_FORM).array(0);
        writer.text("agent.memory.note").text("3lznm6spegk2z").uint(7).null().null().null().bool(true);
        writer.array(1).uint(9).bytes(&[1; 8]).bytes(&Entry::new(3).with_time(7).to_bytes());
        let (mut shelf, mut labels) = (Shelf::default(), Vec::new());
        shelf.read_page(writer.as_bytes(), &mut labels).unwrap();
        let (3, label) = &labels[0] else { unreachable!("another slot") };
        assert_eq!(
            (label.created_at, label.pinned, &label.tags, label.topic),
            (7, true, &vec![9], Some([1; 8]))
        );
        assert_eq!((label.content, label.origin, label.uses), (None, None, Uses::default()));
        assert_eq!(shelf.index.entry(3).unwrap().time, 7);
    }
}
