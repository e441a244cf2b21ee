//! Taking memories along: all that is kept, sealed as it is, part by part; and putting it into another store.
//!
//! An export opens nothing. What it hands out is opened by whoever has the agent's keys, its owner or the host that takes it in, where each
//! memory gets a data key of that store's. A part that is taken in twice is taken in once, so an import that broke off is begun
//! again.

use std::rc::Rc;

use murmuration_data::{Cid, Ipld, cid_of_cbor};
use murmuration_envelope::{Envelope, EnvelopeError, Opened};
use murmuration_keyring::Ring;
use murmuration_platform::{Param, Store, transaction};
use murmuration_syntax::{Did, RepoPath, Rev};

use crate::apart::record_of;
use crate::limits::{MAX_MEMORIES, MAX_READERS};
use crate::list::path_of;
use crate::memories::{New, check_size};
use crate::operation::int;
use crate::row::{Columns, binding, key_of, uint};
use crate::sharing::readers;
use crate::space::{SKEY, SPACE_TYPE};
use crate::{Keeper, Meaning, Memories, MemoryError, Put, state};

/// Reads the rows that it answers with.
const MEMORIES: &str = "SELECT collection, rkey, rev, created_at, updated_at, expires_at, pinned, own, readers, text, slot, \
     EXISTS (SELECT 1 FROM memory_share AS share WHERE share.space_type = ?1 AND share.skey = ?2 \
     AND share.collection = memory.collection AND share.rkey = memory.rkey), blob, blob_bytes FROM memory \
     WHERE space_type = ?1 AND skey = ?2 AND (collection, rkey) > (?3, ?4) AND coalesce(expires_at > ?5, 1) \
     ORDER BY collection, rkey LIMIT ?6 + 0";
/// Reads 1 row.
const APART: &str =
    "SELECT blob FROM memory WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// The same of the working state.
const STATES: &str = "SELECT name, updated_at, expires_at, own, text FROM memory_state \
     WHERE name > ?1 AND coalesce(expires_at > ?2, 1) ORDER BY name LIMIT ?3 + 0";

/// A memory as it lies in its store.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Its name.
    pub path: RepoPath,
    /// The revision of its space at its last change.
    pub rev: Rev,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: u64,
    /// When it was changed last.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
    /// Whether upkeep leaves it alone.
    pub pinned: bool,
    /// Its record, sealed, or what its row has of one that lies apart.
    pub envelope: Envelope,
    /// Who reads it beside its agent.
    pub readers: Vec<Did>,
    /// The name under which it lies in the blob storage, if it is too large for a row.
    pub apart: Option<String>,
}

/// An entry of the working state as it lies in its store.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedState {
    /// The keyed hash of its key.
    pub name: Vec<u8>,
    /// When it was changed last, in microseconds since the Unix epoch.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
    /// Its key and its value, sealed.
    pub envelope: Envelope,
}

/// Some of what is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Memories, by their names.
    pub memories: Vec<Exported>,
    /// Entries of the working state, behind all memories.
    pub states: Vec<ExportedState>,
}

/// An export, as far as it has come.
pub struct Export {
    store: Rc<dyn Store>,
    now: u64,
    stage: Stage,
}

/// Where memories are that were handed out.
pub struct Place(Rc<dyn Store>);

enum Stage {
    Memories(Option<RepoPath>),
    States(Vec<u8>),
    Over,
}

/// A memory to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its name.
    pub path: &'a RepoPath,
    /// Its record, in DAG-CBOR.
    pub record: &'a [u8],
    /// Whether upkeep leaves it alone.
    pub pinned: bool,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: u64,
    /// When it was changed last.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
    /// Who reads it beside its agent, at most [`MAX_READERS`].
    pub readers: &'a [Did],
    /// The vector of its text ([`crate::Essence`]), if there is a model.
    pub meaning: Option<&'a Meaning>,
}

/// An entry of the working state to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct IncomingState<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a Ipld,
    /// When it was changed last, in microseconds since the Unix epoch.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Memories and entries that are new.
    pub added: usize,
    /// Those that were there already.
    pub known: usize,
}

impl Export {
    /// The next part; `None` at the end. Writes nothing.
    ///
    /// # Errors
    /// When what is kept is not as it was written.
    pub fn next_part(&mut self) -> Result<Option<Part>, MemoryError> {
        if let Stage::Memories(after) = &self.stage {
            let memories = self.memories(after.as_ref())?;
            if let Some(last) = memories.last() {
                self.stage = Stage::Memories(Some(last.path.clone()));
                return Ok(Some(Part { memories, states: Vec::new() }));
            }
            self.stage = Stage::States(Vec::new());
        }
        if let Stage::States(after) = &self.stage {
            let states = self.states(after)?;
            if let Some(last) = states.last() {
                self.stage = Stage::States(last.name.clone());
                return Ok(Some(Part { memories: Vec::new(), states }));
            }
            self.stage = Stage::Over;
        }
        Ok(None)
    }

    /// Where the memories are that it hands out.
    #[must_use]
    pub fn place(&self) -> Place {
        Place(Rc::clone(&self.store))
    }

    fn memories(&self, after: Option<&RepoPath>) -> Result<Vec<Exported>, MemoryError> {
        let (collection, rkey) =
            after.map_or(("", ""), |path| (path.collection.as_str(), path.rkey.as_str()));
        let params = [
            Param::Text(SPACE_TYPE),
            Param::Text(SKEY),
            Param::Text(collection),
            Param::Text(rkey),
            int(self.now),
            Param::Int(PART_ROWS),
        ];
        let rows = self.store.query_within(MEMORIES, &params, PART_BYTES)?;
        let read = rows.into_iter().map(|mut row| {
            let path = path_of(&row.text(0)?, &row.text(1)?)?;
            let Columns { rev, created_at, updated_at, expires_at, pinned, shared, parts, apart, .. } =
                Columns::read(&mut row, 2)?;
            let readers = if shared { readers(&*self.store, &path)? } else { Vec::new() };
            let (envelope, apart) = (Envelope::from_parts(&parts)?, apart.map(|apart| apart.name));
            Ok(Exported { path, rev, created_at, updated_at, expires_at, pinned, envelope, readers, apart })
        });
        let mut memories = read.collect::<Result<Vec<_>, MemoryError>>()?;
        // What lies apart is a part of its own.
        if let Some(at) = memories.iter().position(|memory| memory.apart.is_some()) {
            memories.truncate(at.max(1));
        }
        Ok(memories)
    }

    fn states(&self, after: &[u8]) -> Result<Vec<ExportedState>, MemoryError> {
        let params = [Param::Blob(after), int(self.now), Param::Int(PART_ROWS)];
        let rows = self.store.query_within(STATES, &params, PART_BYTES)?;
        let read = rows.into_iter().map(|mut row| {
            let parts =
                murmuration_envelope::Parts { own: row.blob(3)?, readers: Vec::new(), text: row.blob(4)? };
            Ok(ExportedState {
                name: row.blob(0)?,
                updated_at: uint(row.int(1)?),
                expires_at: row.opt_int(2)?.map(uint),
                envelope: Envelope::from_parts(&parts)?,
            })
        });
        read.collect()
    }
}

impl Place {
    /// Whether a memory lies apart where it has lain when it was handed out.
    ///
    /// # Errors
    /// The storage's.
    pub fn has(&self, memory: &Exported) -> Result<bool, MemoryError> {
        let row = self.0.query(APART, &key_of(&memory.path))?.pop();
        Ok(row.map(|mut row| row.opt_text(0)).transpose()?.flatten() == memory.apart)
    }
}

impl Exported {
    /// Its record, in DAG-CBOR, and its CID. `apart` is what lies apart of it.
    ///
    /// # Errors
    /// When none of the keys opens it, or it is another agent's or another memory.
    pub fn open(&self, ring: &Ring, apart: Option<&[u8]>) -> Result<(Opened, Cid), EnvelopeError> {
        let text = ring.open(&binding(ring.did(), &self.path), &self.envelope)?;
        let record = record_of(text, apart)?;
        let cid = cid_of_cbor(&record);
        Ok((record, cid))
    }
}

impl ExportedState {
    /// Its key and its value.
    ///
    /// # Errors
    /// When none of the keys opens it, or it is another agent's or another entry.
    pub fn open(&self, ring: &Ring) -> Result<(String, Ipld), MemoryError> {
        state::open(ring, &self.name, &self.envelope)
    }
}

impl Memories {
    /// Begins an export of what is there at `now`. What is changed while it is read may be in it or not.
    #[must_use]
    pub fn export(&self, now: u64) -> Export {
        Export { store: Rc::clone(&self.store), now, stage: Stage::Memories(None) }
    }

    /// Takes in memories and working state, each sealed under a data key of its own, with the times that they have. Those that are there
    /// already, and are the same, stay as they are, with their readers. Writes 3 rows for each memory that is new, 1 more where it expires, 1 for each
    /// of its readers, 1 in all, and what the working state writes.
    ///
    /// # Errors
    /// [`MemoryError::Conflict`] when something else is there by one of the names; [`MemoryError::Quota`] and
    /// [`MemoryError::TooLarge`]; [`MemoryError::TooManyReaders`]. Nothing is taken in then.
    pub fn take_in(
        &self,
        keeper: Keeper<'_>,
        memories: &[Incoming<'_>],
        states: &[IncomingState<'_>],
    ) -> Result<TakenIn, MemoryError> {
        let taken = transaction(&*self.store, || {
            let mut taken = TakenIn::default();
            if !memories.is_empty() {
                self.take_memories(keeper, memories, &mut taken)?;
            }
            for state in states {
                self.take_state(keeper, state, &mut taken)?;
            }
            Ok(taken)
        });
        if taken.is_err() {
            // A part of it may be in memory.
            self.forget();
        }
        taken
    }

    fn take_memories(
        &self,
        keeper: Keeper<'_>,
        memories: &[Incoming<'_>],
        taken: &mut TakenIn,
    ) -> Result<(), MemoryError> {
        self.change(keeper, |loaded| {
            for memory in memories {
                check_size(memory.record)?;
                if memory.readers.len() > MAX_READERS {
                    return Err(MemoryError::TooManyReaders);
                }
                if let Some(row) = self.row(memory.path)? {
                    if !row.is_over(keeper.now) {
                        if row.cid(keeper, memory.path)? != cid_of_cbor(memory.record) {
                            return Err(MemoryError::Conflict(
                                "There is another memory with this record key",
                            ));
                        }
                        taken.known += 1;
                        continue;
                    }
                    self.remove(loaded, keeper, memory.path, row)?;
                }
                if loaded.space.memories >= MAX_MEMORIES {
                    return Err(MemoryError::Quota("The agent keeps as many memories as it may"));
                }
                let Incoming { path, record, pinned, created_at, updated_at, expires_at, meaning, readers } =
                    *memory;
                let new = New { path, record, pinned, created_at, updated_at, expires_at, meaning };
                self.insert(loaded, keeper, &new, None)?;
                for reader in readers {
                    self.share_unsealed(path, reader, keeper.now)?;
                }
                taken.added += 1;
            }
            self.store_space(loaded, keeper)
        })
    }

    fn take_state(
        &self,
        keeper: Keeper<'_>,
        incoming: &IncomingState<'_>,
        taken: &mut TakenIn,
    ) -> Result<(), MemoryError> {
        let IncomingState { key, value, updated_at, expires_at } = *incoming;
        match self.state(keeper, key) {
            Ok(entry) if entry.value == *value => taken.known += 1,
            Ok(_) => return Err(MemoryError::Conflict("There is another entry of the state with this key")),
            Err(MemoryError::NoSuchState) => {
                let put = Put { key, value, expires_at, swap: None };
                self.put_state(Keeper { now: updated_at, ..keeper }, put)?;
                taken.added += 1;
            }
            Err(other) => return Err(other),
        }
        Ok(())
    }
}

/// Rows of a part, at most.
const PART_ROWS: i64 = 100;

/// Bytes of the sealed texts in a part, at most, save that the first always comes.
const PART_BYTES: usize = 256 * 1024;
