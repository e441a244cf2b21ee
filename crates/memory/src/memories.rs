//! Creating, changing, deleting and reading memories.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_data::{Cid, Ipld, cbor, cid_of_cbor};
use murmuration_envelope::{OWN_PART_BYTES, Opened, Parts};
use murmuration_keyring::Ring;
use murmuration_platform::{Entropy, Param, Store, StoreError};
use murmuration_recall::{Entry, Slot};
use murmuration_syntax::{RepoPath, Rev, Tid};

use crate::apart::bytes_apart;
use crate::duplicate::{Superseded, content_of};
use crate::embedding::Pass;
use crate::fact::topic_of;
use crate::limits::{MAX_BYTES, MAX_MEMORIES, MAX_RECORD_BYTES};
use crate::loaded::Loaded;
use crate::operation::{Request, behind};
use crate::row::{Columns, FoundBy, binding, key_of};
use crate::search::{tag_of, words_of};
use crate::shelf::Label;
use crate::{Beside, Desk, Essence, Meaning, MemoryError, OnDuplicate, Operation, Operations, Origin, Space};

/// Reads 1 row, and a share.
const SELECT: &str = "SELECT rev, created_at, updated_at, expires_at, pinned, own, readers, text, slot, \
     EXISTS (SELECT 1 FROM memory_share AS share WHERE share.space_type = ?1 AND share.skey = ?2 \
     AND share.collection = memory.collection AND share.rkey = memory.rkey), blob, blob_bytes FROM memory \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Writes 1 row, and 1 more where it expires.
const INSERT: &str = "INSERT INTO memory (rev, created_at, updated_at, expires_at, pinned, own_epoch, own, readers, text, \
     slot, blob, blob_bytes, space_type, skey, collection, rkey) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
/// Writes 1 row, and up to 2 more where one of the versions expires.
const UPDATE: &str = "UPDATE memory SET rev = ?1, created_at = ?2, updated_at = ?3, expires_at = ?4, pinned = ?5, own_epoch = ?6, \
     own = ?7, readers = ?8, text = ?9, slot = ?10, blob = ?11, blob_bytes = ?12 \
     WHERE space_type = ?13 AND skey = ?14 AND collection = ?15 AND rkey = ?16";
/// Writes 1 row: the key is overwritten in the place where it lies, for the value stays as long as it was.
const SHRED: &str = "UPDATE memory SET own = ?5, readers = NULL \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Writes 1 row, and 1 more where it expires.
const DELETE: &str =
    "DELETE FROM memory WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";

/// Who keeps the memories: the agent's keys, and what the host gives to a call.
#[derive(Clone, Copy)]
pub struct Keeper<'a> {
    /// The keys.
    pub ring: &'a Ring,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
    /// Microseconds since the Unix epoch.
    pub now: u64,
}

/// A memory to be made.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// Its name.
    pub path: &'a RepoPath,
    /// Its record, in DAG-CBOR.
    pub record: &'a [u8],
    /// Whether upkeep leaves it alone.
    pub pinned: bool,
    /// When it ends by itself, in microseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// The vector of its text ([`Essence`]), if there is a model.
    pub meaning: Option<&'a Meaning>,
    /// What becomes of it if there is one that says the same.
    pub on_duplicate: OnDuplicate,
    /// The least cosine to those that are looked for as near; with [`OnDuplicate::Skip`] one of them is as good as the same.
    pub near: Option<f32>,
}

/// What a memory becomes.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The record of the next version, in DAG-CBOR.
    pub record: &'a [u8],
    /// Whether upkeep leaves it alone from now on; `None` leaves it as it is.
    pub pinned: Option<bool>,
    /// When it ends by itself, in microseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// The CID that it must have.
    pub swap: Option<&'a Cid>,
    /// The vector of its text ([`Essence`]), if there is a model.
    pub meaning: Option<&'a Meaning>,
}

/// What makes a call that is made again the same call.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// The idempotency key.
    pub key: &'a str,
    /// All that was asked for.
    pub asked: &'a [u8],
}

/// What a call has written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Which memory.
    pub path: RepoPath,
    /// Its CID.
    pub cid: Cid,
    /// The revision of its space.
    pub rev: Rev,
    /// Whether it was there already, and nothing was written.
    pub repeated: bool,
    /// How it stands to others that are there.
    pub beside: Beside,
}

/// A memory, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its name.
    pub path: RepoPath,
    /// Its CID.
    pub cid: Cid,
    /// The revision of its space at its last change.
    pub rev: Rev,
    /// Its record, in DAG-CBOR.
    pub record: Opened,
    /// Whether the record is only the head of one that is too large for its row.
    pub is_partial: bool,
    /// Whether upkeep leaves it alone.
    pub pinned: bool,
    /// Whether somebody reads it beside the agent.
    pub shared: bool,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: u64,
    /// When it was changed last.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
}

/// The memories of one agent, in the storage of its object.
///
/// All calls are synchronous and whole. The tables must be there: whoever makes this has brought them up to date.
pub struct Memories {
    pub(crate) store: Rc<dyn Store>,
    pub(crate) loaded: RefCell<Option<Loaded>>,
    /// When something ends by itself, if that is known.
    pub(crate) next_expiry: Cell<Option<Option<u64>>>,
    /// When upkeep is due, if that is known.
    pub(crate) next_upkeep: Cell<Option<Option<u64>>>,
    /// When a blob is to be deleted, if that is known.
    pub(crate) next_blob: Cell<Option<Option<u64>>>,
    /// Blobs that calls have on their way in, and since when, in microseconds since the Unix epoch.
    pub(crate) held: RefCell<BTreeMap<String, u64>>,
    /// What the call that runs has of the blob storage.
    pub(crate) desk: RefCell<Option<Desk>>,
    /// Whether the embedder did not answer for the change that comes next.
    pub(crate) late: Cell<bool>,
    /// How far embedding behind the calls has come, if that is known.
    pub(crate) pass: Cell<Option<Option<Pass>>>,
    /// The model of which it is known that there are vectors of no other, or that they are made anew.
    pub(crate) followed: RefCell<Option<String>>,
}

impl Memories {
    /// The memories in `store`.
    #[must_use]
    pub fn new(store: Rc<dyn Store>) -> Self {
        Self {
            store,
            loaded: RefCell::new(None),
            next_expiry: Cell::new(None),
            next_upkeep: Cell::new(None),
            next_blob: Cell::new(None),
            held: RefCell::default(),
            desk: RefCell::new(None),
            late: Cell::new(false),
            pass: Cell::new(None),
            followed: RefCell::new(None),
        }
    }

    /// Forgets what is in memory: the storage was wiped, or a transaction around a call was undone.
    pub fn forget(&self) {
        self.loaded.replace(None);
        self.next_expiry.set(None);
        self.next_upkeep.set(None);
        self.next_blob.set(None);
        self.pass.set(None);
        self.followed.replace(None);
    }

    /// Makes a memory. Writes 4 rows, 1 more where it expires, 1 more with an idempotency key, 1 more where it lies apart, and once the row
    /// of the secret.
    ///
    /// # Errors
    /// [`MemoryError::Conflict`] when there is one of that name, or the idempotency key was used for something else;
    /// [`MemoryError::Quota`] and [`MemoryError::TooLarge`].
    pub fn create(
        &self,
        keeper: Keeper<'_>,
        draft: Draft<'_>,
        once: Option<Once<'_>>,
    ) -> Result<Written, MemoryError> {
        check_size(draft.record)?;
        self.change(keeper, |loaded| {
            let request = once.map(|once| Request {
                key: loaded.secret.name("request", once.key.as_bytes()),
                digest: loaded.secret.name("asked", once.asked),
            });
            if let Some(request) = &request
                && let Some(written) = self.done_before(loaded, request)?
            {
                return Ok(written);
            }
            self.make(loaded, keeper, &draft, request.as_ref())
        })
    }

    /// Makes a memory, unless it is known.
    pub(crate) fn make(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        draft: &Draft<'_>,
        request: Option<&Request>,
    ) -> Result<Written, MemoryError> {
        check_size(draft.record)?;
        if let Some(row) = self.row(draft.path)? {
            if !row.is_over(keeper.now) {
                return Err(MemoryError::Conflict("There is a memory with this record key"));
            }
            self.remove(loaded, keeper, draft.path, row)?;
        }
        if loaded.space.memories >= MAX_MEMORIES {
            return Err(MemoryError::Quota("The agent keeps as many memories as it may"));
        }
        let said = decoded(draft.record)?;
        let mut beside = self.beside(loaded, keeper, draft, &said)?;
        if let (OnDuplicate::Skip, Some(known)) = (draft.on_duplicate, beside.known().cloned()) {
            return self.known(keeper, known, beside);
        }
        let record = match self.supersede(loaded, keeper, draft, &mut beside)? {
            Superseded::Same(known) => return self.known(keeper, known, beside),
            Superseded::Nothing => Cow::Borrowed(draft.record),
            Superseded::Itself(record) => Cow::Owned(record),
        };
        let Draft { path, pinned, expires_at, meaning, .. } = *draft;
        let (created_at, updated_at) = (keeper.now, keeper.now);
        let new = New { path, record: &record, pinned, created_at, updated_at, expires_at, meaning };
        let (rev, cid) = self.insert(loaded, keeper, &new, request)?;
        self.store_space(loaded, keeper)?;
        Ok(Written { path: path.clone(), cid, rev, repeated: false, beside })
    }

    /// Puts a memory where none of that name is. The space is stored by whoever calls.
    pub(crate) fn insert(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        new: &New<'_>,
        request: Option<&Request>,
    ) -> Result<(Rev, Cid), MemoryError> {
        let New { path, record, pinned, created_at, updated_at, expires_at, meaning } = *new;
        check_room(&loaded.space, bytes_apart(record))?;
        let (parts, apart) = self.seal_record(keeper, path, record)?;
        check_room(&loaded.space, parts.text.len() + bytes_apart(record))?;
        let (rev, cid) = (next_rev(keeper, &loaded.space), cid_of_cbor(record));
        let found_by = FoundBy { path, record, meaning, created_at, expires_at, pinned };
        let slot = Some(self.file(loaded, keeper, None, &found_by)?);
        let shared = false;
        let row = Columns { rev, created_at, updated_at, expires_at, pinned, shared, slot, parts, apart };
        loaded.space.memories += 1;
        loaded.space.bytes += row.bytes();
        loaded.space.hash.add(path, &cid);
        row.store(&*self.store, INSERT, keeper.ring, path)?;
        self.expects(expires_at);
        let operation = Operation { rev, path: path.clone(), cid: Some(cid), prev: None };
        self.append(loaded, keeper, &operation, request)?;
        Ok((rev, cid))
    }

    /// Makes the next version of a memory, under a data key of its own. Writes 5 rows, and up to 2 more where one of the versions
    /// expires, and 2 where one lies apart; none when it is the same record already.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`], [`MemoryError::Swap`], [`MemoryError::Quota`] and [`MemoryError::TooLarge`].
    pub fn update(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        change: Change<'_>,
    ) -> Result<Written, MemoryError> {
        check_size(change.record)?;
        self.change(keeper, |loaded| {
            let old = self.live(path, keeper.now)?;
            let (prev, cid) = (old.cid(keeper, path)?, cid_of_cbor(change.record));
            check_swap(change.swap, &prev)?;
            let pinned = change.pinned.unwrap_or(old.pinned);
            if prev == cid && pinned == old.pinned && change.expires_at == old.expires_at {
                let beside = Beside::default();
                return Ok(Written { path: path.clone(), cid, rev: old.rev, repeated: true, beside });
            }
            let rev =
                self.replace(loaded, keeper, path, (old, prev), Change { pinned: Some(pinned), ..change })?;
            self.store_space(loaded, keeper)?;
            Ok(Written { path: path.clone(), cid, rev, repeated: false, beside: Beside::default() })
        })
    }

    /// Puts the next version of a memory in the place of a row. The space is stored by whoever calls.
    pub(crate) fn replace(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        path: &RepoPath,
        (old, prev): (Columns, Cid),
        change: Change<'_>,
    ) -> Result<Rev, MemoryError> {
        let (created_at, expires_at) = (old.created_at, change.expires_at);
        let pinned = change.pinned.unwrap_or(old.pinned);
        let before = usize::try_from(old.bytes()).unwrap_or(usize::MAX);
        check_room(&loaded.space, bytes_apart(change.record).saturating_sub(before))?;
        let (parts, apart) = self.seal_record(keeper, path, change.record)?;
        let after = parts.text.len() + bytes_apart(change.record);
        check_room(&loaded.space, after.saturating_sub(before))?;
        let (rev, cid) = (next_rev(keeper, &loaded.space), cid_of_cbor(change.record));
        let (record, meaning) = (change.record, change.meaning);
        let found_by = FoundBy { path, record, meaning, created_at, expires_at, pinned };
        let slot = Some(self.file(loaded, keeper, old.slot, &found_by)?);
        loaded.space.hash.remove(path, &prev);
        loaded.space.hash.add(path, &cid);
        self.shred(path)?;
        let (shared, updated_at) = (old.shared, keeper.now);
        let row = Columns { rev, created_at, updated_at, expires_at, pinned, shared, slot, parts, apart };
        loaded.space.bytes = (loaded.space.bytes + row.bytes()).saturating_sub(old.bytes());
        self.let_blob_go(old.apart.as_ref(), keeper.now)?;
        row.store(&*self.store, UPDATE, keeper.ring, path)?;
        self.expects(expires_at);
        let operation = Operation { rev, path: path.clone(), cid: Some(cid), prev: Some(prev) };
        self.append(loaded, keeper, &operation, None)?;
        Ok(rev)
    }

    /// Deletes a memory: first its key, then the rest. Writes 5 rows, 1 more where it expires, 1 where it lies apart, and 1 for
    /// each of its readers.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`] and [`MemoryError::Swap`].
    pub fn delete(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        swap: Option<&Cid>,
    ) -> Result<Rev, MemoryError> {
        self.change(keeper, |loaded| {
            let row = self.live(path, keeper.now)?;
            if swap.is_some() {
                check_swap(swap, &row.cid(keeper, path)?)?;
            }
            self.remove(loaded, keeper, path, row)
        })
    }

    /// A memory with all of its record. Writes nothing.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`].
    pub fn get(&self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Memory, MemoryError> {
        let row = self.live(path, keeper.now)?;
        let apart = self.brought(row.apart.as_ref())?;
        row.open_whole(keeper, path, apart.as_deref())
    }

    /// A memory, with the head of its record if that is too large for its row. Writes nothing.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`].
    pub fn head(&self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Memory, MemoryError> {
        self.live(path, keeper.now)?.open(keeper, path)
    }

    /// How the space of the memories stands. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn space(&self, keeper: Keeper<'_>) -> Result<Space, MemoryError> {
        self.look(keeper, Space::default(), |loaded| Ok(loaded.space.clone()))
    }

    /// Operations behind a revision, some, the first first. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn operations(
        &self,
        keeper: Keeper<'_>,
        since: Option<Rev>,
        limit: usize,
    ) -> Result<Operations, MemoryError> {
        self.look(keeper, Operations::default(), |loaded| behind(&*self.store, &loaded.secret, since, limit))
    }

    /// What an idempotency key has done before.
    fn done_before(&self, loaded: &Loaded, request: &Request) -> Result<Option<Written>, MemoryError> {
        let Some((operation, digest)) = Operation::of_request(&*self.store, &loaded.secret, &request.key)?
        else {
            return Ok(None);
        };
        if digest != request.digest {
            return Err(MemoryError::Conflict("The idempotency key was used for something else"));
        }
        let cid = operation.cid.ok_or_else(|| StoreError::Corrupt("a create has no CID".into()))?;
        let (path, rev, beside) = (operation.path, operation.rev, Beside::default());
        Ok(Some(Written { path, cid, rev, repeated: true, beside }))
    }

    /// Deletes a row that is there.
    pub(crate) fn remove(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        path: &RepoPath,
        row: Columns,
    ) -> Result<Rev, MemoryError> {
        let rev = self.take_away(loaded, keeper, path, row)?;
        self.settle(loaded, keeper)?;
        Ok(rev)
    }

    /// Deletes a row that is there: 3 rows, and 1 more where it expires. Whoever calls goes on with [`Self::settle`].
    pub(crate) fn take_away(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        path: &RepoPath,
        row: Columns,
    ) -> Result<Rev, MemoryError> {
        let prev = row.cid(keeper, path)?;
        let rev = next_rev(keeper, &loaded.space);
        loaded.space.memories = loaded.space.memories.saturating_sub(1);
        loaded.space.bytes = loaded.space.bytes.saturating_sub(row.bytes());
        loaded.space.hash.remove(path, &prev);
        self.shred(path)?;
        self.store.query(DELETE, &key_of(path))?;
        self.let_blob_go(row.apart.as_ref(), keeper.now)?;
        self.drop_shares(path)?;
        if let Some(slot) = row.slot {
            let (_, shelf) = self.shelf(loaded, keeper.ring.did())?;
            shelf.remove(slot);
        }
        let operation = Operation { rev, path: path.clone(), cid: None, prev: Some(prev) };
        self.append(loaded, keeper, &operation, None)?;
        Ok(rev)
    }

    /// Stores the pages of what was taken away, a row each, and how the space stands: 1 row.
    pub(crate) fn settle(&self, loaded: &mut Loaded, keeper: Keeper<'_>) -> Result<(), MemoryError> {
        let did = keeper.ring.did();
        let (secret, shelf) = self.shelf(loaded, did)?;
        shelf.store_changed(&*self.store, (secret, did, keeper.entropy))?;
        self.store_space(loaded, keeper)
    }

    /// Puts a memory where it is found, in its old place or in a new one: 1 row.
    fn file(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        slot: Option<Slot>,
        found_by: &FoundBy<'_>,
    ) -> Result<Slot, MemoryError> {
        let did = keeper.ring.did();
        let (secret, shelf) = self.shelf(loaded, did)?;
        let record = decoded(found_by.record)?;
        let essence = Essence::of(&record);
        let slot = slot.unwrap_or_else(|| shelf.fresh_slot());
        let mut entry =
            Entry::new(slot).with_words(words_of(secret, &essence.text)).with_time(found_by.created_at);
        if let Some(importance) = essence.importance {
            entry = entry.with_importance(importance);
        }
        if let Some(meaning) = found_by.meaning {
            entry = entry.with_vector(shelf.number_of(&meaning.model), meaning.vector.clone());
        }
        let label = Label {
            path: found_by.path.clone(),
            created_at: found_by.created_at,
            expires_at: found_by.expires_at,
            valid: essence.valid,
            pinned: found_by.pinned,
            tags: essence.tags.iter().map(|tag| tag_of(secret, tag)).collect(),
            topic: topic_of(secret, found_by.path, &record),
            content: content_of(secret, &record),
            origin: Origin::of(&record).mark(secret),
            uses: shelf.uses_of(slot),
        };
        shelf.put(&*self.store, (secret, did, keeper.entropy), label, entry)?;
        Ok(slot)
    }

    /// Overwrites the key of a memory.
    pub(crate) fn shred(&self, path: &RepoPath) -> Result<(), StoreError> {
        let [kind, skey, collection, rkey] = key_of(path);
        let params = [kind, skey, collection, rkey, Param::Blob(&[0; OWN_PART_BYTES])];
        self.store.query(SHRED, &params).map(drop)
    }

    /// Appends an operation. Writes 1 row, and 1 more with a request.
    fn append(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        operation: &Operation,
        request: Option<&Request>,
    ) -> Result<(), MemoryError> {
        let Loaded { secret, space, .. } = loaded;
        operation.store(&*self.store, secret, space.operations, request, keeper.entropy)?;
        space.operations += 1;
        space.rev = Some(operation.rev);
        Ok(())
    }

    /// Stores how the space stands, once a turn: 1 row.
    pub(crate) fn store_space(&self, loaded: &Loaded, keeper: Keeper<'_>) -> Result<(), MemoryError> {
        Ok(loaded.space.store(&*self.store, &loaded.secret, keeper.ring.did(), keeper.entropy)?)
    }

    pub(crate) fn seal(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        record: &[u8],
    ) -> Result<Parts, MemoryError> {
        let binding = binding(keeper.ring.did(), path);
        Ok(keeper.ring.seal(&binding, &[], record, keeper.entropy)?.to_parts())
    }

    /// The row of a memory that is not over.
    pub(crate) fn live(&self, path: &RepoPath, now: u64) -> Result<Columns, MemoryError> {
        self.row(path)?.filter(|row| !row.is_over(now)).ok_or(MemoryError::NotFound)
    }

    pub(crate) fn row(&self, path: &RepoPath) -> Result<Option<Columns>, MemoryError> {
        let row = self.store.query(SELECT, &key_of(path))?.pop();
        Ok(row.map(|mut row| Columns::read(&mut row, 0)).transpose()?)
    }
}

/// A memory that is put into the store.
pub(crate) struct New<'a> {
    pub(crate) path: &'a RepoPath,
    pub(crate) record: &'a [u8],
    pub(crate) pinned: bool,
    pub(crate) created_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) meaning: Option<&'a Meaning>,
}

pub(crate) fn decoded(record: &[u8]) -> Result<Ipld, StoreError> {
    cbor::decode(record).map_err(|_| StoreError::Corrupt("a record is none of the data model".into()))
}

/// The next revision of the space.
pub(crate) fn next_rev(keeper: Keeper<'_>, space: &Space) -> Rev {
    Tid::next(keeper.now, CLOCK_ID, space.rev)
}

pub(crate) fn check_size(record: &[u8]) -> Result<(), MemoryError> {
    if record.len() > MAX_RECORD_BYTES { Err(MemoryError::TooLarge(MAX_RECORD_BYTES)) } else { Ok(()) }
}

fn check_room(space: &Space, more: usize) -> Result<(), MemoryError> {
    match space.bytes.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)) > MAX_BYTES {
        true => Err(MemoryError::Quota("The agent's memories are as large as they may be")),
        false => Ok(()),
    }
}

fn check_swap(swap: Option<&Cid>, current: &Cid) -> Result<(), MemoryError> {
    if swap.is_some_and(|swap| swap != current) { Err(MemoryError::Swap(*current)) } else { Ok(()) }
}

/// The ten bits of a revision that tell clocks apart: there is one clock, the object's.
const CLOCK_ID: u16 = 0;
