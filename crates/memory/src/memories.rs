//! Creating, changing, deleting and reading memories.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use murmuration_data::{Cid, cid_of_cbor};
use murmuration_envelope::{Binding, Envelope, OWN_PART_BYTES, Opened, Parts};
use murmuration_keyring::Ring;
use murmuration_platform::{Entropy, Param, Row, Store, StoreError, transaction};
use murmuration_syntax::{Did, RepoPath, Rev, Tid};

use crate::limits::{MAX_BYTES, MAX_MEMORIES, MAX_RECORD_BYTES};
use crate::operation::{Request, behind, int};
use crate::secret::Secret;
use crate::space::{SKEY, SPACE_TYPE};
use crate::{MemoryError, Operation, Operations, Space};

/// Reads 1 row.
const SELECT: &str = "SELECT rev, created_at, updated_at, expires_at, pinned, own, readers, text FROM memory \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Writes 1 row, and 1 more where it expires.
const INSERT: &str = "INSERT INTO memory (rev, created_at, updated_at, expires_at, pinned, own_epoch, own, readers, text, \
     space_type, skey, collection, rkey) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
/// Writes 1 row, and up to 2 more where one of the versions expires.
const UPDATE: &str = "UPDATE memory SET rev = ?1, created_at = ?2, updated_at = ?3, expires_at = ?4, pinned = ?5, own_epoch = ?6, \
     own = ?7, readers = ?8, text = ?9 WHERE space_type = ?10 AND skey = ?11 AND collection = ?12 AND rkey = ?13";
/// Writes 1 row: the key is overwritten in the place where it lies, for the value stays as long as it was.
const SHRED: &str = "UPDATE memory SET own = ?5, readers = NULL \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Writes 1 row, and 1 more where it expires.
const DELETE: &str =
    "DELETE FROM memory WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Reads 1 row.
const SELECT_KEY: &str = "SELECT own, text FROM memory_key WHERE id = 1";
/// Writes 1 row.
const INSERT_KEY: &str = "INSERT INTO memory_key (id, own_epoch, own, text) VALUES (1, ?1, ?2, ?3)";

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Which memory.
    pub path: RepoPath,
    /// Its CID.
    pub cid: Cid,
    /// The revision of its space.
    pub rev: Rev,
    /// Whether an earlier call had done it already.
    pub repeated: bool,
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
    /// Whether upkeep leaves it alone.
    pub pinned: bool,
    /// Who can read it, beside the agent.
    pub readers: Vec<Did>,
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
    loaded: RefCell<Option<Loaded>>,
    /// When something ends by itself, if that is known.
    pub(crate) next_expiry: Cell<Option<Option<u64>>>,
}

/// What is in memory.
pub(crate) struct Loaded {
    pub(crate) secret: Secret,
    pub(crate) space: Space,
    /// Of the entry of the working state that was stored last, since the object woke.
    pub(crate) state_rev: Option<Rev>,
}

impl Memories {
    /// The memories in `store`.
    #[must_use]
    pub fn new(store: Rc<dyn Store>) -> Self {
        Self { store, loaded: RefCell::new(None), next_expiry: Cell::new(None) }
    }

    /// Forgets what is in memory: the storage was wiped, or a transaction around a call was undone.
    pub fn forget(&self) {
        self.loaded.replace(None);
        self.next_expiry.set(None);
    }

    /// Makes a memory. Writes 3 rows, 1 more where it expires, 1 more with an idempotency key, and once the row of the secret.
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
            if let Some(row) = self.row(draft.path)? {
                if !row.is_over(keeper.now) {
                    return Err(MemoryError::Conflict("There is a memory with this record key"));
                }
                self.remove(loaded, keeper, draft.path, row)?;
            }
            if loaded.space.memories >= MAX_MEMORIES {
                return Err(MemoryError::Quota("The agent keeps as many memories as it may"));
            }
            let parts = self.seal(keeper, draft.path, draft.record)?;
            check_room(&loaded.space, parts.text.len())?;
            let cid = cid_of_cbor(draft.record);
            let rev = next_rev(keeper, &loaded.space);
            let row = Columns {
                rev,
                created_at: keeper.now,
                updated_at: keeper.now,
                expires_at: draft.expires_at,
                pinned: draft.pinned,
                parts,
            };
            loaded.space.memories += 1;
            loaded.space.bytes += length(&row.parts.text);
            loaded.space.hash.add(draft.path, &cid);
            row.store(&*self.store, INSERT, keeper.ring, draft.path)?;
            self.expects(draft.expires_at);
            let operation = Operation { rev, path: draft.path.clone(), cid: Some(cid), prev: None };
            self.append(loaded, keeper, &operation, request.as_ref())?;
            Ok(Written { path: draft.path.clone(), cid, rev, repeated: false })
        })
    }

    /// Makes the next version of a memory, under a data key of its own. Writes 4 rows, and up to 2 more where one of the versions
    /// expires; none when it is the same record already.
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
                return Ok(Written { path: path.clone(), cid, rev: old.rev, repeated: true });
            }
            let parts = self.seal(keeper, path, change.record)?;
            check_room(&loaded.space, parts.text.len().saturating_sub(old.parts.text.len()))?;
            let rev = next_rev(keeper, &loaded.space);
            loaded.space.bytes =
                (loaded.space.bytes + length(&parts.text)).saturating_sub(length(&old.parts.text));
            loaded.space.hash.remove(path, &prev);
            loaded.space.hash.add(path, &cid);
            self.shred(path)?;
            let (created_at, updated_at) = (old.created_at, keeper.now);
            let row = Columns { rev, created_at, updated_at, expires_at: change.expires_at, pinned, parts };
            row.store(&*self.store, UPDATE, keeper.ring, path)?;
            self.expects(change.expires_at);
            let operation = Operation { rev, path: path.clone(), cid: Some(cid), prev: Some(prev) };
            self.append(loaded, keeper, &operation, None)?;
            Ok(Written { path: path.clone(), cid, rev, repeated: false })
        })
    }

    /// Deletes a memory: first its key, then the rest. Writes 4 rows, and 1 more where it expires.
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

    /// A memory. Writes nothing.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`].
    pub fn get(&self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Memory, MemoryError> {
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
        Ok(Some(Written { path: operation.path, cid, rev: operation.rev, repeated: true }))
    }

    /// Deletes a row that is there.
    pub(crate) fn remove(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        path: &RepoPath,
        row: Columns,
    ) -> Result<Rev, MemoryError> {
        let prev = row.cid(keeper, path)?;
        let rev = next_rev(keeper, &loaded.space);
        loaded.space.memories = loaded.space.memories.saturating_sub(1);
        loaded.space.bytes = loaded.space.bytes.saturating_sub(length(&row.parts.text));
        loaded.space.hash.remove(path, &prev);
        self.shred(path)?;
        self.store.query(DELETE, &key_of(path))?;
        let operation = Operation { rev, path: path.clone(), cid: None, prev: Some(prev) };
        self.append(loaded, keeper, &operation, None)?;
        Ok(rev)
    }

    /// Overwrites the key of a memory.
    fn shred(&self, path: &RepoPath) -> Result<(), StoreError> {
        let [kind, skey, collection, rkey] = key_of(path);
        let params = [kind, skey, collection, rkey, Param::Blob(&[0; OWN_PART_BYTES])];
        self.store.query(SHRED, &params).map(drop)
    }

    /// Appends an operation, and stores the space that it has made. Writes 2 rows, and 1 more with a request.
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
        Ok(space.store(&*self.store, secret, keeper.ring.did(), keeper.entropy)?)
    }

    fn seal(&self, keeper: Keeper<'_>, path: &RepoPath, record: &[u8]) -> Result<Parts, MemoryError> {
        let binding = binding(keeper.ring.did(), path);
        Ok(keeper.ring.seal(&binding, &[], record, keeper.entropy)?.to_parts())
    }

    /// The row of a memory that is not over.
    fn live(&self, path: &RepoPath, now: u64) -> Result<Columns, MemoryError> {
        self.row(path)?.filter(|row| !row.is_over(now)).ok_or(MemoryError::NotFound)
    }

    pub(crate) fn row(&self, path: &RepoPath) -> Result<Option<Columns>, MemoryError> {
        let row = self.store.query(SELECT, &key_of(path))?.pop();
        Ok(row.map(|mut row| Columns::read(&mut row, 0)).transpose()?)
    }

    /// Runs `look` on what is in memory; answers `nothing` if nothing was ever kept.
    pub(crate) fn look<T>(
        &self,
        keeper: Keeper<'_>,
        nothing: T,
        look: impl FnOnce(&Loaded) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let mut slot = self.loaded.borrow_mut();
        if slot.is_none() {
            *slot = self.load(keeper)?;
        }
        slot.as_ref().map_or(Ok(nothing), look)
    }

    /// Runs `turn` in one transaction. If it fails, nothing is stored, and unless it was refused memory is dropped.
    pub(crate) fn change<T>(
        &self,
        keeper: Keeper<'_>,
        turn: impl FnOnce(&mut Loaded) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let outcome = {
            let mut slot = self.loaded.borrow_mut();
            transaction(&*self.store, || {
                if slot.is_none() {
                    *slot = self.load(keeper)?;
                }
                if slot.is_none() {
                    *slot = Some(self.begin(keeper)?);
                }
                match slot.as_mut() {
                    Some(loaded) => turn(loaded),
                    None => Err(StoreError::Corrupt("what was just read is gone".into()).into()),
                }
            })
        };
        if outcome.is_err() {
            self.forget();
        }
        outcome
    }

    fn load(&self, keeper: Keeper<'_>) -> Result<Option<Loaded>, MemoryError> {
        let Some(mut row) = self.store.query(SELECT_KEY, &[])?.pop() else { return Ok(None) };
        let parts = Parts { own: row.blob(0)?, readers: Vec::new(), text: row.blob(1)? };
        let did = keeper.ring.did();
        let opened = keeper.ring.open(&Secret::binding(did)?, &Envelope::from_parts(&parts)?)?;
        let secret = Secret::of(&opened)?;
        let space = Space::read(&*self.store, &secret, did)?;
        Ok(Some(Loaded { secret, space, state_rev: None }))
    }

    /// Draws the secret of a store that nothing was ever kept in. Writes 1 row.
    fn begin(&self, keeper: Keeper<'_>) -> Result<Loaded, MemoryError> {
        let bytes = Secret::draw(keeper.entropy);
        let binding = Secret::binding(keeper.ring.did())?;
        let envelope = keeper.ring.seal(&binding, &[], bytes.as_slice(), keeper.entropy)?;
        let parts = envelope.to_parts();
        let epoch = Param::Int(envelope.own_epoch().into());
        self.store.query(INSERT_KEY, &[epoch, Param::Blob(&parts.own), Param::Blob(&parts.text)])?;
        let secret = Secret::of(bytes.as_slice())?;
        Ok(Loaded { secret, space: Space::default(), state_rev: None })
    }
}

/// The columns of a memory.
pub(crate) struct Columns {
    rev: Rev,
    pub(crate) created_at: u64,
    updated_at: u64,
    expires_at: Option<u64>,
    pinned: bool,
    parts: Parts,
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
        })
    }

    fn store(
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

    pub(crate) fn open(self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Memory, MemoryError> {
        let envelope = Envelope::from_parts(&self.parts)?;
        let record = keeper.ring.open(&binding(keeper.ring.did(), path), &envelope)?;
        Ok(Memory {
            path: path.clone(),
            cid: cid_of_cbor(&record),
            rev: self.rev,
            record,
            pinned: self.pinned,
            readers: envelope.recipients().map(|(id, _)| id.did().clone()).collect(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
        })
    }

    fn cid(&self, keeper: Keeper<'_>, path: &RepoPath) -> Result<Cid, MemoryError> {
        let envelope = Envelope::from_parts(&self.parts)?;
        Ok(cid_of_cbor(&keeper.ring.open(&binding(keeper.ring.did(), path), &envelope)?))
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
fn key_of(path: &RepoPath) -> [Param<'_>; 4] {
    let (collection, rkey) = (path.collection.as_str(), path.rkey.as_str());
    [Param::Text(SPACE_TYPE), Param::Text(SKEY), Param::Text(collection), Param::Text(rkey)]
}

/// The next revision of the space.
fn next_rev(keeper: Keeper<'_>, space: &Space) -> Rev {
    Tid::next(keeper.now, CLOCK_ID, space.rev)
}

fn check_size(record: &[u8]) -> Result<(), MemoryError> {
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

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A number out of the storage.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The ten bits of a revision that tell clocks apart: there is one clock, the object's.
const CLOCK_ID: u16 = 0;
