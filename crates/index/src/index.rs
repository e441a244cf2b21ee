//! The index itself: in memory what is searched, in the storage all of it.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_memory::Essence;
use murmuration_platform::{Store, StoreError, transaction};
use murmuration_recall::{Embedded, Entry, Index, Slot, tokens};
use murmuration_syntax::Rev;
use sha2::{Digest, Sha256};

use crate::IndexError;
use crate::document::{Change, Document, Embedding, uri};
use crate::label::Label;
use crate::limits::{EMBED_BATCH, MAX_DOCUMENTS, MAX_OF_ACCOUNT, PLACE_EVENTS};
use crate::outer::Outer;
use crate::store;

/// The hash of an address: what a document is found by.
pub(crate) type Name = [u8; 32];

/// What is public on the network, as one host knows it.
///
/// Memory follows the storage within each call; when one fails, it is to be dropped and opened anew.
#[derive(Debug)]
pub struct PublicIndex {
    pub(crate) recall: Index,
    pub(crate) labels: BTreeMap<Slot, Label>,
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) hidden: BTreeSet<String>,
    pub(crate) names: BTreeMap<Name, Slot>,
    /// `None` where there is no outer index.
    pub(crate) outer: Option<Outer>,
    models: Vec<String>,
    cursor: u64,
    stored_cursor: u64,
    next: Slot,
}

/// What is known of an account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Its handle, if it is of another host.
    pub(crate) handle: Option<String>,
    pub(crate) inactive: bool,
    slots: BTreeSet<Slot>,
}

/// A document whose vector is missing, or of another embedder.
#[derive(Clone, Debug, PartialEq)]
pub struct Unembedded {
    slot: Slot,
    rev: Rev,
    /// All that it says.
    pub text: String,
}

impl PublicIndex {
    /// Opens the index, making its tables on a new host. `outer` names the index of vectors outside that is told of all documents, if
    /// there is one: where it is another than before, it is told everything, which writes a row a document, once. Reads a row a
    /// document.
    ///
    /// # Errors
    /// When the storage fails, or is none of an index.
    pub fn open(store: &dyn Store, outer: Option<&str>) -> Result<Self, IndexError> {
        store::migrate(store)?;
        let is_new = store::outer_name(store)?.as_deref() != outer;
        let cursor = store::place(store)?;
        let mut index = Self {
            recall: Index::default(),
            labels: BTreeMap::new(),
            accounts: BTreeMap::new(),
            hidden: store::hidden(store)?.into_iter().collect(),
            names: BTreeMap::new(),
            outer: match outer {
                Some(_) if is_new => Some(Outer::default()),
                Some(_) => Some(Outer {
                    waiting: store::outbox(store)?.into_iter().collect(),
                    flights: store::flights(store)?,
                }),
                None => None,
            },
            models: store::models(store)?,
            cursor,
            stored_cursor: cursor,
            next: 0,
        };
        for (did, handle, inactive) in store::accounts(store)? {
            index.accounts.insert(did, Account { handle, inactive, slots: BTreeSet::new() });
        }
        store::each_document(store, |label, mut entry| {
            index.next = index.next.max(entry.slot.saturating_add(1));
            let is_told = |outer: &Outer| !is_new && !outer.overlays(&label.name());
            if index.outer.as_ref().is_some_and(is_told) {
                entry.embedded = None;
            }
            Ok(index.keep(label, entry)?)
        })?;
        if is_new {
            let names: Vec<Name> = index.names.keys().copied().collect();
            transaction(store, || {
                store::set_outer(store, outer)?;
                names.iter().try_for_each(|name| index.owe(store, name))
            })?;
        }
        Ok(index)
    }

    /// How far the relay's log was read.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// How many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Stores what the log says up to `cursor`, in one transaction. What was stored before is passed over, so that a stretch of the
    /// log may be read twice. `model` has made the vectors.
    ///
    /// Writes a row for each document that is new, changed or gone, one for an account that is noted, and one for the place where
    /// there was anything, or once in [`PLACE_EVENTS`] events.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn apply(
        &mut self,
        store: &dyn Store,
        changes: Vec<Change>,
        model: &str,
        cursor: u64,
    ) -> Result<(), IndexError> {
        transaction(store, || {
            let mut written = false;
            for change in changes {
                written |= self.change(store, change, model)?;
            }
            if written || cursor >= self.stored_cursor.saturating_add(PLACE_EVENTS) {
                store::set_place(store, cursor)?;
                self.stored_cursor = cursor;
            }
            self.cursor = cursor;
            Ok(())
        })
    }

    /// Notes that the operator has taken a record down, or that it is shown again: 1 row.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn hide(&mut self, store: &dyn Store, uri: &str, hidden: bool) -> Result<(), IndexError> {
        if hidden == self.hidden.contains(uri) {
            return Ok(());
        }
        store::set_hidden(store, uri, hidden)?;
        if hidden {
            self.hidden.insert(uri.to_owned());
        } else {
            self.hidden.remove(uri);
        }
        Ok(())
    }

    /// Some of the documents that this embedder has made no vector of yet.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn unembedded(&self, store: &dyn Store, model: &str) -> Result<Vec<Unembedded>, IndexError> {
        let number = self.number_of(model);
        let pending = self.labels.iter().filter(|(_, label)| Some(label.model) != number).take(EMBED_BATCH);
        let mut found = Vec::new();
        for (slot, label) in pending {
            let Some((cid, record)) = store::record(store, *slot)? else { continue };
            let corrupt = |_| StoreError::Corrupt("a record of the index is none".into());
            let record = murmuration_data::json::parse(record.as_bytes()).map_err(corrupt)?;
            let document = Document::of(&label.did, &label.path, cid, label.rev, &record);
            let text = document.map_or_else(String::new, |document| document.essence.text);
            found.push(Unembedded { slot: *slot, rev: label.rev, text });
        }
        Ok(found)
    }

    /// Keeps the vectors of documents, unless they have changed since: a row each.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn keep_vectors(
        &mut self,
        store: &dyn Store,
        model: &str,
        made: Vec<(Unembedded, Embedding)>,
    ) -> Result<(), IndexError> {
        transaction(store, || {
            let number = self.learn_model(store, model)?;
            for (document, embedding) in made {
                let Some(label) = self.labels.get_mut(&document.slot) else { continue };
                let Some(mut entry) = self.recall.entry(document.slot).filter(|_| label.rev == document.rev)
                else {
                    continue;
                };
                if embedding == Embedding::Pending {
                    continue;
                }
                label.model = number;
                let name = label.name();
                entry.embedded = embedded(number, embedding);
                store::put_entry(store, number, &entry)?;
                self.recall.put(entry)?;
                self.owe(store, &name)?;
            }
            Ok(())
        })
    }

    /// Whether every document has what this embedder makes of it.
    #[must_use]
    pub fn is_embedded(&self, model: &str) -> bool {
        let number = self.number_of(model);
        self.labels.values().all(|label| Some(label.model) == number)
    }

    /// The number of an embedder, if it has made any vector.
    pub(crate) fn number_of(&self, model: &str) -> Option<u16> {
        let place = self.models.iter().position(|known| known == model)?;
        u16::try_from(place + 1).ok()
    }

    /// Does one of the changes; says whether a row was written for it.
    fn change(&mut self, store: &dyn Store, change: Change, model: &str) -> Result<bool, IndexError> {
        match change {
            Change::Put(document) => self.put(store, *document, model),
            Change::Gone { did, path, rev } => {
                let slot = self.names.get(&name_of(&uri(&did, &path))).copied();
                let known = slot.and_then(|slot| Some((slot, self.labels.get(&slot)?.rev)));
                match known.filter(|(_, known)| *known <= rev) {
                    Some((slot, _)) => self.remove(store, slot).map(|()| true),
                    None => Ok(false),
                }
            }
            Change::Another { did, documents, .. } => {
                let stay: BTreeSet<Name> =
                    documents.iter().map(|document| name_of(&document.uri())).collect();
                let had = self.accounts.get(did.as_str()).map(|account| account.slots.clone());
                let mut written = false;
                for slot in had.unwrap_or_default() {
                    let stays = self.labels.get(&slot).is_some_and(|label| stay.contains(&label.name()));
                    if !stays {
                        self.remove(store, slot)?;
                        written = true;
                    }
                }
                for document in documents {
                    written |= self.put(store, document, model)?;
                }
                Ok(written)
            }
            Change::Standing { did, active, deleted } => {
                let known = self.accounts.get(did.as_str());
                let (inactive, slots) =
                    known.map_or((false, None), |account| (account.inactive, Some(account.slots.clone())));
                if deleted {
                    let gone = slots.is_some();
                    for slot in slots.unwrap_or_default() {
                        self.remove(store, slot)?;
                    }
                    if self.accounts.remove(did.as_str()).is_some() {
                        store::put_account(store, did.as_str(), None, false)?;
                    }
                    return Ok(gone);
                }
                // Of an account that nothing is known of, nothing is shown.
                if slots.is_none() || inactive != active {
                    return Ok(false);
                }
                self.note(store, did.as_str(), |account| account.inactive = !active).map(|()| true)
            }
            Change::Handle { did, handle } => {
                let handle = handle.map(|handle| handle.to_string());
                let known = self.accounts.get(did.as_str()).and_then(|account| account.handle.as_ref());
                if known == handle.as_ref() {
                    return Ok(false);
                }
                self.note(store, did.as_str(), |account| account.handle = handle).map(|()| true)
            }
        }
    }

    fn note(
        &mut self,
        store: &dyn Store,
        did: &str,
        change: impl FnOnce(&mut Account),
    ) -> Result<(), IndexError> {
        let account = self.accounts.entry(did.to_owned()).or_default();
        change(account);
        Ok(store::put_account(store, did, account.handle.as_deref(), account.inactive)?)
    }

    /// Keeps a version of a document, unless it is known already or an older one than is known.
    fn put(&mut self, store: &dyn Store, document: Document, model: &str) -> Result<bool, IndexError> {
        let known = self.names.get(&name_of(&document.uri())).copied();
        let rev = known.and_then(|slot| self.labels.get(&slot)).map(|label| label.rev);
        if rev.is_some_and(|rev| rev >= document.rev) {
            return Ok(false);
        }
        let slot = match known {
            Some(slot) => slot,
            None => {
                self.make_room(store, document.did.as_str())?;
                let slot = self.next;
                self.next = slot.checked_add(1).ok_or(murmuration_recall::RecallError::Full)?;
                slot
            }
        };
        let number = match document.embedding {
            Embedding::Pending => 0,
            _ => self.learn_model(store, model)?,
        };
        let Essence { text, tags, importance, valid } = document.essence;
        let mut entry = Entry::new(slot).with_words(tokens(&text, word_token)).with_time(document.made);
        if let Some(importance) = importance {
            entry = entry.with_importance(importance);
        }
        entry.embedded = embedded(number, document.embedding);
        let label = Label {
            did: document.did,
            path: document.path,
            rev: document.rev,
            made: document.made,
            valid,
            expires: document.expires,
            tags: tags.iter().map(|tag| tag_token(tag)).collect(),
            model: number,
        };
        store::put_document(store, &label, &entry, (&document.cid, &document.record))?;
        // Of one that is new and has no vector yet, there is nothing to tell.
        if known.is_some() || entry.embedded.is_some() {
            self.owe(store, &label.name())?;
        }
        self.keep(label, entry)?;
        Ok(true)
    }

    /// Takes a document into memory.
    fn keep(&mut self, label: Label, entry: Entry) -> Result<(), murmuration_recall::RecallError> {
        let slot = entry.slot;
        self.recall.put(entry)?;
        self.names.insert(label.name(), slot);
        self.accounts.entry(label.did.to_string()).or_default().slots.insert(slot);
        self.labels.insert(slot, label);
        Ok(())
    }

    fn remove(&mut self, store: &dyn Store, slot: Slot) -> Result<(), IndexError> {
        store::delete_document(store, slot)?;
        self.recall.remove(slot);
        if let Some(label) = self.labels.remove(&slot) {
            self.owe(store, &label.name())?;
            self.names.remove(&label.name());
            if let Some(account) = self.accounts.get_mut(label.did.as_str()) {
                account.slots.remove(&slot);
                if account.slots.is_empty() && account.handle.is_none() && !account.inactive {
                    self.accounts.remove(label.did.as_str());
                }
            }
        }
        Ok(())
    }

    /// Lets the oldest document of an account go that has as many as it may, and of a full index the oldest of who has most.
    fn make_room(&mut self, store: &dyn Store, did: &str) -> Result<(), IndexError> {
        let own = self.accounts.get(did).filter(|account| account.slots.len() >= MAX_OF_ACCOUNT);
        let most = || self.accounts.values().max_by_key(|account| account.slots.len());
        let full = || (self.labels.len() >= MAX_DOCUMENTS).then(most).flatten();
        match own.or_else(full).and_then(|account| account.slots.first().copied()) {
            Some(oldest) => self.remove(store, oldest),
            None => Ok(()),
        }
    }

    /// The number of an embedder; writes 1 row for a new one.
    fn learn_model(&mut self, store: &dyn Store, model: &str) -> Result<u16, IndexError> {
        if let Some(number) = self.number_of(model) {
            return Ok(number);
        }
        let number =
            u16::try_from(self.models.len() + 1).map_err(|_| murmuration_recall::RecallError::Full)?;
        store::add_model(store, number, model)?;
        self.models.push(model.to_owned());
        Ok(number)
    }
}

impl Label {
    /// What the document is found by.
    pub(crate) fn name(&self) -> Name {
        name_of(&uri(&self.did, &self.path))
    }
}

fn embedded(by: u16, embedding: Embedding) -> Option<Embedded> {
    match embedding {
        Embedding::Is(vector) => Some(Embedded { by, vector }),
        _ => None,
    }
}

fn name_of(uri: &str) -> Name {
    Sha256::digest(uri).into()
}

/// What stands for a word. Nothing is secret here, so it has no key.
pub(crate) fn word_token(word: &str) -> u32 {
    token("word", word)
}

/// What stands for a tag.
pub(crate) fn tag_token(tag: &str) -> u32 {
    token("tag", tag)
}

/// FNV-1a.
fn token(kind: &str, text: &str) -> u32 {
    let bytes = kind.bytes().chain([0]).chain(text.bytes());
    bytes.fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
